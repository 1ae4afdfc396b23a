"""The theories, by slug."""

from ..problem import Problem
from .linear_network import LinearNetwork, LinearNetworkEnsemble, LinearNetworkPhases, LinearNetworkScaling
from .polynomial_spikes import PolynomialSpikes
from .spiked_random_features import ConcreteFeatures, GiantStep, SpikedRandomFeatures, gaussian_readout

THEORIES: dict[str, type[Problem]] = {
    problem.slug: problem for problem in (
        GiantStep, SpikedRandomFeatures, ConcreteFeatures, PolynomialSpikes, LinearNetwork, LinearNetworkEnsemble,
        LinearNetworkScaling, LinearNetworkPhases,
    )
}

__all__ = [
    "THEORIES",
    "ConcreteFeatures",
    "GiantStep",
    "LinearNetwork",
    "LinearNetworkEnsemble",
    "LinearNetworkPhases",
    "LinearNetworkScaling",
    "PolynomialSpikes",
    "SpikedRandomFeatures",
    "gaussian_readout",
]
