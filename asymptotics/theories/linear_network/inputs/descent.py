"""Gradient descent of the layers, equation (5) of docs/theories/linear_network_inputs.md."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..exact import Array
from .flow import Path
from .layers import Layers, Training, mismatch


def step(c: Training, h: Array, state: Layers) -> Layers:
    """The layers after a step of size h of all weights; leading axis: cells."""
    u, W, gap = state
    slope = (h * c.loss_factor * c.gamma)[:, None]
    force = slope * np.einsum("cij,cj->ci", c.covariance, gap)
    push_u = c.eta_u[:, None] * np.einsum("crd,cd->cr", W, force)
    push_W = c.eta_w[:, None] * force
    size = np.einsum("cr,cr->c", u, u + push_u)[:, None]
    increment = c.gamma[:, None] * (np.einsum("cr,crd->cd", push_u, W) + size * push_W)
    return Layers(u + push_u, W + u[:, :, None] * push_W[:, None, :], gap - increment)


def descend(c: Training, start: Layers, h: Array, counts: NDArray[np.int64]) -> Path:
    """Layers after these numbers of steps.

    Parameters
    ----------
    c : Training
    start : Layers
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
    reached = Layers(*(np.empty((*counts.shape, *array.shape[1:])) for array in start))
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
    return Path(reached, mismatch(c, reached))
