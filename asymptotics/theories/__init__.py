"""The theories, by slug."""

from ..problem import Problem
from .spiked_random_features import GiantStep, SpikedRandomFeatures, gaussian_readout

THEORIES: dict[str, type[Problem]] = {problem.slug: problem for problem in (GiantStep, SpikedRandomFeatures)}

__all__ = ["THEORIES", "GiantStep", "SpikedRandomFeatures", "gaussian_readout"]
