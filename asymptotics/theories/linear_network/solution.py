"""From a problem to its observables: constants of blocks of cells, then tiles of cells and times."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...errors import AccuracyWarning
from .constants import Constants, cell_constants
from .exact import Array
from .invariants import Invariants, Layers, invariants, layers_of_overlaps, layers_of_weights
from .layout import TILE, Layout
from .observables import Units, Writer, units_of
from .trajectory import State, evaluate

if TYPE_CHECKING:
    from .problem import LinearNetwork

OVERLAPS = ("uu", "ww", "uw")
FLOW = ("gamma", "eta_u", "eta_w")
TARGET = ("target_coefficient", "loss_factor", "m2")
FIXED = ("final_ntk", "initial_ntk", "decay_rate")


def solve(problem: LinearNetwork, observables: Sequence[str]) -> dict[str, Any]:
    """Observables of all cells, "converged" and "residual"."""
    cells = DistinctCells(problem)
    layout = Layout(problem.shape, cells.shape)
    times = layout.times(problem.cells.arrays["t"])
    moving = {name: np.empty(layout.shape) for name in (*observables, "residual") if name not in FIXED}
    fixed = {name: np.empty(layout.constants) for name in observables if name in FIXED}
    converged = np.empty(layout.constants, dtype=bool)
    state, writer = State(TILE), Writer(TILE)
    for start in range(0, layout.constants, TILE):
        stop = min(start + TILE, layout.constants)
        block = cells.block(start, stop)
        converged[start:stop] = block.constants.in_range
        for name, values in fixed.items():
            values[start:stop] = getattr(block.units, name)
        for tile in layout.tiles(start, stop):
            constants, units, t = block.constants.part(tile.cells), block.units.part(tile.cells), tile.of(times)
            state.reshape(tile.shape)
            evaluate(constants, t, state)
            writer.write(constants, units, t, state, {name: tile.of(matrix) for name, matrix in moving.items()})
    answer: dict[str, Any] = {name: layout.restore(matrix) for name, matrix in moving.items()}
    for name, values in fixed.items():
        answer[name] = values.reshape(cells.shape)
    answer["converged"] = converged.reshape(cells.shape)
    return answer


class Block(NamedTuple):
    """What does not depend on time, of some cells, flat."""

    layers: Layers
    invariants: Invariants
    constants: Constants
    units: Units
    parameters: Mapping[str, Array]


class DistinctCells:
    """The cells over the axes of everything but t.

    Attributes
    ----------
    shape : tuple of int
        One length for each axis of the problem, 1 where only t varies.
    """

    def __init__(self, problem: LinearNetwork) -> None:
        arrays = problem.cells.arrays
        self._parameters = {name: array for name, array in arrays.items() if name != "t"}
        self.shape, _ = problem.cells.compact(tuple(self._parameters))
        if problem.u is not None:
            layers = layers_of_weights(problem.u, problem.w)
            self._layers = layers.select(lambda array: np.reshape(array, (1,) * len(self.shape)))
        else:
            self._layers = layers_of_overlaps(*(arrays[name] for name in OVERLAPS))
            _warn_of_impossible(np.broadcast_to(self._layers.possible, problem.shape))
        kernel, _ = problem.cells.compact(FLOW if problem.u is not None else FLOW + OVERLAPS)
        shared = 2 * math.prod(kernel) <= math.prod(self.shape)
        self._invariants = self._flow(self._layers, self._parameters) if shared else None

    @staticmethod
    def _flow(layers: Layers, parameters: Mapping[str, Array]) -> Invariants:
        return invariants(layers, *(parameters[name] for name in FLOW))

    def block(self, start: int, stop: int) -> Block:
        """The cells at these flat positions."""
        positions = np.unravel_index(np.arange(start, stop), self.shape) if self.shape else ()

        def choose(array: Any) -> Any:
            if array.size == 1:
                return np.reshape(array, 1)
            return array[tuple(np.minimum(index, length - 1)
                               for index, length in zip(positions, array.shape, strict=True))]

        parameters = {name: choose(array) for name, array in self._parameters.items()}
        layers = self._layers.select(choose)
        found = self._flow(layers, parameters) if self._invariants is None else self._invariants.select(choose)
        A, loss_factor, m2 = (parameters[name] for name in TARGET)
        constants = cell_constants(found, A, loss_factor, m2, cells=stop - start)
        return Block(layers, found, constants, units_of(constants, found, layers, parameters), parameters)


def _warn_of_impossible(possible: Array) -> None:
    count = possible.size - np.count_nonzero(possible)
    if count:
        warnings.warn(f"{count} of {possible.size} cells have uw^2 > uu ww: there are no such weights",
                      AccuracyWarning, stacklevel=6)
