"""Training of a network of quadratic units on one-dimensional data."""

from .problem import PowerNetwork

__all__ = ["PowerNetwork"]
