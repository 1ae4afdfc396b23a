"""Sections of a study file: tables whose keys and values are checked and refused under their key path."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ParameterError
from ..problem import nearest


class Section:
    """A table of the file under its key path; every key in it must be known."""

    def __init__(self, path: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
        self.path = path
        self.table = table
        known = list(known)
        for key in table:
            if key not in known:
                hint = nearest(key, known) or f" ({', '.join(known)})"
                raise ParameterError(self.key(key), f"is not a known key{hint}")

    def key(self, name: str) -> str:
        """The path of a key."""
        return f"{self.path}.{name}" if self.path else name

    def section(self, name: str) -> Mapping[str, Any]:
        """The table under a key; empty if it is missing."""
        value = self.table.get(name, {})
        if not isinstance(value, dict):
            raise ParameterError(self.key(name), f"must be a table, got {shown(value)}")
        return value

    def string(self, name: str, required: bool = False) -> Any:
        """A string that is not empty, or None if it is missing."""
        if name not in self.table:
            if required:
                raise ParameterError(self.key(name), "is required")
            return None
        value = self.table[name]
        if not isinstance(value, str) or not value:
            raise ParameterError(self.key(name), f"must be a string, got {shown(value)}")
        return value

    def strings(self, name: str) -> tuple[str, ...]:
        """A string or a list of strings, none of them twice."""
        value = self.table.get(name, [])
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) and item for item in values):
            raise ParameterError(self.key(name), f"must be a string or a list of strings, got {shown(value)}")
        if len(set(values)) < len(values):
            raise ParameterError(self.key(name), f"must not repeat a value, got {shown(value)}")
        return tuple(values)

    def whole(self, name: str, low: int, default: int | None = None) -> int:
        """A whole number; required if there is no default."""
        value = self.table.get(name, default)
        if value is None:
            raise ParameterError(self.key(name), "is required")
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise ParameterError(self.key(name), f"must be a whole number >= {low}, got {shown(value)}")
        return value


def shown(value: Any) -> str:
    """A value as the file has it, shortened."""
    try:
        text = json.dumps(value, default=str)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 2**1000
    return isinstance(value, float) and math.isfinite(value)
