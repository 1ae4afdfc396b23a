"""A study: a theory, its parameters, one axis per dimension, and what to do with the result."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ParameterError
from ..problem import Problem, grid

# the parameters that the method `optimal_<name>` of a problem chooses
CHOSEN = {"ridge": ("lam",), "step": ("eta", "lam")}

Axes = Mapping[str, Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class Output:
    """What a study leaves behind; paths are relative to the output directory."""

    observables: tuple[str, ...] | None = None
    table: str | None = None
    netcdf: str | None = None
    plot: tuple[str, ...] = ()
    plot_kind: str | None = None
    x: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Simulation:
    """Actual networks beside the theory: `seeds` of them at every point of the product of `points`.

    `d` is None where the input dimension is a parameter of the theory.
    """

    d: int | None
    points: Axes
    seeds: int = 8
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Run:
    """Where a study is computed, and where finished tiles are kept; the results do not depend on it.

    `workers` are processes of this machine; `scheduler` is the address of a dask scheduler instead.
    """

    store: str | None = None
    workers: int | None = None
    scheduler: str | None = None
    tile_cells: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """A checked study file.

    `document` is its content without the section [run].  A study that was found in the dataset of a problem, which no
    study file made, has that problem as `stated`, and neither parameters nor axes.
    """

    name: str
    theory: type[Problem]
    parameters: Mapping[str, Any]
    axes: Axes
    optimal: tuple[str, ...] = ()
    output: Output = Output()
    simulation: Simulation | None = None
    run: Run = Run()
    document: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    stated: Problem | None = None

    @property
    def problem(self) -> Problem:
        """The problem that the study states, with its axes; at the optimum where parameters are left to the theory.

        Raises
        ------
        ParameterError
            If an axis over a fixed parameter makes several: see `problems`.
        """
        if self.stated is not None:
            return self.stated
        if self.fixed_axes:
            raise ParameterError(f"axes.{self.fixed_axes[0]}", "makes one problem for every value: see problems()")
        (problem,) = self.problems()
        return self.optimised(problem)

    @property
    def fixed_axes(self) -> tuple[str, ...]:
        """Axes over parameters of which a problem has one value only: one problem for each."""
        return tuple(name for name in self.axes if not self.theory.parameters[name].is_cell)

    @property
    def chosen(self) -> tuple[str, ...]:
        """Parameters that are replaced by their optimum."""
        return tuple(dict.fromkeys(chosen for name in self.optimal for chosen in CHOSEN.get(name, ())))

    def problems(self, axes: Axes | None = None) -> list[Problem]:
        """One problem for every combination of values of the fixed axes, the last axis fastest; nothing is optimised.

        Parameters
        ----------
        axes : mapping, optional
            Other values along the same axes.
        """
        if self.stated is not None:
            return [self.stated]
        axes = self.axes if axes is None else axes
        cells = grid(**{name: axes[name] for name in axes if name not in self.fixed_axes})
        placeholder = {name: 1.0 for name in self.chosen
                       if name not in self.parameters and self.theory.parameters[name].required}
        given = {**self.parameters, **placeholder}
        combinations = itertools.product(*(axes[name] for name in self.fixed_axes))
        fixed = [dict(zip(self.fixed_axes, values, strict=True)) for values in combinations]
        return [self.theory(**{**given, **values, **cells}) for values in fixed]

    def optimised(self, problem: Problem) -> Problem:
        """The problem with the parameters that the study leaves to the theory at their optimum in every cell."""
        return optimised(problem, self.optimal)

    def simulation_axes(self) -> dict[str, Sequence[Any]]:
        """The points of the simulation along every axis, in the order of the axes."""
        assert self.simulation is not None
        return {name: self.simulation.points.get(name, values) for name, values in self.axes.items()}


def optimised(problem: Problem, names: Sequence[str]) -> Problem:
    """The problem after `optimal_<name>()` for each of these in turn."""
    for name in names:
        problem = getattr(problem, f"optimal_{name}")()
    return problem


def label(value: Any) -> Any:
    """The coordinate that stands for a value of a fixed parameter."""
    return value if isinstance(value, str | bool | int | float) else json.dumps(value)
