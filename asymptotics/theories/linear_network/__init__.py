"""Two-layer linear networks: training solved exactly at any width, averaged over initial weights, and its phases."""

from .balanced import BalancedLinearNetwork, balanced_weights
from .descent import LinearNetworkDescent
from .ensemble import LinearNetworkEnsemble
from .inputs import LinearNetworkInputs, LinearNetworkInputsDescent
from .phases import LinearNetworkPhases
from .problem import LinearNetwork
from .scaling import LinearNetworkScaling

__all__ = [
    "BalancedLinearNetwork",
    "LinearNetwork",
    "LinearNetworkDescent",
    "LinearNetworkEnsemble",
    "LinearNetworkInputs",
    "LinearNetworkInputsDescent",
    "LinearNetworkPhases",
    "LinearNetworkScaling",
    "balanced_weights",
]
