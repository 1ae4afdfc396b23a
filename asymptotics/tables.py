"""Predictions and datasets as flat tables: one row per cell, for the terminal and for CSV files."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .datasets import coordinates, plain_parameters, variables, words
from .files import replacing
from .solvers.blocks import blocks

if TYPE_CHECKING:
    import xarray as xr

    from .problem import Prediction

Table = dict[str, list]

_LONGEST_LIST = 64


def from_prediction(prediction: Prediction) -> Table:
    """Columns: the parameters that vary, the observables, `converged`, `residual` (xarray is not needed for it)."""
    problem = prediction.problem
    coords = {name: declared[:2] for name, declared in coordinates(problem).items()}
    data = {name: (along, words(values, attributes))
            for name, (along, values, attributes) in variables(prediction).items()}
    return _flat(problem.dims, problem.shape, coords, data)


def from_dataset(dataset: xr.Dataset) -> Table:
    """The same table from a labelled dataset."""
    dims = tuple(str(dim) for dim in dataset["converged"].dims)
    coords = {str(name): (array.dims, array.values) for name, array in dataset.coords.items()}
    data = {str(name): (array.dims, words(array.values, array.attrs)) for name, array in dataset.data_vars.items()}
    return _flat(dims, dataset["converged"].shape, coords, data)


def header_of_prediction(prediction: Prediction, version: str) -> dict[str, str]:
    """What a table file says above its columns."""
    problem = prediction.problem
    return _header(problem.slug, version, plain_parameters(problem), coordinates(problem))


def header_of_dataset(dataset: xr.Dataset) -> dict[str, str]:
    """What a table file says above its columns."""
    attributes = dataset.attrs
    header = _header(attributes["theory"], attributes["version"], json.loads(attributes["parameters"]), dataset.coords)
    if "study" in attributes:
        header["study"] = attributes["study"]
    for name, array in dataset.variables.items():
        if "long_name" in array.attrs:
            symbol = f" ({array.attrs['symbol']})" if array.attrs.get("symbol") else ""
            units = f" [{array.attrs['units']}]" if array.attrs.get("units", "1") != "1" else ""
            header[f"column {name}"] = f"{array.attrs['long_name']}{symbol}{units}"
    return header


def pieces_of_dataset(dataset: xr.Dataset, rows: int = 2**16) -> Iterator[Table]:
    """The same table in pieces of so many rows, for datasets of millions of cells."""
    cells = dataset["converged"]
    if cells.size <= rows:
        yield from_dataset(dataset)
        return
    for block in blocks(cells.shape, rows):
        yield from_dataset(dataset.isel(dict(zip(cells.dims, block, strict=True))))


def write_csv(path: str | Path, table: Table | Iterable[Table], header: Mapping[str, str]) -> None:
    """Write a table with all digits; `header` becomes comment lines (`pandas.read_csv(..., comment="#")`)."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        file.writelines(f"# {key}: {value}\n" for key, value in header.items())
        writer = csv.writer(file, lineterminator="\n")
        for number, piece in enumerate([table] if isinstance(table, dict) else table):
            if not number:
                writer.writerow(piece)
            writer.writerows(zip(*piece.values(), strict=True))


def render(table: Table, width: int | None = None, rows: int | None = None) -> str:
    """The table as text; columns that do not fit into `width` go below, rows beyond `rows` are left out."""
    count = len(next(iter(table.values())))
    left_out = rows is not None and count > rows
    shown = [*range(rows // 2), *range(count - rows // 2, count)] if rows is not None and left_out else range(count)
    cells = {name: [name, *(_cell(values[row]) for row in shown)] for name, values in table.items()}
    widths = {name: max(map(len, texts)) for name, texts in cells.items()}
    blocks = []
    for names in _blocks(widths, width):
        lines = ["  ".join(text.rjust(widths[name]) for name, text in zip(names, line, strict=True))
                 for line in zip(*(cells[name] for name in names), strict=True)]
        if rows is not None and left_out:
            lines.insert(1 + rows // 2, f"... {count - 2 * (rows // 2)} more rows ...")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _header(theory: str, version: str, parameters: Mapping[str, Any], columns: Iterable[Any]) -> dict[str, str]:
    # what varies is in the columns, and a spectrum has no place in a comment
    fixed = {name: f"{_count(value)} numbers" if _count(value) > _LONGEST_LIST else value
             for name, value in parameters.items() if name not in set(columns)}
    return {"theory": theory, "version": version, "parameters": json.dumps(fixed)}


def _count(value: Any) -> int:
    """How many numbers a list, or a list of rows, has."""
    return sum(map(_count, value)) if isinstance(value, list) else 1


def _flat(dims: Sequence[str], shape: Sequence[int], coords: Mapping[str, Any], data: Mapping[str, Any]) -> Table:
    table: Table = {}
    own = [dim for dim in dims if dim in coords]
    for name in [*own, *(name for name in coords if name not in dims)]:
        along, values = coords[name]
        if set(along) <= set(dims):
            table[name] = column(dims, shape, along, values)
    for name, (along, values) in data.items():
        trailing = [dim for dim in along if dim not in dims]
        order = [along.index(dim) for dim in (*trailing, *(dim for dim in along if dim in dims))]
        values = np.transpose(values, order)
        labels = [_labels(coords.get(dim), length) for dim, length in zip(trailing, values.shape, strict=False)]
        for index in np.ndindex(values.shape[:len(trailing)]):
            chosen = [label[i] for label, i in zip(labels, index, strict=True)]
            heading = name + (f"[{','.join(chosen)}]" if chosen else "")
            table[heading] = column(dims, shape, [dim for dim in along if dim in dims], values[index])
    return table


def _labels(coordinate: Any, length: int) -> list[str]:
    """Names of the positions along a trailing axis: its coordinates, if they differ."""
    labels = [str(label) for label in coordinate[1]] if coordinate is not None else []
    return labels if len(set(labels)) == length else [str(i) for i in range(length)]


def column(dims: Sequence[Hashable], shape: Sequence[int], along: Sequence[Hashable], values: Any) -> list:
    """Values along some of the axes, in any order, repeated along the others."""
    array = np.transpose(values, [along.index(dim) for dim in dims if dim in along])
    aligned = np.reshape(array, [length if dim in along else 1 for dim, length in zip(dims, shape, strict=True)])
    return np.broadcast_to(aligned, shape).ravel().tolist()


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _blocks(widths: Mapping[str, int], limit: int | None) -> Iterable[list[str]]:
    """Names of columns that fit side by side."""
    names = list(widths)
    while names:
        ends = itertools.accumulate(widths[name] + 2 for name in names)
        fit = len(names) if limit is None else max(1, sum(end - 2 <= limit for end in ends))
        yield names[:fit]
        names = names[fit:]
