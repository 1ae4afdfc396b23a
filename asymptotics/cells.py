"""The cells of a problem: broadcasting of scalars, NumPy arrays and labelled arrays, and the names of the axes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ParameterError
from .parameters import is_labelled

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """The grid that the cell parameters of one problem span.

    Attributes
    ----------
    dims : tuple of str
        Names of the axes.
    shape : tuple of int
        Their lengths.
    arrays : dict of str to ndarray
        Every cell parameter that is not None, with `len(dims)` axes of length 1 or the full length.
    labels : dict of str to ndarray
        Coordinates along labelled axes.
    labelled : bool
        Whether the axes come from labelled arrays.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    arrays: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    labelled: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def varying(self, name: str) -> tuple[str, ...]:
        """The axes along which parameter `name` has more than one value, or a label of its own."""
        array = self.arrays[name]
        return tuple(dim for dim, length, full in zip(self.dims, array.shape, self.shape, strict=True) if length > 1
                     or (length == full and dim == name))

    def compact(self, names: tuple[str, ...]) -> tuple[tuple[int, ...], list[np.ndarray]]:
        """Broadcast the named parameters against each other only; returns that shape and the arrays, all of it."""
        chosen = [self.arrays[name] for name in names]
        shape = np.broadcast_shapes((1,) * len(self.dims), *(array.shape for array in chosen))
        return shape, [np.broadcast_to(array, shape) for array in chosen]

    def label(self, values: np.ndarray) -> xr.DataArray:
        """Values with the axes of the cells, of length 1 where they are all the same, as an array with named axes."""
        import xarray as xr

        kept = [axis for axis, length in enumerate(values.shape) if length == self.shape[axis]]
        dims = [self.dims[axis] for axis in kept]
        return xr.DataArray(values.reshape([values.shape[axis] for axis in kept]), dims=dims,
                            coords={dim: self.labels[dim] for dim in dims if dim in self.labels})


def span(values: Mapping[str, Any]) -> Cells:
    """Broadcast cell parameters; labelled arrays by the names of their axes, others as NumPy does.

    Raises
    ------
    ParameterError
        If shapes do not broadcast, labelled and unlabelled arrays mix, or coordinates of one axis differ.
    """
    labelled = {name: value for name, value in values.items() if is_labelled(value)}
    plain = {name: value for name, value in values.items() if name not in labelled and np.ndim(value)}
    if labelled and plain:
        name = next(iter(plain))
        raise ParameterError(
            name, f"must be a number or a labelled array beside the labelled {next(iter(labelled))}, got a plain array"
        )
    if labelled:
        return _span_labelled(values, labelled)
    return _span_plain(values, plain)


def _span_labelled(values: Mapping[str, Any], labelled: Mapping[str, Any]) -> Cells:
    lengths: dict[str, int] = {}
    labels: dict[str, np.ndarray] = {}
    for name, value in labelled.items():
        for dim, length in zip(value.dims, value.shape, strict=True):
            if lengths.setdefault(dim, length) != length:
                raise ParameterError(name, f"must have length {lengths[dim]} along {dim!r}, got {length}")
            if dim in value.coords:
                label = value.coords[dim].values
                if dim in labels and not np.array_equal(labels[dim], label):
                    raise ParameterError(name, f"must have the same coordinates along {dim!r} as the others")
                labels[dim] = label
    dims = tuple(lengths)

    def aligned(value: Any) -> np.ndarray:
        if not is_labelled(value):
            return np.reshape(np.asarray(value), (1,) * len(dims))
        order = sorted(range(value.ndim), key=lambda axis: dims.index(value.dims[axis]))
        array = np.transpose(value.values, order)
        return array.reshape([lengths[dim] if dim in value.dims else 1 for dim in dims])

    return Cells(dims, tuple(lengths.values()), {name: aligned(value) for name, value in values.items()}, labels,
                 labelled=True)


def _span_plain(values: Mapping[str, Any], plain: Mapping[str, np.ndarray]) -> Cells:
    shape: tuple[int, ...] = ()
    for name, value in plain.items():
        try:
            shape = np.broadcast_shapes(shape, value.shape)
        except ValueError:
            raise ParameterError(
                name, f"must broadcast with the other parameters of shape {shape}, got shape {value.shape}"
            ) from None
    arrays = {
        name: np.reshape(np.asarray(value), (1,) * (len(shape) - np.ndim(value)) + np.shape(value))
        for name, value in values.items()
    }
    return Cells(_axis_names(shape, plain), shape, arrays, {})


def _axis_names(shape: tuple[int, ...], plain: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """An axis is named after the only parameter that varies along it (and along no other), else dim_0, dim_1, ..."""
    names = []
    for axis, length in enumerate(shape):
        offset = axis - len(shape)
        owners = [name for name, value in plain.items()
                  if value.ndim >= -offset and (value.shape[offset] > 1 or length <= 1)]
        alone = [name for name in owners if sum(size > 1 for size in plain[name].shape) <= (length > 1)]
        names.append(owners[0] if len(owners) == 1 and alone == owners else f"dim_{axis}")
    repeated = {name for name in names if names.count(name) > 1}
    return tuple(f"dim_{axis}" if name in repeated else name for axis, name in enumerate(names))
