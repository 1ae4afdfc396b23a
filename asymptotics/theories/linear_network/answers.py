"""Questions to a problem beyond its observables: times, inflections, weights, curvature, stable steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...cells import Cells, span
from ...datasets import answer_dataset, described
from ...errors import ParameterError
from .curvature import hessian_eigenvalues, largest_stable_step
from .exact import Array
from .grid import FLOW, Grid, Part
from .layout import TILE
from .times import inflections, time_to_reach
from .trajectory import State, evaluate
from .weights import growth, push, weights_after

if TYPE_CHECKING:
    import xarray as xr

    from ...problem import Problem
    from .network import InitialisedNetwork
    from .problem import LinearNetwork

POINTS = ("plateau", "steepest")
GROUPS = ("largest", "upper_bulk", "lower_bulk", "smallest")


def sweep(
    problem: InitialisedNetwork, cells: Cells, instant: str, names: Iterable[str],
    at: Callable[[Part], Mapping[str, Array]],
) -> dict[str, Array]:
    """Functions of constants and instants over cells, by these names; NaN where float64 does not hold a cell."""
    with np.errstate(under="ignore"):
        grid = Grid(problem.u, problem.w, cells, instant)
        grid.warn_of_impossible(cells.shape, stacklevel=4)
        matrices = {name: np.empty(grid.layout.shape) for name in names}
        for where, block in grid.blocks():
            for part in grid.parts(where, block):
                for name, values in at(part).items():
                    part.tile.of(matrices[name])[...] = np.where(part.constants.in_range, values, np.nan)
    return grid.restore(matrices, {})


# ---- times


def time_to(problem: LinearNetwork, levels: Mapping[str, Any]) -> Any:
    """See `LinearNetwork.time_to`; one level is given, the others are None."""
    given = [name for name, value in levels.items() if value is not None]
    if len(given) != 1:
        raise ParameterError(given[1] if given else "fraction", "or coefficient or loss must be given, one of them")
    name = given[0]
    low, high = None if name == "coefficient" else 0.0, 1.0 if name == "fraction" else None
    declared = dataclasses.replace(problem.parameters["target_coefficient"], low=low, high=high)
    level = declared.canonical(name, levels[name])
    values = {own: getattr(problem, own) for own in problem.cells.arrays if own != "t"} | {name: level}
    cells = span(values)
    times = sweep(problem, cells, name, ("t",), lambda part: {
        "t": time_to_reach(part.constants, *_LEVELS[name](part))})
    return labelled(times["t"], cells)


def _at_fraction(part: Part) -> tuple[Array, Array, Array]:
    left, c = part.instants, part.constants
    done = 1 - left
    return np.where(left >= 0.5, c.F0 + done * c.r0, c.A - left * c.r0), left, done


def _at_coefficient(part: Part) -> tuple[Array, Array, Array]:
    F, c = part.instants, part.constants
    moves = c.r0 != 0
    r0 = np.where(moves, c.r0, 1.0)
    # what rests at the target is there, and never anywhere else
    left = np.where(moves, (c.A - F) / r0, np.where(c.A == F, 1.0, -1.0))
    done = np.where(moves, (F - c.F0) / r0, 0.0)
    return F, np.where(done < 0, -1.0, left), done


def _at_loss(part: Part) -> tuple[Array, Array, Array]:
    c, loss_factor, m2 = part.constants, part.parameters["loss_factor"], part.parameters["m2"]
    with np.errstate(over="ignore"):
        excess = (2 * part.instants / loss_factor - part.parameters["irreducible_loss"]) / m2
    moves = c.r0 != 0
    left = np.where(moves, np.sqrt(np.maximum(excess, 0.0)) / np.where(moves, np.abs(c.r0), 1.0), 1.0)
    return _at_fraction(part._replace(instants=np.where(excess < 0, -1.0, np.minimum(left, 1.0))))


_LEVELS: dict[str, Callable[[Part], tuple[Array, Array, Array]]] = {
    "fraction": _at_fraction, "coefficient": _at_coefficient, "loss": _at_loss,
}


def inflection_points(problem: LinearNetwork) -> xr.Dataset:
    """See `LinearNetwork.inflection_points`."""
    base = problem.replace(t=0.0)

    def at(part: Part) -> dict[str, Array]:
        values: dict[str, Array] = {}
        for name, F in zip(POINTS, inflections(part.constants), strict=True):
            passed = ~np.isnan(F)
            here = part._replace(instants=np.where(passed, F, part.constants.A))
            times = time_to_reach(part.constants, *_at_coefficient(here))
            values |= {f"coefficient {name}": F, f"time {name}": np.where(passed, times, np.nan)}
        return values

    kinds = {"coefficient": "F_i", "time": "t_i"}
    found = sweep(base, base.cells, "t", [f"{kind} {name}" for kind in kinds for name in POINTS], at)
    return answer_dataset(base, {
        kind: (("point",), np.stack([found[f"{kind} {name}"] for name in POINTS], axis=-1),
               described(f"{kind} at which learning is slowest and fastest", symbol))
        for kind, symbol in kinds.items()}, {"point": POINTS})


# ---- curvature


def stable_step(problem: InitialisedNetwork, instant: str = "t", **without: float) -> Any:
    """See `LinearNetwork.largest_stable_step`; the answer does not depend on the parameters `without`."""
    base = problem.replace(**{instant: 0}, **without)
    found = sweep(base, base.cells, instant, ("step",), lambda part: {"step": largest_stable_step(part.constants)})
    return labelled(found["step"], base.cells)


def hessian_spectrum(problem: LinearNetwork) -> xr.Dataset:
    """See `LinearNetwork.hessian_spectrum`."""
    state = State(TILE)

    def at(part: Part) -> dict[str, Array]:
        _evaluate(part, state)
        return dict(zip(GROUPS, hessian_eigenvalues(part.constants, state), strict=True))

    found = sweep(problem, problem.cells, "t", GROUPS, at)
    p = np.nan if problem.u is None else len(problem.u)
    eigenvalues = np.stack([found[name] for name in GROUPS], axis=-1)
    spectrum = answer_dataset(problem, {
        "eigenvalue": (("group",), eigenvalues, described("eigenvalue of the Hessian", r"\mu"))}, {"group": GROUPS})
    many = [1.0, p - 1, p - 1, 1.0]
    spectrum["multiplicity"] = ("group", many, {"long_name": "how often it occurs; NaN if the width is not given"})
    return spectrum


# ---- weights


def weights(problem: LinearNetwork) -> xr.Dataset:
    """See `LinearNetwork.weights`."""
    if problem.u is None:
        raise ParameterError("u", "and w must be given: overlaps do not determine the weights")
    state = State(TILE)

    def at(part: Part) -> dict[str, Array]:
        _evaluate(part, state)
        return {"s": growth(part.constants, state), "push": push(part.constants, state)}

    found = sweep(problem, problem.cells, "t", ("s", "push"), at)
    with np.errstate(under="ignore"):
        gamma, eta_u, eta_w = (problem.cells.arrays[name] for name in FLOW)
        u, w = weights_after(problem.u, problem.w, gamma, eta_u, eta_w, found["s"], found["push"])
    return weights_dataset(problem, u, w)


def _evaluate(part: Part, state: State) -> None:
    state.reshape(part.tile.shape)
    evaluate(part.constants, part.instants, state)


# ---- output


def weights_dataset(problem: Problem, u: Array, w: Array) -> xr.Dataset:
    """Weights over the cells and `neuron`."""
    return answer_dataset(problem, {
        "u": (("neuron",), u, described("output weights at time t", "u")),
        "w": (("neuron",), w, described("input weights at time t", "w")),
    }, {"neuron": np.arange(u.shape[-1])})


def labelled(values: Array, cells: Cells) -> Any:
    """Values over the cells, labelled if these are."""
    if not cells.labelled:
        return values[()]
    import xarray as xr

    return xr.DataArray(values, dims=cells.dims, coords=dict(cells.labels))
