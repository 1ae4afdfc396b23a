"""The two-layer linear network on one-dimensional data: training solved exactly at any width, and its phases."""

from .curriculum import LinearNetworkCurriculum
from .decay import LinearNetworkDecay
from .phases import LinearNetworkPhases
from .problem import LinearNetwork
from .scaling import LinearNetworkScaling

__all__ = [
    "LinearNetwork",
    "LinearNetworkCurriculum",
    "LinearNetworkDecay",
    "LinearNetworkPhases",
    "LinearNetworkScaling",
]
