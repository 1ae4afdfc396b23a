"""High-dimensional asymptotics of feature learning in two-layer networks.

Problem -> ``solve()`` -> Prediction: state a problem (``GiantStep(activation="tanh", ...)``), solve it on a whole grid
of parameters at once, and read the observables as arrays or as a labelled dataset.
"""

from .errors import AccuracyWarning, ParameterError
from .gaussian import Nonlinearity, nonlinearity
from .problem import Prediction, Problem, check, grid
from .spectra import density_spectrum, wishart_spectrum
from .theories import (
    THEORIES,
    BalancedLinearNetwork,
    ConcreteFeatures,
    FeatureClassification,
    FeatureRidge,
    GiantStep,
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
    PolynomialSpikes,
    PowerNetwork,
    RainbowNetwork,
    SpikedRandomFeatures,
    balanced_weights,
    gaussian_readout,
    gcv,
    kappa_hat,
)

__version__ = "0.1.0"

__all__ = [
    "THEORIES",
    "AccuracyWarning",
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
    "Nonlinearity",
    "ParameterError",
    "PolynomialSpikes",
    "PowerNetwork",
    "Prediction",
    "Problem",
    "RainbowNetwork",
    "SpikedRandomFeatures",
    "balanced_weights",
    "check",
    "density_spectrum",
    "gaussian_readout",
    "gcv",
    "grid",
    "kappa_hat",
    "nonlinearity",
    "wishart_spectrum",
]
