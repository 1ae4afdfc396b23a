"""Polynomials in the power basis, lowest degree first, and their Gaussian moments."""

from __future__ import annotations

import math

import numpy as np

from .moments import Moments
from .quadrature import Array


def polynomial_value(coefficients: Array, x: Array) -> Array:
    total = np.zeros(np.shape(x))
    for coefficient in coefficients[::-1]:
        total = total * x + coefficient
    return total


def differentiate(coefficients: Array) -> Array:
    return coefficients[1:] * np.arange(1, coefficients.size)


def polynomial_moments(coefficients: Array, m: Array, v: Array) -> Moments:
    """E P^(j) = sum_i v^i P^(j + 2i)(m)/(2^i i!), and mu2_sq = sum_{j >= 2} v^j (E P^(j))^2/j!."""
    derivatives = []
    while coefficients.size:
        derivatives.append(polynomial_value(coefficients, m))
        coefficients = differentiate(coefficients)
    means = []
    for j in range(len(derivatives)):
        total, factor = np.zeros(m.shape), np.ones(m.shape)
        for i, derivative in enumerate(derivatives[j::2]):
            total = total + factor * derivative
            factor = factor * v / (2 * (i + 1))
        means.append(total)
    zero = np.zeros(m.shape)
    mu2_sq = zero
    for j in range(2, len(means)):
        mu2_sq = mu2_sq + v**j * means[j] ** 2 / math.factorial(j)
    mean = [*means, zero, zero, zero]
    return Moments(mean[0], mean[1], mu2_sq, 0.5 * mean[2])
