"""What can be asked: `FeatureRidge`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import ParameterError
from ...parameters import parameter
from ...problem import Problem
from ...spectra.effective_ridge import effective_ridge
from ...spectra.power_law import SMALLEST_EXPONENT, infinite_power_law, ridgeless_power_law
from ...spectra.spectrum import (
    BIAS,
    BIAS_SLOPE,
    EXCHANGE,
    LEARNING,
    MISFIT,
    SECOND,
    SKEW,
    Spectrum,
    Sum,
)
from .prediction import FeatureRidgePrediction
from .ridge_equations import Fit, errors_of, slopes, warn_of_threshold, weight_norm

if TYPE_CHECKING:
    pass

Array = NDArray[np.float64]

_ERRORS = (EXCHANGE, SECOND, BIAS, MISFIT)
_FURTHER: dict[str, tuple[Sum, ...]] = {
    "weight_norm": (LEARNING,), "error_slope_lam": (SKEW, BIAS_SLOPE), "error_slope_n": (SKEW, BIAS_SLOPE),
}
_DECADES = 4  # in which the effective ridges of an infinite power law are rounded down: few different lists of nodes


class FeatureRidge(Problem):
    """Ridge regression on any frozen features, from their spectrum and a label vector.

    Features phi with E phi phi^T = sum_k s_k u_k u_k^T; label y; on n independent samples

        w = argmin sum_i (y_i - w . phi_i)^2 + lam |w|^2                                                        (*)

    (no 1/n, no intercept; lam = 0 is the limit, the least squares of smallest norm).  What counts of the label is
    c_k = (u_k . E[y phi])^2, summed over the modes of an eigenvalue, and sres = E y^2 - sum_k c_k/s_k, the error of
    the best linear function of the features, which acts as label noise.

    Deterministic equivalents for n and the number of modes that are large together, over independent samples;
    relative errors are of order 1/n.  `from_features` takes them from data.

    Source: arXiv:2402.13999, arXiv:1903.08560; docs/theories/structured_features.md, eqs. (1)-(6).
    """

    slug: ClassVar[str] = "feature-ridge"
    title: ClassVar[str] = "Ridge regression on features of a given spectrum"
    source: ClassVar[str] = "arXiv:2402.13999; docs/theories/structured_features.md"
    prediction: ClassVar[type[FeatureRidgePrediction]] = FeatureRidgePrediction
    is_limit: ClassVar[bool] = False

    eigenvalues: Any = parameter(
        "eigenvalues s_k of E phi phi^T; or give power_law", symbol="s_k", kind="vector", low=0, default=None
    )
    target_weights: Any = parameter(
        "c_k = (u_k . E[y phi])^2, in all modes of an eigenvalue together", symbol="c_k", kind="vector", low=0,
        default=None,
    )
    multiplicities: Any = parameter(
        "how often each eigenvalue occurs, or its weight in a quadrature; null for once", symbol="w_k", kind="vector",
        above=0, default=None,
    )
    power_law: Any = parameter(
        "a, b, T of the infinite power law s_k = k^-a, c_k/s_k = T k^-b, instead of eigenvalues", symbol="(a, b, T)",
        kind="vector", default=None,
    )
    residual_variance: Any = parameter(
        "sres, the variance of the label that no linear function of the features explains, noise included",
        symbol=r"\sigma_{\mathrm{res}}^2", low=0,
    )
    n: Any = parameter("samples; need not be a whole number", symbol="n", above=0)
    lam: Any = parameter("ridge penalty: minimise sum (y - w . phi)^2 + lam |w|^2", symbol=r"\lambda", low=0)

    def _validate(self) -> None:
        validate_spectrum(self)

    @property
    def spectrum(self) -> Spectrum:
        """Eigenvalues that are not zero, weights and signal; of a power law for the ridges of the cells."""
        if self.power_law is None:
            return listed_spectrum(self)
        decay, source, signal = (float(value) for value in self.power_law)
        n, lam = (self.cells.arrays[name] for name in ("n", "lam"))
        with np.errstate(under="ignore"):
            least = float(np.min(np.maximum(lam / n, 0.5 * ridgeless_power_law(decay, n)), initial=1.0))
        return infinite_power_law(decay, source, signal, rounded_down(least))

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        shape, (n, lam) = self.cells.compact(("n", "lam"))
        spectrum = self._refined(refinement)
        further = tuple(dict.fromkeys(name for asked in observables for name in _FURTHER.get(asked, ())))
        names = _ERRORS + further
        solved = effective_ridge(spectrum, n.ravel(), lam.ravel(), names, refinement)
        sums = dict(zip(names, (values.reshape(shape) for values in solved.sums), strict=True))
        kappa = solved.kappa.reshape(shape)
        fit = Fit(n, solved.excess.reshape(shape), sums[EXCHANGE], sums[SECOND], sums[BIAS], sums[MISFIT],
                  self.cells.arrays["residual_variance"])
        warn_of_threshold(fit)
        return {
            **answers(fit, kappa, sums, spectrum, observables),
            "converged": solved.converged.reshape(shape), "residual": solved.residual.reshape(shape),
        }

    def _refined(self, refinement: int) -> Spectrum:
        """Listed eigenvalues are exact; the nodes of a power law are not."""
        spectrum = self.spectrum
        if self.power_law is None or refinement == 1:
            return spectrum
        decay, source, signal = (float(value) for value in self.power_law)
        return infinite_power_law(decay, source, signal, 1e-4 * float(np.min(spectrum.eigenvalues)), refinement)


def answers(
    fit: Fit, kappa: Array, sums: dict[Sum, Array], spectrum: Spectrum, observables: Sequence[str]
) -> dict[str, Array]:
    """The observables asked for."""
    positive = kappa > 0
    over = np.where(positive, kappa, 1.0)

    def per_ridge(name: Sum, limit: Array) -> Array:
        return np.where(positive, sums[name] / over, np.sum(limit) if np.any(~positive) else 0.0)

    found = {**errors_of(fit, observables), "effective_ridge": kappa, "df1": fit.exchange + fit.df2}
    s, weights, signal = spectrum
    if "weight_norm" in observables:
        with np.errstate(over="ignore"):
            found["weight_norm"] = weight_norm(
                fit, per_ridge(LEARNING, signal / s), per_ridge(EXCHANGE, weights / s))
    if "error_slope_lam" in observables or "error_slope_n" in observables:
        with np.errstate(over="ignore"):
            found["error_slope_lam"], found["error_slope_n"] = slopes(
                fit, kappa, per_ridge(SKEW, weights / s), per_ridge(BIAS_SLOPE, 0 * s))
    return found


def rounded_down(ridge: float) -> float:
    """To a power of 10^-4."""
    return float(10.0 ** (_DECADES * np.floor(np.log10(max(ridge, 1e-280)) / _DECADES)))


def listed_spectrum(problem: Any) -> Spectrum:
    """The spectrum of listed eigenvalues without those that are zero."""
    s, c = problem.eigenvalues, problem.target_weights
    weights = np.ones(s.size) if problem.multiplicities is None else problem.multiplicities
    kept = s > 0
    return Spectrum(s[kept], weights[kept], c[kept] / s[kept])


def validate_spectrum(problem: Any) -> None:
    """Exactly one of eigenvalues (with target_weights) and power_law; raise `ParameterError`."""
    s, c, weights, law = (getattr(problem, name) for name in (
        "eigenvalues", "target_weights", "multiplicities", "power_law"))
    if (s is None) == (law is None):
        raise ParameterError("eigenvalues", "or power_law must be given, one of the two")
    if law is not None:
        for name, value in (("target_weights", c), ("multiplicities", weights)):
            if value is not None:
                raise ParameterError(name, "must not be given with power_law")
        if law.size != 3:
            raise ParameterError("power_law", f"must be the three numbers a, b, T, got {law.size}")
        if not (np.all(law[:2] >= SMALLEST_EXPONENT) and np.all(law[:2] <= 100) and law[2] >= 0):
            raise ParameterError("power_law", f"must have {SMALLEST_EXPONENT} <= a, b <= 100 and T >= 0, got "
                                              f"{law.tolist()}")
        return
    if c is None:
        raise ParameterError("target_weights", "must be given with eigenvalues")
    for name, value in (("target_weights", c), ("multiplicities", weights)):
        if value is not None and value.size != s.size:
            raise ParameterError(name, f"must have as many elements as the eigenvalues, {s.size}, got {value.size}")
    if not np.any(s > 0):
        raise ParameterError("eigenvalues", "must not all be zero")
    wrong = np.flatnonzero((s == 0) & (c > 0))
    if wrong.size:
        raise ParameterError("target_weights", f"must be zero where the eigenvalue is, got {c[wrong[0]]:.6g} at index "
                                               f"{wrong[0]}")
