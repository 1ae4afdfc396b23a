"""What `LinearNetworkLoss` answers."""

from __future__ import annotations

from typing import Any

from ....parameters import observable
from ....problem import Prediction
from ..prediction import StatePrediction


class LinearNetworkLossPrediction(Prediction):
    """The network at time t of gradient flow on a loss of any shape, and where it goes."""

    coefficient = StatePrediction.coefficient.along()
    gap: Any = observable(
        "coefficient of least loss minus coefficient", symbol="r", undefined="inf or -inf where the loss has no minimum"
    )
    loss: Any = observable("loss", symbol="L", undefined="inf beyond 1e308")
    ntk: Any = observable("neural tangent kernel weighted by the rates, dF/dt = -ntk dL/dF", symbol=r"\Theta")
    cosine = StatePrediction.cosine.along()
    norm_u = StatePrediction.norm_u.along()
    norm_w = StatePrediction.norm_w.along()
    standard_ntk = StatePrediction.standard_ntk.along()
    final_coefficient: Any = observable(
        "coefficient as t tends to infinity", symbol=r"F_\infty",
        undefined="inf or -inf where the loss decreases for ever; 0 where weights are aligned against its minimum",
    )
