"""The law of W W^T for rows of covariance C/d as a curve x -> t(x) = tr C (1 + x C)^{-1}/d; here for C = c I."""

from __future__ import annotations

from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class SpectralCurve(NamedTuple):
    """The curve t(x) and what Newton needs of it, without cancellation; eq. (10) of docs/theories/giant_step.md.

    Attributes
    ----------
    t : ndarray
    elasticity : ndarray
        e = d log t/d log x, in (-1, 0].
    deficit : ndarray
        1 - x t.
    slack : ndarray
        1 + e.
    stiffness : ndarray
        -x t (1 + e)/e, second derivative of the Legendre transform of int t in log t.
    """

    t: Array
    elasticity: Array
    deficit: Array
    slack: Array
    stiffness: Array


class Overlaps(NamedTuple):
    """Symmetric matrices (D, D, ...) in the directions v (spike), zeta (rest of the target) [, norms], at every x.

    Attributes
    ----------
    resolvent : ndarray
        g: Gc + x Gc e_v e_v^T Gc/(1 - x Gc_vv), Gc = <., C (1 + x C)^{-1} .>, the resolvent of the rows without their
        part along v, seen from the directions.
    remaining : ndarray
        g + g', with g' = dg/dlog x.
    rest : ndarray
        g - x g e_zeta e_zeta^T g.
    hidden : ndarray
        -g'/x - g e_zeta e_zeta^T g, what leads to directions other than v and zeta.
    """

    resolvent: Array
    remaining: Array
    rest: Array
    hidden: Array

    def with_independent(self, norm: Array) -> Overlaps:
        """One more direction, independent of the rows: its resolvent is its squared norm."""
        none = 0 * norm
        alone, nothing = np.stack([none, none, norm]), np.stack([none, none, none])
        edges = (alone, alone, alone, nothing)
        return Overlaps(*(bordered(part, edge) for part, edge in zip(self, edges, strict=True)))


def symmetric(vv: Array, vz: Array, zz: Array) -> Array:
    """A symmetric matrix (2, 2, ...) from its entries."""
    return np.stack([np.stack([vv, vz]), np.stack([vz, zz])])


def bordered(matrix: Array, edge: Array) -> Array:
    """A symmetric matrix (D, D, ...) with one more row and column, the edge (D + 1, ...)."""
    count = len(matrix)
    full = np.empty((count + 1, count + 1, *edge.shape[1:]))
    full[:count, :count] = matrix
    full[count], full[:, count] = edge, edge
    return full


class RowCovariance(Protocol):
    """Row covariances C/d of T bulks; x has the shape (T, C), or (N, 1) with T = 1."""

    @property
    def directions(self) -> int:
        """2 (spike, rest of the target), or 3 (and the row norms)."""

    @property
    def converged(self) -> NDArray[np.bool_]:
        """(T,) whether the curves are accurate."""

    def spectrum(self, x: Array) -> SpectralCurve:
        """The curve t(x)."""

    def overlaps(self, x: Array) -> Overlaps:
        """The resolvent in the directions of the spike and of the rest of the target."""

    def rows(self, index: NDArray[np.intp]) -> Self:
        """Some of the bulks."""


class Isotropic(NamedTuple):
    """C = c I (Marchenko-Pastur): t = c/(1 + c x).

    Attributes
    ----------
    c : ndarray (T,)
    """

    c: Array

    @property
    def directions(self) -> int:
        """Spike and rest of the target."""
        return 2

    @property
    def converged(self) -> NDArray[np.bool_]:
        """A closed form."""
        return np.ones(self.c.shape, dtype=bool)

    def spectrum(self, x: Array) -> SpectralCurve:
        """The curve t(x)."""
        c = self.c[:, None]
        deficit = 1 / (1 + c * x)
        t = c * deficit
        return SpectralCurve(t, -x * t, deficit, deficit, deficit)

    def overlaps(self, x: Array) -> Overlaps:
        """g = diag(c, t): along v nothing is excluded from the bulk of the other directions."""
        c = self.c[:, None]
        deficit = 1 / (1 + c * x)
        along, across, none = c + 0 * deficit, c * deficit, 0 * deficit
        remaining = symmetric(along, none, across * deficit)
        return Overlaps(symmetric(along, none, across), remaining, remaining, np.zeros_like(remaining))

    def rows(self, index: NDArray[np.intp]) -> Isotropic:
        """Some of the bulks."""
        return Isotropic(self.c[index])
