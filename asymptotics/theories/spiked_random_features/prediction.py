"""What the theory answers."""

from __future__ import annotations

from typing import Any

from ...parameters import observable
from ...problem import Prediction

_AT_THRESHOLD = "inf at the interpolation threshold alpha = beta without ridge"
_UNRESOLVED = "NaN at lam = 0 where the test error diverges and this has not settled"
_WITHOUT_RIDGE = "inf at lam = 0 where the features interpolate (alpha <= beta)"


class ReadoutPrediction(Prediction):
    """Errors and order parameters of the ridge readout on spiked random features."""

    test_error: Any = observable(
        "mean squared error on fresh noisy labels", symbol=r"E_{\mathrm{test}}", undefined=_AT_THRESHOLD
    )
    generalization_error: Any = observable(
        "mean squared error on fresh noiseless labels", symbol=r"E_{\mathrm{gen}}", undefined=_AT_THRESHOLD
    )
    train_error: Any = observable(
        "mean squared residual on the training set, without the penalty", symbol=r"E_{\mathrm{train}}"
    )
    ridge_objective: Any = observable(
        "minimum of the penalised objective divided by n", symbol=r"\mathcal{R}/n"
    )
    spike_error: Any = observable(
        "generalization error of the mean prediction along the spike", symbol=r"E_{\mathrm{spike}}",
        undefined=_UNRESOLVED,
    )
    orthogonal_error: Any = observable(
        "generalization error of what is left of the target given its spike component",
        symbol=r"E_{\perp}", undefined=_UNRESOLVED,
    )
    estimation_error: Any = observable(
        "generalization error from the finite number of samples and features", symbol=r"E_{\mathrm{est}}",
        undefined=_AT_THRESHOLD,
    )
    variance: Any = observable(
        "variance of the prediction over the second training set at fixed features", symbol=r"\mathrm{Var}",
        undefined=_AT_THRESHOLD,
    )
    bias: Any = observable(
        "generalization error of the prediction averaged over second training sets (squared bias)",
        symbol=r"\mathrm{Bias}^2", undefined=_UNRESOLVED,
    )
    best_linear_error: Any = observable(
        "mean squared error on fresh noisy labels of the best affine function of the input",
        symbol=r"E_{\mathrm{lin}}",
    )
    m: Any = observable("mean readout overlap, sum of w_i/sqrt(p)", symbol="m", undefined=_UNRESOLVED)
    th: Any = observable(
        "overlap of readout and bulk along the spike, w W_b v/sqrt(p)", symbol=r"\theta", undefined=_UNRESOLVED
    )
    psi: Any = observable(
        "overlap of readout and bulk along the rest of the target direction", symbol=r"\psi", undefined=_UNRESOLVED
    )
    q1: Any = observable(
        "squared norm of the readout seen through the bulk", symbol="q_1", undefined=_AT_THRESHOLD
    )
    q2: Any = observable("squared norm of the readout over p", symbol="q_2", undefined=_AT_THRESHOLD)
    V1: Any = observable("trace of the bulk resolvent times the bulk", symbol="V_1", undefined=_WITHOUT_RIDGE)
    V2: Any = observable("trace of the bulk resolvent", symbol="V_2", undefined=_WITHOUT_RIDGE)
    chi: Any = observable("overlap of readout and row-norm fluctuations", symbol=r"\chi", undefined=_UNRESOLVED)
    n_crossover: Any = observable(
        "sample size above which the mean direction is learned at no cost, 1/(V2 E[mu0^2/(1 + V)])",
        symbol=r"n_\times", undefined="inf without mean activation (odd activation and no spike); " + _UNRESOLVED,
    )


class SpikedRandomFeaturesPrediction(ReadoutPrediction):
    """Answer of `SpikedRandomFeatures`."""


class GiantStepPrediction(ReadoutPrediction):
    """Answer of `GiantStep`."""

    spike_strength: Any = observable(
        "size of the rank-one update per neuron (with several readout levels u, r of r u)", symbol="r"
    )
    bulk_variance: Any = observable("variance of the bulk of the weights, tr C/d", symbol="c")
    alignment: Any = observable("overlap of the spike with the target direction", symbol=r"\gamma")
    isotropic_gap: Any = observable(
        "relative difference of the test error of the isotropic model, E_iso/E - 1", symbol=r"\Delta_{\mathrm{iso}}",
        undefined="NaN in the isotropic model and where a test error is not finite",
    )
