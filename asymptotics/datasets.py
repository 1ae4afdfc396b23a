"""Predictions as labelled datasets, and parameters as plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ParameterError
from .parameters import Observable, in_words, is_labelled

if TYPE_CHECKING:
    import xarray as xr

    from .problem import Prediction, Problem


def plain(value: Any) -> Any:
    """A parameter value as JSON data: numbers, lists, strings; labelled arrays as {"dims", "values"[, "coords"]}.

    Fractions are strings, "1/2".
    """
    if is_labelled(value):
        data = {"dims": list(value.dims), "values": plain(value.values)}
        coords = {dim: value.coords[dim].values.tolist() for dim in value.dims if dim in value.coords}
        numbers = value.values.astype(np.float64) if value.dtype.hasobject else value.values
        if coords and (list(coords) != list(value.dims) or value.name not in coords
                       or not np.array_equal(coords[value.name], numbers)):
            data["coords"] = coords
        return data
    if isinstance(value, np.ndarray):
        return plain(value.tolist()) if value.dtype.hasobject else numbers_as_json(value.tolist())
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return numbers_as_json(value) if value is None or isinstance(value, bool | int | float | str) else str(value)


def plain_parameters(problem: Problem) -> dict[str, Any]:
    """All parameters of a problem, defaults included, as JSON data."""
    return {name: plain(getattr(problem, name)) for name in problem.parameters}


def observables_as_json(prediction: Prediction) -> dict[str, Any]:
    """Observables as nested lists of JSON numbers; labels are words, null where there is none."""
    return {name: numbers_as_json(np.asarray(getattr(prediction, name)).tolist()) for name in prediction.values}


def words(values: Any, attributes: Mapping[str, Any]) -> Any:
    """Labels spelled out, numbers as they are.

    Parameters
    ----------
    values : array_like
    attributes : mapping
        With `flag_meanings`, and codes 0, 1, ... for these, as `to_dataset` writes them (and the CF conventions have
        it), the values are labels.
    """
    return np.asarray(in_words(values, labels_of(attributes))) if labels_of(attributes) else values


def spell(array: xr.DataArray) -> xr.DataArray:
    """A labelled variable of a dataset in words; numbers as they are."""
    return array.copy(data=words(array.values, array.attrs))


def labels_of(attributes: Mapping[str, Any]) -> list[str]:
    """The words that a labelled variable can be; empty for numbers."""
    return str(attributes.get("flag_meanings", "")).split()


def numbers_as_json(value: Any) -> Any:
    """NaN as null, infinities as "inf" and "-inf": JSON has none of them.  No label is null too."""
    if isinstance(value, list):
        return [numbers_as_json(item) for item in value]
    if value == "":
        return None
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else ("inf" if value > 0 else "-inf")


def to_dataset(prediction: Prediction) -> xr.Dataset:
    """See `Prediction.to_dataset`."""
    import xarray as xr

    problem = prediction.problem
    arrays = variables(prediction)
    used = {dim for along, *_ in arrays.values() for dim in along}
    coords = {name: coord for name, coord in coordinates(problem).items() if used.issuperset(coord[0])}
    return xr.Dataset(arrays, coords=coords, attrs=attributes_of(problem))


def answer_dataset(
    problem: Problem, variables: Mapping[str, tuple[tuple[str, ...], Any, Mapping[str, Any]]],
    axes: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """What a method of a problem answers: variables over the cells and axes of their own.

    Parameters
    ----------
    problem : Problem
    variables : mapping
        (own axes, values, attributes) by name.
    axes : mapping, optional
        Labels of the own axes.

    Raises
    ------
    ParameterError
        If an axis of the problem has the name of an own one.
    """
    import xarray as xr

    for axis in axes or {}:
        if axis in problem.dims:
            raise ParameterError(axis, "is the name of an axis of the problem; rename it")
    arrays = {name: ((*problem.dims, *own), values, dict(attributes))
              for name, (own, values, attributes) in variables.items()}
    used = {*problem.dims, *(axis for own, *_ in variables.values() for axis in own)}
    coords = {name: coord for name, coord in coordinates(problem).items() if used.issuperset(coord[0])}
    coords |= {axis: ((axis,), np.asarray(labels)) for axis, labels in (axes or {}).items()}
    return xr.Dataset(arrays, coords=coords, attrs=attributes_of(problem))


def described(words: str, symbol: str) -> dict[str, str]:
    """Attributes of a pure number."""
    return {"long_name": words, "symbol": symbol, "units": "1"}


def attributes_of(problem: Problem) -> dict[str, str]:
    """What a dataset says about itself: theory, version and all parameters."""
    from . import __version__

    return {"theory": problem.slug, "version": __version__, "parameters": json.dumps(plain_parameters(problem))}


STATE = {
    "converged": {"long_name": "whether the cell converged", "units": "1"},
    "residual": {"long_name": "residual of the equations", "units": "1"},
}


def variables(prediction: Prediction) -> dict[str, tuple]:
    """Observables, `converged` and `residual` as (axes, values, attributes)."""
    dims = prediction.problem.dims
    arrays: dict[str, tuple] = {}
    for name, value in prediction.values.items():
        declared = prediction.problem.observables[name]
        arrays[name] = (dims + declared.dims, value, observable_attributes(declared))
    for name, attributes in STATE.items():
        arrays[name] = (dims, getattr(prediction, name), dict(attributes))
    return arrays


def observable_attributes(declared: Observable) -> dict[str, Any]:
    """What a dataset says about an observable; labels as the CF conventions have flags."""
    attributes: dict[str, Any] = {"long_name": declared.meaning, "symbol": declared.symbol, "units": declared.units}
    if declared.labels:
        attributes["flag_values"] = np.arange(len(declared.labels), dtype=np.int8)
        attributes["flag_meanings"] = " ".join(declared.labels)
        if declared.boundaries:
            attributes["boundaries"] = " ".join(declared.boundaries)
    return attributes


def coordinates(problem: Problem) -> dict[str, tuple]:
    """Labels of all axes and the parameters that vary, as (axes, values, attributes)."""
    cells = problem.cells
    arrays: dict[str, tuple] = {dim: ((dim,), label) for dim, label in {**cells.labels, **problem.axis_labels}.items()}
    for name, array in cells.arrays.items():
        along = cells.varying(name)
        if along and not (name in cells.dims and along != (name,)):
            values = array.reshape([cells.shape[cells.dims.index(dim)] for dim in along])
            if name not in arrays:
                arrays[name] = (along, values)
    for name, (along, values) in list(arrays.items()):
        if values.dtype.hasobject or (values.dtype.kind == "i" and np.any(np.abs(values) >= 2**31)):
            # netCDF-3 has no fractions and no larger integers; sizes up to 2^53 stay exact
            values = values.astype(np.float64)
        arrays[name] = (along, values, parameter_attributes(problem, name) if name in problem.parameters else {})
    return arrays


def parameter_attributes(problem: Problem, name: str) -> dict[str, str]:
    """What a dataset says about a parameter."""
    declared = problem.parameters[name]
    return described(declared.meaning, declared.symbol)
