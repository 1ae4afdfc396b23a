"""The law of the invariants P and Q of Gaussian weights; eqs. (1) - (6) of docs/theories/linear_network_ensemble.md.

P = gamma^2 V_+ p e^(s + delta/2) and Q = gamma^2 V_- p e^(s - delta/2).  The density of (s, delta) depends on the width
p and on tau only; given s, delta has the density of exp(-2 k sinh(delta/4)^2) with k = p e^s/(1 - tau^2).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bessel import log_bessel

Array = NDArray[np.float64]

DEPTH = 40.0  # ln of the density below its maximum where grids end
STEP = 0.22
_SCAN = 512


@dataclasses.dataclass(frozen=True)
class InitialLaw:
    """The joint law of s and delta.

    Attributes
    ----------
    p : int
    tau : float
        |a - b|/sqrt(V_+ V_-).
    rest : float
        1 - tau^2 with all its digits; 0 if delta does not fluctuate.
    """

    p: int
    tau: float
    rest: float

    @property
    def fluctuates(self) -> bool:
        """Whether P and Q are not proportional."""
        return self.rest > 0

    def profile(self, s: Array) -> Array:
        """ln of the density at delta = 0, up to a constant; eq. (5)."""
        p = self.p
        if not self.fluctuates:
            return 0.5 * p * (s - np.expm1(s))
        return p * s - p * np.expm1(s) / (1 + self.tau) + log_bessel(0.5 * p - 1, self.tau * p / self.rest, s)

    def stiffness(self, s: Array) -> Array:
        """k of the density of delta."""
        return self.p * np.exp(s) / self.rest

    def row_step(self, step: float) -> float:
        """A step in s that resolves the law like `step` does at width one."""
        return step * min(1.0, 1.7 / math.sqrt(self.p))

    def delta_steps(self, s: Array, step: float) -> Array:
        """Steps in delta that resolve the rows."""
        return step * np.minimum(1.0, 4 / np.sqrt(self.stiffness(s)))

    def marginal(self, s: Array) -> Array:
        """ln of the density of s, up to a constant: the profile times 2 e^k K_0(k); eq. (12)."""
        if not self.fluctuates:
            return self.profile(s)
        from scipy import special

        return self.profile(s) + np.log(special.k0e(self.stiffness(s)))

    @functools.cached_property
    def window(self) -> tuple[float, float, float]:
        """The smallest and the largest s where the density of s is within DEPTH of its maximum; that of the profile."""
        reach = (90 / self.p + 20 / math.sqrt(self.p)) * (1 if self.fluctuates else 2)
        s = np.linspace(-reach, math.log(2 + reach), _SCAN)
        # a step of the scan is less than a tenth of the width of the law
        density = self.marginal(s)
        inside = np.nonzero(density > np.max(density) - DEPTH)[0]
        top = float(np.max(self.profile(s)))
        return float(s[max(inside[0] - 1, 0)]), float(s[min(inside[-1] + 1, _SCAN - 1)]), top

    @functools.cached_property
    def _peak(self) -> float:
        low, high, _ = self.window
        return float(np.max(self.marginal(np.linspace(low, high, _SCAN))))

    def spread(self, s: Array, depth: float = DEPTH) -> Array:
        """|delta| up to which the density at s is within `depth` of that of the largest row; negative if it is not."""
        room = self.marginal(s) - self._peak + depth
        return np.where(room > 0, 4 * np.arcsinh(np.sqrt(np.maximum(room, 0.0) / (2 * self.stiffness(s)))), -1.0)


class Average(NamedTuple):
    """A mean and an estimate of its error."""

    value: float
    error: float


@dataclasses.dataclass(frozen=True)
class Rule:
    """Nodes and weights of a trapezoid rule over the initial weights, a row of delta for each s.

    Attributes
    ----------
    s, centre : ndarray (S,)
        `centre` is the middle of delta.
    growth : ndarray (S, D)
        e^(delta/2).
    decay : ndarray (S, D)
        e^(-delta/2).
    sinh : ndarray (S, D)
        sinh(delta/2), accurate where delta is small.
    weight : ndarray (S, D)
        Of the density of the law, up to a factor that is the same for all rules of the law.
    """

    s: Array
    centre: Array
    growth: Array
    decay: Array
    sinh: Array
    weight: Array

    @functools.cached_property
    def mass(self) -> float:
        return float(np.sum(self.weight))

    def mean(self, values: Array, mass: float | None = None, power: float = 2.0) -> Average:
        """The mean of values at the nodes.

        For what is analytic, halving the step of a trapezoid rule at least squares its error: the error is at most of
        the size of the square of what every second row or column would change.

        Parameters
        ----------
        values : ndarray (S, D)
        mass : float, optional
            That of another rule of the same law, if this one covers a part of it.
        power : float
            Of that change, relative to the mean.
        """
        product = self.weight * values
        by_row, by_column = np.sum(product, axis=1), np.sum(product, axis=0)
        total, change = float(np.sum(by_row)), max(abs(_alternating(by_row)), abs(_alternating(by_column)))
        mass = self.mass if mass is None else mass
        error = change * min(1.0, change / abs(total)) ** (power - 1) if total != 0 else change
        return Average(total / mass, error / mass)


def _alternating(values: Array) -> float:
    return float(np.sum(values[::2]) - np.sum(values[1::2])) if values.size > 1 else 0.0


def rule_of(law: InitialLaw, step: float = STEP) -> Rule:
    """The rule for averages with the density itself; eq. (7)."""
    low, high, _ = law.window
    s = rows(law, low, high, step)
    reach = law.spread(s, DEPTH + 5) if law.fluctuates else np.zeros(s.shape)
    return lattice(law, s, np.zeros(s.shape), reach, step)


def rows(law: InitialLaw, low: float, high: float, step: float) -> Array:
    """Equally spaced s from low to high, or a little beyond."""
    return spaced(low, high, law.row_step(step))


def spaced(low: float, high: float, width: float) -> Array:
    """low, low + width, ... up to high, or the first beyond."""
    return low + width * np.arange(math.ceil((high - low) / width) + 1, dtype=np.float64)


def lattice(law: InitialLaw, s: Array, centre: Array, reach: Array, step: float) -> Rule:
    """Rows at s, each with delta within `reach` of its centre."""
    _, _, top = law.window
    profile, width = law.profile(s) - top, float(s[1] - s[0]) if s.size > 1 else 1.0
    if not law.fluctuates:
        one = np.ones((s.size, 1))
        return Rule(s, centre, one, one, np.zeros(one.shape), width * np.exp(profile)[:, None])
    half = max(1, math.ceil(float(np.max(reach / law.delta_steps(s, step)))))
    delta_step = np.maximum(reach, 0.0) / half
    delta = centre[:, None] + delta_step[:, None] * np.arange(-half, half + 1)
    return nodes(law, s, centre, delta, (profile + np.log(np.maximum(width * delta_step, 1e-300)))[:, None])


def nodes(law: InitialLaw, s: Array, centre: Array, delta: Array, log_measure: Array) -> Rule:
    """Any rows of delta (S, D), with the logarithm of what the nodes stand for and of the profile."""
    quarter = 0.25 * delta
    root, sinh = np.exp(quarter), np.sinh(quarter)
    exponent = sinh * sinh
    exponent *= -2 * law.stiffness(s)[:, None]
    exponent += log_measure
    sinh *= root + 1 / root
    root *= root
    return Rule(s, centre, root, 1 / root, sinh, np.exp(exponent, out=exponent))
