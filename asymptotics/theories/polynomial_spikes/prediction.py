"""What the theory answers."""

from __future__ import annotations

from typing import Any

from ...parameters import observable
from ...problem import Prediction

_AT_THRESHOLD = "inf at n = p without ridge"
_NOT_AT_LIMIT = "NaN at level \"limit\", where it is not fixed by the exponent"


class PolynomialSpikesPrediction(Prediction):
    """Errors, learned components and spikes of the features after one step."""

    test_error: Any = observable(
        "mean squared error on fresh noisy labels", symbol=r"E_{\mathrm{test}}", undefined=_AT_THRESHOLD
    )
    generalization_error: Any = observable(
        "mean squared error on fresh noiseless labels", symbol=r"E_{\mathrm{gen}}", undefined=_AT_THRESHOLD
    )
    ridge_objective: Any = observable(
        "minimum of the penalised objective divided by n", symbol=r"\mathcal{R}/n"
    )
    train_error: Any = observable(
        "mean squared residual on the training set, without the penalty", symbol=r"E_{\mathrm{train}}"
    )
    tau: Any = observable(
        "size of the rank-one part of the step per neuron", symbol=r"\tau", undefined=_NOT_AT_LIMIT
    )
    tau_r: Any = observable(
        "size of the full-rank residual of the step per neuron", symbol=r"\tau_r", undefined=_NOT_AT_LIMIT
    )
    row_rescaling: Any = observable(
        "rescaling s of the rows of the initial weights by the mean label", symbol="s", undefined=_NOT_AT_LIMIT
    )
    alignment: Any = observable(
        "cosine rho of the learned direction X^T y with theta", symbol=r"\rho"
    )
    overlaps: Any = observable(
        "overlap of the network with degree k of the teacher, E[f h_k(<theta, x>)]", symbol=r"c^\star_k\phi_k",
        dims=("degree",),
    )
    learned_fraction: Any = observable(
        "overlap with degree k over the teacher's own coefficient", symbol=r"\phi_k", dims=("degree",),
        undefined="NaN where the teacher has no component of this degree",
    )
    singular_values: Any = observable(
        "singular values of the features F/sqrt(n) outside the bulk, largest first (finite_rank)", symbol="s_j",
        dims=("outlier",), undefined="NaN beyond the last outlier, and at level \"limit\", where they diverge",
    )
    bulk_edge: Any = observable(
        "largest singular value of the bulk of F/sqrt(n) before the step", symbol=r"s_{\mathrm{edge}}"
    )
    threshold_ratio: Any = observable(
        "strength of the spikes over the threshold beyond which they leave the bulk (finite_rank), largest first",
        symbol=r"\vartheta_j", dims=("outlier",), undefined=_NOT_AT_LIMIT,
    )
    spike_vectors: Any = observable(
        "cosine of the left singular vector of an outlier with h_k(kappa), kappa along the learned direction",
        symbol=r"\langle u_j, h_k\rangle", dims=("outlier", "degree"),
        undefined="NaN beyond the last outlier, and at level \"limit\"",
    )
    first_layer_singular_value: Any = observable(
        "largest singular value of the weights W after the step", symbol=r"s_1(W)", undefined=_NOT_AT_LIMIT
    )
    first_layer_alignment: Any = observable(
        "cosine of the right singular vector of W with theta", symbol=r"\cos(v_1, \theta)", undefined=_NOT_AT_LIMIT
    )
    first_layer_readout_alignment: Any = observable(
        "cosine of the left singular vector of W with the initial readout", symbol=r"\cos(u_1, a)",
        undefined=_NOT_AT_LIMIT,
    )
