"""Blocks cover a grid once."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asymptotics.solvers.blocks import blocks, part


@given(st.lists(st.integers(0, 7), max_size=4).map(tuple), st.integers(1, 50))
def test_every_cell_is_in_one_block_of_bounded_size(shape: tuple[int, ...], budget: int) -> None:
    count = np.zeros(shape, dtype=int)
    for block in blocks(shape, budget):
        count[block] += 1
        assert count[block].size <= budget
    assert np.all(count == 1)


def test_blocks_are_whole_along_the_last_axes() -> None:
    columns = slice(0, 3)
    assert list(blocks((5, 3), 7)) == [(slice(start, start + 2), columns) for start in (0, 2, 4)]
    assert sum(1 for _ in blocks((1000, 1000), 1 << 14)) == math.ceil(1000 / 16)


def test_parts_broadcast_against_the_blocks() -> None:
    rows, columns = np.arange(5)[:, None], np.arange(3)[None]
    for block in blocks((5, 3), 2):
        np.testing.assert_array_equal(part(rows, block) + part(columns, block), (rows + columns)[block])
