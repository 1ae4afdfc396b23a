"""The theories, by slug."""

from ..problem import Problem
from .polynomial_spikes import PolynomialSpikes
from .spiked_random_features import ConcreteFeatures, GiantStep, SpikedRandomFeatures, gaussian_readout

THEORIES: dict[str, type[Problem]] = {
    problem.slug: problem for problem in (GiantStep, SpikedRandomFeatures, ConcreteFeatures, PolynomialSpikes)
}

__all__ = ["THEORIES", "ConcreteFeatures", "GiantStep", "PolynomialSpikes", "SpikedRandomFeatures", "gaussian_readout"]
