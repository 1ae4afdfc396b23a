"""Series in 1/h, uniform in the order, for ratios and products of modified Bessel functions; equations (11) - (13).

h^2 = order^2 + X^2.  Fifteen digits from h = `LARGE` on.

Equations are numbered as in docs/theories/linear_network_decay.md.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..exact import Array

LARGE = 26.0
TERMS = 16
ENOUGH = ((2e4, 4), (400.0, 6), (100.0, 8), (50.0, 11), (0.0, TERMS))  # terms that give all digits from this h on

Polynomial = list[Fraction]


def _product(a: Polynomial, b: Polynomial) -> Polynomial:
    out = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += x * y
    return out


def _sum(*terms: Polynomial) -> Polynomial:
    return [sum((term[i] for term in terms if i < len(term)), Fraction(0)) for i in range(max(map(len, terms)))]


def _times(a: Polynomial, factor: Fraction | int) -> Polynomial:
    return [x * factor for x in a]


def _slope(a: Polynomial) -> Polynomial:
    """x da/dx."""
    return [i * x for i, x in enumerate(a)]


def _quotient(a: Polynomial, sign: int) -> Polynomial:
    """a/(1 + sign x), which leaves no rest."""
    out, last = [], Fraction(0)
    for x in a:
        last = x - sign * last
        out.append(last)
    if out.pop() != 0:
        raise ArithmeticError("the division leaves a rest")
    return out


def _floats(polynomials: list[Polynomial]) -> list[list[float]]:
    return [[float(x) for x in reversed(polynomial)] for polynomial in polynomials]


def _ratio_coefficients() -> list[list[float]]:
    """d_1, d_2, ... of equation (11), the highest power first."""
    c: list[Polynomial] = [[Fraction(1)]]
    inner = [Fraction(1), Fraction(0), Fraction(-1)]
    for k in range(1, TERMS + 1):
        last = c[-1]
        total = _product(inner, _sum(_times(last, 2 - k), _times(_slope(last), -1)))
        total = _sum(total, _times(last, -1), [Fraction(0), Fraction(-1 if k == 1 else 0)],
                     *(_times(_product(c[i], c[k - i]), -1) for i in range(1, k)))
        c.append(_times(total, Fraction(1, 2)))
    return _floats([_quotient(_quotient_by_x(polynomial), 1) for polynomial in c[1:]])


def _quotient_by_x(a: Polynomial) -> Polynomial:
    if a[0] != 0:
        raise ArithmeticError("the division leaves a rest")
    return a[1:]


def _product_coefficients() -> tuple[list[list[float]], list[list[float]]]:
    """j_2, j_4, ... and l_1, l_3, ... of equation (13), the highest power first."""
    j: list[Polynomial] = [[Fraction(1)]]
    inner = [Fraction(1), Fraction(-1)]
    for k in range(1, TERMS + 1):
        last = j[-1]
        total = _product(inner, _sum(_times(last, 2 - k), _times(_slope(last), -2)))
        total = _sum(total, *(_times(_product(j[i], j[k - i]), -1) for i in range(1, k)))
        j.append(_times(total, Fraction(1, 2)))
    even = j[2::2]
    integrals = [[-x / (2 * k + 1 + 2 * n) for n, x in enumerate(_quotient(polynomial, -1))]
                 for k, polynomial in enumerate(even)]
    return _floats(even), _floats(integrals)


RATIO = _ratio_coefficients()
PRODUCT, INTEGRAL = _product_coefficients()


def _terms(inverse: Array) -> int:
    least = 1 / max(float(np.max(inverse, initial=0.0)), 1e-300)
    return next(terms for start, terms in ENOUGH if least >= start)


def _horner(coefficients: list[float], x: Array) -> Array:
    total = np.full(x.shape, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def ratio_sums(t: Array, inverse: Array) -> tuple[Array, Array]:
    """Sums over k of d_k(t) h^(1-k) and of d_k(-t) (-h)^(1-k), with inverse = 1/h; equation (11)."""
    plus, minus = np.zeros(t.shape), np.zeros(t.shape)
    for coefficients in reversed(RATIO[:_terms(inverse)]):
        plus = plus * inverse + _horner(coefficients, t)
        minus = _horner(coefficients, -t) - minus * inverse
    return plus, minus


def product_sum(y: Array, inverse: Array) -> Array:
    """Sum of j_{k+1}(y) h^-k over odd k: 1/(2 I K) - h, with inverse = 1/h; equation (13)."""
    return _odd(PRODUCT, y, inverse)


def integral_sum(y: Array, inverse: Array) -> Array:
    """Sum of l_k(y) h^-k over odd k, an integral over ln X of `product_sum`; equation (13)."""
    return _odd(INTEGRAL, y, inverse)


def _odd(polynomials: list[list[float]], y: Array, inverse: Array) -> Array:
    total, square = np.zeros(y.shape), inverse * inverse
    for coefficients in reversed(polynomials[:(_terms(inverse) + 1) // 2]):
        total = total * square + _horner(coefficients, y)
    return total * inverse
