"""Small linear systems, one per cell, components first: everything is elementwise over the cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def solve_2x2(matrix: Array, right: Array) -> Array:
    """Solve A y = b for matrices (2, 2, ...) and right-hand sides (2, ...) by elimination with row pivoting."""
    (a, b), (c, d) = matrix
    swap = np.abs(c) > np.abs(a)
    a, c = np.where(swap, c, a), np.where(swap, a, c)
    b, d = np.where(swap, d, b), np.where(swap, b, d)
    e, f = np.where(swap, right[1], right[0]), np.where(swap, right[0], right[1])
    factor = c / a
    second = (f - factor * e) / (d - factor * b)
    return np.stack([(e - b * second) / a, second])


def solve_spd(matrix: Array, right: Array) -> Array:
    """Solve A y = b for symmetric positive definite A (k, k, ...) and b (k, ...) by Cholesky's method, k small.

    Where A is not positive definite to working precision the solution is NaN.
    """
    k = len(matrix)
    factor = np.zeros(np.broadcast_shapes(matrix.shape, (k, k, *right.shape[1:])))
    y = np.array(np.broadcast_to(right, factor.shape[1:]))
    for i in range(k):
        for j in range(i):
            factor[i, j] = (matrix[i, j] - np.sum(factor[i, :j] * factor[j, :j], axis=0)) / factor[j, j]
        pivot = matrix[i, i] - np.sum(factor[i, :i] ** 2, axis=0)
        factor[i, i] = np.sqrt(np.where(pivot > 0, pivot, np.nan))
        y[i] = (y[i] - np.sum(factor[i, :i] * y[:i], axis=0)) / factor[i, i]
    for i in reversed(range(k)):
        y[i] = (y[i] - np.sum(factor[i + 1:, i] * y[i + 1:], axis=0)) / factor[i, i]
    return y
