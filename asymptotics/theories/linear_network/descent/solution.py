"""From a problem to its observables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..exact import Array
from ..grid import Block, Grid
from ..layout import TILE
from ..observables import Writer, with_parallel_cosine
from ..trajectory import State
from .kernel import predicted_final_kernel
from .record import record
from .state import fill, scale_of, write_diverged
from .walk import Force, Start, start_of

if TYPE_CHECKING:
    from .problem import LinearNetworkDescent

FIXED = ("initial_ntk", "predicted_final_ntk")


def grid_of(problem: LinearNetworkDescent) -> Grid:
    """The cells, step counts being the instants."""
    return Grid(problem.u, problem.w, problem.cells, instant="steps")


def blocks_of(grid: Grid) -> Iterator[tuple[slice, Block, Start]]:
    """All cells, some at a time, and where they begin."""
    for where, block in grid.blocks():
        block = block._replace(units=with_parallel_cosine(block.constants, block.units))
        yield where, block, start_of(block.constants, block.parameters["step_size"])


def force_of(problem: LinearNetworkDescent, block: Block) -> Force | None:
    """What the batches do, or None of the full sample."""
    if problem.batch_m2 is None:
        return None
    return Force(problem.batch_m2, problem.batch_mxy, block.parameters["m2"], block.parameters["target_coefficient"])


def solve(problem: LinearNetworkDescent, observables: Sequence[str]) -> dict[str, Any]:
    """Observables of all cells, "converged" and "residual"."""
    grid = grid_of(problem)
    grid.warn_of_impossible(problem.shape, stacklevel=5)
    layout = grid.layout
    moving = {name: np.empty(layout.shape) for name in (*observables, "residual") if name not in FIXED}
    fixed = {name: np.empty(layout.constants) for name in observables if name in FIXED}
    converged = np.empty(layout.constants, dtype=bool)
    path = [np.empty(layout.shape) for _ in range(3)]
    counts = layout.by_constants(grid.instants)
    state, writer = State(TILE), Writer(TILE)
    for where, block, start in blocks_of(grid):
        converged[where] = start.in_range
        scale = scale_of(block.constants, block.units, block.parameters, start)
        if "initial_ntk" in fixed:
            fixed["initial_ntk"][where] = block.units.initial_ntk
        if "predicted_final_ntk" in fixed:
            predicted = predicted_final_kernel(block.constants, scale.rate)
            fixed["predicted_final_ntk"][where] = 2 * predicted * block.units.half_ntk
        if not layout.instants:
            continue
        own: list[Array] = [layout.by_constants(matrix)[where] for matrix in path]
        record(start, counts if counts.shape[0] == 1 else counts[where], force_of(problem, block), *own)
        for part in grid.parts(where, block):
            state.reshape(part.tile.shape)
            here = scale.part(part.tile.cells)
            now, diverged = fill(part, here, [part.tile.of(matrix) for matrix in path], state)
            out = {name: part.tile.of(matrix) for name, matrix in moving.items()}
            if "stability" in out:
                with np.errstate(over="ignore"):
                    np.multiply(state.double, 0.5 * here.rate, out=out["stability"])
            writer.write(now.constants, now.units, now.instants, state, out)
            if np.any(diverged):
                write_diverged(diverged, part.constants, here, out)
    return grid.restore(moving, fixed | {"converged": converged})
