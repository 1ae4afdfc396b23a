"""Two-layer networks after one giant gradient step, and spiked random features."""

from .concrete import ConcreteFeatures
from .problem import GiantStep, SpikedRandomFeatures

__all__ = ["ConcreteFeatures", "GiantStep", "SpikedRandomFeatures"]
