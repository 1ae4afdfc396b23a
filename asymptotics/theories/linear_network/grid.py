"""The distinct cells of a problem, in blocks: what does not depend on time is computed once for all times."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...cells import Cells
from ...errors import AccuracyWarning
from .constants import Constants, cell_constants
from .exact import Array
from .invariants import Invariants, Layers, invariants, layers_of_overlaps, layers_of_weights
from .layout import TILE, Layout, Tile
from .observables import Units, units_of

OVERLAPS = ("uu", "ww", "uw")
FLOW = ("gamma", "eta_u", "eta_w")
TARGET = ("target_coefficient", "loss_factor", "m2")


class Block(NamedTuple):
    """Constants of some cells, flat."""

    constants: Constants
    units: Units
    parameters: Mapping[str, Array]
    invariants: Invariants
    layers: Layers


class Part(NamedTuple):
    """A tile, and what is needed there: constants and instants, which broadcast to the shape of the tile."""

    tile: Tile
    constants: Constants
    units: Units
    parameters: Mapping[str, Array]
    instants: Array


class Grid:
    """The cells as constants against instants, values of one parameter on which the constants do not depend.

    Parameters
    ----------
    u, w : ndarray or None
        Weights, if they are given.
    cells : Cells
    instant : str
        The parameter that stands for time.

    Attributes
    ----------
    layout : Layout
    instants : ndarray
        A matrix of the layout, or a row or column of it.
    """

    def __init__(self, u: Array | None, w: Array | None, cells: Cells, instant: str = "t") -> None:
        self._parameters = {name: array for name, array in cells.arrays.items() if name != instant}
        self.constant_shape, _ = cells.compact(tuple(self._parameters))
        self.layout = Layout(cells.shape, self.constant_shape)
        self.instants = self.layout.times(cells.arrays[instant])
        if u is not None and w is not None:
            axes = (1,) * len(self.constant_shape)
            self._layers = layers_of_weights(u, w).select(lambda array: np.reshape(array, axes))
            kernel, _ = cells.compact(FLOW)
        else:
            self._layers = layers_of_overlaps(*(cells.arrays[name] for name in OVERLAPS))
            kernel, _ = cells.compact(FLOW + OVERLAPS)
        shared = 2 * math.prod(kernel) <= math.prod(self.constant_shape)
        self._invariants = self._flow(self._layers, self._parameters) if shared else None

    def warn_of_impossible(self, shape: tuple[int, ...], stacklevel: int) -> None:
        """Say how many cells have overlaps that no weights have."""
        possible = np.broadcast_to(self._layers.possible, shape)
        count = possible.size - np.count_nonzero(possible)
        if count:
            warnings.warn(f"{count} of {possible.size} cells have uw^2 > uu ww: there are no such weights",
                          AccuracyWarning, stacklevel=stacklevel + 1)

    def blocks(self) -> Iterator[tuple[slice, Block]]:
        """All cells, some at a time."""
        for start in range(0, self.layout.constants, TILE):
            where = slice(start, min(start + TILE, self.layout.constants))
            yield where, self._block(where)

    def parts(self, where: slice, block: Block) -> Iterator[Part]:
        """The tiles of a block."""
        for tile in self.layout.tiles(where.start, where.stop):
            parameters = {name: array if array.size == 1 else array[tile.cells]
                          for name, array in block.parameters.items()}
            yield Part(tile, block.constants.part(tile.cells), block.units.part(tile.cells), parameters,
                       tile.of(self.instants))

    def restore(self, matrices: Mapping[str, Any], constants: Mapping[str, Any]) -> dict[str, Any]:
        """Matrices of the layout, and values of the constants, over the axes of the cells."""
        return {name: self.layout.restore(matrix) for name, matrix in matrices.items()} | {
            name: values.reshape(self.constant_shape) for name, values in constants.items()}

    @staticmethod
    def _flow(layers: Layers, parameters: Mapping[str, Array]) -> Invariants:
        return invariants(layers, *(parameters[name] for name in FLOW))

    def _block(self, where: slice) -> Block:
        shape = self.constant_shape
        positions = np.unravel_index(np.arange(where.start, where.stop), shape) if shape else ()

        def choose(array: Any) -> Any:
            if array.size == 1:
                return np.reshape(array, 1)
            return array[tuple(np.minimum(index, length - 1)
                               for index, length in zip(positions, array.shape, strict=True))]

        parameters = {name: choose(array) for name, array in self._parameters.items()}
        layers = self._layers.select(choose)
        found = self._flow(layers, parameters) if self._invariants is None else self._invariants.select(choose)
        A, loss_factor, m2 = (parameters[name] for name in TARGET)
        constants = cell_constants(found, A, loss_factor, m2, cells=where.stop - where.start)
        return Block(constants, units_of(constants, found, layers, parameters), parameters, found, layers)
