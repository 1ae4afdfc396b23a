"""Gradient flow of the overlaps, equation (4), by collocation with steps of its own in every cell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..exact import Array
from .collocation import Table, table
from .overlaps import Overlaps, Training, invariants, kernel, kernel_size

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

STAGES = 12
RESOLVED = 1e-14  # of the last coefficients of a step, relative to the first
SETTLED = 1e-15  # change of the kernel in an iteration, relative to the kernel
ITERATIONS = 30
STEPS = 5000
GONE = 1e-150  # gap, in units of the first, below which nothing moves
CELLS = 512  # that are solved together


class Path(NamedTuple):
    """What the flow passes at given times.

    Attributes
    ----------
    state : Overlaps
        With leading axes (cells, times).
    residual : ndarray, shape (cells, times)
        Largest change of the invariants up to that time, in units of the kernel then.
    """

    state: Overlaps
    residual: Array


def flow(c: Training, start: Overlaps, times: Array, stages: int = STAGES) -> Path:
    """Overlaps at increasing times; NaN from where steps are refused.

    Parameters
    ----------
    c : Training
    start : Overlaps
        At t = 0, of every cell.
    times : ndarray, shape (cells, times)
        Increasing along the last axis.
    """
    path = _empty(times.shape[0], times.shape[1], start.beta.shape[-1])
    for first in range(0, times.shape[0], CELLS):
        part = slice(first, first + CELLS)
        _Flow(c.part(part), start.part(part), times[part], table(stages)).fill(path, np.arange(times.shape[0])[part])
    return path


def _empty(cells: int, instants: int, D: int) -> Path:
    shapes = ((), (D, D), (D,), (D,))
    return Path(Overlaps(*(np.full((cells, instants, *shape), np.nan) for shape in shapes)),
                np.full((cells, instants), np.nan))


class _Flow:
    """Cells on their way; those that have arrived drop out."""

    def __init__(self, c: Training, start: Overlaps, times: Array, nodes: Table) -> None:
        self.c, self.state, self.times, self.nodes = c, start, times, nodes
        self.cell = np.arange(times.shape[0])
        self.t = np.zeros(times.shape[0])
        self.next = np.zeros(times.shape[0], dtype=np.int64)
        self.still = GONE * np.linalg.norm(_force(c, start), axis=-1)
        self.step = 0.5 / np.maximum(_rate(c, start), np.finfo(np.float64).tiny)
        self.first = invariants(c, start)
        self.residual = np.zeros(times.shape[0])

    def fill(self, path: Path, cells: Index) -> None:
        """Write the states at all times into the rows `cells` of a path."""
        for _ in range(STEPS):
            self._arrive(path, cells)
            if not self.cell.size:
                return
            self._advance(path, cells)

    def _keep(self, chosen: Mask) -> None:
        self.c, self.state = self.c.part(chosen), self.state.part(chosen)
        for name in ("times", "cell", "t", "next", "still", "step", "residual"):
            setattr(self, name, getattr(self, name)[chosen])
        self.first = self.first[:, chosen]

    def _arrive(self, path: Path, cells: Index) -> None:
        """Times that are reached, by cells that rest too; leave out cells without further times."""
        rests = np.linalg.norm(_force(self.c, self.state), axis=-1) <= self.still
        for i in np.nonzero(rests | ((self.times[:, 0] == 0) & (self.t == 0)))[0]:
            reached = self.times[i] >= self.t[i] if rests[i] else self.times[i] == 0
            for array, own in zip(path.state, self.state, strict=True):
                array[cells[self.cell[i]], reached] = own[i]
            path.residual[cells[self.cell[i]], reached] = self.residual[i]
            self.next[i] = self.times.shape[1] if rests[i] else np.count_nonzero(reached)
        left = (self.next < self.times.shape[1]) & np.isfinite(self.step) & (self.step > 1e-14 * self.t)
        if not np.all(left):
            self._keep(left)

    def _advance(self, path: Path, cells: Index) -> None:
        """One step, or a smaller one the next time."""
        step = np.minimum(self.step, 1.5 * (self.times[:, -1] - self.t))
        found = collocate(self.c, self.state, step, self.nodes)
        stop = np.count_nonzero(self.times <= (self.t + step)[:, None], axis=1)
        for i in np.nonzero(found.accepted & (stop > self.next))[0].tolist():
            self._between(i, step[i], int(stop[i]), found, path, cells[self.cell[i]])
        accepted = found.accepted
        end = Overlaps(*(array[:, -1] for array in found.states))
        self.state = Overlaps(*(np.where(accepted.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
                                for new, old in zip(end, self.state, strict=True)))
        self.t = np.where(accepted, self.t + step, self.t)
        size = np.maximum(kernel_size(self.c, self.state), np.finfo(np.float64).tiny)
        drift = np.abs(invariants(self.c, self.state) - self.first) / size ** np.array([[2], [3]])
        self.residual = np.maximum(self.residual, np.max(drift, axis=0))
        self.step = step * found.factor

    def _between(self, i: int, step: float, stop: int, found: Step, path: Path, row: int) -> None:
        """States at the times within a step."""
        own = slice(self.next[i], stop)
        weights = self.nodes.interpolation((self.times[i, own] - self.t[i]) / step)
        for array, old, new in zip(path.state, self.state, found.states, strict=True):
            values = np.concatenate([old[i][None], new[i]])
            array[row, own] = np.tensordot(weights, values, 1)
        path.residual[row, own] = self.residual[i]
        self.next[i] = stop


class Step(NamedTuple):
    """A step of all cells.

    Attributes
    ----------
    states : Overlaps
        At the nodes: leading axes (cells, s).
    accepted : ndarray of bool, shape (cells,)
    factor : ndarray, shape (cells,)
        By which the next step should be longer.
    """

    states: Overlaps
    accepted: Mask
    factor: Array


def collocate(c: Training, start: Overlaps, step: Array, nodes: Table) -> Step:
    """The collocation polynomial of (4): the gap is a linear problem for given kernels, these are integrals of it."""
    s, (cells, D) = nodes.nodes.size, start.beta.shape
    states = Overlaps(*(np.repeat(array[:, None], s, axis=1) for array in start))
    integrals = step[:, None, None] * nodes.integrals
    increment, moved = np.zeros((cells, s, D)), np.zeros((cells, s, D, D))
    rates = kernel(c, states)
    floor = np.finfo(np.float64).tiny
    for _ in range(ITERATIONS):
        states, increment = _beta_and_gap(c, start, integrals, rates)
        force = c.loss_factor[:, None, None] * np.einsum("cij,csj->csi", c.covariance, states.gap)
        product = force[..., :, None] * states.beta[..., None, :]
        moved = np.einsum("cij,cjkl->cikl", integrals, product + np.swapaxes(product, -1, -2))
        states = states._replace(
            n=start.n[:, None] + c.eta_u[:, None] * np.einsum("csii->cs", moved),
            A=start.A[:, None] + c.eta_w[:, None, None, None] * moved,
        )
        new = kernel(c, states)
        size = np.max(np.abs(new), axis=(1, 2, 3))
        change = np.max(np.abs(new - rates), axis=(1, 2, 3))
        rates = new
        settled = change <= SETTLED * np.maximum(size, floor) * D
        if np.all(settled | ~np.isfinite(change)):
            break
    return Step(states, *_judge(c, states, increment, moved, settled, nodes))


def _beta_and_gap(c: Training, start: Overlaps, integrals: Array, rates: Array) -> tuple[Overlaps, Array]:
    """The gap d and the increment of beta at the nodes from (I + h a_ij B_j) (d, increment)_j = (d0, h a_ij B_j d0)."""
    cells, s, D, _ = rates.shape
    matrix = c.loss_factor[:, None, None, None] * rates @ c.covariance[:, None]
    system = np.einsum("cij,cjkl->cikjl", integrals, matrix).reshape(cells, s * D, s * D)
    first = np.tile(start.gap, s)
    right = np.stack([first, np.einsum("cij,cj->ci", system, first)], axis=-1)
    diagonal = np.arange(s * D)
    system[:, diagonal, diagonal] += 1.0
    gap, increment = np.moveaxis(np.linalg.solve(system, right), -1, 0).reshape(2, cells, s, D)
    nothing = np.zeros((cells, s))
    return Overlaps(nothing, nothing, start.beta[:, None] + increment, gap), increment


def _judge(
    c: Training, states: Overlaps, increment: Array, moved: Array, settled: Mask, nodes: Table
) -> tuple[Mask, Array]:
    """Whether the polynomials are resolved, each in units of what it belongs to, and how much the step may change."""
    floor = np.finfo(np.float64).tiny
    cells, s = states.n.shape
    trace = np.einsum("csii->cs", states.A)
    moved = moved.reshape(cells, s, -1)
    tail = np.zeros(cells)
    for polynomial, own, size in (
        (states.gap, 1.0, np.linalg.norm(states.gap, axis=-1)),
        (increment, 1.0, np.linalg.norm(states.beta, axis=-1)),
        (moved, c.eta_u, np.abs(states.n)),
        (moved, c.eta_w, np.abs(trace)),
    ):
        tail = np.maximum(tail, own * _tail(polynomial, nodes) / np.maximum(np.max(size, axis=1), floor))
    tail = np.where(np.isfinite(tail), tail, np.inf)
    factor = np.clip(0.9 * (RESOLVED / np.maximum(tail, 1e-30)) ** (1 / s), 0.25, 2.5)
    return settled & (tail <= 4 * RESOLVED), np.where(settled, factor, 0.4)


def _tail(values: Array, nodes: Table) -> Array:
    """Size of the last two Legendre coefficients of vectors at the nodes, (cells, s, ...)."""
    last = np.einsum("ks,cs...->ck...", nodes.spectrum[-2:], values)
    return np.max(np.linalg.norm(last, axis=-1), axis=1)


def _force(c: Training, state: Overlaps) -> Array:
    """Theta Sx (beta* - beta)."""
    return np.einsum("cij,cjk,ck->ci", kernel(c, state), c.covariance, state.gap)


def _rate(c: Training, state: Overlaps) -> Array:
    """A bound of the rates of everything that moves."""
    spread = np.linalg.norm(c.covariance, axis=(1, 2))
    push = np.linalg.norm(np.einsum("cij,cj->ci", c.covariance, state.gap), axis=-1)
    return c.loss_factor * (kernel_size(c, state) * spread + np.sqrt(c.coupling) * push)
