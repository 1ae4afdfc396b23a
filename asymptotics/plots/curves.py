"""Observables as functions of one parameter."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..datasets import labels_of
from ..errors import ParameterError
from .labels import along, equation, has_components, name_of, pick, scale_axis, symbol, title
from .style import COLOURS, LINE_STYLES, REFERENCE, colours, new_axes, style, tint

_LONGEST_LEGEND = 8

Group = tuple[tuple[Any, Any], ...]
Positions = Mapping[Any, int]


def learning_curves(
    dataset: xr.Dataset,
    x: str | None = None,
    observables: str | Iterable[str] = ("test_error",),
    simulation: xr.Dataset | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw observables as lines, one for every value of the other axes, and simulated networks as points on them.

    Axes of the observables, such as degree, count as axes; lines without a finite value are left out.  An observable
    that is the same in all cells becomes a dashed reference line.  Lines are broken where a value is not finite.

    Parameters
    ----------
    dataset : xarray.Dataset
        From `Prediction.to_dataset()` or a study.
    x : str, optional
        The parameter on the horizontal axis; by default the first axis.
    observables : str or iterable of str
    simulation : xarray.Dataset, optional
        Means by the names of the observables, with `<name>_standard_error`; from a study.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    arrays = pick(dataset, observables)
    dims = list(dict.fromkeys(dim for array in arrays for dim in array.dims))
    dim, values = along(dataset, dims, x)
    others = [other for other in dims if other != dim]
    constant = {array.name for array in arrays if _is_constant(array)}
    if len(constant) == len(arrays):
        constant = set()
    references = [array for array in arrays if array.name in constant]
    curves = [array for array in arrays if array.name not in constant]
    groups = {group: place for group, place in _groups(dataset, others).items()
              if any(np.any(np.isfinite(_line(curve, dim, values, place)[1])) for curve in curves)}
    simulated = {} if simulation is None else _groups(simulation, others, like=dataset)
    points = [] if simulation is None else [curve.name for curve in curves if curve.name in simulation]
    colour = _Colours([*groups, *(group for group in simulated if points and group not in groups)], curves)
    with style():
        ax = new_axes() if ax is None else ax
        for curve, (group, place) in itertools.product(curves, groups.items()):
            numbers, heights = _line(curve, dim, values, place)
            ax.plot(numbers, heights, color=colour(group, curve.name), linestyle=colour.line(curve.name),
                    linewidth=1.5 if len(groups) <= _LONGEST_LEGEND else 0.9, marker="o" if numbers.size == 1 else None)
        for reference, line in _reference_lines(references):
            ax.axhline(float(reference.values.flat[0]), color=REFERENCE, linestyle=line, linewidth=1.2, zorder=1)
        for name, (group, place) in itertools.product(points, simulated.items()):
            assert simulation is not None
            if group not in colour.groups:
                continue
            _draw_points(ax, simulation, name, dim, simulation.coords[values.name], place, colour(group, name))
        scale_axis(ax, "x", values)
        labels = labels_of(curves[0].attrs)
        if labels:
            ax.set_yticks(range(len(labels)), [label.replace("_", " ") for label in labels])
        elif not has_components(dataset, arrays):  # which may vanish or change sign
            scale_axis(ax, "y", np.concatenate([np.ravel(array.values) for array in arrays]))
        ax.margins(x=0.02)
        ax.set_xlabel(title(values, "x"))
        ax.set_ylabel(title(curves[0], "y") if len(curves) == 1 else ", ".join(symbol(curve) for curve in curves))
        handles = [*colour.handles(dataset), *_reference_handles(references)]
        if points:
            handles.append(_simulation_handle(simulation))
        if handles:
            ax.legend(handles=handles)
    return ax


def error_decomposition(
    dataset: xr.Dataset,
    x: str | None = None,
    components: Sequence[str] = ("spike_error", "orthogonal_error", "estimation_error"),
    ax: Axes | None = None,
) -> Axes:
    """Draw contributions to an error as areas on top of each other, and their sum as a line.

    Parameters
    ----------
    dataset : xarray.Dataset
    x : str, optional
        The parameter on the horizontal axis; by default the only axis.
    components : sequence of str
        Observables that add up, the lowest first.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    arrays = pick(dataset, components)
    dims = list(dict.fromkeys(dim for array in arrays for dim in array.dims))
    dim, values = along(dataset, dims, x)
    for other in dims:
        if other != dim and dataset.sizes[other] > 1:
            raise ParameterError(str(other), "is a second axis; choose one value of it with dataset.isel(...)")
    lines = [_line(array, dim, values, dict.fromkeys(dims, 0)) for array in arrays]
    numbers = lines[0][0]
    stacked = np.cumsum([heights for _, heights in lines], axis=0)
    with style():
        ax = new_axes() if ax is None else ax
        lower = np.zeros_like(stacked[0])
        for array, upper, shade in zip(arrays, stacked, itertools.cycle(COLOURS)):
            ax.fill_between(numbers, lower, upper, where=np.isfinite(upper).tolist(), color=tint(shade), linewidth=0,
                            label=name_of(array))
            lower = upper
        ax.plot(numbers, stacked[-1], color="black", linewidth=1.2, label="sum")
        scale_axis(ax, "x", values)
        ax.set_xlim(numbers.min(), numbers.max())
        ax.set_ylim(bottom=np.min(stacked, initial=0.0, where=np.isfinite(stacked)))
        ax.set_xlabel(title(values, "x"))
        ax.set_ylabel("error")
        handles, names = ax.get_legend_handles_labels()
        # above the axes: inside, it would lie on the areas
        ax.legend(handles, names, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax


class _Colours:
    """Colours tell the groups apart and line styles the observables; with one group colours tell the observables."""

    def __init__(self, groups: Sequence[Group], curves: Sequence[xr.DataArray]) -> None:
        self.groups = list(groups)
        self.curves = list(curves)
        self.names = [curve.name for curve in curves]
        self.one_group = len(self.groups) == 1
        self.palette = colours(len(self.names) if self.one_group else len(self.groups))

    def __call__(self, group: Group, name: Any) -> Any:
        return self.palette[self.names.index(name) if self.one_group else self.groups.index(group)]

    def line(self, name: Any) -> Any:
        return "-" if self.one_group else LINE_STYLES[self.names.index(name) % len(LINE_STYLES)]

    def handles(self, dataset: xr.Dataset) -> list[Line2D]:
        entries = []
        if not self.one_group:
            count = len(self.groups)
            shown = range(count) if count <= _LONGEST_LEGEND else np.linspace(0, count - 1, 6).round().astype(int)
            entries += [Line2D([], [], color=self.palette[i], label=_label(dataset, self.groups[i])) for i in shown]
        if len(self.curves) > 1:
            entries += [Line2D([], [], color=self.palette[i] if self.one_group else "black",
                               linestyle=self.line(curve.name), label=name_of(curve))
                        for i, curve in enumerate(self.curves)]
        return entries


def _groups(dataset: xr.Dataset, others: Sequence[Any], like: xr.Dataset | None = None) -> dict[Group, Positions]:
    """Every combination of values of the other axes, and where it is; values equal up to rounding as in `like`."""
    axes = []
    for other in others:
        values = _values(dataset, other)
        if like is not None:
            values = [next((known for known in _values(like, other) if _same(known, value)), value) for value in values]
        axes.append([((other, value), position) for position, value in enumerate(values)])
    return {tuple(pair for pair, _ in combination): {pair[0]: position for pair, position in combination}
            for combination in itertools.product(*axes)}


def _values(dataset: xr.Dataset, dim: Any) -> list:
    return dataset.coords[dim].values.tolist() if dim in dataset.coords else list(range(dataset.sizes[dim]))


def _same(a: Any, b: Any) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and bool(np.isclose(a, b, rtol=1e-9, atol=0.0)))


def _label(dataset: xr.Dataset, group: Group) -> str:
    axes = {dim: dataset.coords[dim] if dim in dataset.coords else xr.DataArray(0, name=dim) for dim, _ in group}
    varying = [(dim, value) for dim, value in group if dataset.sizes[dim] > 1] or group
    return ", ".join(equation(axes[dim], value) for dim, value in varying)


def _line(array: xr.DataArray, dim: Any, values: xr.DataArray, place: Positions) -> tuple[np.ndarray, np.ndarray]:
    """Numbers in increasing order and heights, NaN where not finite, at these positions along the other axes."""
    selected = array.isel({other: position for other, position in place.items() if other != dim}, missing_dims="ignore")
    heights = np.broadcast_to(selected.values, values.shape).astype(np.float64)
    if labels_of(array.attrs):
        heights[heights < 0] = np.nan
    order = np.argsort(values.values, kind="stable")
    return values.values[order], np.where(np.isfinite(heights), heights, np.nan)[order]


def _draw_points(ax: Axes, simulation: xr.Dataset, name: Any, dim: Any, values: xr.DataArray, place: Positions,
                 colour: Any) -> None:
    numbers, means = _line(simulation[name], dim, values, place)
    _, errors = _line(simulation[f"{name}_standard_error"], dim, values, place)
    kept = np.isfinite(means)
    if np.any(kept):
        ax.errorbar(numbers[kept], means[kept], yerr=np.nan_to_num(errors[kept]), color=colour, linestyle="none",
                    marker="o", markersize=3.5, elinewidth=1, capsize=2, zorder=3)


def _is_constant(array: xr.DataArray) -> bool:
    values = array.values
    if array.size < 2 or not np.all(np.isfinite(values)):
        return False
    return bool(np.ptp(values) <= 1e-12 * np.max(np.abs(values)))


def _reference_lines(references: Sequence[xr.DataArray]) -> list[tuple[xr.DataArray, Any]]:
    return list(zip(references, itertools.cycle(LINE_STYLES[1:])))


def _reference_handles(references: Sequence[xr.DataArray]) -> list[Line2D]:
    return [Line2D([], [], color=REFERENCE, linestyle=line, linewidth=1.2, label=name_of(reference))
            for reference, line in _reference_lines(references)]


def _simulation_handle(simulation: xr.Dataset | None) -> Any:
    size = None if simulation is None else simulation.attrs.get("size_d")
    label = "simulation" + (f", $d = {size}$" if size is not None else "")
    return Line2D([], [], color=REFERENCE, linestyle="none", marker="o", markersize=3.5, label=label)
