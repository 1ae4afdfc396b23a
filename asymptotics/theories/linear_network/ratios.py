"""Quotients of functions that vanish at zero, and norms, with all their digits."""

from __future__ import annotations

import numpy as np

from .exact import Array


def expm1_ratio(x: Array) -> Array:
    """(e^x - 1)/x."""
    zero = x == 0
    return np.where(zero, 1.0, np.expm1(x) / np.where(zero, 1.0, x))


def log1p_ratio(x: Array) -> Array:
    """ln(1 + x)/x."""
    zero = x == 0
    return np.where(zero, 1.0, np.log1p(x) / np.where(zero, 1.0, x))


def norm(vectors: Array) -> Array:
    """Norms along the last axis, also of entries whose squares underflow."""
    largest = np.max(np.abs(vectors), axis=-1, keepdims=True)
    unit = vectors / np.where(largest > 0, largest, 1.0)
    return largest[..., 0] * np.sqrt(np.sum(unit * unit, axis=-1))
