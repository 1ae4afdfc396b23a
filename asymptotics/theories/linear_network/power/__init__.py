"""Training of a network of quadratic units on one-dimensional data; docs/theories/linear_network_power.md."""

from .problem import PowerNetwork

__all__ = ["PowerNetwork"]
