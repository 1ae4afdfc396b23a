"""What `BalancedLinearNetwork` answers."""

from __future__ import annotations

from typing import Any

from ....parameters import observable
from ....problem import Prediction


class BalancedLinearNetworkPrediction(Prediction):
    """The function, its modes, its loss and the norms of the layers."""

    singular_values: Any = observable("singular values of W2 W1, descending", symbol=r"\sigma", dims=("mode",))
    mode_coefficients: Any = observable(
        "W2 W1 between the singular vectors of the correlation, largest singular value first",
        symbol="a_k", dims=("mode",),
    )
    gap_norm: Any = observable("Frobenius norm of the gap S/m2 - W2 W1", symbol=r"|S/m_2 - W_2W_1|")
    excess_loss: Any = observable("loss above its irreducible part, (c/2) m2 gap_norm^2", symbol=r"L - L_\infty")
    norm_W1: Any = observable("Frobenius norm of W1", symbol="|W_1|")
    norm_W2: Any = observable("Frobenius norm of W2", symbol="|W_2|")
