"""What `LinearNetworkDescent` answers."""

from __future__ import annotations

from typing import Any

from ....parameters import observable
from ..prediction import StatePrediction

_DIVERGED = "where descent has diverged"


class LinearNetworkDescentPrediction(StatePrediction):
    """The network after so many steps; what grows is infinite where descent has diverged (beyond 1e300)."""

    coefficient = StatePrediction.coefficient.undefined_where(f"NaN {_DIVERGED}: its sign is lost")
    gap = StatePrediction.gap.undefined_where(f"NaN {_DIVERGED}: its sign is lost")
    excess_loss = StatePrediction.excess_loss.undefined_where(f"inf {_DIVERGED}")
    ntk: Any = observable(
        "neural tangent kernel weighted by the rates", symbol=r"\Theta", undefined=f"inf {_DIVERGED}"
    )
    cosine = StatePrediction.cosine.undefined_where(f"{StatePrediction.cosine.undefined}, and {_DIVERGED}")
    norm_u = StatePrediction.norm_u.undefined_where(f"inf {_DIVERGED}")
    norm_w = StatePrediction.norm_w.undefined_where(f"inf {_DIVERGED}")
    standard_ntk = StatePrediction.standard_ntk.undefined_where(f"inf {_DIVERGED}")
    loss = StatePrediction.loss.undefined_where(f"inf {_DIVERGED}")
    sharpness = StatePrediction.sharpness.undefined_where(f"inf {_DIVERGED}")
    stability: Any = observable(
        "step size times the rate of the gap, h c m2 ntk; a minimum is stable below 2", symbol=r"h k \Theta",
        undefined=f"inf {_DIVERGED}",
    )
    predicted_final_ntk: Any = observable(
        "ntk at the end of descent on the full sample, to first order in the step size", symbol=r"\Theta_\infty(h)",
        undefined="0 where the flow does not reach the target",
    )
