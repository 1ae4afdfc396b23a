"""Sums and products whose cancellation is exact, and numbers with an exponent of their own.

A pair (high, low) stands for high + low, about 32 digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Exponent = NDArray[np.int64]

ABSENT = -(1 << 20)  # exponent of zero: below every other
_SPLITTER = 134217729.0  # 2^27 + 1
_NOISE = 2.0**-98  # what a difference of pairs may be wrong by, relative to its terms


class Pair(NamedTuple):
    """high + low, with |low| at most half a unit in the last place of high."""

    high: Array
    low: Array


def two_sum(a: Array, b: Array) -> Pair:
    """a + b exactly."""
    total = a + b
    part = total - a
    return Pair(total, (a - (total - part)) + (b - part))


def two_product(a: Array, b: Array) -> Pair:
    """a b exactly, for factors below 1e140 whose product is not below 1e-290 (or is then as good as zero)."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _split(a), _split(b)
    return Pair(product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low)


def _split(a: Array) -> tuple[Array, Array]:
    scaled = _SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high


def difference_of_products(a: Array, b: Array, c: Array, d: Array) -> Array:
    """a b - c d to the last digits, and zero only if it is."""
    first, second = two_product(a, b), two_product(c, d)
    high = two_sum(first.high, -second.high)
    low = two_sum(first.low, -second.low)
    return high.high + (low.high + (high.low + low.low))


def ratio(numerator: Pair, denominator: Pair) -> Pair:
    """numerator/denominator; zero where the denominator is zero."""
    positive = denominator.high != 0
    below = np.where(positive, denominator.high, 1.0)
    high = np.where(positive, numerator.high, 0.0) / below
    product = two_product(high, below)
    rest = ((numerator.high - product.high) - product.low) + (numerator.low - high * denominator.low)
    return Pair(high, np.where(positive, rest, 0.0) / below)


def sum_and_difference(a: Pair, x: Pair, b: Pair, y: ArrayLike) -> tuple[Array, Array]:
    """a x + b y and a x - b y, accurate when they cancel; zero where nothing but rounding is left."""
    y = np.asarray(y, dtype=np.float64)
    first, second = two_product(a.high, x.high), two_product(b.high, y)
    first_low = first.low + (a.high * x.low + a.low * x.high)
    second_low = second.low + b.low * y
    noise = _NOISE * (np.abs(first.high) + np.abs(second.high))
    results = []
    for sign in (1.0, -1.0):
        high = two_sum(first.high, sign * second.high)
        total = high.high + (high.low + (first_low + sign * second_low))
        results.append(np.where(np.abs(total) <= noise, 0.0, total))
    return results[0], results[1]


# ---- numbers with an exponent of their own: mantissa * 2^exponent


def binary(x: ArrayLike) -> tuple[Array, Exponent]:
    """Mantissas in [1/2, 1) and exponents; (0, ABSENT) for zero."""
    mantissa, exponent = np.frexp(np.asarray(x, dtype=np.float64))
    return mantissa, np.where(mantissa == 0, ABSENT, exponent.astype(np.int64))


def binary_root(x: ArrayLike) -> tuple[Pair, Exponent]:
    """Square roots: a pair in [0.7, 1.5), and exponents."""
    mantissa, exponent = binary(x)
    odd = exponent & 1
    mantissa = np.ldexp(mantissa, odd.astype(np.int32))
    high = np.sqrt(mantissa)
    square = two_product(high, high)
    low = ((mantissa - square.high) - square.low) / np.where(high == 0, 1.0, 2 * high)
    return Pair(high, low), np.where(mantissa == 0, ABSENT, (exponent - odd) // 2)


def scaled(mantissa: Array, exponent: Exponent) -> Array:
    """mantissa * 2^exponent: inf where it is too large, zero where it is too small."""
    own, shift = np.frexp(mantissa)
    total = np.where(own == 0, 0, exponent + shift)
    fits = np.ldexp(own, np.clip(total, -1200, 1024).astype(np.int32), where=total <= 1024, out=np.zeros(total.shape))
    return np.where(total > 1024, np.copysign(np.inf, own), fits)


def exponent_of(mantissa: Array, exponent: Exponent) -> Exponent:
    """The exponent of mantissa * 2^exponent as a number in [1/2, 1); ABSENT for zero."""
    own, shift = np.frexp(mantissa)
    return np.where(own == 0, ABSENT, exponent + shift)
