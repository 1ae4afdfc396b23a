"""The command line: `asymptotics list | describe | predict | run`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import __version__
from .console import Parser, guarded
from .datasets import numbers_as_json, observables_as_json, plain_parameters
from .errors import ParameterError
from .files import check_writable, reason, replacing
from .parameters import Parameter
from .problem import Prediction, Problem
from .tables import from_dataset, from_prediction, header_of_prediction, render, write_csv
from .theories import THEORIES

NOT_CONVERGED = 3

_ROWS_ON_SCREEN = 40


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: all cells converged.  2: the input is invalid, said in one line on standard error.  3: some cells did not
    converge; the output is written all the same.
    """
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    return options.command(options)


# ---- commands


def _list(options: argparse.Namespace) -> int:
    width = max(map(len, THEORIES))
    for slug, theory in THEORIES.items():
        print(f"{slug:{width}}  {theory.title}")
    return 0


def _describe(options: argparse.Namespace) -> int:
    print(describe(_theory(options.slug)))
    return 0


def _predict(options: argparse.Namespace) -> int:
    theory = _theory(options.slug)
    problem = theory(**{**_parameters(options.params), **dict(map(_setting, options.set))})
    _check_outputs(problem, options)
    prediction = problem.solve(options.observables and options.observables.split(","))
    _write(prediction, options)
    if options.json:
        print(json.dumps(_as_json(prediction)))
    elif problem.shape:
        _print_table(_defined(from_prediction(prediction)))
    else:
        _print_values(prediction)
    return 0 if prediction.converged.all() else NOT_CONVERGED


def _run(options: argparse.Namespace) -> int:
    from . import studies

    study = studies.load(options.study)
    if options.workers is not None or options.scheduler is not None:
        where = dataclasses.replace(study.run, workers=options.workers, scheduler=options.scheduler)
        study = dataclasses.replace(study, run=where)
    results = studies.run_study(study, options.output_dir, store=options.store)
    if results.simulation is not None:
        _print_table(studies.simulation_table(results.simulation))
    elif not results.files:
        _print_table(from_dataset(results.dataset))
    for path in results.files:
        print(f"wrote {path}")
    return 0 if results.converged else NOT_CONVERGED


# ---- what the options mean


def _parser() -> argparse.ArgumentParser:
    description = "High-dimensional asymptotics of feature learning in two-layer networks."
    parser = Parser(prog="asymptotics", description=description)
    parser.add_argument("--version", action="version", version=f"asymptotics {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    listing = commands.add_parser("list", help="the theories", description="List the theories.")
    listing.set_defaults(command=_list)

    details = commands.add_parser("describe", help="parameters and observables of a theory",
                                  description="Describe the parameters and observables of a theory.")
    details.add_argument("slug", metavar="THEORY")
    details.set_defaults(command=_describe)

    prediction = commands.add_parser(
        "predict", help="solve a problem", description="Solve a problem and print a table.",
        epilog="exit codes: 0 all cells converged; 2 invalid input; 3 some cells did not converge",
    )
    prediction.add_argument("slug", metavar="THEORY")
    prediction.add_argument("--params", metavar="JSON", default="{}",
                            help="a JSON object, @FILE, or - for standard input; lists broadcast as in NumPy")
    prediction.add_argument("--set", metavar="NAME=VALUE", action="append", default=[],
                            help="one parameter, on top of --params: JSON, or else a string; may be repeated")
    prediction.add_argument("--observables", metavar="NAMES", help="compute these only, separated by commas")
    prediction.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    prediction.add_argument("--csv", metavar="FILE", help="write a table, one row per cell")
    prediction.add_argument("--netcdf", metavar="FILE", help="write a labelled dataset (netCDF-3)")
    prediction.add_argument("--plot", metavar="FILE", help="draw a figure (.png or .pdf)")
    prediction.set_defaults(command=_predict)

    study = commands.add_parser("run", help="run a study file", description="Run a study file.")
    study.add_argument("study", metavar="STUDY.toml")
    study.add_argument("--output-dir", metavar="DIR", default=".", help="where the outputs go; created if missing")
    study.add_argument("--workers", metavar="N", type=int, help="processes; 1, the default, is this process")
    study.add_argument("--scheduler", metavar="ADDRESS", help="dask scheduler, such as tcp://10.0.0.1:8786, instead")
    study.add_argument("--store", metavar="DIR", help="keep finished tiles there: a run that was killed, started again "
                       "with the same command, goes on")
    study.set_defaults(command=_run)
    return parser


def _theory(slug: str) -> type[Problem]:
    from .studies.reading import find_theory

    return find_theory(slug)


def _parameters(text: str) -> dict[str, Any]:
    """The JSON object of --params."""
    source = "--params"
    if text == "-" or text.startswith("@"):
        source = "standard input" if text == "-" else text[1:]
        try:
            text = sys.stdin.read() if text == "-" else Path(source).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ParameterError(source, f"cannot be read ({reason(error)})") from None
    try:
        value = _decode(text)
    except ParameterError:
        raise
    except ValueError as error:
        raise ParameterError(source, f"is not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise ParameterError(source, f"must be a JSON object such as {{\"alpha\": 2}}, got {type(value).__name__}")
    return value


def _setting(text: str) -> tuple[str, Any]:
    """The name and value of one --set."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ParameterError("--set", f"must be NAME=VALUE, got {text!r}")
    try:
        return name.strip(), _decode(value)
    except ParameterError:
        raise
    except ValueError:
        return name.strip(), value


def _decode(text: str) -> Any:
    """JSON as the standard has it: no NaN, no Infinity, no key twice."""
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ParameterError(name, "is given twice")
        values[name] = value
    return values


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _check_outputs(problem: Problem, options: argparse.Namespace) -> None:
    """Refuse what cannot be written or drawn before anything is computed."""
    named = {name: getattr(options, name) for name in ("csv", "netcdf", "plot") if getattr(options, name) is not None}
    places = [os.path.realpath(path) for path in named.values()]
    for (name, path), place in zip(named.items(), places, strict=True):
        if places.count(place) > 1:
            raise ParameterError(f"--{name}", f"must not be the same file as another output, got {path}")
        check_writable(f"--{name}", path)
    if options.plot is not None:
        if Path(options.plot).suffix.lower() not in (".png", ".pdf"):
            raise ParameterError("--plot", f"must end in .png or .pdf, got {options.plot}")
        from .plots import check_figure

        check_figure(dict(zip(problem.dims, problem.shape, strict=True)), problem.dims, prefix="--")


# ---- what is shown


def describe(theory: type[Problem]) -> str:
    """Everything that a theory declares about itself, as text."""
    lines = [f"{theory.slug}: {theory.title}", f"source: {theory.source}", "", "PARAMETERS: symbol, range, default"]
    parameters = [(name, declared.symbol, declared.range, _default(declared))
                  for name, declared in theory.parameters.items()]
    for line, parameter in zip(_columns(parameters), theory.parameters.values(), strict=True):
        lines += [line, f"      {parameter.meaning}"]
    lines += ["", "OBSERVABLES: symbol, further axes"]
    observables = [(name, declared.symbol, ", ".join(declared.dims))
                   for name, declared in theory.prediction.observables.items()]
    for line, observable in zip(_columns(observables), theory.prediction.observables.values(), strict=True):
        lines += [line, f"      {observable.meaning}"]
        if observable.labels:
            lines.append(f"      one of {', '.join(observable.labels)}")
        if observable.undefined:
            lines.append(f"      ({observable.undefined})")
    return "\n".join(lines)


def _default(declared: Parameter) -> str:
    if declared.required:
        return "required"
    default = declared.default
    return json.dumps(list(default) if isinstance(default, tuple) else default, default=str)


def _columns(lines: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  " + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in lines]


def _as_json(prediction: Prediction) -> dict[str, Any]:
    return {
        "theory": prediction.problem.slug,
        "version": __version__,
        "parameters": plain_parameters(prediction.problem),
        "observables": observables_as_json(prediction),
        "converged": prediction.converged.tolist(),
        "residual": numbers_as_json(prediction.residual.tolist()),
    }


def _defined(table: dict[str, list]) -> dict[str, list]:
    """Without components, such as `overlaps[2]`, that are not defined in any row."""
    return {name: values for name, values in table.items()
            if "[" not in name or not all(isinstance(value, float) and math.isnan(value) for value in values)}


def _print_table(table: dict[str, list]) -> None:
    # a pipe gets every row and column; a screen what can be read on it
    screen = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if screen else None
    print(render(table, width, _ROWS_ON_SCREEN if screen else None))


def _print_values(prediction: Prediction) -> None:
    """One cell: a line per observable, with its meaning."""
    meanings = {name: declared.meaning for name, declared in prediction.observables.items()}
    rows = [(name, f"{values[0]:.12g}" if isinstance(values[0], float) else str(values[0]).lower(),
             meanings.get(name.partition("[")[0], ""))
            for name, values in _defined(from_prediction(prediction)).items()]
    print("\n".join(_columns(rows)))


def _write(prediction: Prediction, options: argparse.Namespace) -> None:
    if options.csv is not None:
        write_csv(options.csv, from_prediction(prediction), header_of_prediction(prediction, __version__))
    if options.netcdf is None and options.plot is None:
        return
    dataset = prediction.to_dataset()
    if options.netcdf is not None:
        with replacing(options.netcdf) as temporary:
            dataset.to_netcdf(temporary, engine="scipy")
    if options.plot is not None:
        from . import plots

        plots.save(plots.draw(dataset).figure, options.plot)
