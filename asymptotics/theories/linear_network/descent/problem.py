"""What can be asked: `LinearNetworkDescent`.

Equations are numbered as in docs/theories/linear_network_descent.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from ....errors import ParameterError
from ....parameters import parameter
from ..answers import stable_step
from ..declared import number_of_steps, require_equally_many, step_size
from ..network import LineNetwork
from .batches import batch_moments, shuffled
from .label_noise import label_noise_drift
from .outcome import outcome
from .prediction import LinearNetworkDescentPrediction
from .solution import solve

if TYPE_CHECKING:
    import xarray as xr


class LinearNetworkDescent(LineNetwork):
    """Gradient descent with steps of finite size, of a two-layer linear network of any width, from given weights.

    f(x) = gamma sum_i u_i w_i x = F x, trained on

        L = (loss_factor/2) E (f(x) - y)^2 = (loss_factor/2) [ m2 (F - target_coefficient)^2 + irreducible_loss ]

    by `steps` simultaneous steps u <- u - step_size eta_u dL/du, w <- w - step_size eta_w dL/dw.  Exact at any width
    and step size.  With `batch_m2` and `batch_mxy` step number n descends the loss of a batch, whose moments these
    are; loss and gap are still those of the full sample.
    """

    slug: ClassVar[str] = "linear-network-descent"
    title: ClassVar[str] = "Gradient descent of a finite-width linear network"
    source: ClassVar[str] = "beyond arXiv:2401.07085; docs/theories/linear_network_descent.md"
    prediction: ClassVar[type[LinearNetworkDescentPrediction]] = LinearNetworkDescentPrediction

    step_size: Any = step_size()
    steps: Any = number_of_steps()
    batch_m2: Any = parameter(
        "mean of x^2 over the batch of each step; the full sample by default", symbol=r"m_2^{(n)}", kind="vector",
        low=0, default=None,
    )
    batch_mxy: Any = parameter(
        "mean of x y over the batch of each step", symbol="m_{xy}^{(n)}", kind="vector", default=None
    )

    @classmethod
    def from_batches(cls, x: ArrayLike, y: ArrayLike, batches: Iterable[ArrayLike], **parameters: Any) -> Self:
        """The network trained on these batches of samples, one for each step.

        Parameters
        ----------
        x, y : array_like, shape (n,)
            Inputs, or their components along the line on which they lie, and labels.
        batches : iterable of array_like of int
            Positions in x and y.
        **parameters
            All but the moments; `steps` is the number of batches by default.

        Raises
        ------
        ParameterError
            If samples or batches are not as described.
        """
        m2, mxy = batch_moments(*cls._samples(x, y), batches)
        return super().from_samples(x, y, **{"steps": m2.size, **parameters}, batch_m2=m2, batch_mxy=mxy)

    @classmethod
    def from_samples(
        cls, x: ArrayLike, y: ArrayLike, *, batch_size: int | None = None, seed: int = 0, **parameters: Any
    ) -> Self:
        """The network trained on these samples.

        Parameters
        ----------
        x, y : array_like, shape (n,)
            Inputs, or their components along the line on which they lie, and labels.
        batch_size : int, optional
            Steps use random batches of this many samples, without repetition within an epoch; by default all samples.
        seed : int
            Of the order of the samples.
        **parameters
            All but m2, target_coefficient and irreducible_loss, which the samples determine.

        Raises
        ------
        ParameterError
            If they are not equally many numbers, all inputs are zero, or there are fewer than a batch.
        """
        if batch_size is None:
            return super().from_samples(x, y, **parameters)
        if "steps" not in parameters:
            raise ParameterError("steps", "is required (number of steps that have been made)")
        n = np.size(x)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or not 1 <= batch_size <= n:
            raise ParameterError("batch_size", f"must be a whole number from 1 to {n}, got {batch_size!r}")
        steps = cls.parameters["steps"].canonical("steps", parameters["steps"])
        last = int(np.max(steps, initial=1))
        return cls.from_batches(x, y, shuffled(n, int(batch_size), last, seed), **parameters)

    def _validate(self) -> None:
        super()._validate()
        if (self.batch_m2 is None) != (self.batch_mxy is None):
            given, missing = ("batch_m2", "batch_mxy") if self.batch_mxy is None else ("batch_mxy", "batch_m2")
            raise ParameterError(missing, f"must be given with {given}")
        if self.batch_m2 is None:
            return
        require_equally_many("batch_mxy", self.batch_mxy, "batch_m2", self.batch_m2)
        last = np.max(self.cells.arrays["steps"], initial=0)
        if last > len(self.batch_m2):
            raise ParameterError("steps", f"must be <= the number of batches ({len(self.batch_m2)}), got {last}")

    def outcome(self, max_steps: int = 100_000, tolerance: float = 1e-6) -> xr.Dataset:
        """Where descent on the full sample goes; `steps` is ignored.

        Parameters
        ----------
        max_steps : int
            What is not decided after these is "undecided": slow, or on a cycle.
        tolerance : float
            Of the initial gap, between 0 and 1: below it a cell has converged.

        Returns
        -------
        xarray.Dataset
            Over the remaining cells: `outcome` (codes of "converges", "catapult": after the loss had risen above its
            initial value, "diverges", "saddle": at zero weights, "undecided"; `asymptotics.datasets.spell` gives the
            words), `steps_to_tolerance` after which the gap stays below, `peak_loss_ratio`, the largest excess loss in
            units of the first, and `final_ntk`, `final_stability`, `final_cosine`, at the end or after max_steps.

        Raises
        ------
        ParameterError
            If an argument is out of range, or there are batches.
        """
        return outcome(self, max_steps, tolerance)

    def largest_stable_step(self) -> Any:
        """The step size below which the minimum that gradient flow reaches is stable, 2/(c m2 final_ntk).

        4/(c m2 kap|A|) where the target is not reachable and F tends to zero; inf where nothing moves in the end.
        Descent ends at flatter minima than the flow, and may converge with larger steps.  `steps` and `step_size` are
        ignored.

        Returns
        -------
        float, ndarray or xarray.DataArray
            Over the remaining cells, labelled if they are.
        """
        return stable_step(self, "steps", step_size=0.0)

    def label_noise_drift(self, batch_size: int) -> xr.Dataset:
        """How fast noise of the labels flattens the minimum, to leading order in the step size; equation (10).

        Parameters
        ----------
        batch_size : int
            Samples of a step, with noise of variance `irreducible_loss` that is independent of the inputs.

        Returns
        -------
        xarray.Dataset
            Over the cells without steps: `rate`, d ln(Gam^2)/dt at the minimum (NaN where the flow does not reach it)
            with t = step_size times steps; `corrected_rate`, with the fluctuations of the gap, for inputs of constant
            size (NaN where the minimum is not stable); `time_scale`, 1/|rate|; and the end, `flattest_ntk` = kap|A|
            and `flattest_cosine`.

        Raises
        ------
        ParameterError
            If the batch size is not a positive whole number.
        """
        return label_noise_drift(self, batch_size)

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solve(self, observables)
