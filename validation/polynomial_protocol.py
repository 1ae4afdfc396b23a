"""The protocol of `polynomial-spikes`: what is simulated, what is judged, and which wrong theories must be rejected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from asymptotics import PolynomialSpikes
from asymptotics.theories.polynomial_spikes.full_solution import solve_full
from asymptotics.theories.polynomial_spikes.solution import LARGE_RESIDUAL, steps_of
from asymptotics.theories.polynomial_spikes.spectrum import OUTLIERS
from asymptotics.theories.polynomial_spikes.step import Readouts, Step, target_moments

from .networks import Array
from .polynomial_pairs import ERRORS, FIRST_LAYER, STEP, resized, simulate, simulate_isotropic, solved
from .protocols import Protocol, Setting
from .readout import one_network

ACTIVATIONS = {"relu": "relu(x) - 1/sqrt(2*pi)", "tanh": "tanh(1.5*x + 0.8)", "quadratic": "x + 0.5*(x**2 - 1)"}
EXPONENTS = (0.15, 0.3, 0.4, 0.48)
TARGET = (0.2, 0.8, 0.5, 0.25)
FUNCTIONS = (*ERRORS, "overlaps")

# at the smallest size, so that spikes neither enter the bulk nor change places as |b|^2 fluctuates between networks
WELL_OUTSIDE, FIRST_LAYER_OUTSIDE = 4.0, 1.2  # strength over its threshold; singular value of W over its edge
WELL_APART = 1.4  # ratio of neighbouring singular values, for their vectors
HEAVY_TAILED = 1.0  # tau beyond which high moments of the p readouts decide


def _problem(activation: str, exponent: float, target: tuple[float, ...] = TARGET) -> PolynomialSpikes:
    """d, p, n, n0 = 400, 320, 480, 600 and eta = n^exponent."""
    return PolynomialSpikes(activation=ACTIVATIONS[activation], target_coefficients=target, d=400, p=320, n=480, n0=600,
                            eta=480**exponent, lam=(0.15, 0.75), noise_var=0.1)


TRAINED = {f"{activation} {exponent:g}": _problem(activation, exponent)
           for activation in ACTIVATIONS for exponent in EXPONENTS}
CENTRED = {"relu 0.4, centred target": _problem("relu", 0.4, (0.0, *TARGET[1:]))}
WIDE = {"relu wide": TRAINED["relu 0.48"].replace(p=720, n=600, n0=500, eta=23, lam=(0.2, 1.0))}
ISOTROPIC = {f"{name}, isotropic residual": (TRAINED | WIDE)[name]
             for name in ("relu 0.48", "tanh 0.48", "quadratic 0.48", "relu wide")}


def protocol(size: str) -> Protocol:
    """Networks after one step, paired with level "full" at their sizes; the spikes with their formula."""
    counts = {150: 300, 600: 110} if size == "full" else {150: 150, 400: 100}
    settings = [_setting(name, problem, min(counts)) for name, problem in (TRAINED | CENTRED | WIDE).items()]
    settings += [_setting(name, problem, min(counts), residual=False) for name, problem in ISOTROPIC.items()]
    if size == "quick":
        quick = ("relu 0.3", "tanh 0.4", "relu 0.48, isotropic residual")
        settings = [setting for setting in settings if setting.name in quick]
    return Protocol(
        title=f"polynomial-spikes, {size}: networks after one step beside predictions at their sizes (level full)",
        simulate=simulate,
        settings=tuple(settings),
        networks=counts,
        test_points=4000,
        precision={"test_error": 0.01},
        laws=(("quadratic 0.4", "singular_values[0]"), ("quadratic 0.3", "test_error"), ("relu wide", "test_error"),
              ("relu wide", "ridge_objective")) if size == "full" else (),
        law_networks={75: 600, 150: 300, 300: 200, 600: 110} if size == "full" else {},
        remarks=(
            "Settings are an activation and the exponent a of eta = n^a at d, p, n, n0 = 400, 320, 480, 600; networks "
            "of other d have the same ratios, tau, tau_r and s.  Theory is the prediction at d = 400.",
            "A simulated value is theory times simulation/prediction (errors, singular values), or theory + simulation "
            "- prediction (the rest), where the prediction is that for the network's own size and direction; errors "
            "and overlaps are relative to those of the same network before the step.",
            f"Level full is exact for a residual of the step that is isotropic.  That of networks is not: at tau_r > "
            f"{LARGE_RESIDUAL} their errors and overlaps are not judged but shown, and so is the spike of the weights, "
            "whose left vector the residual turns at any step; judged there are networks whose residual was replaced "
            "by an isotropic one of the same size.",
        ),
    )


def _setting(name: str, problem: PolynomialSpikes, smallest: int, residual: bool = True) -> Setting:
    """Networks with the residual of their gradient step, or with an isotropic one."""
    outside = residual and np.max(solved(problem, ["tau_r"])["tau_r"]) > LARGE_RESIDUAL
    spikes, first_layer = _spikes(problem, smallest), _first_layer(problem, smallest)
    judged = (*STEP, *spikes) if residual else (*spikes, *first_layer)
    shown = ((*FUNCTIONS, *first_layer) if outside else first_layer) if residual else ()
    return Setting(
        name=name,
        problem=problem,
        judged=judged if outside else (*FUNCTIONS, *judged),
        shown={"residual not isotropic": shown} if shown else {},
        beside={} if outside else {"finite_rank": problem.replace(level="finite_rank")},
        wrong={} if outside else _wrong(problem),
        simulate=None if residual else simulate_isotropic,
    )


def _spikes(problem: PolynomialSpikes, smallest: int) -> tuple[str, ...]:
    """Entries of the spectrum whose deviations fall like 1/d from the smallest size on."""
    if np.max(np.abs(solved(problem, ["tau"])["tau"])) > HEAVY_TAILED:
        return ()
    small = solved(resized(problem, smallest), ["threshold_ratio", "singular_values"])
    ratios, values = (np.reshape(small[name], (-1, OUTLIERS))[0] for name in ("threshold_ratio", "singular_values"))
    outliers = np.flatnonzero(ratios > WELL_OUTSIDE)
    gaps = np.append(np.inf, values[:-1] / values[1:])
    apart = [j for j in outliers if gaps[j] > WELL_APART and not gaps[j + 1:j + 2] < WELL_APART]
    entries = [f"singular_values[{j}]" for j in outliers]
    return (*entries, *(f"spike_vectors[{j},{degree}]" for j in apart for degree in range(problem.degrees)))


def _first_layer(problem: PolynomialSpikes, smallest: int) -> tuple[str, ...]:
    """The spike of the weights, where it is well outside of their bulk."""
    small = solved(resized(problem, smallest), ["first_layer_singular_value"])
    cell, _ = one_network(problem)
    edge = 1 + math.sqrt(cell["p"] / cell["d"])
    seen = np.min(small["first_layer_singular_value"]) > FIRST_LAYER_OUTSIDE * edge
    return FIRST_LAYER if seen else ()


# ---- wrong theories


def _wrong(problem: PolynomialSpikes) -> dict[str, Mapping[str, Any]]:
    """Errors and overlaps of theories that leave something out."""
    step = step_parameters(problem)
    wrong: dict[str, Mapping[str, Any]] = {
        "eta 10 % off": solved(problem.replace(eta=1.1 * problem.eta), (*FUNCTIONS, "singular_values")),
        "finite_rank": solved(problem.replace(level="finite_rank"), FUNCTIONS),
        "residual dropped": at_step(problem, step | {"tau_r": 0.0}),
        "plain cross-validation": cross_validation(problem, step),
    }
    if step["rescaling"] != 0:
        wrong["row rescaling dropped"] = at_step(problem, step | {"rescaling": 0.0})
    return wrong


@np.errstate(under="ignore")
def step_parameters(problem: PolynomialSpikes) -> dict[str, float]:
    """The fields of `asymptotics.theories.polynomial_spikes.step.Step`, of one network."""
    step, _ = steps_of(problem, target_moments(problem.link, problem.degrees))
    return {name: float(value.item()) for name, value in step._asdict().items()}


@np.errstate(under="ignore")
def at_step(
    problem: PolynomialSpikes, step: Mapping[str, float], noise_var: float | None = None
) -> dict[str, Array]:
    """Level "full" at any parameters of the step, and any label noise in the readout (None: that of the problem).

    Parameters
    ----------
    problem : PolynomialSpikes
        One network.
    step : mapping
        As from `step_parameters`.
    noise_var : float, optional

    Returns
    -------
    dict of str to ndarray
        Errors and overlaps, one per cell, flat.
    """
    cell, lam = one_network(problem)
    d, p, n = (np.full(lam.size, cell[name]) for name in ("d", "p", "n"))
    noise = np.full(lam.size, cell["noise_var"] if noise_var is None else noise_var)
    readouts = Readouts(np.zeros(lam.size, dtype=np.intp), d, p, n, lam, noise)
    steps = Step(**{name: np.array([value]) for name, value in step.items()})
    answer = solve_full(problem.activation, problem.link, steps, readouts, problem.degrees, 1, problem.intercept)
    return {name: answer[name] for name in FUNCTIONS}


def cross_validation(problem: PolynomialSpikes, step: Mapping[str, float]) -> dict[str, Array]:
    """The test error if all samples had the same leverage: train_error/m^2, m = d ridge_objective/d noise_var."""
    errors = at_step(problem, step)
    noisier = at_step(problem, step, one_network(problem)[0]["noise_var"] + 1)
    return {"test_error": errors["train_error"] / (noisier["ridge_objective"] - errors["ridge_objective"]) ** 2}
