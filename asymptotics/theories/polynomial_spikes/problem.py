"""What can be asked: `PolynomialSpikes`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import ParameterError
from ...gaussian import Nonlinearity, nonlinearity
from ...gaussian.combination import MAX_DEGREE
from ...parameters import parameter
from ...problem import Problem
from ...search import optimal_ridge
from .answers import edge_crossings, optimal_split, optimal_step, phase_table
from .limit import is_critical
from .prediction import PolynomialSpikesPrediction
from .solution import solve

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

DEGREES = 9  # overlaps with a teacher that is not a polynomial

class PolynomialSpikes(Problem):
    """Two-layer network after one gradient step whose learning rate grows with the sample size, then ridge.

    From f(x) = sum_i a_i sigma(<w_i, x>), a_i ~ N(0, 1/p), rows w_i uniform on the unit sphere, one step on n0 samples

        w_i + (eta a_i/n0) sum_mu y_mu sigma'(<w_i, x_mu>) x_mu                       (*)

    (learning rate eta on (1/2 n0) sum (y - f)^2 at zero initial output: the network minus its copy at the start), then
    on n fresh samples, with F = sigma(X W^T),

        w = argmin sum_mu (y_mu - F_mu . w/sqrt(p))^2 + lam |w|^2,    f(x) = sigma(W x) . w/sqrt(p).

    y = target(<theta, x>) + noise, x ~ N(0, I_d), |theta| = 1.

    `level`: "full" keeps the step of any size; "finite_rank" describes it by finitely many spikes of the features, to
    leading order in tau; "limit" is n -> infinity at eta = n^step_exponent, where the spikes are infinitely strong.

    Zero initial output is part of the definition.  With the output of the random network left in the residual, which
    is of order 1 here, the gradient follows y - f(x) and the learned direction is another one
    (docs/theories/polynomial_spikes.md, section 1).
    """

    slug: ClassVar[str] = "polynomial-spikes"
    title: ClassVar[str] = "Polynomial spikes of one gradient step"
    source: ClassVar[str] = "arXiv:2310.07891; docs/theories/polynomial_spikes.md"
    prediction: ClassVar[type[PolynomialSpikesPrediction]] = PolynomialSpikesPrediction
    is_limit: ClassVar[bool] = False
    table_parameters: ClassVar[tuple[str, ...]] = ("eta", "d", "p", "n0", "noise_var")

    activation: Any = parameter("activation of the hidden units", symbol=r"\sigma", kind="nonlinearity")
    target: Any = parameter(
        "link function of the teacher, y = target(<theta, x>) + noise; or give target_coefficients",
        symbol=r"\sigma_\star", kind="nonlinearity", default=None,
    )
    target_coefficients: Any = parameter(
        "Hermite coefficients c_0, c_1, ... of the link function, y = sum c_k He_k(<theta, x>)/sqrt(k!) + noise",
        symbol=r"c^\star", kind="vector", default=None,
    )
    d: Any = parameter("input dimension", symbol="d", kind="size", low=2)
    p: Any = parameter("hidden units", symbol="p", kind="size", low=1)
    n: Any = parameter("samples of the readout", symbol="n", kind="size", low=1)
    n0: Any = parameter("samples of the gradient step", symbol="n_0", kind="size", low=1)
    eta: Any = parameter(
        "learning rate of the step: eta of (*); not at level \"limit\"", symbol=r"\eta", low=0, default=None
    )
    lam: Any = parameter("ridge penalty: minimise sum (y - F w/sqrt(p))^2 + lam |w|^2", symbol=r"\lambda", low=0)
    noise_var: Any = parameter(
        "variance of the label noise, in the step and in the readout", symbol=r"\sigma_\varepsilon^2", low=0,
        default=0.0,
    )
    level: str = parameter(
        "how the step is described", kind="choice", choices=("full", "finite_rank", "limit"), default="full"
    )
    step_exponent: Any = parameter(
        "exponent of the step: a of eta = n^a, at level \"limit\" instead of eta", symbol="a", below=0.5, default=None
    )
    intercept: bool = parameter("whether the readout has an intercept without penalty", kind="flag", default=False)
    direction_norm_squared: Any = parameter(
        "|b|^2 of the learned direction b = X^T y/n0, if known; null for its mean", symbol=r"|b|^2", above=0,
        default=None,
    )
    direction_alignment: Any = parameter(
        "cosine of b and theta, if known; null for its mean", symbol=r"\rho_b", low=-1, high=1, default=None
    )

    @property
    def link(self) -> Nonlinearity:
        """The link function of the teacher."""
        if self.target is not None:
            return self.target
        terms = [f"{float(c)!r}*he{k}(x)" if k else repr(float(c)) for k, c in enumerate(self.target_coefficients)]
        return nonlinearity(" + ".join(terms).replace("+ -", "- "))

    @property
    def axis_labels(self) -> Mapping[str, NDArray[Any]]:
        return {"degree": np.arange(self.degrees)}

    @property
    def degrees(self) -> int:
        """Number of overlaps: the degrees 0, 1, ... of the given coefficients, or 0 to 8."""
        return DEGREES if self.target_coefficients is None else len(self.target_coefficients)

    def _validate(self) -> None:
        if (self.target is None) == (self.target_coefficients is None):
            raise ParameterError("target", "or target_coefficients must be given, one of the two")
        if self.target_coefficients is not None and not 2 <= len(self.target_coefficients) <= MAX_DEGREE + 1:
            raise ParameterError(
                "target_coefficients", f"must be 2 to {MAX_DEGREE + 1} numbers (degrees 0, 1, ...), got "
                f"{len(self.target_coefficients)}")
        limit = self.level == "limit"
        for name, wanted in (("eta", not limit), ("step_exponent", limit)):
            if (getattr(self, name) is not None) != wanted:
                raise ParameterError(name, f"must {'' if wanted else 'not '}be given at level {self.level}")
        if self.activation.affine or not np.isfinite(self.activation.slope_variance()):
            raise ParameterError("activation", f"must be nonlinear and without jumps, got {self.activation}")
        self._need_linear_part("activation", self.activation, "no direction is learned in one step")
        self._need_linear_part(
            "target" if self.target is not None else "target_coefficients", self.link,
            "its information exponent is above 1, and one step learns no direction")
        if limit:
            exponents = self.cells.arrays["step_exponent"]
            critical = exponents[is_critical(exponents)]
            if critical.size:
                raise ParameterError(
                    "step_exponent", "must not be (k - 1)/(2 k), where the spike of degree k is at its threshold and "
                    f"depends on more than the exponent (use level finite_rank), got {critical[0]:.12g}")

    @staticmethod
    def _need_linear_part(name: str, function: Nonlinearity, why: str) -> None:
        coefficient = function.hermite_coefficients(1)[1]
        if abs(coefficient) <= 1e-12 * math.sqrt(function.second_moment()):
            raise ParameterError(name, f"must have a linear component E[f(z) z], else {why}; got {function}")

    def optimal_ridge(self) -> Self:
        """The same problem with `lam` replaced, in every cell, by the one that minimises the test error.

        Returns
        -------
        Problem
            `lam` spans the remaining cells; it is 0 where no ridge is best.

        Warns
        -----
        AccuracyWarning
            If the best ridge is infinite in some cells (there a large one stands for it).
        """
        return optimal_ridge(self, self.activation.second_moment())

    def optimal_step(self, ridge: str = "optimal") -> Self:
        """The same problem with `eta` and `lam` replaced, in every cell, by those that minimise the test error.

        Parameters
        ----------
        ridge : str
            "optimal", or "given" to keep `lam`.

        Returns
        -------
        Problem
            `eta` spans the remaining cells; it is 0 where no step is best.

        Raises
        ------
        ParameterError
            At level "limit".

        Warns
        -----
        AccuracyWarning
            If in some cells the best step is infinitesimal or infinite (a small or large one stands for it).  At level
            "finite_rank", which does not see the noise of large steps, it often is.
        """
        return optimal_step(self, ridge)

    def optimal_split(self, budget: Any, ridge: str = "given") -> Self:
        """The same problem with samples split between step and readout so that the test error is smallest.

        Parameters
        ----------
        budget : int, array_like or xarray.DataArray
            Samples of both together, n0 + n; its axes join those of the other parameters.
        ridge : str
            "given", or "optimal" for the best `lam` at every split, which then replaces it.

        Returns
        -------
        Problem
            `n0` and `n`, whole numbers >= 1, span the cells.

        Raises
        ------
        ParameterError
            If the budget is not a whole number >= 2, or at level "limit".
        """
        return optimal_split(self, budget, ridge)

    def edge_crossings(self) -> xr.Dataset:
        """Learning rates at which the spikes leave the bulk of the singular values, level "finite_rank"; eq. (22).

        Returns
        -------
        xarray.Dataset
            Over the cells and the axis `outlier`: `eta` at which there is one outlier more, and its `tau`.  0 if it is
            outside before the step (activations with a mean), NaN if it never is.  A given `eta` is ignored.
        """
        return edge_crossings(self)

    def phase_table(self, exponents: ArrayLike) -> xr.Dataset:
        """What is learned at eta = n^a in the limit, and beside it at the actual sizes.

        Parameters
        ----------
        exponents : array_like
            Step exponents a < 1/2; at thresholds (k - 1)/(2 k) the limit is NaN.

        Returns
        -------
        xarray.Dataset
            Over the axis `step_exponent`, the cells and `degree`: `learned_fraction_limit`, `test_error_limit` and the
            number of `spikes` as n -> infinity; `learned_fraction`, `test_error`, `eta`, `tau` and the number of
            `outliers` at the sizes of the problem (level "full", or its own).
        """
        return phase_table(self, exponents)

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solve(self, observables, refinement)
