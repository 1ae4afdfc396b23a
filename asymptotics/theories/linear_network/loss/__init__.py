"""Training of the linear network with any convex loss, on samples of a line; docs/theories/linear_network_loss.md."""

from .problem import LinearNetworkLoss

__all__ = ["LinearNetworkLoss"]
