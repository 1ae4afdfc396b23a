"""The two things that can be said to a user: a refusal and a caution."""

from __future__ import annotations


class ParameterError(ValueError):
    """A value was refused.

    Parameters
    ----------
    name : str
        The parameter (or option, or key) that is at fault.
    reason : str
        What is allowed and what was given, as the end of a sentence.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class AccuracyWarning(UserWarning):
    """The answer is returned, but some of its cells are singular, unconverged or of reduced accuracy."""
