"""The linear network with inputs in many dimensions: flow and descent, exact at any width."""

from .problem import LinearNetworkInputs, LinearNetworkInputsDescent

__all__ = ["LinearNetworkInputs", "LinearNetworkInputsDescent"]
