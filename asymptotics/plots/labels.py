"""What a labelled dataset says about its axes: which to draw along, in which words, on which scale."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..errors import ParameterError
from ..problem import nearest

_DECADES = 1.5
_FEW_DECADES = 2.7
_WIDTHS = {"x": 62, "y": 42}


def pick(dataset: xr.Dataset, names: str | Iterable[str]) -> list[xr.DataArray]:
    """The named variables of a dataset."""
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in dataset.data_vars:
            known = [str(known) for known in dataset.data_vars]
            raise ParameterError("observables", f"{name!r} is not in the dataset{nearest(str(name), known)}")
    if not names:
        raise ParameterError("observables", "must name at least one observable")
    return [dataset[name] for name in names]


def along(dataset: xr.Dataset, dims: Iterable[Any], x: str | None) -> tuple[Any, xr.DataArray]:
    """The dimension to draw along and the numbers on it; by default the first longer than one that has numbers."""
    dims = list(dims)
    if x is None:
        candidates = [(dim, numbers(dataset, dim)) for dim in sorted(dims, key=lambda dim: dataset.sizes[dim] == 1)]
        for dim, values in candidates:
            if values is not None:
                return dim, values
        raise ParameterError("x", "needs an axis with numbers on it")
    values = dataset.coords[x] if x in dataset.coords else numbers(dataset, x) if x in dims else None
    if values is None or values.ndim != 1 or values.dims[0] not in dims or values.dtype.kind not in "iuf":
        raise ParameterError("x", f"must be a parameter that varies along one axis, got {x!r}")
    return values.dims[0], values


def numbers(dataset: xr.Dataset, dim: Any) -> xr.DataArray | None:
    """The numbers along a dimension: its own coordinate, else a parameter that varies along it, else 0, 1, 2, ..."""
    if dim in dataset.coords:
        return dataset.coords[dim] if dataset.coords[dim].dtype.kind in "iuf" else None
    for values in dataset.coords.values():
        if values.dims == (dim,) and values.dtype.kind in "iuf":
            return values
    return xr.DataArray(np.arange(dataset.sizes[dim]), dims=(dim,), name=dim)


def title(array: xr.DataArray, which: str) -> str:
    """What to call it and its symbol, in lines that fit beside the axis."""
    symbol = array.attrs.get("symbol")
    # on the page a symbol is far shorter than its LaTeX
    text = name_of(array) + (" (SS)" if symbol else "")
    lines = textwrap.fill(text, _WIDTHS[which], break_long_words=False)
    return lines.replace("(SS)", f"(${symbol}$)")


def name_of(array: xr.DataArray) -> str:
    """What to call it: a parameter by its meaning, an observable by its name if that is words (`test_error`)."""
    name = str(array.name)
    if name not in array.coords and "_" in name:
        return name.replace("_", " ")
    return str(array.attrs.get("long_name") or name).partition(":")[0]  # what follows a colon is for `describe`


def symbol(array: xr.DataArray) -> str:
    """The symbol, or failing that the name."""
    return f"${array.attrs['symbol']}$" if array.attrs.get("symbol") else str(array.name)


def equation(array: xr.DataArray, value: Any) -> str:
    """Such as `$\\eta = 3$`, for a legend."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return f"{symbol(array)} = {value}"
    text = f"{value:.3g}"
    mantissa, e, exponent = text.partition("e")
    if e:
        factor = "" if mantissa == "1" else rf"{mantissa}\times "
        text = f"{factor}10^{{{int(exponent)}}}"
    return f"${array.attrs['symbol']} = {text}$" if array.attrs.get("symbol") else f"{array.name} = ${text}$"


def is_log(values: Any) -> bool:
    """Whether positive numbers are spaced geometrically or span more than 1.5 decades."""
    finite = np.unique(np.asarray(values, dtype=np.float64))
    finite = finite[np.isfinite(finite)]
    if finite.size < 2 or finite[0] <= 0:
        return False
    logs = np.log10(finite)
    return bool(logs[-1] - logs[0] > _DECADES or (finite.size > 2 and _is_even(logs) and not _is_even(finite)))


def has_components(dataset: xr.Dataset, arrays: Iterable[xr.DataArray]) -> bool:
    """Whether one of them has an axis beyond the cells: components, which may vanish or change sign."""
    return "converged" in dataset and any(set(array.dims) - set(dataset["converged"].dims) for array in arrays)


def scale_axis(ax: Axes, which: str, values: Any) -> None:
    """Set the scale of an axis from the numbers on it."""
    set_scale, axis = (ax.set_xscale, ax.xaxis) if which == "x" else (ax.set_yscale, ax.yaxis)
    if not is_log(values):
        set_scale("linear")
        return
    set_scale("log")
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if np.log10(finite.max() / finite.min()) < _FEW_DECADES:
        # powers of ten alone would leave such an axis with one or two labels
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _is_even(values: np.ndarray) -> bool:
    steps = np.diff(values)
    return bool(np.ptp(steps) <= 1e-6 * np.max(np.abs(steps)))
