"""The pieces of a problem put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import STATE, observable_attributes, parameter_attributes
from ..problem import Problem
from .pieces import Piece
from .plan import Plan

_LARGEST_IN_MEMORY = 2**28  # bytes of all results together that are read from the store at once


class Gathered:
    """The pieces of one problem put together, in memory if they fit, else left in the store.

    Parameters
    ----------
    problem, plan
        A problem, and how its grid is cut.
    names : sequence of str
        The variables that are wanted.
    count : int
        So many problems share the memory.
    """

    def __init__(self, problem: Problem, plan: Plan, names: Sequence[str], count: int) -> None:
        self.problem, self.plan, self.names, self.count = problem, plan, names, count
        self.arrays: dict[str, np.ndarray] = {}
        self.kinds: dict[str, tuple[tuple[int, ...], np.dtype]] = {}

    def add(self, tile: int, piece: Piece, stored: bool) -> None:
        """One more tile."""
        cells = len(self.plan.shape)
        arrays = {name: piece.variables[name][1] for name in self.names}
        if not self.kinds:
            self.kinds = {name: (self.plan.shape + array.shape[cells:], array.dtype) for name, array in arrays.items()}
            size = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in self.kinds.values())
            if not stored or size * self.count <= _LARGEST_IN_MEMORY:
                self.arrays = {name: np.empty(shape, dtype) for name, (shape, dtype) in self.kinds.items()}
        for name, whole in self.arrays.items():
            whole[self.plan[tile]] = arrays[name]

    def add_whole(self, piece: Piece) -> None:
        """The whole grid at once: one without cells."""
        self.arrays = {name: piece.variables[name][1] for name in self.names}

    def variable(self, name: str, files: Sequence[Path] | None) -> tuple:
        """Axes, values, attributes."""
        if name in self.arrays:
            values: Any = self.arrays[name]
        else:
            from .stored import stored_variable

            assert files is not None
            values = stored_variable(name, self.plan, files, *self.kinds[name])
        declared = self.problem.observables.get(name)
        if declared is not None:
            return self.problem.dims + declared.dims, values, observable_attributes(declared)
        if name in STATE:
            return self.problem.dims, values, dict(STATE[name])
        return self.problem.dims, values, parameter_attributes(self.problem, name)
