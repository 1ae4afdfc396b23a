"""Scalar flows dx/dt = v(x) that go one way for ever, many at once: x(t) and t(x) by adaptive quadrature of dt/dx.

A flow is followed in a variable y >= 0 in which its pace dt/dy is smooth and positive up to the end (see `Course`).
t(y) is an integral of positive terms: it keeps its relative accuracy over any number of decades.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .flow_panels import Panels, panel_matrices

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Pace = Callable[[Array, Index], Array]

TOLERANCE = 1e-13  # of the interpolated pace
NOISE = 1e-9  # what an interpolation error that narrower panels do not reduce may be
LARGEST_RATIO = 30.0  # of the paces within one panel
WIDEST_GROWTH, STRONGEST_CUT = 2.5, 0.3
LATEST = 1e300


class Course(NamedTuple):
    """The way from a start to an end: x - start = span (1 - e^-y), or unit y if the end is infinitely far.

    Attributes
    ----------
    span : ndarray
        end - start; infinite if there is no end.
    unit : ndarray
        The length that counts as one where the span is infinite; its sign is the direction.
    """

    span: Array
    unit: Array

    @property
    def ends(self) -> NDArray[np.bool_]:
        return np.isfinite(self.span)

    def part(self, index: Any) -> Self:
        """Some of the flows, or the flows with further axes."""
        return type(self)(self.span[index], self.unit[index])

    def at(self, y: Array) -> tuple[Array, Array]:
        """x - start and end - x, each with all its digits."""
        span = np.where(self.ends, self.span, 0.0)
        with np.errstate(under="ignore"):
            done = np.where(self.ends, -span * np.expm1(-y), self.unit * y)
            return done, np.where(self.ends, span * np.exp(-y), self.span)

    def progress(self, done: Array, left: Array) -> Array:
        """y from x - start and end - x: infinite at the end and beyond, negative before the start."""
        span = np.where(self.ends & (self.span != 0), self.span, 1.0)
        near = np.abs(done) < 0.5 * np.abs(span)
        inside = self.ends & (left / span > 0)
        late = -np.log(np.where(inside, left / span, 1.0))
        finite = np.where(near, -np.log1p(-np.where(near, done / span, 0.0)), np.where(inside, late, np.inf))
        unit = np.where(self.ends, 1.0, self.unit)
        return np.where(self.ends, finite, np.where(self.ends, 0.0, done) / unit)


class Flow:
    """Flows that have been followed; see `follow`.

    Attributes
    ----------
    converged : ndarray of bool (R,)
    residual : ndarray (R,)
        The largest relative interpolation error of the pace that was accepted.
    """

    def __init__(self, panels: Panels, converged: NDArray[np.bool_], residual: Array) -> None:
        self._panels = panels
        self.converged = converged
        self.residual = residual

    def progress(self, t: ArrayLike, flows: ArrayLike) -> Array:
        """y at these times of these flows (integers); arrays that broadcast.  NaN beyond what was followed."""
        t, flows = np.broadcast_arrays(np.asarray(t, dtype=np.float64), np.asarray(flows))
        return self._panels.inverse(np.ravel(t), np.ravel(flows)).reshape(t.shape)

    def time(self, y: ArrayLike, flows: ArrayLike) -> Array:
        """t at these y of these flows (integers); arrays that broadcast.  NaN beyond what was followed."""
        y, flows = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(flows))
        return self._panels.value(np.ravel(y), np.ravel(flows)).reshape(y.shape)


def follow(
    pace: Pace, until_time: ArrayLike, until: ArrayLike = np.inf, *, first_width: float = 0.5, max_rounds: int = 5000
) -> Flow:
    """Integrate dt/dy = pace(y) from t = y = 0 for R flows, each in steps of its own.

    The pace is interpolated on panels; one is accepted if the last Chebyshev coefficients are below `TOLERANCE` of the
    smallest pace on it, else it is made narrower.  An error that does not become smaller with the panel is that of the
    pace itself: it is accepted below `NOISE` and told as `residual`.

    Parameters
    ----------
    pace : callable
        ``pace(y, flows) -> dt/dy`` for y (r, nodes) of the flows (r,); positive where the flow is defined.
    until_time : array_like (R,)
        A flow has been followed far enough if it is as late as this ...
    until : array_like
        ... or as far as this; broadcasts with `until_time`.
    first_width : float
    max_rounds : int
        Flows that need more, or whose pace is not a positive number, are not converged.

    Returns
    -------
    Flow
    """
    until_time, until = (np.array(x, dtype=np.float64) for x in np.broadcast_arrays(until_time, until))
    until_time, until = np.ravel(until_time), np.ravel(until)
    nodes = panel_matrices().nodes
    panels = Panels(until_time.size)
    residual = np.zeros(until_time.size)
    y, t = np.zeros((2, until_time.size))
    width, last = np.full(until_time.size, first_width), np.full(until_time.size, np.inf)
    active = np.flatnonzero((until_time > 0) & (until > 0))
    for _ in range(max_rounds):
        if not active.size:
            break
        left, wide = y[active], width[active]
        with np.errstate(all="ignore"):  # what is not a positive number is refused below
            found = pace(left[:, None] + wide[:, None] * nodes, active)
        usable, error, h = _judged(found)
        stagnates = (error < NOISE) & (error > 0.25 * last[active])
        fine = usable & ((error < TOLERANCE) | stagnates)
        last[active] = np.where(fine, np.inf, error)
        kept = active[fine]
        residual[kept] = np.maximum(residual[kept], error[fine])
        t[kept] = panels.add(kept, left[fine], wide[fine], t[kept], h[fine])
        y[kept] += wide[fine]
        factor = (TOLERANCE / np.maximum(error, 1e-17)) ** (1 / 16)
        width[active] = wide * np.where(fine, np.where(stagnates, WIDEST_GROWTH, np.clip(factor, 1.0, WIDEST_GROWTH)),
                                        np.where(usable, np.clip(0.8 * factor, STRONGEST_CUT, 0.7), STRONGEST_CUT))
        going = (t[active] < np.minimum(until_time[active], LATEST)) & (y[active] < until[active])
        active = active[going & (y[active] + width[active] > y[active])]
    done = (t >= np.minimum(until_time, LATEST)) | (y >= until) | (until_time <= 0)
    return Flow(panels.sorted(), done, residual)


def _judged(h: Array) -> tuple[NDArray[np.bool_], Array, Array]:
    """Whether paces (r, nodes) are of one magnitude, the relative error of their interpolant, and they or ones."""
    usable = np.all(np.isfinite(h) & (h > 0) & (h < LATEST), axis=1)
    h = np.where(usable[:, None], h, 1.0)
    smallest = np.min(h, axis=1)
    ratio = np.max(h, axis=1) / smallest
    usable &= ratio <= LARGEST_RATIO
    coefficients = (h / smallest[:, None]) @ panel_matrices().series
    return usable, np.max(np.abs(coefficients[:, -3:]), axis=1), h

