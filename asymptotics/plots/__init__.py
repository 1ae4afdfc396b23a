"""Figures from labelled datasets, fit for a paper."""

from .bars import component_bars
from .curves import error_decomposition, learning_curves
from .figures import check_figure, draw
from .maps import category_map, heat_map, maps
from .style import save

__all__ = ["category_map", "check_figure", "component_bars", "draw", "error_decomposition", "heat_map",
           "learning_curves", "maps", "save"]
