"""The linear network with balanced layers and several outputs: an exact solution at any time.

The mathematics is in docs/theories/linear_network_inputs.md.
"""

from .initial import balanced_weights
from .problem import BalancedLinearNetwork

__all__ = ["BalancedLinearNetwork", "balanced_weights"]
