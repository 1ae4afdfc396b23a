"""Gradient descent of the overlaps, equation (5): the exact map of one step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..exact import Array
from .flow import Path
from .overlaps import Overlaps, Training


def step(c: Training, h: Array, state: Overlaps) -> Overlaps:
    """The overlaps after a step of size h of all weights; leading axis: cells."""
    n, A, beta, gap = state
    theta = h * c.loss_factor * c.gamma
    theta_u, theta_w = theta * c.eta_u, theta * c.eta_w
    force = np.einsum("cij,cj->ci", c.covariance, gap)
    turned = np.einsum("cij,cj->ci", A, force)
    push = np.einsum("ci,ci->c", beta, force) / c.gamma
    along = (theta_w * n + theta_u * theta_w * push)[:, None] * force + theta_u[:, None] * turned
    increment = c.gamma[:, None] * along
    product = (theta_w / c.gamma)[:, None, None] * force[:, :, None] * beta[:, None, :]
    square = (theta_w**2 * n)[:, None, None] * force[:, :, None] * force[:, None, :]
    return Overlaps(
        n + 2 * theta_u * push + theta_u**2 * np.einsum("ci,ci->c", force, turned),
        A + product + np.swapaxes(product, 1, 2) + square, beta + increment, gap - increment,
    )


def descend(c: Training, start: Overlaps, h: Array, counts: NDArray[np.int64]) -> Path:
    """Overlaps after these numbers of steps.

    Parameters
    ----------
    c : Training
    start : Overlaps
        Of every cell.
    h : ndarray, shape (cells,)
        Step size.
    counts : ndarray, shape (cells, instants)

    Returns
    -------
    Path
        Its residual is how far gap and beta* - beta, which are added up independently, are apart.
    """
    state = start
    reached = Overlaps(*(np.empty((*counts.shape, *array.shape[1:])) for array in start))
    order = np.argsort(counts, axis=None, kind="stable")
    values, first = np.unique(counts.ravel()[order], return_index=True)
    done = 0
    for value, own in zip(values.tolist(), np.split(order, first[1:]), strict=True):
        for _ in range(value - done):
            state = step(c, h, state)
        done = value
        rows, columns = np.unravel_index(own, counts.shape)
        for array, current in zip(reached, state, strict=True):
            array[rows, columns] = current[rows]
    size = np.linalg.norm(c.target) + np.linalg.norm(reached.beta, axis=-1)
    apart = np.linalg.norm(c.target - reached.beta - reached.gap, axis=-1)
    return Path(reached, apart / np.where(size > 0, size, 1.0))
