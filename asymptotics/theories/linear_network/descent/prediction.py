"""What is answered."""

from __future__ import annotations

from typing import Any

from ....parameters import observable
from ..prediction import StatePrediction

_DIVERGED = "where descent has diverged"


class LinearNetworkDescentPrediction(StatePrediction):
    """The network after so many steps; what grows is infinite where descent has diverged (beyond 1e300)."""

    coefficient: Any = observable(
        "end-to-end coefficient of the network, f(x) = F x", symbol="F", undefined=f"NaN {_DIVERGED}: its sign is lost"
    )
    gap: Any = observable(
        "target coefficient minus coefficient, A - F", symbol="r", undefined=f"NaN {_DIVERGED}: its sign is lost"
    )
    excess_loss: Any = observable(
        "loss above its irreducible part, (c/2) m2 r^2", symbol=r"L - L_\infty", undefined=f"inf {_DIVERGED}"
    )
    ntk: Any = observable(
        "neural tangent kernel weighted by the rates", symbol=r"\Theta", undefined=f"inf {_DIVERGED}"
    )
    cosine: Any = observable(
        "cosine of the angle between u and w", symbol=r"\cos(u, w)",
        undefined=f"NaN where u or w is zero, or gamma times their norms underflows, and {_DIVERGED}",
    )
    norm_u: Any = observable("norm of the output weights", symbol=r"|u|", undefined=f"inf {_DIVERGED}")
    norm_w: Any = observable("norm of the input weights", symbol=r"|w|", undefined=f"inf {_DIVERGED}")
    standard_ntk: Any = observable(
        "neural tangent kernel without the rates, gamma^2 (|u|^2 + |w|^2)", symbol=r"\Theta_1",
        undefined=f"inf {_DIVERGED}",
    )
    loss: Any = observable(
        "loss, (c/2) (m2 r^2 + irreducible_loss)", symbol="L", undefined=f"inf {_DIVERGED}"
    )
    sharpness: Any = observable(
        "largest eigenvalue of the Hessian, in coordinates u/sqrt(eta_u), w/sqrt(eta_w)", symbol="S",
        undefined=f"inf {_DIVERGED}",
    )
    stability: Any = observable(
        "step size times the rate of the gap, h c m2 ntk; a minimum is stable below 2", symbol=r"h k \Theta",
        undefined=f"inf {_DIVERGED}",
    )
    predicted_final_ntk: Any = observable(
        "ntk at the end of descent on the full sample, to first order in the step size", symbol=r"\Theta_\infty(h)",
        undefined="0 where the flow does not reach the target",
    )
