"""Observables as functions of two parameters."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from ..errors import ParameterError
from .labels import has_components, is_log, numbers, pick, scale_axis, title
from .style import NOT_FINITE, new_axes, style


def heat_map(
    dataset: xr.Dataset, observable: str = "test_error", x: str | None = None, y: str | None = None,
    ax: Axes | None = None, limits: tuple[float, float] | None = None,
) -> Axes:
    """Draw an observable over two axes as colours; cells that are not finite are grey.

    Parameters
    ----------
    dataset : xarray.Dataset
        With two axes longer than one.
    observable : str
    x, y : str, optional
        The axes; by default the first is horizontal.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    limits : tuple of float, optional
        The ends of the colour scale, which is then linear; by default those of the values.

    Returns
    -------
    matplotlib.axes.Axes
    """
    (array,) = pick(dataset, observable)
    horizontal, vertical = _plane(array, x, y)
    array = array.squeeze([dim for dim in array.dims if dim not in (horizontal, vertical)])
    array = array.transpose(vertical, horizontal)
    with style():
        ax = new_axes() if ax is None else ax
        order = {}
        edges = {}
        for which, dim in (("x", horizontal), ("y", vertical)):
            order[dim], edges[which] = _axis(ax, which, dataset, dim)
        values = np.ma.masked_invalid(array.isel(order).values)
        linear = limits is not None or has_components(dataset, [dataset[observable]])
        norm = LogNorm() if not linear and is_log(values.compressed()) else None
        low, high = limits or (None, None)
        palette = matplotlib.colormaps["cividis"].with_extremes(bad=NOT_FINITE)
        # thousands of small rectangles in a PDF are slow to show and have seams: draw them as a picture
        mesh = ax.pcolormesh(edges["x"], edges["y"], values, norm=norm, vmin=low, vmax=high, cmap=palette,
                             rasterized=True)
        for spine in ax.spines.values():
            spine.set_visible(True)
        bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02)
        bar.outline.set_linewidth(0.6)
        bar.set_label(title(dataset[observable], "y"))
    return ax


def _plane(array: xr.DataArray, x: str | None, y: str | None) -> tuple[Any, Any]:
    """The two dimensions of the picture."""
    longer = [dim for dim in array.dims if array.sizes[dim] > 1]
    for name, asked in (("x", x), ("y", y)):
        if asked is not None and asked not in array.dims:
            raise ParameterError(name, f"must be one of the axes {', '.join(map(str, array.dims))}, got {asked!r}")
    rest = [dim for dim in (*longer, *array.dims) if dim not in (x, y)]
    horizontal = x if x is not None else rest.pop(0) if rest else None
    rest = [dim for dim in rest if dim != horizontal]
    vertical = y if y is not None else rest.pop(0) if rest else None
    if horizontal is None or vertical is None or horizontal == vertical:
        raise ParameterError("observable", f"{array.name} has no two axes to draw over")
    for dim in longer:
        if dim not in (horizontal, vertical):
            raise ParameterError(str(dim), "is a third axis; choose one value of it with dataset.isel(...)")
    return horizontal, vertical


def _axis(ax: Axes, which: str, dataset: xr.Dataset, dim: Any) -> tuple[np.ndarray, np.ndarray]:
    """Label an axis; return the order of the cells along it and the edges between them."""
    array = numbers(dataset, dim)
    axis = ax.xaxis if which == "x" else ax.yaxis
    if array is None:
        names = dataset.coords[dim].values
        axis.set_ticks(np.arange(len(names)), [str(name) for name in names])
        axis.set_label_text(title(dataset.coords[dim], which))
        return np.arange(len(names)), np.arange(len(names) + 1) - 0.5
    scale_axis(ax, which, array)
    if array.dtype.kind in "iu" and not is_log(array):
        axis.set_major_locator(MaxNLocator(integer=True))
    axis.set_label_text(title(array, which))
    order = np.argsort(array.values, kind="stable")
    values = array.values[order].astype(np.float64)
    return order, np.exp(_edges(np.log(values))) if is_log(values) else _edges(values)


def _edges(centres: np.ndarray) -> np.ndarray:
    """Midpoints between the centres, and one beyond each end."""
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
