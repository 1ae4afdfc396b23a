"""What can be asked of one width: `LinearNetworkPhases`."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ...errors import ParameterError
from ...parameters import parameter
from ...problem import Problem
from .declared import (
    input_rate,
    loss_factor,
    output_factor,
    output_rate,
    second_moment,
    target_coefficient,
)
from .mechanisms import THRESHOLD
from .phase_answers import overlaps, with_strength
from .phase_predictions import LinearNetworkPhasesPrediction
from .phase_solution import solve_phases

Array = NDArray[np.float64]


class LinearNetworkPhases(Problem):
    """Before and after the training of f(x) = gamma sum_i u_i w_i x, by all its hyper-parameters.

    Gradient flow of (c/2) m2 (F - A)^2, F = gamma <u, w>, with rates eta_u and eta_w.  Initial weights are Gaussian,
    var_u = Var u_i, var_w = Var w_i; |u|^2, |w|^2 and <u, w> are replaced by their means p var_u, p var_w and
    p correlation sqrt(var_u var_w).  Single networks differ from that by about 1/sqrt(p) (at correlation 0 the initial
    cosine is of that order instead of 0), means over networks by about 1/p.
    """

    slug: ClassVar[str] = "linear-network-phases"
    title: ClassVar[str] = "Phase of a linear network at finite width"
    source: ClassVar[str] = "arXiv:2401.07085; docs/theories/linear_network.md"
    prediction: ClassVar[type[LinearNetworkPhasesPrediction]] = LinearNetworkPhasesPrediction

    p: Any = parameter("hidden units", symbol="p", kind="size", low=2)
    var_u: Any = parameter("variance of the initial output weights u_i", symbol=r"\sigma_u^2", low=0)
    var_w: Any = parameter("variance of the initial input weights w_i", symbol=r"\sigma_w^2", low=0)
    correlation: Any = parameter("correlation of u_i and w_i", symbol=r"\rho", above=-1, below=1, default=0.0)
    gamma: Any = output_factor()
    eta_u: Any = output_rate()
    eta_w: Any = input_rate()
    m2: Any = second_moment()
    target_coefficient: Any = target_coefficient()
    loss_factor: Any = loss_factor()
    threshold: Any = parameter(
        "change of |cos| and of the kernel that counts as a mechanism", symbol=r"\delta", above=0, below=1,
        default=THRESHOLD,
    )

    def _validate(self) -> None:
        if np.any(self.cells.arrays["gamma"] == 0):
            raise ParameterError("gamma", "must not be 0, where there is no network")

    def with_strength(self, chi: Any, by: str = "gamma", lead: str = "readout") -> Self:
        """The same problem at this feature-learning strength chi = kap |A|/Gam in every cell; eq. (23).

        Parameters
        ----------
        chi : float, array_like or xarray.DataArray
            Positive; its axes join those of the other parameters.
        by : str
            What is changed: "gamma" (its sign is kept), or "rates", the ratio of eta_u and eta_w at the same product.
        lead : str
            By rates: the layer whose training makes more of the kernel, "readout" or "first_layer".

        Returns
        -------
        Problem

        Raises
        ------
        ParameterError
            If there is no such problem: A = 0, a rate that is zero, layers that start at zero.

        Warns
        -----
        AccuracyWarning
            If no ratio of rates reaches this strength in some cells; the best one stands for it.
        """
        return with_strength(self, chi, by, lead)

    def overlaps(self) -> dict[str, Any]:
        """|u|^2, |w|^2 and <u, w> at the start: `uu`, `ww` and `uw` of `LinearNetwork.from_overlaps`."""
        return overlaps(self)

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solve_phases(self.shape, self.cells.arrays, observables)
