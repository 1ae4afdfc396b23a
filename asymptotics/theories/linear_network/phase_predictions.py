"""What the scaling theory and the phase cells answer."""

from __future__ import annotations

from typing import Any

from ...parameters import Observable, observable
from ...problem import Prediction
from .exponents import KERNEL_LABELS, MECHANISM_LABELS, TIME_LABELS
from .mechanisms import MECHANISMS

_STILL = "NaN where nothing is trained: both layers zero, or both rates"
_ONE_ZERO = "inf if one layer starts at zero"

INFINITE = (
    "x_area", "x_F0", "x_theta0", "x_kappa", "x_inf", "x_chi", "time_label", "kernel_label", "mechanism_label",
)


class LinearNetworkPhasesPrediction(Prediction):
    """Kernel, angle and norms before and after training, and the mechanism between."""

    initial_ntk: Any = observable("neural tangent kernel at the start, over x x'", symbol=r"\Theta_0")
    final_ntk: Any = observable("neural tangent kernel at the end", symbol=r"\Theta_\infty", undefined=_STILL)
    decay_rate: Any = observable(
        "rate at which the gap to the target closes at the end", symbol=r"\Lambda", undefined=_STILL
    )
    ntk_ratio: Any = observable(
        "kernel at the end over kernel at the start", symbol=r"\Theta_\infty/\Theta_0", undefined=_STILL
    )
    initial_cosine: Any = observable("cosine of the two layers at the start", symbol=r"\cos_0", undefined=_STILL)
    final_cosine: Any = observable("cosine of the two layers at the end", symbol=r"\cos_\infty", undefined=_STILL)
    alignment_change: Any = observable(
        "change of |cos|: > 0 alignment, < 0 disalignment of the layers", symbol=r"\Delta|\cos|", undefined=_STILL
    )
    rescaling: Any = observable(
        "product of the norms of the layers, end over start", symbol=r"\rho_s", undefined=f"{_ONE_ZERO}; {_STILL}"
    )
    feature_learning_strength: Any = observable(
        "feature-learning strength chi = kap |A|/Gam: kernel regime below 1, feature learning above", symbol=r"\chi",
        undefined=_STILL,
    )
    mechanism: Any = observable(
        "region by the thresholds on |cos| and on the kernel", labels=MECHANISMS, undefined=f"no label, not {_STILL}"
    )


def _at_width(declared: Observable) -> Any:
    """The same observable where it needs the width `p`."""
    undefined = "at the width p, if it is given; NaN at c_p = 0"
    return Observable(declared.meaning, declared.symbol, declared.units, declared.dims, undefined, declared.labels)


_Finite = LinearNetworkPhasesPrediction


class LinearNetworkScalingPrediction(Prediction):
    """Exponents and labels of the infinite network; with a width `p` also its self-averaged network."""

    x_area: Any = observable("exponent of the area of the layers, in units of the output", symbol=r"x_\mathrm{area}")
    x_F0: Any = observable("exponent of the initial coefficient", symbol=r"x_{F_0}")
    x_theta0: Any = observable("exponent of the initial kernel", symbol=r"x_{\Theta_0}")
    x_kappa: Any = observable("exponent of the kernel that the target needs, kap |A|", symbol=r"x_\kappa")
    x_inf: Any = observable("exponent of the final kernel, and of the rate of training", symbol=r"x_\infty")
    x_chi: Any = observable("exponent of the feature-learning strength chi", symbol=r"x_\chi")
    time_label: Any = observable(
        "what happens in a time of order one", labels=TIME_LABELS, boundaries=("x_inf",)
    )
    kernel_label: Any = observable("what training does to the kernel", labels=KERNEL_LABELS, boundaries=("x_chi",))
    mechanism_label: Any = observable(
        "what training does to the angle and to the norms of the layers", labels=MECHANISM_LABELS,
        boundaries=("x_area",),
    )
    initial_ntk: Any = _at_width(_Finite.initial_ntk)
    final_ntk: Any = _at_width(_Finite.final_ntk)
    ntk_ratio: Any = _at_width(_Finite.ntk_ratio)
    initial_cosine: Any = _at_width(_Finite.initial_cosine)
    final_cosine: Any = _at_width(_Finite.final_cosine)
    alignment_change: Any = _at_width(_Finite.alignment_change)
    rescaling: Any = _at_width(_Finite.rescaling)
    feature_learning_strength: Any = _at_width(_Finite.feature_learning_strength)
    mechanism: Any = _at_width(_Finite.mechanism)
