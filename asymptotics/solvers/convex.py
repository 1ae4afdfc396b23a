"""Damped Newton for many convex problems in many unknowns at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

Evaluate = Callable[[Array, Index], tuple[Array, Array]]


class ConvexResult(NamedTuple):
    """Where every problem stopped.

    Attributes
    ----------
    point : ndarray (C, K)
    converged : ndarray of bool (C,)
        Whether the last step was shorter than the tolerance.
    """

    point: Array
    converged: NDArray[np.bool_]


def minimise_convex(
    evaluate: Evaluate,
    start: Array,
    *,
    tolerance: float = 1e-9,
    longest_step: float = 3.0,
    max_evaluations: int = 100,
) -> ConvexResult:
    """Minima of C convex functions of K unknowns.

    The line search needs no values: along a step s it looks at the slope gradient . s, negative before the minimum
    along the step, and halves the step while the slope exceeds 0.9 of its size at the start: an overshoot.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(point, index) -> (gradient, step)``: gradients and Newton steps (c, K) at points (c, K) of the
        problems `index`.
    start : ndarray (C, K)
    tolerance : float
        Stop when the largest component of the step is shorter; that step is still made, which squares it.
    longest_step : float
        Cap on the largest component of a step.
    max_evaluations : int
        Problems that need more are returned as not converged.

    Returns
    -------
    ConvexResult
    """
    count = len(start)
    result = start.copy()
    converged = np.zeros(count, dtype=bool)
    index = np.arange(count)
    point, step = start.copy(), np.zeros_like(start)
    slope, fraction = np.full(count, np.inf), np.ones(count)
    for _ in range(max_evaluations):
        trial = point + fraction[:, None] * step
        gradient, fresh = evaluate(trial, index)
        finite: NDArray[np.bool_] = np.all(np.isfinite(gradient) & np.isfinite(fresh), axis=1)
        gradient, fresh = np.where(finite[:, None], gradient, 0.0), np.where(finite[:, None], fresh, 0.0)
        size = np.max(np.abs(step), axis=1) * fraction
        # steps this short are in the quadratic regime, where the slope is rounding noise
        accepted = finite & ((np.sum(gradient * step, axis=1) <= 0.9 * slope) | (size < 1e-6))
        length = np.max(np.abs(fresh), axis=1)
        fresh *= (longest_step / np.maximum(length, longest_step))[:, None]
        point = np.where(accepted[:, None], trial, point)
        step = np.where(accepted[:, None], fresh, step)
        slope = np.where(accepted, np.abs(np.sum(gradient * fresh, axis=1)), slope)
        fraction = np.where(accepted, 1.0, 0.5 * fraction)
        done = accepted & (length < tolerance)
        result[index] = point + np.where(done[:, None], step, 0.0)
        converged[index] = done
        running = ~done & (fraction > 1e-9)
        if not running.any():
            break
        if not running.all():
            index, point, step = index[running], point[running], step[running]
            slope, fraction = slope[running], fraction[running]
    return ConvexResult(result, converged)
