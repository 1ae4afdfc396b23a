"""The mean cosine of the angle between the layers; eqs. (13), (14) of docs/theories/linear_network_ensemble.md.

Given s and delta only the angle phi between p and q is left, and with xi = kap F/Gam

    cos(u, w) = xi/sqrt(xi^2 + sin(phi)^2) .

Its mean over phi is a function of s and of ln|xi| that does not depend on time, target or scales: a table.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .angle_table import AngleTable
from .flow import Evolution, Flow, log_rows
from .initial_law import DEPTH, Average, InitialLaw, Rule, lattice, nodes, spaced
from .sections import changes

Array = NDArray[np.float64]

SPLIT = 6  # widths below which the zero of F needs nodes of its own
NEAREST = -37.0  # ln of the distance from the zero of F at which nodes begin
COSINE_STEPS = {1: 0.07, 2: 0.14}  # by width
COSINE_STEP = 0.2
MOST_ROWS = 20_000
STEEPEST = 4.0  # change of the zero of F from row to row that is resolved
KINKED = 1.25  # power of the change that estimates the error: what the zero of F leaves behind converges more slowly
_SCAN, _NARROWINGS = 512, 3


def angle_table(law: InitialLaw, s: Array, step: float) -> AngleTable:
    """E[cos | s, xi] at rows s; a single one if tau = 0, where they are all the same; eq. (13).

    phi = 2 arctan e^y: trapezoid rule with weights sech(y)^(p-1) exp(-2 tau k/(1 + e^(-2y))).
    """
    stiffness = law.tau * law.stiffness(s if law.tau > 0 else s[:1])
    reach = 42 / (law.p - 1) + 2 - 0.5 * math.log(law.rest)
    low, high = -reach, reach
    for _ in range(_NARROWINGS):
        scan = np.linspace(low, high, _SCAN)
        inside = np.nonzero(np.any(_log_weights(law, stiffness, scan) > -DEPTH, axis=0))[0]
        low, high = scan[max(inside[0] - 1, 0)], scan[min(inside[-1] + 1, _SCAN - 1)]
    y = spaced(low, high, step * min(1.0, 1.5 / math.sqrt(law.p)))
    log_sech = math.log(2) - np.logaddexp(y, -y)
    weights = np.exp(_log_weights(law, stiffness, y))
    weights /= np.sum(weights, axis=1, keepdims=True)
    return AngleTable(log_sech, weights, -0.5 * math.log1p(float(np.max(stiffness)) / law.p))


def _log_weights(law: InitialLaw, stiffness: Array, y: Array) -> Array:
    """ln of the weights of each row, in units of the largest."""
    log_sech = math.log(2) - np.logaddexp(y, -y)
    weights = (law.p - 1) * log_sech - 2 * stiffness[:, None] / (1 + np.exp(np.minimum(-2 * y, 600.0)))
    return weights - np.max(weights, axis=1, keepdims=True)


def zero_of_coefficient(flow: Flow, s: Array, t: float) -> Array:
    """delta at which F(t) = 0, 0 where it has no zero; eq. (14)."""
    log = log_rows(flow, s, t)
    # with X = sqrt(P/Q) e^(delta/2): F = 0 where X (near X + far) = (small X + toward), in units of Gam
    log_ratio = 0.5 * (flow.moments.log_P - flow.moments.log_Q)
    with np.errstate(divide="ignore"):
        above = np.exp(log.small) - np.exp(log.far + log_ratio)
        below = np.exp(log.near) - np.exp(log.toward - log_ratio)
        found = 2 * (np.log(np.maximum(above, 0.0)) - np.log(np.maximum(below, 1e-300)))
    exists = (above > 0) & (below > 0)
    return np.where(exists, found - 2 * log_ratio, 0.0)


def crossing_step(flow: Flow, t: float, step: float) -> float:
    """A step in s that resolves where the zero of F passes through the density."""
    law = flow.law
    low, high, top = law.window
    s = np.linspace(low, high, _SCAN)
    zero = zero_of_coefficient(flow, s, t)
    width = law.delta_steps(s, step)
    inside = (np.abs(zero) < 6 / step * width) & (law.profile(s) > top - DEPTH)
    slope = np.abs(np.gradient(zero, s))
    needed = np.where(inside, width / np.clip(slope, 1.0, STEEPEST), np.inf)
    return float(max(min(law.row_step(step), np.min(needed)), (high - low) / MOST_ROWS))


def split_rule(law: InitialLaw, s: Array, zero: Array, step: float) -> Rule:
    """Rows of delta = zero +- c ln(1 + e^v), on both sides, with c the width of the row."""
    _, _, top = law.window
    spread = np.maximum(law.spread(s, DEPTH + 5), 0.0)
    zero = np.clip(zero, -spread, spread)
    unit = np.minimum(1.0, 4 / np.sqrt(law.stiffness(s)))
    end = float(np.max((spread + np.abs(zero)) / unit))
    v = np.arange(NEAREST, end + step, step)
    out = np.logaddexp(0.0, v)
    log_jacobian = v - out
    side = unit[:, None] * out
    delta = np.concatenate([zero[:, None] - side[:, ::-1], zero[:, None] + side], axis=1)
    log_measure = law.profile(s) - top + np.log((s[1] - s[0]) * step * unit)
    return nodes(law, s, zero, delta, log_measure[:, None] + np.concatenate([log_jacobian[::-1], log_jacobian]))


def coefficient_at(flow: Flow, rule: Rule, t: float) -> Array:
    """kap F(t)."""
    up, down = Evolution(flow, rule, flow.target - flow.start(rule), t).parts()
    up -= down
    up *= 0.5
    return up


def mean_sign(flow: Flow, t: float) -> Average:
    """E sign F(t) where P and Q are proportional: sums of the chi-square law between the zeros of F."""
    from scipy import special

    law = flow.law

    def sign(s: Array) -> Array:
        still = np.zeros(s.shape)
        return np.sign(coefficient_at(flow, lattice(law, s, still, still, 1.0), t))[:, 0]

    low, high, _ = law.window
    zeros = changes(sign, low, high)
    half = 0.5 * law.p
    below = np.array([0.0, *special.gammainc(half, half * np.exp(zeros)), 1.0])
    ends = np.array([low, *zeros, high])
    return Average(float(np.diff(below) @ sign(0.5 * (ends[1:] + ends[:-1]))), 0.0)


class Angles:
    """The mean cosine of one law at any time."""

    def __init__(self, law: InitialLaw, plain: Rule, refinement: float = 1) -> None:
        self.law, self.plain, self.step = law, plain, COSINE_STEPS.get(law.p, COSINE_STEP) / refinement
        self._kept: tuple[float, Array, AngleTable | None] | None = None

    def mean(self, flow: Flow, t: float) -> Average:
        """E cos(u, w) at time t, for gamma > 0 and a positive target."""
        law = self.law
        if not law.fluctuates:
            return mean_sign(flow, t)
        s, table = self._rows(crossing_step(flow, t, self.step))
        if law.p < SPLIT:
            rule = split_rule(law, s, zero_of_coefficient(flow, s, t), self.step)
        else:
            rule = lattice(law, s, np.zeros(s.shape), law.spread(s, DEPTH + 5), self.step)
        coefficient = coefficient_at(flow, rule, t)
        if table is None:
            return rule.mean(np.sign(coefficient), self.plain.mass, KINKED)
        xi = coefficient * np.exp(-np.maximum(flow.log_kernel + rule.s, -600.0))[:, None]
        return rule.mean(table.given(xi), self.plain.mass, KINKED)

    def _rows(self, width: float) -> tuple[Array, AngleTable | None]:
        """Rows of this distance, and their table (one hidden unit has no angle); the last ones are kept."""
        if self._kept is None or self._kept[0] != width:
            low, high, _ = self.law.window
            s = spaced(low, high, width)
            self._kept = width, s, angle_table(self.law, s, self.step) if self.law.p > 1 else None
        _, s, table = self._kept
        return s, table
