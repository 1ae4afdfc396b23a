"""What can be asked: `LinearNetwork`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from . import answers
from .declared import training_time
from .network import LineNetwork
from .prediction import LinearNetworkPrediction
from .solution import solve

if TYPE_CHECKING:
    import xarray as xr


class LinearNetwork(LineNetwork):
    """Gradient flow of a two-layer linear network of any width on one-dimensional data, from given initial weights.

    f(x) = gamma sum_i u_i w_i x = F x, trained on

        L = (loss_factor/2) E (f(x) - y)^2 = (loss_factor/2) [ m2 (F - target_coefficient)^2 + irreducible_loss ]

    with m2 = E x^2, target_coefficient = E xy/m2, by du/dt = -eta_u dL/du, dw/dt = -eta_w dL/dw.  Exact at any width.

    The initial weights are the vectors `u` and `w`.  Everything but the weights themselves depends on them through
    `uu` = |u|^2, `ww` = |w|^2 and `uw` = <u, w> only; these may be given instead, as arrays too (`from_overlaps`).
    """

    slug: ClassVar[str] = "linear-network"
    title: ClassVar[str] = "Training of a finite-width linear network"
    source: ClassVar[str] = "arXiv:2401.07085; docs/theories/linear_network.md"
    prediction: ClassVar[type[LinearNetworkPrediction]] = LinearNetworkPrediction

    t: Any = training_time()

    def time_to(self, fraction: Any = None, *, coefficient: Any = None, loss: Any = None) -> Any:
        """When the network gets to a level, by the closed-form inverse of the trajectory; `t` is ignored.

        Parameters
        ----------
        fraction : float, array_like or xarray.DataArray
            Of the initial gap that is left: |A - F|/|A - F0|, between 0 and 1.
        coefficient : float, array_like or xarray.DataArray
            A value of F.
        loss : float, array_like or xarray.DataArray
            A value of the loss (`loss`, with the irreducible part).

        Returns
        -------
        float, ndarray or xarray.DataArray
            Over the remaining cells and the axes of the level, labelled if they are: 0 where the network starts there
            (for a loss or a fraction: or below), inf where it never gets there.

        Raises
        ------
        ParameterError
            If not exactly one level is given, or it is out of range.
        """
        return answers.time_to(self, {"fraction": fraction, "coefficient": coefficient, "loss": loss})

    def inflection_points(self) -> xr.Dataset:
        """Where and when learning is slowest and fastest; equation (16).  `t` is ignored.

        Returns
        -------
        xarray.Dataset
            `coefficient` and `time` over the remaining cells and `point`: "plateau", the minimum, and "steepest", the
            maximum of dF/dt.  NaN where the trajectory does not pass them.
        """
        return answers.inflection_points(self)

    def largest_stable_step(self) -> Any:
        """The step size below which gradient descent is stable at the end of training, 2/(c m2 final_ntk).

        4/(c m2 kap|A|) where the target is not reachable and F tends to zero; inf where nothing moves in the end.
        Early training of large kernels needs smaller steps: 2/`sharpness` at its time.  `t` is ignored.

        Returns
        -------
        float, ndarray or xarray.DataArray
            Over the remaining cells, labelled if they are.
        """
        return answers.stable_step(self)

    def hessian_spectrum(self) -> xr.Dataset:
        """All eigenvalues of the Hessian of the loss, in coordinates u/sqrt(eta_u), w/sqrt(eta_w); equation (17).

        Returns
        -------
        xarray.Dataset
            `eigenvalue` over the cells and `group`, and `multiplicity` over `group` (NaN for given overlaps).
        """
        return answers.hessian_spectrum(self)

    def weights(self) -> xr.Dataset:
        """The weights at time t; equation (11).

        Returns
        -------
        xarray.Dataset
            `u` and `w` over the cells and `neuron`, with errors of about 1e-15 of the larger of the norms of the layer
            at t = 0 and at t; NaN in cells that float64 does not hold.

        Raises
        ------
        ParameterError
            If only overlaps are given.
        """
        return answers.weights(self)

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solve(self, observables)
