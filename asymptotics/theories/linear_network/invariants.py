"""What the flow conserves or starts from: |p|, |q|, F0, kap, area, R; equations (4) and (5).

Two vectors span a plane.  With w = (|w|, 0) and u = (slope |w|, across) everything else is a formula of numbers, the
same for given weights and for given overlaps, and the differences sqrt(eta_w) u - sqrt(eta_u) w keep all digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .exact import (
    ABSENT,
    Array,
    Exponent,
    Pair,
    binary,
    binary_root,
    difference_of_products,
    ratio,
    scaled,
    sum_and_difference,
    two_product,
)

Choice = Callable[[Any], Any]

ROUNDED = 1e-12  # uw^2 may exceed uu ww by this, relatively: they were rounded


class Layers(NamedTuple):
    """The plane of the two layers, each in units of its own power of two.

    Attributes
    ----------
    length : ndarray
        |w|.
    slope : Pair
        <u, w>/|w|^2; zero if w = 0.
    across : ndarray
        Norm of the part of u that is orthogonal to w.
    overlap : ndarray
        <u, w>.
    u_exponent, w_exponent : ndarray of int
        Binary exponents of the units.
    possible : ndarray of bool
        Whether there are such weights: uw^2 <= uu ww.
    """

    length: Array
    slope: Pair
    across: Array
    overlap: Array
    u_exponent: Exponent
    w_exponent: Exponent
    possible: NDArray[np.bool_]

    def select(self, choose: Choice) -> Layers:
        """The same with every array replaced by what is chosen of it."""
        first, slope, *others = self
        return Layers(choose(first), Pair(choose(slope.high), choose(slope.low)), *map(choose, others))


def layers_of_weights(u: ArrayLike, w: ArrayLike) -> Layers:
    """The plane of two vectors; across = 0 exactly if they are parallel."""
    u, u_exponent = normalised(u)
    w, w_exponent = normalised(w)
    overlap, squared = _exact_dot(u, w), _exact_dot(w, w)
    pivot = int(np.argmax(np.abs(w)))
    if w[pivot] == 0:
        across = u
    else:
        # u = (u_pivot/w_pivot) w + rest, and the rest is far from parallel to w, which is largest where it vanishes
        rest = difference_of_products(u, w[pivot], u[pivot], w) / w[pivot]
        across = rest - (rest @ w) / squared.high * w if np.any(rest) else rest
    return Layers(
        np.sqrt(squared.high), ratio(overlap, squared), _norm(across), overlap.high,
        np.asarray(u_exponent), np.asarray(w_exponent), np.asarray(True),
    )


def layers_of_overlaps(uu: ArrayLike, ww: ArrayLike, uw: ArrayLike) -> Layers:
    """The plane of two vectors of these overlaps |u|^2, |w|^2, <u, w>."""
    (u_norm, u_exponent), (w_norm, w_exponent) = binary_root(uu), binary_root(ww)
    uu, ww, uw = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (uu, ww, uw)))
    absent = (u_norm.high == 0) | (w_norm.high == 0)
    uu = _rescaled(uu, np.where(u_norm.high == 0, 0, -2 * u_exponent))
    ww = _rescaled(ww, np.where(w_norm.high == 0, 0, -2 * w_exponent))
    possible = ~absent | (uw == 0)
    uw = np.clip(np.where(absent, 0.0, scaled(uw, np.where(absent, 0, -u_exponent - w_exponent))), -4.0, 4.0)
    area = difference_of_products(uu, ww, uw, uw)
    possible = possible & (area >= -ROUNDED * uu * ww)
    nothing = np.zeros(uu.shape)
    length = np.sqrt(ww)
    across = np.where(ww == 0, np.sqrt(uu), np.sqrt(np.maximum(area, 0.0)) / np.where(ww == 0, 1.0, length))
    slope = ratio(Pair(uw, nothing), Pair(ww, nothing))
    return Layers(length, slope, across, uw, u_exponent, w_exponent, possible)


class Invariants(NamedTuple):
    """What the trajectory depends on; norms and kap each as a mantissa with a binary exponent, for abs(gamma).

    Attributes
    ----------
    p_norm, q_norm : ndarray
        sqrt(bP) and sqrt(bQ): norms of gamma (sqrt(eta_w) u +- sqrt(eta_u) w), in units of 2^exponent.
    imbalance : ndarray
        gamma^2 R = <p, q>, in units of 4^exponent.
    exponent : ndarray of int
    kap : ndarray
        2 abs(gamma) sqrt(eta_u eta_w), in units of 2^kap_exponent.
    kap_exponent : ndarray of int
    F0 : ndarray
        gamma <u, w>; infinite if it is out of range.
    Ar : ndarray
        abs(gamma) area; infinite if it is out of range.
    possible : ndarray of bool
    """

    p_norm: Array
    q_norm: Array
    imbalance: Array
    exponent: Exponent
    kap: Array
    kap_exponent: Exponent
    F0: Array
    Ar: Array
    possible: NDArray[np.bool_]

    def select(self, choose: Choice) -> Invariants:
        """The same with every array replaced by what is chosen of it."""
        return Invariants(*map(choose, self))


def invariants(layers: Layers, gamma: ArrayLike, eta_u: ArrayLike, eta_w: ArrayLike) -> Invariants:
    """Equations (4) and (5) for each cell; gamma < 0 flips w."""
    factor, factor_exponent = binary(np.abs(gamma))
    sign = np.where(np.asarray(gamma) < 0, -1.0, 1.0)
    (a, a_exponent), (b, b_exponent) = binary_root(eta_w), binary_root(eta_u)
    kap, kap_exponent = 2 * factor * a.high * b.high, np.maximum(factor_exponent + a_exponent + b_exponent, ABSENT)
    u_exponent, w_exponent = a_exponent + layers.u_exponent, b_exponent + layers.w_exponent
    exponent = np.maximum(u_exponent, w_exponent)
    exponent = np.where(exponent < ABSENT // 2, 0, exponent)
    a = Pair(*(_rescaled(x, u_exponent - exponent) for x in a))
    b = Pair(*(_rescaled(x, w_exponent - exponent) for x in b))
    slope = Pair(sign * layers.slope.high, sign * layers.slope.low)
    plus, minus = sum_and_difference(a, slope, b, 1.0)
    plus, minus, across = plus * layers.length, minus * layers.length, a.high * layers.across
    unit = factor_exponent + layers.u_exponent + layers.w_exponent
    return Invariants(
        p_norm=factor * np.hypot(plus, across),
        q_norm=factor * np.hypot(minus, across),
        imbalance=factor**2 * (plus * minus + across**2),
        exponent=exponent + factor_exponent,
        kap=kap,
        kap_exponent=kap_exponent,
        F0=scaled(sign * factor * layers.overlap, unit),
        Ar=scaled(factor * layers.length * layers.across, unit),
        possible=layers.possible,
    )


class KernelInvariants(NamedTuple):
    """The invariants as plain numbers: bP, bQ (NTK units), F0, kap, area (of u and w) and R."""

    bP: Array
    bQ: Array
    F0: Array
    kap: Array
    area: Array
    R: Array


def kernel_invariants(
    uu: ArrayLike, ww: ArrayLike, uw: ArrayLike, gamma: ArrayLike, eta_u: ArrayLike, eta_w: ArrayLike
) -> KernelInvariants:
    """Equations (4) and (5) from overlaps, as plain numbers; NaN where uw^2 > uu ww."""
    return plain_invariants(layers_of_overlaps(uu, ww, uw), gamma, eta_u, eta_w)


def plain_invariants(layers: Layers, gamma: ArrayLike, eta_u: ArrayLike, eta_w: ArrayLike) -> KernelInvariants:
    """The invariants of a pair of layers as plain numbers."""
    found = invariants(layers, gamma, eta_u, eta_w)
    factor, factor_exponent = binary(gamma)
    values = (
        scaled(found.p_norm**2, 2 * found.exponent),
        scaled(found.q_norm**2, 2 * found.exponent),
        found.F0,
        scaled(found.kap, found.kap_exponent),
        scaled(layers.length * layers.across, layers.u_exponent + layers.w_exponent),
        scaled(found.imbalance / factor**2, 2 * (found.exponent - factor_exponent)),
    )
    return KernelInvariants(*(np.where(found.possible, value, np.nan) for value in values))


def given_invariants(bP: ArrayLike, bQ: ArrayLike, F0: ArrayLike, kap: ArrayLike) -> Invariants:
    """Invariants that are known as plain numbers; area and imbalance are not known (NaN)."""
    bP, bQ, F0, kap = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (bP, bQ, F0, kap)))
    zero = np.zeros(bP.shape, dtype=np.int64)
    unknown = np.full(bP.shape, np.nan)
    return Invariants(np.sqrt(bP), np.sqrt(bQ), unknown, zero, kap, zero, F0, unknown, np.ones(bP.shape, dtype=bool))


# ---- vectors


def normalised(vector: ArrayLike) -> tuple[Array, int]:
    """A vector whose largest entry is in [1/2, 1), and the exponent that was taken out; ABSENT for zero."""
    vector = np.asarray(vector, dtype=np.float64)
    exponent = int(binary(np.max(np.abs(vector)))[1])
    return (vector, exponent) if exponent == ABSENT else (_rescaled(vector, np.asarray(-exponent)), exponent)


def _rescaled(x: Array, exponent: Exponent) -> Array:
    """x 2^exponent, in two steps: exponents may be as far apart as those of the smallest and the largest number."""
    half = np.clip(exponent, -2000, 2000) // 2
    return np.ldexp(np.ldexp(x, half.astype(np.int32)), (np.clip(exponent, -2000, 2000) - half).astype(np.int32))


def _exact_dot(x: Array, y: Array) -> Pair:
    """<x, y> as a pair, without rounding before the end."""
    product = two_product(x, y)
    terms = [*product.high.tolist(), *product.low.tolist()]
    high = math.fsum(terms)
    return Pair(np.asarray(high), np.asarray(math.fsum([*terms, -high])))


def _norm(x: Array) -> Array:
    largest = np.max(np.abs(x))
    return largest * np.sqrt(np.sum((x / largest) ** 2)) if largest else largest
