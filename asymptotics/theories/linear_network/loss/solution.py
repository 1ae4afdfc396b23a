"""From a problem to its observables.

Equations are numbered as in docs/theories/linear_network_loss.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....cells import Cells
from ....solvers.monotone_flow import Flow, Pace, follow
from ..constants import FAINT, Constants
from ..exact import Array
from ..grid import Block, Grid, Part
from ..layout import TILE
from ..observables import Writer, with_parallel_cosine
from ..trajectory import State, Vanishing
from .push import Way, change_of, coefficient, way
from .sample_loss import ARRIVED, SampleLoss

if TYPE_CHECKING:
    from .problem import LinearNetworkLoss

OWN = ("loss", "final_coefficient")


class Ready(NamedTuple):
    """A block of cells, where they go, and the flows that lead there."""

    block: Block
    way: Way
    flow: Flow


def grid_of(problem: LinearNetworkLoss, cells: Cells, instant: str) -> Grid:
    """The cells as a grid of the linear network; a target of zero stands for the loss, of which it needs none."""
    axes = (1,) * len(cells.dims)
    neutral = {"target_coefficient": np.zeros(axes), "m2": np.ones(axes), "irreducible_loss": np.zeros(axes)}
    return Grid(problem.u, problem.w, dataclasses.replace(cells, arrays={**cells.arrays, **neutral}), instant)


def pace(c: Constants, own: Way, loss: SampleLoss) -> Pace:
    """dt/dy along the courses of these cells; equation (6)."""

    def dt(y: Array, flows: Any) -> Array:
        here, there = c.part((flows, None)), own.part((flows, None))
        done, left = there.course.at(y)
        F, gap, _, _ = coefficient(here, there, done, left)
        reaches = there.reaches & np.ones(y.shape, dtype=bool)
        velocity = np.ones(y.shape)  # of y, where nothing moves
        if np.any(reaches):
            ratio = change_of(here.kap, there.up, there.down, -left)
            arrived = np.abs(left) < ARRIVED
            ratio = np.where(arrived, 0.5 * (there.up + there.down), -ratio / np.where(arrived, 1.0, left))
            velocity[reaches] = ratio[reaches] * loss.stiffness(gap[reaches])
        forever = ~reaches & ~there.still
        if np.any(forever):
            F, gap = F[forever], gap[forever]
            force = gap * loss.stiffness(gap) if math.isfinite(loss.minimiser) else loss.force(F)
            velocity[forever] = force / np.broadcast_to(there.course.unit, y.shape)[forever]
        return 1 / (here.k * velocity)

    return dt


def solve(problem: LinearNetworkLoss, observables: Sequence[str]) -> dict[str, Any]:
    """Observables of all cells, "converged" and "residual"."""
    loss = problem.sample_loss
    grid = grid_of(problem, problem.cells, "t")
    grid.warn_of_impossible(problem.shape, stacklevel=5)
    matrices = {name: np.empty(grid.layout.shape) for name in (*observables, "converged", "residual")}
    state, writer = State(TILE), Writer(TILE)
    for where, block in grid.blocks():
        latest = np.zeros(block.constants.F0.size)
        for part in grid.parts(where, block):
            instants = np.broadcast_to(part.instants, part.tile.shape)
            np.maximum.at(latest, numbers_of(part, block).ravel(), instants.ravel())
        ready = _ready(block, loss, latest, np.inf)
        for part in grid.parts(where, block):
            out = {name: part.tile.of(matrix) for name, matrix in matrices.items()}
            _write(part, ready, loss, state, writer, out)
    answer = grid.restore(matrices, {})
    return answer | {"converged": answer["converged"] > 0}


def _ready(block: Block, loss: SampleLoss, until_time: Array, until: Array | float) -> Ready:
    own = way(block.constants, loss.minimiser, loss.length)
    return Ready(block, own, follow(pace(block.constants, own, loss), until_time, until))


def numbers_of(part: Part, block: Block) -> NDArray[np.intp]:
    """The position in the block of each point of a tile."""
    return np.broadcast_to(np.arange(block.constants.F0.size)[part.tile.cells], part.tile.shape)


def _write(
    part: Part, ready: Ready, loss: SampleLoss, state: State, writer: Writer, out: dict[str, Array]
) -> None:
    """The observables of one tile."""
    shape, cells, c = part.tile.shape, part.tile.cells, part.constants
    own, numbers = ready.way.part(cells), numbers_of(part, ready.block)
    y = ready.flow.progress(np.broadcast_to(part.instants, shape), numbers)
    known = np.isfinite(y) & c.in_range
    done, left = own.course.at(np.where(known, y, 0.0))
    F, gap, up, down = coefficient(c, own, done, left)
    state.reshape(shape)
    state.F[...], state.r[...], state.double[...] = F, gap, up + down
    state.vanishing = _vanishing(c, done, state.double)
    out["converged"][...], out["residual"][...] = known, ready.flow.residual[numbers]
    shown = {name: array for name, array in out.items() if name not in (*OWN, "converged", "residual")}
    writer.write(c, with_parallel_cosine(c, part.units), part.instants, state, shown)
    if "loss" in out:
        with np.errstate(over="ignore"):  # inf is meant
            out["loss"][...] = part.parameters["loss_factor"] * loss.value(F)
    if "final_coefficient" in out:
        blocked = np.isfinite(own.end) | (np.where(own.end > 0, c.bP, c.bQ) == 0)
        out["final_coefficient"][...] = np.where(own.still, c.F0, np.where(
            own.reaches, own.end, np.where(blocked, 0.0, own.end)))


def _vanishing(c: Constants, done: Array, double: Array) -> Vanishing | None:
    """Points where all weights follow sqrt(z) or 1/sqrt(z) to zero."""
    tiny = (double < FAINT) & (c.kap > 0) & ((c.bP == 0) != (c.bQ == 0))
    if not np.any(tiny):
        return None
    where = np.nonzero(tiny)
    return Vanishing(where, double.shape, -0.5 * np.abs(np.broadcast_to(c.kap * done, double.shape)[where]))
