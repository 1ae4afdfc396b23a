"""Study files: TOML, every key checked, refused under its key path."""

from __future__ import annotations

import dataclasses
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AccuracyWarning, ParameterError
from ..files import reason
from ..parameters import Observable
from ..problem import Problem, nearest
from ..theories import THEORIES
from .results import left_behind, stated_problem
from .sections import Section, is_number, shown
from .study import CHOSEN, Axes, Output, Run, Simulation, Study

_LARGEST_AXIS = 10**7


def load(path: str | Path) -> Study:
    """Read and check a study: from its file, or from what it left behind.

    Parameters
    ----------
    path : path-like
        A study file (TOML); a table (.csv) or dataset (.nc) that a study wrote; a store; a dataset (.nc) of a problem.

    Raises
    ------
    ParameterError
        Named after the key at fault, such as `axes.alpha`.
    """
    found = left_behind(path)
    if found is not None:
        document, name = found
        if "study" in document:
            return parse(document["study"], name)
        problem = stated_problem(str(path), document)
        return Study(name, type(problem), {}, {}, stated=problem)
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise ParameterError(str(path), f"cannot be read ({reason(error)})") from None
    except RecursionError:
        raise ParameterError(str(path), "cannot be read (nested too deeply)") from None
    return parse(document, Path(path).stem)


def parse(document: Mapping[str, Any], name: str = "study") -> Study:
    """Check the content of a study file; the problems it states are built once to see that they exist."""
    top = Section("", document, ("theory", "optimal", "parameters", "axes", "output", "simulation", "run"))
    theory = find_theory(top.string("theory", required=True))
    parameters = dict(Section("parameters", top.section("parameters"), theory.parameters).table)
    axes = {key: _axis(theory, f"axes.{key}", key, value)
            for key, value in Section("axes", top.section("axes"), theory.parameters).table.items()}
    content = {key: value for key, value in document.items() if key != "run"}
    run = _run(Section("run", top.section("run"), _names(Run)))
    study = Study(name, theory, parameters, axes, top.strings("optimal"), run=run, document=content)
    _check_parameters(study)
    _check_optimal(study)
    problems = _build(study, axes, "axes")
    output = _output(study, problems[0].observables, Section("output", top.section("output"), _names(Output)))
    study = dataclasses.replace(study, output=output)
    if "simulation" in top.table:
        section = Section("simulation", top.section("simulation"), _names(Simulation))
        study = dataclasses.replace(study, simulation=_simulation(study, section))
        _build(study, study.simulation_axes(), "simulation.points")
    return study


def find_theory(slug: str) -> type[Problem]:
    """The problem class of this name."""
    if slug not in THEORIES:
        raise ParameterError("theory", f"{slug!r} is not known{nearest(slug, THEORIES) or ': ' + ', '.join(THEORIES)}")
    return THEORIES[slug]


def _names(section: type) -> list[str]:
    return [field.name for field in dataclasses.fields(section)]


def _axis(theory: type[Problem], path: str, name: str, value: Any) -> Sequence[Any]:
    """The values along an axis, from a list or from {start, stop, num, spacing}."""
    declared = theory.parameters[name]
    if isinstance(value, dict):
        if not declared.is_cell:
            raise ParameterError(path, "must be a list of values: this parameter has no range")
        value = _range(Section(path, value, ("start", "stop", "num", "spacing")))
    elif not isinstance(value, list) or not value:
        raise ParameterError(path, f"must be a list of values or {{start, stop, num, spacing}}, got {shown(value)}")
    elif declared.is_cell and not all(is_number(item) or (declared.kind == "rational" and isinstance(item, str))
                                      for item in value):
        raise ParameterError(path, f"must be a list of finite numbers, got {shown(value)}")
    try:
        if declared.is_cell:
            return declared.canonical(name, value)
        for item in value:
            declared.canonical(name, item)
    except ParameterError as error:
        raise ParameterError(path, error.reason) from None
    return value


def _range(section: Section) -> np.ndarray:
    table = section.table
    for key in ("start", "stop"):
        if not is_number(table.get(key)):
            raise ParameterError(section.key(key), f"must be a finite number, got {shown(table.get(key, 'nothing'))}")
    num = section.whole("num", low=1)
    if num > _LARGEST_AXIS:
        raise ParameterError(section.key("num"), f"must be <= {_LARGEST_AXIS}, got {num}")
    spacing = section.string("spacing") or "linear"
    if spacing not in ("linear", "log"):
        raise ParameterError(section.key("spacing"), f"must be one of linear, log, got {shown(spacing)}")
    start, stop = float(table["start"]), float(table["stop"])
    if spacing == "log" and min(start, stop) <= 0:
        raise ParameterError(section.path, "must have start and stop > 0 with spacing = \"log\"")
    return np.geomspace(start, stop, num) if spacing == "log" else np.linspace(start, stop, num)


def _check_parameters(study: Study) -> None:
    try:
        declarations = study.theory.declarations(study.parameters)
    except ParameterError as error:
        raise ParameterError(f"parameters.{error.name}", error.reason) from None
    for name, value in study.parameters.items():
        if name in study.axes:
            raise ParameterError(f"axes.{name}", "is given in [parameters] as well")
        if isinstance(value, list) and declarations[name].is_cell:
            raise ParameterError(f"parameters.{name}", f"must be one value (a list makes an axis), got {shown(value)}")


def _check_optimal(study: Study) -> None:
    known = [name for name in CHOSEN if hasattr(study.theory, f"optimal_{name}")]
    for name in study.optimal:
        if name not in known:
            hint = nearest(name, known) or f": it has {', '.join(known) or 'none'}"
            raise ParameterError("optimal", f"{study.theory.slug} has no optimal {name!r}{hint}")
        for chosen in CHOSEN[name]:
            if chosen in study.axes:
                raise ParameterError(f"axes.{chosen}", f"is chosen by optimal = {name!r} and cannot be an axis")


def _build(study: Study, axes: Axes, section: str) -> list[Problem]:
    """The problems; says which key of the file is at fault if they cannot be built."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)  # they come again when the study runs
            return study.problems(axes)
    except ParameterError as error:
        base = error.name.partition("[")[0]
        raise ParameterError(f"{section if base in axes else 'parameters'}.{error.name}", error.reason) from None


def _output(study: Study, known: Mapping[str, Observable], section: Section) -> Output:
    observables = section.strings("observables") or None
    for name in observables or ():
        if name not in known:
            hint = nearest(name, known) or f" ({', '.join(known)})"
            raise ParameterError("output.observables", f"{name!r} is not a known observable{hint}")
    output = Output(observables, section.string("table"), section.string("netcdf"), section.strings("plot"),
                    section.string("plot_kind"), section.string("x"))
    for key, paths, suffixes in (("table", [output.table], (".csv",)), ("netcdf", [output.netcdf], (".nc",)),
                                 ("plot", output.plot, (".png", ".pdf"))):
        for path in paths:
            if path is not None:
                _check_path(f"output.{key}", path, suffixes)
    if output.plot:
        from ..plots.figures import COMPONENTS, check_figure

        lengths = {name: len(values) for name, values in study.axes.items()}
        numeric = [name for name in study.axes if name not in study.fixed_axes]
        kind = check_figure(lengths, numeric, output.plot_kind, output.x, "output.")
        scalar = {name for name, declared in known.items() if not declared.dims}
        if kind != "curves" and not scalar & set(observables or (COMPONENTS if kind == "decomposition" else scalar)):
            raise ParameterError("output.observables", "must name an observable to plot that has no axes of its own")
        output = dataclasses.replace(output, plot_kind=kind)
    elif output.plot_kind or output.x:
        raise ParameterError("output.plot_kind" if output.plot_kind else "output.x", "needs output.plot")
    return output


def _run(section: Section) -> Run:
    whole = {name: section.whole(name, low=1) if name in section.table else None for name in ("workers", "tile_cells")}
    store, scheduler = section.string("store"), section.string("scheduler")
    if store is not None:
        _check_inside("run.store", store)
    if scheduler is not None and whole["workers"] is not None:
        raise ParameterError("run.scheduler", "excludes workers: a cluster has its own")
    return Run(store, whole["workers"], scheduler, whole["tile_cells"])


def _check_path(name: str, path: str, suffixes: tuple[str, ...]) -> None:
    _check_inside(name, path)
    if Path(path).suffix.lower() not in suffixes:
        raise ParameterError(name, f"must end in {' or '.join(suffixes)}, got {shown(path)}")


def _check_inside(name: str, path: str) -> None:
    # a study file is data: it must not write elsewhere, nor over files of another kind
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise ParameterError(name, f"must be a path inside the output directory, got {shown(path)}")


def _simulation(study: Study, section: Section) -> Simulation:
    given = section.section("points")
    points: dict[str, Sequence[Any]] = {}
    for name, value in Section("simulation.points", given, study.axes).table.items():
        path = f"simulation.points.{name}"
        points[name] = _axis(study.theory, path, name, value)
        _check_within(path, study, name, points[name])
    for name, values in study.axes.items():
        if len(values) > 1 and name not in points:
            raise ParameterError("simulation.points", f"must have every axis longer than one; {name} is missing")
    limit = study.theory.is_limit
    if not limit and "d" in section.table:
        raise ParameterError(section.key("d"), f"must be left out: {study.theory.slug} has its sizes as parameters")
    return Simulation(section.whole("d", low=1) if limit else None, points, section.whole("seeds", low=2, default=8),
                      section.whole("seed", low=0, default=0))


def _check_within(path: str, study: Study, name: str, values: Sequence[Any]) -> None:
    axis = study.axes[name]
    for value in values:
        if name in study.fixed_axes:
            if value not in axis:
                raise ParameterError(path, f"must be values of the axis, got {shown(value)}")
        elif not np.min(axis) <= value <= np.max(axis):
            low, high = float(np.min(axis)), float(np.max(axis))
            raise ParameterError(path, f"must lie within the axis ({low:g} to {high:g}), got {float(value):g}")
