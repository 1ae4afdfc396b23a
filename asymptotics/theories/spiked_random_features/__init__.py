"""Two-layer networks after one giant gradient step, and spiked random features."""

from .concrete import ConcreteFeatures
from .problem import GiantStep, SpikedRandomFeatures
from .readout_levels import gaussian_readout

__all__ = ["ConcreteFeatures", "GiantStep", "SpikedRandomFeatures", "gaussian_readout"]
