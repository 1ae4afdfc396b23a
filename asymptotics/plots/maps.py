"""Observables as functions of two parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm, to_hex
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from ..datasets import labels_of
from ..errors import ParameterError
from .labels import has_components, is_log, numbers, pick, scale_axis, title
from .style import COLOURS, HEIGHT, NOT_FINITE, WIDTH, new_axes, new_row, style, tint

_THIN = 0.05  # a label on fewer cells lives on a line
_MOST_COLUMNS = 2


def map_of(
    dataset: xr.Dataset, observable: str, x: str | None = None, y: str | None = None, ax: Axes | None = None,
    lines: Iterable[str] | None = None,
) -> Axes:
    """Draw an observable over two axes: labels as a `category_map`, numbers as a `heat_map`."""
    (array,) = pick(dataset, observable)
    if labels_of(array.attrs):
        return category_map(dataset, observable, x, y, ax, lines)
    return heat_map(dataset, observable, x, y, ax, lines=lines or ())


def maps(
    dataset: xr.Dataset, observables: Sequence[str], x: str | None = None, y: str | None = None
) -> list[Axes]:
    """Draw several observables over the same two axes side by side, with the boundaries of all labels on each.

    Parameters
    ----------
    dataset : xarray.Dataset
    observables : sequence of str
        Of numbers or of labels, drawn from the left.
    x, y : str, optional
        The axes; by default the first is horizontal.

    Returns
    -------
    list of matplotlib.axes.Axes
    """
    arrays = pick(dataset, observables)
    lines = list(dict.fromkeys(line for array in arrays for line in array.attrs.get("boundaries", "").split()))
    with style():
        row = new_row(len(arrays), WIDTH, HEIGHT + 0.3)
        for array, ax in zip(arrays, row, strict=True):
            map_of(dataset, str(array.name), x, y, ax, lines)
        for ax in row[1:]:
            ax.set_ylabel("")
    return row


def category_map(
    dataset: xr.Dataset, observable: str, x: str | None = None, y: str | None = None, ax: Axes | None = None,
    lines: Iterable[str] | None = None,
) -> Axes:
    """Draw labels over two axes, a colour for each; cells without a label are grey.

    Parameters
    ----------
    dataset : xarray.Dataset
        With two axes longer than one.
    observable : str
        A variable with the attribute `flag_meanings`.
    x, y : str, optional
        The axes; by default the first is horizontal.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lines : iterable of str, optional
        Variables whose zeros are drawn as lines, if they are in the dataset; by default those declared as the
        boundaries of the labels.  A line takes the colour of the label that occurs on it only.

    Returns
    -------
    matplotlib.axes.Axes
    """
    (array,) = pick(dataset, observable)
    labels = labels_of(array.attrs)
    if not labels:
        raise ParameterError("observable", f"{observable} has numbers, not labels")
    if len(labels) > len(COLOURS):
        raise ParameterError("observable", f"{observable} has more than {len(COLOURS)} labels")
    lines = array.attrs.get("boundaries", "").split() if lines is None else lines
    horizontal, vertical = _plane(array, x, y)
    with style():
        ax = new_axes() if ax is None else ax
        codes, edges = _picture(ax, dataset, array, horizontal, vertical)
        palette = ListedColormap([tint(colour) for colour in COLOURS[:len(labels)]]).with_extremes(bad=NOT_FINITE)
        ax.pcolormesh(*edges, np.ma.masked_less(codes, 0), cmap=palette, rasterized=True,
                      norm=BoundaryNorm(np.arange(len(labels) + 1) - 0.5, len(labels)))
        _frame(ax)
        counts = {code: np.count_nonzero(codes == code) for code in range(len(labels))}
        handles = [Patch(color=COLOURS[code] if count < _THIN * codes.size else to_hex(tint(COLOURS[code])),
                         label=labels[code].replace("_", " ")) for code, count in counts.items() if count]
        for line in lines:
            if line in dataset:
                zeros = _aligned(dataset, dataset[line], horizontal, vertical)
                on_it = np.unique(codes[zeros == 0])
                alone = on_it.size == 1 and on_it[0] >= 0 and counts[int(on_it[0])] < _THIN * codes.size
                _zero_lines(ax, dataset, zeros, horizontal, vertical, COLOURS[int(on_it[0])] if alone else "black")
        # above the axes: inside, it would lie on the labels
        ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=_MOST_COLUMNS)
    return ax


def heat_map(
    dataset: xr.Dataset, observable: str = "test_error", x: str | None = None, y: str | None = None,
    ax: Axes | None = None, limits: tuple[float, float] | None = None, lines: Iterable[str] = (),
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
    lines : iterable of str
        Variables whose zeros are drawn as lines, if they are in the dataset.

    Returns
    -------
    matplotlib.axes.Axes
    """
    (array,) = pick(dataset, observable)
    horizontal, vertical = _plane(array, x, y)
    with style():
        ax = new_axes() if ax is None else ax
        picture, edges = _picture(ax, dataset, array, horizontal, vertical)
        values = np.ma.masked_invalid(picture)
        linear = limits is not None or has_components(dataset, [dataset[observable]])
        norm = LogNorm() if not linear and is_log(values.compressed()) else None
        low, high = limits or (None, None)
        palette = matplotlib.colormaps["cividis"].with_extremes(bad=NOT_FINITE)
        # thousands of small rectangles in a PDF are slow to show and have seams: draw them as a picture
        mesh = ax.pcolormesh(*edges, values, norm=norm, vmin=low, vmax=high, cmap=palette, rasterized=True)
        _frame(ax)
        for line in lines:
            if line in dataset:
                zeros = _aligned(dataset, dataset[line], horizontal, vertical)
                _zero_lines(ax, dataset, zeros, horizontal, vertical, "white", outlined=True)
        bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02)
        bar.outline.set_linewidth(0.6)
        bar.set_label(title(dataset[observable], "y"))
    return ax


def _picture(
    ax: Axes, dataset: xr.Dataset, array: xr.DataArray, horizontal: Any, vertical: Any
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Label both axes; return the cells in increasing order, rows vertical, and the edges between them."""
    edges = _axis(ax, "x", dataset, horizontal), _axis(ax, "y", dataset, vertical)
    return _aligned(dataset, array, horizontal, vertical), edges


def _aligned(dataset: xr.Dataset, array: xr.DataArray, horizontal: Any, vertical: Any) -> np.ndarray:
    """Values with rows vertical, both axes in increasing order."""
    array = array.squeeze([dim for dim in array.dims if dim not in (horizontal, vertical)])
    return array.transpose(vertical, horizontal).isel({dim: _order(dataset, dim) for dim in array.dims}).values


def _zero_lines(
    ax: Axes, dataset: xr.Dataset, values: np.ndarray, horizontal: Any, vertical: Any, colour: str,
    outlined: bool = False,
) -> None:
    """Lines where values change sign, or leave zero."""
    along = [numbers(dataset, dim) for dim in (horizontal, vertical)]
    if any(axis is None for axis in along) or min(values.shape) < 2:
        return
    places = [axis.values[_order(dataset, dim)] for axis, dim in zip(along, (horizontal, vertical), strict=True)
              if axis is not None]
    finite = values[np.isfinite(values)]
    nearly = 1e-9 * np.max(np.abs(finite), initial=0.0)
    for level in (-nearly, nearly):
        if np.min(finite, initial=np.inf) < level < np.max(finite, initial=-np.inf):
            lines = ax.contour(*places, np.ma.masked_invalid(values), levels=[level], colors=[colour],
                               linewidths=[1.2], linestyles=["solid"])
            if outlined:
                lines.set(path_effects=[Stroke(linewidth=2.4, foreground="black"), Normal()])


def _frame(ax: Axes) -> None:
    for spine in ax.spines.values():
        spine.set_visible(True)


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


def _axis(ax: Axes, which: str, dataset: xr.Dataset, dim: Any) -> np.ndarray:
    """Label an axis; return the edges between its cells."""
    array = numbers(dataset, dim)
    axis = ax.xaxis if which == "x" else ax.yaxis
    if array is None:
        names = dataset.coords[dim].values
        axis.set_ticks(np.arange(len(names)), [str(name) for name in names])
        axis.set_label_text(title(dataset.coords[dim], which))
        return np.arange(len(names) + 1) - 0.5
    scale_axis(ax, which, array)
    if array.dtype.kind in "iu" and not is_log(array):
        axis.set_major_locator(MaxNLocator(integer=True))
    axis.set_label_text(title(array, which))
    values = array.values[_order(dataset, dim)].astype(np.float64)
    return np.exp(_edges(np.log(values))) if is_log(values) else _edges(values)


def _order(dataset: xr.Dataset, dim: Any) -> np.ndarray:
    """The order in which the numbers along a dimension increase."""
    array = numbers(dataset, dim)
    return np.arange(dataset.sizes[dim]) if array is None else np.argsort(array.values, kind="stable")


def _edges(centres: np.ndarray) -> np.ndarray:
    """Midpoints between the centres, and one beyond each end."""
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
