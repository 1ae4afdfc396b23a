"""Hermite coefficients of a function under Gaussians of many widths: E[sigma(V z) h_k(z)], z ~ N(0, 1)."""

from __future__ import annotations

import math

import numpy as np

from .hermite import hermite_functions
from .nonlinearity import Nonlinearity
from .quadrature import PANEL_NODES, Array, graded_edges, normal_density, panel_rule

_BLOCK = 1 << 13
_WIDEST_PANEL = 0.8
# half the angle up to which the coefficients are bounded: they are analytic in V for |arg V| < pi/4
_STRIP = 0.5


def dilated_coefficients(function: Nonlinearity, scale: Array, degree: int, refinement: int = 1) -> Array:
    """E[sigma(V z) h_k(z)], k = 0..degree, for scales V > 0 (...), as (..., degree + 1).

    As a function of log V they are analytic in the strip |Im log V| < pi/4, whatever sigma is (the Gaussian is rotated
    in the complex plane).  So many scales are interpolated from Chebyshev nodes, as many as their range needs.
    """
    logs = np.log(np.ravel(scale))
    if not logs.size:
        return np.zeros((*np.shape(scale), degree + 1))
    low, high = float(np.min(logs)), float(np.max(logs))
    middle, half = 0.5 * (low + high), max(0.5 * (high - low), 1e-8)
    growth = degree / 2 * math.log((1 + math.sin(2 * _STRIP)) / math.cos(2 * _STRIP))
    count = refinement * (math.ceil((40 + growth) / math.asinh(_STRIP / half)) + 2)
    if logs.size <= count:
        coefficients = _at_scales(function, np.exp(logs), degree, refinement)
    else:
        nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)
        samples = _at_scales(function, np.exp(middle + half * nodes), degree, refinement)
        chebyshev = np.polynomial.chebyshev.chebvander
        series = chebyshev(nodes, count - 1).T @ samples * (2 / count)
        series[0] *= 0.5
        coefficients = np.empty((logs.size, degree + 1))
        for start in range(0, logs.size, _BLOCK):
            block = np.clip((logs[start:start + _BLOCK] - middle) / half, -1, 1)
            coefficients[start:start + _BLOCK] = chebyshev(block, count - 1) @ series
    if function.parity:
        coefficients[..., (1 if function.parity > 0 else 0)::2] = 0.0
    return coefficients.reshape(*np.shape(scale), degree + 1)


def _at_scales(function: Nonlinearity, scales: Array, degree: int, refinement: int) -> Array:
    """By panels graded towards the features of sigma, which sit at their places divided by V."""
    # h_k sqrt(phi) and what is left of the weight beyond its turning point 2 sqrt(degree)
    half_range = 8 + max(2 * math.sqrt(degree), 5) + math.sqrt(2 * function.degree)
    features = np.reshape(function.features, (-1, 2))
    width = min(_WIDEST_PANEL, 4 / math.sqrt(degree + 1)) / refinement * np.minimum(1.0, function.ripple / scales)
    own = features / scales[:, None, None]
    edges = graded_edges(-half_range, np.full(scales.shape, half_range), width, own[..., 0], own[..., 1])
    coefficients = np.zeros((scales.size, degree + 1))
    panels = max(1, _BLOCK // PANEL_NODES)
    rows = max(1, panels // edges.shape[-1])
    for start in range(0, scales.size, rows):
        for first in range(0, edges.shape[-1] - 1, panels):
            z, weight = panel_rule(edges[start:start + rows, first:first + panels + 1])
            values = function.value(scales[start:start + rows, None] * z)
            values *= weight * np.sqrt(normal_density(z))
            functions = hermite_functions(z.ravel(), degree).reshape(degree + 1, *z.shape)
            coefficients[start:start + rows] += np.einsum("krz,rz->rk", functions, values)
    return coefficients
