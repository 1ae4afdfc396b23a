"""Laws where one layer is not trained: mixtures over its norm; eq. (15) of docs/theories/linear_network_ensemble.md."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .linear import LinearEnsemble

Array = NDArray[np.float64]


class Units(NamedTuple):
    """Units of a flow that has none."""

    target: float
    coefficient_unit: float = 1.0
    mirrored: bool = False


class GapMixture:
    """Probabilities of the gap r at time t: given X it is Gaussian, times e^(-kappa X)."""

    def __init__(self, ensemble: LinearEnsemble, t: float) -> None:
        self.flow = Units(ensemble.target)
        self._centre, self._width, self._exponent, self._weights = ensemble.gap_in_units_of_decay(t)

    @property
    def largest(self) -> float:
        """Above every gap."""
        return float(np.max(np.abs(self._centre)) + 40 * np.max(self._width))

    def reached(self, gap: float) -> tuple[float, float]:
        """Pr(r >= gap), and minus its derivative."""
        from scipy import special

        log_gap = math.log(abs(gap)) if gap != 0 else -np.inf
        start = math.copysign(1.0, gap) * np.exp(np.minimum(log_gap + self._exponent, 700.0))
        z = (start - self._centre) / self._width
        density = np.exp(np.minimum(self._exponent, 690.0) - 0.5 * np.minimum(np.abs(z), 60.0) ** 2) / self._width
        return (float(special.ndtr(-z) @ self._weights),
                float(density @ self._weights) / math.sqrt(2 * math.pi))


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
