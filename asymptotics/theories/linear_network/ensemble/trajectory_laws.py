"""Laws of coefficient, loss and kernel at a time, in the manner of `scipy.stats`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ....solvers import increasing_root
from .linear_laws import GapMixture
from .regions import Regions

Array = NDArray[np.float64]
Function = Callable[[float], tuple[float, float]]

_DIFFERENCE = 1e-4  # relative
_LOWEST = 680.0  # ln of the largest over the smallest gap that is searched


def each(function: Function, x: Array) -> tuple[Array, Array]:
    """Values and slopes at every x."""
    found = [function(value) for value in np.ravel(x).tolist()]
    return (np.reshape([value for value, _ in found], x.shape), np.reshape([slope for _, slope in found], x.shape))


def inverse(function: Function, q: Array, low: float, high: float) -> Array:
    """Where an increasing function is q; -inf if that is below `low`, `high` if it is above."""
    (lowest, highest), _ = each(function, np.array([low, high]))

    def root(level: float) -> float:
        if lowest >= level:
            return -math.inf
        if highest <= level:
            return high

        def excess(x: Array) -> tuple[Array, Array]:
            value, slope = each(function, x)
            return value - level, slope

        return float(increasing_root(excess, np.array(low), np.array(high)).root)

    return np.reshape([root(level) for level in np.ravel(q).tolist()], q.shape)


class Coefficient:
    """F at time t."""

    def __init__(self, regions: Regions | GapMixture, moments: tuple[float, float], largest: float) -> None:
        self._regions, self._moments, self._largest = regions, moments, largest
        flow = regions.flow
        self._unit, self._target, self._sign = flow.coefficient_unit, flow.target, -1.0 if flow.mirrored else 1.0

    def _of(self, x: Array) -> tuple[Array, Array]:
        return each(self._regions.reached, self._target - self._sign * x / self._unit)

    def pdf(self, x: Array) -> Array:
        return self._of(x)[1] / self._unit

    def cdf(self, x: Array) -> Array:
        return self._of(x)[0] if self._sign > 0 else 1 - self._of(x)[0]

    def sf(self, x: Array) -> Array:
        return 1 - self._of(x)[0] if self._sign > 0 else self._of(x)[0]

    def ppf(self, q: Array) -> Array:
        probability = q if self._sign > 0 else 1 - q
        ahead, _ = self._regions.reached(0.0)  # gaps do not change sign
        gap = np.empty(q.shape)
        for sign, chosen in ((1.0, probability < ahead), (-1.0, probability >= ahead)):
            def survival(log_gap: float, sign: float = sign) -> tuple[float, float]:
                value, slope = self._regions.reached(sign * math.exp(log_gap))
                return -sign * value, math.exp(log_gap) * slope

            high = math.log(self._largest)
            gap[chosen] = sign * np.exp(inverse(survival, -sign * probability[chosen], high - _LOWEST, high))
        return self._sign * self._unit * (self._target - gap)

    def mean(self) -> float:
        return self._moments[0]

    def std(self) -> float:
        return self._moments[1]


class Loss:
    """factor * (kap r)^2 at time t."""

    def __init__(
        self, regions: Regions | GapMixture, factor: float, moments: tuple[float, float], largest: float
    ) -> None:
        self._regions, self._factor, self._moments, self._largest = regions, factor, moments, largest

    def _below(self, log_gap: float) -> tuple[float, float]:
        """Pr(ln|kap r| <= log_gap), and its derivative."""
        gap = math.exp(log_gap)
        (low, low_slope), (high, high_slope) = self._regions.reached(-gap), self._regions.reached(gap)
        return low - high, gap * (low_slope + high_slope)

    def _of(self, x: Array) -> tuple[Array, Array]:
        return each(self._below, 0.5 * (np.log(np.where(x > 0, x, 1.0)) - math.log(self._factor)))

    def pdf(self, x: Array) -> Array:
        return np.where(x > 0, self._of(x)[1] / (2 * np.where(x > 0, x, 1.0)), 0.0)

    def cdf(self, x: Array) -> Array:
        return np.where(x > 0, self._of(x)[0], 0.0)

    def sf(self, x: Array) -> Array:
        return 1 - self.cdf(x)

    def ppf(self, q: Array) -> Array:
        high = math.log(self._largest)
        return self._factor * np.exp(2 * inverse(self._below, q, high - _LOWEST / 2, high))

    def mean(self) -> float:
        return self._moments[0]

    def std(self) -> float:
        return self._moments[1]


class Kernel:
    """Theta at time t."""

    def __init__(self, regions: Regions, moments: tuple[float, float], largest: float) -> None:
        self._regions, self._moments, self._largest = regions, moments, largest
        self._unit = regions.flow.kernel_unit

    def _of(self, x: Array) -> tuple[Array, Array]:
        return each(self._regions.within, np.where(x > 0, x, 1.0) / self._unit)

    def pdf(self, x: Array) -> Array:
        """By differences of the distribution function: late, its exact derivative comes from rows too narrow to see."""
        h = _DIFFERENCE * np.abs(x)
        near, far = (self.cdf(x + k * h) - self.cdf(x - k * h) for k in (1, 2))
        return np.where(x > 0, (8 * near - far) / np.where(x > 0, 12 * h, 1.0), 0.0)

    def cdf(self, x: Array) -> Array:
        return np.where(x > 0, self._of(x)[0], 0.0)

    def sf(self, x: Array) -> Array:
        return 1 - self.cdf(x)

    def ppf(self, q: Array) -> Array:
        def within(log_kernel: float) -> tuple[float, float]:
            value, slope = self._regions.within(math.exp(log_kernel))
            return value, math.exp(log_kernel) * slope

        low, high = self._regions.flow.log_kernel + self._regions.low, math.log(self._largest)
        return self._unit * np.exp(inverse(within, q, low, high))

    def mean(self) -> float:
        return self._moments[0]

    def std(self) -> float:
        return self._moments[1]
