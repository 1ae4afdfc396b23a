"""The linear network trained with weight decay."""

from .problem import LinearNetworkDecay

__all__ = ["LinearNetworkDecay"]
