"""Small linear systems, one per cell, components first: everything is elementwise over the cells."""

from __future__ import annotations

from collections.abc import Sequence

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
    factor: list[list[Array]] = []
    y: list[Array] = []
    for i in range(k):
        row: list[Array] = []
        for j in range(i):
            row.append((matrix[i, j] - _products(row[:j], factor[j][:j])) / factor[j][j])
        pivot = matrix[i, i] - _products(row, row)
        row.append(np.sqrt(np.where(pivot > 0, pivot, np.nan)))
        factor.append(row)
        y.append((right[i] - _products(row[:i], y)) / row[i])
    for i in reversed(range(k)):
        y[i] = (y[i] - _products([row[i] for row in factor[i + 1:]], y[i + 1:])) / factor[i][i]
    return np.array(y)


def _products(one: Sequence[Array], two: Sequence[Array]) -> Array | float:
    """Sum of products of components, none of which may be left."""
    return sum((a * b for a, b in zip(one, two, strict=True)), 0.0)


def cholesky(matrix: Array) -> Array:
    """Lower triangles L (k, k, ...), L L^T = A for positive semidefinite A; zero columns where A is singular."""
    k = len(matrix)
    lower = np.zeros_like(matrix)
    for j in range(k):
        pivot = matrix[j, j] - np.sum(lower[j, :j] ** 2, axis=0)
        root = np.sqrt(np.maximum(pivot, 0.0))
        lower[j, j] = root
        for i in range(j + 1, k):
            rest = matrix[i, j] - np.sum(lower[i, :j] * lower[j, :j], axis=0)
            lower[i, j] = np.where(root > 0, rest / np.where(root > 0, root, 1.0), 0.0)
    return lower


def back_substitution(lower: Array, right: Array) -> Array:
    """Solutions (k, ...) of L^T x = b for lower triangles (k, k, ...); zero where the diagonal is zero."""
    k = len(lower)
    x = np.zeros_like(right)
    for i in reversed(range(k)):
        rest = right[i] - np.sum(lower[i + 1:, i] * x[i + 1:], axis=0)
        x[i] = np.where(lower[i, i] > 0, rest / np.where(lower[i, i] > 0, lower[i, i], 1.0), 0.0)
    return x


def triangular_rows(rows: Array) -> tuple[Array, Array]:
    """Lower triangles L and orthonormal rows O with rows = L O, (n, n, ...) each; zero rows where dependent."""
    count = len(rows)
    lower, orthonormal = np.zeros_like(rows), np.zeros_like(rows)
    for i in range(count):
        rest = rows[i].copy()
        size = np.sqrt(np.sum(rest * rest, axis=0))
        for _ in range(2):  # twice is enough for orthogonality to rounding
            for j in range(i):
                overlap = np.sum(orthonormal[j] * rest, axis=0)
                lower[i, j] += overlap
                rest -= overlap * orthonormal[j]
        norm = np.sqrt(np.sum(rest * rest, axis=0))
        present = norm > 1e-15 * size
        lower[i, i] = np.where(present, norm, 0.0)
        orthonormal[i] = np.where(present, rest / np.where(present, norm, 1.0), 0.0)
    return lower, orthonormal
