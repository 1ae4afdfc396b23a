"""Panels of several integrals t(y) of positive functions: values and inverse."""

from __future__ import annotations

import functools
from typing import NamedTuple, Self

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

NODES = 16
MOST_STEPS = 100


class Matrices(NamedTuple):
    """What turns values at the nodes of a panel [0, 1] into Chebyshev coefficients, from the right.

    Attributes
    ----------
    nodes : ndarray (NODES,)
    series : ndarray (NODES, NODES)
        Values of h to its coefficients.
    mean : ndarray (NODES, NODES)
        Coefficients of h to those of its mean over [0, x].
    """

    nodes: Array
    series: Array
    mean: Array


@functools.cache
def panel_matrices() -> Matrices:
    """The matrices for Chebyshev nodes."""
    points = chebyshev.chebpts1(NODES)
    series: Array = np.asarray(np.linalg.inv(chebyshev.chebvander(points, NODES - 1)).T, dtype=np.float64)
    mean = np.zeros((NODES, NODES))
    for degree in range(NODES):
        integral = chebyshev.chebint(np.eye(NODES)[degree], lbnd=-1)
        quotient, _ = chebyshev.chebdiv(integral, [1.0, 1.0])
        mean[degree, :quotient.size] = quotient
    return Matrices(0.5 * (1 + points), series, mean)


class Panels:
    """Panels of R integrals, each from t = 0 at y = 0, collected round by round.

    Parameters
    ----------
    count : int
        R.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._parts: list[tuple[Index, Array, Array, Array, Array]] = []

    def add(self, flows: Index, left: Array, width: Array, start: Array, h: Array) -> Array:
        """One more panel of each of these integrals: its left end and width, t and the values of dt/dy on it.

        Returns t at its right end.
        """
        coefficients = h @ panel_matrices().series
        self._parts.append((flows, left, width, start, coefficients))
        return start + width * np.sum(coefficients @ panel_matrices().mean, axis=1)

    def sorted(self) -> Self:
        """The same, ready for questions."""
        empty = (np.zeros(0, dtype=np.intp), *np.zeros((3, 0)), np.zeros((0, NODES)))
        collected = zip(empty, *self._parts, strict=True)
        flows, left, width, start, self._h = (np.concatenate(arrays) for arrays in collected)
        self._parts = []
        order = np.argsort(flows, kind="stable")
        self._left, self._width, self._start, self._h = left[order], width[order], start[order], self._h[order]
        self._numbers = np.bincount(flows, minlength=self._count)
        self._first = np.cumsum(self._numbers) - self._numbers
        return self

    def value(self, y: Array, flows: Index) -> Array:
        """t(y), flat; NaN outside the panels."""
        panel, known = self._panel(self._left, y, flows)
        if not self._left.size:
            return np.where(y == 0, 0.0, np.nan)
        x = np.where(known, y - self._left[panel], 0.0) / self._width[panel]
        known &= x <= 1
        x = np.where(known, x, 0.0)
        mean = _evaluate(self._h[panel] @ panel_matrices().mean, x)
        return np.where(y == 0, 0.0, np.where(known, self._start[panel] + self._width[panel] * x * mean, np.nan))

    def inverse(self, t: Array, flows: Index) -> Array:
        """y(t), flat; NaN outside the panels."""
        if not self._left.size:
            return np.where(t == 0, 0.0, np.nan)
        panel, known = self._panel(self._start, t, flows)
        target = np.where(known, t - self._start[panel], 0.0) / self._width[panel]
        h = self._h[panel]
        mean = h @ panel_matrices().mean
        whole = np.sum(mean, axis=1)
        known &= target <= whole * (1 + 1e-12)
        x = _solve(mean, h, np.where(known, np.minimum(target, whole), 0.0), whole)
        return np.where(t == 0, 0.0, np.where(known, self._left[panel] + self._width[panel] * x, np.nan))

    def _panel(self, ends: Array, value: Array, flows: Index) -> tuple[Index, NDArray[np.bool_]]:
        """The last panel of each flow that does not begin beyond the value, by bisection."""
        low = self._first[flows]
        high = low + self._numbers[flows] - 1
        known = (high >= low) & (value >= 0) & np.isfinite(value)
        low, high = np.where(known, low, 0), np.where(known, high, 0)
        while np.any(low < high):
            middle = (low + high + 1) // 2
            before = ends[middle] <= value
            low, high = np.where(before, middle, low), np.where(before, high, np.maximum(middle - 1, low))
        return low, known


def _solve(mean: Array, h: Array, target: Array, whole: Array) -> Array:
    """x in [0, 1] with x mean(x) = target, by Newton's method inside a bracket; (x mean)' = h."""
    low, high = np.zeros(target.shape), np.ones(target.shape)
    x = target / whole
    for _ in range(MOST_STEPS):
        excess = x * _evaluate(mean, x) - target
        low, high = np.where(excess <= 0, x, low), np.where(excess >= 0, x, high)
        new = x - excess / _evaluate(h, x)
        new = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
        step, x = np.abs(new - x), new
        if np.all((step <= 2e-16 * x) | (high <= low)):
            break
    return x


def _evaluate(coefficients: Array, x: Array) -> Array:
    """Chebyshev series (r, NODES) at x in [0, 1] (r,), by Clenshaw's recurrence."""
    twice = 2 * (2 * x - 1)
    b, after = coefficients[:, -1], np.zeros(x.shape)
    for column in range(coefficients.shape[1] - 2, 0, -1):
        b, after = coefficients[:, column] + twice * b - after, b
    return coefficients[:, 0] + 0.5 * twice * b - after
