"""Boundary lines of the phase diagram: where x_chi or x_inf vanishes in a plane of two exponents.

-x_chi and x_inf are the largest of two and of three linear forms (section 7 of docs/theories/linear_network.md): the
sets where they are <= 0 are convex polygons, and the lines are their edges.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .exponents import GIVEN

Array = NDArray[np.float64]
Form = tuple[float, ...]

# coefficients of c_p, c_gamma, c_u, c_w, e_u, e_w
STRENGTH: tuple[Form, ...] = ((1, -1, 0, -1, -0.5, 0.5), (1, -1, -1, 0, 0.5, -0.5))  # -x_chi is the larger
RATE: tuple[Form, ...] = ((0, -1, 0, 0, -0.5, -0.5), (1, -2, -1, 0, 0, -1), (1, -2, 0, -1, -1, 0))  # x_inf: the largest
BALANCED: Form = (0, 0, 1, -1, -1, 1)  # Delta

_ROUNDING = 1e-12


def in_plane(form: Form, x: str, y: str, others: Mapping[str, float]) -> Array:
    """(a, b, c) of the form a x + b y + c in the plane of two exponents."""
    weight = dict(zip(GIVEN, form, strict=True))
    return np.array([weight[x], weight[y], sum(weight[name] * value for name, value in others.items())])


def polygon_edges(forms: Array, window: Array) -> Array:
    """Edges, inside a window, of the polygon where all forms are <= 0.

    Parameters
    ----------
    forms : ndarray (K, 3)
        Rows (a, b, c) of a x + b y + c.
    window : ndarray (2, 2)
        Rows (low, high) of x and of y.

    Returns
    -------
    ndarray (S, 2, 2)
        End points (x, y) of the edges.
    """
    edges: list[Array] = []
    for index, form in enumerate(forms):
        same = [other for other in forms[:index] if _parallel(other, form)]
        edge = None if same else clipped_line(form, np.delete(forms, index, axis=0), window)
        if edge is not None:
            edges.append(edge)
    return np.array(edges).reshape(-1, 2, 2)


def clipped_line(form: Array, conditions: Array, window: Array) -> Array | None:
    """The part of the line a x + b y + c = 0 in the window where all conditions are <= 0; None if there is none."""
    a, b, c = form
    square = a * a + b * b
    if square == 0:
        return None
    foot, direction = np.array([a, b]) * (-c / square), np.array([-b, a])
    walls = np.array([[-1, 0, window[0, 0]], [1, 0, -window[0, 1]], [0, -1, window[1, 0]], [0, 1, -window[1, 1]]])
    low, high = -np.inf, np.inf
    for condition in np.concatenate([walls, conditions.reshape(-1, 3)]):
        value, slope = condition[:2] @ foot + condition[2], condition[:2] @ direction
        if abs(slope) <= _ROUNDING:
            if value > _ROUNDING * (1 + abs(condition[2])):
                return None
        elif slope > 0:
            high = min(high, -value / slope)
        else:
            low = max(low, -value / slope)
    return np.array([foot + low * direction, foot + high * direction]) if low < high else None


def _parallel(one: Array, other: Array) -> bool:
    """Whether two forms vanish on the same line."""
    return bool(np.linalg.matrix_rank(np.array([one, other]), tol=_ROUNDING) < 2)
