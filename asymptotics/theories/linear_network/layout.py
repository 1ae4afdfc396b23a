"""A grid of cells as a matrix of constants and instants, cut into tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .exact import Array

TILE = 8192  # points whose buffers fit into the cache
LONG = 256  # instants that make a row


class Tile(NamedTuple):
    """A block of the matrix: its rows and columns, and what selects the constants out of those of a block of cells."""

    rows: slice
    columns: slice
    cells: tuple[Any, ...]

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def of(self, matrix: Array) -> Array:
        """The block of a matrix, which may have a single row or column for all."""
        rows = self.rows if matrix.shape[0] > 1 else slice(None)
        return matrix[rows, self.columns if matrix.shape[1] > 1 else slice(None)]


class Layout:
    """Axes along which constants vary against axes along which only t does.

    Attributes
    ----------
    constants, instants : int
        Their lengths.
    shape : tuple of int
        (constants, instants), or the other way where instants are few: rows are long.
    upright : bool
        Whether it is (constants, instants).
    """

    def __init__(self, shape: tuple[int, ...], constant_shape: tuple[int, ...]) -> None:
        own = [axis for axis, length in enumerate(constant_shape) if length != 1]
        self._own = len(own)
        self._order = (*own, *(axis for axis in range(len(shape)) if axis not in own))
        self._lengths = tuple(shape[axis] for axis in self._order)
        self.constants = math.prod(self._lengths[:self._own])
        self.instants = math.prod(self._lengths[self._own:])
        self.upright = self.instants >= min(self.constants, LONG)
        self.shape = (self.constants, self.instants) if self.upright else (self.instants, self.constants)

    def times(self, t: Array) -> Array:
        """Times as a matrix, with one row or column where they are the same for all constants."""
        ordered = np.transpose(t, self._order).astype(np.float64)
        shared = all(length == 1 for length in ordered.shape[:self._own])
        lengths = (*(ordered.shape if shared else self._lengths)[:self._own], *self._lengths[self._own:])
        constants = math.prod(lengths[:self._own])
        matrix = np.broadcast_to(ordered, lengths).reshape(constants, self.instants)
        return matrix if self.upright else matrix.T

    def by_constants(self, matrix: Array) -> Array:
        """A view of a matrix of this layout with constants along its rows."""
        return matrix if self.upright else matrix.T

    def restore(self, matrix: Array) -> Array:
        """A matrix as an array over the axes of the cells."""
        matrix = self.by_constants(matrix)
        return np.transpose(matrix.reshape(self._lengths), np.argsort(self._order))

    def tiles(self, start: int, stop: int) -> Iterator[Tile]:
        """Blocks of at most TILE points that cover these constants at all instants."""
        rows, columns = (start, stop), (0, self.instants)
        if not self.upright:
            rows, columns = columns, rows
        width = max(1, min(columns[1] - columns[0], TILE))
        height = max(1, TILE // width)
        for top in range(*rows, height):
            for left in range(*columns, width):
                across, down = slice(left, min(left + width, columns[1])), slice(top, min(top + height, rows[1]))
                own = down if self.upright else across
                inside = slice(own.start - start, own.stop - start)
                yield Tile(down, across, (inside, None) if self.upright else (None, inside))
