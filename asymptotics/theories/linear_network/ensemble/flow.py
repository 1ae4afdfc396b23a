"""The trajectory of every initialisation of a rule; eqs. (8) - (10) of docs/theories/linear_network_ensemble.md.

What needs exponentials depends on s only, and is kept as logarithms until all factors are of order one: a row may be
as rare as e^-1000, and then decides about the loss at late times.  Targets are positive here (a negative one is the
mirror image); kernels and kap F are in units of the largest of kap|A|, E P and E Q.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .initial_law import InitialLaw, Rule

Array = NDArray[np.float64]

NOTHING = -1e12  # stands for ln 0
LOG_4 = math.log(4)
LARGEST, SMALLEST = 600.0, 1e-200  # |ln| of units, and of the part of P/Q that fluctuates


class Moments(NamedTuple):
    """Means of the invariants, (3), in units of the module.

    Attributes
    ----------
    log_P, log_Q : float
        ln E P and ln E Q.
    mean, half_difference : float
        (E P + E Q)/2 and (E P - E Q)/2 = kap E F_0.
    """

    log_P: float
    log_Q: float
    mean: float
    half_difference: float


@dataclasses.dataclass(frozen=True)
class Flow:
    """One cell of the ensemble.

    Attributes
    ----------
    law : InitialLaw
    moments : Moments
    log_target : float
        ln kap|A|.
    rate : float
        c m2, times the unit of kernels.
    kernel_unit, coefficient_unit : float
        Of Theta, and of F: that of Theta over kap.
    mirrored : bool
        Whether F has the other sign.
    cosine_sign : float
        Of gamma.
    """

    law: InitialLaw
    moments: Moments
    log_target: float
    rate: float
    kernel_unit: float
    coefficient_unit: float
    mirrored: bool
    cosine_sign: float

    @property
    def target(self) -> float:
        return math.exp(max(self.log_target, -800.0))

    @property
    def reachable(self) -> bool:
        """Whether networks reach the target: not if P = 0 (where Q = 0 they are at it, or on the way)."""
        return self.moments.log_P > NOTHING / 2 and (self.log_target > NOTHING / 2 or self.moments.log_Q > NOTHING / 2)

    @functools.cached_property
    def log_kernel(self) -> float:
        """ln of Gam at s = 0."""
        return 0.5 * (self.moments.log_P + self.moments.log_Q)

    def log_final_kernel(self, s: Array) -> Array:
        """ln Theta_inf."""
        return 0.5 * np.logaddexp(2 * self.log_target, 2 * (self.log_kernel + s))

    def start(self, rule: Rule) -> Array:
        """kap F at t = 0."""
        scale = np.exp(rule.s)[:, None]
        found = rule.growth + rule.decay
        found *= (0.5 * self.moments.half_difference) * scale
        found += (self.moments.mean * scale) * rule.sinh
        return found


class Rows(NamedTuple):
    """Coefficients of a time in each row, (9): N = near + far e^(-delta/2), scale M = small + toward e^(delta/2).

    Attributes
    ----------
    near, far, small, toward : ndarray (S, 1)
    decay : ndarray (S, 1)
        4 scale e^(-Lam t).
    up, down : ndarray (S, 1)
        scale P e^(-delta/2) and Q e^(delta/2)/scale.
    """

    near: Array
    far: Array
    small: Array
    toward: Array
    decay: Array
    up: Array
    down: Array


class LogRows(NamedTuple):
    """Logarithms of near, far, small and toward with scale 1, and Lam t."""

    near: Array
    far: Array
    small: Array
    toward: Array
    x: Array


def log_rows(flow: Flow, s: Array, t: float) -> LogRows:
    """Eq. (9), in logarithms."""
    log_kernel, log_final = flow.log_kernel + s, flow.log_final_kernel(s)
    log_big = np.log1p(np.exp(flow.log_target - log_final))
    log_small = 2 * np.maximum(log_kernel - log_final, NOTHING) - log_big
    x = flow.rate * t * np.exp(log_final)
    log_clock = _log_clock(flow.rate * t, x)
    return LogRows(
        near=np.logaddexp(log_big, log_small - x),
        far=flow.moments.log_Q + s + log_clock,
        small=np.logaddexp(log_small, log_big - x),
        toward=flow.moments.log_P + s + log_clock,
        x=x,
    )


def _log_clock(kt: float, x: Array) -> Array:
    """ln D = ln( (1 - e^-x)/Theta_inf ), x = k t Theta_inf."""
    if kt == 0:
        return np.full(x.shape, NOTHING)
    safe = np.where(x > 0, x, 1.0)
    return math.log(kt) + np.where(x > 0, np.log(-np.expm1(-safe) / safe), 0.0)


def rows_at(flow: Flow, s: Array, centre: Array, t: float) -> Rows:
    """Eq. (9), with a scale that makes M of order one at `centre`."""
    log = log_rows(flow, s, t)
    log_scale = -np.maximum(log.small, log.toward + 0.5 * centre)
    moments = flow.moments
    parts = (
        log.near, log.far, log.small + log_scale, log.toward + log_scale, LOG_4 + log_scale - log.x,
        moments.log_P + s + log_scale, moments.log_Q + s - log_scale,
    )
    return Rows(*(np.exp(part)[:, None] for part in parts))


class Evolution:
    """All initialisations of a rule at one time; kernels and kap F in the units of the module."""

    def __init__(self, flow: Flow, rule: Rule, start_gap: Array, t: float) -> None:
        self._flow, self._rule, self._start_gap = flow, rule, start_gap
        self.row = rows_at(flow, rule.s, rule.centre, t)
        self.N = self.row.far * rule.decay
        self.N += self.row.near
        self.M = self.row.toward * rule.growth
        self.M += self.row.small

    def gap(self) -> Array:
        """kap r; eq. (10)."""
        found = self.N * self.M
        np.divide(self._start_gap, found, out=found)
        found *= self.row.decay
        return found

    def coefficient(self) -> Array:
        """kap F; eq. (10)."""
        return self._flow.target - self.gap()

    def change(self) -> Array:
        """kap (F - F_0); eq. (10)."""
        found = self.row.toward * self._rule.growth
        found /= self.M
        other = self.row.far * self._rule.decay
        other /= self.N
        found += other
        found *= self._start_gap
        return found

    def parts(self) -> tuple[Array, Array]:
        """P z and Q/z: their sum is 2 Theta, their difference 2 kap F."""
        ratio = self.N / self.M
        up = self.row.up * self._rule.growth
        up *= ratio
        down = self.row.down * self._rule.decay
        down /= ratio
        return up, down


def flow_of(
    p: int, var_u: float, var_w: float, correlation: float, gamma: float, eta_u: float, eta_w: float, m2: float,
    target: float, loss_factor: float,
) -> Flow | None:
    """Eqs. (2) - (4) for one cell with kap > 0 and weights that are not all zero; None beyond float64."""
    mirrored = target < 0
    rho = correlation * math.copysign(1.0, gamma) * (-1.0 if mirrored else 1.0)
    log_a, log_b = (_log(rate) + _log(variance) for rate, variance in ((eta_w, var_u), (eta_u, var_w)))
    top = max(log_a, log_b)
    root = math.exp(-0.5 * min(abs(log_a - log_b), 1e4))  # sqrt(min(a, b)/max(a, b))
    excess = (1 - root) ** 2
    plus, minus = excess + 2 * (1 + rho) * root, excess + 2 * (1 - rho) * root
    product = plus * minus
    rest = 4 * root * root * (1 - rho) * (1 + rho) / product if product > 0 else 0.0
    law = InitialLaw(p, (1 - root) * (1 + root) / math.sqrt(product) if rest > 0 else 1.0, rest)
    scale = 2 * math.log(abs(gamma)) + top + math.log(p)
    log_kap = math.log(2 * abs(gamma)) + 0.5 * (math.log(eta_u) + math.log(eta_w))
    log_target = log_kap + _log(abs(target))
    unit = max(scale + math.log(max(plus, minus)), log_target)
    if max(abs(unit), abs(unit - log_kap)) > LARGEST or 0 < rest < SMALLEST:
        return None
    inside = scale - unit
    moments = Moments(_log(plus) + inside, _log(minus) + inside,
                      (1 + root * root) * math.exp(inside), 2 * rho * root * math.exp(inside))
    return Flow(law, moments, log_target - unit, loss_factor * m2 * math.exp(unit), math.exp(unit),
                math.exp(unit - log_kap), mirrored, math.copysign(1.0, gamma))


def _log(x: float) -> float:
    return math.log(x) if x > 0 else NOTHING
