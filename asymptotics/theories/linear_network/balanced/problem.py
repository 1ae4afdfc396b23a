"""What can be asked about balanced layers: `BalancedLinearNetwork`.

Equations are numbered as in docs/theories/linear_network_inputs.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from ....errors import ParameterError
from ....parameters import parameter
from ....problem import Problem
from ..declared import loss_factor, training_time
from . import solution
from .modes import imbalance
from .prediction import BalancedLinearNetworkPrediction

if TYPE_CHECKING:
    import xarray as xr

UNBALANCED = 1e-10  # largest violation, relative to the squares of the weights


class BalancedLinearNetwork(Problem):
    """Gradient flow of a linear network with D inputs, H hidden units and O outputs, from balanced layers.

    f(x) = W2 W1 x on whitened inputs, E x x^T = m2 1, with S = correlation = E y x^T, trained on

        L = (loss_factor/2) E |f(x) - y|^2 = (loss_factor/2) m2 |W2 W1 - S/m2|^2 + what no weights remove

    by dW/dt = -eta dL/dW, from weights with W2^T W2 - W1 W1^T = lam 1 for some number lam (lam > 0 needs H <= O,
    lam < 0 needs H <= D; a single hidden unit is always balanced).  Exact at any dimensions, ranks and times.
    """

    slug: ClassVar[str] = "balanced-linear-network"
    title: ClassVar[str] = "Training of a linear network with balanced layers and several outputs"
    source: ClassVar[str] = "Fukumizu 1998; Braun et al. 2022; arXiv:2409.14623; docs/theories/linear_network_inputs.md"
    prediction: ClassVar[type[BalancedLinearNetworkPrediction]] = BalancedLinearNetworkPrediction
    is_limit: ClassVar[bool] = False

    W1: Any = parameter("initial weights of the first layer, H rows of D", symbol="W_1", kind="matrix")
    W2: Any = parameter("initial weights of the second layer, O rows of H", symbol="W_2", kind="matrix")
    correlation: Any = parameter("S = E y x^T, O rows of D", symbol="S", kind="matrix")
    m2: Any = parameter("second moment of every input, E x x^T = m2 1", symbol="m_2", above=0, default=1.0)
    eta: Any = parameter("learning rate of both layers", symbol=r"\eta", low=0, default=1.0)
    loss_factor: Any = loss_factor("|f(x) - y|^2")
    t: Any = training_time()

    @classmethod
    def from_scalar_network(
        cls, *, u: ArrayLike, W: ArrayLike, target: ArrayLike, t: Any, gamma: float = 1.0, eta_u: float = 1.0,
        eta_w: float = 1.0, m2: Any = 1.0, loss_factor: Any = 1.0,
    ) -> Self:
        """The single hidden unit f(x) = gamma u <W, x> with rates of its own for each layer.

        In rescaled weights W1 = s sqrt(gamma) (eta_u/eta_w)^{1/4} W, W2 = sqrt(gamma) (eta_w/eta_u)^{1/4} u (gamma > 0;
        s = 1) both layers have the rate gamma sqrt(eta_u eta_w); gamma < 0 gives W1 the sign s = -1.  Function, loss
        and time are those of the network; norms are those of the rescaled weights.

        Parameters
        ----------
        u : array_like, shape () or (1,)
        W : array_like, shape (D,) or (1, D)
        target : array_like, shape (D,)
            The best coefficients, E x y/m2.
        t, m2, loss_factor : float, array_like or xarray.DataArray
            m2 must be a number.
        gamma, eta_u, eta_w : float
            gamma not zero, rates > 0.

        Raises
        ------
        ParameterError
            If there is more than one hidden unit, or a rate is zero.
        """
        unit = cls.parameters["m2"].canonical
        eta_u, eta_w = unit("eta_u", eta_u), unit("eta_w", eta_w)
        gamma, second = float(gamma), unit("m2", m2)
        for name, value in (("eta_u", eta_u), ("eta_w", eta_w), ("m2", second)):
            if np.ndim(value):
                raise ParameterError(name, "must be a number")
        if gamma == 0 or not math.isfinite(gamma):
            raise ParameterError("gamma", f"must be a finite number, not 0, got {gamma:g}")
        if np.size(u) != 1:
            raise ParameterError("u", f"must be one number: a single hidden unit, got {np.size(u)}")
        matrix = cls.parameters["W1"].canonical("W", np.atleast_2d(np.asarray(W)))
        goal = cls.parameters["W1"].canonical("target", np.atleast_2d(np.asarray(target)))
        if matrix.shape[0] != 1 or goal.shape != matrix.shape:
            raise ParameterError("target", f"must have as many entries as W ({matrix.size}), got {goal.size}")
        root, tilt = math.sqrt(abs(gamma)), (eta_u / eta_w) ** 0.25
        return cls(W1=math.copysign(root * tilt, gamma) * matrix, W2=np.reshape(np.asarray(u) * root / tilt, (1, 1)),
                   correlation=second * goal, m2=second, eta=abs(gamma) * math.sqrt(eta_u) * math.sqrt(eta_w),
                   loss_factor=loss_factor, t=t)

    @property
    def lam(self) -> float:
        """lam of W2^T W2 - W1 W1^T = lam 1."""
        return imbalance(self.W1, self.W2)[0]

    @property
    def axis_labels(self) -> dict[str, np.ndarray]:
        """Numbers of the modes."""
        return {"mode": np.arange(min(self.correlation.shape))}

    def _validate(self) -> None:
        (H, D), (outputs, hidden) = self.W1.shape, self.W2.shape
        if hidden != H:
            raise ParameterError("W2", f"must have as many columns as W1 has rows ({H}), got {hidden}")
        if self.correlation.shape != (outputs, D):
            got = " x ".join(map(str, self.correlation.shape))
            raise ParameterError("correlation", f"must be {outputs} x {D}, outputs by inputs, got {got}")
        lam, violation = imbalance(self.W1, self.W2)
        if violation > UNBALANCED:
            raise ParameterError(
                "W2", f"must be balanced with W1: W2^T W2 - W1 W1^T = lam 1 is violated by {violation:.2g} of "
                f"|W1|^2 + |W2|^2 (allowed {UNBALANCED:g}) for the best lam, {lam:.6g}"
            )

    def weights_product(self) -> xr.Dataset:
        """The products of the weights at time t; equation (14).

        Returns
        -------
        xarray.Dataset
            `function` = W2 W1 over the cells, `output` and `input`; `first` = W1^T W1 over `input` and `other_input`;
            `second` = W2 W2^T over `output` and `other_output`.
        """
        return solution.products_dataset(self)

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solution.solve(self, observables)
