"""Averages and laws over Gaussian initial weights."""

from .problem import LinearNetworkEnsemble

__all__ = ["LinearNetworkEnsemble"]
