"""Where a network of power units goes, in the common time tau of its units; equations (8) - (10).

Everything is oriented: u and F carry the sign that makes gamma positive and the target larger than F.

Equations are numbered as in docs/theories/linear_network_power.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from ....solvers.monotone_flow import Course
from ....solvers.roots import increasing_root
from ..constants import Mask
from ..exact import Array
from .neuron import Moved, Neurons, explosion, moved, neurons

FARTHEST = 230.0  # tau of the end in units of `Clock`: F has grown by e^(3 * FARTHEST)
MOST_DOUBLINGS = 1200


class Clock(NamedTuple):
    """tau as a function of n: last (1 - e^-n), which resolves the last moments before an explosion, or unit n.

    Attributes
    ----------
    last : ndarray (K,)
        The tau at which the first unit diverges; infinite if none does.
    unit : ndarray (K,)
    """

    last: Array
    unit: Array

    def part(self, index: Any) -> Self:
        """Some of the cells, or the cells with further axes."""
        return type(self)(self.last[index], self.unit[index])

    @property
    def explodes(self) -> Mask:
        return np.isfinite(self.last)

    def at(self, n: Array) -> tuple[Array, Array]:
        """tau, and the time that is left until the explosion."""
        last = np.where(self.explodes, self.last, 1.0)
        return (np.where(self.explodes, -last * np.expm1(-n), self.unit * n),
                np.where(self.explodes, last * np.exp(-n), np.inf))

    def between(self, end: Array, left: Array) -> tuple[Array, Array]:
        """tau from `left` before the end to the end, and d tau/dn there."""
        _, remaining = self.at(end)
        remaining = np.where(self.explodes, remaining, 1.0)
        return (np.where(self.explodes, remaining * np.expm1(left), self.unit * left),
                np.where(self.explodes, remaining * np.exp(left), self.unit))


class Way(NamedTuple):
    """The cells (K,) with their units (K, p), oriented.

    Attributes
    ----------
    start, end : Neurons
        At t = 0, and where F reaches the target (of cells that reach it); the latter mirrored, to go back.
    course : Course
        Of n.
    clock : Clock
    gamma, F0, A : ndarray
    gap0 : ndarray
        A - F0.
    explosions : ndarray (K, p)
        The tau at which each unit diverges.
    orientation, side : ndarray
        Signs that take u and F back.
    reaches, still : ndarray of bool
        Whether F tends to the target, and whether nothing moves.
    valid : ndarray of bool
        Whether float64 holds the cell.
    """

    start: Neurons
    end: Neurons
    course: Course
    clock: Clock
    gamma: Array
    F0: Array
    A: Array
    gap0: Array
    explosions: Array
    orientation: Array
    side: Array
    reaches: Mask
    still: Mask
    valid: Mask

    def cells(self, index: Any) -> Self:
        """Some of the cells."""
        start, end, course, clock, *others = self
        return type(self)(start.part(index), end.part(index), course.part(index), clock.part(index),
                          *(array[index] for array in others))


def way(u: Array, w: Array, gamma: Array, eta_u: Array, eta_w: Array, A: Array) -> Way:
    """Orientation, explosions and end of cells (K,) of units (p,)."""
    with np.errstate(all="ignore"):  # cells out of range are marked
        coefficient = gamma * np.sum(u * w * w)
        side = np.where(coefficient <= A, 1.0, -1.0)
        orientation = side * np.where(gamma < 0, -1.0, 1.0)
        gamma, A, F0, gap0 = np.abs(gamma), side * A, side * coefficient, np.abs(A - coefficient)
        start = neurons(orientation[:, None] * u, w, eta_u, eta_w)
        times = explosion(start)
        speed = gamma * np.sum(start.drift, axis=1)
        still = (gap0 == 0) | ~(speed > 0)
        last = np.min(times, axis=1)
        grows = np.any((start.w != 0) & (np.where(eta_w[:, None] == 0, start.force, start.growth) > 0), axis=1)
        reaches = ~still & (np.isfinite(last) | grows | (A < 0))
        rates = np.max(np.where(start.w != 0, np.maximum(np.abs(start.growth), start.pull), 0.0), axis=1)
        unit = 1 / np.where(still, 1.0, rates + speed / np.where(gap0 > 0, gap0, 1.0))
        clock = Clock(np.where(reaches, last, np.inf), unit)
        n, found = _end(start, clock, times, gamma, gap0, reaches, speed)
        end, _ = _advanced(start, clock, times, np.where(reaches & found, n, 0.0))
        valid = np.isfinite(coefficient) & np.isfinite(speed) & (~reaches | found) & np.all(
            np.isfinite(end.u) & np.isfinite(end.w) & np.isfinite(start.discriminant), axis=1) & np.isfinite(unit)
    span = np.where(still | ~valid, 0.0, np.where(reaches, n, np.inf))
    return Way(start, end.mirrored, Course(span, np.ones(span.shape)), clock, gamma, F0, A, gap0, times,
               orientation, side, reaches & valid, still | ~valid, valid)


def from_start(start: Neurons, clock: Clock, times: Array, n: Array) -> Moved:
    """The units (..., p) from the start to n (...); the arguments with these axes."""
    tau, left = clock.at(n)
    later = np.where(np.isfinite(times), times, 0.0) - np.where(clock.explodes, clock.last, 0.0)[..., None]
    return moved(start, tau[..., None], np.where(np.isfinite(times), later + left[..., None], np.inf))


def _advanced(start: Neurons, clock: Clock, times: Array, n: Array) -> tuple[Neurons, Array]:
    """The units at n, and what u w^2 has gained."""
    found = from_start(start, clock, times, n)
    return start._replace(u=start.u + found.rise, w=start.w / found.shrunk), found.gain


def _end(
    start: Neurons, clock: Clock, times: Array, gamma: Array, gap0: Array, reaches: Mask, speed: Array
) -> tuple[Array, Mask]:
    """n at which F - F0 = gap0, from ln(F - F0) as an increasing function of ln n."""
    whole = np.arange(gamma.size)
    rows = whole[reaches]
    n, found = np.zeros(gamma.size), np.zeros(gamma.size, dtype=bool)
    if not rows.size:
        return n, found
    own, ticks, own_times = start.part(rows), clock.part(rows), times[rows]
    target, scale = np.log(gap0[rows]), gamma[rows]

    def change(log_n: Array) -> tuple[Array, Array]:
        n = np.exp(log_n)
        state, gain = _advanced(own, ticks, own_times, n)
        gained = scale * np.sum(gain, axis=1)
        _, left = ticks.at(n)
        slope = scale * np.sum(state.drift, axis=1) * np.where(ticks.explodes, left, ticks.unit)
        usable = (gained > 0) & np.isfinite(gained)
        value = np.where(usable, np.log(np.where(usable, gained, 1.0)), np.where(gained > 0, 1e4, -1e4)) - target
        return np.where(np.isnan(gained), 1e4, value), np.where(usable, n * slope / np.where(usable, gained, 1.0), 0.0)

    low = np.log(gap0[rows]) - np.log(speed[rows] * np.where(ticks.explodes, ticks.last, ticks.unit))
    low = np.clip(low, -600.0, np.log(FARTHEST))
    high = np.array(low)
    for _ in range(MOST_DOUBLINGS):
        above = (change(low)[0] > 0) & (low > -690)
        below = (change(high)[0] < 0) & (high < 600) & (~ticks.explodes | (high < np.log(FARTHEST)))
        if not (np.any(above) or np.any(below)):
            break
        low, high = np.where(above, low - 1, low), np.where(below, high + 0.5, high)
    result = increasing_root(change, low, high, tolerance=1e-15)
    n[rows] = np.exp(result.root)
    found[rows] = result.converged | (np.abs(change(result.root)[0]) < 1e-12)
    return n, found

