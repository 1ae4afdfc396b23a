"""Where the loss comes from at late times: rare initialisations near the saddle; docs section 3.

The density times r^2 is largest where P is as small as e^(-Lam t), although its mass there may be below 10^-17.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .flow import LOG_4, Flow, log_rows
from .initial_law import DEPTH, STEP, InitialLaw, Rule, lattice, rows

Array = NDArray[np.float64]

EDGE = 36.0  # ln of the density times r^2 at the edge of a rule, below its maximum, from which the rule holds it
_ROWS, _COLUMNS = 25, 49  # of a scan
_SCANS = 8


def holds(rule: Rule, squares: Array) -> bool:
    """Whether a rule covers the density times r^2, given as weights times r^2 at its nodes."""
    edges = max(float(np.max(squares[[0, -1]])), float(np.max(squares[:, [0, -1]])) if squares.shape[1] > 1 else 0.0)
    largest = float(np.max(squares))
    return largest > 0 and edges <= np.exp(-EDGE) * largest


def loss_rule(flow: Flow, t: float, step: float = STEP, power: int = 2) -> Rule:
    """A rule for averages of r^power at time t: it covers the density times r^power."""
    law = flow.law
    low, high, _ = law.window
    x = float(np.max(log_rows(flow, np.array([low]), t).x))
    # P may be as small as e^-x with the x of the target alone, and Q too
    s = np.linspace(low - (84 / law.p + 2 * flow.rate * t * flow.target + 2 * np.log1p(x) + 5), high, _ROWS)
    top = 2 * (high + 1)
    first, last = (s - high - 1) * 2 if law.fluctuates else np.zeros(s.shape), top - 2 * s
    last = np.where(law.fluctuates, np.minimum(last, -first), 0.0)
    if law.fluctuates:
        reach = _reach(law, s, power)
        first, last = np.maximum(first, -reach), np.minimum(last, reach)
    for _ in range(_SCANS):
        delta = np.linspace(first, last, _COLUMNS if law.fluctuates else 1, axis=1)
        values = _log_powers(flow, s, delta, t, power)
        inside = values > np.max(values) - DEPTH - 5
        own = np.nonzero(np.any(inside, axis=1))[0]
        begin, end = max(own[0] - 1, 0), min(own[-1] + 1, s.size - 1)
        first, last = _bounds(delta, inside)
        fine = np.linspace(s[begin], s[end], _ROWS)
        first, last = (_envelope(s, bound, fine, side) for bound, side in ((first, np.minimum), (last, np.maximum)))
        shrunk, s = fine[-1] - fine[0] < 0.5 * (s[-1] - s[0]), fine
        if not shrunk:
            break
    chosen = rows(law, s[0], s[-1], step)
    first, last = (_envelope(s, bound, chosen, side) for bound, side in ((first, np.minimum), (last, np.maximum)))
    if law.fluctuates:
        reach = _reach(law, chosen, power)
        first, last = np.maximum(first, -reach), np.minimum(last, reach)
    return lattice(law, chosen, 0.5 * (first + last), 0.5 * (last - first), step)


def _reach(law: InitialLaw, s: Array, power: int) -> Array:
    """|delta| beyond which a row has nothing: the gap changes by less than e^(3/2 |delta|)."""
    twice = np.maximum(2 * law.stiffness(s), 1e-100)
    # sinh(x)^2 > x^2 bounds |delta| first
    bound = 12 * power / twice + np.sqrt((12 * power / twice) ** 2 + 16 * 2 * DEPTH / twice)
    return 4 * np.arcsinh(np.sqrt((2 * DEPTH + 1.5 * power * np.minimum(bound, 2e3)) / twice))


def _log_powers(flow: Flow, s: Array, delta: Array, t: float, power: int) -> Array:
    """ln of the density times r^power, not below its value."""
    law, log, half = flow.law, log_rows(flow, s, t), 0.5 * delta
    N = np.logaddexp(log.near[:, None], log.far[:, None] - half)
    M = np.logaddexp(log.small[:, None], log.toward[:, None] + half)
    moments, column = flow.moments, s[:, None]
    start = np.logaddexp(moments.log_P + column + half, moments.log_Q + column - half)
    log_gap = np.logaddexp(flow.log_target, start) + LOG_4 - log.x[:, None] - N - M
    density = law.profile(s)[:, None]
    if law.fluctuates:
        # (cosh(x) - 1) without overflow
        size = np.minimum(np.abs(half), 600.0)
        density = density - law.stiffness(s)[:, None] * 2 * np.sinh(0.5 * size) ** 2
    return density + power * log_gap


def _bounds(delta: Array, inside: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The first and the last delta inside each row, and one step more; the middle where there is none."""
    count = delta.shape[1]
    if count == 1:
        return delta[:, 0], delta[:, 0]
    rows_of, any_inside = np.arange(len(delta)), np.any(inside, axis=1)
    first = np.maximum(np.argmax(inside, axis=1) - 1, 0)
    last = np.minimum(count - np.argmax(inside[:, ::-1], axis=1), count - 1)
    low, high = np.where(any_inside, delta[rows_of, first], np.inf), np.where(any_inside, delta[rows_of, last], -np.inf)
    return low, high


def _envelope(s: Array, bound: Array, at: Array, side: np.ufunc) -> Array:
    """The lower (or upper) of the bounds of the two rows between which each point is."""
    position = np.clip(np.searchsorted(s, at), 1, s.size - 1)
    chosen = side(bound[position - 1], bound[position])
    # rows outside have a neighbour that is inside
    known = np.isfinite(chosen)
    return np.where(known, chosen, np.interp(at, at[known], chosen[known]))
