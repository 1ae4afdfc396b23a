"""The plan of a study: how its grid is cut into tiles."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from ..errors import ParameterError
from ..problem import Problem

LARGEST, SMALLEST, TILES = 2**15, 2**12, 16  # cells of a tile, and tiles of a grid where its size allows both


@dataclasses.dataclass(frozen=True)
class Plan:
    """A grid in tiles of equal shape (the last along an axis may be shorter), numbered row by row; nothing is stored.

    Attributes
    ----------
    shape, tile : tuple of int
        Lengths of the axes of the grid, and of a tile.
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Tiles along every axis."""
        return tuple(-(-length // step) for length, step in zip(self.shape, self.tile, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __getitem__(self, number: int) -> tuple[slice, ...]:
        """The part of the grid."""
        if not 0 <= number < len(self):
            raise IndexError(f"tile {number} of {len(self)}")
        place = []
        for count, step, length in zip(self.counts[::-1], self.tile[::-1], self.shape[::-1], strict=True):
            number, index = divmod(number, count)
            place.append(slice(index * step, min((index + 1) * step, length)))
        return tuple(reversed(place))

    def __iter__(self) -> Iterator[tuple[slice, ...]]:
        return (self[number] for number in range(len(self)))

    def number(self, place: tuple[int, ...]) -> int:
        """The number of the tile with this place along every axis."""
        number = 0
        for index, count in zip(place, self.counts, strict=True):
            number = number * count + index
        return number


def plan(problem: Problem, tile_cells: int | None = None) -> Plan:
    """Cut the grid of a problem; depends on the grid and the size of a tile only.

    Axes along which the tables of the theory vary are cut first: a tile then needs few tables, and each table is made
    once, or as few times as possible.

    Parameters
    ----------
    problem : Problem
    tile_cells : int, optional
        Largest number of cells of a tile; by default between 4096 and 32768, so that there are 16 tiles if possible.
    """
    shape = problem.shape
    size = math.prod(shape)
    if tile_cells is None:
        tile_cells = min(LARGEST, max(SMALLEST, -(-size // TILES)))
    elif isinstance(tile_cells, bool) or not isinstance(tile_cells, int) or tile_cells < 1:
        raise ParameterError("tile_cells", f"must be a whole number >= 1, got {tile_cells!r}")
    cells = problem.cells
    arrays = [cells.arrays[name] for name in problem.table_parameters if name in cells.arrays]
    with_tables = {axis for axis in range(len(shape)) if any(array.shape[axis] > 1 for array in arrays)}
    tile = [max(1, length) for length in shape]
    for axis in sorted(range(len(shape)), key=lambda axis: axis not in with_tables):
        others = math.prod(tile) // tile[axis]
        if others * tile[axis] > tile_cells:
            pieces = -(-tile[axis] // max(1, tile_cells // others))
            tile[axis] = -(-tile[axis] // pieces)
    return Plan(shape, tuple(tile))
