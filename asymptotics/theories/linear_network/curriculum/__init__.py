"""The linear network trained on one target after another."""

from .problem import LinearNetworkCurriculum

__all__ = ["LinearNetworkCurriculum"]
