"""States at the step counts that are asked for."""

from __future__ import annotations

import itertools

import numpy as np

from ..exact import Array
from .walk import CHECK, Departed, Force, Places, Start, Walk

SPARE = 1 << 20  # numbers of a temporary array


def record(start: Start, counts: Array, force: Force | None, x: Array, y: Array, r: Array) -> None:
    """Fill x, y and r, of shape (cells, instants), with the state after `counts` steps.

    Parameters
    ----------
    start : Start
    counts : ndarray, shape (cells, instants) or (1, instants)
    force : Force or None
        Of batches.
    x, y, r : ndarray
    """
    order = np.argsort(counts, axis=None, kind="stable")
    ordered = counts.ravel()[order]
    changes = np.flatnonzero(np.diff(ordered, prepend=-1.0)).tolist()
    last = counts.max(axis=1)
    walk, matrices = Walk(start, force), (x, y, r)
    for low, high in itertools.pairwise((*changes, ordered.size)):
        target = int(ordered[low])
        while walk.cells.size:
            if walk.step % CHECK == 0:
                departed = walk.depart(None if last.size == 1 else last[walk.cells] < walk.step)
                if departed is not None:
                    _fill(departed, counts, walk.step, matrices)
            if walk.step == target:
                break
            walk.advance(min(target, (walk.step // CHECK + 1) * CHECK) - walk.step)
        if not walk.cells.size:
            return
        _write(walk, counts, order[low:high], matrices)


def _write(walk: Walk, counts: Array, chosen: Places, matrices: tuple[Array, Array, Array]) -> None:
    """The state of the cells that still move, at these entries of the flat matrix of counts."""
    own: slice | Places
    if counts.shape[0] == 1:
        own = slice(None) if walk.cells.size == matrices[0].shape[0] else walk.cells
        for matrix, values in zip(matrices, (*walk.z, walk.r), strict=True):
            for column in chosen.tolist():
                matrix[own, column] = values
        return
    rows, columns = np.divmod(chosen, counts.shape[1])
    place = np.searchsorted(walk.cells, rows)
    there = place < walk.cells.size
    there[there] = walk.cells[place[there]] == rows[there]
    for matrix, values in zip(matrices, (*walk.z, walk.r), strict=True):
        matrix[rows[there], columns[there]] = values[place[there]]


def _fill(departed: Departed, counts: Array, step: int, matrices: tuple[Array, Array, Array]) -> None:
    """All that is still asked of cells that rest."""
    x, y, r = matrices
    height = max(1, SPARE // counts.shape[1])
    for begin in range(0, departed.cells.size, height):
        part = slice(begin, begin + height)
        cells = departed.cells[part]
        ahead = (counts if counts.shape[0] == 1 else counts[cells]) - step
        later = np.broadcast_to(ahead >= 0, (cells.size, counts.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):
            left = departed.r[part, None] * departed.factor[part, None] ** np.maximum(ahead, 0.0)
        for matrix, values in ((x, departed.z[0, part, None]), (y, departed.z[1, part, None]), (r, left)):
            matrix[cells] = np.where(later, values, matrix[cells])
