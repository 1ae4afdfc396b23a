"""Newton's method for several readout levels: geodesics of positive definite matrices, a batch of cells at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...solvers import solve_spd
from .group_equations import GroupEquations, GroupPoint, packing

Array = NDArray[np.float64]
Index = NDArray[np.intp]

TOLERANCE = 1e-8  # length of a step after which the next one would be rounding
LONGEST_STEP = 4.0
MAX_EVALUATIONS = 200
HIGHEST = 300.0  # of log rho: further out there is no solution (no ridge, alpha < beta)


class GroupNewtonResult(NamedTuple):
    """Where every cell (T, C) stopped, the evaluations used, and whether its last step was short enough."""

    point: GroupPoint
    evaluations: NDArray[np.intp]
    converged: NDArray[np.bool_]


def group_newton(
    evaluate: Callable[[GroupPoint, Index], GroupEquations], start: GroupPoint, axis: int
) -> GroupNewtonResult:
    """Minimum of a geodesically convex potential for T x C cells; section 13 of docs/theories/giant_step.md.

    The line search looks at the slope of the potential along the geodesic, which in the moving frame is
    gradient . step: a step is halved while its slope is positive and above 0.9 of the initial one, an overshoot.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(point, rows)`` at the tables (axis -2) or cells (axis -1) `rows`.
    start : GroupPoint
    axis : int
        Along which rows that have stopped leave the batch.
    """
    mult = packing(len(start.log_rho)).multiplicity.reshape(-1, 1, 1)
    shape = start.log_rho.shape[1:]
    evaluations, converged = np.zeros(shape, dtype=np.intp), np.zeros(shape, dtype=bool)
    result = GroupPoint(start.factor.copy(), start.log_rho.copy())

    rows = np.arange(shape[axis])
    point = trial = start
    step = np.zeros((len(mult) + len(start.log_rho), *shape))
    size, slope = np.zeros(shape), np.full(shape, np.inf)
    fraction, running = np.ones(shape), np.ones(shape, dtype=bool)
    for _ in range(MAX_EVALUATIONS):
        gradient, hessian = evaluate(trial, rows)
        evaluations[_at(rows, axis)] += running
        finite = np.all(np.isfinite(gradient), axis=0)
        gradient = np.where(finite, gradient, 0.0)
        short = fraction * size < 1e-6  # the quadratic regime, where the slope is rounding noise
        accepted = running & finite & ((np.sum(gradient * step, axis=0) <= 0.9 * slope) | short)
        fraction = np.where(accepted, 1.0, 0.5 * fraction)
        running &= fraction > 1e-9

        point = _where(accepted, trial, point)
        fresh, length = _newton_step(gradient, hessian, mult)
        step, size = np.where(accepted, fresh, step), np.where(accepted, length, size)
        slope = np.where(accepted, np.abs(np.sum(gradient * step, axis=0)), slope)
        done = accepted & (size < TOLERANCE)
        trial = point.moved(step, np.where(running, fraction, 0.0))
        point = _where(done, trial, point)  # the step just found squares the error
        converged[_at(rows, axis)] |= done
        running &= ~done & np.all(trial.log_rho < HIGHEST, axis=0)

        stopped = ~np.any(running, axis=-2 if axis == -1 else -1)
        if stopped.all():
            break
        if np.count_nonzero(stopped) > len(rows) // 4:
            _store(result, point, rows, axis)
            keep = np.flatnonzero(~stopped)
            rows = rows[keep]
            point, trial = point.take(keep, axis), trial.take(keep, axis)
            step, size, slope, fraction, running = (
                np.take(array, keep, axis) for array in (step, size, slope, fraction, running)
            )
    _store(result, point, rows, axis)
    return GroupNewtonResult(result, evaluations, converged)


def _newton_step(gradient: Array, hessian: Array, mult: Array) -> tuple[Array, Array]:
    """Minus H^-1 g, capped, and its length: the larger of |E| (Frobenius) and the largest |d log rho_g|.

    Where rounding leaves H without a Cholesky factor, downhill.
    """
    step = -solve_spd(hessian, gradient)
    step = np.where(np.all(np.isfinite(step), axis=0), step, -gradient)
    bulk = np.sqrt(np.sum(mult * step[: len(mult)] ** 2, axis=0))
    size = np.maximum(bulk, np.max(np.abs(step[len(mult):]), axis=0))
    return step * (LONGEST_STEP / np.maximum(size, LONGEST_STEP)), np.minimum(size, LONGEST_STEP)


def _where(condition: NDArray[np.bool_], one: GroupPoint, other: GroupPoint) -> GroupPoint:
    return GroupPoint(*(np.where(condition, a, b) for a, b in zip(one, other, strict=True)))


def _at(rows: Index, axis: int) -> tuple[Any, ...]:
    """Where some tables (axis -2) or cells (axis -1) sit in an array (..., T, C)."""
    return (..., rows) if axis == -1 else (..., rows, slice(None))


def _store(result: GroupPoint, point: GroupPoint, rows: Index, axis: int) -> None:
    for whole, part in zip(result, point, strict=True):
        whole[_at(rows, axis)] = part
