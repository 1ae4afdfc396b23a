"""Batched minimisation of smooth functions of one variable."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Minima(NamedTuple):
    """Where every cell is smallest, how small, and whether that is at an end of the interval."""

    location: Array
    value: Array
    at_low: NDArray[np.bool_]
    at_high: NDArray[np.bool_]


def minimise_scalar(
    function: Callable[[Array], Array],
    low: float,
    high: float,
    shape: tuple[int, ...],
    *,
    scan: int = 49,
    degree: int = 8,
    rounds: int = 4,
) -> Minima:
    """Global minimum over [low, high] of a smooth function, for every cell at once.

    A uniform scan finds the bracket; then, `rounds` times, the function is interpolated at Chebyshev points of the
    bracket and the bracket shrinks around the minimum of the interpolant.

    Parameters
    ----------
    function : callable
        Takes trial points (M, *shape), returns values of the same shape.
    low, high : float
    shape : tuple of int
        Shape of the cells.
    scan : int
        Points of the first scan.
    degree : int
        Degree of the interpolant.
    rounds : int
        Each round narrows the bracket sixfold, until values no longer tell points apart.

    Returns
    -------
    Minima
        The location has the accuracy that values in double precision allow (about 1e-8 relative to the width of the
        minimum); the value there is exact.
    """
    grid = np.linspace(low, high, scan)
    values = function(np.broadcast_to(grid.reshape(-1, *(1,) * len(shape)), (scan, *shape)))
    values = np.where(np.isnan(values), np.inf, values)
    best = np.argmin(values, axis=0)
    spacing = grid[1] - grid[0]
    centre, half = grid[best], np.full(shape, spacing)
    location, value = grid[best], np.min(values, axis=0)

    angles = np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)
    nodes = np.cos(angles)
    fine = np.linspace(-1, 1, 193)
    # values at Chebyshev points -> values of the interpolant on the fine grid
    vandermonde = np.polynomial.chebyshev.chebvander
    interpolate = vandermonde(fine, degree) @ np.linalg.inv(vandermonde(nodes, degree))
    for _ in range(rounds):
        left, right = np.maximum(centre - half, low), np.minimum(centre + half, high)
        middle, reach = 0.5 * (left + right), 0.5 * (right - left)
        trials = middle + reach * nodes.reshape(-1, *(1,) * len(shape))
        sampled = function(trials)
        sampled = np.where(np.isfinite(sampled), sampled, np.max(sampled, initial=0.0, where=np.isfinite(sampled)))
        profile = np.tensordot(interpolate, sampled, axes=1)
        at = np.argmin(profile, axis=0)
        offset = _parabola_vertex(profile, at, fine)
        fresh = middle + reach * offset
        own = np.argmin(sampled, axis=0)
        sampled_best = np.take_along_axis(sampled, own[None], axis=0)[0]
        value = np.minimum(value, sampled_best)
        location = centre = fresh
        half = reach / 6
    ends = function(np.stack([np.full(shape, low), np.full(shape, high), location]))
    value = np.where(np.isfinite(ends[2]), ends[2], value)
    # a function that levels off towards an end has its minimum there
    at_high = ends[1] <= value * (1 + 1e-13)
    at_low = ~at_high & (ends[0] <= value * (1 + 1e-13))
    location = np.where(at_high, high, np.where(at_low, low, location))
    value = np.where(at_high, ends[1], np.where(at_low, ends[0], value))
    return Minima(location, value, at_low, at_high)


def minimise_shared(
    function: Callable[[Array], Array],
    low: float,
    high: float,
    shape: tuple[int, ...],
    own: tuple[int, ...],
    *,
    scan: int = 21,
    rounds: int = 2,
    strip: float = 1.2,
) -> Minima:
    """`minimise_scalar` where every new trial point is expensive and cells can share it.

    A uniform scan finds the brackets.  Then, `rounds` times, the function is interpolated at Chebyshev points of the
    hull of the brackets of the cells that share them, as many as its width needs; every bracket shrinks sixfold.

    Parameters
    ----------
    function : callable
        Takes trial points (M, *own), and once (1, *shape); returns values (M, *shape).
    low, high : float
    shape : tuple of int
        Shape of the cells.
    own : tuple of int
        The same with 1 along the axes on which cells share their trial points.
    scan : int
        Points of the first scan.
    rounds : int
    strip : float
        Distance from the real axis up to which the function is smooth.

    Returns
    -------
    Minima
        Cells whose smallest value in the scan is at an end are left there.
    """
    narrow = (1,) * len(shape)
    shared = tuple(axis for axis, length in enumerate(own) if length == 1)
    grid = np.linspace(low, high, scan)
    values = _finite(function(np.broadcast_to(grid.reshape(-1, *narrow), (scan, *own))))
    best = np.argmin(values, axis=0)
    location, value = grid[best], np.min(values, axis=0)
    at_low, at_high = best == 0, best == scan - 1
    inside = ~(at_low | at_high)
    if not np.any(inside):
        return Minima(location, value, at_low, at_high)
    centre, half, sampled_at = location, grid[1] - grid[0], location
    fine = np.linspace(-1, 1, 193)
    for number in range(rounds):
        first = np.min(centre, axis=shared, keepdims=True, initial=high, where=inside)
        last = np.max(centre, axis=shared, keepdims=True, initial=low, where=inside)
        middle, reach = 0.5 * (first + last), np.maximum(0.5 * (last - first), 0.0) + half
        count = min(math.ceil(10 * (number + 1) / math.asinh(strip / float(np.max(reach)))) + 1, 65)
        nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)
        trials = middle + reach * nodes.reshape(-1, *narrow)
        sampled = _finite(function(trials))
        lowest = np.argmin(sampled, axis=0)[None]
        lower = inside & (np.min(sampled, axis=0) < value)
        value = np.where(lower, np.min(sampled, axis=0), value)
        tried = np.take_along_axis(np.broadcast_to(trials, sampled.shape), lowest, axis=0)[0]
        sampled_at = np.where(lower, tried, sampled_at)
        sampled = np.where(np.isfinite(sampled), sampled, np.max(sampled, initial=0.0, where=np.isfinite(sampled)))
        series = np.tensordot(np.linalg.inv(np.polynomial.chebyshev.chebvander(nodes, count - 1)), sampled, axes=1)
        offsets = (centre + half * fine.reshape(-1, *narrow) - middle) / reach
        profile = np.polynomial.chebyshev.chebval(np.clip(offsets, -1, 1), series[:, None], tensor=False)
        centre = np.where(inside, centre + half * _parabola_vertex(profile, np.argmin(profile, axis=0), fine), centre)
        half /= 6
    # an interpolant may be wrong, its values are not taken on trust
    found = _finite(function(centre[None]))[0]
    better = inside & (found <= value * (1 + 1e-10))
    return Minima(np.where(better, centre, sampled_at), np.where(better, found, value), at_low, at_high)


def _finite(values: Array) -> Array:
    """NaN counts as infinite."""
    return np.where(np.isnan(values), np.inf, values)


def _parabola_vertex(profile: Array, at: NDArray[np.intp], grid: Array) -> Array:
    """Vertex of the parabola through the smallest value of a profile (G, ...) and its neighbours."""
    inner = np.clip(at, 1, len(grid) - 2)
    before, here, after = (np.take_along_axis(profile, (inner + shift)[None], axis=0)[0] for shift in (-1, 0, 1))
    curvature = before - 2 * here + after
    step = grid[1] - grid[0]
    shift = np.where(curvature > 0, 0.5 * (before - after) / np.where(curvature > 0, curvature, 1.0), 0.0)
    inside = (at == inner) & (np.abs(shift) <= 1)
    return np.where(inside, grid[inner] + step * np.where(inside, shift, 0.0), grid[at])
