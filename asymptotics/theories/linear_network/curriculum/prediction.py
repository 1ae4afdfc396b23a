"""What `LinearNetworkCurriculum` answers."""

from __future__ import annotations

from typing import Any

from ....parameters import observable
from ..prediction import StatePrediction


class LinearNetworkCurriculumPrediction(StatePrediction):
    """The network at time t; gap and losses are those of the target at that time, at a switch of the new one."""

    target: Any = observable("target coefficient at time t, at a switch the new one", symbol="A")
