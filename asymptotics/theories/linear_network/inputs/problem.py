"""What can be asked about inputs in many dimensions: `LinearNetworkInputs`, `LinearNetworkInputsDescent`.

Equations are numbered as in docs/theories/linear_network_inputs.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ....errors import ParameterError
from ....parameters import parameter
from ....problem import Problem
from ..declared import (
    input_rate,
    irreducible_loss,
    loss_factor,
    number_of_steps,
    output_factor,
    output_rate,
    require_training,
    step_size,
    training_time,
)
from . import solution
from .prediction import LinearNetworkInputsPrediction

if TYPE_CHECKING:
    import xarray as xr

ROUNDED = 1e-12  # a covariance may be asymmetric or negative by this, relatively: it was rounded


class InputsNetwork(Problem):
    """A two-layer linear network with D inputs, its initial weights and rates, and the data."""

    is_limit: ClassVar[bool] = False

    u: Any = parameter("initial output weights, p of them", symbol="u", kind="vector")
    W: Any = parameter("initial input weights, p rows of D", symbol="W", kind="matrix")
    target: Any = parameter(
        r"the best D coefficients: E x y = m2 covariance target", symbol=r"\beta^\star", kind="vector"
    )
    covariance: Any = parameter(
        "second moments E x x^T of the inputs in units of m2, D x D; null for the identity", symbol=r"\Sigma/m_2",
        kind="matrix", default=None,
    )
    m2: Any = parameter("unit of the covariance", symbol="m_2", above=0, default=1.0)
    gamma: Any = output_factor("gamma u^T W x")
    eta_u: Any = output_rate()
    eta_w: Any = input_rate()
    loss_factor: Any = loss_factor()
    irreducible_loss: Any = irreducible_loss("no coefficients remove")

    @property
    def axis_labels(self) -> dict[str, np.ndarray]:
        """Numbers of the inputs."""
        return {"input": np.arange(self.W.shape[1])}

    def _validate(self) -> None:
        p, D = self.W.shape
        if len(self.u) != p:
            raise ParameterError("W", f"must have as many rows as u has entries ({len(self.u)}), got {p}")
        if len(self.target) != D:
            raise ParameterError("target", f"must have as many entries as W has columns ({D}), got {len(self.target)}")
        require_training(self)
        if self.covariance is not None:
            self._validate_covariance(D)

    def _validate_covariance(self, D: int) -> None:
        if self.covariance.shape != (D, D):
            got = " x ".join(map(str, self.covariance.shape))
            raise ParameterError("covariance", f"must be {D} x {D}, as W has {D} columns, got {got}")
        largest = np.max(np.abs(self.covariance))
        if largest == 0:
            raise ParameterError("covariance", "must not be zero")
        unit = self.covariance / largest
        if np.max(np.abs(unit - unit.T)) > ROUNDED:
            raise ParameterError("covariance", "must be symmetric")
        lowest = float(np.linalg.eigvalsh(unit)[0])
        if lowest < -ROUNDED * D:
            raise ParameterError("covariance", f"must have no negative eigenvalue, got {lowest * largest:.3g}")

    def kernel(self) -> xr.Dataset:
        """The matrix Theta of the neural tangent kernel K(x, x') = x^T Theta x', weighted by the rates; equation (3).

        Returns
        -------
        xarray.Dataset
            `kernel` over the cells, `input` and `other_input`; NaN in cells that did not converge.
        """
        return solution.kernel_dataset(self)


class LinearNetworkInputs(InputsNetwork):
    """Gradient flow of a two-layer linear network of any width on inputs of any covariance, from given weights.

    f(x) = gamma sum_i u_i <W_i, x> = <beta, x>, trained on

        L = (loss_factor/2) E (f(x) - y)^2
          = (loss_factor/2) [ (beta - target)^T Sigma (beta - target) + irreducible_loss ]

    with Sigma = m2 covariance = E x x^T, by du/dt = -eta_u dL/du, dW/dt = -eta_w dL/dW.  Exact at any
    width: D + 1 hidden units do what p do, and their differential equation is solved to 1e-12.
    """

    slug: ClassVar[str] = "linear-network-inputs"
    title: ClassVar[str] = "Training of a finite-width linear network on inputs of any covariance"
    source: ClassVar[str] = "beyond arXiv:2401.07085; docs/theories/linear_network_inputs.md"
    prediction: ClassVar[type[LinearNetworkInputsPrediction]] = LinearNetworkInputsPrediction

    t: Any = training_time()

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solution.solve(self, observables, refinement)


class LinearNetworkInputsDescent(InputsNetwork):
    """Gradient descent with steps of finite size of the same network: exact at any width and step size.

    f(x) = gamma sum_i u_i <W_i, x> = <beta, x>, trained on

        L = (loss_factor/2) E (f(x) - y)^2
          = (loss_factor/2) [ (beta - target)^T Sigma (beta - target) + irreducible_loss ]

    with Sigma = m2 covariance = E x x^T, by `steps` simultaneous steps u <- u - step_size eta_u dL/du,
    W <- W - step_size eta_w dL/dW.  A run that diverges leaves the range of float64 and does not converge.
    """

    slug: ClassVar[str] = "linear-network-inputs-descent"
    title: ClassVar[str] = "Gradient descent of a finite-width linear network on inputs of any covariance"
    source: ClassVar[str] = "beyond arXiv:2401.07085; docs/theories/linear_network_inputs.md"
    prediction: ClassVar[type[LinearNetworkInputsPrediction]] = LinearNetworkInputsPrediction

    step_size: Any = step_size()
    steps: Any = number_of_steps()

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solution.solve(self, observables, refinement)
