"""Gauss-Legendre panels whose edges follow several scales at once; docs/theories/structured_features.md."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

POINTS = 20  # of a panel
UNITS = 1.6  # of the finest scale in a panel
FEWEST = 4

SCALED = np.array([0, 1, 2, 3, 4, 5, 6, 7.5, 9.5])  # in standard deviations
SCALED = np.concatenate([-SCALED[:0:-1], SCALED])
REACH = float(SCALED[-1])
# scales of the logistic function, whose tails matter where they are multiplied by a large V
FIXED = np.array([0, 1, 2, 3, 4.5, 6, 8, 10, 12, 14.5, 17, 19.5, 22, 25, 28, 32, 36, 40, 45])
FIXED = np.concatenate([-FIXED[:0:-1], FIXED])


class Rule(NamedTuple):
    """Nodes and weights on [-1, 1], and the matrix that integrates from -1 to the nodes."""

    nodes: Array
    weights: Array
    integral: Array


@functools.cache
def rule() -> Rule:
    """The rule of every panel."""
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)
    vandermonde = np.polynomial.legendre.legvander(nodes, POINTS)
    degree = np.arange(POINTS)
    # coefficients of the interpolating polynomial are sums over the nodes; int P_k = (P_{k+1} - P_{k-1})/(2 k + 1)
    coefficients = (2 * degree[:, None] + 1) / 2 * (vandermonde[:, :POINTS] * weights[:, None]).T
    below = np.concatenate([-np.ones((POINTS, 1)), vandermonde[:, :POINTS - 1]], axis=1)
    primitives = (vandermonde[:, 1:] - below) / (2 * degree + 1)
    return Rule(nodes, weights, primitives @ coefficients)


def units(position: Array, scale: Array, marks: Array = SCALED) -> Array:
    """How many marks, in units of the scales (C,), lie below the positions (C, E); piecewise linear."""
    inside = np.clip(position, marks[0] * scale[:, None], marks[-1] * scale[:, None])
    return np.interp(inside / scale[:, None], marks, np.arange(marks.size))


def edges(candidates: Array, counts: list[Array], refinement: int) -> Array:
    """Edges (C, K + 1) between the first and the last candidate of each cell, none further apart than UNITS.

    Parameters
    ----------
    candidates : ndarray (C, E)
        Sorted.
    counts : list of ndarray (C, E)
        Units of every scale below the candidates.
    refinement : int
        Multiplies the number of panels.
    """
    steps = np.max([np.diff(count, axis=1) for count in counts], axis=0)
    total = np.concatenate([np.zeros((len(candidates), 1)), np.cumsum(steps, axis=1)], axis=1)
    longest = total[:, -1:]
    panels = max(FEWEST, int(np.ceil(np.max(longest) / UNITS))) * refinement
    # one interpolation for all cells: cell i occupies [2 i, 2 i + 1]
    shift = 2.0 * np.arange(len(candidates))[:, None]
    empty = longest <= 0
    share = np.where(empty, np.linspace(0, 1, total.shape[1]), total / np.where(empty, 1.0, longest))
    wanted = shift + np.linspace(0, 1, panels + 1)
    found = np.interp(wanted.ravel(), (shift + share).ravel(), candidates.ravel()).reshape(wanted.shape)
    found[:, 0], found[:, -1] = candidates[:, 0], candidates[:, -1]
    return found


def nodes(edges: Array) -> tuple[Array, Array]:
    """Nodes and weights (C, K * POINTS) of the panels between edges (C, K + 1)."""
    points, weights, _ = rule()
    half = 0.5 * np.diff(edges, axis=1)[:, :, None]
    middle = 0.5 * (edges[:, 1:] + edges[:, :-1])[:, :, None]
    shape = (len(edges), -1)
    return (middle + half * points).reshape(shape), (half * weights).reshape(shape)


def cumulative(weighted: Array) -> Array:
    """Integrals up to the nodes of integrands whose values times weights are given, (C, K * POINTS)."""
    _, weights, integral = rule()
    split = weighted.reshape(len(weighted), -1, POINTS)
    whole = np.sum(split, axis=2)
    before = np.cumsum(whole, axis=1) - whole
    return (before[:, :, None] + (split / weights) @ integral.T).reshape(weighted.shape)
