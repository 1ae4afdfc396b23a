"""Balanced initial weights to begin with."""

from __future__ import annotations

import numpy as np

from ....errors import ParameterError
from ....parameters import parameter
from ..exact import Array

_SIZE = parameter("size", kind="size", low=1).metadata["parameter"]
_NUMBER = parameter("number").metadata["parameter"]
_SCALE = parameter("scale", low=0).metadata["parameter"]


def balanced_weights(
    hidden: int, inputs: int, outputs: int, lam: float = 0.0, scale: float = 0.1, seed: int = 0
) -> tuple[Array, Array]:
    """Random weights W1 (hidden x inputs), W2 (outputs x hidden) with W2^T W2 - W1 W1^T = lam 1.

    Directions are uniformly random.  The layer that lam makes the smaller one has all its singular values equal to
    `scale` (as many as the dimensions allow), the other one sqrt(scale^2 + |lam|).

    Parameters
    ----------
    hidden, inputs, outputs : int
        Numbers of units.
    lam : float
        Positive only for hidden <= outputs, negative only for hidden <= inputs.
    scale : float
    seed : int
        The weights are a function of the arguments.

    Raises
    ------
    ParameterError
        If there are no such weights.
    """
    sizes = {"hidden": hidden, "inputs": inputs, "outputs": outputs}
    hidden, inputs, outputs = (int(_SIZE.canonical(name, size)) for name, size in sizes.items())
    lam, scale = float(_NUMBER.canonical("lam", lam)), float(_SCALE.canonical("scale", scale))
    if lam > 0 and hidden > outputs:
        raise ParameterError("lam", f"must be <= 0 for more hidden units ({hidden}) than outputs ({outputs})")
    if lam < 0 and hidden > inputs:
        raise ParameterError("lam", f"must be >= 0 for more hidden units ({hidden}) than inputs ({inputs})")
    rng = np.random.default_rng(seed)
    middle, incoming, outgoing = (_rotation(size, rng) for size in (hidden, inputs, outputs))
    small = np.zeros(hidden)
    small[:min(hidden, inputs, outputs)] = scale
    large = np.sqrt(small**2 + abs(lam))
    first, second = (small, large) if lam >= 0 else (large, small)
    return _layer(middle, first, incoming), _layer(outgoing, second, middle)


def _rotation(size: int, rng: np.random.Generator) -> Array:
    orthogonal, triangle = np.linalg.qr(rng.standard_normal((size, size)))
    return orthogonal * np.sign(np.diag(triangle))


def _layer(left: Array, values: Array, right: Array) -> Array:
    """The matrix with these singular values and vectors."""
    k = min(left.shape[0], right.shape[0], values.size)
    return (left[:, :k] * values[:k]) @ right[:, :k].T
