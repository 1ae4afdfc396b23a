"""What `PowerNetwork` answers."""

from __future__ import annotations

from typing import Any

from ....parameters import observable
from ....problem import Prediction
from ..prediction import StatePrediction


class PowerNetworkPrediction(Prediction):
    """The network at time t of gradient flow, and where it goes."""

    coefficient: Any = observable("coefficient of the network, f(x) = F x^2", symbol="F")
    gap = StatePrediction.gap.along()
    excess_loss: Any = observable("loss above its irreducible part, (c/2) m4 r^2", symbol=r"L - L_\infty")
    loss: Any = observable("loss, (c/2) (m4 r^2 + irreducible_loss)", symbol="L")
    ntk: Any = observable("neural tangent kernel weighted by the rates, dF/dt = c m4 ntk (A - F)", symbol=r"\Theta")
    norm_u: Any = observable("norm of the output weights", symbol=r"|u|")
    norm_w: Any = observable("norm of the input weights", symbol=r"|w|")
    final_coefficient: Any = observable(
        "coefficient as t tends to infinity", symbol=r"F_\infty",
        undefined="0 where the target is not reachable: all units decay that could go there",
    )
