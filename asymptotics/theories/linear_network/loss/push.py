"""The trajectory in terms of the push J, dJ/dt = k force(F): F, the kernel, and where they go; equations (3) - (6).

NTK-like quantities, and 1/J with them, are in the units of `Constants`.

Equations are numbered as in docs/theories/linear_network_loss.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from ....solvers.monotone_flow import Course
from ..constants import SMALLEST, Constants, Mask
from ..exact import Array
from ..ratios import expm1_ratio, log1p_ratio

LONGEST = 700.0  # kap J beyond which what grows is beyond float64


class Way(NamedTuple):
    """Where the cells go.

    Attributes
    ----------
    course : Course
        Of J.
    end : ndarray
        The minimiser, in units of F; infinite if there is none.
    reaches : ndarray of bool
        Whether F tends to the minimiser, which is finite.
    still : ndarray of bool
        Whether nothing moves: F is there, or all weights are zero.
    up, down : ndarray
        bP z and bQ/z at the minimiser, where it is reached.
    """

    course: Course
    end: Array
    reaches: Mask
    still: Mask
    up: Array
    down: Array

    def part(self, index: Any) -> Self:
        """Some of the cells, or the cells with further axes."""
        course, *others = self
        return type(self)(course.part(index), *(array[index] for array in others))


def way(c: Constants, minimiser: float, length: float) -> Way:
    """The way of each cell; equation (5).

    Parameters
    ----------
    c : Constants
    minimiser : float
        Of the loss; infinite if there is none.
    length : float
        The change of F over which the force changes.
    """
    upward = minimiser > c.F0
    still = (minimiser == c.F0) | ((c.bP == 0) & (c.bQ == 0)) | ~c.in_range
    one_sided = np.where(upward, (c.bP == 0) & (minimiser >= 0), (c.bQ == 0) & (minimiser <= 0))
    reaches = np.isfinite(minimiser) & ~one_sided & ~still
    end = np.where(np.isfinite(minimiser) & (reaches | still), minimiser, c.F0)
    span = np.where(reaches, push_between(c, end, end - c.F0), np.where(still, 0.0, np.inf))
    span = np.where(upward, span, np.where(np.isfinite(span), span, -np.inf))
    unit = np.where(upward, 1.0, -1.0) / np.where(still, 1.0, c.kap + 0.5 * (c.bP + c.bQ) / length)
    up, down = parts_at(c, end)
    return Way(Course(span, unit), np.full(c.F0.shape, minimiser), reaches, still, up, down)


def parts_at(c: Constants, F: Array) -> tuple[Array, Array]:
    """bP z and bQ/z = Theta +- kap F, the smaller as Gam^2 over the larger."""
    kap_F = c.kap * F
    larger = np.hypot(kap_F, c.Gam) + np.abs(kap_F)
    smaller = c.Gam / np.maximum(larger, SMALLEST) * c.Gam
    return np.where(kap_F >= 0, larger, smaller), np.where(kap_F >= 0, smaller, larger)


def push_between(c: Constants, F: Array, change: Array) -> Array:
    """J at F = F0 + change, which both are given; equation (4)."""
    up, down = parts_at(c, F)
    first = c.bP >= c.bQ
    start, state = np.where(first, c.bP, c.bQ), np.where(first, up, down)
    sign = np.where(first, 1.0, -1.0)
    usable = (start > 0) & (state > 0)
    start, state = np.where(usable, start, 1.0), np.where(usable, state, 1.0)
    total = np.where(usable, 0.5 * (up + down + c.bP + c.bQ), 1.0)
    factor = change * ((state + start) / total) / start
    excess = sign * c.kap * factor  # z - 1, or 1/z - 1
    near = np.abs(excess) < 0.5
    logarithm = sign * np.log(state / start) / np.where(c.kap > 0, c.kap, 1.0)
    return np.where(near, factor * log1p_ratio(np.where(near, excess, 0.0)), logarithm)


def change_of(kap: Array, up: Array, down: Array, J: Array) -> Array:
    """F after a push J from where the parts are `up` and `down`, minus F there; equation (3)."""
    x = np.clip(kap * J, -LONGEST, LONGEST)
    return 0.5 * J * (up * expm1_ratio(x) + down * expm1_ratio(-x))


def coefficient(c: Constants, own: Way, done: Array, left: Array) -> tuple[Array, Array, Array, Array]:
    """F, the minimiser minus F, and the parts bP z and bQ/z of the kernel.

    F is taken from the start, from the end, or as the difference of its parts, whichever has the smallest error.
    """
    x = np.clip(c.kap * done, -LONGEST, LONGEST)
    up, down = c.bP * np.exp(x), c.bQ * np.exp(-x)
    change = change_of(c.kap, c.bP, c.bQ, done)
    reaches = own.reaches | own.still
    gap = -change_of(c.kap, own.up, own.down, -np.where(own.reaches, left, 0.0))
    trains = c.kap > 0
    twice = np.where(trains, 2 * c.kap, 1.0)
    with np.errstate(over="ignore"):
        parts = (up - down) / twice
        of_parts = np.where(trains, (up + down) / twice * (1 + np.abs(x)), np.inf)
        of_start = np.maximum(np.abs(c.F0), np.abs(change))
    F = np.where(of_parts < of_start, parts, c.F0 + change)
    end = np.where(np.isfinite(own.end), own.end, 0.0)
    near = own.reaches & (np.maximum(np.abs(end), np.abs(gap)) < np.minimum(of_start, of_parts))
    F = np.where(own.still | (done == 0), c.F0, np.where(near, end - gap, F))
    gap = np.where(reaches, np.where(own.still, own.end - c.F0, gap), own.end - F)
    return F, gap, up, down
