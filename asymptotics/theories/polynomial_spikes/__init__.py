"""One gradient step with a step size that grows with the sample size: which polynomial components are learned."""

from .problem import PolynomialSpikes

__all__ = ["PolynomialSpikes"]
