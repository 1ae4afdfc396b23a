"""Gaussian integrals by many-digit panels, and the named functions written once more: independent of the library."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
from mpmath import mp

DIGITS = 40
NODES = 44


def he(k: int) -> Callable[[Any], Any]:
    """He_k/sqrt(k!) by its recursion."""

    def function(x: Any) -> Any:
        before, now = mp.mpf(0), mp.mpf(1)
        for j in range(k):
            before, now = now, x * now - j * before
        return now / mp.sqrt(mp.factorial(k))

    return function


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": lambda x: 1 - 2 / (mp.exp(2 * x) + 1),
    "relu": lambda x: max(x, mp.mpf(0)),
    "erf": mp.erf,
    "sin": mp.sin,
    "cos": mp.cos,
    "sign": mp.sign,
    "abs": abs,
    "softplus": lambda x: mp.log1p(mp.exp(-abs(x))) + max(x, mp.mpf(0)),
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
    "linear": lambda x: x,
    **{f"he{k}": he(k) for k in (1, 2, 3, 5, 8)},
}
DERIVATIVES: dict[str, Callable[[Any], Any]] = {
    "tanh": lambda x: mp.sech(x) ** 2,
    "relu": lambda x: (1 + mp.sign(x)) / 2,
    "erf": lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x),
    "sin": mp.cos,
    "cos": lambda x: -mp.sin(x),
    "sign": lambda x: mp.mpf(0),
    "abs": mp.sign,
    "softplus": lambda x: 1 / (1 + mp.exp(-x)),
    "sigmoid": lambda x: mp.sech(x / 2) ** 2 / 4,
    "gelu": lambda x: mp.erfc(-x / mp.sqrt(2)) / 2 + x * mp.npdf(x),
    "linear": lambda x: mp.mpf(1),
    **{f"he{k}": (lambda x, k=k: mp.sqrt(k) * he(k - 1)(x)) for k in (1, 2, 3, 5, 8)},
}
KINKS = {"relu": (0.0,), "sign": (0.0,), "abs": (0.0,)}
BENDS = {"tanh": ((0.0, 1.0),), "softplus": ((0.0, 1.0),), "sigmoid": ((0.0, 2.0),), "erf": ((0.0, 0.7),),
         "gelu": ((0.0, 1.0),)}


@functools.cache
def _rule(count: int, digits: int) -> list[tuple[Any, Any]]:
    """Gauss-Legendre nodes and weights on [-1, 1], by Newton's method."""
    rule = []
    with mpmath.workdps(digits + 10):
        for i in range(1, count + 1):
            x = mp.cos(mp.pi * (i - mp.mpf(1) / 4) / (count + mp.mpf(1) / 2))
            for _ in range(8):
                before, now = mp.mpf(1), x
                for j in range(2, count + 1):
                    before, now = now, ((2 * j - 1) * x * now - (j - 1) * before) / j
                slope = count * (x * now - before) / (x * x - 1)
                x -= now / slope
            rule.append((x, 2 / ((1 - x * x) * slope**2)))
    return rule


def expectation_nodes(
    mean: float, variance: float, kinks: Sequence[Any] = (), bends: Sequence[tuple[float, float]] = (),
    widest: float = 2.0, half_range: float = 14.0,
) -> list[tuple[Any, Any]]:
    """(z, weight) for E f(mean + sqrt(variance) z): panels between kinks, finer towards bends."""
    m, s = mp.mpf(mean), mp.sqrt(mp.mpf(variance))
    count = int(mp.ceil(2 * half_range / widest))
    edges = {mp.mpf(half_range) * (2 * mp.mpf(j) / count - 1) for j in range(count + 1)}
    edges |= {(mp.mpf(kink) - m) / s for kink in kinks}
    for place, scale in bends:
        reach = mp.mpf(scale)
        while reach < 2 * half_range * s:
            edges |= {(place + side * reach - m) / s for side in (-1, 0, 1)}
            reach *= 2
    inside = sorted(edge for edge in edges if abs(edge) <= half_range)
    nodes = []
    for low, high in itertools.pairwise(inside):
        for x, weight in _rule(NODES, DIGITS):
            z = (low + high) / 2 + (high - low) / 2 * x
            nodes.append((z, (high - low) / 2 * weight * mp.npdf(z)))
    return nodes


def moments(
    function: Callable[[Any], Any], mean: float, variance: float, kinks: Sequence[Any] = (),
    bends: Sequence[tuple[float, float]] = (), widest: float = 2.0, half_range: float = 14.0,
) -> tuple[Any, Any, Any, Any]:
    """mu0 = E f, mu1 = E z f/S, mu2_sq = E (f - mu0 - mu1 S z)^2 and nu = E (z^2 - 1) f/(2 S^2), to 30 digits or so."""
    with mpmath.workdps(DIGITS):
        m, s = mp.mpf(mean), mp.sqrt(mp.mpf(variance))
        nodes = expectation_nodes(mean, variance, kinks, bends, widest, half_range)
        values = [function(m + s * z) for z, _ in nodes]
        mu0 = mp.fsum(w * f for (_, w), f in zip(nodes, values, strict=True))
        mu1 = mp.fsum(w * z * f for (z, w), f in zip(nodes, values, strict=True)) / s
        nu = mp.fsum(w * (z * z - 1) * f for (z, w), f in zip(nodes, values, strict=True)) / (2 * s * s)
        mu2_sq = mp.fsum(w * (f - mu0 - mu1 * s * z) ** 2 for (z, w), f in zip(nodes, values, strict=True))
        return mu0, mu1, mu2_sq, nu
