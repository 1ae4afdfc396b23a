"""Running a study: theory on the grid, networks at the points, files."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..datasets import plain, plain_parameters
from ..errors import ParameterError
from ..files import check_writable, reason
from ..netcdf import write_dataset
from ..tables import header_of_dataset, pieces_of_dataset, write_csv
from .executors import opened
from .joining import joined
from .simulation import Networks, find_simulator, identity_of_networks, simulation_table
from .store import NETWORKS, Store
from .study import Axes, Study
from .theory import Theory

if TYPE_CHECKING:
    import xarray as xr

_LONGEST_LIST = 10**5


@dataclasses.dataclass(frozen=True)
class Results:
    """What a study found.

    Attributes
    ----------
    dataset : xarray.Dataset
        Theory on the grid of the study.
    simulation : xarray.Dataset or None
        Simulated networks at the points, with theory, standard errors and z-scores.
    files : tuple of Path
        What was written.
    """

    dataset: xr.Dataset
    simulation: xr.Dataset | None
    files: tuple[Path, ...]

    @property
    def converged(self) -> bool:
        """Whether every cell converged."""
        datasets = [self.dataset] if self.simulation is None else [self.dataset, self.simulation]
        return all(bool(dataset["converged"].all()) for dataset in datasets)


def run_study(
    study: Study, output_dir: str | Path = ".", executor: Executor | None = None, store: str | Path | None = None
) -> Results:
    """Solve a study, simulate its networks, write its files.

    What is computed is kept: the theory is on disk before the first network is trained, and if the simulation is
    interrupted the finished networks are written before the exception passes on.

    Parameters
    ----------
    study : Study
    output_dir : path-like
        Created if missing.
    executor : concurrent.futures.Executor, optional
        Where tiles are solved and networks trained; by default what the section [run] of the study says.
    store : path-like, optional
        A directory that keeps finished tiles and networks, for a run that is started again; by default what the section
        [run] says, relative to `output_dir`.

    Returns
    -------
    Results

    Raises
    ------
    ParameterError
        If the simulator is missing, a file cannot be written or the store is not its own; before anything is computed.
    """
    simulator = find_simulator(study.theory.slug) if study.simulation else None
    paths = _paths(study, Path(output_dir))
    if store is None and study.run.store is not None:
        store = Path(output_dir) / study.run.store
    theory = Theory(study.problems(), study.optimal, study.chosen, study.output.observables, study.run.tile_cells)
    about = {"theory": study.theory.slug, "version": __version__, "study": study.document}
    with contextlib.ExitStack() as stack:
        tiles = trained = None
        if store is not None:
            tiles = stack.enter_context(Store(store, theory.identity(), about))
            if simulator is not None:
                identity = identity_of_networks(study, simulator)
                trained = stack.enter_context(Store(Path(store) / NETWORKS, identity, about))
        if executor is None:
            executor = stack.enter_context(opened(study.run.workers, study.run.scheduler))
        dataset = _labelled(study, theory, study.axes, executor, tiles)
        files = _write(study, paths, dataset)
        if simulator is None:
            return Results(dataset, None, tuple(files))
        problems = [study.optimised(problem) for problem in study.problems(study.simulation_axes())]
        at_points = Theory(problems, (), study.chosen, study.output.observables, study.run.tile_cells)
        beside = _labelled(study, at_points, study.simulation_axes(), executor, None)
        networks = Networks(study, problems, beside, simulator)
        try:
            networks.simulate(executor, trained)
        finally:
            simulation = networks.dataset()
            if networks.finished.any():
                files = _write(study, paths, dataset, simulation)
        return Results(dataset, simulation, tuple(files))


def _labelled(study: Study, theory: Theory, axes: Axes, executor: Executor | None, store: Store | None) -> xr.Dataset:
    """Solutions of all problems as one dataset, its dimensions in the order of the axes."""
    parts = theory.collect(executor, store)
    for name in reversed(study.fixed_axes):
        parts = joined(parts, theory.problems[0], name, axes[name], study.chosen)
    (dataset,) = parts
    dataset = dataset.transpose(*axes, ...)
    given = {name: _plain(dataset.coords[name]) for name in dataset.coords if name in study.theory.parameters}
    dataset.attrs["parameters"] = json.dumps({**plain_parameters(theory.problems[0]), **given})
    dataset.attrs["study"] = json.dumps(study.document)
    return dataset


def _plain(values: xr.DataArray) -> Any:
    """A parameter as JSON data; of a large grid of optima, where they are found."""
    if values.size > _LONGEST_LIST:
        return {"dims": list(values.dims), "variable": values.name}
    return plain(values)


def _paths(study: Study, directory: Path) -> dict[str, list[Path]]:
    """Every file the study writes, by kind; directories are created, and what cannot be written is refused."""
    output = study.output
    wanted = {"table": [output.table] if output.table else [], "netcdf": [output.netcdf] if output.netcdf else [],
              "plot": list(output.plot), "simulation": []}
    if study.simulation:
        table = Path(output.table or f"{study.name}.csv")
        wanted["simulation"] = [str(table.with_name(f"{table.stem}_simulation.csv"))]
    paths = {kind: [directory / name for name in names] for kind, names in wanted.items()}
    every = [path for group in paths.values() for path in group]
    for kind, group in paths.items():
        for path in group:
            if every.count(path) > 1:
                raise ParameterError(f"output.{kind}", f"must not be the same file as another output, got {path}")
            _make_directory(path.parent)
            check_writable(f"output.{kind}", path)
    return paths


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ParameterError("output directory", f"cannot create {directory} ({reason(error)})") from None


def _write(study: Study, paths: Mapping[str, list[Path]], dataset: xr.Dataset,
           simulation: xr.Dataset | None = None) -> list[Path]:
    """Write the theory, or with a simulation what it adds; return every file there is."""
    if simulation is None:
        for path in paths["table"]:
            write_csv(path, pieces_of_dataset(dataset), header_of_dataset(dataset))
        for path in paths["netcdf"]:
            write_dataset(path, dataset)
    else:
        for path in paths["simulation"]:
            write_csv(path, simulation_table(simulation), header_of_dataset(simulation))
    if paths["plot"]:
        from .. import plots

        axes = plots.draw(dataset, study.output.plot_kind, study.output.x, study.output.observables, simulation)
        for path in paths["plot"]:
            plots.save(axes.figure, path)
    return [path for kind, group in paths.items() for path in group if simulation is not None or kind != "simulation"]
