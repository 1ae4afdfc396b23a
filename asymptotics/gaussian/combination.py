"""Polynomial plus elementary functions of affine arguments: the form that keeps closed forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .members import Member
from .moments import Moments, integrate_moments
from .nonlinearity import Nonlinearity
from .polynomials import differentiate, polynomial_moments, polynomial_value
from .quadrature import Array

MAX_DEGREE = 24
SHORTEST_RIPPLE = 1e-3

Term = tuple[float, Member, float, float]  # coefficient, g, b, c  of  coefficient * g(b x + c),  b > 0


class Combination(Nonlinearity):
    """polynomial(x) + sum_i a_i g_i(b_i x + c_i) over elementary functions g_i: the form that keeps closed forms.

    Parameters
    ----------
    text : str
        How it is shown.
    polynomial : sequence of float
    terms : sequence of (a, g, b, c)
    definition : str
        The expression meant, if the coefficients are rounded: where more digits are wanted they come from it.
        Without it the coefficients are exact.
    """

    def __init__(
        self, text: str, polynomial: Sequence[float] | Array, terms: Sequence[Term], definition: str = ""
    ) -> None:
        self.text, self.definition = text, definition
        coefficients, self.terms = _normal_form(polynomial, terms)
        self.polynomial = np.trim_zeros(coefficients, "b")
        if self.polynomial.size - 1 > MAX_DEGREE:
            raise ValueError(f"must be of degree <= {MAX_DEGREE}, got degree {self.polynomial.size - 1}")
        self.parity = self._parity()
        self.jumps = tuple((0.0 - c / b, a * g.jump) for a, g, b, c in self.terms if g.jump)
        self.features = tuple((0.0 - c / b, g.scale / b) for _, g, b, c in self.terms if g.localised)
        self.kinks = tuple(sorted({0.0 - c / b for _, g, b, c in self.terms if g.kinked}))
        self.scale = min([g.scale / b for _, g, b, _ in self.terms if g.scale > 0], default=1.0)
        self.ripple = min([g.scale / b for _, g, b, _ in self.terms if not g.localised], default=math.inf)
        if self.ripple < SHORTEST_RIPPLE:
            raise ValueError(f"must not oscillate faster than sin(x/{SHORTEST_RIPPLE:g}), got {text:.40}")
        self.degree = max([self.polynomial.size - 1, 0, *(g.degree for _, g, _, _ in self.terms)])
        self.localised = self.polynomial.size <= 2 and all(g.localised for _, g, _, _ in self.terms)

    @property
    def key(self) -> Any:
        return (tuple(self.polynomial), self.terms)

    def __reduce__(self) -> Any:
        return Combination, (self.text, tuple(self.polynomial), self.terms, self.definition)

    @property
    def affine(self) -> bool:
        return not self.terms and self.polynomial.size <= 2

    def value(self, x: Array) -> Array:
        total = polynomial_value(self.polynomial, x)
        for a, g, b, c in self.terms:
            total = total + a * g.value(b * x + c)
        return total

    def slope(self, x: Array) -> Array:
        total = polynomial_value(differentiate(self.polynomial), x)
        for a, g, b, c in self.terms:
            total = total + a * b * g.slope(b * x + c)
        return total

    def exact(self, x: Any, mp: Any) -> Any:
        polynomial, terms = self.exact_form(mp)
        total = mp.zero
        for coefficient in polynomial[::-1]:
            total = total * x + coefficient
        for a, g, b, c in terms:
            total += a * g.exact(b * x + c, mp)
        return total

    def exact_form(self, mp: Any) -> tuple[list[Any], list[tuple[Any, Any, Any, Any]]]:
        if self.definition:
            from .expressions import exact_form

            return exact_form(self.definition, mp.prec)
        polynomial = [mp.mpf(float(a)) for a in self.polynomial]
        return polynomial, [(mp.mpf(a), g, mp.mpf(b), mp.mpf(c)) for a, g, b, c in self.terms]

    def trapezoid_step(self, deviation: float) -> float:
        steps = [g.trapezoid_step(b * deviation) for _, g, b, _ in self.terms]
        return min(steps, default=0.5)

    def _parity(self) -> int:
        odd = np.zeros(self.polynomial.size + 2)
        odd[: self.polynomial.size] = self.polynomial
        has_odd = has_even = False
        for a, g, b, c in self.terms:
            if c == 0 and g.reflection:  # g(u) = u/2 + an even function
                odd[1] += a * b / 2
                has_even = True
            else:
                has_odd |= not (c == 0 and g.parity == 1)
                has_even |= not (c == 0 and g.parity == -1)
        has_odd |= bool(np.any(odd[1::2]))
        has_even |= bool(np.any(odd[0::2]))
        return 0 if has_odd and has_even else (-1 if has_odd else 1)

    def _moments(self, m: Array, v: Array) -> Moments:
        moments = polynomial_moments(self.polynomial, m, v)
        for a, g, b, c in self.terms:
            part = g.moments(b * m + c, b * b * v)
            moments = Moments(
                moments.mu0 + a * part.mu0,
                moments.mu1 + a * b * part.mu1,
                a * a * part.mu2_sq,
                moments.nu + a * b * b * part.nu,
            )
        if self.terms and (len(self.terms) > 1 or self.polynomial.size > 2):
            moments = moments._replace(mu2_sq=integrate_moments(self, m, v).mu2_sq)
        return moments


def _normal_form(polynomial: Sequence[float] | Array, terms: Sequence[Term]) -> tuple[Array, tuple[Term, ...]]:
    """Positive slopes, unit slopes where g is homogeneous, equal terms merged, constants in the polynomial."""
    total = np.zeros(max(len(polynomial), 2))
    total[: len(polynomial)] = polynomial
    merged: dict[tuple[Member, float, float], float] = {}
    for a, g, b, c in terms:
        if b == 0:
            total[0] += a * float(g.value(np.asarray(c)))
            continue
        if b < 0:
            b, c = -b, -c
            if g.reflection:  # g(-u) = g(u) - u
                total[1] -= a * b
                total[0] -= a * c
            else:
                a = a * g.parity
        if g.kinked:
            a, b, c = a * b**g.degree, 1.0, c / b
        c = c + 0.0  # no negative zero
        merged[g, b, c] = merged.get((g, b, c), 0.0) + a
    ordered = sorted(((a, g, b, c) for (g, b, c), a in merged.items() if a), key=lambda t: (t[1].name, t[2], t[3]))
    return total, tuple(ordered)
