"""What can be asked: `LinearNetworkDecay`.

Equations are numbered as in docs/theories/linear_network_decay.md.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from ....cells import span
from ....parameters import parameter
from ..answers import labelled
from ..declared import training_time
from ..network import LineNetwork
from .limits import soft_threshold
from .prediction import LinearNetworkDecayPrediction
from .solution import solve


class LinearNetworkDecay(LineNetwork):
    """Gradient flow with weight decay of a two-layer linear network of any width, from given initial weights.

    f(x) = gamma sum_i u_i w_i x = F x, trained on

        L + (lam_u/2) |u|^2 + (lam_w/2) |w|^2 ,   eta_u lam_u = eta_w lam_w = weight_decay ,
        L = (loss_factor/2) E (f(x) - y)^2 = (loss_factor/2) [ m2 (F - target_coefficient)^2 + irreducible_loss ]

    that is du/dt = -eta_u dL/du - weight_decay u, dw/dt = -eta_w dL/dw - weight_decay w.  Exact at any width.  The
    weights decay at this rate also in a layer whose learning rate is zero (decoupled weight decay, the limit of a small
    rate); no penalty does that, and `penalised_loss` is NaN there.

    Weights are given as in `LinearNetwork`: vectors `u`, `w`, or overlaps `uu`, `ww`, `uw`.
    """

    slug: ClassVar[str] = "linear-network-decay"
    title: ClassVar[str] = "Training of a finite-width linear network with weight decay"
    source: ClassVar[str] = "beyond arXiv:2401.07085; docs/theories/linear_network_decay.md"
    prediction: ClassVar[type[LinearNetworkDecayPrediction]] = LinearNetworkDecayPrediction

    weight_decay: Any = parameter(
        "rate at which all weights decay, eta_u lam_u = eta_w lam_w", symbol=r"\mu", low=0
    )
    t: Any = training_time()

    def stationary_coefficient(self, *, lam_u: Any, lam_w: Any) -> Any:
        """The coefficient that minimises L + (lam_u/2)|u|^2 + (lam_w/2)|w|^2 for any two penalties; equation (19).

        sign(A) max(|A| - sqrt(lam_u lam_w)/(c m2 |gamma|), 0).  `weight_decay`, the rates, weights and t are ignored.

        Parameters
        ----------
        lam_u, lam_w : float, array_like or xarray.DataArray
            Penalties of the layers, >= 0.

        Returns
        -------
        float, ndarray or xarray.DataArray
            Over the axes of gamma, m2, target_coefficient, loss_factor and the penalties, labelled if they are.

        Raises
        ------
        ParameterError
            If a penalty is negative or not finite.
        """
        declared = dataclasses.replace(self.parameters["weight_decay"], meaning="penalty", default=None)
        penalties = {name: declared.canonical(name, value) for name, value in (("lam_u", lam_u), ("lam_w", lam_w))}
        names = ("gamma", "m2", "target_coefficient", "loss_factor")
        cells = span({name: getattr(self, name) for name in names} | penalties)
        gamma, m2, A, loss_factor, first, second = (cells.arrays[name] for name in (*names, *penalties))
        with np.errstate(over="ignore", under="ignore"):
            threshold = np.sqrt(first) * np.sqrt(second) / loss_factor / m2 / np.abs(gamma)
        return labelled(np.broadcast_to(soft_threshold(A, threshold), cells.shape), cells)

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solve(self, observables)
