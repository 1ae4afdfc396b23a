"""The weights themselves; equation (11)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .constants import LARGEST, Constants
from .exact import Array, Pair, binary_root, scaled, sum_and_difference
from .invariants import normalised
from .trajectory import State, factors, log_growth

LONGEST = 700.0  # ln(z)/2 beyond which what grows is exactly zero


def growth(c: Constants, state: State) -> Array:
    """s = ln(z)/2, with all digits where it is small."""
    x = np.minimum(-state.x, LARGEST)
    with np.errstate(over="ignore"):
        excess = 2 * c.kap * (c.r0 * (state.D / state.M))  # z - 1
    near = np.abs(excess) < 0.5
    logarithm = log_growth(c, factors(c, state.D, x), x)
    return 0.5 * np.where(near, np.log1p(np.where(near, excess, 0.0)), logarithm)


def push(c: Constants, state: State) -> Array:
    """Integral of c m2 r up to t where one rate vanishes, else zero."""
    return c.r0 * scaled(np.where(c.kap == 0, state.D, 0.0), -2 * c.half_exponent)


def weights_after(
    u: Array, w: Array, gamma: ArrayLike, eta_u: ArrayLike, eta_w: ArrayLike, s: Array, pushed: Array
) -> tuple[Array, Array]:
    """Weights from the initial ones; everything but `u` and `w` broadcasts over cells.

    Parameters
    ----------
    u, w : ndarray, shape (p,)
    gamma, eta_u, eta_w : array_like
    s, pushed : ndarray
        See `growth` and `push`.

    Returns
    -------
    tuple of ndarray, shape (..., p)
    """
    gamma, eta_u, eta_w, s, pushed = (
        np.asarray(x, dtype=np.float64)[..., None] for x in (gamma, eta_u, eta_w, s, pushed)
    )
    (u_unit, u_exponent), (w_unit, w_exponent) = normalised(u), normalised(w)
    (a, a_exponent), (b, b_exponent) = binary_root(eta_w), binary_root(eta_u)
    top = np.maximum(a_exponent + u_exponent, b_exponent + w_exponent)
    p, q = sum_and_difference(
        Pair(*(scaled(part, a_exponent + u_exponent - top) for part in a)), Pair(u_unit, np.zeros_like(u)),
        Pair(*(scaled(part, b_exponent + w_exponent - top) for part in b)), np.where(gamma < 0, -w_unit, w_unit),
    )
    trains = (eta_u > 0) & (eta_w > 0)
    near = np.abs(s) < 1
    up, down = (np.where(near, np.expm1(np.where(near, x, 0.0)), np.exp(np.clip(x, -LONGEST, LONGEST)))
                for x in (s, -s))
    p, q = p * up, q * down
    u_moved = scaled((p + q) / np.where(trains, 2 * a.high, 1.0), top - a_exponent)
    w_moved = scaled((p - q) / np.where(trains, 2 * b.high, 1.0), top - b_exponent) * np.where(gamma < 0, -1.0, 1.0)
    linear = gamma * pushed
    return (
        np.where(trains, np.where(near, u, 0.0) + u_moved, u + eta_u * linear * w),
        np.where(trains, np.where(near, w, 0.0) + w_moved, w + eta_w * linear * u),
    )
