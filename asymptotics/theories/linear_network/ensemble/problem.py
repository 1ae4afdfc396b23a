"""What can be asked: `LinearNetworkEnsemble`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import ArrayLike

from ....errors import ParameterError
from ....parameters import parameter
from ....problem import Problem
from ..declared import require_training
from .laws import AT_TIME, Distribution, distribution, quantiles, warn_of_large_weights
from .prediction import LinearNetworkEnsemblePrediction
from .solution import solve

if TYPE_CHECKING:
    import xarray as xr


class LinearNetworkEnsemble(Problem):
    """Two-layer linear networks from Gaussian initial weights: exact averages and laws at any width.

    f(x) = gamma sum_i u_i w_i x = F x, trained on one-dimensional data by gradient flow of

        L = (loss_factor/2) E (f(x) - y)^2 = (loss_factor/2) m2 (F - target_coefficient)^2 + constant

    with du/dt = -eta_u dL/du, dw/dt = -eta_w dL/dw.  The p pairs (u_i, w_i) are independent Gaussian with mean 0,
    variances var_u and var_w and this correlation.
    """

    slug: ClassVar[str] = "linear-network-ensemble"
    title: ClassVar[str] = "Linear networks averaged over Gaussian initial weights"
    source: ClassVar[str] = "arXiv:2401.07085; docs/theories/linear_network_ensemble.md"
    prediction: ClassVar[type[LinearNetworkEnsemblePrediction]] = LinearNetworkEnsemblePrediction
    is_limit: ClassVar[bool] = False
    table_parameters: ClassVar[tuple[str, ...]] = ("p", "var_u", "var_w", "correlation", "eta_u", "eta_w")

    p: Any = parameter("hidden units", symbol="p", kind="size", low=1)
    var_u: Any = parameter("variance of the initial output weights u_i", symbol=r"\sigma_u^2", low=0)
    var_w: Any = parameter("variance of the initial input weights w_i", symbol=r"\sigma_w^2", low=0)
    correlation: Any = parameter("correlation of u_i and w_i", symbol=r"\rho", low=-1, high=1, default=0.0)
    gamma: Any = parameter("factor of the output, f(x) = gamma <u, w> x; not 0", symbol=r"\gamma", default=1.0)
    eta_u: Any = parameter("learning rate of the output weights", symbol=r"\eta_u", low=0, default=1.0)
    eta_w: Any = parameter("learning rate of the input weights", symbol=r"\eta_w", low=0, default=1.0)
    m2: Any = parameter("second moment E x^2 of the inputs", symbol="m_2", above=0, default=1.0)
    target_coefficient: Any = parameter("best coefficient, A = E xy/E x^2", symbol="A")
    loss_factor: Any = parameter(
        "factor c of the loss (c/2) E (f(x) - y)^2: 1 for half the mean square, 2 for the mean square", symbol="c",
        above=0, default=1.0,
    )
    t: Any = parameter("training time", symbol="t", low=0)

    def _validate(self) -> None:
        require_training(self)

    def final_alignment(self) -> Distribution:
        """The law of |cos(u, w)| as t tends to infinity; equation (17).

        Returns
        -------
        Distribution
            `pdf`, `cdf`, `sf`, `ppf`, `mean`, `std`; NaN where no network gets to the target.
        """
        return distribution(self.cells, "final_alignment")

    def final_ntk(self) -> Distribution:
        """The law of the kernel as t tends to infinity; equation (18).

        Returns
        -------
        Distribution
        """
        return distribution(self.cells, "final_ntk")

    def escape_time(self) -> Distribution:
        """The law of the time at which half of the way to the target is done, for small weights; equation (19).

        The limit of small initial weights, kap|A| >> P; `at_time("coefficient").sf(A/2)` is exact.

        Returns
        -------
        Distribution
            NaN where there is no target or one layer is not trained.

        Warns
        -----
        AccuracyWarning
            Where weights are not small: E P > kap|A|/10 (E Q for a negative target).
        """
        warn_of_large_weights(self.cells)
        return distribution(self.cells, "escape_time")

    def at_time(self, observable: str) -> Distribution:
        """The law of an observable of single networks at time t; equations (20), (21).

        Parameters
        ----------
        observable : str
            "coefficient", "excess_loss" or "ntk".

        Returns
        -------
        Distribution
            NaN where the layers are perfectly correlated.

        Raises
        ------
        ParameterError
            If it is another observable.
        """
        if observable not in AT_TIME:
            raise ParameterError("observable", f"must be one of {', '.join(AT_TIME)}, got {observable!r}")
        return distribution(self.cells, observable)

    def quantiles(self, levels: ArrayLike, observables: Iterable[str] = AT_TIME) -> xr.Dataset:
        """Quantiles over the initial weights: what a single network shows, where means may come from rare ones.

        Parameters
        ----------
        levels : array_like
            Probabilities, > 0 and < 1.
        observables : iterable of str
            Of "coefficient", "excess_loss", "ntk".

        Returns
        -------
        xarray.Dataset
            Over the cells and `level`.

        Raises
        ------
        ParameterError
            If a level or an observable is not known.
        """
        return quantiles(self, levels, observables)

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solve(self.cells, observables, refinement)
