"""What the theory answers."""

from __future__ import annotations

from typing import Any

from ...parameters import observable
from ...problem import Prediction

_SADDLE = "0 where the target is not reachable: weights aligned against it, or all zero"

_RANGE = "inf or NaN beyond 1e300"


class LinearNetworkPrediction(Prediction):
    """Function, kernel, angle and norms of the network at time t."""

    coefficient: Any = observable("end-to-end coefficient F of the network f(x) = F x", symbol="F")
    gap: Any = observable("target coefficient minus coefficient, r = A - F", symbol="r")
    excess_loss: Any = observable(
        "loss above the irreducible part, (c/2) m2 r^2", symbol=r"L - L_\infty", undefined="inf beyond 1e308"
    )
    ntk: Any = observable(
        "neural tangent kernel weighted by the rates, dF/dt = c m2 ntk (A - F)", symbol=r"\Theta"
    )
    cosine: Any = observable(
        "cosine of the angle between u and w", symbol=r"\cos(u, w)",
        undefined="NaN where u or w is zero, or gamma times their norms underflows",
    )
    norm_u: Any = observable("norm of the output weights", symbol=r"|u|", undefined=_RANGE)
    norm_w: Any = observable("norm of the input weights", symbol=r"|w|", undefined=_RANGE)
    final_ntk: Any = observable("ntk as t tends to infinity: " + _SADDLE, symbol=r"\Theta_\infty")
    decay_rate: Any = observable(
        "rate Lam of the last stage, r ~ exp(-Lam t); F ~ exp(-Lam t) where the target is not reachable",
        symbol=r"\Lambda",
    )
    initial_ntk: Any = observable("ntk at t = 0", symbol=r"\Theta_0")
    standard_ntk: Any = observable(
        "kernel without the rates, gamma^2 (|u|^2 + |w|^2)", symbol=r"\Theta_1", undefined="inf beyond 1e308"
    )
    loss: Any = observable("excess loss plus (c/2) irreducible_loss", symbol="L", undefined="inf beyond 1e308")
    log_gap: Any = observable("ln|r|, also where the gap underflows", symbol=r"\ln|r|", undefined="-inf at r = 0")
    linearised_coefficient: Any = observable(
        "coefficient if the kernel stayed what it was at t = 0", symbol=r"F_{\mathrm{lin}}"
    )
    sharpness: Any = observable(
        "largest eigenvalue of the Hessian of the loss, in coordinates u/sqrt(eta_u), w/sqrt(eta_w)", symbol="S"
    )
