"""From a problem to its observables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..exact import Array
from ..grid import Grid, Part
from ..layout import TILE
from ..observables import Writer
from ..trajectory import State, evaluate
from .restart import EARLIER, continued, first

if TYPE_CHECKING:
    from .problem import LinearNetworkCurriculum


def solve(problem: LinearNetworkCurriculum, observables: Sequence[str]) -> dict[str, Any]:
    """Observables of all cells, "converged" and "residual"."""
    targets, starts = problem.targets.tolist(), problem.starts
    cells = problem.cells
    one = np.full((1,) * len(cells.dims), targets[0])
    grid = Grid(problem.u, problem.w, dataclasses.replace(
        cells, arrays={**cells.arrays, "target_coefficient": one}))
    grid.warn_of_impossible(problem.shape, stacklevel=5)
    layout = grid.layout
    moving = {name: np.empty(layout.shape) for name in dict.fromkeys((*observables, "residual"))
              if name != "initial_ntk"}
    fixed = {"initial_ntk": np.empty(layout.constants)} if "initial_ntk" in observables else {}
    converged = np.empty(layout.shape, dtype=bool)
    state, writer = State(TILE), Writer(TILE)
    last = float(np.max(cells.arrays["t"], initial=0.0))
    for where, block in grid.blocks():
        for values in fixed.values():
            values[where] = block.units.initial_ntk
        stages = [first(block, targets[0])]
        for start, end, target in zip(starts, starts[1:], targets[1:], strict=False):
            if end <= last:
                stages.append(continued(stages[-1], end - start, target, state, writer))
        for parts in zip(*(grid.parts(where, stage) for stage in stages), strict=True):
            out = {name: parts[0].tile.of(matrix) for name, matrix in (*moving.items(), ("converged", converged))}
            _write(parts, starts[:len(stages)], state, writer, out)
    return grid.restore(moving | {"converged": converged}, fixed)


def _write(
    parts: Sequence[Part], starts: Sequence[float], state: State, writer: Writer, out: Mapping[str, Array]
) -> None:
    """One tile: every point by the target of its time."""
    t = parts[0].instants
    ends = (*starts[1:], np.inf)
    for part, start, end in zip(parts, starts, ends, strict=True):
        now = (t >= start) & (t < end)
        if not np.any(now):
            continue
        passed = np.clip(t, start, min(end, float(np.max(t)))) - start
        found = out if np.all(now) else {name: np.empty_like(values) for name, values in out.items()}
        _stage(part, passed, state, writer, found)
        if found is not out:
            for name, values in out.items():
                np.copyto(values, found[name], where=now)


def _stage(part: Part, passed: Array, state: State, writer: Writer, out: Mapping[str, Array]) -> None:
    state.reshape(part.tile.shape)
    evaluate(part.constants, passed, state)
    shown = {name: values for name, values in out.items() if name not in ("target", "converged")}
    writer.write(part.constants, part.units, passed, state, shown)
    np.maximum(out["residual"], part.parameters[EARLIER], out=out["residual"])
    np.copyto(out["converged"], part.constants.in_range)
    if "target" in out:
        np.copyto(out["target"], part.parameters["target_coefficient"])
