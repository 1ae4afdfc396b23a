"""Where a function that takes a few values changes, to all digits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SCAN, _ROUNDS = 65, 6


def changes(code: Callable[[Array], NDArray], low: float, high: float) -> list[float]:
    """Points between low and high where `code` changes: a scan, then sections of its intervals."""
    def between(s: Array) -> NDArray[np.intp]:
        values = code(s)
        return np.nonzero(values[1:] != values[:-1])[0]

    scan = np.linspace(low, high, 4 * _SCAN)
    found = []
    for i in between(scan):
        left, right = float(scan[i]), float(scan[i + 1])
        for _ in range(_ROUNDS):
            part = np.linspace(left, right, _SCAN)
            inner = between(part)
            if not inner.size:
                break
            left, right = float(part[inner[0]]), float(part[inner[0] + 1])
        found.append(0.5 * (left + right))
    return found
