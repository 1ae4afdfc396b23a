"""The map of gradient descent, equations (3) and (4), for many cells at once; cells that have arrived leave the batch.

A cell is three numbers: x = sqrt(H P)/2, y = sqrt(H Q)/2 with their signs, H = h c m2, and the gap r = A - F.  With
s = (kap H/2) r one step is x -> (1 + s) x, y -> (1 - s) y, r -> r (1 - x (x + x') - y (y + y')).

Equations are numbered as in docs/theories/linear_network_descent.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..constants import LARGEST, Constants
from ..exact import Array

Places = NDArray[np.intp]

CHECK = 64  # steps from one look at who has arrived to the next
SETTLED = 2.0**-60  # relative change of x and y in all steps to come, below which they rest
SLOWEST, FASTEST = 1e-40, 1e280  # H: below nothing moves in 2^53 steps, above float64 holds nothing


class Start(NamedTuple):
    """Where cells begin, and what their steps depend on; flat.

    Attributes
    ----------
    z : ndarray, shape (2, cells)
        x and y.
    pull : ndarray, shape (2, cells)
        s = pull r for x, and its negative for y.
    r : ndarray
        The gap.
    unit : ndarray
        |p| = unit |x|, in the units of the constants.
    frozen : ndarray of bool
        Whether steps are too small to move anything.
    in_range : ndarray of bool
        Whether float64 holds the cell.
    """

    z: Array
    pull: Array
    r: Array
    unit: Array
    frozen: NDArray[np.bool_]
    in_range: NDArray[np.bool_]


def start_of(c: Constants, step: Array) -> Start:
    """Equation (3) from the constants of the flow; cells out of range become cells that stay at zero."""
    with np.errstate(over="ignore"):
        H = np.where(c.in_range, step * c.k, 0.0)
        pull = 0.5 * H * c.kap
    in_range = c.in_range & (H < FASTEST) & ((pull < LARGEST) | (c.r0 == 0))
    frozen = ~(in_range & (H > SLOWEST))
    root = np.where(frozen, 1.0, 0.5 * np.sqrt(np.where(frozen, 4.0, H)))
    pull = np.where(frozen | ~(pull < LARGEST), 0.0, pull)
    z = np.where(in_range, root * np.sqrt(np.stack([c.bP, c.bQ])), 0.0)
    return Start(z, np.stack([pull, -pull]), np.where(in_range, c.r0, 0.0), 1 / root, frozen, in_range)


class Force(NamedTuple):
    """Of each batch, the gap that it sees is weight r + offset; equation (9).

    Attributes
    ----------
    weight, label : ndarray, shape (batches,)
        m2 and mxy of the batches.
    m2, A : ndarray
        Of the cells, or of all.
    """

    weight: Array
    label: Array
    m2: Array
    A: Array

    def part(self, index: Any) -> Force:
        """Some of the cells."""
        return self._replace(**{name: array if array.size == 1 else array[index]
                                for name, array in (("m2", self.m2), ("A", self.A))})

    def of(self, step: int, r: Array, out: Array) -> Array:
        """The gap that batch number `step` sees, in units in which the full sample sees r."""
        weight, label = self.weight[step], self.label[step]
        np.multiply(r, weight / self.m2, out=out)
        np.add(out, (label - weight * self.A) / self.m2, out=out)
        return out


class Departed(NamedTuple):
    """Cells that leave.  Those whose x and y rest have a gap r factor^n after n more steps.

    Attributes
    ----------
    cells : ndarray of int
        As positions in the start.
    kept : ndarray of bool
        Of the batch, which cells stay.
    z, r : ndarray
        Infinite where descent has diverged.
    factor : ndarray
    rests, gone : ndarray of bool
        Whether x and y rest, and whether that is because all weights have vanished.
    """

    cells: Places
    kept: NDArray[np.bool_]
    z: Array
    r: Array
    factor: Array
    rests: NDArray[np.bool_]
    gone: NDArray[np.bool_]


class Walk:
    """Cells on their way.

    Attributes
    ----------
    step : int
        How many steps have been made.
    cells : ndarray of int
        Those that still move, as positions in the start.
    z, r : ndarray
        Their state.
    """

    def __init__(self, start: Start, force: Force | None = None) -> None:
        self.step = 0
        self.cells = np.arange(start.r.size)
        self._force = force
        self._frozen = start.frozen
        self._memory = np.empty((6, *start.z.shape))
        self._take(start.z, start.pull, start.r)

    def _take(self, z: Array, pull: Array, r: Array) -> None:
        size = r.size
        views = [part[:, :size] for part in self._memory]
        # what is taken may lie in the same memory
        for view, values in zip(views[:2], (z.copy(), pull.copy()), strict=True):
            view[...] = values
        views[2][0, :] = r
        self.z, self._pull = views[:2]
        self.r, self._spare = views[2]
        self._next, self._growth, self._middle = views[3:]

    def advance(self, steps: int) -> None:
        """So many steps of all cells; what diverges becomes inf or NaN."""
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(steps):
                self.one()

    def one(self) -> None:
        """One step, equation (4)."""
        z, following, growth, middle, r = self.z, self._next, self._growth, self._middle, self.r
        seen = r if self._force is None else self._force.of(self.step, r, self._spare)
        np.multiply(self._pull, seen, out=growth)
        np.multiply(growth, z, out=following)
        np.add(z, following, out=following)
        np.add(z, following, out=middle)
        np.multiply(middle, z, out=middle)
        np.add(middle[0], middle[1], out=middle[0])
        if self._force is None:
            np.subtract(1.0, middle[0], out=middle[0])
            np.multiply(r, middle[0], out=r)
        else:
            np.multiply(middle[0], seen, out=middle[0])
            np.subtract(r, middle[0], out=r)
        self.z, self._next = following, z
        self.step += 1

    def contraction(self) -> tuple[Array, Array, Array]:
        """s, the factor 1 - H Theta of the gap if x and y rest, and x^2 + y^2."""
        size = self.z[0] * self.z[0] + self.z[1] * self.z[1]
        return self._pull[0] * self.r, 1 - 2 * size, size

    def drift(self) -> Array:
        """A bound of the relative change of x and y in all steps to come, while they hardly change; inf for none."""
        s, factor, _ = self.contraction()
        left = 1 - np.abs(factor)
        return np.where(left > 0, np.abs(s) / np.where(left > 0, left, 1.0), np.inf)

    def depart(self, leaving: NDArray[np.bool_] | None = None) -> Departed | None:
        """Take cells that rest or have diverged out of the batch; and others."""
        with np.errstate(over="ignore", invalid="ignore"):
            s, factor, size = self.contraction()
            diverged = ~(np.abs(self.r) + size < LARGEST)
            # all weights have vanished
            gone = np.all(self.z == 0, axis=0)
            rests = diverged | gone | self._frozen
            if self._force is None:
                # or are about to underflow
                gone |= (size == 0) & np.all((np.abs(1 + np.stack([s, -s])) <= 1) | (self.z == 0), axis=0)
                rests |= gone | (self.r == 0) | (self._pull[0] == 0) | (self.drift() <= SETTLED)
        leaves = rests if leaving is None else rests | leaving
        if not np.any(leaves):
            return None
        factor = np.where(gone | self._frozen | diverged | (self.r == 0), 1.0, factor)
        departed = Departed(
            self.cells[leaves], ~leaves, np.where(diverged & (self._pull != 0), np.inf, self.z)[:, leaves],
            np.where(diverged, np.inf, self.r)[leaves], factor[leaves], rests[leaves], gone[leaves],
        )
        kept = departed.kept
        self.cells, self._frozen = self.cells[kept], self._frozen[kept]
        if self._force is not None:
            self._force = self._force.part(kept)
        self._take(self.z[:, kept], self._pull[:, kept], self.r[kept])
        return departed
