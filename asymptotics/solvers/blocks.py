"""Blocks: a grid cut into pieces that fit into the cache, for work that is the same in every cell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TypeVar

import numpy as np

Block = tuple[slice, ...]
T = TypeVar("T", bound=np.generic)


def blocks(shape: tuple[int, ...], budget: int) -> Iterator[Block]:
    """Cut a grid into blocks of at most `budget` cells, whole along as many of the last axes as fit."""
    if not all(shape):
        return
    lengths = list(shape)
    for axis in range(len(shape)):
        rest = math.prod(shape[axis + 1:])
        lengths[axis] = min(shape[axis], max(1, budget // rest))
    starts = (range(0, full, length) for full, length in zip(shape, lengths, strict=True))
    for corner in itertools.product(*starts):
        yield tuple(slice(start, start + length) for start, length in zip(corner, lengths, strict=True))


def part(array: np.ndarray[tuple[int, ...], np.dtype[T]], block: Block) -> np.ndarray[tuple[int, ...], np.dtype[T]]:
    """The piece of an array that broadcasts against the grid: axes of length 1 stay."""
    return array[tuple(piece if length > 1 else slice(None)
                       for piece, length in zip(block, array.shape, strict=True))]
