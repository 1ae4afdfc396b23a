"""Theory on a grid, tile by tile, as one labelled dataset."""

from __future__ import annotations

import bisect
import itertools
import re
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..datasets import STATE, attributes_of, coordinates, parameter_attributes, variables
from ..errors import AccuracyWarning
from ..problem import Problem
from .engine import Task, compute
from .executors import check_sendable, parts
from .fingerprint import fingerprint
from .gathered import Gathered
from .pieces import Piece, Variable
from .plan import plan
from .store import Store
from .study import optimised

if TYPE_CHECKING:
    import xarray as xr

_LARGEST_MANIFEST = 10**5  # numbers
_warnings = threading.Lock()


def run(
    problem: Problem, executor: Executor | None = None, store: str | Path | None = None, *,
    observables: Iterable[str] | None = None, tile_cells: int | None = None,
) -> xr.Dataset:
    """Solve a problem tile by tile.

    Parameters
    ----------
    problem : Problem
    executor : concurrent.futures.Executor, optional
        Where tiles are solved: a pool of processes, `distributed.Client(...).get_executor()`; by default this process.
        The result has the same bits wherever it is computed.
    store : path-like, optional
        A directory that keeps finished tiles: a run that was killed goes on from there.
    observables : iterable of str, optional
        Compute and keep only these; all by default.
    tile_cells : int, optional
        Largest number of cells of a tile; see `plan`.

    Returns
    -------
    xarray.Dataset
        As `problem.solve(observables).to_dataset()`.  Of a store with more than 256 MB variables are read when they are
        asked for.

    Raises
    ------
    ParameterError
        If an observable is not known, the problem cannot be sent to the executor, or the store is not its own.

    Warns
    -----
    AccuracyWarning
        Once, with the number of cells that did not converge; and for singular cells.
    """
    theory = Theory([problem], (), (), observables, tile_cells)
    if store is None:
        (dataset,) = theory.collect(executor, None)
        return dataset
    small = sum(array.size for array in problem.cells.arrays.values()) <= _LARGEST_MANIFEST
    with Store(store, theory.identity(), attributes_of(problem) if small else None) as kept:
        (dataset,) = theory.collect(executor, kept)
        return dataset


class Part:
    """What is wanted of one tile."""

    def __init__(self, problem: Problem, optimal: tuple[str, ...], chosen: tuple[str, ...],
                 observables: tuple[str, ...]) -> None:
        self.problem, self.optimal, self.chosen, self.observables = problem, optimal, chosen, observables

    def __reduce__(self) -> tuple:
        return _restored, (self.problem.__reduce__(), self.optimal, self.chosen, self.observables)


def _restored(problem: tuple, *rest: Any) -> Part:
    """A part in another process; what is to be said about its problem was said when the whole problem was stated."""
    rebuild, arguments = problem
    with _warnings, warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        return Part(rebuild(*arguments), *rest)


class Theory:
    """The tiles of problems of one theory as work for the engine.

    Parameters
    ----------
    problems : sequence of Problem
    optimal : sequence of str
        `problem.optimal_<name>()` is called for each, in every tile.
    chosen : sequence of str
        The parameters that these choose, or chose before: variables of the result.
    observables, tile_cells
        See `run`.
    """

    unit = "tile"

    def __init__(self, problems: Sequence[Problem], optimal: Sequence[str], chosen: Sequence[str],
                 observables: Iterable[str] | None, tile_cells: int | None) -> None:
        self.problems = problems
        self.optimal, self.chosen = tuple(optimal), tuple(chosen)
        self.observables = problems[0]._asked(observables)
        self.plans = [plan(problem, tile_cells) for problem in problems]
        self.ends = list(itertools.accumulate(map(len, self.plans)))

    def __len__(self) -> int:
        return self.ends[-1]

    def place(self, number: int) -> tuple[int, int]:
        """Which problem, and the number of the tile in it."""
        which = bisect.bisect_right(self.ends, number)
        return which, number - (self.ends[which - 1] if which else 0)

    def key(self, number: int) -> str:
        """See `Work`."""
        return _key(*self.place(number))

    def task(self, number: int) -> Task:
        """See `Work`."""
        which, tile = self.place(number)
        problem = self.problems[which]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)  # was said when the whole problem was stated
            inside = problem.isel(**dict(zip(problem.dims, self.plans[which][tile], strict=True)))
        return Task(solve_tile, (self._part(inside),))

    def identity(self) -> dict[str, Any]:
        """All that the tiles depend on."""
        return {
            "kind": "theory", "theory": self.problems[0].slug, "optimal": self.optimal, "chosen": self.chosen,
            "observables": self.observables, "problems": [fingerprint(problem) for problem in self.problems],
            "grids": [plan.shape for plan in self.plans], "tiles": [plan.tile for plan in self.plans],
        }

    def collect(self, executor: Executor | None, store: Store | None) -> list[xr.Dataset]:
        """Solve every tile and put them together; one dataset a problem."""
        for problem in self.problems:
            check_sendable(executor, parts(problem))
        names = (*self.observables, *STATE, *self.chosen)
        grids = [Gathered(problem, plan, names, len(self.problems))
                 for problem, plan in zip(self.problems, self.plans, strict=True)]
        said: Counter[str] = Counter()
        examples: dict[str, str] = {}
        failed = 0

        def keep(number: int, piece: Piece) -> None:
            nonlocal failed
            which, tile = self.place(number)
            grids[which].add(tile, piece, store is not None)
            failed += piece.failed
            for sentence in piece.warnings:
                kind = re.sub(r"[\d.]+(e[+-]?\d+)?", "#", sentence)  # the same said of other numbers of cells
                said[kind] += 1
                examples.setdefault(kind, sentence)

        compute(self, keep, executor, store)
        for problem, grid in zip(self.problems, grids, strict=True):
            if not len(grid.plan):
                grid.add_whole(solve_tile(self._part(problem)))
        for kind, sentence in examples.items():
            more = f" (in one of {said[kind]} tiles that say so)" if said[kind] > 1 else ""
            warnings.warn(sentence + more, AccuracyWarning, stacklevel=4)
        if failed:
            size = sum(problem.cells.size for problem in self.problems)
            warnings.warn(f"{failed} of {size} cells did not converge and are NaN", AccuracyWarning, stacklevel=4)
        return [self._dataset(which, grid, store) for which, grid in enumerate(grids)]

    def _part(self, problem: Problem) -> Part:
        return Part(problem, self.optimal, self.chosen, self.observables)

    def _dataset(self, which: int, grid: Gathered, store: Store | None) -> xr.Dataset:
        import xarray as xr

        problem = grid.problem
        files = None if store is None else [store.file(_key(which, tile)) for tile in range(len(grid.plan))]
        found = {name: grid.variable(name, files) for name in grid.names}
        used = {dim for along, *_ in found.values() for dim in along}
        coords: dict[str, Any] = {name: coord for name, coord in coordinates(problem).items()
                                  if used.issuperset(coord[0]) and name not in self.chosen}
        short = {dim: 0 for dim, length in zip(problem.dims, problem.shape, strict=True) if length == 1}
        # an optimum that happens not to vary is still a result
        coords.update({name: xr.Variable(*found.pop(name)).isel(short) for name in self.chosen})
        return xr.Dataset({name: xr.Variable(*parts) for name, parts in found.items()}, coords=coords,
                          attrs=attributes_of(problem))


def solve_tile(part: Part) -> Piece:
    """Solve one tile; runs in any process."""
    with _warnings, warnings.catch_warnings(record=True) as caught:  # the filters belong to the whole process
        warnings.simplefilter("always", AccuracyWarning)
        tile = part.problem
        problem = optimised(tile, part.optimal)
        prediction = problem.solve(part.observables)
    shape, dims = tile.shape, tile.dims
    # of a problem whose parameters were replaced the axes may have other names
    found: dict[str, Variable] = {name: (dims + along[len(dims):], values, attributes)
                                  for name, (along, values, attributes) in variables(prediction).items()}
    for name in part.chosen:
        values = np.broadcast_to(problem.cells.arrays[name], shape).astype(np.float64)
        found[name] = (dims, values, parameter_attributes(problem, name))
    for name, (along, values, attributes) in coordinates(tile).items():
        if name not in found and values.dtype.kind in "iufb" and set(along) <= set(dims):
            found[name] = (along, values, attributes)
    failed = prediction.converged.size - int(np.count_nonzero(prediction.converged))
    sentences = dict.fromkeys(str(warning.message) for warning in caught if warning.category is AccuracyWarning)
    for warning in caught:
        if warning.category is not AccuracyWarning:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    # how many cells failed is said once, of all tiles
    return Piece(found, failed, tuple(text for text in sentences if "did not converge and are NaN" not in text))


def _key(which: int, tile: int) -> str:
    return f"{which}-{tile}"
