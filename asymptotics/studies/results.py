"""From results back to the question: datasets, tables and stores say which study made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ParameterError
from ..files import reason
from ..problem import Problem
from ..theories import THEORIES
from .store import read_manifest


def left_behind(path: str | Path) -> tuple[dict[str, Any], str] | None:
    """What a dataset (.nc), a table (.csv) or a store says about itself, and its name; None for other files."""
    place = Path(path)
    try:
        if place.is_dir():
            found = read_manifest(place)
            if found is None:
                raise ParameterError(str(path), "cannot be read (Is a directory)")
        elif place.suffix.lower() == ".nc":
            found = _attributes(place)
        elif place.suffix.lower() == ".csv":
            found = _header(place)
        else:
            return None
        known = {name: json.loads(text) if isinstance(text, str) and name in ("study", "parameters") else text
                 for name, text in found.items()}
    except (OSError, TypeError, ValueError) as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(str(path), f"cannot be read ({reason(error)})") from None
    if not isinstance(known.get("study"), dict):
        # a table says less: it has no axes
        if place.suffix.lower() == ".csv" or not {"theory", "parameters"} <= set(known):
            raise ParameterError(str(path), "does not say which study made it")
        known.pop("study", None)
    return known, place.stem


def stated_problem(path: str, attributes: Mapping[str, Any]) -> Problem:
    """The problem of a dataset, from its attributes `theory` and `parameters`."""
    theory = THEORIES.get(attributes["theory"])
    if theory is None or not isinstance(attributes["parameters"], dict):
        raise ParameterError(path, f"is of a theory that is not known ({attributes['theory']})")
    given = {name: _value(value) for name, value in attributes["parameters"].items()}
    return theory(**given)


def _value(value: Any) -> Any:
    """The inverse of `asymptotics.datasets.plain`."""
    if isinstance(value, dict) and "values" in value:
        import xarray as xr

        values, dims = np.asarray(_numbers(value["values"])), value["dims"]
        if values.dtype.kind in "OU":
            values = np.array(value["values"], dtype=object)
        coords = value.get("coords", {dims[0]: values} if len(dims) == 1 else {})
        return xr.DataArray(values, dims=dims, coords=coords)
    return _numbers(value)


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return {"inf": np.inf, "-inf": -np.inf}.get(value, value) if isinstance(value, str) else value


def _attributes(path: Path) -> dict[str, Any]:
    from scipy.io import netcdf_file

    with netcdf_file(path, "r", mmap=False) as file:
        return {name: value.decode() if isinstance(value, bytes) else value for name, value in file._attributes.items()}


def _header(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("# "):
                break
            name, _, text = line.removeprefix("# ").rstrip("\n").partition(": ")
            found[name] = text
    return found
