"""When the network gets there: times to a level, equation (15), points of inflection, equation (16)."""

from __future__ import annotations

import numpy as np

from .constants import SMALLEST, Constants, Mask
from .exact import Array


def time_to_reach(c: Constants, F: Array, left: Array, done: Array) -> Array:
    """Time at which the coefficient is F; equation (15).

    Parameters
    ----------
    c : Constants
    F : ndarray
    left, done : ndarray
        r/r0 and 1 - r/r0 there, each with all its digits; from r/r0 = 1 on the time is zero, below 0 it is infinite.
    """
    kap_F = c.kap * np.where(np.isfinite(F), F, 0.0)
    S, S0 = np.hypot(kap_F, c.Gam), 0.5 * (c.bP + c.bQ)
    larger = S + np.abs(kap_F)
    smaller = c.Gam / np.where(larger > 0, larger, 1.0) * c.Gam
    v, q = np.where(kap_F >= 0, larger, smaller), np.where(kap_F >= 0, smaller, larger)
    ap, am = c.ap * c.Th, c.am * c.Th
    first = c.bP >= c.bQ
    start, state = np.where(first, c.bP, c.bQ), np.where(first, v, q)
    near, far = np.where(first, am, ap), np.where(first, ap, am)
    never = _never(c, F, left)
    usable = ~never & (c.r0 != 0) & (left < 1) & (done > 0) & (start > 0) & (state + near > 0)
    start, state, S, S0 = (np.where(usable, x, 1.0) for x in (start, state, S, S0))
    left, done = np.where(usable, left, 0.5), np.where(usable, done, 0.5)
    D = done * (((state + start) / (near + state)) * ((start + near) / start)) / (S + S0)
    d = np.minimum(c.Th * D, 1.0)
    with np.errstate(over="ignore"):  # inf is meant
        linear = D / np.maximum(c.k, SMALLEST)
        below = np.where(c.rate > 0, c.rate, 1.0)
        early = -np.log1p(-np.minimum(d, 0.5)) / below
        ratio = _log_ratio(start + far, start + near) - _log_ratio(state + far, state + near)
        late = (ratio - np.log(left) + np.log((S + c.Th) / (S0 + c.Th))) / below
    time = np.where((c.rate == 0) | (d < SMALLEST), linear, np.where(d < 0.5, early, late))
    return np.where(never, np.inf, np.where(usable, time, 0.0))


def _log_ratio(a: Array, b: Array) -> Array:
    """ln(a/b), also where a/b underflows."""
    ratio = a / b
    tiny = ratio < SMALLEST
    separate = np.log(np.where(tiny & (a > 0), a, 1.0)) - np.log(b)
    return np.where(tiny, separate, np.log(np.where(tiny, 1.0, ratio)))


def _never(c: Constants, F: Array, left: Array) -> Mask:
    """Whether the flow stops before the level, or moves away from it."""
    rests = (c.bP == 0) & (c.bQ == 0)
    blocked = ((c.A > 0) & (c.bP == 0) & (F >= 0)) | ((c.A < 0) & (c.bQ == 0) & (F <= 0))
    return (left < 0) | ((left < 1) & ((left == 0) | rests | blocked) & (c.r0 != 0))


def inflections(c: Constants) -> tuple[Array, Array]:
    """Coefficients at which dF/dt has a minimum (plateau) and a maximum; NaN if they are not passed; equation (16)."""
    positive = (c.kap > 0) & (c.A != 0)
    with np.errstate(over="ignore"):
        width = c.Gam / np.where(positive, c.kap, 1.0) / np.where(positive, c.A, 1.0)
        discriminant = 1 - 8 * width**2
    exists = positive & (discriminant > 0)
    root = np.sqrt(np.where(exists, discriminant, 0.0))
    width = np.where(exists, width, 0.0)
    points = (2 * c.A * width**2 / (1 + root), 0.25 * c.A * (1 + root))
    low, high = np.minimum(c.F0, c.A), np.maximum(c.F0, c.A)
    plateau, steepest = (np.where(exists & (point > low) & (point < high), point, np.nan) for point in points)
    return plateau, steepest
