"""Errors of ridge regression at a given effective ridge; eqs. (2)-(6) of docs/theories/structured_features.md.

Everything is written in sums of positive terms: n - df1 is lam/kappa, and n - df2 that plus df1 - df2.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import AccuracyWarning

Array = NDArray[np.float64]


class Fit(NamedTuple):
    """What the errors of a ridge estimator are made of.

    Attributes
    ----------
    n : ndarray
        Samples.
    excess : ndarray
        n - df1 = lam/kappa.
    exchange : ndarray
        df1 - df2.
    df2 : ndarray
    bias : ndarray
        B, the error of the mean predictor beyond the residual.
    misfit : ndarray
        M = sum t a: the penalised objective of the population, beyond the residual.
    residual : ndarray
        sres, what no linear function of the features explains.
    """

    n: Array
    excess: Array
    exchange: Array
    df2: Array
    bias: Array
    misfit: Array
    residual: Array

    @property
    def free(self) -> Array:
        """n - df2."""
        return self.excess + self.exchange

    @property
    def amplified(self) -> Array:
        """B + sres, which the scatter of the training set amplifies."""
        return self.bias + self.residual

    def scattered(self, signal: Array) -> Array:
        """signal df2/(n - df2): inf without ridge at n = r, but 0 for a signal that is 0."""
        return _ratio(signal * self.df2, self.free)

    @property
    def variance(self) -> Array:
        """Of the prediction over training sets; eq. (5)."""
        return self.scattered(self.amplified)

    @property
    def test_error(self) -> Array:
        """On a fresh sample; eq. (3)."""
        return _ratio(self.n * self.amplified, self.free)

    @property
    def train_error(self) -> Array:
        """Mean squared residual, without penalty; eq. (4)."""
        share = self.excess / self.n
        return share * _ratio(self.excess * self.amplified, self.free)

    @property
    def ridge_objective(self) -> Array:
        """Minimum of the objective divided by n; eq. (4)."""
        return self.excess / self.n * (self.residual + self.misfit)


def errors_of(fit: Fit, observables: Sequence[str]) -> dict[str, Array]:
    """Those observables that only the fit determines, if they are asked for."""
    found: dict[str, Callable[[], Array]] = {
        "df2": lambda: fit.df2, "bias": lambda: fit.bias, "variance": lambda: fit.variance,
        "test_error": lambda: fit.test_error, "train_error": lambda: fit.train_error,
        "ridge_objective": lambda: fit.ridge_objective,
        "bias_fixed_design": lambda: fit.bias + fit.scattered(fit.bias),
        "variance_noise": lambda: fit.scattered(fit.residual),
    }
    return {name: compute() for name, compute in found.items() if name in observables}


def warn_of_threshold(fit: Fit) -> None:
    """Where the test error is infinite."""
    count = np.count_nonzero((fit.free <= 0) & (fit.amplified > 0))
    if count:
        warnings.warn(f"the test error diverges in {count} cells: no ridge, and n is the rank of the features",
                      AccuracyWarning, stacklevel=6)


class Slopes(NamedTuple):
    """Derivatives of the test error; eq. (6)."""

    by_ridge: Array
    by_samples: Array


def slopes(fit: Fit, kappa: Array, skew: Array, bias_slope: Array) -> Slopes:
    """dE/dlam and dE/dn from kappa/2 dB/dkappa and -kappa/2 ddf2/dkappa; both divided by kappa.  NaN where free = 0."""
    free = np.where(fit.free > 0, fit.free, np.nan)
    by_kappa = 2 * (fit.n / free) * ((bias_slope * free - fit.amplified * skew) / free)
    by_ridge = by_kappa / free
    return Slopes(by_ridge, -by_ridge * kappa - fit.amplified * (fit.df2 / free) / free)


def weight_norm(fit: Fit, learning: Array, spread: Array) -> Array:
    """|w|^2 = sum c/(s + kappa)^2 + (E/n) sum w s/(s + kappa)^2; eq. (4)."""
    amplified = fit.amplified > 0
    scatter = np.where(amplified, spread, 0.0) * fit.amplified
    return learning + _ratio(scatter, fit.free)


def _ratio(numerator: Array, denominator: Array) -> Array:
    """0/0 is 0: nothing is amplified without end."""
    with np.errstate(over="ignore"):
        finite = numerator / np.where(denominator > 0, denominator, 1.0)
    return np.where(denominator > 0, finite, np.where(numerator > 0, np.inf, 0.0))
