"""What can be asked: `LinearNetworkCurriculum`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ....errors import ParameterError
from ....parameters import parameter
from ..declared import irreducible_loss, loss_factor, second_moment, training_time
from ..network import InitialisedNetwork
from .prediction import LinearNetworkCurriculumPrediction
from .solution import solve


class LinearNetworkCurriculum(InitialisedNetwork):
    """Gradient flow of a two-layer linear network on one target after another, from given initial weights.

    f(x) = gamma sum_i u_i w_i x = F x, trained on

        L = (loss_factor/2) E (f(x) - y)^2 = (loss_factor/2) [ m2 (F - A)^2 + irreducible_loss ]

    where A is `targets[0]` up to `switch_times[0]`, `targets[1]` from then on, and so on; the last target stays.  The
    weights are continuous; at a switch gap and losses are those of the new target.  Exact at any width.

    Weights are given as in `LinearNetwork`: vectors `u`, `w`, or overlaps `uu`, `ww`, `uw`.
    """

    slug: ClassVar[str] = "linear-network-curriculum"
    title: ClassVar[str] = "Training of a finite-width linear network on a sequence of targets"
    source: ClassVar[str] = "beyond arXiv:2401.07085; docs/theories/linear_network_curriculum.md"
    prediction: ClassVar[type[LinearNetworkCurriculumPrediction]] = LinearNetworkCurriculumPrediction

    targets: Any = parameter("target coefficients, one after another", symbol="A_j", kind="vector")
    switch_times: Any = parameter(
        "times at which the second, third, ... target begins, increasing", symbol="t_j", kind="vector", low=0,
        default=None,
    )
    m2: Any = second_moment()
    loss_factor: Any = loss_factor()
    irreducible_loss: Any = irreducible_loss("no coefficient removes, the same for all targets")
    t: Any = training_time()

    @property
    def starts(self) -> tuple[float, ...]:
        """When each target begins."""
        return (0.0, *(() if self.switch_times is None else self.switch_times.tolist()))

    def _validate(self) -> None:
        super()._validate()
        switches = len(self.starts) - 1
        if switches != len(self.targets) - 1:
            raise ParameterError(
                "switch_times", f"must have one entry less than targets ({len(self.targets) - 1}), got {switches}"
            )
        if np.any(np.diff(self.starts[1:]) <= 0):
            raise ParameterError("switch_times", f"must be increasing, got {list(self.starts[1:])}")

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solve(self, observables)
