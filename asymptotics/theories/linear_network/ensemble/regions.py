"""Probabilities of what happens at time t, as regions of the initial weights; eqs. (20), (21).

In a row s the gap at time t falls as v = delta/2 grows, and the v from which a gap is reached can be solved for.  What
remains is a sum over rows of the probability of an interval of v.  Where an interval opens or closes within a narrow
range of s (late, all networks of a row have done the same) the rows are dense.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .flow import Flow
from .initial_law import STEP, rows
from .sections import changes

Array = NDArray[np.float64]

DEPTH = 45.0  # ln of the density of v, below its maximum, where rows end
NEAREST = -30.0  # ln of the distance of rows from an edge
NODES = 48  # of Gauss-Legendre in a row
ROW_STEP = 0.15


class GapRows:
    """Where a gap at time t comes from, in rows s, for a positive target; eq. (20)."""

    def __init__(self, flow: Flow, s: Array, t: float) -> None:
        self.flow = flow
        self.kernel = np.exp(flow.log_kernel + s)
        self.final = np.exp(flow.log_final_kernel(s))
        self.top = flow.target + self.final
        self.exponent = flow.rate * t * self.final
        self.log_start = flow.moments.log_P + s

    def start(self, gap: float | Array) -> tuple[Array, Array]:
        """v from which a gap kap r is reached in each row, and minus its derivative."""
        F = self.flow.target - gap
        Theta = np.hypot(F, self.kernel)
        # Y = F + Theta tends to `top`, and (Y - top)/(Y - bottom) falls like e^(-Lam t)
        Y = np.where(F > 0, F + Theta, self.kernel * (self.kernel / (Theta + np.abs(F))))
        bottom = -self.kernel * (self.kernel / self.top)
        distance = Y - bottom
        share = np.abs(gap) * ((Y + self.top) / (Theta + self.final)) / distance
        with np.errstate(divide="ignore"):
            ratio = -np.sign(gap) * np.exp(np.minimum(np.log(share) + self.exponent, 700.0))
        below, above = self.top - ratio * bottom, 1 - ratio
        inside = (below > 0) & (above > 0)
        low, high = np.where(inside, below, 1.0), np.where(inside, above, 1.0)
        v = np.log(low) - np.log(high) - self.log_start
        log_slope = np.log(Y / Theta) + 2 * np.log(2 * self.final / distance) + self.exponent
        slope = np.exp(np.minimum(log_slope - np.log(high) - np.log(low), 690.0))
        return np.where(inside, v, np.where(above > 0, -np.inf, np.inf)), np.where(inside, slope, 0.0)


class Regions:
    """Integrals over regions of (s, v) for one cell and time."""

    def __init__(self, flow: Flow, t: float) -> None:
        self.flow, self.t, self.law = flow, t, flow.law
        self.low, self.high, self._top = flow.law.window
        s = rows(flow.law, self.low, self.high, STEP)
        self._mass = 2 * float(np.sum(np.exp(flow.law.marginal(s) - self._top))) * float(s[1] - s[0])
        self._nodes, self._weights = np.polynomial.legendre.leggauss(NODES)

    def reached(self, gap: float) -> tuple[float, float]:
        """Pr(kap r >= gap), and minus its derivative."""
        edges = self._edges(lambda s: gap, self.high)
        s, log_measure = clustered(self.low, self.high, edges, self._unit)
        v, slope = self._start(s, gap)
        density, reach = self._density(s, log_measure)
        edge = np.clip(v, -reach, reach)
        return (float(density @ self._inside(s, -reach, edge)),
                float(density @ (slope * np.exp(self._profile(s, edge)))))

    def within(self, Theta: float) -> tuple[float, float]:
        """Pr(kernel <= Theta), and its derivative."""
        end = math.log(Theta) - self.flow.log_kernel
        if end <= self.low:
            return 0.0, 0.0
        top = min(end, self.high)

        def gaps(sign: float) -> Callable[[Array], Array]:
            # (kap F)^2 = Theta^2 - Gam^2
            return lambda s: self.flow.target - sign * Theta * np.sqrt(-np.expm1(2 * np.minimum(s - end, -1e-300)))

        edges = [end, *self._edges(gaps(1.0), top), *self._edges(gaps(-1.0), top)]
        s, log_measure = clustered(self.low, top, edges, self._unit)
        root = self.flow.target - gaps(1.0)(s)
        (up, up_slope), (down, down_slope) = (self._start(s, gaps(sign)(s)) for sign in (1.0, -1.0))
        density, reach = self._density(s, log_measure)
        first, last = np.clip(down, -reach, reach), np.clip(up, -reach, reach)
        slope = up_slope * np.exp(self._profile(s, last)) + down_slope * np.exp(self._profile(s, first))
        slope *= Theta / np.maximum(root, 1e-300)
        return float(density @ self._inside(s, first, last)), float(density @ slope)

    @property
    def _unit(self) -> float:
        return min(1.0, 1.7 / math.sqrt(self.law.p))

    def _density(self, s: Array, log_measure: Array) -> tuple[Array, Array]:
        """Weights of rows, and where they end."""
        reach = 2 * np.arcsinh(np.sqrt(0.5 * DEPTH / self.law.stiffness(s)))
        return np.exp(self.law.profile(s) - self._top + log_measure) / self._mass, reach

    def _profile(self, s: Array, v: Array) -> Array:
        """ln of the density of v; v (S,) or (S, N)."""
        stiffness = self.law.stiffness(s).reshape(-1, *(1,) * (v.ndim - 1))
        return -2 * stiffness * np.sinh(0.5 * v) ** 2

    def _inside(self, s: Array, first: Array, last: Array) -> Array:
        """The integral of the density of v over an interval of each row."""
        half = 0.5 * (last - first)
        v = (0.5 * (first + last))[:, None] + half[:, None] * self._nodes
        return np.exp(self._profile(s, v)) @ self._weights * half

    def _start(self, s: Array, gap: float | Array) -> tuple[Array, Array]:
        return GapRows(self.flow, s, self.t).start(gap)

    def _edges(self, gap: Callable[[Array], float | Array], top: float) -> list[float]:
        """s up to `top` where v changes its sign, or stops being finite."""
        def code(s: Array) -> Array:
            v, _ = self._start(s, gap(s))
            return np.where(np.isinf(v), 2, 1) * np.sign(v)

        return changes(code, self.low, top)


def clustered(low: float, high: float, edges: Sequence[float], unit: float) -> tuple[Array, Array]:
    """Rows between low and high that are dense at the edges, and the logarithms of what they stand for."""
    inside = sorted(edge for edge in edges if low < edge <= high)
    if not inside:
        s = low + unit * ROW_STEP * np.arange(math.ceil((high - low) / (unit * ROW_STEP)) + 1, dtype=np.float64)
        return s, np.full(s.shape, math.log(unit * ROW_STEP))
    parts = []
    for edge, end in ((inside[0], low), (inside[-1], high)):
        length = abs(end - edge)
        if length > 0:
            w = np.arange(NEAREST, length / unit + ROW_STEP, ROW_STEP, dtype=np.float64)
            out = np.logaddexp(0.0, w)
            parts.append((edge + math.copysign(unit, end - edge) * out, w - out + math.log(unit * ROW_STEP)))
    for left, right in itertools.pairwise(inside):
        length = right - left
        if length > 0:
            step = min(ROW_STEP, 4 * unit * ROW_STEP / length)
            w = np.arange(NEAREST, -NEAREST + step, step, dtype=np.float64)
            nearer = np.exp(-np.logaddexp(0.0, np.abs(w)))  # of the nearer end
            parts.append((np.where(w < 0, left + length * nearer, right - length * nearer),
                          -np.abs(w) - 2 * np.logaddexp(0.0, -np.abs(w)) + math.log(length * step)))
    return np.concatenate([s for s, _ in parts]), np.concatenate([measure for _, measure in parts])
