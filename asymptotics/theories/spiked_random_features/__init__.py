"""Two-layer networks after one giant gradient step, and spiked random features."""

from .problem import GiantStep, SpikedRandomFeatures

__all__ = ["GiantStep", "SpikedRandomFeatures"]
