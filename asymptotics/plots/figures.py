"""Which figure shows a dataset: the choice for those who do not choose, and its limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import xarray as xr
from matplotlib.axes import Axes

from ..datasets import labels_of
from ..errors import ParameterError
from .curves import error_decomposition, learning_curves
from .maps import map_of, maps

KINDS = ("curves", "heatmap", "maps", "decomposition")
COMPONENTS = ("spike_error", "orthogonal_error", "estimation_error")
_FEW_LINES = 8
_MOST_LINES = 60


def check_figure(
    lengths: Mapping[str, int],
    numeric: Iterable[str],
    kind: str | None = None,
    x: str | None = None,
    prefix: str = "",
) -> str:
    """The kind of figure for axes of these lengths, before anything is computed.

    Parameters
    ----------
    lengths : mapping
        Axes and their lengths.
    numeric : iterable of str
        Those that carry numbers.
    kind : str, optional
        "curves", "heatmap", "maps" (several heat maps side by side) or "decomposition"; chosen from the axes by
        default.
    x : str, optional
        The axis that is to be horizontal.
    prefix : str
        Before the names in error messages.

    Raises
    ------
    ParameterError
        If there is no such figure of these axes.
    """
    if kind is not None and kind not in KINDS:
        raise ParameterError(f"{prefix}plot_kind", f"must be one of {', '.join(KINDS)}, got {kind!r}")
    if x is not None and x not in lengths:
        raise ParameterError(f"{prefix}x", f"must be one of the axes {', '.join(lengths) or '(none)'}, got {x!r}")
    longer = [name for name, length in lengths.items() if length > 1]
    numeric = set(numeric)
    if not longer or (kind not in ("heatmap", "maps") and not numeric & set(longer)):
        raise ParameterError(f"{prefix}plot", "needs an axis of more than one number, there is none")
    if kind is None:
        square = len(longer) == 2 and set(longer) <= numeric and min(lengths[name] for name in longer) > _FEW_LINES
        kind = "heatmap" if square else "curves"
    if kind in ("heatmap", "maps") and len(longer) != 2:
        raise ParameterError(f"{prefix}plot", f"a heat map needs two axes longer than one, not {len(longer)}")
    if kind == "decomposition" and len(longer) != 1:
        raise ParameterError(f"{prefix}plot", f"a decomposition needs one axis longer than one, not {len(longer)}")
    if kind == "curves":
        horizontal = x if x is not None else next(name for name in longer if name in numeric)
        if horizontal not in numeric:
            raise ParameterError(f"{prefix}x", f"must be an axis of numbers, got {horizontal!r}")
        lines = math.prod(length for name, length in lengths.items() if name != horizontal)
        if lines > _MOST_LINES:
            raise ParameterError(f"{prefix}plot", f"would have {lines} lines, more than {_MOST_LINES}")
    return kind


def draw(
    dataset: xr.Dataset,
    kind: str | None = None,
    x: str | None = None,
    observables: Sequence[str] | None = None,
    simulation: xr.Dataset | None = None,
) -> Axes:
    """Draw the figure of a dataset that `check_figure` chose.

    Parameters
    ----------
    dataset : xarray.Dataset
    kind : str, optional
        "curves", "heatmap", "maps" or "decomposition".
    x : str, optional
        The horizontal axis.
    observables : sequence of str, optional
        What to draw: all of them as curves, or as maps without the boundaries of labels, the first as a heat map.  By
        default the test error, or else the first; on maps labels, if there are any.
    simulation : xarray.Dataset, optional
        Simulated networks; shown on curves.

    Returns
    -------
    matplotlib.axes.Axes
        Those of the first map, if there are several.
    """
    dims = dataset["converged"].dims
    scalar = [str(name) for name, array in dataset.data_vars.items()
              if set(array.dims) <= set(dims) and name not in ("converged", "residual")]
    lengths = {str(dim): dataset.sizes[dim] for dim in dims}
    numeric = [dim for dim in lengths if dim not in dataset.coords or dataset.coords[dim].dtype.kind in "iuf"]
    kind = check_figure(lengths, numeric, kind, x)
    if observables is None and kind != "decomposition":
        labelled = [name for name in scalar if labels_of(dataset[name].attrs)]
        observables = ["test_error"] if "test_error" in scalar else (
            labelled[:1] if labelled and kind == "heatmap" else labelled if labelled and kind == "maps" else scalar[:1])
    drawn = [name for name in observables or COMPONENTS if name in scalar]
    if kind == "curves":
        # an observable with an axis of its own has several lines, and is drawn if there is no other
        whole = drawn or [name for name in observables or () if name in dataset]
        return learning_curves(dataset, x=x, observables=whole, simulation=simulation)
    if kind == "heatmap":
        return map_of(dataset, drawn[0], x=x)
    if kind == "maps":
        # what draws the boundaries needs no map of its own
        lines = {line for name in drawn for line in dataset[name].attrs.get("boundaries", "").split()}
        return maps(dataset, [name for name in drawn if name not in lines], x=x)[0]
    complete = set(COMPONENTS) <= set(drawn)
    return error_decomposition(dataset, x=x, components=COMPONENTS if complete else drawn)
