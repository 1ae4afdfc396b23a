"""What can be asked: `PowerNetwork`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ....errors import ParameterError
from ....parameters import parameter
from ....problem import Problem
from ..answers import dataset
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
    source: ClassVar[str] = "docs/theories/linear_network_power.md"
    prediction: ClassVar[type[PowerNetworkPrediction]] = PowerNetworkPrediction

    u: Any = parameter("initial output weights", symbol="u", kind="vector")
    w: Any = parameter("initial input weights, as many as u", symbol="w", kind="vector")
    gamma: Any = parameter(
        "factor of the output, f(x) = gamma sum_i u_i (w_i x)^2; not 0", symbol=r"\gamma", default=1.0
    )
    eta_u: Any = parameter("learning rate of the output weights", symbol=r"\eta_u", low=0, default=1.0)
    eta_w: Any = parameter("learning rate of the input weights", symbol=r"\eta_w", low=0, default=1.0)
    m4: Any = parameter("fourth moment E x^4 of the inputs", symbol="m_4", above=0, default=1.0)
    target_coefficient: Any = parameter("best coefficient, A = E x^2 y/E x^4", symbol="A")
    loss_factor: Any = parameter(
        "factor c of the loss (c/2) E (f(x) - y)^2: 1 for half the mean square, 2 for the mean square", symbol="c",
        above=0, default=1.0,
    )
    irreducible_loss: Any = parameter(
        "mean square that no coefficient removes, E y^2 - (E x^2 y)^2/E x^4", symbol=r"L_\infty", low=0, default=0.0
    )
    t: Any = parameter("training time", symbol="t", low=0)

    def _validate(self) -> None:
        if len(self.u) != len(self.w):
            raise ParameterError("w", f"must have as many entries as u ({len(self.u)}), got {len(self.w)}")
        if np.any(np.asarray(self.cells.arrays["gamma"]) == 0):
            raise ParameterError("gamma", "must not be 0: the network would be zero for ever")
        if np.ndim(self.eta_u) == np.ndim(self.eta_w) == 0 and self.eta_u == self.eta_w == 0:
            raise ParameterError("eta_u", "and eta_w must not both be 0: nothing would be trained")

    def weights(self) -> xr.Dataset:
        """The weights at time t; equation (11).

        Returns
        -------
        xarray.Dataset
            `u` and `w` over the cells and `neuron`; NaN in cells that float64 does not hold.
        """
        u, w = weights(self)
        return dataset(self, "neuron", range(len(self.u)), {
            "u": (u, "output weights at time t", "u"), "w": (w, "input weights at time t", "w"),
        })

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solve(self, observables)
