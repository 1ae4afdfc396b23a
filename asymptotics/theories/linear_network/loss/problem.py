"""What can be asked: `LinearNetworkLoss`."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import numpy as np

from ....errors import ParameterError
from ....gaussian import Nonlinearity
from ....parameters import parameter
from ..declared import require_equally_many, training_time
from ..network import InitialisedNetwork
from .prediction import LinearNetworkLossPrediction
from .sample_loss import SampleLoss
from .solution import solve


class LinearNetworkLoss(InitialisedNetwork):
    """Gradient flow of a two-layer linear network of any width on samples of a line, with any smooth convex loss.

    f(x) = gamma sum_i u_i w_i x = F x, trained on

        L = loss_factor mean_i l(y_i f(x_i))        (argument = "margin"), or
        L = loss_factor mean_i l(f(x_i) - y_i)      (argument = "residual"),

    by du/dt = -eta_u dL/du, dw/dt = -eta_w dL/dw.  Exact at any width.  The initial weights are the vectors `u` and
    `w`, or overlaps (`from_overlaps`).
    """

    slug: ClassVar[str] = "linear-network-loss"
    title: ClassVar[str] = "Training of a finite-width linear network with any convex loss"
    source: ClassVar[str] = "beyond arXiv:2401.07085; docs/theories/linear_network_loss.md"
    prediction: ClassVar[type[LinearNetworkLossPrediction]] = LinearNetworkLossPrediction

    x: Any = parameter("inputs of the samples, or their components along a line", symbol="x", kind="vector")
    y: Any = parameter("labels of the samples, as many as x", symbol="y", kind="vector")
    loss_function: Any = parameter("loss l of one sample: smooth and convex", symbol=r"\ell", kind="nonlinearity")
    argument: Any = parameter(
        "what l is a function of: margin, y f(x), or residual, f(x) - y", symbol="m", kind="choice",
        choices=("margin", "residual"),
    )
    loss_factor: Any = parameter("factor of the loss, L = loss_factor mean_i l", symbol="c", above=0, default=1.0)
    t: Any = training_time()

    def _validate(self) -> None:
        super()._validate()
        require_equally_many("y", self.y, "x", self.x)
        if self.argument == "margin" and np.any(self.y == 0):
            raise ParameterError("y", "must not be 0 for a loss of the margin y f(x), whose labels are -1 and 1")
        _ = self.sample_loss  # refuses what is not convex

    @functools.cached_property
    def sample_loss(self) -> SampleLoss:
        """mean_i l as a function of the coefficient, and its minimum."""
        return _sample_loss(self.loss_function, self.x.tobytes(), self.y.tobytes(), self.argument)

    def time_to(self, *, coefficient: Any = None, loss: Any = None) -> Any:
        """When the network gets to a level, by quadrature along its way; `t` is ignored.

        Parameters
        ----------
        coefficient : float, array_like or xarray.DataArray
            A value of F.
        loss : float, array_like or xarray.DataArray
            A value of the loss.

        Returns
        -------
        float, ndarray or xarray.DataArray
            Over the remaining cells and the axes of the level, labelled if they are: 0 where the network starts there
            (for a loss: or below), inf where it never gets there.

        Raises
        ------
        ParameterError
            If not exactly one level is given.
        """
        from .levels import time_to

        return time_to(self, {"coefficient": coefficient, "loss": loss})

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solve(self, observables)


@functools.lru_cache(maxsize=32)
def _sample_loss(loss: Nonlinearity, x: bytes, y: bytes, argument: str) -> SampleLoss:
    return SampleLoss(loss, np.frombuffer(x), np.frombuffer(y), argument)
