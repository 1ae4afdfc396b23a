"""The theories, by slug."""

from ..problem import Problem
from .spiked_random_features import ConcreteFeatures, GiantStep, SpikedRandomFeatures, gaussian_readout

THEORIES: dict[str, type[Problem]] = {
    problem.slug: problem for problem in (GiantStep, SpikedRandomFeatures, ConcreteFeatures)
}

__all__ = ["THEORIES", "ConcreteFeatures", "GiantStep", "SpikedRandomFeatures", "gaussian_readout"]
