"""Two-layer linear networks: training solved exactly at any width, averaged over initial weights, and its phases."""

from .balanced import BalancedLinearNetwork, balanced_weights
from .curriculum import LinearNetworkCurriculum
from .decay import LinearNetworkDecay
from .descent import LinearNetworkDescent
from .ensemble import LinearNetworkEnsemble
from .inputs import LinearNetworkInputs, LinearNetworkInputsDescent
from .loss import LinearNetworkLoss
from .phases import LinearNetworkPhases
from .power import PowerNetwork
from .problem import LinearNetwork
from .scaling import LinearNetworkScaling

__all__ = [
    "BalancedLinearNetwork",
    "LinearNetwork",
    "LinearNetworkCurriculum",
    "LinearNetworkDecay",
    "LinearNetworkDescent",
    "LinearNetworkEnsemble",
    "LinearNetworkInputs",
    "LinearNetworkInputsDescent",
    "LinearNetworkLoss",
    "LinearNetworkPhases",
    "LinearNetworkScaling",
    "PowerNetwork",
    "balanced_weights",
]
