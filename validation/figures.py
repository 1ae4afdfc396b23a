"""The figure of a report: deviations with error bars, and z against its normal quantiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from asymptotics.plots.style import COLOURS, REFERENCE, style

from .estimates import gaussian_z
from .judgement import Row
from .report import Report

_PREFERRED = ("test_error", "train_error")
_INCHES_A_ROW = 0.09
_LEAST_DEVIATION = 1e-17
_MARKERS = "ox^"


def draw(report: Report) -> Figure:
    """Relative deviations of up to two observables (bars: two standard errors), and the quantiles of all z.

    If what is judged are rows with bounds, their deviations against these.

    Parameters
    ----------
    report : Report

    Returns
    -------
    matplotlib.figure.Figure
        Save it with `asymptotics.plots.save`.
    """
    if report.judged and all(row.bounded for row in report.judged):
        with style():
            figure = Figure(figsize=(5.0, 4.0), layout="constrained")
            FigureCanvasAgg(figure)
            _bounds(figure.subplots(), report.judged)
        return figure
    names = _shown(report.rows)
    cells = {(row.observable, row.setting, *row.cell.items()) for row in report.rows}
    height = max(3.0, 1.0 + _INCHES_A_ROW * max(sum(cell[0] == name for cell in cells) for name in names))
    with style():
        figure = Figure(figsize=(3.0 * len(names) + 3.0, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, len(names) + 1)
        for ax, name in zip(axes, names, strict=False):
            _deviations(ax, [row for row in report.rows if row.observable == name], name, labelled=ax is axes[0])
        _quantiles(axes[-1], report)
    return figure


def _shown(rows: Sequence[Row]) -> list[str]:
    known = list(dict.fromkeys(row.observable for row in rows))
    return [name for name in _PREFERRED if name in known] or known[:2]


def _deviations(ax: Axes, rows: Sequence[Row], name: str, labelled: bool) -> None:
    positions, labels = _positions(rows)
    for (label, own), colour in zip(_by_model(rows).items(), COLOURS, strict=False):
        part = [i for i, row in enumerate(rows) if row in own and np.isfinite(row.relative(row.deviation))]
        if part:
            ax.errorbar(
                [100 * rows[i].relative(rows[i].deviation) for i in part], [positions[i] for i in part],
                xerr=[200 * rows[i].relative(rows[i].standard_error) for i in part], fmt="o",
                fillstyle="full" if rows[part[0]].judged else "none", markersize=3, linewidth=0.8, color=colour,
                label=label,
            )
    ax.axvline(0, color=REFERENCE, linewidth=0.8, zorder=0)
    ax.set_yticks(list(labels), list(labels.values()) if labelled else [""] * len(labels))
    ax.invert_yaxis()
    ax.set_xlabel(f"{name.replace('_', ' ')}: simulation against theory, %")
    if not all(row.judged for row in rows):
        ax.legend(loc="lower right")


def _by_model(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of every theory, the judged one first."""
    models: dict[str, list[Row]] = {"judged": [row for row in rows if row.judged]}
    for row in rows:
        if not row.judged:
            models.setdefault(row.model or "not judged", []).append(row)
    return {label: part for label, part in models.items() if part}


def _positions(rows: Sequence[Row]) -> tuple[list[float], dict[float, str]]:
    """A height for every setting and cell, with a gap between settings, and the setting in the middle of its rows."""
    heights: dict[tuple, float] = {}
    places: dict[str, list[float]] = {}
    for row in rows:
        key = (row.setting, *row.cell.items())
        if key not in heights:
            gap = 1.0 if row.setting in places else 2.0
            heights[key] = max(heights.values()) + gap if heights else 0.0
            places.setdefault(row.setting, []).append(heights[key])
    labels = {float(np.mean(part)): setting for setting, part in places.items()}
    return [heights[(row.setting, *row.cell.items())] for row in rows], labels


def _bounds(ax: Axes, rows: Sequence[Row]) -> None:
    names = list(dict.fromkeys(row.observable for row in rows))
    bounds = np.array([row.standard_error for row in rows])
    deviations = np.maximum([abs(row.deviation) for row in rows], _LEAST_DEVIATION)
    for i, name in enumerate(names):
        part = [k for k, row in enumerate(rows) if row.observable == name]
        ax.plot(bounds[part], deviations[part], _MARKERS[i // len(COLOURS) % len(_MARKERS)], markersize=3,
                color=COLOURS[i % len(COLOURS)], label=name)
    ends = np.array([np.min(bounds), np.max(bounds)])
    ax.plot(ends, ends, color=REFERENCE, linewidth=0.8, zorder=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("largest deviation of a correct theory")
    ax.set_ylabel("deviation of simulation from theory")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _quantiles(ax: Axes, report: Report) -> None:
    from scipy import special

    for (label, rows), colour in zip(_by_model(report.rows).items(), COLOURS, strict=False):
        known = [row for row in rows if np.isfinite(row.z) and not row.bounded]
        if known:
            z = np.sort(gaussian_z([row.z for row in known], [row.freedom for row in known]))
            expected = special.ndtri((np.arange(z.size) + 0.5) / z.size)
            ax.plot(expected, z, "o", fillstyle="full" if rows[0].judged else "none", markersize=3, color=colour,
                    label=f"{label}: {z.size} rows")
    low, high = ax.get_xlim()
    ax.plot([low, high], [low, high], color=REFERENCE, linewidth=0.8, zorder=0)
    random = [pair for pair in zip(report.judged, report.judgement.allowed_z, strict=True) if not pair[0].bounded]
    if random:
        limit = float(gaussian_z(random[0][1], random[0][0].freedom))
        for sign in (-1, 1):
            ax.axhline(sign * limit, color=REFERENCE, linewidth=0.8, linestyle=(0, (5, 1.5)), zorder=0)
    ax.set_xlabel("normal quantile")
    ax.set_ylabel("z")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper left")
