"""The matrix Riccati equation of balanced layers at any time, without subtractions; equations (12) - (14).

Equations are numbered as in docs/theories/linear_network_inputs.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..exact import Array
from .modes import Modes, eigenvectors

EARLIEST = 1e-290  # stands for t = 0: nothing has moved
ABSENT = -1e15  # logarithm that stands for that of zero


class Products(NamedTuple):
    """Q Q^T in the directions of `Modes`, for some points.

    Attributes
    ----------
    first : ndarray, shape (points, D, D)
        W1^T W1.
    second : ndarray, shape (points, O, O)
        W2 W2^T.
    function : ndarray, shape (points, O, D)
        W2 W1.
    """

    first: Array
    second: Array
    function: Array


def products(modes: Modes, m2: Array, t: Array) -> Products:
    """Equation (14) at times `t` of the flow with unit rates; both arguments have shape (points,)."""
    vectors = eigenvectors(modes, m2)
    start = vectors.rotated(np.broadcast_to(modes.start, (m2.size, *modes.start.shape)))
    X = vectors.rotated(riccati(vectors.rates, start, t))
    incoming, outgoing = X[:, :vectors.inputs], X[:, vectors.inputs:]
    return Products(incoming @ _turned(incoming), outgoing @ _turned(outgoing), outgoing @ _turned(incoming))


def riccati(rates: Array, start: Array, t: Array) -> Array:
    """X with X X^T = P(t), for dP/dt = F P + P F - P^2, P(0) = Y Y^T, and F = diag(rates); equations (12) - (14).

    Parameters
    ----------
    rates : ndarray, shape (points, N)
    start : ndarray, shape (points, N, r)
        Y, r <= N.
    t : ndarray, shape (points,)
    """
    t = np.maximum(t, EARLIEST)[:, None]
    size = np.abs(rates)
    moved = -0.5 * np.expm1(-2 * size * t) / np.where(size > 0, size, 1.0)
    settled = np.where(size * t > EARLIEST, moved, t)  # (1 - e^{-2|f|t})/(2|f|)
    grown = 0.5 * np.log(settled) + np.maximum(rates, 0.0) * t
    envelope = np.exp(np.minimum(rates, 0.0) * t) / np.sqrt(settled)
    L, log_D, U = graded(grown, start)
    reduced = L * np.exp(np.minimum(log_D, 0.0))[:, None, :]
    inverse: Any = np.linalg.inv(U) * np.exp(np.minimum(-log_D, 0.0))[:, None, :]
    triangle: Any = np.linalg.qr(np.concatenate([reduced, inverse], axis=1), mode="r")
    columns: Any = np.linalg.solve(_turned(triangle), _turned(reduced))
    return envelope[:, :, None] * _turned(columns)


def graded(log_scale: Array, Y: Array) -> tuple[Array, Array, Array]:
    """diag(e^log_scale) Y = L D U by elimination with complete pivoting, whatever the range of the scales.

    Returns
    -------
    L : ndarray, shape (points, N, r)
        Entries at most one; a column of zeros where the rank is exhausted.
    log_D : ndarray, shape (points, r)
    U : ndarray, shape (points, r, r)
        Triangular with entries at most one and 1 or -1 on the diagonal, up to the order of the columns.
    """
    points, N, r = Y.shape
    rest = Y.copy()
    L, log_D, U = np.zeros(Y.shape), np.zeros((points, r)), np.zeros((points, r, r))
    free = np.ones((points, N, r), dtype=bool)
    every = np.arange(points)
    for k in range(r):
        present = rest != 0
        score = np.where(present, log_scale[:, :, None] + np.log(np.where(present, np.abs(rest), 1.0)), 2 * ABSENT)
        score = np.where(free, score, -np.inf).reshape(points, N * r)
        best = np.argmax(score, axis=1)
        row, column = best // r, best % r
        pivot = rest[every, row, column]
        exists = pivot != 0
        divisor = np.where(exists, pivot, 1.0)[:, None]
        log_D[:, k] = np.where(exists, score[every, best], ABSENT)
        across, multiples = rest[every, row], rest[every, :, column] / divisor
        U[:, k] = across / np.abs(divisor)
        U[every, k, column] = np.sign(divisor[:, 0])
        L[:, :, k] = np.exp(np.minimum(log_scale - log_scale[every, row][:, None], 700.0)) * multiples
        rest = rest - multiples[:, :, None] * across[:, None, :]
        rest[every, row], rest[every, :, column] = 0.0, 0.0
        free[every, row], free[every, :, column] = False, False
    return L, log_D, U


def conserved(found: Products, lam: float) -> Array:
    """How far P diag(-1, 1) P = lam P is from being true, relative to the square of P; equation (9)."""
    first, second, function = found
    size = np.maximum(np.max(np.abs(first), axis=(1, 2)), np.max(np.abs(second), axis=(1, 2)))
    unit = np.where(size > 0, size, 1.0)[:, None, None]
    first, second, function, lam_ = first / unit, second / unit, function / unit, lam / unit
    turned = _turned(function)
    return np.maximum.reduce([np.max(np.abs(array), axis=(1, 2)) for array in (
        turned @ function - first @ first - lam_ * first,
        second @ function - function @ first - lam_ * function,
        second @ second - function @ turned - lam_ * second,
    )])


def _turned(matrix: Array) -> Array:
    return np.swapaxes(matrix, -1, -2)
