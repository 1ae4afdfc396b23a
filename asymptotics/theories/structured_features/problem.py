"""What can be asked: `FeatureRidge`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...datasets import answer_dataset, described
from ...errors import AccuracyWarning, ParameterError
from ...parameters import parameter
from ...problem import Problem
from ...search import like_cells
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
from .declared import listed_spectrum, validate_modes
from .empirical import modes_of_data
from .prediction import FeatureRidgePrediction
from .ridge_answers import best_ridges, minima_dataset, sweep_dataset
from .ridge_equations import Fit, errors_of, slopes, warn_of_threshold, weight_norm

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

_ERRORS = (EXCHANGE, SECOND, BIAS, MISFIT)
_FURTHER: dict[str, tuple[Sum, ...]] = {
    "weight_norm": (LEARNING,), "error_slope_lam": (SKEW, BIAS_SLOPE), "error_slope_n": (SKEW, BIAS_SLOPE),
}
_LARGEST_RIDGE = 1e9  # in units of the trace of the spectrum
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
    n: Any = parameter("samples", symbol="n", above=0)
    lam: Any = parameter("ridge penalty: minimise sum (y - w . phi)^2 + lam |w|^2", symbol=r"\lambda", low=0)

    def _validate(self) -> None:
        validate_spectrum(self)

    @property
    def spectrum(self) -> Spectrum:
        """Eigenvalues that are not zero, weights and signal; of a power law for the ridges of the cells."""
        if self.power_law is None:
            return listed_spectrum(self.eigenvalues, self.target_weights, self.multiplicities)
        decay, source, signal = (float(value) for value in self.power_law)
        n, lam = (self.cells.arrays[name] for name in ("n", "lam"))
        with np.errstate(under="ignore"):
            least = float(np.min(np.maximum(lam / n, 0.5 * ridgeless_power_law(decay, n)), initial=1.0))
        return infinite_power_law(decay, source, signal, rounded_down(least))

    @classmethod
    def from_features(
        cls, F: ArrayLike, y: ArrayLike, *, debias: bool = True, intercept: bool = False, **parameters: Any
    ) -> Self:
        """The problem of a ridge readout on features of which a sample is given.

        Parameters
        ----------
        F : array_like, shape (N, p)
            Features of N independent samples.
        y : array_like, shape (N,)
            Their labels.
        debias : bool
            Whether noise is removed from the residual variance and the target weights, for new data; without it the
            theory describes sub-samples of these data.
        intercept : bool
            Whether the readout has an intercept without penalty: features and labels are centred.
        **parameters
            n, lam.

        Raises
        ------
        ParameterError
            If F and y are no finite arrays of these shapes, or there are too few samples to remove the noise.

        Warns
        -----
        AccuracyWarning
            If N < 3 p, and if the features have heavy tails.
        """
        return cls(**modes_of_data(F, y, debias=debias, intercept=intercept)._asdict(), **parameters)

    def optimal_ridge(self) -> Self:
        """The same problem with `lam` replaced, in every cell, by the one that minimises the test error.

        Returns
        -------
        Problem
            `lam` spans the remaining cells; it is 0 where no ridge is best.

        Warns
        -----
        AccuracyWarning
            If the best ridge is infinite in some cells: a large one stands for it.
        """
        lam, _ = best_ridges(self)
        infinite = np.isinf(lam)
        if np.any(infinite):
            large = _LARGEST_RIDGE * max(self.spectrum.trace, float(np.max(self.cells.arrays["n"])))
            warnings.warn(f"in {np.count_nonzero(infinite)} cells the best ridge is infinite; lam = {large:.0e} stands "
                          "for it", AccuracyWarning, stacklevel=2)
            lam = np.where(infinite, large, lam)
        base = self.replace(lam=0.0)
        return base.replace(lam=like_cells(base, np.broadcast_to(lam, base.shape).copy()))

    def ridge_minima(self) -> xr.Dataset:
        """All local minima of the test error over 0 <= lam <= inf, the lowest first; `lam` itself is ignored.

        Returns
        -------
        xarray.Dataset
            lam, effective_ridge, test_error and at_boundary (1 where lam is 0 or infinite) over the cells and the axis
            `minimum`; NaN beyond the last one of a cell.
        """
        return minima_dataset(self)

    def along_effective_ridge(self, kappa: ArrayLike) -> xr.Dataset:
        """Errors as functions of the effective ridge, in which they are explicit; `lam` itself is ignored.

        Parameters
        ----------
        kappa : array_like, shape (K,)
            Effective ridges > 0.

        Returns
        -------
        xarray.Dataset
            `lam` and the errors over the cells and the axis `effective_ridge`; NaN where no lam >= 0 has so small an
            effective ridge.
        """
        return sweep_dataset(self, kappa)

    def ensemble_error(self, predictors: ArrayLike) -> xr.DataArray:
        """Test error of the mean of independently trained predictors, each on n samples of its own.

        Parameters
        ----------
        predictors : int or array_like, shape (K,)
            How many.

        Returns
        -------
        xarray.DataArray
            residual variance + bias + variance/predictors, over the cells and the axis `predictors`.
        """
        count = np.atleast_1d(np.asarray(predictors))
        if count.ndim != 1 or count.dtype.kind not in "iu" or np.any(count < 1):
            raise ParameterError("predictors", f"must be whole numbers >= 1, got {predictors!r:.60}")
        prediction = self.solve(["bias", "variance"])
        common = np.asarray(prediction.bias + np.broadcast_to(self.cells.arrays["residual_variance"], self.shape))
        values = common[..., None] + np.asarray(prediction.variance)[..., None] / count
        return answer_dataset(self, {"test_error": (
            ("predictors",), values, described("test error of the mean of several predictors", r"E_{\mathrm{test}}"),
        )}, {"predictors": count})["test_error"]

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
    validate_modes(s, {"target_weights": c, "multiplicities": weights})
