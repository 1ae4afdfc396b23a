"""Gradient flow of the layers, equation (2), by collocation with steps of its own in every cell.

Equations are numbered as in docs/theories/linear_network_inputs.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..exact import Array
from .collocation import Table, table
from .layers import Layers, Training, drift, kernel, kernel_size, mismatch

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
    state : Layers
        With leading axes (cells, times).
    residual : ndarray, shape (cells, times)
        Largest change of the invariants up to that time, each in units of the kernel then; times the kernel at the end
        in units of its largest value.
    """

    state: Layers
    residual: Array


def flow(c: Training, start: Layers, times: Array, stages: int = STAGES) -> Path:
    """Layers at increasing times; NaN from where steps are refused.

    Parameters
    ----------
    c : Training
    start : Layers
        At t = 0, of every cell.
    times : ndarray, shape (cells, times)
        Increasing along the last axis.
    """
    path = _empty(times, start)
    for first in range(0, times.shape[0] if times.size else 0, CELLS):
        part = slice(first, first + CELLS)
        _Flow(c.part(part), start.part(part), times[part], table(stages)).fill(path, np.arange(times.shape[0])[part])
    return path._replace(residual=np.maximum(path.residual, mismatch(c, path.state)))


def _empty(times: Array, start: Layers) -> Path:
    layers = (np.full((*times.shape, *array.shape[1:]), np.nan) for array in start)
    return Path(Layers(*layers), np.full(times.shape, np.nan))


class _Flow:
    """Cells on their way; those that have arrived drop out."""

    def __init__(self, c: Training, start: Layers, times: Array, nodes: Table) -> None:
        self.c, self.state, self.times, self.nodes = c, start, times, nodes
        self.cell = np.arange(times.shape[0])
        self.t = np.zeros(times.shape[0])
        self.next = np.zeros(times.shape[0], dtype=np.int64)
        self.still = GONE * np.linalg.norm(_force(c, start), axis=-1)
        self.step = 0.5 / np.maximum(_rate(c, start), np.finfo(np.float64).tiny)
        self.start = start
        self.residual = np.zeros(times.shape[0])
        self.worst = np.zeros(times.shape[0])
        self.largest = kernel_size(c, start)

    def fill(self, path: Path, cells: Index) -> None:
        """Write the states at all times into the rows `cells` of a path."""
        for _ in range(STEPS):
            self._arrive(path, cells)
            if not self.cell.size:
                return
            self._advance(path, cells)

    def _keep(self, chosen: Mask) -> None:
        self.c, self.state, self.start = self.c.part(chosen), self.state.part(chosen), self.start.part(chosen)
        for name in ("times", "cell", "t", "next", "still", "step", "residual", "worst", "largest"):
            setattr(self, name, getattr(self, name)[chosen])

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
        accepted = found.accepted
        end = Layers(*(np.where(accepted.reshape(-1, *(1,) * (old.ndim - 1)), new[:, -1], old)
                         for new, old in zip(found.states, self.state, strict=True)))
        size = kernel_size(self.c, end)
        self.largest = np.maximum(self.largest, size)
        self.worst = np.maximum(self.worst, drift(self.c, self.start, end))
        residual = self.worst * size / np.where(self.largest > 0, self.largest, 1.0)
        self.residual = np.maximum(self.residual, residual)
        stop = np.count_nonzero(self.times <= (self.t + step)[:, None], axis=1)
        for i in np.nonzero(accepted & (stop > self.next))[0].tolist():
            self._between(i, step[i], int(stop[i]), found, path, cells[self.cell[i]])
        self.state, self.residual = end, residual
        self.t = np.where(accepted, self.t + step, self.t)
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
    states : Layers
        At the nodes: leading axes (cells, s).
    accepted : ndarray of bool, shape (cells,)
    factor : ndarray, shape (cells,)
        By which the next step should be longer.
    """

    states: Layers
    accepted: Mask
    factor: Array


def collocate(c: Training, start: Layers, step: Array, nodes: Table) -> Step:
    """The collocation polynomials of (2): the gap is a linear problem for given kernels, the layers are integrals."""
    s = nodes.nodes.size
    integrals = step[:, None, None] * nodes.integrals
    u, W = (np.repeat(array[:, None], s, axis=1) for array in (start.u, start.W))
    rates, gap = kernel(c, u, W), np.repeat(start.gap[:, None], s, axis=1)
    moved_u, moved_W = np.zeros_like(u), np.zeros_like(W)
    slope = c.beside("loss_factor", 2) * c.beside("gamma", 2)
    settled = np.zeros(step.size, dtype=bool)
    flat = (*u.shape[:2], W[0, 0].size)
    for _ in range(ITERATIONS):
        gap = _gap(c, start, integrals, rates)
        force = slope * (gap @ c.covariance)
        moved_u = c.beside("eta_u", 2) * (integrals @ (W @ force[..., None])[..., 0])
        product = (u[..., None] * force[..., None, :]).reshape(flat)
        moved_W = c.beside("eta_w", 3) * (integrals @ product).reshape(W.shape)
        u, W = start.u[:, None] + moved_u, start.W[:, None] + moved_W
        new = kernel(c, u, W)
        size, change = (np.max(np.abs(array), axis=(1, 2, 3)) for array in (new, new - rates))
        rates = new
        settled = change <= SETTLED * size
        if np.all(settled | ~np.isfinite(change)):
            break
    tail = np.maximum.reduce([_tail(moved, whole, nodes) for moved, whole in (
        (gap, gap), (moved_u, u), (moved_W.reshape(flat), W.reshape(flat)))])
    tail = np.where(np.isfinite(tail), tail, np.inf)
    factor = np.clip(0.9 * (RESOLVED / np.maximum(tail, 1e-30)) ** (1 / s), 0.25, 2.5)
    return Step(Layers(u, W, gap), settled & (tail <= 4 * RESOLVED), np.where(settled, factor, 0.4))


def _gap(c: Training, start: Layers, integrals: Array, rates: Array) -> Array:
    """The gap d at the nodes from d_i + h a_ij c Theta_j Sx d_j = d(0)."""
    cells, s, D, _ = rates.shape
    matrix = c.beside("loss_factor", 3) * rates @ c.covariance[:, None]
    system = integrals[:, :, None, :, None] * np.swapaxes(matrix, 1, 2)[:, None]
    system = system.reshape(cells, s * D, s * D)
    diagonal = np.arange(s * D)
    system[:, diagonal, diagonal] += 1.0
    solved: Any = np.linalg.solve(system, np.tile(start.gap, s)[..., None]).reshape((cells, s, D))
    return solved


def _tail(moved: Array, whole: Array, nodes: Table) -> Array:
    """Size of the last two Legendre coefficients of vectors at the nodes, (cells, s, ...), in units of `whole`."""
    last = np.einsum("ks,csx->ckx", nodes.spectrum[-2:], moved)
    size = np.max(np.abs(whole), axis=(1, 2))
    return np.max(np.abs(last), axis=(1, 2)) / np.where(size > 0, size, 1.0)


def _force(c: Training, state: Layers) -> Array:
    """Theta Sx (beta* - beta)."""
    return np.einsum("cij,cjk,ck->ci", kernel(c, state.u, state.W), c.covariance, state.gap)


def _rate(c: Training, state: Layers) -> Array:
    """A bound of the rates of everything that moves."""
    spread = np.linalg.norm(c.covariance, axis=(1, 2))
    push = np.linalg.norm(np.einsum("cij,cj->ci", c.covariance, state.gap), axis=-1)
    coupling = np.abs(c.gamma) * np.sqrt(c.eta_u) * np.sqrt(c.eta_w)
    return c.loss_factor * (kernel_size(c, state) * spread + coupling * push)
