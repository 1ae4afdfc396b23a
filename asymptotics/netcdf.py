"""Writing netCDF-3 (64-bit offsets) piece by piece: a file may be larger than memory, and little is copied."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .files import replacing

if TYPE_CHECKING:
    import xarray as xr

_DIMENSION, _VARIABLE, _ATTRIBUTE = 10, 11, 12
_CHARACTERS = 2
# the types of netCDF-3: bytes, characters, integers of 16 and 32 bits, floating point numbers of 32 and 64 bits
_TYPES = {"i1": 1, "S1": _CHARACTERS, "i2": 3, "i4": 4, "f4": 5, "f8": 6}


class Stored(NamedTuple):
    """A variable of a file.

    Attributes
    ----------
    dims : tuple of str
    dtype : dtype
        One of netCDF-3: i1, S1, i2, i4, f4, f8.
    attributes : mapping
        Bytes, texts and numbers.
    values : callable
        Returns the array; is called when it is written.
    """

    dims: Sequence[str]
    dtype: np.dtype
    attributes: Mapping[str, Any]
    values: Callable[[], np.ndarray]


def netcdf(
    lengths: Mapping[str, int], attributes: Mapping[str, Any], variables: Mapping[str, Stored]
) -> Iterator[bytes | memoryview]:
    """The bytes of a file, in parts: its header first, then variable after variable.

    Parameters
    ----------
    lengths : mapping
        Lengths of all dimensions, none of them zero (that would be a record dimension).
    attributes : mapping
        Of the file.
    variables : mapping of str to Stored
    """
    numbers = {dim: number for number, dim in enumerate(lengths)}
    dims = _list(_DIMENSION, [_text(dim) + struct.pack(">i", length) for dim, length in lengths.items()])
    start = b"CDF\x02" + struct.pack(">i", 0) + dims + _attributes(attributes)
    sizes = {name: math.prod(lengths[dim] for dim in variable.dims) * variable.dtype.itemsize
             for name, variable in variables.items()}

    def header(begins: Mapping[str, int]) -> bytes:
        entries = []
        for name, variable in variables.items():
            ids = struct.pack(f">i{len(variable.dims)}i", len(variable.dims), *(numbers[dim] for dim in variable.dims))
            size = _padded(sizes[name])
            place = struct.pack(">iIq", _TYPES[variable.dtype.str[1:]], min(size, 2**32 - 1), begins[name])
            entries.append(_text(name) + ids + _attributes(variable.attributes) + place)
        return start + _list(_VARIABLE, entries)

    begin = len(header(dict.fromkeys(variables, 0)))
    begins = {}
    for name, size in sizes.items():
        begins[name] = begin
        begin += _padded(size)
    yield header(begins)
    for name, variable in variables.items():
        array = np.ascontiguousarray(variable.values(), dtype=variable.dtype.newbyteorder(">"))
        if array.nbytes != sizes[name]:
            raise ValueError(f"{name} has {array.nbytes} bytes, not {sizes[name]}")
        yield array.reshape(-1).view(np.uint8).data
        yield bytes(_padded(sizes[name]) - sizes[name])


def write_dataset(path: str | Path, dataset: xr.Dataset) -> None:
    """Write a dataset as `Dataset.to_netcdf(engine="scipy")` does; variables that are not in memory one at a time."""
    lazy = {name for name, variable in dataset.variables.items() if not variable._in_memory}
    with replacing(path) as temporary:
        if not lazy or not all(dataset.sizes.values()):
            dataset.to_netcdf(temporary, engine="scipy")
            return
        with open(temporary, "wb") as file:
            for part in _encoded(dataset, lazy):
                file.write(part)


def _encoded(dataset: xr.Dataset, lazy: set) -> Iterator[bytes | memoryview]:
    import xarray as xr
    from xarray.backends.netcdf3 import encode_nc3_attrs, encode_nc3_variable

    # as xarray has it: flags for truth values, NaN for what is missing, text as characters
    light = {name: xr.Variable(variable.dims, np.broadcast_to(np.zeros((), variable.dtype), variable.shape),
                               variable.attrs) if name in lazy else variable
             for name, variable in dataset.variables.items()}
    data = {name: variable for name, variable in light.items() if name not in dataset.coords}
    coords = {name: variable for name, variable in light.items() if name in dataset.coords}
    encoded, attributes = xr.conventions.encode_dataset_coordinates(xr.Dataset(data, coords, dataset.attrs))
    encoded, attributes = xr.conventions.cf_encoder(encoded, attributes)
    encoded = {name: encode_nc3_variable(variable) for name, variable in encoded.items()}
    lengths = {str(dim): length for variable in encoded.values()
               for dim, length in zip(variable.dims, variable.shape, strict=True)}

    def load(name: Any) -> Callable[[], np.ndarray]:
        return lambda: np.asarray(dataset.variables[name].values if name in lazy else encoded[name].values)

    variables = {str(name): Stored(variable.dims, variable.dtype, variable.attrs, load(name))
                 for name, variable in encoded.items()}
    return netcdf(lengths, encode_nc3_attrs(attributes), variables)


def _attributes(attributes: Mapping[str, Any]) -> bytes:
    entries = []
    for name, value in attributes.items():
        if isinstance(value, str | bytes):
            text = value.encode() if isinstance(value, str) else value
            entries.append(_text(name) + struct.pack(">i", _CHARACTERS) + _text(text))
        else:
            numbers = np.atleast_1d(value)
            kind = f"{numbers.dtype.kind}{min(numbers.dtype.itemsize, 8 if numbers.dtype.kind == 'f' else 4)}"
            data = numbers.astype(f">{kind}").tobytes()
            entries.append(_text(name) + struct.pack(">ii", _TYPES[kind], numbers.size) + _pad(data))
    return _list(_ATTRIBUTE, entries)


def _list(tag: int, entries: Sequence[bytes]) -> bytes:
    return struct.pack(">ii", tag if entries else 0, len(entries)) + b"".join(entries)


def _text(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">i", len(data)) + _pad(data)


def _pad(data: bytes) -> bytes:
    return data + bytes(_padded(len(data)) - len(data))


def _padded(size: int) -> int:
    return -(-size // 4) * 4
