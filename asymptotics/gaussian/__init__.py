"""Calculus under N(0, 1): nonlinearities, their Gaussian moments and Hermite coefficients, quadrature."""

from .moments import Moments
from .nonlinearity import Nonlinearity, nonlinearity

__all__ = ["Moments", "Nonlinearity", "nonlinearity"]
