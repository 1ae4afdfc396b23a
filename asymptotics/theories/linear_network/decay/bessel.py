"""Ratios of modified Bessel functions of neighbouring orders, and what they integrate to; equations (9) - (13).

Everything is in units of `m`, the decay rate in units of the kernel: order = a/m and X = x/m, so that m may be tiny.

Equations are numbered as in docs/theories/linear_network_decay.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..constants import LARGEST, SMALLEST
from ..exact import Array
from ..ratios import expm1_ratio
from .uniform import LARGE, integral_sum, product_sum, ratio_sums

NODES, WEIGHTS = (0.5 * np.polynomial.legendre.leggauss(12)[0] + 0.5, 0.5 * np.polynomial.legendre.leggauss(12)[1])
SHORT = 1.0  # intervals of ln X up to which integrals are done by quadrature


class Ratios(NamedTuple):
    """m X K_{a+1/2}/K_{a-1/2}(X) and I_{a+1/2}/I_{a-1/2}(X)/(m X)."""

    K: Array
    I: Array  # noqa: E741


def ratios(a: Array, x: Array, m: Array) -> Ratios:
    """Equations (9) and (11) for flat arrays; a, x and m as in the heading, x > 0 where hypot(a, x) < LARGE m."""
    h = np.hypot(a, x)
    large = h >= LARGE * m
    found = Ratios(np.empty(a.shape), np.empty(a.shape))
    for where, rule in ((large, _large_ratios), (~large, _moderate_ratios)):
        if np.any(where):
            for out, values in zip(found, rule(a[where], x[where], m[where]), strict=True):
                out[where] = values
    return found


def _large_ratios(a: Array, x: Array, m: Array) -> Ratios:
    h = np.hypot(a, x)
    t, inverse = a / h, m / h
    plus, minus = ratio_sums(t, inverse)
    return Ratios((1 + t) * (h + t * m * plus), (1 + t * inverse * minus) / (h + a))


def _moderate_ratios(a: Array, x: Array, m: Array) -> Ratios:
    from scipy.special import ive, kve

    order, X = a / m, x / m
    K = x * (kve(order + 0.5, X) / kve(np.abs(order - 0.5), X))
    return Ratios(K, ive(order + 0.5, X) / ive(order - 0.5, X) / x)


def attenuation(n: Array, a: Array, x: Array, m: Array, length: Array, tau: Array) -> Array:
    """ln of [I_n(X')/K_n(X')] / [I_n(X)/K_n(X)], X' = X e^{-length}, with relative accuracy; equations (10), (13).

    Parameters
    ----------
    n, a, x, m : ndarray
        Order, the order that decides between the series and the functions themselves, and argument, in units of m.
        n may be negative, down to -m/2.
    length, tau : ndarray
        length = 2 m tau.
    """
    h, few = np.hypot(a, x), a < LARGE * m
    # X where the series end
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        last = np.sqrt(np.maximum(LARGE * m - a, 0.0)) * np.sqrt(LARGE * m + a)
        until = np.where(few & (h >= LARGE * m), np.log(x / np.where(few, np.maximum(last, SMALLEST), 1.0)), 0.0)
    first = np.where(few, np.clip(until, 0.0, length), length)
    total = np.zeros(n.shape)
    where = first > 0
    if np.any(where):
        whole = first[where] == length[where]
        part = np.where(whole, tau[where], first[where] / (2 * np.where(whole, 1.0, m[where])))
        total[where] = _large_attenuation(np.abs(n[where]), x[where], m[where], first[where], part)
    where = first < length
    if np.any(where):
        X = x[where] / m[where] * np.exp(-first[where])
        total[where] += _moderate_attenuation(n[where] / m[where], X, length[where] - first[where])
    # length = 0 because m = 0: nothing decays, and X is infinite
    where = (length == 0) & (tau > 0)
    if np.any(where):
        total[where] = -4 * tau[where] * np.hypot(n[where], x[where])
    return total


def _large_attenuation(n: Array, x: Array, m: Array, length: Array, tau: Array) -> Array:
    end = x * np.exp(-length)
    h0, h = np.hypot(n, x), np.hypot(n, end)
    fall = x * x / (h0 + h) * (4 * tau * mean_decay(2 * length))
    with np.errstate(over="ignore"):
        part = fall / (n + h)
        rest = m / (n + h) * fall
        leading = fall + n * (2 * tau - np.where(rest < 1e-300, part, np.log1p(rest) / np.maximum(m, SMALLEST)))
    short = length < SHORT
    correction = np.empty(n.shape)
    if np.any(short):
        correction[short] = _product_integral(n[short], x[short], m[short], length[short])
    if not np.all(short):
        far = ~short
        start, stop = (integral_sum((n[far] / h[far]) ** 2, m[far] / h[far]) for h in (h0, h))
        correction[far] = start - stop
    return -2 * np.minimum(leading + correction, LARGEST)


def _product_integral(n: Array, x: Array, m: Array, length: Array) -> Array:
    total = np.zeros(n.shape)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        h = np.hypot(n, x * np.exp(-length * node))
        total += weight * product_sum((n / h) ** 2, m / h)
    return length * total


def _moderate_attenuation(order: Array, X: Array, length: Array) -> Array:
    """From the functions themselves; those of negative order -n are I_n + (2/pi) sin(n pi) K_n."""
    size = np.abs(order)
    extra = np.where(order < 0, 2 / np.pi * np.sin(np.pi * size), 0.0)
    total = np.empty(order.shape)
    short = length < SHORT
    if np.any(short):
        total[short] = _quadrature(size[short], extra[short], X[short], length[short])
    far = ~short
    if np.any(far):
        total[far] = _difference(size[far], extra[far], X[far], length[far])
    return total


def _quadrature(order: Array, extra: Array, X: Array, length: Array) -> Array:
    from scipy.special import ive, kve

    total = np.zeros(order.shape)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        at = X * np.exp(-length * node)
        decaying = kve(order, at)
        total += weight / (decaying * (ive(order, at) + extra * np.exp(-2 * at) * decaying))
    return -length * total


def _difference(order: Array, extra: Array, X: Array, length: Array) -> Array:
    start, stop = (_log_ratio(order, at) for at in (X, X * np.exp(-length)))
    mixed = extra > 0
    start_value, stop_value = (np.exp(np.where(mixed, value, 0.0)) for value in (start, stop))
    change = (stop_value - start_value) / (extra + start_value)
    near = change > -0.5
    small = np.log1p(np.where(near, change, 0.0))
    large = np.log(extra + stop_value) - np.log(extra + start_value)
    return np.where(mixed, np.where(near, small, large), stop - start)


def _log_ratio(order: Array, X: Array) -> Array:
    """ln(I/K)."""
    from scipy.special import ive, kve

    return np.log(ive(order, X)) - np.log(kve(order, X)) + 2 * X


def mean_decay(x: Array) -> Array:
    """(1 - e^-x)/x."""
    return expm1_ratio(-x)


def excess(a: Array, x: Array, m: Array) -> Array:
    """(K_{a+1/2}/K_{a-1/2}(X) - 1)/(4 a) in units of 1/m, with relative accuracy for a -> 0; equation (16)."""
    large = np.hypot(a, x) >= LARGE * m
    out = np.empty(a.shape)
    if np.any(large):
        own, y, unit = a[large], x[large], m[large]
        h = np.hypot(own, y)
        plus, _ = ratio_sums(own / h, unit / h)
        out[large] = (1 + own / (h + y) + unit / h * (1 + own / h) * plus) / (4 * y)
    few = ~large
    if np.any(few):
        out[few] = _moderate_excess(a[few] / m[few], x[few] / m[few]) / (4 * m[few])
    return out


def _moderate_excess(order: Array, X: Array) -> Array:
    """2 int e^{-X cosh s} (sinh(a s)/a) sinh(s/2) ds / K, by the trapezoidal rule."""
    from scipy.special import kve

    step = 0.12
    total = np.zeros(order.shape)
    for i in range(1, 1 + int(np.ceil(np.arccosh(1 + 70 / np.min(X)) / step))):
        s = i * step
        weight = np.exp(-X * (np.cosh(s) - 1))
        near = order * s < 1e-150
        total += weight * np.sinh(s / 2) * np.where(near, s, np.sinh(order * s) / np.where(near, 1.0, order))
    return 2 * step * total / kve(np.abs(order - 0.5), X)
