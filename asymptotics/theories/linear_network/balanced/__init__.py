"""The linear network with balanced layers and several outputs: an exact solution at any time."""

from .initial import balanced_weights
from .problem import BalancedLinearNetwork

__all__ = ["BalancedLinearNetwork", "balanced_weights"]
