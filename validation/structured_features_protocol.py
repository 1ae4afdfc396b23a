"""The protocol of `feature-ridge`, `rainbow-network` and `feature-classification`.

These theories have the sizes d, p_l and n as parameters, but no finite-size terms: what they say depends on ratios
only (with lam, which counts as a size).  Networks of growing d with the same ratios stand beside them, and what is left
between the two must vanish as 1/d.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from asymptotics import (
    AccuracyWarning,
    FeatureClassification,
    FeatureRidge,
    Nonlinearity,
    Problem,
    RainbowNetwork,
    nonlinearity,
)

from .networks import Array
from .protocols import Protocol, Setting, Simulator
from .readout import one_network, shaped, whole
from .structured_features import (
    CLASSIFICATION,
    RIDGE,
    gaussian_features,
    is_centred,
    rainbow,
    simulate_classification,
    simulate_rainbow,
    simulate_ridge,
)

Wrong = dict[str, Problem | Mapping[str, Any]]

ERF = "erf(x/sqrt(2))"
NOISE = 0.1  # of the labels of networks
JUDGED = tuple(name for name in RIDGE if name != "df1")  # which says the same as the effective ridge
OFF = 1.1  # wrong sample sizes are 10 % off
ERRORS = ("test_error", "train_error", "ridge_objective")

# of 100 Gaussian features so many have an eigenvalue, and so much of E y^2 = 1 is in these
EIGENVALUES, COUNTS, SIGNAL = (4.0, 1.0, 0.25), (20, 40, 40), (0.5, 0.3, 0.2)


SIMULATORS: dict[type[Problem], Simulator] = {
    FeatureRidge: simulate_ridge, RainbowNetwork: simulate_rainbow, FeatureClassification: simulate_classification,
}


# ---- networks of any size beside a problem


def size_of(problem: Any) -> float:
    """d of a network; of Gaussian features their number."""
    if getattr(problem, "d", None) is not None:
        return one_network(problem)[0]["d"]
    return float(gaussian_features(problem).deviations.size)


def resized(problem: Any, d: int) -> Any:
    """The problem at another size: the same ratios of all sizes and of lam.

    Parameters
    ----------
    problem : FeatureRidge, RainbowNetwork or FeatureClassification
        One network.
    d : int
        Input dimension, or number of Gaussian features.
    """
    factor = d / size_of(problem)
    changes: dict[str, Any] = {"n": whole(factor * one_network(problem)[0]["n"]), "lam": factor * problem.lam}
    if getattr(problem, "d", None) is not None:
        changes |= {"d": d, "widths": [whole(factor * width) for width in problem.widths]}
    else:
        counts = np.ones(len(problem.eigenvalues)) if problem.multiplicities is None else problem.multiplicities
        changes["multiplicities"] = [whole(factor * count) for count in counts]
    return problem.replace(**changes)


def simulate(problem: Any, sizes: Mapping[str, int], seed: np.random.SeedSequence) -> dict[str, Any]:
    """One network of the problem resized to sizes["d"]: theory of the problem * simulation/theory at this size.

    Parameters
    ----------
    problem : FeatureRidge, RainbowNetwork or FeatureClassification
        One cell, or cells that differ in `lam` only.
    sizes : mapping
        The size "d", and optionally "test", the number of fresh points.
    seed : numpy.random.SeedSequence
    """
    here, points = resized(problem, sizes["d"]), {name: size for name, size in sizes.items() if name == "test"}
    measured = SIMULATORS[type(problem)](here, points, seed)
    names = tuple(name for name in measured if name in problem.observables)
    return _beside(_solved(problem, names), _solved(here, names), measured)


def simulate_paired(problem: Any, sizes: Mapping[str, int], seed: np.random.SeedSequence) -> dict[str, Any]:
    """The same for a deep network and the prediction from its own weights, eq. (12): theory * simulation/prediction.

    Whatever the weights make of a network cancels.  The readout has no intercept, whether features have a mean or not.
    """
    here = resized(problem, sizes["d"])
    points = {name: size for name, size in sizes.items() if name == "test"}
    trained = rainbow(here, points, seed)
    cell, lam = one_network(here)
    with warnings.catch_warnings():
        # in small networks the largest of all variances may stand out as if the weights had a spike
        warnings.simplefilter("ignore", AccuracyWarning)
        prediction = RainbowNetwork.from_weights(
            trained.network.weights, trained.network.activations, trained.target, noise_var=trained.noise_var,
            n=cell["n"], lam=lam,
        )
    return _beside(_solved(problem, JUDGED), prediction.solve(JUDGED).values, shaped(here, trained.measured))


def _beside(theory: Mapping[str, Any], size: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    return {name: theory[name] * measured[name] / np.reshape(size[name], np.shape(theory[name])) for name in theory}


@functools.lru_cache(maxsize=256)
def _solved(problem: Problem, observables: tuple[str, ...]) -> Mapping[str, Any]:
    return MappingProxyType(dict(problem.solve(observables).values))


# ---- the protocol

GAUSSIAN = {"Gaussian features, n = 0.6 p": (60, (0.5, 5.0)), "Gaussian features, n = 1.5 p": (150, (0.5, 5.0))}
# activations; d, widths; n; lam/n
RAINBOW = {
    "tanh": (("tanh",), (50, 75), 60, (0.01, 0.1)),
    "tanh, tanh": (("tanh",) * 2, (50, 70, 60), 80, (0.01, 0.1)),
    "erf, erf, erf": ((ERF,) * 3, (50, 70, 60, 50), 100, (0.001, 0.1)),
    "relu": (("relu",), (50, 75), 40, (0.01, 0.1)),
}
# loss, labels; lam for 100 Gaussian features, whose trace is ten times that of a network of d = 50
CLASSIFIERS = {"logistic, sign": (0.3, 3.0), "logistic, logit": (1.0, 10.0), "hinge, sign": (20.0, 60.0),
               "hinge, logit": (5.0, 30.0), "square, sign": (1.0, 20.0), "square, probit": (1.0, 20.0)}
QUICK = ("Gaussian features, n = 0.6 p", "tanh, tanh: own weights", "erf, erf, erf: own weights", "relu",
         "relu: own weights", "logistic, sign: Gaussian features", "logistic, logit: two layers",
         "hinge, sign: two layers")


def protocol(size: str) -> Protocol:
    """Ridge on Gaussian features and deep networks, and classifiers on both."""
    # Gaussian features are cheap, and few of them are further from the limit
    gaussian = {100: 600, 200: 400, 600: 120} if size == "full" else {100: 400, 300: 100}
    settings = [*_gaussian(gaussian), *_rainbow(), *_classification(gaussian)]
    if size == "quick":
        settings = [setting for setting in settings if setting.name in QUICK]
    laws = (("Gaussian features, n = 0.6 p", "effective_ridge"), ("tanh, tanh: own weights", "effective_ridge"),
            ("tanh, tanh: own weights", "test_error"))
    return Protocol(
        title=f"structured-features, {size}: readouts of frozen features beside their deterministic equivalents",
        simulate=simulate,
        settings=tuple(settings),
        networks={100: 600, 300: 200} if size == "full" else {50: 400, 150: 160},
        test_points=4000 if size == "full" else 3000,
        precision=dict.fromkeys(("test_error", "classification_error"), 0.01 if size == "full" else 0.015),
        laws=laws if size == "full" else (),
        law_networks={25: 2000, 50: 1000, 100: 600, 300: 200} if size == "full" else {},
        remarks=(
            "Sizes are those at d = 50, or at 100 Gaussian features; networks of other d (d Gaussian features) have "
            "the same ratios d : p_1 : ... : n : lam, for which the theory is the same.  erf is erf(x/sqrt(2)).",
            "Own weights: a simulated value is theory * simulation/prediction from the weights of the network (mean "
            "and covariance of its features, neuron by neuron); the theory is the chain, which knows no weights.",
            "Features of relu have an intercept beside the readout; with their own weights they have none.",
        ),
    )


def _gaussian(counts: Mapping[int, int]) -> list[Setting]:
    settings = []
    for name, (n, lam) in GAUSSIAN.items():
        problem = FeatureRidge(
            eigenvalues=EIGENVALUES, multiplicities=COUNTS, target_weights=np.multiply(EIGENVALUES, SIGNAL),
            residual_variance=0.2, n=n, lam=lam,
        )
        wrong = _wrong_sizes(problem) | {"bias at fixed design": {"bias": problem.solve().bias_fixed_design}}
        bias = ("bias",) if n < 100 else ()  # beyond, of the order of the noise
        settings.append(Setting(name=name, problem=problem, judged=(*JUDGED, *bias), wrong=wrong,
                                networks=counts))
    return settings


def _rainbow() -> list[Setting]:
    settings = []
    for name, (activations, (d, *widths), n, lam) in RAINBOW.items():
        problem = RainbowNetwork(activations=activations, widths=widths, d=d, n=n, lam=np.multiply(n, lam),
                                 label_second_moment=1 + NOISE, signal=1.0)
        wrong = _wrong_sizes(problem) | _wrong_layers(problem)
        settings += [
            Setting(name=name, problem=problem, judged=JUDGED, wrong=wrong),
            Setting(name=f"{name}: own weights", problem=problem, judged=JUDGED, wrong=wrong, simulate=simulate_paired),
        ]
    return settings


def _classification(counts: Mapping[int, int]) -> list[Setting]:
    settings = []
    for name, lam in CLASSIFIERS.items():
        loss, labels = name.split(", ")
        common: dict[str, Any] = {"loss": loss, "labels": labels, "n": 150, "rho": 1.0}
        on = {
            "Gaussian features": FeatureClassification(
                **common, lam=lam, eigenvalues=EIGENVALUES, multiplicities=COUNTS,
                target_weights=np.multiply(EIGENVALUES, SIGNAL)),
            "two layers": FeatureClassification(
                **common, lam=np.multiply(0.1, lam), activations=("tanh", "tanh"), widths=(75, 65), d=50),
        }
        for place, problem in on.items():
            gaussian = problem.activations is None
            noisy = () if gaussian or labels == "sign" else ("noisy_label_error",)
            settings.append(Setting(
                name=f"{name}: {place}", problem=problem, judged=(*CLASSIFICATION, *noisy),
                wrong=_wrong_classifiers(problem), networks=counts if gaussian else None,
            ))
    return settings


# ---- wrong theories


def _wrong_sizes(problem: Any) -> Wrong:
    return {"n 10 % off": problem.replace(n=OFF * problem.n),
            "n lam instead of lam": problem.replace(lam=problem.n * problem.lam)}


def _wrong_classifiers(problem: Any) -> Wrong:
    return {"n 10 % off (classification)": problem.replace(n=OFF * problem.n),
            "lam instead of lam/2": problem.replace(lam=2 * problem.lam)}


def _wrong_layers(problem: Any) -> Wrong:
    slopes, noises, means = layer_coefficients(problem.activations)
    wrong: Wrong = {"ks2 dropped": chain(problem, slopes, np.zeros(noises.size))}
    if not is_centred(problem):
        wrong["mean of relu not subtracted"] = chain(problem, slopes, [*noises[:-1], noises[-1] + means[-1] ** 2])
    return wrong


def layer_coefficients(activations: Sequence[Nonlinearity]) -> tuple[Array, Array, Array]:
    """(E sigma')^2, E (sigma - E sigma - t E sigma')^2 and E sigma of all layers, inputs of variance 1."""
    found, variance = [], 1.0
    for activation in activations:
        moments = nonlinearity(activation).moments(0.0, variance)
        found.append((float(moments.mu1) ** 2, float(moments.mu2_sq), float(moments.mu0)))
        variance = variance * found[-1][0] + found[-1][1]
    slopes, noises, means = np.array(found).T
    return slopes, noises, means


def chain(problem: Any, slopes: Sequence[float] | Array, noises: Sequence[float] | Array) -> dict[str, Array]:
    """Errors of a deep network with these coefficients of its layers, by bisection and complex steps.

    Parameters
    ----------
    problem : RainbowNetwork
        One network: its sizes, its penalties > 0, its labels.
    slopes, noises : sequence of float
        a_l and b_l of the covariances a_l W Omega W^T + b_l.

    Returns
    -------
    dict of str to ndarray
        effective_ridge, test_error, train_error, ridge_objective, one per cell, flat.
    """
    cell, penalties = one_network(problem)
    d, n, moment, signal = (cell[name] for name in ("d", "n", "label_second_moment", "signal"))
    widths = [float(width) for width in problem.widths]

    def last(kappa: complex) -> tuple[complex, complex] | None:
        """kappa_L and D_L from kappa_0, or None if there are no such layers."""
        df, before = d / (1 + kappa), d
        for a, b, p in zip(slopes, noises, widths, strict=True):
            seen = a * kappa * (p - df) / before
            if seen.real <= b:
                return None
            df, kappa, before = df + before * b / (a * kappa), seen - b, p
        return (kappa, df) if n > df.real else None

    def penalty(log_kappa: float) -> float:
        found = last(complex(math.exp(log_kappa)))
        return -math.inf if found is None else (found[0] * (n - found[1])).real

    answers = []
    for lam in penalties.tolist():
        low, high = -40.0, 40.0
        for _ in range(100):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if penalty(middle) < lam else (low, middle)
        step = 1e-30
        first = math.exp(high)
        found = last(complex(first, step))
        assert found is not None
        kappa, df = found
        slope = kappa.imag / step
        free = (kappa * (n - df)).imag / step / slope  # n - df2
        unexplained = moment - signal / (1 + first)
        error = n / free * (unexplained - kappa.real * signal / (1 + first) ** 2 / slope)
        shrunk = lam / (n * kappa.real)
        answers.append((kappa.real, error, shrunk**2 * error, shrunk * unexplained))
    return dict(zip(("effective_ridge", *ERRORS), np.array(answers).T, strict=True))
