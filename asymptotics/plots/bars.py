"""Components side by side: what the target has, and what the network has learned of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..errors import ParameterError
from .labels import pick, title
from .style import COLOURS, REFERENCE, new_axes, style, tint


def component_bars(
    dataset: xr.Dataset,
    observables: str | Iterable[str] = ("target_spike", "network_spike"),
    axis: str = "degree",
    ax: Axes | None = None,
) -> Axes:
    """Draw components along an axis as groups of bars, one colour for every observable.

    Parameters
    ----------
    dataset : xarray.Dataset
        Of one cell, such as that of `learned_components()`.
    observables : str or iterable of str
        Variables along the axis, the first in a lighter shade, as what the others are to reach.
    axis : str
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ParameterError
        If an observable is not in the dataset or not along the axis, or there is more than one cell.
    """
    arrays = pick(dataset, observables)
    for array in arrays:
        if axis not in array.dims:
            raise ParameterError("observables", f"{str(array.name)!r} has no axis {axis!r}")
        for other in array.dims:
            if other != axis and array.sizes[other] > 1:
                raise ParameterError(str(other), "is a second axis; choose one value of it with dataset.isel(...)")
    places = dataset.coords[axis] if axis in dataset.coords else xr.DataArray(
        np.arange(dataset.sizes[axis]), dims=(axis,), name=axis)
    width = 0.8 / len(arrays)
    with style():
        ax = new_axes() if ax is None else ax
        for number, array in enumerate(arrays):
            shade = COLOURS[number % len(COLOURS)]
            ax.bar(places.values + (number - 0.5 * (len(arrays) - 1)) * width, np.ravel(array.values), width,
                   color=shade if number else tint(shade), label=array.attrs.get("long_name", str(array.name)))
        ax.axhline(0.0, color=REFERENCE, linewidth=0.6)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel(title(places, "x"))
        ax.set_ylabel("component")
        # above the axes: inside, it would lie on the bars
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax
