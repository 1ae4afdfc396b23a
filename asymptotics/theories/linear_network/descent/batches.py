"""Moments of batches of samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....errors import ParameterError
from ..exact import Array


def batch_moments(x: Array, y: Array, batches: Iterable[ArrayLike]) -> tuple[Array, Array]:
    """Means of x^2 and x y over each batch.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
    batches : iterable of array_like of int
        Positions in x and y, one list for each step.

    Raises
    ------
    ParameterError
        If there is no batch, or one is empty or has other entries than whole numbers below n.
    """
    products = np.stack([x * x, x * y])
    means = [np.mean(products[:, _positions(batch, x.size, number)], axis=1) for number, batch in enumerate(batches)]
    if not means:
        raise ParameterError("batches", "must be at least one list of positions, got none")
    m2, mxy = np.stack(means, axis=1)
    return m2, mxy


def _positions(batch: ArrayLike, n: int, number: int) -> NDArray[np.intp]:
    try:
        positions = np.asarray(batch)
    except ValueError:
        positions = np.empty(0)
    if positions.ndim != 1 or not positions.size or positions.dtype.kind not in "iu":
        raise ParameterError("batches", f"must be lists of positions in x, got something else in place {number}")
    if np.min(positions) < 0 or np.max(positions) >= n:
        raise ParameterError("batches", f"must be positions from 0 to {n - 1}, got others in place {number}")
    return positions.astype(np.intp)


def shuffled(n: int, batch_size: int, steps: int, seed: int) -> Sequence[NDArray[np.intp]]:
    """Batches without repetition within an epoch, each epoch in a new order; what is left of it over is not used."""
    rng = np.random.default_rng(seed)
    batches: list[NDArray[np.intp]] = []
    each = n // batch_size
    while len(batches) < steps:
        order = rng.permutation(n)
        batches += [order[i * batch_size:(i + 1) * batch_size] for i in range(each)]
    return batches[:steps]
