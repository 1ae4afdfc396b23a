"""Datasets of several problems as one, along axes over fixed parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..datasets import parameter_attributes
from ..errors import ParameterError
from ..problem import Problem
from .study import label

if TYPE_CHECKING:
    import xarray as xr


def joined(
    parts: Sequence[xr.Dataset], problem: Problem, name: str, values: Sequence[Any], chosen: Sequence[str]
) -> list[xr.Dataset]:
    """Runs of `len(values)` datasets joined along a new dimension; what stays in a store stays there.

    Parameters
    ----------
    parts : sequence of Dataset
        One for each problem.
    problem : Problem
        Any of them.
    name : str
        The fixed parameter that becomes a dimension.
    values : sequence
        Its values.
    chosen : sequence of str
        Parameters that are results, as observables are.

    Raises
    ------
    ParameterError
        If the datasets have different axes.
    """
    import xarray as xr

    labels = xr.DataArray([label(value) for value in values], dims=name, name=name,
                          attrs=parameter_attributes(problem, name))
    parts = _without_differing_labels(parts)
    runs = [parts[start:start + len(values)] for start in range(0, len(parts), len(values))]
    try:
        return [_concatenated(run, labels, chosen) for run in runs]
    except ValueError as error:
        raise ParameterError(f"axes.{name}", f"gives results that do not fit together ({error})") from None


def _concatenated(parts: Sequence[xr.Dataset], labels: xr.DataArray, chosen: Sequence[str]) -> xr.Dataset:
    import xarray as xr

    from .stored import stacked

    lazy = {name: stacked(str(labels.name), [part.variables[name] for part in parts])
            for name, variable in parts[0].variables.items() if not variable._in_memory}
    whole = xr.concat([part.drop_vars(lazy) for part in parts], labels, data_vars="all",
                      coords=[name for name in chosen if name not in lazy], compat="equals", join="exact",
                      combine_attrs="override")
    return whole.assign(lazy).set_coords(chosen)[list(parts[0].variables)]


def _without_differing_labels(parts: Sequence[xr.Dataset]) -> Sequence[xr.Dataset]:
    """Datasets without the coordinates of trailing axes that not all of them share."""
    own = [name for name in parts[0].dims if name in parts[0].coords and name not in parts[0]["converged"].dims]
    differ = [name for name in own if not all(parts[0][name].equals(part[name]) for part in parts)]
    return [part.drop_vars(differ) for part in parts]
