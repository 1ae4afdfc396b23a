"""What `LinearNetworkDecay` answers."""

from __future__ import annotations

from typing import Any

from ....parameters import observable
from ..prediction import StatePrediction


class LinearNetworkDecayPrediction(StatePrediction):
    """The network at time t of gradient flow with weight decay, and where it goes."""

    penalised_loss: Any = observable(
        "what the flow descends, loss + (lam_u/2)|u|^2 + (lam_w/2)|w|^2", symbol=r"L_\mu",
        undefined="NaN where a rate is zero and the weights decay: no penalty makes them; inf beyond 1e308",
    )
    final_coefficient: Any = observable(
        "coefficient as t tends to infinity: a soft threshold of the target", symbol=r"F_\infty"
    )
    final_ntk: Any = observable("ntk as t tends to infinity", symbol=r"\Theta_\infty")
    decay_rate: Any = observable(
        "rate at which the coefficient tends to its limit", symbol=r"\Lambda",
        undefined="0 where nothing moves, and where the approach is algebraic",
    )
