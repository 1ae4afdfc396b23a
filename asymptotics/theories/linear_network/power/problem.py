"""What can be asked: `PowerNetwork`.

Equations are numbered as in docs/theories/linear_network_power.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ....parameters import parameter
from ....problem import Problem
from ..answers import weights_dataset
from ..declared import (
    input_rate,
    irreducible_loss,
    loss_factor,
    output_factor,
    output_rate,
    require_equally_many,
    require_training,
    training_time,
)
from .prediction import PowerNetworkPrediction
from .solution import solve, weights

if TYPE_CHECKING:
    import xarray as xr


class PowerNetwork(Problem):
    """Gradient flow of a network of quadratic units of any width on one-dimensional data, from given weights.

    f(x) = gamma sum_i u_i (w_i x)^2 = F x^2, trained on

        L = (loss_factor/2) E (f(x) - y)^2 = (loss_factor/2) [ m4 (F - target_coefficient)^2 + irreducible_loss ]

    with m4 = E x^4, target_coefficient = E x^2 y/m4, by du/dt = -eta_u dL/du, dw/dt = -eta_w dL/dw.  Exact at any
    width.
    """

    slug: ClassVar[str] = "power-network"
    title: ClassVar[str] = "Training of a finite-width network of quadratic units"
    source: ClassVar[str] = "beyond arXiv:2401.07085; docs/theories/linear_network_power.md"
    prediction: ClassVar[type[PowerNetworkPrediction]] = PowerNetworkPrediction
    is_limit: ClassVar[bool] = False

    u: Any = parameter("initial output weights", symbol="u", kind="vector")
    w: Any = parameter("initial input weights, as many as u", symbol="w", kind="vector")
    gamma: Any = output_factor("gamma sum_i u_i (w_i x)^2")
    eta_u: Any = output_rate()
    eta_w: Any = input_rate()
    m4: Any = parameter("fourth moment E x^4 of the inputs", symbol="m_4", above=0, default=1.0)
    target_coefficient: Any = parameter("best coefficient, A = E x^2 y/E x^4", symbol="A")
    loss_factor: Any = loss_factor()
    irreducible_loss: Any = irreducible_loss("no coefficient removes, E y^2 - (E x^2 y)^2/E x^4")
    t: Any = training_time()

    def _validate(self) -> None:
        require_equally_many("w", self.w, "u", self.u)
        require_training(self)

    def weights(self) -> xr.Dataset:
        """The weights at time t; equation (11).

        Returns
        -------
        xarray.Dataset
            `u` and `w` over the cells and `neuron`; NaN in cells that float64 does not hold.
        """
        return weights_dataset(self, *weights(self))

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solve(self, observables)
