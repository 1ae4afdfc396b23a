"""When the network gets to a level: the inverse of the trajectory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ....cells import span
from ....errors import ParameterError
from ....solvers.monotone_flow import follow
from ..answers import labelled
from ..exact import Array
from ..grid import Part
from .push import Way, push_between, way
from .sample_loss import SampleLoss
from .solution import grid_of, numbers_of, pace

if TYPE_CHECKING:
    from .problem import LinearNetworkLoss

MOST_STEPS = 5000


def time_to(problem: LinearNetworkLoss, levels: Mapping[str, Any]) -> Any:
    """See `LinearNetworkLoss.time_to`; one level is given, the other is None."""
    given = [name for name, value in levels.items() if value is not None]
    if len(given) != 1:
        raise ParameterError("coefficient", "or loss must be given, one of them")
    name = given[0]
    level = dataclasses.replace(problem.parameters["t"], low=None).canonical(name, levels[name])
    cells = span({own: getattr(problem, own) for own in problem.cells.arrays if own != "t"} | {name: level})
    loss, grid, at = problem.sample_loss, grid_of(problem, cells, name), _LEVELS[name]
    matrix = np.empty(grid.layout.shape)
    with np.errstate(under="ignore"):
        grid.warn_of_impossible(cells.shape, stacklevel=3)
        for where, block in grid.blocks():
            own = way(block.constants, loss.minimiser, loss.length)
            farthest, found = np.zeros(block.constants.F0.size), []
            for part in grid.parts(where, block):
                own_part = own.part(part.tile.cells)
                y = progress(part, own_part, at(part, own_part, loss))
                found.append(y)
                np.maximum.at(farthest, numbers_of(part, block).ravel(), np.where(np.isfinite(y), y, 0.0).ravel())
            flow = follow(pace(block.constants, own, loss), np.where(farthest > 0, np.inf, 0.0), farthest)
            for part, y in zip(grid.parts(where, block), found, strict=True):
                numbers, reached = numbers_of(part, block), np.isfinite(y)
                time = flow.time(np.where(reached, y, 0.0), numbers)
                late = ~reached | (np.isnan(time) & flow.converged[numbers])
                part.tile.of(matrix)[...] = np.where(part.constants.in_range, np.where(late, np.inf, time), np.nan)
    return labelled(grid.layout.restore(matrix), cells)


def progress(part: Part, own: Way, F: Array) -> Array:
    """y at which the coefficient is F: 0 at the start, infinite where it never gets there."""
    c, shape = part.constants, part.tile.shape
    side = np.where(own.end > c.F0, 1.0, -1.0)
    change = F - c.F0
    blocked = (np.where(side > 0, c.bP, c.bQ) == 0) & (side * F >= 0)
    inside = ~own.still & ~blocked & (side * change > 0) & (side * own.end > side * F)
    inside = np.broadcast_to(inside, shape)
    safe = np.where(inside, F, c.F0)
    done = push_between(c, safe, np.where(inside, change, 0.0))
    reaches = np.broadcast_to(own.reaches, shape)
    end = np.where(reaches, own.end, 0.0)
    there = c._replace(F0=end, bP=np.where(reaches, own.up, c.bP), bQ=np.where(reaches, own.down, c.bQ))
    left = np.where(reaches, -push_between(there, safe, safe - end), np.inf)
    y = own.course.progress(done, left)
    return np.where(inside, y, np.where(np.broadcast_to(change == 0, shape), 0.0, np.inf))


def _at_coefficient(part: Part, own: Way, loss: SampleLoss) -> Array:
    return part.instants


def _at_loss(part: Part, own: Way, loss: SampleLoss) -> Array:
    """The coefficient at which the loss is the level; that of the start where it is smaller there.

    Newton's method on a convex function, from the side where it is larger, never passes the level.
    """
    shape = part.tile.shape
    target = np.broadcast_to(part.instants / part.parameters["loss_factor"], shape)
    F, end = (np.array(np.broadcast_to(x, shape)) for x in (part.constants.F0, own.end))
    lowest = loss.value(end) if np.isfinite(loss.minimiser) else np.full(shape, -np.inf)
    moving = (loss.value(F) > target) & ~own.still
    F = np.where(moving & (target <= lowest), end, F)
    moving &= target > lowest
    for _ in range(MOST_STEPS):
        if not np.any(moving):
            break
        here = F[moving]
        excess, force = loss.value(here) - target[moving], loss.force(here)
        ahead = (excess > 0) & (force != 0)
        step = np.where(ahead, excess / np.where(ahead, force, 1.0), 0.0)
        new = np.where((excess > 0) & (force == 0), end[moving], here + step)
        new = np.where(end[moving] > here, np.minimum(new, end[moving]), np.maximum(new, end[moving]))
        F[moving] = new
        moving[moving] = (new != here) & (new != end[moving])
    return F


_LEVELS: dict[str, Callable[[Part, Way, SampleLoss], Array]] = {"coefficient": _at_coefficient, "loss": _at_loss}
