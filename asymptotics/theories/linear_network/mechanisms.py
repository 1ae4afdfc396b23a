"""The three mechanisms of feature learning, order parameters and regions: docs/theories/linear_network.md, section 8.

The state of a linear network is seen through its coefficient F and two constants in the same units: the area `Ar` of
its layers and their imbalance `Im`.  Training moves F from F0 to A (arXiv:2401.07085).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

MECHANISMS = ("kernel", "alignment", "disalignment", "rescaling")
THRESHOLD = 0.05


class OrderParameters(NamedTuple):
    """How training changes angle, norms and kernel.

    Attributes
    ----------
    alignment_change : ndarray
        |cos_inf| - |cos_0|: > 0 alignment, < 0 disalignment of the layers; NaN where an angle is not defined.
    ln_rescaling : ndarray
        ln of (|u||w|)_inf / (|u||w|)_0.
    ln_ntk_ratio : ndarray
        ln of Theta_inf / Theta_0.
    """

    alignment_change: Array
    ln_rescaling: Array
    ln_ntk_ratio: Array


def order_parameters(F0: ArrayLike, A: ArrayLike, Ar: ArrayLike, Im: ArrayLike = 0.0) -> OrderParameters:
    """Alignment, rescaling and kernel change from F0 to A; eqs. (24), (25), (26).

    All three have the sign of |A| - |F0| (or vanish), and keep their relative accuracy where they are small.

    Parameters
    ----------
    F0, A : array_like
        Coefficients at the start and at the end.
    Ar, Im : array_like
        Area and imbalance of the layers, in units of F; Im is infinite where one layer is not trained.

    Returns
    -------
    OrderParameters
    """
    start, end, area, imbalance = (np.abs(np.asarray(value, dtype=np.float64)) for value in (F0, A, Ar, Im))
    return OrderParameters(
        alignment_change(start, end, area),
        ln_norm_ratio(start, end, area),
        np.where(np.isinf(imbalance), 0.0,
                 ln_norm_ratio(start, end, np.hypot(area, np.where(np.isinf(imbalance), 0.0, imbalance)))),
    )


def alignment_change(start: Array, end: Array, area: Array) -> Array:
    """|cos_inf| - |cos_0| with cos = F/sqrt(F^2 + Ar^2), of absolute values; eq. (24)."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    short, long = np.hypot(low, area), np.hypot(high, area)
    defined = short > 0
    short, long = np.where(defined, short, 1.0), np.where(defined, long, 1.0)
    cosines, sines = (low / short, high / long), (area / short, area / long)
    # (c1^2 - c0^2)/(c1 + c0) if they are close; (1 - c0) - (1 - c1) if c0 is not small; c1 - c0
    close = (high <= 2 * low) & (low > 0)
    total = np.where(close, cosines[0] + cosines[1], 1.0)
    near = sines[0] * sines[1] * ((high - low) / np.where(close, short, np.inf)) * (
        (high + low) / np.where(close, long, np.inf)) / total
    versine = sines[0] ** 2 / (1 + cosines[0]) - sines[1] ** 2 / (1 + cosines[1])
    change = np.where(close, near, np.where(cosines[0] > 0.5, versine, cosines[1] - cosines[0]))
    return np.where(defined, np.where(end >= start, change, -change), np.nan)


def ln_norm_ratio(start: Array, end: Array, constant: Array) -> Array:
    """ln sqrt((A^2 + x^2)/(F0^2 + x^2)) for x = Ar, eq. (25), and x^2 = Ar^2 + Im^2, eq. (26); of absolute values."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    short, long = np.hypot(low, constant), np.hypot(high, constant)
    near = (high <= 2 * short) & (short > 0)
    unit = np.where(near, short, 1.0)
    excess = np.where(near, (high - low) / unit, 0.0) * (np.where(near, high + low, 0.0) / unit)
    far = _ln(long) - _ln(np.where(short > 0, short, 1.0))
    size = np.where(near, 0.5 * np.log1p(excess), np.where(short > 0, far, np.where(long > 0, np.inf, np.nan)))
    return np.where(end >= start, size, -size)


def region(change: Array, ntk_ratio: Array, threshold: Any = THRESHOLD) -> NDArray[np.int8]:
    """Positions in `MECHANISMS`; eq. (27).

    Parameters
    ----------
    change : ndarray
        |cos_inf| - |cos_0|.
    ntk_ratio : ndarray
        Theta_inf / Theta_0.
    threshold : array_like
        What counts as a change, of the cosine and of the ratio.
    """
    codes = np.where(np.abs(ntk_ratio - 1) > threshold, np.int8(3), np.int8(0))
    np.copyto(codes, np.int8(1), where=change > threshold)
    np.copyto(codes, np.int8(2), where=change < -threshold)
    return codes


def _ln(values: Array) -> Array:
    """ln of positive numbers; 0 is left to the caller."""
    return np.log(np.where(values > 0, values, 1.0))
