"""The theories, by slug."""

from ..problem import Problem
from .linear_network import (
    LinearNetwork,
    LinearNetworkCurriculum,
    LinearNetworkDecay,
    LinearNetworkPhases,
    LinearNetworkScaling,
)
from .polynomial_spikes import PolynomialSpikes
from .spiked_random_features import ConcreteFeatures, GiantStep, SpikedRandomFeatures, gaussian_readout

THEORIES: dict[str, type[Problem]] = {
    problem.slug: problem for problem in (
        GiantStep, SpikedRandomFeatures, ConcreteFeatures, PolynomialSpikes, LinearNetwork, LinearNetworkScaling,
        LinearNetworkPhases, LinearNetworkDecay, LinearNetworkCurriculum,
    )
}

__all__ = [
    "THEORIES",
    "ConcreteFeatures",
    "GiantStep",
    "LinearNetwork",
    "LinearNetworkCurriculum",
    "LinearNetworkDecay",
    "LinearNetworkPhases",
    "LinearNetworkScaling",
    "PolynomialSpikes",
    "SpikedRandomFeatures",
    "gaussian_readout",
]
