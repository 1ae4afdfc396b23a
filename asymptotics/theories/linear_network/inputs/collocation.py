"""Collocation at Radau points: tables of a polynomial on one step, given by its values at 0 and at the nodes."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ..exact import Array


class Table(NamedTuple):
    """Nodes in (0, 1], the last at 1, and what follows from them.

    Attributes
    ----------
    nodes : ndarray, shape (s,)
    integrals : ndarray, shape (s, s)
        Integral up to node i of the Lagrange polynomial of node j.
    spectrum : ndarray, shape (s, s)
        Legendre coefficients of the polynomial with given values at the nodes.
    weights : ndarray, shape (s + 1,)
        Barycentric weights of 0 and the nodes.
    """

    nodes: Array
    integrals: Array
    spectrum: Array
    weights: Array

    def interpolation(self, x: Array) -> Array:
        """Weights of the values at 0 and at the nodes for the value at x in [0, 1]; shape (x.size, s + 1)."""
        distance = x[:, None] - np.concatenate([[0.0], self.nodes])
        hit = distance == 0
        terms = self.weights / np.where(hit, 1.0, distance)
        terms = np.where(np.any(hit, axis=1, keepdims=True), hit * 1.0, terms)
        return terms / np.sum(terms, axis=1, keepdims=True)


@functools.lru_cache
def table(stages: int) -> Table:
    """The Radau points of so many stages: the method of order 2 s - 1 that damps what a step does not resolve."""
    from scipy.special import roots_jacobi

    inner, _ = roots_jacobi(stages - 1, 1.0, 0.0)
    nodes = np.concatenate([(inner + 1) / 2, [1.0]])
    values = np.polynomial.legendre.legvander(2 * nodes - 1, stages - 1)
    spectrum = np.linalg.inv(values)
    # the integral of P_k is (P_{k+1} - P_{k-1})/(2k + 1), on [-1, 1]
    longer = np.polynomial.legendre.legvander(2 * nodes - 1, stages)
    moments = np.empty((stages, stages))
    moments[:, 0] = nodes
    for k in range(1, stages):
        moments[:, k] = (longer[:, k + 1] - longer[:, k - 1]) / (2 * (2 * k + 1))
    points = np.concatenate([[0.0], nodes])
    difference = points[:, None] - points + np.eye(stages + 1)
    return Table(nodes, moments @ spectrum, spectrum, 1 / np.prod(4 * difference, axis=1))
