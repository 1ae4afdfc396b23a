"""From a problem to its observables: the steps of its cells, the level that describes them, singular cells."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import AccuracyWarning
from .finite_rank import solve_finite_rank
from .full_solution import solve_full
from .limit import limiting_step, solve_limit
from .spectrum import OUTLIERS, first_layer_spike, solve_edge, solve_spectrum
from .step import Readouts, Step, TargetMoments, direction_norm_squared, step_of, target_moments

if TYPE_CHECKING:
    from .problem import PolynomialSpikes

Array = NDArray[np.float64]
Index = NDArray[np.intp]

DEGREE = 36  # of the teacher that spikes can carry, with refinement
RIDGELESS = 1e-13  # stands for no ridge where the resolvent has no limit, in units of E sigma^2
LARGE_STEP, LARGE_RESIDUAL = 0.05, 0.35
ERRORS = ("test_error", "generalization_error", "ridge_objective", "train_error", "overlaps")
DIVERGENT, VANISHING = ("test_error", "generalization_error"), ("ridge_objective", "train_error")
SPECTRUM = ("singular_values", "threshold_ratio", "spike_vectors", "bulk_edge")
FIRST_LAYER = ("first_layer_singular_value", "first_layer_alignment", "first_layer_readout_alignment")
STEP_PARAMETERS = ("eta", "d", "p", "n0", "noise_var", "direction_norm_squared", "direction_alignment")


def solve(problem: PolynomialSpikes, observables: Sequence[str], refinement: int) -> dict[str, Any]:
    """Observables of all cells, "converged" and "residual"."""
    target = target_moments(problem.link, DEGREE)
    asked = {"overlaps" if name == "learned_fraction" else name for name in observables}
    answer = (_limit if problem.level == "limit" else _at_a_step)(problem, target, asked, refinement)
    if "overlaps" in answer:
        answer["learned_fraction"] = _fractions(answer["overlaps"], target)
    wanted = {*observables, "converged", "residual"}
    return {name: values.reshape(problem.shape + values.shape[1:]) for name, values in answer.items() if name in wanted}


def steps_of(problem: PolynomialSpikes, target: TargetMoments) -> tuple[Step, Index]:
    """The different steps (T,) of a problem that is not at the limit, and their positions.

    The positions are over the axes of the cells, of length 1 where the step is the same.
    """
    values, position = _distinct(problem, STEP_PARAMETERS)
    d, n0, noise_var = values["d"], values["n0"], values["noise_var"]
    norm_squared = values.get("direction_norm_squared")
    if norm_squared is None:
        norm_squared = direction_norm_squared(target, d, n0, noise_var)
    steps = step_of(problem.activation, target, d, values["p"], n0, values["eta"], noise_var, norm_squared,
                    values.get("direction_alignment"))
    return steps, position


def _limit(problem: PolynomialSpikes, target: TargetMoments, asked: set[str], refinement: int) -> dict[str, Any]:
    """Level "limit", which has no quadrature to refine."""
    values, position = _distinct(problem, ("d", "n0", "noise_var", *STEP_PARAMETERS[-2:]))
    steps = limiting_step(
        problem.activation, target, values["n0"] / values["d"], values["noise_var"],
        values.get("direction_norm_squared"), values.get("direction_alignment"),
    )
    readouts = _readouts(problem, position)
    errors = _errors(asked)
    answer = _nothing_to_solve(problem)
    if errors:
        answer = solve_limit(
            problem.activation, target, steps, _flat(problem, "step_exponent"), readouts, errors, problem.intercept,
            problem.degrees,
        )
    unknown = np.full(problem.cells.size, np.nan)
    answer |= dict.fromkeys(("tau", "tau_r", "row_rescaling", *FIRST_LAYER), unknown)
    if asked.intersection(SPECTRUM):
        none = np.full((problem.cells.size, OUTLIERS, problem.degrees), np.nan)
        answer |= {"singular_values": none[..., 0], "threshold_ratio": none[..., 0], "spike_vectors": none,
                   "bulk_edge": solve_edge(problem.activation, readouts)}
    return answer | {"alignment": steps.alignment[readouts.step]}


def _at_a_step(problem: PolynomialSpikes, target: TargetMoments, asked: set[str], refinement: int) -> dict[str, Any]:
    """Levels "full" and "finite_rank"."""
    steps, position = steps_of(problem, target)
    readouts = _readouts(problem, position)
    errors = _errors(asked)
    answer = _nothing_to_solve(problem)
    if errors:
        _warn_of_large_steps(problem.level, steps, readouts.step)
    if errors and problem.level == "full":
        answer = _full_with_limits(problem, steps, readouts, refinement)
    elif errors:
        answer = solve_finite_rank(
            problem.activation, target, steps, readouts, errors, refinement, problem.intercept, problem.degrees
        )
    if asked.intersection(SPECTRUM):
        answer |= _spectrum(problem, steps, readouts, asked, answer["converged"], refinement)
    own = steps.at(readouts.step)
    if asked.intersection(FIRST_LAYER):
        answer |= _first_layer(own, readouts)
    return answer | {"alignment": own.alignment, "tau": own.tau, "tau_r": own.tau_r, "row_rescaling": own.rescaling}


def _errors(asked: set[str]) -> tuple[str, ...]:
    return tuple(name for name in ERRORS if name in asked)


def _nothing_to_solve(problem: PolynomialSpikes) -> dict[str, Any]:
    """Where only properties of the step are asked for."""
    return {"converged": np.ones(problem.cells.size, dtype=bool), "residual": np.zeros(problem.cells.size)}


def _full_with_limits(problem: PolynomialSpikes, steps: Step, readouts: Readouts, refinement: int) -> dict[str, Array]:
    """Level "full", with the limit lam -> 0+ where lam = 0."""
    def solved(cells: Readouts) -> dict[str, Array]:
        return solve_full(problem.activation, problem.link, steps, cells, problem.degrees, refinement,
                          problem.intercept)

    bare = (readouts.lam == 0) & (readouts.n >= readouts.p)
    tiny = RIDGELESS * problem.activation.second_moment()
    answer = solved(readouts._replace(lam=np.where(bare, tiny, readouts.lam)))
    pinned = bare & (readouts.n == readouts.p)
    if np.any(pinned):
        # everything there is a series in sqrt(lam)
        part = readouts.at(pinned)
        farther = solved(part._replace(lam=np.full(part.lam.size, 4 * tiny)))
        answer["overlaps"][pinned] = 2 * answer["overlaps"][pinned] - farther["overlaps"]
        for names, value in ((DIVERGENT, np.inf), (VANISHING, 0.0)):
            for name in names:
                answer[name][pinned] = value
        _warn(pinned, "have n = p and no ridge, where the test error is infinite")
    return answer


def _spectrum(
    problem: PolynomialSpikes, steps: Step, readouts: Readouts, asked: set[str], converged: Any, refinement: int
) -> dict[str, Any]:
    """Outliers and bulk edge of the features, and which cells converged in this too."""
    degrees = problem.degrees if "spike_vectors" in asked else 0
    solved = solve_spectrum(problem.activation, steps, readouts, degrees, refinement)
    solved["threshold_ratio"] = solved.pop("spike_margins")
    solved["converged"] = np.logical_and(solved["converged"], converged)
    return {name: array for name, array in solved.items() if name != "residual"}


def _first_layer(steps: Step, readouts: Readouts) -> dict[str, Array]:
    """The spike of the weights, with the step of each cell."""
    spike = first_layer_spike(steps.tau * np.sqrt(readouts.p), steps.alignment, readouts.p / readouts.d)
    roots = spike.singular_value, np.sqrt(spike.teacher) * np.sign(steps.alignment), np.sqrt(spike.left)
    return dict(zip(FIRST_LAYER, roots, strict=True))


def _fractions(overlaps: Array, target: TargetMoments) -> Array:
    """Overlaps over the teacher's coefficients, NaN where these are zero."""
    own = np.zeros(overlaps.shape[1])
    own[:target.coefficients.size] = target.coefficients[:own.size]
    present = own != 0
    return np.where(present, overlaps / np.where(present, own, 1.0), np.nan)


def _warn_of_large_steps(level: str, steps: Step, index: Index) -> None:
    if level == "finite_rank":
        _warn((steps.tau**2 > LARGE_STEP)[index], f"have tau^2 > {LARGE_STEP}, where level finite_rank is off by a "
              "few per cent and more (it is correct to order tau^2); use level full")
    else:
        _warn((steps.tau_r > LARGE_RESIDUAL)[index], f"have tau_r > {LARGE_RESIDUAL}, where the test error of trained "
              "networks is up to a few per cent higher (the residual of the step is not isotropic)")


def _warn(where: NDArray[np.bool_], words: str) -> None:
    count = np.count_nonzero(where)
    if count:
        warnings.warn(f"{count} of {where.size} cells {words}", AccuracyWarning, stacklevel=8)


# ---- cells


def _flat(problem: PolynomialSpikes, name: str) -> Array:
    """A cell parameter in all cells, as floats."""
    return np.broadcast_to(problem.cells.arrays[name], problem.shape).reshape(-1).astype(np.float64)


def _distinct(problem: PolynomialSpikes, names: Iterable[str]) -> tuple[dict[str, Array], Index]:
    """Values of parameters over the axes along which any of them varies, flat, and their positions along these axes."""
    known = tuple(name for name in names if name in problem.cells.arrays)
    shape, arrays = problem.cells.compact(known)
    values = {name: array.reshape(-1).astype(np.float64) for name, array in zip(known, arrays, strict=True)}
    return values, np.arange(math.prod(shape)).reshape(shape)


def _readouts(problem: PolynomialSpikes, position: Index) -> Readouts:
    """All cells, with the positions of their steps."""
    step = np.broadcast_to(position, problem.shape).reshape(-1)
    return Readouts(step, *(_flat(problem, name) for name in ("d", "p", "n", "lam", "noise_var")))
