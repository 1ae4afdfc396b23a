"""What the ensemble answers: averages over Gaussian initial weights."""

from __future__ import annotations

from typing import Any

from ....parameters import observable
from ....problem import Prediction


class LinearNetworkEnsemblePrediction(Prediction):
    """Means over networks at time t, and standard deviations of single ones."""

    mean_coefficient: Any = observable("mean of the coefficient F of f(x) = F x", symbol=r"\mathbb{E} F")
    mean_ntk: Any = observable("mean of the neural tangent kernel, over x x'", symbol=r"\mathbb{E} \Theta")
    mean_excess_loss: Any = observable(
        "mean of the loss above its irreducible part, (c/2) m2 E r^2", symbol=r"\mathbb{E}(L - L_\infty)",
        undefined="0 below 1e-308",
    )
    mean_cosine: Any = observable(
        "mean of the cosine of the angle between u and w", symbol=r"\mathbb{E} \cos(u, w)",
        undefined="NaN where a layer is zero",
    )
    mean_final_ntk: Any = observable(
        "mean of the neural tangent kernel as t tends to infinity", symbol=r"\mathbb{E} \Theta_\infty",
        undefined="0 where no network reaches the target",
    )
    sd_coefficient: Any = observable("standard deviation of the coefficient over networks", symbol=r"\mathrm{sd}(F)")
    sd_ntk: Any = observable("standard deviation of the kernel over networks", symbol=r"\mathrm{sd}(\Theta)")
