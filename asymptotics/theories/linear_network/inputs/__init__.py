"""The linear network with inputs in many dimensions: flow and descent of its overlaps, exact at any width."""

from .problem import LinearNetworkInputs, LinearNetworkInputsDescent

__all__ = ["LinearNetworkInputs", "LinearNetworkInputsDescent"]
