"""Ridge and classification on frozen features: arXiv:2402.13999, arXiv:2302.00401, arXiv:2102.08127."""

from .classification import FeatureClassification
from .empirical import gcv, kappa_hat
from .problem import FeatureRidge
from .rainbow import RainbowNetwork

__all__ = ["FeatureClassification", "FeatureRidge", "RainbowNetwork", "gcv", "kappa_hat"]
