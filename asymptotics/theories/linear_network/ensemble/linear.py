"""Averages where one layer is not trained: closed forms; eqs. (15), (16) of docs/theories/linear_network_ensemble.md.

The kernel is that of the start, and the gap r = (A - F_0) e^(-kappa X) with X = |w|^2/var_w, a chi-square variable with
p degrees of freedom (w being the layer that is not trained).  Given X, F_0 = f (rho X + sqrt((1 - rho^2) X) xi) with a
standard normal xi.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from .angle_table import AngleTable
from .cosine import NEAREST
from .initial_law import InitialLaw, rows

Array = NDArray[np.float64]

STEP = 0.15
_WIDEST = 9.5  # standard deviations of xi
_FINEST = 300  # times more rows at most


@dataclasses.dataclass(frozen=True)
class LinearEnsemble:
    """One cell with one rate zero.

    Attributes
    ----------
    p : int
    target, start : float
        A, and f = gamma sqrt(var_u var_w).
    correlation : float
    kernel : float
        Theta/X.
    rate : float
        kappa/t = c m2 Theta/X.
    """

    p: int
    target: float
    start: float
    correlation: float
    kernel: float
    rate: float

    def coefficient(self, t: float) -> float:
        """E F; eq. (15), with all digits at early times."""
        log = math.log1p(2 * self.rate * t)
        return (-self.target * math.expm1(-0.5 * self.p * log)
                + self.start * self.correlation * self.p * math.exp(-(0.5 * self.p + 1) * log))

    def square(self, t: float) -> float:
        """E r^2; eq. (15)."""
        p, f, rho = self.p, self.start, self.correlation
        log = math.log1p(4 * self.rate * t)
        first, second, third = (math.exp(-(0.5 * p + k) * log) for k in range(3))
        return (self.target**2 * first - 2 * self.target * f * rho * p * second
                + f * f * ((1 - rho) * (1 + rho) * p * second + rho * rho * p * (p + 2) * third))

    @property
    def mean_kernel(self) -> float:
        return self.kernel * self.p

    @property
    def kernel_spread(self) -> float:
        return self.kernel * math.sqrt(2 * self.p)

    def gap_given(self, t: float) -> tuple[Array, Array, Array]:
        """Mean and standard deviation of r at given X, and weights of X."""
        X, weights = self._rows()
        left = np.exp(-self._clock(t) * X)
        across = math.sqrt((1 - self.correlation) * (1 + self.correlation))
        return (left * (self.target - self.start * self.correlation * X), abs(self.start) * across * left * np.sqrt(X),
                weights)

    def gap_in_units_of_decay(self, t: float) -> tuple[Array, Array, Array, Array]:
        """Mean and standard deviation of r e^(kappa X) at given X, kappa X, and weights of X.

        The rows resolve e^(-kappa X).
        """
        finer = max(1 / (1 + 0.5 * self.rate * t * self.p), 1 / _FINEST)
        X, weights = self._rows(STEP * finer)
        across = math.sqrt((1 - self.correlation) * (1 + self.correlation))
        return (self.target - self.start * self.correlation * X, abs(self.start) * across * np.sqrt(X),
                self.rate * t * X, weights)

    def loss_spread(self, t: float) -> float:
        """Standard deviation of r^2."""
        mean, spread, weights = self.gap_given(t)
        fourth = float((mean**4 + 6 * (mean * spread) ** 2 + 3 * spread**4) @ weights)
        return math.sqrt(max(fourth - self.square(t) ** 2, 0.0))

    def coefficient_spread(self, t: float) -> float:
        """Standard deviation of F: that of its mean at given X, and the mean of that at given X."""
        mean, spread, weights = self.gap_given(t)
        return math.sqrt(float(weights @ ((mean - weights @ mean) ** 2 + spread**2)))

    def cosine(self, t: float) -> float:
        """E cos(u, w), which has the sign of F/start; start is not 0; eq. (16)."""
        across = math.sqrt((1 - self.correlation) * (1 + self.correlation))
        X, weights = self._rows(self._finest(t))
        left, moved = np.exp(-self._clock(t) * X), -np.expm1(-self._clock(t) * X)
        # the trained layer along the other one, in units of what a weight is across
        middle = self.target / self.start * moved / np.sqrt(X) + self.correlation * left * np.sqrt(X)
        if across == 0:
            return float(np.sum(weights * np.sign(middle)))
        middle, left = middle[:, None] / across, left[:, None]
        zero = np.clip(-middle / np.maximum(left, 1e-300), -_WIDEST, _WIDEST)
        v = np.arange(NEAREST, 2 * _WIDEST + STEP, STEP)
        out = np.logaddexp(0.0, v)
        log_jacobian = v - out
        xi = np.concatenate([zero - out[::-1], zero + out], axis=1)
        inner = np.exp(np.concatenate([log_jacobian[::-1], log_jacobian]) - 0.5 * xi**2) * (
            STEP / math.sqrt(2 * math.pi))
        along = middle + left * xi
        cosine = np.sign(along) if self.p == 1 else _chi_table(self.p - 1).given(along / math.sqrt(self.p - 1))
        return float(np.sum(weights * np.sum(inner * cosine, axis=1)))

    def _clock(self, t: float) -> float:
        """kappa, or what is as good as infinity."""
        return min(self.rate * t, 1e200)

    def _rows(self, step: float = STEP) -> tuple[Array, Array]:
        """X and weights of the trapezoid rule in ln X."""
        s, weights = _chi_square(self.p, step)
        return self.p * np.exp(s), weights

    def _finest(self, t: float) -> float:
        """A step that resolves where the trained layer turns round."""
        X, weights = self._rows()
        likely = weights > 1e-14 * np.max(weights)
        left = float(np.min(np.exp(-self._clock(t) * X[likely])))
        turns = self.target * self.start * self.correlation < 0
        return STEP * max(min(1.0, left), 1 / _FINEST) if turns else STEP


def _chi_square(freedom: int, step: float = STEP) -> tuple[Array, Array]:
    """ln(X/freedom) and weights of the trapezoid rule for a chi-square variable X."""
    law = InitialLaw(freedom, 1.0, 0.0)
    low, high, top = law.window
    s = rows(law, low, high, step)
    weights = np.exp(law.profile(s) - top)
    return s, weights / np.sum(weights)


def _chi_table(freedom: int) -> AngleTable:
    """E z/sqrt(z^2 + x^2) for a chi-square variable freedom x^2."""
    s, weights = _chi_square(freedom)
    return AngleTable(0.5 * s, weights[None], 0.0)
