"""Tiles: groups of cells that share tables, padded to rectangles of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]


class Tile(NamedTuple):
    """Some tables, and an equal number of cells of each.

    Attributes
    ----------
    tables : ndarray of int (T,)
    cells : ndarray of int (T, C)
        Positions of the cells; short rows are padded by repeating their last cell.
    """

    tables: Index
    cells: Index


def tiles(table_of_cell: Index, nodes_of_table: Index, budget: int) -> Iterator[Tile]:
    """Cut cells into tiles with T * C * (nodes of the largest table) <= budget, or one cell where that is more.

    Parameters
    ----------
    table_of_cell : ndarray of int (N,)
    nodes_of_table : ndarray of int
        Size of the rows of each table; tables in a tile have similar sizes.
    budget : int
        Elements of one work array.
    """
    if not table_of_cell.size:
        return
    order = np.argsort(table_of_cell, kind="stable")
    tables, first, counts = np.unique(table_of_cell[order], return_index=True, return_counts=True)
    nodes = nodes_of_table[tables]
    # neighbours have similar numbers of nodes (within a quarter) and of cells, so that little is padded
    by_shape = np.lexsort((counts, np.round(4 * np.log2(nodes)).astype(np.intp)))
    position = 0
    while position < len(by_shape):
        rows = by_shape[position:]
        widest = int(nodes[rows[0]] * 1.2) + 1
        per_row = counts[rows] * widest
        alike = (nodes[rows] <= widest) & (nodes[rows] * 2 >= widest) & (counts[rows] <= 1.5 * counts[rows[0]] + 1)
        alike_count = len(rows) if alike.all() else int(np.argmin(alike))
        take = max(1, min(alike_count, int(np.searchsorted(np.arange(1, alike_count + 1) * per_row[0] * 1.5, budget))))
        rows = rows[:take]
        position += take
        longest = int(np.max(counts[rows]))
        length = max(1, min(longest, budget // (take * int(np.max(nodes[rows])))))
        for start in range(0, longest, length):
            offsets = np.arange(start, min(start + length, longest))
            inside = np.minimum(offsets[None, :], counts[rows][:, None] - 1)
            yield Tile(tables[rows], order[first[rows][:, None] + inside])
