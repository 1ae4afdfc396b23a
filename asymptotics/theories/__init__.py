"""The theories, by slug."""

from ..problem import Problem
from .linear_network import (
    LinearNetwork,
    LinearNetworkLoss,
    LinearNetworkPhases,
    LinearNetworkScaling,
    PowerNetwork,
)
from .polynomial_spikes import PolynomialSpikes
from .spiked_random_features import ConcreteFeatures, GiantStep, SpikedRandomFeatures, gaussian_readout

THEORIES: dict[str, type[Problem]] = {
    problem.slug: problem for problem in (
        GiantStep, SpikedRandomFeatures, ConcreteFeatures, PolynomialSpikes, LinearNetwork, LinearNetworkScaling,
        LinearNetworkPhases, LinearNetworkLoss, PowerNetwork,
    )
}

__all__ = [
    "THEORIES",
    "ConcreteFeatures",
    "GiantStep",
    "LinearNetwork",
    "LinearNetworkLoss",
    "LinearNetworkPhases",
    "LinearNetworkScaling",
    "PolynomialSpikes",
    "PowerNetwork",
    "SpikedRandomFeatures",
    "gaussian_readout",
]
