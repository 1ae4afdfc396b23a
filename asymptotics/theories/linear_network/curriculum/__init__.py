"""The linear network trained on one target after another; docs/theories/linear_network_curriculum.md."""

from .problem import LinearNetworkCurriculum

__all__ = ["LinearNetworkCurriculum"]
