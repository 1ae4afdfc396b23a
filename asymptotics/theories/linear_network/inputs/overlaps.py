"""The overlaps of the weights that determine the function, and what they say; equations (2), (3) and (6)."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from ..exact import Array


class Training(NamedTuple):
    """Constants of cells (arrays of shape (cells,)) and what they share.

    Attributes
    ----------
    gamma, eta_u, eta_w, loss_factor : ndarray, shape (cells,)
    covariance : ndarray, shape (cells, D, D)
        Sx.
    target : ndarray, shape (D,)
        beta*.
    """

    gamma: Array
    eta_u: Array
    eta_w: Array
    loss_factor: Array
    covariance: Array
    target: Array

    def part(self, cells: Any) -> Training:
        """Some of the cells."""
        return Training(self.gamma[cells], self.eta_u[cells], self.eta_w[cells], self.loss_factor[cells],
                        self.covariance[cells], self.target)

    @property
    def coupling(self) -> Array:
        """gamma^2 eta_u eta_w."""
        return (self.gamma * np.sqrt(self.eta_u) * np.sqrt(self.eta_w)) ** 2


class Overlaps(NamedTuple):
    """|u|^2, W^T W, the end-to-end vector beta = gamma W^T u and what it lacks, for some points (leading axes).

    Attributes
    ----------
    n : ndarray, shape (...)
    A : ndarray, shape (..., D, D)
    beta, gap : ndarray, shape (..., D)
        The gap is beta* - beta with a relative accuracy of its own.
    """

    n: Array
    A: Array
    beta: Array
    gap: Array

    def part(self, points: Any) -> Self:
        """Some of the points."""
        return type(self)(*(array[points] for array in self))


def overlaps_of_weights(u: Array, W: Array, c: Training) -> Overlaps:
    """Equation (2) for every cell, at t = 0."""
    cells, D = c.gamma.size, W.shape[1]
    beta = c.gamma[:, None] * (W.T @ u)
    return Overlaps(np.full(cells, u @ u), np.broadcast_to(W.T @ W, (cells, D, D)), beta, c.target - beta)


def kernel(c: Training, state: Overlaps) -> Array:
    """Theta of K(x, x') = x^T Theta x'; equation (3).  `state` has cells, or cells and times, as leading axes."""
    extra = state.n.ndim - 1
    gamma, eta_u, eta_w = (np.reshape(x, x.shape + (1,) * (extra + 2)) for x in (c.gamma, c.eta_u, c.eta_w))
    return gamma**2 * (eta_w * state.n[..., None, None] * np.eye(state.beta.shape[-1]) + eta_u * state.A)


def invariants(c: Training, state: Overlaps) -> Array:
    """Traces of the second and third power of eta_w u u^T - eta_u W W^T, in units of the kernel; equation (6).

    Returns
    -------
    ndarray, shape (2, cells)
    """
    gram = _imbalance(c, state)
    square = gram @ gram
    return np.stack([np.einsum("cij,cji->c", gram, gram), np.einsum("cij,cji->c", square, gram)])


def kernel_size(c: Training, state: Overlaps) -> Array:
    """gamma^2 (eta_w |u|^2 + eta_u |W|^2)."""
    return c.gamma**2 * (c.eta_w * state.n + c.eta_u * np.einsum("cii->c", state.A))


def _imbalance(c: Training, state: Overlaps) -> Array:
    """The matrix of overlaps whose powers have the same traces."""
    cells, D = state.beta.shape
    gram = np.empty((cells, D + 1, D + 1))
    cross = np.sqrt(c.coupling)[:, None] * state.beta
    gram[:, 0, 0], gram[:, 0, 1:], gram[:, 1:, 0] = c.gamma**2 * c.eta_w * state.n, -cross, cross
    gram[:, 1:, 1:] = -(c.gamma**2 * c.eta_u)[:, None, None] * state.A
    return gram
