"""Quadrature chosen from the integrand: trapezoids for analytic functions, graded Gauss-Legendre panels for the rest.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

PANEL_NODES = 16
GAUSSIAN_RANGE = 11.0  # the normal density is 2e-27 there


def normal_density(x: ArrayLike) -> Array:
    """Density of N(0, 1)."""
    x = np.asarray(x, dtype=np.float64)
    return np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


@functools.cache
def gauss_legendre(count: int) -> tuple[Array, Array]:
    """Nodes and weights on [-1, 1], read-only."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    nodes.setflags(write=False)
    weights.setflags(write=False)
    return nodes, weights


def graded_edges(low: ArrayLike, high: ArrayLike, width: ArrayLike, centres: Array, scales: Array) -> Array:
    """Edges of panels no wider than `width`, graded dyadically towards centres of structure.

    Parameters
    ----------
    low, high, width : array_like
        Ends of the interval and largest panel width, of one shape (...).
    centres, scales : ndarray (..., F)
        Around each centre the first panels have the width `scales` and each further one is as wide as its distance
        from the centre.  Scale 0 is a kink or a jump: an edge at the centre and no grading.

    Returns
    -------
    ndarray (..., E)
        Sorted; edges outside the interval are moved to its ends (panels of width zero).
    """
    low, high, width = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (low, high, width)))
    count = int(np.max(np.ceil((high - low) / width), initial=1.0))
    edges = [low[..., None] + (high - low)[..., None] * np.linspace(0.0, 1.0, count + 1)]
    if centres.shape[-1]:
        edges.append(centres)
        positive = scales[scales > 0]
        if positive.size:
            span = np.max(high - low)
            levels = max(0, math.ceil(math.log2(span / float(np.min(positive)))) + 1)
            offsets = scales[..., None] * 2.0 ** np.arange(levels)
            graded = np.concatenate([centres[..., None] - offsets, centres[..., None] + offsets], axis=-1)
            edges.append(graded.reshape((*graded.shape[:-2], -1)))
    shape = np.broadcast_shapes(*(edge.shape[:-1] for edge in edges))
    joined = np.concatenate([np.broadcast_to(edge, (*shape, edge.shape[-1])) for edge in edges], axis=-1)
    return np.sort(np.clip(joined, low[..., None], high[..., None]), axis=-1)


def bisected(edges: Array) -> Array:
    """The same panels (..., E) cut in half: edges (..., 2 E - 1)."""
    halved = np.empty((*edges.shape[:-1], 2 * edges.shape[-1] - 1))
    halved[..., ::2] = edges
    halved[..., 1::2] = 0.5 * (edges[..., 1:] + edges[..., :-1])
    return halved


def panel_rule(edges: Array, count: int = PANEL_NODES) -> tuple[Array, Array]:
    """Composite Gauss-Legendre rule: nodes and weights (..., (E - 1) * count) for edges (..., E)."""
    nodes, weights = gauss_legendre(count)
    half = 0.5 * np.diff(edges, axis=-1)[..., None]
    middle = (0.5 * (edges[..., 1:] + edges[..., :-1]))[..., None]
    shape = (*edges.shape[:-1], -1)
    return (middle + half * nodes).reshape(shape), (half * weights).reshape(shape)


def trapezoid_rule(half_range: float, step: float) -> tuple[Array, Array]:
    """Symmetric trapezoid rule on [-half_range, half_range] with a node at zero and at most this step."""
    count = math.ceil(half_range / step)
    nodes = (half_range / count) * np.arange(-count, count + 1, dtype=np.float64)
    return nodes, np.full(nodes.shape, half_range / count)
