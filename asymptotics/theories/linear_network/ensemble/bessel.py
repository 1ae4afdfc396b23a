"""The logarithm of a Bessel function of any order; eq. (6) of docs/theories/linear_network_ensemble.md."""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SMALL = 1e-3  # y^2/(4(nu + 1)) below which the power series is used
LARGE = 50.0  # orders from which the expansion of Debye is used
DEBYE_TERMS = 8
HUGE = 1e8  # arguments from which the expansion for large ones is used; those of SciPy end at 1e9


def log_bessel(nu: float, y0: float, growth: Array) -> Array:
    """J(y0 e^growth) - J(y0) with J(y) = ln( y^-nu I_nu(y) ) - y, for nu >= -1/2 and y0 >= 0.

    For large orders the difference is made before terms of the size of nu are added.

    Parameters
    ----------
    nu, y0 : float
    growth : ndarray
    """
    if y0 == 0:
        return np.zeros(growth.shape)
    if nu >= LARGE:
        return _debye(nu, y0, growth)
    values = _plain(nu, y0 * np.exp(np.append(growth, 0.0)))
    return values[:-1] - values[-1]


def _plain(nu: float, y: Array) -> Array:
    from scipy import special

    q = 0.25 * np.minimum(y, 1.0) ** 2 / (nu + 1)
    small = q < SMALL
    q = np.where(small, q, 0.0)
    series = q * (1 + q * (nu + 1) / (2 * (nu + 2)) * (1 + q * (nu + 1) / (3 * (nu + 3))))
    huge = y > HUGE
    x = 1 / (8 * np.where(huge, y, HUGE))
    order = 4 * nu * nu
    far = -(order - 1) * x * (1 - (order - 9) * x / 2 * (1 - (order - 25) * x / 3))
    safe = np.where(small | huge, 1.0, y)
    logs = np.log(np.where(small, 1.0, y))
    scaled = np.where(huge, np.log1p(far) - 0.5 * (math.log(2 * math.pi) + logs), np.log(special.ive(nu, safe)))
    return np.where(small, np.log1p(series) - y - nu * math.log(2) - math.lgamma(nu + 1), scaled - nu * logs)


def _debye(nu: float, y0: float, growth: Array) -> Array:
    y = y0 * np.exp(growth)
    h, h0 = np.hypot(nu, y), math.hypot(nu, y0)
    dy = y0 * np.expm1(growth)
    dh = dy * ((y + y0) / (h + h0))
    series = np.polynomial.polynomial.polyval(nu / np.append(h, h0), _debye_coefficients(nu))
    return (-nu * (nu / (h + y)) * ((dh + dy) / (h0 + y0)) - nu * _log_ratio(dh, nu + h, nu + h0)
            - 0.5 * _log_ratio(dh, h, h0) + np.log(series[:-1] / series[-1]))


def _log_ratio(change: Array, after: Array, before: float) -> Array:
    """ln(after/before), with all its digits for small changes."""
    near = change > -0.5 * before
    return np.where(near, np.log1p(np.where(near, change, 0.0) / before), np.log(after / before))


@functools.lru_cache(maxsize=64)
def _debye_coefficients(nu: float) -> Array:
    """Of sum_k U_k(T)/nu^k as a polynomial in T."""
    total = np.zeros(3 * DEBYE_TERMS + 1)
    for k, polynomial in enumerate(_debye_polynomials()):
        for power, coefficient in polynomial.items():
            total[power] += float(coefficient) / nu**k
    total.setflags(write=False)
    return total


@functools.lru_cache(maxsize=1)
def _debye_polynomials() -> tuple[dict[int, Fraction], ...]:
    """U_0, U_1, ...: U_{k+1} = T^2 (1 - T^2) U_k'/2 + (1/8) int_0^T (1 - 5 x^2) U_k dx."""
    polynomials = [{0: Fraction(1)}]
    for _ in range(DEBYE_TERMS):
        following: dict[int, Fraction] = {}
        for power, c in polynomials[-1].items():
            for shift, factor in ((1, Fraction(power, 2) + Fraction(1, 8 * (power + 1))),
                                  (3, -Fraction(power, 2) - Fraction(5, 8 * (power + 3)))):
                following[power + shift] = following.get(power + shift, Fraction(0)) + c * factor
        polynomials.append({power: c for power, c in following.items() if c})
    return tuple(polynomials)
