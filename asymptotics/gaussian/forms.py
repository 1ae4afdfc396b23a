"""Functions of the form polynomial(x) + sum_i a_i g_i(b_i x + c_i), whose Gaussian moments have closed forms.

Coefficients are mpmath numbers in the working precision of the moment: reading a text again with more digits gives its
form with more digits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import mpmath

from .members import MEMBERS

HIGHEST_POWER = 24
_SMALLEST = 1e-80  # what is smaller is the rounding error of a zero

Number = Any  # mpmath.mpf
Term = tuple[Number, Number, Number]  # a, b, c  of  a g(b x + c)
TermKey = tuple[str, float, float]  # g, b, c


@dataclasses.dataclass(frozen=True)
class Form:
    """polynomial(x) + sum of a g(b x + c); b > 0, and b = 1 where g is homogeneous."""

    polynomial: tuple[Number, ...]
    terms: Mapping[TermKey, Term] = dataclasses.field(default_factory=dict)

    @property
    def is_constant(self) -> bool:
        return not self.terms and len(self.polynomial) <= 1

    @property
    def is_affine(self) -> bool:
        """Whether it is b x + c with b != 0."""
        return not self.terms and len(self.polynomial) == 2

    def __add__(self, other: Form) -> Form:
        size = max(len(self.polynomial), len(other.polynomial))
        one, two = ([*form.polynomial, *[mpmath.mp.zero] * (size - len(form.polynomial))] for form in (self, other))
        terms = dict(self.terms)
        for key, (a, b, c) in other.terms.items():
            terms[key] = (a + terms[key][0] if key in terms else a, b, c)
        return Form(
            _trimmed([a + b for a, b in zip(one, two, strict=True)]),
            {key: term for key, term in terms.items() if not is_zero(term[0])},
        )

    def scaled(self, factor: Number) -> Form:
        if is_zero(factor):
            return Form(())
        terms = {key: (factor * a, b, c) for key, (a, b, c) in self.terms.items()}
        return Form(_trimmed([factor * a for a in self.polynomial]), terms)

    def times(self, other: Form) -> Form | None:
        """The product, where it is of this form."""
        for one, two in ((self, other), (other, self)):
            if one.is_constant:
                return two.scaled(one.polynomial[0]) if one.polynomial else Form(())
        return None if self.terms or other.terms else Form(_product(self.polynomial, other.polynomial))

    def power(self, exponent: int) -> Form | None:
        """The power >= 0, where it is of this form."""
        if exponent == 1:
            return self
        if self.terms:
            return None
        coefficients: tuple[Number, ...] = (mpmath.mp.one,)
        for _ in range(exponent):
            coefficients = _product(coefficients, self.polynomial)
        return Form(coefficients)

    def under(self, name: str) -> Form | None:
        """The form of g(b x + c), where this one is b x + c."""
        if not self.is_affine:
            return None
        half = mpmath.mpf(0.5)
        if name == "abs":  # 2 relu(u) - u
            return self._applied("relu").scaled(mpmath.mpf(2)) + self.scaled(mpmath.mpf(-1))
        if name == "sigmoid":
            return self.scaled(half)._applied("tanh").scaled(half) + Form((half,))
        return self._applied(name) if name in MEMBERS else None

    def _applied(self, name: str) -> Form:
        """b > 0 by symmetry, b = 1 where g is homogeneous."""
        member = MEMBERS[name]
        c, b = self.polynomial
        a, polynomial = mpmath.mp.one, Form(())
        if b < 0:
            b, c = -b, -c
            if member.reflection:  # g(-u) = g(u) - u
                polynomial = self
            else:
                a = mpmath.mpf(member.parity)
        if member.kinked:
            a, b, c = a * b**member.degree, mpmath.mp.one, c / b
        return Form((), {(name, float(b), float(c)): (a, b, c)}) + polynomial


def is_zero(number: Number) -> bool:
    return bool(abs(number) < _SMALLEST)


def _product(one: Sequence[Number], two: Sequence[Number]) -> tuple[Number, ...]:
    degree = len(one) + len(two) - 2
    if degree > HIGHEST_POWER:
        raise ValueError(f"must be of degree <= {HIGHEST_POWER} where it is a polynomial, got degree {degree}")
    product = [mpmath.mp.zero] * max(degree + 1, 0)
    for i, a in enumerate(one):
        for j, b in enumerate(two):
            product[i + j] += a * b
    return _trimmed(product)


def _trimmed(coefficients: Sequence[Number]) -> tuple[Number, ...]:
    """Zeros made exact, and left out at the end."""
    exact = [mpmath.mp.zero if is_zero(a) else a for a in coefficients]
    while exact and exact[-1] == 0:
        exact.pop()
    return tuple(exact)
