"""Orthonormal Hermite polynomials h_k = He_k/sqrt(k!) under N(0, 1)."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .members import MEMBERS
from .quadrature import Array

if TYPE_CHECKING:
    from .nonlinearity import Nonlinearity


_FIRST_LEVEL = 2  # of tanh-sinh quadrature


def hermite_polynomial(degree: int) -> Array:
    """Power-basis coefficients of h_degree, correctly rounded."""
    integers = [int(a) for a in np.polynomial.hermite_e.herme2poly([0.0] * degree + [1.0])]
    factorial, digits = math.factorial(degree), 1 << 200
    roots = [math.isqrt(a * a * digits * digits // factorial) / digits for a in integers]
    return np.array([math.copysign(root, a) if a else 0.0 for root, a in zip(roots, integers, strict=True)])


def hermite_functions(x: Array, degree: int) -> Array:
    """h_k(x) sqrt(phi(x)) for k = 0..degree, shape (degree + 1, len(x)); bounded, whatever the degree."""
    functions = np.zeros((degree + 1, x.size))
    functions[0] = np.exp(-0.25 * x * x) / (2 * math.pi) ** 0.25
    if degree:
        functions[1] = x * functions[0]
    for k in range(1, degree):
        functions[k + 1] = (x * functions[k] - math.sqrt(k) * functions[k - 1]) / math.sqrt(k + 1)
    return functions


def exact_coefficients(function: Nonlinearity, degree: int, digits: int) -> list[Any]:
    """E[sigma h_k], k = 0..degree, as mpmath numbers of `digits` digits.

    Polynomials and members with closed forms by these, the rest by tanh-sinh quadrature between kinks and bends, all
    degrees on the same nodes, refined until nothing changes.  Digits are relative to each coefficient, however small;
    what is zero to all digits of the working precision is returned as zero.
    """
    import mpmath

    if degree < 0 or digits < 1:
        raise ValueError(f"degree must be >= 0 and digits >= 1, got {degree} and {digits}")
    norm, guard = mpmath.mpf(function.second_moment()) ** 0.5, 15
    while True:
        with mpmath.workdps(digits + guard):
            noise = norm * mpmath.mpf(10) ** (8 - digits - guard)
            coefficients = _coefficients(function, degree, noise, mpmath.mp)
            coefficients = [c if abs(c) > noise else mpmath.mpf(0) for c in coefficients]
            smallest = min((abs(c) for c in coefficients if c), default=norm)
            lost = max(int(mpmath.log10(norm / smallest)) + 1, 0) if norm else 0
        if guard >= lost + 10:
            with mpmath.workdps(digits):
                return [+c for c in coefficients]
        guard = lost + 15


def _coefficients(function: Nonlinearity, degree: int, noise: Any, mp: Any) -> list[Any]:
    """Coefficients with errors below `noise`, some 10^-dps of their norm."""
    polynomial, terms = function.exact_form(mp)
    total = _of_polynomial(polynomial, degree, mp)
    parts = [term for term in terms if term[1] not in _CLOSED_FORMS]
    for a, g, b, c in terms:
        if g in _CLOSED_FORMS:
            closed = _CLOSED_FORMS[g](b, c, degree, mp)
            total = [one + a * two for one, two in zip(total, closed, strict=True)]
    if parts:
        breaks = [(place - c) / b for _, g, b, c in parts for place in g.exact_breaks(mp)]

        def remainder(x: Any) -> Any:
            return sum(a * g.exact(b * x + c, mp) for a, g, b, c in parts)

        integrals = _by_quadrature(remainder, breaks, degree, noise / 10, mp)
        total = [one + two for one, two in zip(total, integrals, strict=True)]
    if function.parity:
        total = [c if (-1) ** k == function.parity else mp.zero for k, c in enumerate(total)]
    return [c / mp.sqrt(mp.factorial(k)) for k, c in enumerate(total)]


# ---- E[g(b z + c) He_k(z)] = b^k (d/dc)^k E g(b z + c)


def _of_polynomial(polynomial: list[Any], degree: int, mp: Any) -> list[Any]:
    """E[z^j He_k] = j!/(2^i i!), i = (j - k)/2."""
    return [
        sum((a * mp.factorial(j) / (2**i * mp.factorial(i)) for j, a in enumerate(polynomial)
             if j >= k and (j - k) % 2 == 0 for i in [(j - k) // 2]), mp.zero)
        for k in range(degree + 1)
    ]


def _cdf_derivatives(y: Any, count: int, mp: Any) -> list[Any]:
    """Phi and its first `count` derivatives."""
    derivatives = [mp.ncdf(y), mp.npdf(y)]
    for j in range(1, count):
        derivatives.append(-y * derivatives[j] - ((j - 1) * derivatives[j - 1] if j > 1 else 0))
    return derivatives


def _of_relu(b: Any, c: Any, degree: int, mp: Any) -> list[Any]:
    cdf = _cdf_derivatives(c / b, degree + 1, mp)
    return [c * cdf[0] + b * cdf[1], *(b * derivative for derivative in cdf[:degree])]


def _of_sign(b: Any, c: Any, degree: int, mp: Any) -> list[Any]:
    cdf = _cdf_derivatives(c / b, degree, mp)
    return [2 * cdf[0] - 1, *(2 * derivative for derivative in cdf[1:degree + 1])]


def _of_erf(b: Any, c: Any, degree: int, mp: Any) -> list[Any]:
    factor = mp.sqrt(2 / (1 + 2 * b * b))
    cdf = _cdf_derivatives(factor * c, degree, mp)
    return [2 * cdf[0] - 1, *(2 * (factor * b) ** k * cdf[k] for k in range(1, degree + 1))]


def _of_gelu(b: Any, c: Any, degree: int, mp: Any) -> list[Any]:
    """E g = c Phi(y) + (b^2/tau) phi(y), tau^2 = 1 + b^2, y = c/tau."""
    tau = mp.sqrt(1 + b * b)
    y = c / tau
    cdf = _cdf_derivatives(y, degree + 1, mp)
    means = [c * cdf[0] + b * b / tau * cdf[1]]
    for k in range(1, degree + 1):
        means.append((b / tau) ** k * (c * cdf[k] + tau * k * cdf[k - 1] + b * b / tau * cdf[k + 1]))
    return means


def _of_wave(start: int, b: Any, c: Any, degree: int, mp: Any) -> list[Any]:
    """sin (start = 0) and cos (start = 1): each is the derivative of the one before."""
    cycle = [mp.sin(c), mp.cos(c), -mp.sin(c), -mp.cos(c)]
    return [mp.exp(-b * b / 2) * b**k * cycle[(start + k) % 4] for k in range(degree + 1)]


_CLOSED_FORMS: dict[Any, Callable[..., list[Any]]] = {
    MEMBERS["relu"]: _of_relu,
    MEMBERS["sign"]: _of_sign,
    MEMBERS["erf"]: _of_erf,
    MEMBERS["gelu"]: _of_gelu,
    MEMBERS["sin"]: functools.partial(_of_wave, 0),
    MEMBERS["cos"]: functools.partial(_of_wave, 1),
}


# ---- quadrature


def _by_quadrature(value: Callable[[Any], Any], breaks: list[Any], degree: int, noise: Any, mp: Any) -> list[Any]:
    """E[f He_k] by tanh-sinh quadrature on the panels between the breaks, with halved steps until nothing changes."""
    half_range = mp.sqrt(2 * mp.log(10) * mp.dps) + 1
    while max(abs(value(x)) * abs(x) ** degree * mp.npdf(x) for x in (-half_range, half_range)) > mp.eps:
        half_range *= mp.mpf("1.1")
    inner = sorted(place for place in {*breaks, mp.zero} if abs(place) < half_range)
    edges = [-half_range, *inner, half_range]
    sums: list[Any] = [mp.zero] * (degree + 1)

    def add(level: int) -> None:
        for distance, weight in _tanh_sinh_nodes(level, mp):
            for low, high in itertools.pairwise(edges):
                half = (high - low) / 2
                for x in (low + half * distance, high - half * distance)[: 1 if distance == 1 else 2]:
                    term = half * weight * value(x) * mp.npdf(x)
                    before, polynomial = mp.zero, mp.one
                    for k in range(degree + 1):
                        sums[k] += term * polynomial
                        before, polynomial = polynomial, x * polynomial - k * before

    coarse: list[Any] = []
    for level in range(_FIRST_LEVEL, _FIRST_LEVEL + 14):
        add(level)
        step = mp.mpf(2) ** -level
        fine = [step * total / mp.sqrt(mp.factorial(k)) for k, total in enumerate(sums)]
        if coarse and max(abs(one - two) for one, two in zip(fine, coarse, strict=True)) <= noise:
            return [step * total for total in sums]
        coarse = fine
    raise ValueError("has Hermite coefficients that could not be computed to this many digits")


def _tanh_sinh_nodes(level: int, mp: Any) -> Iterator[tuple[Any, Any]]:
    """(distance from the end of [-1, 1], weight) of the nodes that the step 2^-level adds to the coarser ones."""
    index, stride = (0, 1) if level == _FIRST_LEVEL else (1, 2)
    while True:
        t = mp.ldexp(index, -level)
        e = mp.exp(-mp.pi * mp.sinh(t))
        weight = 2 * mp.pi * mp.cosh(t) * e / (1 + e) ** 2
        if weight < mp.eps / 1000:
            return
        yield 2 * e / (1 + e), weight
        index += stride
