"""The effective ridge kappa of a sample of size n: kappa (n - df1(kappa)) = lam; docs/theories/structured_features.md.

The eigenvalues are split at a point near the solution, where N = n - (number above) is an exact difference of given
numbers, and the equation is one between sums of positive terms:

    N + P - M = lam/kappa,    P = sum_above a,    M = sum_below q                                                (7)

so that nothing cancels but what is ill-conditioned in the problem itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .spectrum import (
    EMPTY,
    EXCHANGE_ABOVE,
    EXCHANGE_BELOW,
    FILLED,
    TILE,
    DirectSums,
    Spectrum,
    Sum,
    Sums,
    SumTable,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

FEW_CELLS = 100  # for which no table is worth while
TABLE_CELLS = 1600  # solved at once from a table
TINY = 1e-17  # of the smallest eigenvalue: below, the equation is quadratic
SHORT_STEP = 3e-8  # Newton's error after it is its square
MOST_STEPS = 60
RESIDUAL_LIMIT = 1e-9

_EQUATION = (FILLED, EMPTY, EXCHANGE_ABOVE, EXCHANGE_BELOW)
_ROUNDING = 64 * np.finfo(np.float64).eps
_SMALLEST = 1e-290  # of a side of an equation
_FLATTEST = 1e-3  # slope of the difference of logarithms that a step may rely on


class Solution(NamedTuple):
    """Effective ridges and the sums at them.

    Attributes
    ----------
    kappa : ndarray (C,)
        0 without ridge for n >= r.
    excess : ndarray (C,)
        n - df1 = lam/kappa; n - r for kappa = 0.
    sums : ndarray (S, C)
        Those asked for; their limits for kappa = 0.
    residual : ndarray (C,)
    """

    kappa: Array
    excess: Array
    sums: Array
    residual: Array

    @property
    def converged(self) -> Mask:
        """Whether the equation holds."""
        return np.isfinite(self.kappa) & (self.residual <= RESIDUAL_LIMIT)


def effective_ridge(
    spectrum: Spectrum, n: Array, lam: Array, sums: tuple[Sum, ...] = (), refinement: int = 1
) -> Solution:
    """Solve for kappa(n, lam) of C cells; eqs. (1) and (7)-(9).

    Parameters
    ----------
    spectrum : Spectrum
    n : ndarray (C,)
        Samples, > 0; need not be whole numbers.
    lam : ndarray (C,)
        Ridge penalties of sum (y - w phi)^2 + lam |w|^2, >= 0.
    sums : tuple of Sum
        What is wanted at the solutions.
    refinement : int
        Divides the spacing of the table.
    """
    rank = spectrum.rank
    n = np.where(np.abs(n - rank) <= _ROUNDING * rank, rank, n)  # weights that are no whole numbers add up to about n
    kappa, residual = np.zeros(n.shape), np.zeros(n.shape)
    excess = np.maximum(n - rank, 0.0)
    values = np.empty((len(sums), n.size))
    values[:] = empty_sums(spectrum, sums)[:, None]
    bare = (lam == 0) & (n >= rank)
    low, high = brackets(spectrum, n, lam)
    floor = TINY * float(np.min(spectrum.eigenvalues))
    tiny = ~bare & (low <= floor)
    kappa[tiny] = low[tiny]
    rows = np.flatnonzero(~bare & ~tiny)
    if rows.size:
        if rows.size <= FEW_CELLS:
            table = None
        else:
            table = SumTable(spectrum, float(np.min(low[rows])), float(np.max(high[rows])), refinement)
            table.moments(tuple(dict.fromkeys((*_EQUATION, *sums))))
        step = max(1, TILE // spectrum.eigenvalues.size) if table is None else TABLE_CELLS
        for start in range(0, rows.size, step):
            index = rows[start:start + step]
            part = _solve(spectrum, table, n[index], lam[index], low[index], high[index], sums)
            kappa[index], residual[index], values[:, index] = part
    rows = np.flatnonzero(tiny)
    if rows.size and sums:
        values[:, rows] = DirectSums(spectrum, kappa[rows]).at(kappa[rows], sums)
    positive = kappa > 0
    excess[positive] = lam[positive] / kappa[positive]
    return Solution(kappa, excess, values, residual)


def brackets(spectrum: Spectrum, n: Array, lam: Array) -> tuple[Array, Array]:
    """Bounds of kappa; the lower one is exact as kappa -> 0; eq. (8)."""
    excess, inverse = n - spectrum.rank, spectrum.inverse_trace
    low, high = np.maximum(lam / n, _half_filled(spectrum, n)), (lam + spectrum.trace) / n
    if np.isfinite(inverse):
        root = np.hypot(excess, 2 * np.sqrt(inverse) * np.sqrt(lam))
        over = np.abs(excess) + root
        quadratic = np.where(excess > 0, 2 * lam / np.where(over > 0, over, 1.0), over / (2 * inverse))
        low = np.maximum(low, quadratic)
    above = excess > 0
    high = np.where(above, np.minimum(high, lam / np.where(above, excess, 1.0)), high)
    return low, np.maximum(high, low)


def _half_filled(spectrum: Spectrum, n: Array) -> Array:
    """A k below which df1 >= n, because each of 2 n modes contributes at least one half; 0 if there is none."""
    order = np.argsort(spectrum.eigenvalues)[::-1]
    filled = np.maximum.accumulate(np.cumsum(spectrum.weights[order]))
    place = np.searchsorted(filled, 2 * n)
    return np.append(spectrum.eigenvalues[order], 0.0)[place]


def empty_sums(spectrum: Spectrum, sums: tuple[Sum, ...]) -> Array:
    """Limits of the sums as kappa -> 0: a vanishes, q is 1."""
    total = {"modes": spectrum.rank, "above": spectrum.rank, "below": 0.0, "signal": float(np.sum(spectrum.signal))}
    return np.array([0.0 if empty else total[kind] for kind, _, empty in sums])


def _solve(
    spectrum: Spectrum, table: SumTable | None, n: Array, lam: Array, low: Array, high: Array, wanted: tuple[Sum, ...]
) -> tuple[Array, Array, Array]:
    """Newton in log kappa on the difference of logarithms, inside a bracket."""
    bottom, top = np.log(low), np.log(high)
    sums: Sums
    if table is None:
        u = 0.5 * (bottom + top)
        sums = DirectSums(spectrum, np.exp(u))
    else:
        u, sums = _start(table, n, lam, bottom, top)
    for _ in range(MOST_STEPS):
        k = np.exp(u)
        if table is None:
            sums = DirectSums(spectrum, k)
        step, difference = _newton_step(sums, n, lam, k)
        top = np.where(difference > 0, np.minimum(u, top), top)
        bottom = np.where(difference < 0, np.maximum(u, bottom), bottom)
        target = u + step
        outside = (target < bottom - SHORT_STEP) | (target > top + SHORT_STEP)
        target = np.where(outside, 0.5 * (bottom + top), target)
        moved = np.max(np.abs(target - u))
        u = target
        if moved < SHORT_STEP:
            break
    kappa = np.exp(u)
    if table is None:
        sums = DirectSums(spectrum, kappa)
    _, _, residual = balanced_step(*_sides(sums, n, lam, kappa))
    return kappa, residual, sums.at(kappa, wanted) if wanted else np.empty((0, n.size))


def _sides(sums: Sums, n: Array, lam: Array, k: Array) -> tuple[Array, Array, Array, Array]:
    """The two sides of (7), both positive, the rise of the first and the fall of the second with log kappa."""
    filled, empty, rise, fall = sums.at(k, _EQUATION)
    excess, ridge = n - sums.split, lam / k
    return np.maximum(excess, 0.0) + filled, np.maximum(-excess, 0.0) + empty + ridge, rise, fall + ridge


def _newton_step(sums: Sums, n: Array, lam: Array, k: Array) -> tuple[Array, Array]:
    """In log kappa, and the difference of logarithms."""
    step, phi, _ = balanced_step(*_sides(sums, n, lam, k))
    return step, phi


def balanced_step(positive: Array, negative: Array, rise: Array, fall: Array) -> tuple[Array, Array, Array]:
    """Newton's step for positive = negative on the difference phi of their logarithms.

    `rise` >= 0 is the derivative of the one side, `fall` >= 0 minus that of the other.  Returns the step, phi, and
    |positive - negative|/(positive + negative).
    """
    # a side may underflow far from the solution; only its sign counts there
    positive, negative = np.maximum(positive, _SMALLEST), np.maximum(negative, _SMALLEST)
    phi = np.log(positive / negative)
    slope = np.maximum(rise / positive + fall / negative, _FLATTEST)
    return -phi / slope, phi, np.abs(positive - negative) / (positive + negative)


def _start(table: SumTable, n: Array, lam: Array, bottom: Array, top: Array) -> tuple[Array, Sums]:
    """Between the two nodes around the solution, by interpolation of phi."""
    first, last = 0, table.nodes.size - 1
    low, high = np.full(n.shape, first, dtype=np.intp), np.full(n.shape, last, dtype=np.intp)
    while np.max(high - low) > 1:
        middle = (low + high) // 2
        _, phi = _at_node(table, middle, n, lam)
        above = phi > 0
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    _, left = _at_node(table, low, n, lam)
    _, right = _at_node(table, high, n, lam)
    rise = right - left
    share = np.clip(-left / np.where(rise > 0, rise, 1.0), 0.0, 1.0)
    u = np.clip(table.log_nodes[low] + share * (table.log_nodes[high] - table.log_nodes[low]), bottom, top)
    return u, table.around(table.nearest(u))


def _at_node(table: SumTable, nodes: NDArray[np.intp], n: Array, lam: Array) -> tuple[Array, Array]:
    """Newton's step and phi at the nodes themselves, where only the first terms of the series remain."""
    sums = _AtNodes(table, nodes)
    return _newton_step(sums, n, lam, table.nodes[nodes])


class _AtNodes:
    def __init__(self, table: SumTable, nodes: NDArray[np.intp]) -> None:
        self._table, self._nodes = table, nodes
        self.split = table.split[nodes]

    def at(self, k: Array, sums: Sequence[Sum]) -> Array:
        return np.stack([moments[self._nodes, 0] for moments in self._table.moments(sums)])
