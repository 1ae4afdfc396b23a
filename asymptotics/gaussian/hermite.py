"""Orthonormal Hermite polynomials h_k = He_k/sqrt(k!) under N(0, 1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .quadrature import Array, normal_density

if TYPE_CHECKING:
    from .nonlinearity import Nonlinearity


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
    """E[sigma h_k], k = 0..degree, to `digits` digits: tanh-sinh quadrature between kinks, checked by refinement.

    All degrees share one set of nodes; the rule is refined until every coefficient is stable.
    """
    raise NotImplementedError
