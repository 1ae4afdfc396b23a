"""Laws where one layer is not trained: mixtures over its norm; eq. (15) of docs/theories/linear_network_ensemble.md."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .linear import LinearEnsemble
from .trajectory_laws import inverse

Array = NDArray[np.float64]


class LinearCoefficient:
    """F = A - r: given X, r is Gaussian."""

    def __init__(self, ensemble: LinearEnsemble, t: float) -> None:
        self._ensemble, self._t = ensemble, t
        self._mean, self._spread, self._weights = ensemble.gap_given(t)

    def _z(self, x: Array) -> Array:
        return (x[..., None] - (self._ensemble.target - self._mean)) / self._spread

    def pdf(self, x: Array) -> Array:
        return np.exp(-0.5 * self._z(x) ** 2) / (math.sqrt(2 * math.pi) * self._spread) @ self._weights

    def cdf(self, x: Array) -> Array:
        from scipy import special

        return special.ndtr(self._z(x)) @ self._weights

    def sf(self, x: Array) -> Array:
        from scipy import special

        return special.ndtr(-self._z(x)) @ self._weights

    def ppf(self, q: Array) -> Array:
        middle, reach = self._ensemble.target, np.max(np.abs(self._mean)) + 40 * np.max(self._spread)
        return inverse(lambda x: (float(self.cdf(np.array(x))), float(self.pdf(np.array(x)))), q,
                       middle - reach, middle + reach)

    def mean(self) -> float:
        return self._ensemble.coefficient(self._t)

    def std(self) -> float:
        return self._ensemble.coefficient_spread(self._t)


class LinearLoss:
    """factor r^2."""

    def __init__(self, ensemble: LinearEnsemble, t: float, factor: float) -> None:
        self._ensemble, self._t, self._factor = ensemble, t, factor
        self._coefficient = LinearCoefficient(ensemble, t)

    def _gap(self, x: Array) -> Array:
        return np.sqrt(np.maximum(x, 0.0) / self._factor)

    def pdf(self, x: Array) -> Array:
        gap, A = self._gap(x), self._ensemble.target
        density = self._coefficient.pdf(A + gap) + self._coefficient.pdf(A - gap)
        return np.where(x > 0, density / np.where(x > 0, 2 * self._factor * gap, 1.0), 0.0)

    def cdf(self, x: Array) -> Array:
        gap, A = self._gap(x), self._ensemble.target
        return self._coefficient.cdf(A + gap) - self._coefficient.cdf(A - gap)

    def sf(self, x: Array) -> Array:
        gap, A = self._gap(x), self._ensemble.target
        return self._coefficient.sf(A + gap) + self._coefficient.cdf(A - gap)

    def ppf(self, q: Array) -> Array:
        def below(log_gap: float) -> tuple[float, float]:
            x = np.array(self._factor * math.exp(2 * log_gap))
            return float(self.cdf(x)), float(2 * x * self.pdf(x))

        high = math.log(np.max(np.abs(self._coefficient._mean)) + 40 * np.max(self._coefficient._spread))
        return self._factor * np.exp(2 * inverse(below, q, high - 340.0, high))

    def mean(self) -> float:
        return self._factor * self._ensemble.square(self._t)

    def std(self) -> float:
        mean, spread, weights = self._ensemble.gap_given(self._t)
        fourth = float((mean**4 + 6 * (mean * spread) ** 2 + 3 * spread**4) @ weights)
        return self._factor * math.sqrt(max(fourth - self._ensemble.square(self._t) ** 2, 0.0))


class LinearKernel:
    """Theta = kernel X with a chi-square variable X."""

    def __init__(self, ensemble: LinearEnsemble) -> None:
        self._ensemble = ensemble
        self._half = 0.5 * ensemble.p

    def _of(self, x: Array) -> Array:
        return np.maximum(x, 0.0) / (2 * self._ensemble.kernel)

    def pdf(self, x: Array) -> Array:
        y = np.where(x > 0, self._of(x), 1.0)
        log = (self._half - 1) * np.log(y) - y - math.lgamma(self._half)
        return np.where(x > 0, np.exp(log) / (2 * self._ensemble.kernel), 0.0)

    def cdf(self, x: Array) -> Array:
        from scipy import special

        return special.gammainc(self._half, self._of(x))

    def sf(self, x: Array) -> Array:
        from scipy import special

        return special.gammaincc(self._half, self._of(x))

    def ppf(self, q: Array) -> Array:
        from scipy import special

        return 2 * self._ensemble.kernel * special.gammaincinv(self._half, q)

    def mean(self) -> float:
        return self._ensemble.mean_kernel

    def std(self) -> float:
        return self._ensemble.kernel_spread
