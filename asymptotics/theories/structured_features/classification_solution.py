"""The self-consistent equations of convex classification, for many cells; docs/theories/structured_features.md.

The unknowns are u = (log V, log s, a) with s = q - m^2/rho, m/sqrt(q rho) = tanh(a).  One step of the fixed-point
iteration is u -> T(u); Newton's method on T(u) - u with a line search follows a few such steps, and cells in which it
stalls are continued from a large penalty down to their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...spectra.spectrum import TILE, Spectrum
from .losses import Labels, LossName, State, averages

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

FIXED_POINT_STEPS = 6
CONTRACTING_STEPS = 40  # at the penalty from which a continuation starts
MOST_EVALUATIONS = 60
LONGEST_STEP = 2.0
SHORTENING = 0.4
SHORTEST = 0.4**12
SHORT_STEP = 1e-8  # Newton's error after it is its square
RESIDUAL_LIMIT = 1e-10
STAGES = 120  # of a continuation
FACTOR = 10.0  # of the penalty between its first stages
SHORTEST_STRIDE = 1e-3
LENGTHENING = 1.3  # of the logarithm of the factor after a stage that succeeds
LARGEST_RIDGE = 1e20  # of kappa over the trace: above, the outputs do not depend on it to rounding
EXTREME = 1e100  # parameters beyond it in scale are refused
CELLS_OF_TILE = TILE // 500  # cells of a tile: a quadrature has about 500 nodes

_LOWEST = np.array([-220.0, -220.0, 0.0])[:, None]
_HIGHEST = np.array([220.0, 220.0, 40.0])[:, None]


class FeatureSums(NamedTuple):
    """What the features answer at effective ridges, each (C,).

    Attributes
    ----------
    df1, df2 : ndarray
        Tr Omega (Omega + kappa)^-1 and its square's.
    overlap : ndarray
        Q = psi^T (Omega + kappa)^-1 psi.
    power : ndarray
        Q + kappa dQ/dkappa.
    spread : ndarray
        power - Q^2/Q(0), >= 0.
    df2_slope, power_slope : ndarray
        Derivatives with respect to log kappa.  They steer Newton's method only: difference quotients will do.
    """

    df1: Array
    df2: Array
    overlap: Array
    power: Array
    spread: Array
    df2_slope: Array
    power_slope: Array


class Features(Protocol):
    """Features, and the teacher's pre-activation that they explain in part; they may differ between cells."""

    @property
    def trace(self) -> Array | float:
        """Tr Omega, of one or of all cells."""

    @property
    def explained(self) -> Array | float:
        """Q(0) <= rho, of one or of all cells."""

    def at(self, kappa: Array, cells: Index) -> FeatureSums:
        """Sums at one effective ridge (C,) > 0 for each of these cells (C,)."""


class SpectrumFeatures:
    """Features of one spectrum, the same in all cells."""

    def __init__(self, spectrum: Spectrum) -> None:
        self.spectrum = spectrum
        self.trace = spectrum.trace
        self.explained = float(np.sum(spectrum.signal))

    def at(self, kappa: Array, cells: Index) -> FeatureSums:
        """See `Features`."""
        step = max(1, TILE // self.spectrum.eigenvalues.size)
        parts = [self._sums(kappa[start:start + step]) for start in range(0, kappa.size, step)]
        return FeatureSums(*np.concatenate(parts, axis=1))

    def _sums(self, kappa: Array) -> Array:
        s, weights, signal = self.spectrum
        k = kappa[:, None]
        below = s + k
        q, a = s / below, k / below
        both = np.stack([weights, signal], axis=1)
        df1, overlap = (q @ both).T
        squares = q * q
        df2, power = (squares @ both).T
        df2_slope, power_slope = -2 * ((squares * a) @ both).T
        mean = overlap / self.explained if self.explained > 0 else np.zeros(kappa.size)
        spread = np.square(q - mean[:, None]) @ signal
        return np.stack([df1, df2, overlap, power, spread, df2_slope, power_slope])


class Cells(NamedTuple):
    """Cells to solve, each (C,).

    Attributes
    ----------
    rho : ndarray
        E nu^2.
    n : ndarray
    lam : ndarray
        Of sum loss + (lam/2) |w|^2.
    """

    rho: Array
    n: Array
    lam: Array

    def at(self, rows: Index) -> Cells:
        """Some of the cells."""
        return Cells(self.rho[rows], self.n[rows], self.lam[rows])


class Solution(NamedTuple):
    """Where the equations hold.

    Attributes
    ----------
    state : State
    sensitivity : ndarray (C,)
        hatV.
    kappa : ndarray (C,)
        lam/hatV; inf where hatV = 0.
    df1, df2 : ndarray (C,)
    residual : ndarray (C,)
        Largest difference between T(u) and u.
    """

    state: State
    sensitivity: Array
    kappa: Array
    df1: Array
    df2: Array
    residual: Array

    @property
    def converged(self) -> Mask:
        """Whether the equations hold."""
        return np.isfinite(self.residual) & (self.residual <= RESIDUAL_LIMIT)


class _Step(NamedTuple):
    """T(u) (3, C), its derivative (3, 3, C), and what it was computed from."""

    new: Array
    slopes: Array
    sensitivity: Array
    df1: Array
    df2: Array


def solve_cells(loss: LossName, law: Labels, features: Features, cells: Cells, refinement: int = 1) -> Solution:
    """Solve eqs. (21) and (22) for C cells.

    Parameters
    ----------
    loss : str
    law : Labels
    features : Features
    cells : Cells
    refinement : int
        Multiplies the number of panels of every quadrature.
    """
    equations = _Equations(loss, law, features, cells, refinement)
    point = equations.start()
    residual = np.full(cells.n.shape, np.inf)
    rows = np.flatnonzero(equations.usable())
    for _ in range(FIXED_POINT_STEPS):
        point[:, rows] = _inside(equations.step(point[:, rows], rows, cells.lam[rows], slopes=False).new)
    point[:, rows], residual[rows] = _newton(equations, point[:, rows], rows, cells.lam[rows])
    stalled = rows[~(residual[rows] <= RESIDUAL_LIMIT)]
    if stalled.size:
        point[:, stalled], residual[stalled] = _continued(equations, stalled)
    hat_v, df1, df2 = np.full((3, cells.n.size), np.nan)
    if rows.size:
        last = equations.step(point[:, rows], rows, cells.lam[rows], slopes=False)
        hat_v[rows], df1[rows], df2[rows] = last.sensitivity, last.df1, last.df2
        residual[rows] = _distance(last.new - point[:, rows])
    positive = hat_v > 0
    kappa = np.where(positive, cells.lam / np.where(positive, hat_v, 1.0), np.inf)
    for degrees in (df1, df2):
        degrees[np.isinf(kappa) & ~np.isnan(hat_v)] = 0.0
    return Solution(_state(point, cells.rho), hat_v, kappa, df1, df2, residual)


def by_tiles(answer: Callable[[State], Array], state: State) -> Array:
    """Answers (C,) to states, by tiles that fit the cache."""
    found = np.empty(state.v.shape)
    for part in _tiles(found.size, CELLS_OF_TILE):
        found[part] = answer(State(*(values[part] for values in state)))
    return found


def _tiles(cells: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, cells, size)]


def _state(point: Array, rho: Array) -> State:
    return State(np.exp(point[0]), np.exp(point[1]), np.sinh(point[2]), rho)


def _inside(point: Array) -> Array:
    return np.minimum(np.maximum(point, _LOWEST), _HIGHEST)


def _distance(difference: Array) -> Array:
    size = np.max(np.abs(difference), axis=0, initial=0.0)
    return np.where(np.isfinite(size), size, np.inf)


class _Equations:
    """u -> T(u) for some of the cells, at penalties of their own."""

    def __init__(self, loss: LossName, law: Labels, features: Features, cells: Cells, refinement: int) -> None:
        self.cells = cells
        self._loss, self._law, self._features, self._refinement = loss, law, features, refinement
        shape = cells.n.shape
        self.trace = np.broadcast_to(np.asarray(features.trace, dtype=np.float64), shape)
        self._explained = np.broadcast_to(np.asarray(features.explained, dtype=np.float64), shape)

    def usable(self) -> Mask:
        """Cells whose parameters are of a scale in which nothing overflows."""
        given = np.abs(np.log([self.cells.rho, self.cells.n, self.cells.lam, self.trace]))
        return np.all(given < np.log(EXTREME), axis=0)

    def start(self) -> Array:
        """V = q = min(1, trace/lam), and a cosine of 0.3."""
        log_v = np.minimum(0.0, np.log(self.trace) - np.log(self.cells.lam))
        cosine = 0.3
        return _inside(np.stack([log_v, log_v + np.log(1 - cosine**2), np.full(log_v.shape, np.arctanh(cosine))]))

    def step(self, point: Array, rows: Index, lam: Array, slopes: bool = True) -> _Step:
        """T and its derivative at points (3, C) of these cells, by tiles that fit the cache."""
        parts = [
            self._tile(point[:, part], rows[part], lam[part], slopes)
            for part in _tiles(rows.size, CELLS_OF_TILE if self._law.noise.size == 1 else CELLS_OF_TILE // 4)
        ]
        if not parts:
            return _Step(point, np.zeros((3, *point.shape)), *np.zeros((3, 0)))
        return _Step(*(np.concatenate(column, axis=-1) for column in zip(*parts, strict=True)))

    def _tile(self, point: Array, rows: Index, lam: Array, slopes: bool) -> _Step:
        rho, n, explained = self.cells.rho[rows], self.cells.n[rows], self._explained[rows]
        average = averages(self._loss, self._law, _state(point, rho), self._refinement, slopes)
        least = lam / (LARGEST_RIDGE * self.trace[rows])
        sensitivity = n * average.values[0]
        held = sensitivity <= least
        hat_v, hat_q, hat_m = np.maximum(sensitivity, least), n * average.values[1], n * average.values[2]
        sums = self._features.at(lam / hat_v, rows)
        # the part of the label vector that turns the readout from the teacher, in positive terms
        share = np.where(explained > 0, sums.overlap / np.where(explained > 0, explained, 1.0), 0.0)
        turned = sums.spread + sums.overlap * share * np.maximum(1 - explained / rho, 0.0)
        ratio = hat_m / hat_v
        learned, noise = ratio**2 * turned, (hat_q / hat_v) * (sums.df2 / hat_v)
        spread = learned + noise
        slant = ratio * sums.overlap / np.sqrt(rho * spread)
        new = np.stack([np.log(sums.df1 / hat_v), np.log(spread), np.arcsinh(slant)])
        if average.slopes is None:
            return _Step(new, np.zeros((3, *new.shape)), sensitivity, sums.df1, sums.df2)
        d_v, d_q, d_m = average.slopes / np.where(average.values > 0, average.values, 1.0)[:, None]
        d_v = np.where(held, 0.0, d_v)
        turned_slope = sums.power_slope - 2 * sums.overlap / rho * (sums.power - sums.overlap)
        d_learned = 2 * learned * (d_m - d_v) - ratio**2 * turned_slope * d_v
        d_noise = noise * (d_q - (2 + sums.df2_slope / sums.df2) * d_v)
        d_spread = (d_learned + d_noise) / spread
        seen = sums.overlap > 0
        d_overlap = d_m - np.where(seen, sums.power / np.where(seen, sums.overlap, 1.0), 1.0) * d_v
        derivative = np.stack([-sums.df2 / sums.df1 * d_v, d_spread,
                               slant / np.sqrt(1 + slant**2) * (d_overlap - 0.5 * d_spread)])
        return _Step(new, derivative, sensitivity, sums.df1, sums.df2)


def _newton(equations: _Equations, start: Array, rows: Index, lam: Array) -> tuple[Array, Array]:
    """Newton's method from points (3, C) of these cells; where it stopped, and how large T(u) - u is there.

    The search along the steps that is best far from the solution first, then that which follows long curved valleys.
    """
    point, left = _searched(equations, start, rows, lam, natural=False)
    stuck = np.flatnonzero(left > RESIDUAL_LIMIT)
    if stuck.size:
        found, remaining = _searched(equations, point[:, stuck], rows[stuck], lam[stuck], natural=True)
        better = remaining < left[stuck]
        point[:, stuck[better]], left[stuck[better]] = found[:, better], remaining[better]
    return point, left


def _searched(
    equations: _Equations, start: Array, rows: Index, lam: Array, natural: bool
) -> tuple[Array, Array]:
    """Newton's method with steps that are shortened until they help; every cell has its own length and stops alone.

    A step helps if the largest component of T(u) - u falls; or ("natural") if the next Newton step with the old
    matrix is shorter than this one, which does not depend on how the equations are scaled.
    """
    point, left = start.copy(), np.full(rows.size, np.inf)
    step, fraction, length = np.zeros(start.shape), np.zeros(rows.size), np.full(rows.size, 1e300)
    inverse = np.zeros((3, 3, rows.size))
    running = np.arange(rows.size)
    for _ in range(MOST_EVALUATIONS):
        if not running.size:
            break
        trial = _inside(point[:, running] + fraction[running] * step[:, running])
        found = equations.step(trial, rows[running], lam[running])
        difference = found.new - trial
        size = _distance(difference)
        ahead = _distance(np.einsum("ijc,jc->ic", inverse[:, :, running], difference))
        moved = fraction[running] * np.minimum(length[running], LONGEST_STEP)
        better = ahead <= length[running] - 0.25 * moved if natural else size < left[running]
        accepted = (better | (moved < SHORT_STEP)) & np.isfinite(size)
        now, failed = running[accepted], running[~accepted]
        point[:, now], left[now] = trial[:, accepted], size[accepted]
        inverse[:, :, now] = _newton_inverse(found.slopes[:, :, accepted])
        step[:, now] = np.einsum("ijc,jc->ic", inverse[:, :, now], difference[:, accepted])
        length[now] = _distance(step[:, now])
        step[:, now] *= LONGEST_STEP / np.maximum(length[now], LONGEST_STEP)
        fresh = (not natural) | (fraction[now] == 0)
        fraction[now] = np.where(fresh, 1.0, np.minimum(1.0, fraction[now] / SHORTENING))
        fraction[failed] *= SHORTENING
        done = accepted & (length[running] < SHORT_STEP)
        finished = running[done]
        point[:, finished] = _inside(point[:, finished] + step[:, finished])
        running = running[~(done | (fraction[running] < SHORTEST))]
    return point, left


def _newton_inverse(slopes: Array) -> Array:
    """(1 - T')^-1, which takes T(u) - u to Newton's step; the identity where it is singular to working precision."""
    matrix = np.eye(3)[:, :, None] - slopes
    a, b, c = matrix
    # columns of the inverse
    minors = np.stack([np.cross(b, c, axis=0), np.cross(c, a, axis=0), np.cross(a, b, axis=0)], axis=1)
    determinant = np.einsum("ic,ic->c", a, minors[:, 0])
    scale = np.prod(np.sqrt(np.einsum("ijc,ijc->ic", matrix, matrix)), axis=0)
    regular = np.abs(determinant) > 1e-14 * scale
    return np.where(regular, minors / np.where(regular, determinant, 1.0), np.eye(3)[:, :, None])


def _continued(equations: _Equations, rows: Index) -> tuple[Array, Array]:
    """The solutions of these cells, followed from a penalty at which the fixed-point iteration contracts.

    Every stage starts on the line through the last two in log lam; one that fails is tried again with half the stride.
    """
    goal = equations.cells.lam[rows]
    lam = np.maximum(goal, equations.trace[rows] * (equations.cells.n[rows] + 10))
    point = equations.start()[:, rows]
    for _ in range(CONTRACTING_STEPS):
        point = _inside(equations.step(point, rows, lam, slopes=False).new)
    point, residual = _newton(equations, point, rows, lam)
    rate, stride = np.zeros(point.shape), np.full(rows.size, np.log(FACTOR))
    active = np.flatnonzero((residual <= RESIDUAL_LIMIT) & (lam > goal))
    for _ in range(STAGES):
        if not active.size:
            break
        way = np.log(lam[active] / goal[active])
        shift = np.minimum(stride[active], way)
        target = np.where(shift >= way, goal[active], lam[active] * np.exp(-shift))
        start = _inside(point[:, active] + shift * rate[:, active])
        found, left = _newton(equations, start, rows[active], target)
        good = left <= RESIDUAL_LIMIT
        here = active[good]
        rate[:, here] = (found[:, good] - point[:, here]) / shift[good]
        point[:, here], lam[here], residual[here] = found[:, good], target[good], left[good]
        stride[here] *= LENGTHENING
        stride[active[~good]] *= 0.5
        active = active[(lam[active] > goal[active]) & (stride[active] > SHORTEST_STRIDE)]
    return point, np.where(lam > goal, np.inf, residual)
