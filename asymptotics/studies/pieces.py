"""A piece: what was computed in one tile, and the netCDF-3 file that it becomes."""

from __future__ import annotations

import functools
import io
import json
import re
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..netcdf import Stored, netcdf

Variable = tuple[tuple[str, ...], np.ndarray, Mapping[str, Any]]  # axes, values, attributes

# the attribute crc32 in the header of a netCDF-3 file: name, type (characters), length, value
_CHECKSUM = re.compile(rb"crc32\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x08([0-9a-f]{8})")
_NO_CHECKSUM = "0" * 8


class Piece(NamedTuple):
    """What was computed in one tile.

    Attributes
    ----------
    variables : dict of str to (tuple of str, ndarray, dict)
        Axes, values and attributes by name.
    failed : int
        Cells that did not converge.
    warnings : list of str
        Sentences about cells of reduced accuracy.
    """

    variables: Mapping[str, Variable]
    failed: int = 0
    warnings: tuple[str, ...] = ()


def encode(file: BinaryIO, piece: Piece, attributes: Mapping[str, str]) -> None:
    """Write the file of a piece, one variable at a time; its bytes depend on the piece only, and hold their checksum.

    Parameters
    ----------
    file : binary file
        Empty, at its beginning.
    piece : Piece
    attributes : mapping of str
        Of the file.
    """
    lengths: dict[str, int] = {}
    stored: dict[str, Stored] = {}
    for name, (dims, values, described) in piece.variables.items():
        values = np.asarray(values)
        lengths.update(zip(dims, values.shape, strict=True))
        kept = {key: value for key, value in described.items() if not isinstance(value, str) or value}
        if values.dtype == bool:
            kept["dtype"] = "bool"  # as xarray has it
        stored[name] = Stored(dims, _stored(values.dtype), kept, functools.partial(np.asarray, values))
    about = {"crc32": _NO_CHECKSUM, **attributes, "failed": np.int32(piece.failed),
             "warnings": json.dumps(piece.warnings)}
    place = checksum = 0
    for part in netcdf(lengths, about, stored):
        if not place:
            match = _CHECKSUM.search(part)
            assert match is not None
            place = match.start(1)
        checksum = zlib.crc32(part, checksum)
        file.write(part)
    file.seek(place)
    file.write(_hexadecimal(checksum))


def intact(data: bytes) -> bool:
    """Whether these are the bytes that were written."""
    match = _CHECKSUM.search(data)
    if match is None:
        return False
    found = zlib.crc32(_NO_CHECKSUM.encode(), zlib.crc32(data[:match.start(1)]))
    return _hexadecimal(zlib.crc32(memoryview(data)[match.end(1):], found)) == match[1]


def _hexadecimal(number: int) -> bytes:
    return f"{number:08x}".encode()


def decode(data: bytes, names: tuple[str, ...] | None = None) -> tuple[Piece, dict[str, str]]:
    """The piece in the bytes of an intact file, without attributes of variables; and the attributes of the file.

    Parameters
    ----------
    data : bytes
    names : tuple of str, optional
        These variables only.
    """
    from scipy.io import netcdf_file

    with netcdf_file(io.BytesIO(data), "r", mmap=False) as file:
        variables: dict[str, Variable] = {}
        for name, variable in file.variables.items():
            if names is None or name in names:
                values = np.asarray(variable.data)
                kind = np.bool_ if getattr(variable, "dtype", b"") == b"bool" else values.dtype.newbyteorder("=")
                variables[name] = (tuple(variable.dimensions), values.astype(kind), {})
        attributes = {name: text.decode() for name, text in file._attributes.items() if isinstance(text, bytes)}
        return Piece(variables, int(file.failed), tuple(json.loads(file.warnings))), attributes


def _stored(dtype: np.dtype) -> np.dtype:
    """netCDF-3 has bytes, 32-bit integers and floating point numbers."""
    if dtype.kind == "b":
        return np.dtype("i1")
    if dtype.kind in "iu" and dtype.itemsize > 1:
        return np.dtype("i4")
    return np.dtype("i1") if dtype.kind in "iu" else np.dtype("f8")
