"""Balanced layers in the directions of the target: pairs of an input and an output, and rests; equations (9) - (11).

Equations are numbered as in docs/theories/linear_network_inputs.md.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..exact import Array

ROUNDED = 1e-15  # a lambda below this, relative to the squares of the weights, is rounding


class Modes(NamedTuple):
    """Weights in the singular vectors of the correlation S, which are the same for every m2.

    Attributes
    ----------
    left : ndarray, shape (O, O)
        Output directions, those of the pairs first.
    right : ndarray, shape (D, D)
        Input directions.
    strengths : ndarray, shape (k,)
        Singular values of S, k = min(D, O).
    start : ndarray, shape (D + O, r)
        Q(0) = [W1^T; W2] in these directions, rotated from the right to r = min(H, D + O) columns.
    lam : float
    """

    left: Array
    right: Array
    strengths: Array
    start: Array
    lam: float


def imbalance(W1: Array, W2: Array) -> tuple[float, float]:
    """lam of W2^T W2 - W1 W1^T = lam 1, and how far that is from being true, relative to the squares of the weights."""
    unit = max(np.max(np.abs(W1)), np.max(np.abs(W2)))
    if unit == 0:
        return 0.0, 0.0
    W1, W2 = W1 / unit, W2 / unit
    difference = W2.T @ W2 - W1 @ W1.T
    size = float(np.sum(W1**2) + np.sum(W2**2))
    lam = float(np.trace(difference)) / difference.shape[0]
    violation = float(np.max(np.abs(difference - lam * np.eye(difference.shape[0])))) / size
    return (0.0 if abs(lam) <= ROUNDED * size else lam * float(unit) ** 2), violation


def modes_of(W1: Array, W2: Array, correlation: Array) -> Modes:
    """Equation (10)."""
    left, strengths, right = np.linalg.svd(correlation)
    start = np.concatenate([right @ W1.T, left.T @ W2])
    if start.shape[1] > start.shape[0]:
        start = np.asarray(np.linalg.qr(start.T, mode="r")).T
    return Modes(left, right.T, strengths, start, imbalance(W1, W2)[0])


class Eigenvectors(NamedTuple):
    """Eigenvectors of F for some points: rates, and angles of the pairs.

    Attributes
    ----------
    rates : ndarray, shape (points, D + O)
        Of the pairs f, of the other inputs, of the pairs -f, of the other outputs.
    cosine, sine : ndarray, shape (points, k)
        f belongs to (cosine, sine), -f to (sine, -cosine).
    inputs : int
        D.
    """

    rates: Array
    cosine: Array
    sine: Array
    inputs: int

    def rotated(self, rows: Array) -> Array:
        """Rows (points, D + O, r) from directions to eigenvectors, or back: the rotation is its own inverse."""
        k, D = self.cosine.shape[1], self.inputs
        cosine, sine = self.cosine[:, :, None], self.sine[:, :, None]
        incoming, outgoing = rows[:, :k], rows[:, D:D + k]
        return np.concatenate([cosine * incoming + sine * outgoing, rows[:, k:D], sine * incoming - cosine * outgoing,
                               rows[:, D + k:]], axis=1)


def eigenvectors(modes: Modes, m2: Array) -> Eigenvectors:
    """Equation (11), for the second moments `m2`, shape (points,)."""
    half, k, D, outputs = 0.5 * modes.lam, modes.strengths.size, modes.right.shape[0], modes.left.shape[0]
    strengths = modes.strengths / m2[:, None]
    rates = np.hypot(half, strengths)
    moving = np.where(rates > 0, rates, 1.0)
    large = np.where(rates > 0, np.sqrt(0.5 + 0.5 * abs(half) / moving), math.sqrt(0.5))
    small = large if half == 0 else 0.5 * (strengths / moving) / large
    cosine, sine = (small, large) if half >= 0 else (large, small)
    ones = np.ones((m2.size, 1))
    every = np.concatenate([rates, -half * ones.repeat(D - k, 1), -rates, half * ones.repeat(outputs - k, 1)], axis=1)
    return Eigenvectors(every, cosine, sine, D)
