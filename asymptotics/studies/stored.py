"""Variables that stay in the tiles of a store until they are asked for, alone or several as one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from ..errors import ParameterError
from .pieces import decode
from .plan import Plan


def stored_variable(
    name: str, plan: Plan, files: Sequence[Path], shape: tuple[int, ...], dtype: np.dtype
) -> indexing.LazilyIndexedArray:
    """A variable as an array that reads the tiles it needs; they were verified when they were written or found."""
    return indexing.LazilyIndexedArray(_Stored(name, plan, files, shape, dtype))


def stacked(dim: str, variables: Sequence[xr.Variable]) -> xr.Variable:
    """Variables as one along a new first axis; each is read when it is asked for."""
    first = variables[0]
    for other in variables:
        if (other.dims, other.shape) != (first.dims, first.shape):
            raise ValueError(f"axes {dict(first.sizes)} and {dict(other.sizes)}")
    return xr.Variable((dim, *first.dims), indexing.LazilyIndexedArray(_Stacked(variables)), first.attrs)


class _Stacked(BackendArray):
    def __init__(self, variables: Sequence[xr.Variable]) -> None:
        self.variables = variables
        self.shape, self.dtype = (len(variables), *variables[0].shape), variables[0].dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple) -> np.ndarray:
        which, *rest = key
        if isinstance(which, int | np.integer):
            return self.variables[int(which)][tuple(rest)].values
        chosen = [variable[tuple(rest)] for variable in self.variables[which]]
        found = np.empty((len(chosen), *chosen[0].shape) if chosen else (0, *self.shape[1:]), self.dtype)
        for place, variable in enumerate(chosen):
            found[place] = variable.values
        return found


class _Stored(BackendArray):
    def __init__(
        self, name: str, plan: Plan, files: Sequence[Path], shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        self.name, self.plan, self.files, self.shape, self.dtype = name, plan, files, shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple) -> np.ndarray:
        cells = len(self.plan.shape)
        positions = [np.atleast_1d(np.arange(length)[item]) for item, length in zip(key, self.shape, strict=True)]
        found = np.empty([len(where) for where in positions], self.dtype)
        tiles = [np.unique(where // step) for where, step in zip(positions, self.plan.tile, strict=False)]
        for place in itertools.product(*(along.tolist() for along in tiles)):
            inside = [np.flatnonzero(where // step == index)
                      for where, step, index in zip(positions, self.plan.tile, place, strict=False)]
            offsets = [where[chosen] - index * step for where, chosen, step, index
                       in zip(positions, inside, self.plan.tile, place, strict=False)]
            trailing = positions[cells:]
            part = self._tile(self.plan.number(place))[np.ix_(*offsets, *trailing)]
            found[np.ix_(*inside, *map(np.arange, map(len, trailing)))] = part
        # an integer drops its axis
        return found[tuple(0 if isinstance(item, int | np.integer) else slice(None) for item in key)]

    def _tile(self, number: int) -> np.ndarray:
        path = self.files[number]
        try:
            piece, _ = decode(path.read_bytes(), (self.name,))
            return piece.variables[self.name][1]
        except FileNotFoundError:
            raise ParameterError("store", f"{path} has gone; run the study again") from None
