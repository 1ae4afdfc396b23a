"""The two-layer linear network on one-dimensional data, solved exactly at any width."""

from .problem import LinearNetwork

__all__ = ["LinearNetwork"]
