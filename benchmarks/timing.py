"""Wall times of what the tables of docs/performance.md list."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence

import asymptotics as asy


def solve_times(problem: asy.Problem, observables: Sequence[str] | None, repeats: int) -> list[float]:
    """Seconds of every solve, tables included, without warnings."""
    times = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", asy.AccuracyWarning)
        for _ in range(repeats):
            start = time.perf_counter()
            problem.solve(observables)
            times.append(time.perf_counter() - start)
    return times
