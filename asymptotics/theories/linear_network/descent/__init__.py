"""Gradient descent with steps of finite size: the exact map of three numbers, its outcomes, batches, label noise."""

from .problem import LinearNetworkDescent

__all__ = ["LinearNetworkDescent"]
