"""From a problem to its observables and weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....solvers.monotone_flow import follow
from ..exact import Array
from ..layout import TILE, Layout, Tile
from ..ratios import norm
from .state import NUMBERS, State, pace, state
from .way import Way, way

if TYPE_CHECKING:
    from .problem import PowerNetwork

CELLS = ("gamma", "eta_u", "eta_w", "target_coefficient", "m4", "loss_factor", "irreducible_loss")

Parameters = Mapping[str, Array]
Measure = Callable[[Way, Parameters, State], Array]


class Points(NamedTuple):
    """Some points of a tile, flat.

    Attributes
    ----------
    tile : Tile
    where : slice
        Their places in the tile, raveled.
    own : Way
    parameters : dict of str to ndarray
    state : State
    known : ndarray of bool
    residual : ndarray
    """

    tile: Tile
    where: slice
    own: Way
    parameters: Parameters
    state: State
    known: NDArray[np.bool_]
    residual: Array

    def write(self, matrix: NDArray[Any], values: ArrayLike) -> None:
        """Put values of the points into the matrix of all."""
        rows, columns = np.unravel_index(np.arange(self.where.start, self.where.stop), self.tile.shape)
        matrix[rows + self.tile.rows.start, columns + self.tile.columns.start] = values


def solve(problem: PowerNetwork, observables: Sequence[str]) -> dict[str, Any]:
    """Observables of all cells, "converged" and "residual"."""
    layout = _layout(problem)
    matrices = {name: np.empty(layout.shape) for name in (*observables, "residual")}
    converged = np.empty(layout.shape, dtype=bool)
    for points in _points(problem, layout):
        points.write(converged, points.known)
        points.write(matrices["residual"], points.residual)
        for name in observables:
            with np.errstate(over="ignore"):  # inf is meant
                points.write(matrices[name], _MEASURES[name](points.own, points.parameters, points.state))
    answer: dict[str, Any] = {name: layout.restore(matrix) for name, matrix in matrices.items()}
    return answer | {"converged": layout.restore(converged)}


def weights(problem: PowerNetwork) -> tuple[Array, Array]:
    """u and w over the cells and the units; NaN in cells that failed."""
    layout = _layout(problem)
    u, w = np.empty((2, len(problem.u), *layout.shape))
    with np.errstate(under="ignore"):
        for points in _points(problem, layout):
            own, here = points.own, points.state
            for unit in range(len(problem.u)):
                points.write(u[unit], np.where(points.known, own.orientation * here.u[:, unit], np.nan))
                points.write(w[unit], np.where(points.known, here.w[:, unit], np.nan))
    u, w = (np.stack([layout.restore(one) for one in layer], axis=-1) for layer in (u, w))
    return u, w


def _layout(problem: PowerNetwork) -> Layout:
    shape, _ = problem.cells.compact(CELLS)
    return Layout(problem.shape, shape)


def _points(problem: PowerNetwork, layout: Layout) -> Iterator[Points]:
    """All points, some at a time."""
    _, compact = problem.cells.compact(CELLS)
    parameters = {name: np.ravel(array).astype(np.float64) for name, array in zip(CELLS, compact, strict=True)}
    t, p = layout.times(problem.cells.arrays["t"]), len(problem.u)
    width, length = max(1, min(TILE, NUMBERS // p)), max(1, NUMBERS // p)
    for start in range(0, layout.constants, width):
        stop = min(start + width, layout.constants)
        given = {name: array[start:stop] for name, array in parameters.items()}
        own = way(problem.u, problem.w, given["gamma"], given["eta_u"], given["eta_w"], given["target_coefficient"])
        latest = np.zeros(stop - start)
        for tile in layout.tiles(start, stop):
            cells, times = _flat(tile, t, stop - start)
            np.maximum.at(latest, cells, times)
        flow = follow(pace(own, given["loss_factor"] * given["m4"] * own.gamma), np.where(own.still, 0.0, latest))
        for tile in layout.tiles(start, stop):
            cells, times = _flat(tile, t, stop - start)
            for first in range(0, cells.size, length):
                where = slice(first, min(first + length, cells.size))
                some = cells[where]
                ways = own.cells(some)
                y = np.where(ways.still, 0.0, flow.progress(times[where], some))
                known = np.isfinite(y) & ways.valid
                here = state(ways, np.where(known, y, 0.0))
                known &= np.isfinite(here.F) & np.isfinite(here.drift)
                yield Points(tile, where, ways, {name: array[some] for name, array in given.items()}, here, known,
                             flow.residual[some])


def _flat(tile: Tile, t: Array, count: int) -> tuple[NDArray[np.intp], Array]:
    """The cell and the time of each point of a tile."""
    return (np.broadcast_to(np.arange(count)[tile.cells], tile.shape).ravel(),
            np.broadcast_to(tile.of(t), tile.shape).ravel())


def _excess(own: Way, given: Parameters, here: State) -> Array:
    return 0.5 * given["loss_factor"] * given["m4"] * here.gap**2


_MEASURES: dict[str, Measure] = {
    "coefficient": lambda own, given, here: own.side * here.F,
    "gap": lambda own, given, here: own.side * here.gap,
    "excess_loss": _excess,
    "loss": lambda own, given, here: _excess(own, given, here) + 0.5 * given["loss_factor"] * given["irreducible_loss"],
    "ntk": lambda own, given, here: own.gamma * here.drift,
    "norm_u": lambda own, given, here: norm(here.u),
    "norm_w": lambda own, given, here: norm(here.w),
    "final_coefficient": lambda own, given, here: own.side * np.where(
        own.reaches, own.A, np.where(own.still, own.F0, 0.0)),
}
