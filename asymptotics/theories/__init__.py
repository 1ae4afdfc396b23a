"""The theories, by slug."""

from ..problem import Problem
from .linear_network import (
    BalancedLinearNetwork,
    LinearNetwork,
    LinearNetworkCurriculum,
    LinearNetworkDecay,
    LinearNetworkDescent,
    LinearNetworkEnsemble,
    LinearNetworkInputs,
    LinearNetworkInputsDescent,
    LinearNetworkLoss,
    LinearNetworkPhases,
    LinearNetworkScaling,
    PowerNetwork,
    balanced_weights,
)
from .polynomial_spikes import PolynomialSpikes
from .spiked_random_features import ConcreteFeatures, GiantStep, SpikedRandomFeatures, gaussian_readout
from .structured_features import FeatureClassification, FeatureRidge, RainbowNetwork, gcv, kappa_hat

THEORIES: dict[str, type[Problem]] = {
    problem.slug: problem for problem in (
        GiantStep, SpikedRandomFeatures, ConcreteFeatures, PolynomialSpikes, LinearNetwork, LinearNetworkEnsemble,
        LinearNetworkDescent, LinearNetworkDecay, LinearNetworkCurriculum, LinearNetworkLoss, LinearNetworkScaling,
        LinearNetworkPhases, LinearNetworkInputs, LinearNetworkInputsDescent, BalancedLinearNetwork, PowerNetwork,
        FeatureRidge, RainbowNetwork, FeatureClassification,
    )
}

__all__ = [
    "THEORIES",
    "BalancedLinearNetwork",
    "ConcreteFeatures",
    "FeatureClassification",
    "FeatureRidge",
    "GiantStep",
    "LinearNetwork",
    "LinearNetworkCurriculum",
    "LinearNetworkDecay",
    "LinearNetworkDescent",
    "LinearNetworkEnsemble",
    "LinearNetworkInputs",
    "LinearNetworkInputsDescent",
    "LinearNetworkLoss",
    "LinearNetworkPhases",
    "LinearNetworkScaling",
    "PolynomialSpikes",
    "PowerNetwork",
    "RainbowNetwork",
    "SpikedRandomFeatures",
    "balanced_weights",
    "gaussian_readout",
    "gcv",
    "kappa_hat",
]
