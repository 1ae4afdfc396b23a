"""Training of the linear network with any convex loss, on samples of a line."""

from .problem import LinearNetworkLoss

__all__ = ["LinearNetworkLoss"]
