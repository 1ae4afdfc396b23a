"""The units along their way, and the pace of the way in time; equations (11) - (13).

Equations are numbered as in docs/theories/linear_network_power.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....solvers.monotone_flow import Pace
from ..exact import Array
from .neuron import moved
from .way import Way, from_start

NUMBERS = 1 << 18  # weights that are held at once


class State(NamedTuple):
    """The units (m, p) at points (m,), oriented, with F and the gap.

    Attributes
    ----------
    u, w : ndarray (m, p)
    F, gap : ndarray (m,)
        gamma sum u w^2, and the target minus it.
    drift : ndarray (m,)
        dF/dtau.
    """

    u: Array
    w: Array
    F: Array
    gap: Array
    drift: Array


def state(own: Way, y: Array) -> State:
    """Equation (11): every unit from the start or from the end, whichever is smaller; `own` has a cell for each y."""
    done, left = own.course.at(y)
    reaches = own.reaches
    ahead = from_start(own.start, own.clock, own.explosions, done)
    u, w = own.start.u + ahead.rise, own.start.w / ahead.shrunk
    sigma, _ = own.clock.between(np.where(reaches, own.course.span, 0.0), np.where(reaches, left, 0.0))
    back = moved(own.end, sigma[:, None])
    grown = reaches[:, None] & (ahead.shrunk < 0.5)
    with np.errstate(over="ignore"):
        u = np.where(grown, -(own.end.u + back.rise), u)
        w = np.where(grown, own.end.w / back.shrunk, w)
    terms = u * w**2
    gained = np.where(grown, terms - own.start.u * own.start.w**2, ahead.gain)
    missing = np.where(back.shrunk < 0.5, -own.end.u * own.end.w**2 - terms, back.gain)
    change, gap = (own.gamma * np.sum(parts, axis=1) for parts in (gained, missing))
    direct, size = (own.gamma * np.sum(parts, axis=1) for parts in (terms, np.abs(terms)))
    of_start = np.maximum(np.abs(own.F0), np.abs(change))
    of_end = np.where(reaches, np.maximum(np.abs(own.A), gap), np.inf)
    F = np.where(size < np.minimum(of_start, of_end), direct, np.where(of_end < of_start, own.A - gap, own.F0 + change))
    drift = own.gamma * np.sum(own.start._replace(u=u, w=w).drift, axis=1)
    gap = np.where(own.still, own.gap0, np.where(reaches, gap, own.A - F))
    return State(u, w, np.where(own.still, own.F0, F), gap, drift)


def pace(own: Way, k: Array) -> Pace:
    """dt/dy along the courses of these cells, k being c m4 |gamma|; equation (13)."""

    def dt(y: Array, flows: NDArray[np.intp]) -> Array:
        flat, cells = y.ravel(), np.repeat(flows, y.shape[1])
        velocity = np.empty(flat.size)
        step = max(1, NUMBERS // own.start.u.shape[1])
        for first in range(0, flat.size, step):
            part = slice(first, first + step)
            velocity[part] = _velocity(own.cells(cells[part]), flat[part])
        return 1 / (k[flows][:, None] * velocity.reshape(y.shape))

    return dt


def _velocity(own: Way, y: Array) -> Array:
    """dy/dt in units of k; one where nothing moves."""
    _, left = own.course.at(y)
    here = state(own, y)
    left = np.where(own.reaches, left, 1.0)
    _, speed = own.clock.between(np.where(own.reaches, own.course.span, 0.0), left)
    tiny = np.minimum(here.gap, left * speed) < 1e-280  # digits are lost to underflow
    last = own.gamma * np.sum(own.end.drift, axis=1)
    reaching = np.where(tiny, last, here.gap / np.where(tiny, 1.0, left * speed))
    return np.where(own.still, 1.0, np.where(own.reaches, reaching, here.gap / own.clock.unit))
