"""Simulators of `feature-ridge`, `rainbow-network` and `feature-classification`: actual samples, readouts, errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from asymptotics import ParameterError, nonlinearity

from . import networks, structured_networks
from .networks import Array
from .readout import TEST_POINTS, checked, one_network, shaped
from .structured_networks import DeepNetwork

RIDGE = ("test_error", "train_error", "ridge_objective", "variance", "effective_ridge", "df1", "weight_norm")
CLASSIFICATION = ("m", "q", "classification_error", "train_loss")

_CENTRED = 1e-6  # mean of an activation beside its standard deviation


class Fitted(NamedTuple):
    """Ridge readouts of one training set: what is seen without fresh points, one value a penalty."""

    train_error: Array
    effective_ridge: Array
    weight_norm: Array


# ---- ridge on Gaussian features


def simulate_ridge(problem: Any, sizes: Mapping[str, int], seed: int | np.random.SeedSequence) -> dict[str, Any]:
    """Ridge on two independent training sets of Gaussian features of the spectrum of the problem.

    phi_k = sqrt(s_k) g_k, y = beta . phi + noise; the errors on fresh points are known, and averaged over the two;
    their product gives the error of the mean predictor, and so bias and variance.

    Parameters
    ----------
    problem : FeatureRidge
        One cell, or cells that differ in `lam` only: their readouts share the samples.
    sizes : mapping
        Empty: the sizes are those of the problem.  ("test" has no effect: nothing is measured on fresh points.)
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    dict of str to float or ndarray
        `RIDGE` and bias, in the shape of the cells.

    Raises
    ------
    ParameterError
        If another parameter than `lam` varies, a size is not allowed, or n or a multiplicity is not a whole number.
    """
    cell, lam = one_network(problem)
    require_no_dimension(sizes)
    n, features = whole_number("n", cell["n"]), gaussian_features(problem)
    beta, errors, fits = features.signal / features.deviations**2, [], []
    for rng in networks.generators(seed, 2):
        F = features.sample(n, rng)
        y = F @ beta + math.sqrt(cell["residual_variance"]) * rng.standard_normal(n)
        fit = structured_networks.ridge(F, y, lam)
        errors.append((fit.readouts - beta) * features.deviations)
        fits.append(_fitted(F, y, fit))
    bias = np.sum(errors[0] * errors[1], axis=1)
    fresh = 0.5 * sum(np.sum(error**2, axis=1) for error in errors)
    measured = _ridge_observables(n, lam, fits, fresh + cell["residual_variance"], fresh - bias)
    return shaped(problem, measured | {"bias": bias})


class GaussianFeatures(NamedTuple):
    """phi_k = sqrt(s_k) g_k, and E[label phi_k], each of length p."""

    deviations: Array
    signal: Array

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Features of n samples."""
        return self.deviations * rng.standard_normal((n, self.deviations.size))


def gaussian_features(problem: Any) -> GaussianFeatures:
    """The features of a listed spectrum, every eigenvalue as often as it occurs.

    Raises
    ------
    ParameterError
        If there are infinitely many, or a multiplicity is not a whole number.
    """
    if problem.eigenvalues is None:
        raise ParameterError("eigenvalues", "must be given to be simulated")
    s, c = (np.asarray(values, dtype=np.float64) for values in (problem.eigenvalues, problem.target_weights))
    given = np.ones(s.size) if problem.multiplicities is None else problem.multiplicities
    counts = np.array([whole_number("multiplicities", count) for count in np.ravel(given).tolist()])
    return GaussianFeatures(np.sqrt(np.repeat(s, counts)), np.sqrt(np.repeat(c / counts, counts)))


def _fitted(F: Array, y: Array, fit: structured_networks.Ridge) -> Fitted:
    residuals = y - fit.readouts @ F.T - fit.intercepts[:, None]
    return Fitted(np.mean(residuals**2, axis=1), fit.effective_ridge, np.sum(fit.readouts**2, axis=1))


def _ridge_observables(n: int, lam: Array, fits: list[Fitted], test_error: Array, variance: Array) -> dict[str, Array]:
    """Means over training sets."""
    train, kappa, norm = (np.mean(values, axis=0) for values in zip(*fits, strict=True))
    used = [n - np.divide(lam, fit.effective_ridge, out=np.full(lam.size, np.nan), where=fit.effective_ridge > 0)
            for fit in fits]
    return {
        "test_error": test_error, "train_error": train, "ridge_objective": train + lam * norm / n,
        "variance": variance, "effective_ridge": kappa, "df1": np.mean(used, axis=0), "weight_norm": norm,
    }


# ---- ridge on deep networks


def simulate_rainbow(problem: Any, sizes: Mapping[str, int], seed: int | np.random.SeedSequence) -> dict[str, Any]:
    """A deep random network, and ridge on its last layer with two independent training sets.

    Labels are <theta, x> + noise, with a random theta of squared norm `signal` (or that of `input_target_weights`) and
    the noise that is left of `label_second_moment`.  A network whose last activation has a mean has an intercept beside
    its readout: its features are centred.

    Parameters
    ----------
    problem : RainbowNetwork
        One cell, or cells that differ in `lam` only: their readouts share network and samples.
    sizes : mapping
        d, widths and n are those of the problem; a "d" must agree.  Optionally "test", the number of fresh points.
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    dict of str to float or ndarray
        `RIDGE`, in the shape of the cells.

    Raises
    ------
    ParameterError
        If another parameter than `lam` varies, a size is not allowed, or one of the problem is not a whole number.
    """
    trained = rainbow(problem, sizes, seed, not is_centred(problem))
    return shaped(problem, trained.measured)


class Rainbow(NamedTuple):
    """A deep network, the direction of its target with its norm, the noise of its labels, and what was measured."""

    network: DeepNetwork
    target: Array
    noise_var: float
    measured: dict[str, Array]


def rainbow(
    problem: Any, sizes: Mapping[str, int], seed: int | np.random.SeedSequence, intercept: bool = False
) -> Rainbow:
    """See `simulate_rainbow`; values are flat."""
    cell, lam = one_network(problem)
    d, widths, n, points = sizes_of(problem, cell, sizes)
    weights_rng, *data_rngs, test_rng = networks.generators(seed, 4)
    deviations, target = _inputs(problem, d, cell["signal"], weights_rng)
    white = deviations * target
    noise_var = max(cell["label_second_moment"] - float(white @ white), 0.0)
    network = structured_networks.random_network(d, widths, problem.activations, weights_rng)
    fits, readouts, intercepts = [], [], []
    for rng in data_rngs:
        Z, y = networks.single_index_data(n, white, "linear", noise_var, rng)
        F = network.features(deviations * Z)
        fit = structured_networks.ridge(F, y, lam, intercept)
        fits.append(_fitted(F, y, fit))
        readouts.append(fit.readouts)
        intercepts.append(fit.intercepts)
    Z = test_rng.standard_normal((points, d))
    outputs = network.outputs(np.array(readouts), deviations * Z) + np.array(intercepts)[..., None]
    first, second = Z @ white - outputs
    fresh = 0.5 * (np.mean(first**2, axis=1) + np.mean(second**2, axis=1))
    variance = 0.5 * np.mean((first - second) ** 2, axis=1)
    return Rainbow(network, target, noise_var, _ridge_observables(n, lam, fits, fresh + noise_var, variance))


def _inputs(problem: Any, d: int, signal: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Standard deviations of the inputs, and theta: of a random direction if they are all 1."""
    if problem.target_layer != "inputs":
        raise ParameterError("target_layer", f"must be \"inputs\" to be simulated, got {problem.target_layer!r}")
    s, c, counts = (getattr(problem, f"input_{name}") for name in ("eigenvalues", "target_weights", "multiplicities"))
    if s is None:
        return np.ones(d), math.sqrt(signal) * networks.unit_vector(d, rng)
    counts = np.full(s.size, d / s.size) if counts is None else counts
    often = [whole_number("input_multiplicities", count) for count in counts.tolist()]
    with np.errstate(divide="ignore", invalid="ignore"):
        theta = np.where(s > 0, np.sqrt(signal * c / often) / s, 0.0)
    return np.sqrt(np.repeat(s, often)), np.repeat(theta, often)


def is_centred(problem: Any) -> bool:
    """Whether the last activation has no mean at the variance of its inputs."""
    s, counts = (getattr(problem, f"input_{name}", None) for name in ("eigenvalues", "multiplicities"))
    variance, mean = 1.0 if s is None else float(np.average(s, weights=counts)), 0.0
    for activation in problem.activations:
        moments = nonlinearity(activation).moments(0.0, variance)
        variance, mean = float(moments.mu0**2 + moments.mu1**2 * variance + moments.mu2_sq), float(moments.mu0)
    return abs(mean) <= _CENTRED * math.sqrt(variance)


# ---- classification


def simulate_classification(
    problem: Any, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """A convex classifier on Gaussian features of the spectrum of the problem, or on a deep random network.

    The teacher's output nu is Gaussian of variance `rho`.  On Gaussian features m, q and the error follow from
    E[nu phi]; on a network nu = <theta, x>, |theta|^2 = rho, and they are measured on fresh points.  Features of a
    network whose last activation has a mean are centred, by their mean on the fresh points.

    Parameters
    ----------
    problem : FeatureClassification
        One cell, or cells that differ in `lam` only: their readouts share network and samples.
    sizes : mapping
        Sizes are those of the problem; a "d" must agree with that of a network.  Optionally "test", the number of fresh
        points.
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    dict of str to float or ndarray
        `CLASSIFICATION`, and of a network noisy_label_error, in the shape of the cells.

    Raises
    ------
    ParameterError
        If another parameter than `lam` varies, a size is not allowed, or one of the problem is not a whole number.
    ArithmeticError
        If an objective was not minimised.
    """
    measure = _on_gaussian_features if problem.activations is None else _on_network
    return shaped(problem, measure(problem, sizes, seed))


def _on_gaussian_features(
    problem: Any, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Array]:
    cell, lam = one_network(problem)
    require_no_dimension(sizes)
    n, features = whole_number("n", cell["n"]), gaussian_features(problem)
    (rng,) = networks.generators(seed, 1)
    F = features.sample(n, rng)
    theta = features.signal / features.deviations**2
    rest = cell["rho"] - float(theta @ features.signal)
    nu = F @ theta + math.sqrt(max(rest, 0.0)) * rng.standard_normal(n)
    readouts, loss = _trained(problem, lam, F, nu, rng)
    m, q = readouts @ features.signal, np.sum((readouts * features.deviations) ** 2, axis=1)
    error = np.arccos(np.clip(m / np.sqrt(cell["rho"] * q), -1, 1)) / math.pi
    return {"m": m, "q": q, "classification_error": error, "train_loss": loss}


def _on_network(problem: Any, sizes: Mapping[str, int], seed: int | np.random.SeedSequence) -> dict[str, Array]:
    cell, lam = one_network(problem)
    d, widths, n, points = sizes_of(problem, cell, sizes)
    weights_rng, data_rng, test_rng = networks.generators(seed, 3)
    target = networks.unit_vector(d, weights_rng)
    network = structured_networks.random_network(d, widths, problem.activations, weights_rng)
    X, nu = networks.single_index_data(n, target, "linear", 0.0, data_rng)
    fresh, fresh_nu = networks.single_index_data(points, target, "linear", 0.0, test_rng)
    nu, fresh_nu = math.sqrt(cell["rho"]) * nu, math.sqrt(cell["rho"]) * fresh_nu
    means = np.zeros(widths[-1]) if is_centred(problem) else network.means(fresh)
    readouts, loss = _trained(problem, lam, network.features(X) - means, nu, data_rng)
    outputs = network.outputs(readouts, fresh) - (readouts @ means)[:, None]
    positive = structured_networks.probability(problem.labels, fresh_nu)
    return {
        "m": outputs @ fresh_nu / points, "q": np.mean(outputs**2, axis=1), "train_loss": loss,
        "classification_error": np.mean(fresh_nu * outputs < 0, axis=1),
        "noisy_label_error": np.mean(np.where(outputs > 0, 1 - positive, positive), axis=1),
    }


def _trained(problem: Any, lam: Array, F: Array, nu: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Readouts and mean losses, one for each penalty."""
    y = structured_networks.labels(problem.labels, nu, rng)
    readouts = np.array([structured_networks.train(problem.loss, F, y, penalty) for penalty in lam.tolist()])
    return readouts, np.mean(structured_networks.losses(problem.loss, y * (readouts @ F.T)), axis=1)


# ---- sizes


def sizes_of(problem: Any, cell: Mapping[str, float], sizes: Mapping[str, int]) -> tuple[int, list[int], int, int]:
    """d, widths, n of a network, and the number of fresh points."""
    given = checked(sizes)
    d = whole_number("d", cell["d"])
    if given.get("d", d) != d:
        raise ParameterError("d", f"must be that of the problem, {d}, got {given['d']}")
    widths = [whole_number("widths", width) for width in np.ravel(problem.widths).tolist()]
    return d, widths, whole_number("n", cell["n"]), given.get("test", TEST_POINTS)


def require_no_dimension(sizes: Mapping[str, int]) -> None:
    """Raise `ParameterError` for "d": features of a spectrum have no input dimension."""
    if "d" in checked(sizes):
        raise ParameterError("d", "is not a size of features of a given spectrum: their number is that of eigenvalues")


def whole_number(name: str, value: float) -> int:
    """A size of the problem as an integer; `ParameterError` if it is none."""
    if value < 1 or value != round(value):
        raise ParameterError(name, f"must be a whole number >= 1 to be simulated, got {value:.6g}")
    return round(value)


