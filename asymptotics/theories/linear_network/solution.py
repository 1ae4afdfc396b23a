"""From a problem to its observables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .grid import Grid
from .layout import TILE
from .observables import Writer
from .trajectory import State, evaluate

if TYPE_CHECKING:
    from .problem import LinearNetwork

FIXED = ("final_ntk", "initial_ntk", "decay_rate")


def solve(problem: LinearNetwork, observables: Sequence[str]) -> dict[str, Any]:
    """Observables of all cells, "converged" and "residual"."""
    grid = Grid(problem.u, problem.w, problem.cells)
    grid.warn_of_impossible(problem.shape, stacklevel=5)
    layout = grid.layout
    moving = {name: np.empty(layout.shape) for name in (*observables, "residual") if name not in FIXED}
    fixed = {name: np.empty(layout.constants) for name in observables if name in FIXED}
    converged = np.empty(layout.constants, dtype=bool)
    state, writer = State(TILE), Writer(TILE)
    for where, block in grid.blocks():
        converged[where] = block.constants.in_range
        for name, values in fixed.items():
            values[where] = getattr(block.units, name)
        for part in grid.parts(where, block):
            state.reshape(part.tile.shape)
            evaluate(part.constants, part.instants, state)
            out = {name: part.tile.of(matrix) for name, matrix in moving.items()}
            writer.write(part.constants, part.units, part.instants, state, out)
    return grid.restore(moving, fixed | {"converged": converged})
