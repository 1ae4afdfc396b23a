"""The linear network trained with weight decay; docs/theories/linear_network_decay.md."""

from .problem import LinearNetworkDecay

__all__ = ["LinearNetworkDecay"]
