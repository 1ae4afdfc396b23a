"""What `LinearNetworkInputs` and `LinearNetworkInputsDescent` answer."""

from __future__ import annotations

from typing import Any

from ....parameters import observable
from ....problem import Prediction


class LinearNetworkInputsPrediction(Prediction):
    """The function, its loss, its kernel and the norms of the layers."""

    coefficients: Any = observable(
        "end-to-end vector of the network, f(x) = <coefficients, x>", symbol=r"\beta", dims=("input",)
    )
    excess_loss: Any = observable(
        "loss above its irreducible part, (c/2) E <target - coefficients, x>^2", symbol=r"L - L_\infty"
    )
    loss: Any = observable("loss, excess_loss + (c/2) irreducible_loss", symbol="L")
    gap_norm: Any = observable("norm of target minus coefficients", symbol=r"|\beta^\star - \beta|")
    alignment: Any = observable(
        "cosine of the angle between coefficients and target", symbol=r"\cos(\beta, \beta^\star)",
        undefined="NaN where one of them is zero",
    )
    norm_u: Any = observable("norm of the output weights", symbol=r"|u|")
    norm_W: Any = observable("Frobenius norm of the input weights", symbol=r"|W|")
    ntk_trace: Any = observable(
        "mean of the neural tangent kernel weighted by the rates, E K(x, x)", symbol=r"\mathrm{tr}\,\Theta\Sigma"
    )
    ntk_along_target: Any = observable(
        "the same kernel along the target function f*, E f*(x) K(x, x') f*(x')/E f*(x)^2", symbol=r"\Theta_\star",
        undefined="NaN for a target function of zero",
    )
