"""Functions of the form polynomial(x) + sum_i a_i g_i(b_i x + c_i), with exact coefficients.

The g_i are the members, and the Gaussian moments of such a function have closed forms.  Coefficients are sympy numbers:
this module is imported only when an expression is parsed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import mpmath
import sympy

from .members import MEMBERS
from .symbolic import evaluate, mpmath_library

HIGHEST_POWER = 24
SMALLEST_NUMBER = 1e-30

TermKey = tuple[str, sympy.Expr, sympy.Expr]  # g, b, c  of  g(b x + c)


@dataclasses.dataclass(frozen=True)
class Form:
    """polynomial(x) + sum of a g(b x + c); b > 0, and b = 1 where g is homogeneous."""

    polynomial: tuple[sympy.Expr, ...]
    terms: Mapping[TermKey, sympy.Expr] = dataclasses.field(default_factory=dict)

    @property
    def is_constant(self) -> bool:
        return not self.terms and len(self.polynomial) <= 1

    @property
    def is_affine(self) -> bool:
        """Whether it is b x + c with b != 0."""
        return not self.terms and len(self.polynomial) == 2

    def __add__(self, other: Form) -> Form:
        size = max(len(self.polynomial), len(other.polynomial))
        one, two = ((*form.polynomial, *[sympy.S.Zero] * (size - len(form.polynomial))) for form in (self, other))
        terms = dict(self.terms)
        for key, a in other.terms.items():
            terms[key] = terms.get(key, sympy.S.Zero) + a
        return Form(_trimmed([a + b for a, b in zip(one, two, strict=True)]),
                    {key: a for key, a in terms.items() if not is_zero(a)})

    def scaled(self, factor: sympy.Expr) -> Form:
        if is_zero(factor):
            return Form(())
        return Form(tuple(factor * a for a in self.polynomial), {key: factor * a for key, a in self.terms.items()})

    def times(self, other: Form) -> Form | None:
        """The product, where it is of this form."""
        for one, two in ((self, other), (other, self)):
            if one.is_constant:
                return two.scaled(one.polynomial[0] if one.polynomial else sympy.S.Zero)
        return None if self.terms or other.terms else Form(_product(self.polynomial, other.polynomial))

    def power(self, exponent: sympy.Expr) -> Form | None:
        """The power, where it is of this form."""
        if exponent == 1:
            return self
        if self.terms or not exponent.is_Integer or exponent < 0:
            return None
        coefficients: tuple[sympy.Expr, ...] = (sympy.S.One,)
        for _ in range(int(exponent)):
            coefficients = _product(coefficients, self.polynomial)
        return Form(coefficients)

    def under(self, name: str) -> Form | None:
        """The form of g(b x + c), where this one is b x + c."""
        if not self.is_affine:
            return None
        if name == "abs":  # 2 relu(u) - u
            return self._applied("relu").scaled(sympy.Integer(2)) + self.scaled(sympy.S.NegativeOne)
        if name == "sigmoid":
            return self.scaled(sympy.S.Half)._applied("tanh").scaled(sympy.S.Half) + Form((sympy.S.Half,))
        return self._applied(name) if name in MEMBERS else None

    def _applied(self, name: str) -> Form:
        """b > 0 by symmetry, b = 1 where g is homogeneous."""
        member = MEMBERS[name]
        c, b = self.polynomial
        a, polynomial = sympy.S.One, Form(())
        if constant_value(b) < 0:
            b, c = -b, -c
            if member.reflection:  # g(-u) = g(u) - u
                polynomial = self
            else:
                a = sympy.Integer(member.parity)
        if member.kinked:
            a, b, c = a * b**member.degree, sympy.S.One, c / b
        return Form((), {(name, b, c): a}) + polynomial


def constant_value(tree: sympy.Expr) -> mpmath.mpf:
    """Value of a constant to 50 digits; one that is not rational and below 1e-30 is zero."""
    if tree.is_Rational:
        return exact_value(tree, 60)
    value = exact_value(tree, 60)
    return mpmath.mpf(0) if abs(value) < SMALLEST_NUMBER else value


def exact_value(tree: sympy.Expr, digits: int) -> mpmath.mpf:
    """Value of a constant to about so many digits."""
    with mpmath.workdps(digits):
        return evaluate(tree, None, mpmath_library(mpmath.mp))


def is_zero(tree: sympy.Expr) -> bool:
    """Whether a constant vanishes, also where sympy does not see it."""
    return bool(tree == 0) if tree.is_Rational else constant_value(tree) == 0


def _product(one: Sequence[sympy.Expr], two: Sequence[sympy.Expr]) -> tuple[sympy.Expr, ...]:
    degree = len(one) + len(two) - 2
    if degree > HIGHEST_POWER:
        raise ValueError(f"must be of degree <= {HIGHEST_POWER} where it is a polynomial, got degree {degree}")
    product = [sympy.S.Zero] * max(len(one) + len(two) - 1, 0)
    for i, a in enumerate(one):
        for j, b in enumerate(two):
            product[i + j] += a * b
    return _trimmed(product)


def _trimmed(coefficients: list[sympy.Expr]) -> tuple[sympy.Expr, ...]:
    while coefficients and is_zero(coefficients[-1]):
        coefficients.pop()
    return tuple(coefficients)
