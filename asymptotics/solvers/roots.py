"""Safeguarded batched scalar roots."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class RootResult(NamedTuple):
    """Roots, the evaluations used, the last values of the function and whether each cell converged."""

    root: Array
    iterations: NDArray[np.intp]
    residual: Array
    converged: NDArray[np.bool_]


def increasing_root(
    evaluate: Callable[[Array], tuple[Array, Array]],
    low: Array,
    high: Array,
    *,
    tolerance: float = 1e-14,
    max_evaluations: int = 200,
) -> RootResult:
    """Root of an increasing function in every cell: Newton inside a bracket that shrinks, bisection otherwise.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(x) -> (value, derivative)``, elementwise.
    low, high : ndarray
        Brackets with value(low) <= 0 <= value(high); cells where that fails are not converged.
    tolerance : float
        Stop when the step or the bracket is shorter than tolerance * max(1, |x|).
    max_evaluations : int

    Returns
    -------
    RootResult
    """
    low, high = (np.array(bound, dtype=np.float64) for bound in np.broadcast_arrays(low, high))
    at_low, at_high = evaluate(low)[0], evaluate(high)[0]
    bracketed = (at_low <= 0) & (at_high >= 0)
    x = 0.5 * (low + high)
    last = high - low
    converged = np.zeros(x.shape, dtype=bool)
    iterations = np.full(x.shape, 2, dtype=np.intp)
    value = np.full(x.shape, np.nan)
    for _ in range(max_evaluations):
        fresh, derivative = evaluate(x)
        running = bracketed & ~converged
        if not running.any():
            break
        iterations += running
        value = np.where(running, fresh, value)
        low = np.where(running & (value <= 0), x, low)
        high = np.where(running & (value >= 0), x, high)
        usable = derivative > 0
        step = np.where(usable, -value / np.where(usable, derivative, 1.0), np.inf)
        inside = (x + step > low) & (x + step < high) & (np.abs(step) <= 0.5 * np.abs(last))
        middle = 0.5 * (low + high)
        target = np.where(value == 0, x, np.where(inside, x + np.where(inside, step, 0.0), middle))
        last = np.where(running, target - x, last)
        x = np.where(running, target, x)
        close = tolerance * np.maximum(1.0, np.abs(x))
        converged |= running & ((np.abs(last) <= close) | (high - low <= close))
    return RootResult(x, iterations, np.where(converged, value, np.nan), converged)
