"""Actual networks beside the theory: simulators found by entry point, averaged over seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ParameterError
from ..problem import Problem
from ..tables import Table, column, from_dataset
from .engine import Task, compute
from .executors import check_sendable
from .fingerprint import fingerprint
from .pieces import Piece, Variable
from .store import Store
from .study import Study

if TYPE_CHECKING:
    import xarray as xr

Simulator = Callable[[Problem, Mapping[str, int], np.random.SeedSequence], Mapping[str, Any]]

GROUP = "asymptotics.simulators"


def find_simulator(slug: str) -> Simulator:
    """The installed simulator of a theory: one network, one cell, `{observable: value}`."""
    found = list(entry_points(group=GROUP, name=slug))
    if not found:
        raise ParameterError("simulation", f"no simulator of {slug} is installed (entry point {GROUP})")
    try:
        return found[0].load()
    except (ImportError, AttributeError) as error:
        raise ParameterError("simulation", f"the simulator of {slug} cannot be loaded ({error})") from None


def simulate_networks(
    simulator: Simulator, problem: Problem, sizes: Mapping[str, int], seeds: Sequence[np.random.SeedSequence]
) -> Piece:
    """One network for every seed, along the first axis; runs in any process."""
    networks = [simulator(problem, sizes, seed) for seed in seeds]
    variables: dict[str, Variable] = {}
    for name in networks[0]:
        values = np.stack([np.asarray(network[name], dtype=np.float64) for network in networks])
        variables[name] = (("network", *(f"{name}_{axis}" for axis in range(1, values.ndim))), values, {})
    return Piece(variables)


def identity_of_networks(study: Study, simulator: Simulator) -> dict[str, Any]:
    """All that single networks of a study depend on; not how many there are."""
    assert study.simulation is not None
    return {
        "kind": "networks", "theory": study.theory.slug, "optimal": study.optimal, "d": study.simulation.d,
        "seed": study.simulation.seed, "problems": list(map(fingerprint, study.problems(study.simulation_axes()))),
        "simulator": f"{simulator.__module__}:{getattr(simulator, '__qualname__', '')}",
    }


class Networks:
    """The simulated networks of a study, as far as they got: work for the engine, a tile a network.

    Parameters
    ----------
    study : Study
    problems : sequence of Problem
        One per combination of values of the fixed axes, at the points of the simulation.
    theory : xarray.Dataset
        Their solution.
    simulator : callable
        See `find_simulator`.
    """

    unit = "network"

    def __init__(self, study: Study, problems: Sequence[Problem], theory: xr.Dataset, simulator: Simulator) -> None:
        assert study.simulation is not None
        self.study = study
        self.problems = problems
        self.theory = theory
        self.simulator = simulator
        self.seeds = study.simulation.seeds
        self.root = study.simulation.seed
        self.sizes = {} if study.simulation.d is None else {"d": study.simulation.d}
        self.shape = tuple(map(len, study.simulation_axes().values()))
        self.finished = np.zeros((*self.shape, self.seeds), dtype=bool)
        self.samples: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return self.finished.size

    def key(self, number: int) -> str:
        """See `Work`: point and repetition; more seeds later are more tiles."""
        point, repetition = divmod(number, self.seeds)
        return f"{point}-{repetition}"

    def task(self, number: int) -> Task:
        """See `Work`."""
        point, repetition = divmod(number, self.seeds)
        # the network depends on its point and repetition only, not on what was simulated before
        seed = np.random.SeedSequence(self.root, spawn_key=(point, repetition))
        return Task(simulate_networks, (self.simulator, self._cell(point), self.sizes, [seed]))

    def keep(self, number: int, piece: Piece) -> None:
        """What one network measured; trailing axes come last."""
        place = np.unravel_index(number, self.finished.shape)
        for name, (_, values, _) in piece.variables.items():
            if name in self.theory:
                (value,) = values
                samples = self.samples.setdefault(name, np.full(self.finished.shape + value.shape, np.nan))
                samples[place] = np.where(np.isfinite(value), value, np.nan)
        self.finished[place] = True

    def simulate(self, executor: Executor | None = None, store: Store | None = None) -> None:
        """Train every network; what is finished stays if this is interrupted."""
        check_sendable(executor, [("simulation", self.simulator)])
        compute(self, self.keep, executor, store)

    def _cell(self, point: int) -> Problem:
        """The problem of a point, which has no axes left."""
        fixed = self.study.fixed_axes
        lengths = dict(zip(self.study.axes, self.shape, strict=True))
        place = dict(zip(self.study.axes, map(int, np.unravel_index(point, self.shape)), strict=True))
        which = 0
        for name in fixed:
            which = which * lengths[name] + place.pop(name)
        return self.problems[which].isel(**place)

    def dataset(self) -> xr.Dataset:
        """Number of `networks`; per observable its mean, and `<name>_theory`, `_standard_error`, `_z`, ..."""
        import xarray as xr

        dims = tuple(self.study.axes)
        variables: dict[str, Any] = {"converged": self.theory["converged"],
                                     "networks": (dims, self.finished.sum(axis=-1))}
        for name, samples in self.samples.items():
            own = self.theory[name]
            along = (*dims, *(dim for dim in own.dims if dim not in dims))
            theory = own.transpose(*along).values
            mean, error = _statistics(samples, self.finished)
            deviation = mean - theory
            variables[name] = (along, mean, own.attrs)
            variables[f"{name}_theory"] = (along, theory, own.attrs)
            variables[f"{name}_standard_error"] = (along, error)
            variables[f"{name}_z"] = (along, _ratio(deviation, error))
            variables[f"{name}_relative_error"] = (along, _ratio(deviation, theory))
        parameters = {**json.loads(self.theory.attrs["parameters"]), "simulation": self.sizes}
        attributes = {**self.theory.attrs, "parameters": json.dumps(parameters), "observables": list(self.samples),
                      **{f"size_{name}": size for name, size in self.sizes.items()}}
        return xr.Dataset(variables, coords=self.theory.coords, attrs=attributes)


def simulation_table(simulation: xr.Dataset) -> Table:
    """One row per point and observable; points without a finished network are left out."""
    dims = simulation["converged"].dims
    shape = simulation["converged"].shape
    points = {str(name): column(dims, shape, array.dims, array.values) for name, array in simulation.coords.items()
              if set(array.dims) <= set(dims)}
    quantities = {"theory": "_theory", "simulation": "", "standard_error": "_standard_error", "z": "_z",
                  "relative_error": "_relative_error"}
    columns = {quantity: _by_component(simulation, suffix) for quantity, suffix in quantities.items()}
    table: Table = {name: [] for name in (*points, "observable", *quantities, "networks")}
    for row, networks in enumerate(simulation["networks"].values.ravel().tolist()):
        for observable in columns["theory"] if networks else ():
            values = [column[observable][row] for column in columns.values()]
            line = [*(values[row] for values in points.values()), observable, *values, networks]
            for name, value in zip(table, line, strict=True):
                table[name].append(value)
    return table


def _by_component(simulation: xr.Dataset, suffix: str) -> dict[str, list]:
    """Columns over the points by observable, with several along trailing axes: `overlaps[2]`."""
    parts = simulation[["converged", *(name + suffix for name in simulation.attrs["observables"])]]
    named = from_dataset(parts.rename({name + suffix: name for name in simulation.attrs["observables"] if suffix}))
    return {name: values for name, values in named.items()
            if name.partition("[")[0] in simulation.attrs["observables"]}


def _statistics(samples: np.ndarray, finished: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the finished networks and its standard error, NaN where there are too few; trailing axes last."""
    axis = finished.ndim - 1
    trailing = (1,) * (samples.ndim - finished.ndim)
    count = finished.sum(axis=-1).reshape(finished.shape[:-1] + trailing)
    finished = finished.reshape(finished.shape + trailing)
    mean = _ratio(np.where(finished, samples, 0.0).sum(axis=axis), count)
    squares = np.where(finished, (samples - np.expand_dims(mean, axis)) ** 2, 0.0).sum(axis=axis)
    return mean, np.sqrt(_ratio(squares, count * (count - 1)))


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b; NaN where b = 0 or the ratio is not defined."""
    defined = np.isfinite(a) & np.isfinite(b) & (b != 0)
    return np.divide(a, b, out=np.full(np.shape(defined), np.nan), where=defined)
