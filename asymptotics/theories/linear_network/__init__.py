"""The two-layer linear network on one-dimensional data: training solved exactly at any width, and its phases."""

from .loss import LinearNetworkLoss
from .phases import LinearNetworkPhases
from .power import PowerNetwork
from .problem import LinearNetwork
from .scaling import LinearNetworkScaling

__all__ = ["LinearNetwork", "LinearNetworkLoss", "LinearNetworkPhases", "LinearNetworkScaling", "PowerNetwork"]
