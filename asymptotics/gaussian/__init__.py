"""Calculus under N(0, 1): nonlinearities, their Gaussian moments and Hermite coefficients, quadrature."""

from .moments import Moments
from .names import nonlinearity
from .nonlinearity import Nonlinearity

__all__ = ["Moments", "Nonlinearity", "nonlinearity"]
