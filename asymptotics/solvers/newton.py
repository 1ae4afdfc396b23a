"""Damped Newton for many small convex problems at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Evaluate = Callable[[Array, NDArray[np.intp]], tuple[Array, Array, Array]]


class NewtonResult(NamedTuple):
    """Where every cell stopped.

    Attributes
    ----------
    point : ndarray (2, R, S)
    iterations : ndarray of int (R, S)
        Evaluations used.
    converged : ndarray of bool (R, S)
        Whether the last step was shorter than the tolerance.
    """

    point: Array
    iterations: NDArray[np.intp]
    converged: NDArray[np.bool_]


def newton(
    evaluate: Evaluate,
    start: Array,
    *,
    tolerance: float = 1e-8,
    longest_step: float = 4.0,
    max_evaluations: int = 200,
    bound: float = 690.0,
) -> NewtonResult:
    """Find the stationary point of a convex potential in two unknowns for R x S cells.

    The line search needs no values of the potential: along a step s it looks at the slope D = gradient . s, which
    is negative before the minimum along the step, and halves the step while D > 0.9 |D at its start|: an overshoot.
    Every cell has its own step and stops on its own; rows that have stopped leave the batch.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(point, rows) -> (equations, jacobian, gradient)`` for points (2, r, S) of the rows `rows`; shapes
        (2, r, S), (2, 2, r, S), (2, r, S).  The equations may be any well-scaled combination of the gradient.
    start : ndarray (2, R, S)
    tolerance : float
        Stop when the step is shorter (in the largest component); that step is still made, which squares it.
    longest_step : float
        Cap on the step.
    max_evaluations : int
        Cells that need more are returned as not converged.
    bound : float
        Points are kept in [-bound, bound] (they are logarithms).

    Returns
    -------
    NewtonResult
    """
    result = start.copy()
    shape = start.shape[1:]
    evaluations = np.zeros(shape, dtype=np.intp)
    converged = np.zeros(shape, dtype=bool)

    rows = np.arange(shape[0])
    point = start
    step = np.zeros_like(point)
    size = np.zeros(shape)
    slope = np.full(shape, np.inf)
    fraction = np.ones(shape)
    running = np.ones(shape, dtype=bool)
    for _ in range(max_evaluations):
        trial = np.minimum(np.maximum(point + fraction * step, -bound), bound)
        equations, jacobian, gradient = evaluate(trial, rows)
        evaluations[rows] += running
        finite = np.isfinite(equations) & np.isfinite(gradient)
        finite = finite[0] & finite[1]
        trial_slope = _dot(np.where(finite, gradient, 0.0), step)
        # steps this short are in the quadratic regime, where the slope is rounding noise
        short = fraction * size < 1e-6
        accepted = running & finite & ((trial_slope <= 0.9 * slope) | short)
        fraction = np.where(accepted, 1.0, 0.5 * fraction)
        running &= fraction > 1e-9

        point = np.where(accepted, trial, point)
        fresh, length = _newton_step(equations, jacobian, accepted, longest_step)
        step, size = np.where(accepted, fresh, step), np.where(accepted, length, size)
        slope = np.where(accepted, np.abs(_dot(np.where(accepted, gradient, 0.0), step)), slope)

        done = accepted & (size < tolerance)
        point = np.where(done, point + step, point)
        converged[rows] |= done
        running &= ~done
        stopped = ~running.any(axis=1)
        if stopped.all():
            break
        if np.count_nonzero(stopped) > len(rows) // 4:
            result[:, rows] = point
            keep = ~stopped
            rows = rows[keep]
            point, step = point[:, keep], step[:, keep]
            size, slope, fraction, running = size[keep], slope[keep], fraction[keep], running[keep]
    result[:, rows] = point
    return NewtonResult(result, evaluations, converged)


def _newton_step(
    equations: Array, jacobian: Array, wanted: NDArray[np.bool_], longest: float
) -> tuple[Array, Array]:
    """Minus the solution of the linear equations by Cramer's rule, capped, and its largest component.

    Zero where it is not wanted.
    """
    (a, b), (c, d) = jacobian
    e, f = equations
    determinant = a * d - b * c
    usable = wanted & (determinant != 0)
    inverse = np.where(usable, -1.0, 0.0) / np.where(usable, determinant, 1.0)
    step = np.empty_like(equations)
    step[0] = (d * e - b * f) * inverse
    step[1] = (a * f - c * e) * inverse
    if not usable.all():  # where the matrix is singular, downhill
        step = np.where(usable, step, np.where(wanted, -equations, 0.0))
    size = np.maximum(np.abs(step[0]), np.abs(step[1]))
    step *= longest / np.maximum(size, longest)
    return step, np.minimum(size, longest)


def _dot(one: Array, two: Array) -> Array:
    """Scalar products over the components."""
    product = one * two
    return product[0] + product[1]
