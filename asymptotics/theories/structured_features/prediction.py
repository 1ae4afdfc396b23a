"""What the theories of this folder answer."""

from __future__ import annotations

from typing import Any

from ...parameters import observable
from ...problem import Prediction

_AT_THRESHOLD = "inf without ridge where n is the rank of the features, unless all is learned"
_NO_SLOPE = "NaN without ridge where n is the rank of the features"


class RidgePrediction(Prediction):
    """Errors of a ridge readout on frozen features."""

    effective_ridge: Any = observable("kappa, the ridge that the sample adds up to", symbol=r"\kappa")
    df1: Any = observable("degrees of freedom sum s/(s + kappa)", symbol=r"\mathrm{df}_1")
    df2: Any = observable("degrees of freedom sum s^2/(s + kappa)^2", symbol=r"\mathrm{df}_2")
    bias: Any = observable("squared error of the mean predictor beyond the residual variance", symbol="B")
    variance: Any = observable(
        "variance of the prediction over training sets, inputs and labels", symbol=r"\mathrm{Var}",
        undefined=_AT_THRESHOLD,
    )
    test_error: Any = observable(
        "mean squared error on fresh labels, residual variance + bias + variance", symbol=r"E_{\mathrm{test}}",
        undefined=_AT_THRESHOLD,
    )
    train_error: Any = observable(
        "mean squared residual on the training set, without the penalty", symbol=r"E_{\mathrm{train}}"
    )
    ridge_objective: Any = observable(
        "minimum of the penalised objective divided by n", symbol=r"\mathcal{R}/n"
    )
    bias_fixed_design: Any = observable(
        "squared error of the mean over label noise at given inputs", symbol=r"B/(1 - \mathrm{df}_2/n)",
        undefined=_AT_THRESHOLD,
    )
    variance_noise: Any = observable(
        "variance of the prediction over label noise at given inputs", symbol=r"\mathrm{Var}_{\mathrm{noise}}",
        undefined=_AT_THRESHOLD,
    )
    weight_norm: Any = observable("squared norm of the readout, |w|^2", symbol="|w|^2", undefined=_AT_THRESHOLD)


class FeatureRidgePrediction(RidgePrediction):
    """Errors of a ridge readout on features of a given spectrum."""

    error_slope_lam: Any = observable(
        "derivative of the test error with respect to lam", symbol=r"\partial_\lambda E_{\mathrm{test}}",
        undefined=_NO_SLOPE,
    )
    error_slope_n: Any = observable(
        "derivative of the test error with respect to n", symbol=r"\partial_n E_{\mathrm{test}}", undefined=_NO_SLOPE
    )


class RainbowNetworkPrediction(RidgePrediction):
    """Errors of a ridge readout on the last layer of a deep random network."""

    effective_ridges: Any = observable(
        "kappa_0, ..., kappa_L: the ridge as every layer sees it, the inputs first", symbol=r"\kappa_\ell",
        dims=("layer",),
    )
