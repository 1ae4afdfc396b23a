"""The two layers, in as few hidden units as do the same, and what they say; equations (2), (3) and (6).

Equations are numbered as in docs/theories/linear_network_inputs.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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

    def beside(self, name: str, axes: int) -> Array:
        """A constant of the cells with further axes of length one."""
        column: Array = getattr(self, name)
        return column.reshape(-1, *(1,) * axes)


class Layers(NamedTuple):
    """Weights of r hidden units for some points (leading axes), and what the function lacks.

    Attributes
    ----------
    u : ndarray, shape (..., r)
    W : ndarray, shape (..., r, D)
    gap : ndarray, shape (..., D)
        beta* - beta, beta = gamma W^T u, with a relative accuracy of its own.
    """

    u: Array
    W: Array
    gap: Array

    def part(self, points: Any) -> Layers:
        """Some of the points."""
        return Layers(self.u[points], self.W[points], self.gap[points])


def layers_of(u: Array, W: Array, c: Training) -> Layers:
    """The initial layers of every cell, in at most D + 1 hidden units; equation (4)."""
    if W.shape[0] > W.shape[1] + 1:
        triangle = np.asarray(np.linalg.qr(np.column_stack([u, W]), mode="r"))
        u, W = triangle[:, 0], triangle[:, 1:]
    cells = c.gamma.size
    u, W = np.broadcast_to(u, (cells, *u.shape)), np.broadcast_to(W, (cells, *W.shape))
    return Layers(u, W, c.target - coefficients(c, u, W))


def coefficients(c: Training, u: Array, W: Array) -> Array:
    """beta = gamma W^T u."""
    return c.beside("gamma", u.ndim - 1) * np.einsum("...r,...rd->...d", u, W)


def kernel(c: Training, u: Array, W: Array) -> Array:
    """Theta of K(x, x') = x^T Theta x'; equation (3).  Leading axes: cells, or cells and times."""
    gamma, eta_u, eta_w = (c.beside(name, u.ndim) for name in ("gamma", "eta_u", "eta_w"))
    scalar = np.sum(u * u, axis=-1)[..., None, None] * np.eye(W.shape[-1])
    return gamma**2 * (eta_w * scalar + eta_u * (np.swapaxes(W, -1, -2) @ W))


def kernel_size(c: Training, state: Layers) -> Array:
    """gamma^2 (eta_w |u|^2 + eta_u |W|^2), of every cell."""
    return c.gamma**2 * (c.eta_w * np.sum(state.u**2, axis=1) + c.eta_u * np.sum(state.W**2, axis=(1, 2)))


def drift(c: Training, start: Layers, state: Layers) -> Array:
    """Change of the imbalance eta_w u u^T - eta_u W W^T in units of the kernel, of every cell; equation (6).

    The initial weights are taken to be rounded.
    """
    size, rounding = kernel_size(c, state), np.finfo(np.float64).eps * kernel_size(c, start)
    change = np.max(np.abs(_imbalance(c, state) - _imbalance(c, start)), axis=(1, 2))
    return (change + rounding) / np.where(size > 0, size, 1.0)


def mismatch(c: Training, state: Layers) -> Array:
    """How far the gap and beta* - beta are apart, relative to beta* and what beta is a sum of, of every point."""
    apart = c.target - coefficients(c, state.u, state.W) - state.gap
    lengths = np.linalg.norm(state.u, axis=-1) * np.linalg.norm(state.W, axis=(-2, -1))
    size = np.linalg.norm(c.target) + np.abs(c.beside("gamma", state.u.ndim - 2)) * lengths
    return np.linalg.norm(apart, axis=-1) / np.where(size > 0, size, 1.0)


def _imbalance(c: Training, state: Layers) -> Array:
    outer = state.u[:, :, None] * state.u[:, None, :]
    return c.beside("gamma", 2) ** 2 * (
        c.beside("eta_w", 2) * outer - c.beside("eta_u", 2) * (state.W @ np.swapaxes(state.W, 1, 2)))
