"""The state at each time, equations (9) and (10), in preallocated buffers."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .constants import FAINT, LARGEST, SMALLEST, Constants, cell_constants
from .exact import Array
from .invariants import given_invariants

LATE = 500.0  # Lam t beyond which e^{-Lam t} may underflow where it matters
EARLY = 1e-280  # Lam t below which D = k t
LOG_4 = math.log(4)
TINY = 1e-290  # stands for a factor that has underflowed until equation (10) replaces what it gives


class State:
    """Buffers of one tile; `evaluate` leaves in them the state.

    Attributes
    ----------
    x : ndarray
        -Lam t.
    D : ndarray
        Integral of k e^{-Lam t} up to t.
    N, M : ndarray
        z = N/M.
    up, down : ndarray
        bP z and bQ/z.
    double : ndarray
        2 Theta.
    F, r, change : ndarray
        Coefficient, gap A - F, and F - F0.
    residual : ndarray
    vanishing : Vanishing or None
        Points where the kernel is about to underflow.
    """

    names = ("x", "e", "D", "N", "M", "up", "down", "double", "F", "r", "change", "residual", "work")
    x: Array
    e: Array
    D: Array
    N: Array
    M: Array
    up: Array
    down: Array
    double: Array
    F: Array
    r: Array
    change: Array
    residual: Array
    work: Array

    def __init__(self, size: int) -> None:
        self._memory = np.zeros((len(self.names), size))
        self._mask = np.zeros(size, dtype=bool)
        self.mask = self._mask
        self.vanishing: Vanishing | None = None

    def reshape(self, shape: tuple[int, int]) -> None:
        """Make the buffers this shape, which must not be larger than their size."""
        size = shape[0] * shape[1]
        for name, row in zip(self.names, self._memory, strict=True):
            setattr(self, name, row[:size].reshape(shape))
        self.mask = self._mask[:size].reshape(shape)


def evaluate(c: Constants, t: Array, state: State) -> None:
    """Equation (9), and (10) where it is needed; constants and times broadcast to the shape of the buffers."""
    _clock(c, t, state)
    np.multiply(state.e, state.e, out=state.work)
    _factor(c.bQ, c.ap, c.am, state, state.N)
    _factor(c.bP, c.am, c.ap, state, state.M)
    late = np.any(c.fragile) and np.min(state.x) < -LATE
    if late:
        np.maximum(state.N, TINY, out=state.N)
        np.maximum(state.M, TINY, out=state.M)
    _gap_and_parts(c, state)
    if late:
        evaluate_late(c, state)
    np.add(state.up, state.down, out=state.double)
    _coefficient(c, state)


def _clock(c: Constants, t: Array, state: State) -> None:
    """x, D and e = e^{-Lam t/2}, whose square may underflow although the gap does not."""
    with np.errstate(over="ignore"):  # -inf is meant
        np.multiply(t, -c.rate, out=state.x)
    np.multiply(state.x, 0.5, out=state.e)
    np.exp(state.e, out=state.e)
    np.expm1(state.x, out=state.D)
    np.multiply(state.D, -c.inverse_Th, out=state.D)
    if np.any(c.inverse_Th == 0) or np.min(c.rate) < EARLY / np.min(t[t > 0], initial=LARGEST):
        with np.errstate(over="ignore"):
            linear = np.minimum(t * c.k, LARGEST)
        np.copyto(state.D, linear, where=(state.x > -EARLY) | (c.inverse_Th == 0))


def _factor(bX: Array, a: Array, b: Array, state: State, out: Array) -> None:
    """a + b e^{-x} + bX D, e^{-x} being given in `work`."""
    np.multiply(state.work, b, out=out)
    np.add(out, a, out=out)
    np.multiply(bX, state.D, out=state.change)
    np.add(out, state.change, out=out)


def _gap_and_parts(c: Constants, state: State) -> None:
    """r = r0 4 e^{-x}/(N M), F - F0 = r0 D (bP/M + bQ/N), bP z and bQ/z."""
    up, down, r, change = state.up, state.down, state.r, state.change
    np.divide(1.0, state.M, out=up)
    np.divide(1.0, state.N, out=down)
    np.multiply(state.e, c.r0_root, out=state.e)
    np.multiply(up, down, out=r)
    np.multiply(r, state.e, out=r)
    np.multiply(r, state.e, out=r)
    np.multiply(r, 4 * c.r0_mantissa, out=r)
    np.multiply(up, c.bP, out=up)
    np.multiply(down, c.bQ, out=down)
    np.add(up, down, out=change)
    np.multiply(change, state.D, out=change)
    np.multiply(change, c.r0, out=change)
    np.multiply(up, state.N, out=up)
    np.multiply(down, state.M, out=down)


def _coefficient(c: Constants, state: State) -> None:
    """F by the expression that keeps its digits: F0 + (F - F0), A - r, or (bP z - bQ/z)/(2 kap); and the residual."""
    F, other = state.F, state.work
    np.add(state.change, c.F0, out=F)
    np.subtract(c.A, state.r, out=other)
    np.subtract(F, other, out=state.residual)
    np.abs(state.residual, out=state.residual)
    np.multiply(state.residual, c.inverse_scale, out=state.residual)
    np.abs(state.r, out=state.e)
    np.less_equal(state.e, 0.5 * np.abs(c.r0), out=state.mask)
    np.copyto(F, other, where=state.mask)
    if np.any(c.passage):
        np.subtract(state.up, state.down, out=other)
        np.multiply(other, c.half_inverse_kap, out=other)
        np.less(state.double, 2 * c.passage, out=state.mask)
        np.copyto(F, other, where=state.mask)
    state.vanishing = vanishing(c, state) if np.min(state.double) < FAINT else None
    if state.vanishing is not None:
        F[state.vanishing.where] = state.vanishing.of(c.F0)


# ---- late times


class Factors(NamedTuple):
    """N and M by the direction of the flow: upper stays of order one, the other is rest + big e^{-x}."""

    upper: Array
    rest: Array
    big: Array


def factors(c: Constants, D: Array, x: Array) -> Factors:
    """(N, M) for A >= 0, (M, N) for A < 0."""
    positive = c.A >= 0
    big, small = np.where(positive, c.ap, c.am), np.where(positive, c.am, c.ap)
    toward, away = np.where(positive, c.bP, c.bQ), np.where(positive, c.bQ, c.bP)
    return Factors(big + small * np.exp(-x) + away * D, small + toward * D, big)


def log_decay(found: Factors, x: Array) -> Array:
    """ln(r/r0) at any time; equation (10)."""
    return LOG_4 - np.log(found.upper) - np.logaddexp(np.log(found.big), _log(found.rest) + x)


def log_gap(c: Constants, found: Factors, x: Array) -> Array:
    """ln|r| at any time; equation (10)."""
    return _log(np.abs(c.r0)) + log_decay(found, x)


def log_growth(c: Constants, found: Factors, x: Array) -> Array:
    """ln z at any time."""
    lower = found.rest + found.big * np.exp(-x)
    gone = lower < SMALLEST
    growth = np.log(found.upper) - np.where(gone, np.log(found.big) - x, np.log(np.where(gone, 1.0, lower)))
    return np.where(c.A >= 0, growth, -growth)


def evaluate_late(c: Constants, state: State) -> None:
    """Equation (10): points with Lam t > LATE of cells where e^{-Lam t} matters."""
    shape = state.x.shape
    where = np.nonzero((state.x < -LATE) & c.fragile)
    own = c.points(shape, where)
    x, D = np.minimum(-state.x[where], LARGEST), state.D[where]
    found = factors(own, D, x)
    positive = own.A >= 0
    toward, away = np.where(positive, own.bP, own.bQ), np.where(positive, own.bQ, own.bP)
    lower = found.rest + found.big * np.exp(-x)
    toward = np.where(toward > 0, toward / np.maximum(lower, SMALLEST), 0.0)
    away = away / found.upper
    root = own.r0_root * np.exp(0.5 * log_decay(found, x))
    state.r[where] = own.r0_mantissa * root * root
    state.change[where] = own.r0 * (D * (toward + away))
    ahead, behind = toward * found.upper, away * lower
    state.up[where] = np.where(positive, ahead, behind)
    state.down[where] = np.where(positive, behind, ahead)


class Vanishing(NamedTuple):
    """Points where all weights follow sqrt(z) (or 1/sqrt(z)) to zero: the indices, and the ln of that factor."""

    where: tuple[NDArray[np.intp], ...]
    shape: tuple[int, ...]
    log_factor: Array

    def of(self, start: Array, power: float = 2.0) -> Array:
        """start * factor^power, which underflows only if the result does."""
        own = np.broadcast_to(start, self.shape)[self.where]
        return np.copysign(np.exp(_log(np.abs(own)) + power * self.log_factor), own)


def vanishing(c: Constants, state: State) -> Vanishing:
    """Where P or Q is zero and the target is at F = 0 or behind it."""
    shape = state.x.shape
    where = np.nonzero((state.double < FAINT) & (c.kap > 0) & ((c.bP == 0) != (c.bQ == 0)))
    own, x = c.points(shape, where), np.minimum(-state.x[where], LARGEST)
    growth = log_growth(own, factors(own, state.D[where], x), x)
    return Vanishing(where, shape, 0.5 * np.where(own.bP > 0, growth, -growth))


def _log(x: Array) -> Array:
    """ln x, -inf at zero."""
    return np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), -np.inf)


# ---- in one call


class Trajectory(NamedTuple):
    """The state as plain numbers."""

    F: Array
    r: Array
    change: Array
    Theta: Array
    residual: Array


def trajectory(
    bP: ArrayLike, bQ: ArrayLike, F0: ArrayLike, kap: ArrayLike, A: ArrayLike, k: ArrayLike, t: ArrayLike
) -> Trajectory:
    """Equations (8) - (10) for invariants that are known: everything broadcasts; NaN where float64 does not hold them.

    Parameters
    ----------
    bP, bQ, F0, kap : array_like
        Equations (4) and (5); 2 kap F0 = bP - bQ.
    A, k, t : array_like
        Target coefficient, c m2, time.
    """
    arrays = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (bP, bQ, F0, kap, A, k, t)))
    shape = arrays[0].shape
    bP, bQ, F0, kap, A, k, t = (array.reshape(1, -1) for array in arrays)
    with np.errstate(under="ignore"):
        c = cell_constants(given_invariants(bP, bQ, F0, kap), A, 1.0, k)
        state = State(t.size)
        state.reshape(t.shape)
        evaluate(c, t, state)
        Theta = state.double * np.ldexp(0.5, (2 * c.half_exponent).astype(np.int32))
    values = (state.F, state.r, state.change, Theta, state.residual)
    return Trajectory(*(np.where(c.in_range, value, np.nan).reshape(shape) for value in values))
