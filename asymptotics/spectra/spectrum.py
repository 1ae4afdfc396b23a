"""A spectrum with a label vector, and sums over it at an effective ridge; docs/theories/structured_features.md.

Every sum is one of products of q = s/(s + k) and a = k/(s + k), which are both quotients of positive numbers: neither
is ever formed as one minus the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

Weight = Literal["modes", "above", "below", "signal"]
Sum = tuple[Weight, int, int]  # weights, power of q, power of a

FILLED: Sum = ("above", 0, 1)  # sum of a over the eigenvalues above the split
EMPTY: Sum = ("below", 1, 0)  # sum of q over those below it
EXCHANGE: Sum = ("modes", 1, 1)  # df1 - df2
EXCHANGE_ABOVE: Sum = ("above", 1, 1)
EXCHANGE_BELOW: Sum = ("below", 1, 1)
SECOND: Sum = ("modes", 2, 0)  # df2
SKEW: Sum = ("modes", 2, 1)  # -k/2 d df2/dk
BIAS: Sum = ("signal", 0, 2)
MISFIT: Sum = ("signal", 0, 1)
LEARNING: Sum = ("signal", 1, 1)  # k sum c/(s + k)^2
BIAS_SLOPE: Sum = ("signal", 1, 2)  # k/2 d bias/dk

TILE = 1 << 15  # numbers of a work array: a quarter of a megabyte
TABLE_TILE = 1 << 20  # the same while a table is made
SPACING = 0.5  # of the nodes of a table in log k
ORDER = 20  # terms of its series, of ratio below tanh(SPACING/4)


class Spectrum(NamedTuple):
    """Eigenvalues, how often each occurs, and the signal in each.

    Attributes
    ----------
    eigenvalues : ndarray (K,)
        s > 0.
    weights : ndarray (K,)
        w, multiplicities or weights of quadrature.
    signal : ndarray (K,)
        t = c/s, for all modes of an eigenvalue together.
    """

    eigenvalues: Array
    weights: Array
    signal: Array

    @property
    def rank(self) -> float:
        """r = sum w."""
        return float(np.sum(self.weights))

    @property
    def trace(self) -> float:
        """sum w s."""
        return float(self.weights @ self.eigenvalues)

    @property
    def inverse_trace(self) -> float:
        """T = sum w/s; inf where it overflows."""
        with np.errstate(over="ignore"):
            return float(np.sum(self.weights / self.eigenvalues))

    @property
    def power(self) -> float:
        """sum c = sum s t."""
        return float(self.signal @ self.eigenvalues)


class Sums(Protocol):
    """Sums at effective ridges (C,), the eigenvalues split at a reference point of each."""

    split: Array
    """(C,) sum of the weights of all eigenvalues above the split."""

    def at(self, k: Array, sums: Sequence[Sum]) -> Array:
        """(len(sums), C)."""


class DirectSums:
    """Sums over the whole spectrum, for C cells; split at the given ridges."""

    def __init__(self, spectrum: Spectrum, reference: Array) -> None:
        self._spectrum = spectrum
        self._above = spectrum.eigenvalues > reference[:, None]
        self.split = self._above @ spectrum.weights

    def at(self, k: Array, sums: Sequence[Sum]) -> Array:
        """See `Sums`."""
        s, k = self._spectrum.eigenvalues, k[:, None]
        q, a = s / (s + k), k / (s + k)
        return np.stack([self._sum(name, q, a) for name in sums])

    def _sum(self, name: Sum, q: Array, a: Array) -> Array:
        kind, filled, empty = name
        product = (q if filled == 1 else q**filled) if filled else np.ones_like(a)
        if empty:
            product = product * (a if empty == 1 else a**empty)
        if kind == "signal":
            return product @ self._spectrum.signal
        if kind != "modes":
            product = np.where(self._above == (kind == "above"), product, 0.0)
        return product @ self._spectrum.weights


class SumTable:
    """Sums as power series around nodes in log k, each of which costs the same whatever the size of the spectrum.

    With k = k_j (1 + z)/(1 - z) and rho = (s - k_j)/(s + k_j)

        q = q_j (1 - z)/(1 - z rho),    a = a_j (1 + z)/(1 - z rho),

    so that every sum is a geometric series in z whose first term dominates; eq. (9).

    Parameters
    ----------
    spectrum : Spectrum
    low, high : float
        Of the effective ridges.
    refinement : int
        Divides the spacing of the nodes.
    """

    def __init__(self, spectrum: Spectrum, low: float, high: float, refinement: int = 1) -> None:
        self.spectrum = spectrum
        self.spacing = SPACING / refinement
        count = max(2, math.ceil(math.log(high / low) / self.spacing) + 2)
        self.log_nodes = math.log(low) + self.spacing * (np.arange(count) - 0.5)
        self.nodes = np.exp(self.log_nodes)
        # sums over sorted eigenvalues are the same whoever asks, and exact for multiplicities that are whole numbers
        order = np.argsort(spectrum.eigenvalues)[::-1]
        total = np.concatenate([[0.0], np.cumsum(spectrum.weights[order])])
        self.split = total[np.searchsorted(-spectrum.eigenvalues[order], -self.nodes)]
        self._moments: dict[Sum, Array] = {}

    def moments(self, sums: Sequence[Sum]) -> list[Array]:
        """Coefficients (nodes, ORDER) of the series of every sum; each is computed once."""
        missing = [name for name in sums if name not in self._moments]
        if missing:
            self._moments.update(self._tabulated(missing))
        return [self._moments[name] for name in sums]

    def _tabulated(self, sums: Sequence[Sum]) -> Mapping[Sum, Array]:
        s, weights, signal = self.spectrum
        factors = np.stack([_binomials(filled + empty) for _, filled, empty in sums], axis=-1)
        found = np.zeros((self.nodes.size, ORDER, len(sums)))
        step = min(s.size, TABLE_TILE // ORDER)
        rows = max(1, TABLE_TILE // (ORDER * step))
        for start in range(0, s.size, step):
            modes = slice(start, start + step)
            measures = {"signal": signal[modes], "modes": weights[modes]}
            for first in range(0, self.nodes.size, rows):
                nodes = slice(first, first + rows)
                own, k = s[modes], self.nodes[nodes, None]
                inverse = 1 / (own + k)
                q, a, rho = own * inverse, k * inverse, (own - k) * inverse
                above = weights[modes] * (own > k)
                measures |= {"above": above, "below": weights[modes] - above}
                powers = np.empty((len(k), ORDER, own.size))
                powers[:, 0] = 1.0
                for degree in range(1, ORDER):
                    np.multiply(powers[:, degree - 1], rho, out=powers[:, degree])
                columns = np.empty((len(sums), len(k), own.size))
                for column, (kind, filled, empty) in zip(columns, sums, strict=True):
                    column[:] = measures[kind]
                    for _ in range(filled):
                        column *= q
                    for _ in range(empty):
                        column *= a
                found[nodes] += np.matmul(powers, np.moveaxis(columns, 0, -1))
        found *= factors
        return {name: np.ascontiguousarray(found[..., number]) for number, name in enumerate(sums)}

    def around(self, nodes: Index) -> TableSums:
        """Sums of C cells, each around one node."""
        return TableSums(self, nodes)

    def nearest(self, log_k: Array) -> Index:
        """The nodes next to these points."""
        place = np.rint((log_k - self.log_nodes[0]) / self.spacing)
        return np.clip(place, 0, self.nodes.size - 1).astype(np.intp)


class TableSums:
    """Sums of C cells from a table, around a node of each."""

    def __init__(self, table: SumTable, nodes: Index) -> None:
        self._table, self._nodes = table, nodes
        self._log_node = table.log_nodes[nodes]
        self.split = table.split[nodes]
        self._gathered: dict[tuple[Sum, ...], Array] = {}

    def at(self, k: Array, sums: Sequence[Sum]) -> Array:
        """See `Sums`."""
        key = tuple(sums)
        coefficients = self._gathered.get(key)
        if coefficients is None:
            coefficients = np.stack([moments[self._nodes] for moments in self._table.moments(key)])
            coefficients = self._gathered[key] = np.ascontiguousarray(np.moveaxis(coefficients, -1, 0))
        z = np.tanh(0.5 * (np.log(k) - self._log_node))
        total = coefficients[-1].copy()
        for row in coefficients[-2::-1]:
            total *= z
            total += row
        plus, minus = 1 + z, 1 - z
        for number, (_, filled, empty) in enumerate(key):
            for _ in range(filled):
                total[number] *= minus
            for _ in range(empty):
                total[number] *= plus
        return total


def _binomials(power: int) -> Array:
    """Coefficients of (1 - x)^(-power)."""
    coefficients = np.ones(ORDER)
    for degree in range(1, ORDER):
        coefficients[degree] = coefficients[degree - 1] * (degree + power - 1) / degree
    return coefficients
