"""Gradient descent with steps of finite size: the exact map of three numbers, its outcomes, batches, label noise.

The mathematics is in docs/theories/linear_network_descent.md.
"""

from .problem import LinearNetworkDescent

__all__ = ["LinearNetworkDescent"]
