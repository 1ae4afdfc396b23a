"""What the theory answers."""

from __future__ import annotations

from typing import Any

from ...parameters import observable
from ...problem import Prediction

_RANGE = "inf or NaN beyond 1e300"


class StatePrediction(Prediction):
    """Function, kernel, angle and norms of a network on one-dimensional data."""

    coefficient: Any = observable("end-to-end coefficient of the network, f(x) = F x", symbol="F")
    gap: Any = observable("target coefficient minus coefficient, A - F", symbol="r")
    excess_loss: Any = observable(
        "loss above its irreducible part, (c/2) m2 r^2", symbol=r"L - L_\infty", undefined="inf beyond 1e308"
    )
    ntk: Any = observable("neural tangent kernel weighted by the rates, dF/dt = c m2 ntk (A - F)", symbol=r"\Theta")
    cosine: Any = observable(
        "cosine of the angle between u and w", symbol=r"\cos(u, w)",
        undefined="NaN where u or w is zero, or gamma times their norms underflows",
    )
    norm_u: Any = observable("norm of the output weights", symbol=r"|u|", undefined=_RANGE)
    norm_w: Any = observable("norm of the input weights", symbol=r"|w|", undefined=_RANGE)
    initial_ntk: Any = observable("ntk at t = 0", symbol=r"\Theta_0")
    standard_ntk: Any = observable(
        "neural tangent kernel without the rates, gamma^2 (|u|^2 + |w|^2)", symbol=r"\Theta_1",
        undefined="inf beyond 1e308",
    )
    loss: Any = observable("loss, (c/2) (m2 r^2 + irreducible_loss)", symbol="L", undefined="inf beyond 1e308")
    sharpness: Any = observable(
        "largest eigenvalue of the Hessian, in coordinates u/sqrt(eta_u), w/sqrt(eta_w)", symbol="S"
    )


class LinearNetworkPrediction(StatePrediction):
    """The network at time t of gradient flow, and where it goes."""

    final_ntk: Any = observable(
        "ntk as t tends to infinity", symbol=r"\Theta_\infty",
        undefined="0 where the target is not reachable: weights aligned against it, or all zero",
    )
    decay_rate: Any = observable(
        "rate of the last stage, r ~ exp(-Lam t)", symbol=r"\Lambda",
        undefined="where the target is not reachable: of F, which tends to zero",
    )
    log_gap: Any = observable(
        "logarithm of the gap, also where that underflows", symbol=r"\ln|r|", undefined="-inf at r = 0"
    )
    linearised_coefficient: Any = observable(
        "coefficient if the kernel stayed what it was at t = 0", symbol=r"F_{\mathrm{lin}}"
    )
