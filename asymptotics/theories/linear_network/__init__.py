"""The two-layer linear network on one-dimensional data: training solved exactly at any width, and its phases."""

from .balanced import BalancedLinearNetwork, balanced_weights
from .inputs import LinearNetworkInputs, LinearNetworkInputsDescent
from .phases import LinearNetworkPhases
from .problem import LinearNetwork
from .scaling import LinearNetworkScaling

__all__ = [
    "BalancedLinearNetwork",
    "LinearNetwork",
    "LinearNetworkInputs",
    "LinearNetworkInputsDescent",
    "LinearNetworkPhases",
    "LinearNetworkScaling",
    "balanced_weights",
]
