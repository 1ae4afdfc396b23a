"""Exponents of a large linear network and the labels they decide: section 7 of docs/theories/linear_network.md.

A scale n -> infinity; width p = n^c_p, gamma = n^-c_gamma, variances n^-c_u and n^-c_w, rates n^-e_u and n^-e_w
(arXiv:2401.07085).  Quantities go as n^x.  Everything here is piecewise linear, and exact for integers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...rationals import as_float

Numbers = NDArray[Any]
Signs = NDArray[np.int8]

GIVEN = ("c_p", "c_gamma", "c_u", "c_w", "e_u", "e_w")
TIME_LABELS = ("frozen", "trainable", "unstable")
KERNEL_LABELS = ("kernel", "feature_order_one", "feature_saddle", "disalignment")
MECHANISM_LABELS = ("none", "disalignment", "undecided", "alignment", "alignment_and_rescaling")

_HALF = Fraction(1, 2)
# c_gamma, c_u, c_w, e_u, e_w; all with c_p = 1 and uncorrelated layers
PRESETS: Mapping[str, tuple[int | Fraction, ...]] = {
    "ntk": (_HALF, 0, 0, 0, 0),
    "standard": (0, 1, 0, 0, 0),
    "standard_small_rate": (0, 1, 0, 1, 1),
    "xavier": (0, 1, 1, 0, 0),
    "mean_field": (1, 0, 0, -1, -1),
    "mup": (0, 2, 0, 1, -1),
    "small_init": (0, 2, 2, 0, 0),
    "unit_gaussian": (0, 0, 0, 1, 1),
    "small_readout": (0, 2, 0, 1, 1),
}

TOLERANCE = 1e-12
_SAFE = 2**48  # sums of a dozen of these are exact in int64 and in float64


class Exponents(NamedTuple):
    """Twice the exponents of eq. (20), and the imbalance Delta of the layers."""

    area: Numbers
    F0: Numbers
    theta0: Numbers
    kappa: Numbers
    inf: Numbers
    chi: Numbers
    imbalance: Numbers


def twice_exponents(
    c_p: Numbers, c_gamma: Numbers, c_u: Numbers, c_w: Numbers, e_u: Numbers, e_w: Numbers, correlated: bool
) -> Exponents:
    """Eq. (20): area, initial output, initial kernel, kap |A|, final kernel, feature-learning strength."""
    area = 2 * (c_p - c_gamma) - (c_u + c_w)
    first = area if correlated else area - c_p
    theta0 = 2 * (c_p - 2 * c_gamma + np.maximum(-(e_w + c_u), -(e_u + c_w)))
    kappa = -2 * c_gamma - (e_u + e_w)
    imbalance = (c_u - c_w) - (e_u - e_w)
    return Exponents(area, first, theta0, kappa, np.maximum(kappa, theta0), -area - np.abs(imbalance), imbalance)


def sign(values: Numbers, tolerance: Numbers | None = None) -> Signs:
    """-1, 0 or 1; 0 where the absolute value is below the tolerance."""
    values = np.asarray(values)
    above, below = (values > 0, values < 0) if tolerance is None else (values >= tolerance, values <= -tolerance)
    return above.astype(np.int8) - below.astype(np.int8)


def time_codes(inf: Signs) -> Signs:
    """Eq. (21): frozen, trainable or unstable in a time of order one, from the sign of x_inf."""
    return inf + np.int8(1)


def kernel_codes(chi: Signs, imbalance: Signs, anchored: Any) -> Signs:
    """Eq. (21): what becomes of the kernel, from the signs of x_chi and Delta.

    `anchored`: the initial angle of the layers is of order one (correlated layers, or a width that does not grow).
    """
    codes = np.where((imbalance == 0) & anchored, np.int8(3), np.int8(0))
    return np.where(chi >= 0, np.int8(1) + np.maximum(chi, 0), codes)


def mechanism_codes(area: Signs, anchored: Any) -> Signs:
    """Eq. (27): what becomes of the angle and the norms of the layers, from the sign of x_area."""
    grows = np.where(anchored, np.int8(1), np.int8(0))
    same = np.where(anchored, np.int8(2), np.int8(3))
    return np.where(area > 0, grows, np.where(area == 0, same, np.int8(4)))


def tolerance_of(given: Mapping[str, Numbers]) -> Numbers:
    """Below this an exponent of floating point numbers is zero; per cell."""
    largest = np.ones(())
    for values in given.values():
        largest = np.maximum(largest, np.abs(values))
    return TOLERANCE * largest


def are_exact(given: Mapping[str, Numbers]) -> bool:
    """Whether all exponents are integers or fractions."""
    return all(values.dtype.kind in "iO" for values in given.values())


def in_units(given: Mapping[str, Numbers]) -> tuple[dict[str, Numbers], int]:
    """Exact exponents as integer multiples of 1/unit: int64, or Python integers where those are too small."""
    items = {name: values.ravel().tolist() for name, values in given.items()}
    unit = math.lcm(*{Fraction(item).denominator for row in items.values() for item in set(row)})
    scaled = {name: [int(item * unit) for item in row] for name, row in items.items()}
    small = all(abs(item) < _SAFE for row in scaled.values() for item in row)
    arrays = {name: np.array(row, dtype=np.int64 if small else object).reshape(given[name].shape)
              for name, row in scaled.items()}
    return arrays, unit


def in_fractions(values: Numbers) -> Numbers:
    """Integers and fractions as an array of `Fraction`: exact also when divided."""
    result = np.empty(values.shape, dtype=object)
    result.ravel()[:] = [Fraction(item) for item in values.ravel().tolist()]
    return result


def divided(values: Numbers, divisor: int) -> NDArray[np.float64]:
    """The nearest float64 of integers over an integer."""
    return as_float(np.asarray(values / divisor))
