"""How every figure looks, and how it is saved."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ..files import replacing

# Okabe & Ito's colours, told apart by colour-blind readers; yellow is left out, too pale for lines on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
REFERENCE = "#555555"
NOT_FINITE = "#D9D9D9"
LINE_STYLES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
WIDTH, HEIGHT = 4.5, 3.2

_STYLE: Any = {
    "font.family": "STIXGeneral",
    "font.size": 10,
    "mathtext.fontset": "stix",
    "axes.labelsize": 10,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.5,
    "pdf.fonttype": 42,
    "path.simplify": True,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Everything drawn or saved inside looks alike; nothing outside changes."""
    with matplotlib.rc_context(_STYLE):
        yield


def new_axes() -> Axes:
    """Axes in a figure of their own, without any global state."""
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def new_row(count: int, width: float, height: float) -> list[Axes]:
    """Axes side by side in a figure of their own."""
    figure = Figure(figsize=(count * width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return [figure.add_subplot(1, count, position + 1) for position in range(count)]


def colours(count: int) -> list[Any]:
    """Distinct colours for a few lines, an ordered scale for many."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    return [matplotlib.colormaps["viridis"](position) for position in np.linspace(0.0, 0.92, count)]


def tint(colour: str) -> tuple[float, float, float]:
    """A lighter shade, for areas."""
    red, green, blue = (0.35 + 0.65 * channel for channel in to_rgb(colour))
    return red, green, blue


def save(figure: Any, path: str | Path) -> None:
    """Write a figure at 200 dpi, fonts embedded, the same bytes every time.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path-like
        Ends in `.png` or `.pdf`.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    metadata = {"CreationDate": None} if kind == "pdf" else {}
    with style(), replacing(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=200, metadata=metadata)
