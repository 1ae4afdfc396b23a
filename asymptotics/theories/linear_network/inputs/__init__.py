"""The linear network with inputs in many dimensions: flow and descent, exact at any width.

The mathematics is in docs/theories/linear_network_inputs.md.
"""

from .problem import LinearNetworkInputs, LinearNetworkInputsDescent

__all__ = ["LinearNetworkInputs", "LinearNetworkInputsDescent"]
