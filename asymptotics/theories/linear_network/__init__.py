"""The two-layer linear network on one-dimensional data: training solved exactly at any width, and its phases."""

from .phases import LinearNetworkPhases
from .scaling import LinearNetworkScaling

__all__ = ["LinearNetworkPhases", "LinearNetworkScaling"]
