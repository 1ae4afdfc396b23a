"""Infinite power laws as finite lists of weighted eigenvalues; docs/theories/structured_features.md, section 3."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..gaussian.quadrature import gauss_legendre
from .spectrum import Spectrum

Array = NDArray[np.float64]

SMALLEST_EXPONENT = 1.05  # sums up to e^{680/a} miss e^{-680 (a - 1)/a}
_FIRST = 200  # modes that are summed one by one
_CORRECTED = 5  # modes on either side of the end that carry the end correction
_LARGEST_LOG = 680.0
_BERNOULLI = {2: 1 / 6, 4: -1 / 30, 6: 1 / 42, 8: -1 / 30, 10: 5 / 66}


def infinite_power_law(decay: float, source: float, signal: float, smallest: float, refinement: int = 1) -> Spectrum:
    """s_k = k^-a and c_k/s_k = T k^-b for k = 1, 2, ...: sums with effective ridges >= `smallest` to 15 digits.

    Integers up to 200, then Gauss-Legendre panels in log k; the end of the sum is corrected (Euler-Maclaurin) by
    weights on the integers around it; eq. (11).

    Parameters
    ----------
    decay, source : float
        a and b, at least 1.05.
    signal : float
        T.
    smallest : float
        Effective ridge.
    refinement : int
        Divides the width of the panels.
    """
    start = math.log(_FIRST)
    end = max(start, -math.log(smallest) / decay) + 36 / min(decay - 1, source - 1)
    end = min(end, _LARGEST_LOG / decay)  # beyond, eigenvalues are no floats any more
    panels = refinement * math.ceil((end - start) / (2 / max(1.0, decay)))
    edges = np.linspace(start, end, panels + 1)
    nodes, weights = gauss_legendre(16)
    half = 0.5 * np.diff(edges)[:, None]
    u = (edges[:-1, None] + half * (1 + nodes)).ravel()
    integers = np.arange(1.0, _FIRST + _CORRECTED + 1)
    ends = np.where(integers < _FIRST, 1.0, 0.0)
    ends[-(2 * _CORRECTED + 1):] += _end_weights()
    logs = np.concatenate([np.log(integers), u])
    modes = np.concatenate([ends, (half * weights).ravel() * np.exp(u)])
    with np.errstate(under="ignore"):
        return Spectrum(np.exp(-decay * logs), modes, signal * np.exp(-source * logs) * modes)


def ridgeless_power_law(decay: float, n: Array) -> Array:
    """The effective ridge without ridge for large n: [(pi/a)/sin(pi/a)/(n + 1/2)]^a; eq. (12)."""
    angle = math.pi / decay
    return (angle / math.sin(angle) / (n + 0.5)) ** decay


def _end_weights() -> Array:
    """Weights g_j at K + j, j = -m..m, of f(K)/2 - sum_i B_{2i}/(2i)! f^{(2i-1)}(K), exact for polynomials."""
    offsets = np.arange(-_CORRECTED, _CORRECTED + 1.0)
    powers = range(2 * _CORRECTED + 1)
    wanted = np.array([0.5 if power == 0 else -_BERNOULLI[power + 1] / (power + 1) if power % 2 else 0.0
                       for power in powers])
    return np.linalg.solve(np.stack([offsets**power for power in powers]), wanted)
