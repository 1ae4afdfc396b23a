"""Where descent goes: a walk of all cells until each is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....datasets import answer_dataset, observable_attributes
from ....errors import ParameterError
from ....parameters import observable
from ..exact import Array
from ..layout import TILE
from ..observables import Writer
from ..trajectory import State
from .solution import blocks_of, grid_of
from .state import fill, scale_of, write_diverged
from .walk import CHECK, Departed, Start, Walk

if TYPE_CHECKING:
    import xarray as xr

    from .problem import LinearNetworkDescent

LABELS = CONVERGES, CATAPULT, DIVERGES, SADDLE, UNDECIDED = "converges", "catapult", "diverges", "saddle", "undecided"
RESTS = 1e-12  # relative change of x and y in all steps to come, below which a cell that has converged is at its end
ROSE = 1 + 1e-12  # of the gap, beyond rounding

OBSERVABLES = {
    "outcome": observable("where descent goes", labels=LABELS, undefined="no label where the cell did not converge"),
    "steps_to_tolerance": observable(
        "number of steps after which the gap stays below the tolerance", symbol="n",
        undefined="inf where it does not converge"),
    "peak_loss_ratio": observable(
        "largest excess loss on the way in units of the first", symbol=r"\max_n L_n/L_0",
        undefined="inf where it diverges, NaN where the first is zero"),
    "final_ntk": observable("ntk at the end", symbol=r"\Theta_\infty", undefined="inf where it diverges"),
    "final_stability": observable("h c m2 ntk at the end", symbol=r"h k \Theta_\infty",
                                  undefined="inf where it diverges"),
    "final_cosine": observable("cosine of the angle between u and w at the end", symbol=r"\cos(u, w)_\infty",
                               undefined="NaN where it diverges or u or w is zero"),
}


class Course(NamedTuple):
    """Ends of cells: their state, label, number of steps to the tolerance, and largest |r| on the way."""

    z: Array
    r: Array
    label: NDArray[np.int8]
    steps: Array
    peak: Array


def outcome(problem: LinearNetworkDescent, max_steps: int, tolerance: float) -> xr.Dataset:
    """See `LinearNetworkDescent.outcome`."""
    limit = int(problem.parameters["steps"].canonical("max_steps", max_steps))
    if not (isinstance(tolerance, float | int) and 0 < tolerance < 1):
        raise ParameterError("tolerance", f"must be a number > 0 and < 1, got {tolerance!r}")
    if problem.batch_m2 is not None:
        raise ParameterError("batch_m2", "must not be given: the outcome is that of steps on the full sample")
    base = problem.replace(steps=0)
    grid = grid_of(base)
    with np.errstate(under="ignore"):
        grid.warn_of_impossible(base.shape, stacklevel=3)
        layout = grid.layout
        path = [np.empty(layout.shape) for _ in range(3)]
        final = {name: np.empty(layout.shape) for name in ("ntk", "stability", "cosine")}
        label = np.empty(layout.constants, dtype=np.int8)
        count, ratio = np.empty(layout.constants), np.empty(layout.constants)
        state, writer = State(TILE), Writer(TILE)
        for where, block, start in blocks_of(grid):
            course = follow(start, limit, tolerance)
            for matrix, values in zip(path, (*course.z, course.r), strict=True):
                layout.by_constants(matrix)[where] = values[:, None]
            known = start.in_range
            label[where] = np.where(known, course.label, -1)
            count[where] = np.where(known, course.steps, np.nan)
            first = np.abs(start.r)
            with np.errstate(over="ignore"):
                rise = np.where(first > 0, course.peak / np.where(first > 0, first, 1.0), np.nan) ** 2
            ratio[where] = np.where(known, rise, np.nan)
            scale = scale_of(block.constants, block.units, block.parameters, start)
            for part in grid.parts(where, block):
                state.reshape(part.tile.shape)
                here = scale.part(part.tile.cells)
                now, diverged = fill(part, here, [part.tile.of(matrix) for matrix in path], state)
                out = {name: part.tile.of(matrix) for name, matrix in final.items()}
                with np.errstate(over="ignore"):
                    np.multiply(state.double, 0.5 * here.rate, out=out["stability"])
                writer.write(now.constants, now.units, now.instants, state, out)
                write_diverged(diverged, part.constants, here, out)
                for written in out.values():
                    np.copyto(written, np.nan, where=~part.constants.in_range)
    found: dict[str, Any] = {"outcome": label, "steps_to_tolerance": count, "peak_loss_ratio": ratio}
    found = {name: array.reshape(grid.constant_shape) for name, array in found.items()}
    found |= {f"final_{name}": layout.restore(matrix) for name, matrix in final.items()}
    return answer_dataset(base, {
        name: ((), np.broadcast_to(array, base.shape), observable_attributes(OBSERVABLES[name]))
        for name, array in found.items()})


def follow(start: Start, limit: int, tolerance: float) -> Course:
    """Every cell until it is decided, at most so many steps."""
    size = start.r.size
    walk = Walk(start)
    level = tolerance * np.abs(start.r)
    course = Course(np.empty((2, size)), np.empty(size), np.empty(size, np.int8), np.zeros(size), np.abs(start.r))
    # of the cells that still move
    floor, last, peak = level.copy(), np.zeros(size), course.peak.copy()
    above, gap = floor < np.abs(start.r), np.empty(size)
    last[~above] = -1.0
    while True:
        with np.errstate(over="ignore", invalid="ignore"):
            _, factor, _ = walk.contraction()
            low = (np.abs(walk.r) <= floor) & (np.abs(factor) < 1)
            done = low & (walk.drift() <= RESTS)
        if walk.step == limit:
            done = np.ones(walk.r.shape, dtype=bool)
        departed = walk.depart(done)
        if departed is not None:
            own = ~departed.kept
            _decide(course, departed, floor[own], last[own], peak[own], walk.step, low[own])
            floor, last, peak = (values[departed.kept] for values in (floor, last, peak))
            gap, above = np.empty(floor.size), np.empty(floor.size, dtype=bool)
        if not walk.cells.size:
            return course
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(min(CHECK, limit - walk.step)):
                walk.one()
                np.abs(walk.r, out=gap)
                np.maximum(peak, gap, out=peak)
                np.greater(gap, floor, out=above)
                np.copyto(last, walk.step, where=above)


def _decide(
    course: Course, departed: Departed, level: Array, last: Array, peak: Array, step: int, low: NDArray[np.bool_]
) -> None:
    """Labels of cells that have left the batch; where x and y rest the other steps are a geometric series."""
    cells, z, r, factor = departed.cells, departed.z, departed.r, np.abs(departed.factor)
    rests = departed.rests
    diverged = ~np.isfinite(r) | (rests & (factor > 1))
    small = low | (r == 0)
    ahead = rests & ~small & (factor < 1) & (factor > 0) & ~diverged
    with np.errstate(divide="ignore"):
        more = np.ceil(np.log(np.where(ahead, level / np.where(ahead, np.abs(r), 1.0), 1.0))
                       / np.log(np.where(ahead, factor, 0.5)))
    converged = small | ahead | (rests & (factor == 0))
    saddle = departed.gone & ~converged
    count = np.where(ahead, step + more, last + 1)
    peak = np.where(diverged, np.inf, peak)
    rose = peak > ROSE * course.peak[cells]
    codes = [LABELS.index(name) for name in (CATAPULT, CONVERGES, DIVERGES, SADDLE)]
    label = np.select([converged & rose, converged, diverged, saddle], codes, LABELS.index(UNDECIDED))
    course.z[:, cells], course.label[cells] = z, label
    course.r[cells] = np.where(diverged, np.inf, np.where(ahead, 0.0, r))
    course.steps[cells] = np.where(converged, count, np.inf)
    course.peak[cells] = peak
