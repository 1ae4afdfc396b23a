"""A person's own runs, or those of a protocol, beside the theory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asymptotics import ParameterError, Prediction, Problem
from asymptotics.tables import from_prediction

from .judgement import LEVEL, Row
from .laws import INVERSE_SIZE, Law
from .report import Report

Array = NDArray[np.float64]
Samples = Mapping[str, ArrayLike]

PRECISION = 0.02
_UNKNOWN_SIZE = 0


def compare(
    problem: Problem,
    samples: Samples | Mapping[int, Samples],
    observables: Iterable[str] | None = None,
    *,
    precision: float | Mapping[str, float] = PRECISION,
    level: float = LEVEL,
    shared: Iterable[str] | None = None,
) -> Report:
    """A person's own runs beside the theory.

    Parameters
    ----------
    problem : Problem
        Its cells are those of the runs.
    samples : mapping
        `{observable: array}`; arrays have the shape of the prediction plus a last axis over independent runs, at least
        two.  Or such mappings by input dimension, `{d: {observable: array}}` with two sizes or more: the simulation is
        then the value extrapolated to 1/d = 0.
    observables : iterable of str, optional
        Which to compare; by default all that the theory knows (others are ignored).
    precision : float or mapping
        Largest allowed standard error in units of |theory|, for all observables or by name; a noisier row is
        inconclusive.
    level : float
        Probability that a correct theory fails.
    shared : iterable of str, optional
        Axes along which the same networks were used, so that the cells fluctuate together (say a ridge that was
        varied on the same features); all axes by default, which is always safe.

    Returns
    -------
    Report
        `print(report)` shows it; `report.passed`, `report.rows`, `report.to_csv(path)`, `report.figure()`.

    Raises
    ------
    ParameterError
        If samples have the wrong shape, are not finite, or are fewer than two; if an observable is not known.

    Notes
    -----
    What the theory says is not defined (say a singular value beyond the last outlier) is left out.
    """
    if not isinstance(problem, Problem):
        raise ParameterError("problem", f"must be a problem, got {type(problem).__name__}")
    if not 0 < level < 1:
        raise ParameterError("level", f"must be between 0 and 1, got {level!r}")
    shared = problem.dims if shared is None else tuple(shared)
    for dim in shared:
        if dim not in problem.dims:
            known = ", ".join(problem.dims) or "there are none"
            raise ParameterError("shared", f"must name axes of the problem ({known}), got {dim!r}")
    by_size = _by_size(samples)
    names = _names(problem, by_size, observables)
    prediction = problem.solve(names)
    runs = {d: {name: _runs(name, part[name], _undefined(prediction, name)) for name in names}
            for d, part in by_size.items()}
    rows = rows_of(setting_of(problem), prediction, runs, precision=precision, shared=shared, undefined=False)
    return Report(title=f"{problem.slug}: theory beside given runs", rows=tuple(rows), level=level)


def rows_of(
    setting: str,
    prediction: Prediction,
    runs: Mapping[int, Mapping[str, Array]],
    *,
    precision: float | Mapping[str, float] = np.inf,
    judged: Iterable[str] | None = None,
    shared: Iterable[str] = (),
    model: str = "",
    undefined: bool = True,
    law: Law = INVERSE_SIZE,
) -> list[Row]:
    """One row per observable and cell.

    An observable that is the same in all cells, in theory and simulation, is one row.

    Parameters
    ----------
    setting : str
    prediction : Prediction
    runs : mapping
        By input dimension, observables of the prediction with a last axis over networks.
    precision : float or mapping
        As in `compare`.
    judged : iterable of str, optional
        Observables that decide; all by default.
    shared : iterable of str
        Axes along which the networks are the same.
    model : str
        Name of the theory.
    undefined : bool
        Whether there are rows of what the theory says is not defined (they do not pass).
    law : Law
        What becomes of several sizes; by default they are extrapolated to 1/d = 0.
    """
    problem = prediction.problem
    shared = set(shared)
    largest = max(runs)
    names = list(runs[largest])
    decide = set(names if judged is None else judged)
    varying = _varying(prediction)
    rows = []
    for name in names:
        theory = np.asarray(prediction.values[name])
        samples = {d: part[name] for d, part in runs.items()}
        limit, means = law.limit(samples), _means(samples)
        missing = _undefined(prediction, name)
        once = _same_in_all_cells([theory, *samples.values()], len(problem.shape))
        for index in np.ndindex(theory.shape):
            place = index[:len(problem.shape)]
            flat = int(np.ravel_multi_index(place, problem.shape)) if place else 0
            if once and flat > 0:
                break
            if missing[index] and not undefined:
                continue
            own = tuple(i for i, dim in zip(place, problem.dims, strict=True) if dim not in shared)
            rows.append(Row(
                setting=setting,
                cell={} if once else {parameter: column[flat] for parameter, column in varying.items()},
                group=(setting, *own),
                observable=_entry(name, index[len(place):]),
                theory=float(theory[index]),
                simulation=float(limit.mean[index]),
                standard_error=float(limit.error[index]),
                freedom=float(limit.freedom[index]),
                networks=samples[largest].shape[-1],
                means={d: float(part[index]) for d, part in means.items()},
                slope=float(limit.slope[index]),
                precision=precision.get(name, np.inf) if isinstance(precision, Mapping) else precision,
                judged=name in decide,
                model=model,
                bounded=law.bounded,
            ))
    return rows


def rows_of_values(
    setting: str,
    values: Mapping[str, float],
    runs: Mapping[int, Mapping[str, Array]],
    *,
    judged: Iterable[str],
    precision: Mapping[str, float],
    law: Law = INVERSE_SIZE,
    model: str = "",
) -> list[Row]:
    """One row for each number that is derived from a theory; of those that are not judged under the name of a model."""
    decide = set(judged)
    rows = []
    for name, theory in values.items():
        samples = {d: part[name] for d, part in runs.items()}
        rule = law if name in decide else INVERSE_SIZE
        limit, means = rule.limit(samples), _means(samples)
        rows.append(Row(
            setting=setting, cell={}, group=(setting,), observable=name, theory=float(theory),
            simulation=float(limit.mean), standard_error=float(limit.error), freedom=float(limit.freedom),
            networks=samples[max(samples)].shape[-1], means={d: float(mean) for d, mean in means.items()},
            slope=float(limit.slope), precision=precision.get(name, np.inf), judged=name in decide,
            model="" if name in decide else model, bounded=rule.bounded,
        ))
    return rows


def by_entry(problem: Problem, values: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Values of observables, one per cell, by the names that they have in rows: overlaps[2]."""
    entries = {}
    for name, value in values.items():
        array = np.asarray(value, dtype=np.float64)
        dims = problem.observables[name].dims if name in problem.observables else ()
        own = array.shape[array.ndim - len(dims):]
        for index in np.ndindex(own):
            entries[_entry(name, index)] = array[(..., *index)]
    return entries


def _entry(name: str, index: tuple[int, ...]) -> str:
    return name + (f"[{','.join(map(str, index))}]" if index else "")


def setting_of(problem: Problem) -> str:
    """The functions of a problem in words, such as tanh/sin."""
    functions = [str(getattr(problem, name)) for name, declared in problem.parameters.items()
                 if declared.kind == "nonlinearity" and getattr(problem, name) is not None]
    return "/".join(functions) or problem.slug


def _varying(prediction: Prediction) -> dict[str, list]:
    """Columns of the parameters that vary, one entry per cell."""
    answers = {*prediction.problem.observables, "converged", "residual"}
    return {name: column for name, column in from_prediction(prediction).items()
            if name.partition("[")[0] not in answers}


def _same_in_all_cells(arrays: Iterable[Array], axes: int) -> bool:
    """Whether arrays, whose first axes are those of the cells, do not depend on the cell."""
    flat = (array.reshape(-1, *array.shape[axes:]) for array in arrays)
    return axes > 0 and all(len(part) > 1 and bool(np.all((part == part[:1]) | np.isnan(part) & np.isnan(part[:1])))
                            for part in flat)


def _means(samples: Mapping[int, Array]) -> dict[int, Array]:
    return {d: np.mean(values, axis=-1) for d, values in samples.items() if d != _UNKNOWN_SIZE}


def _by_size(samples: Any) -> dict[int, Mapping[str, Any]]:
    if not isinstance(samples, Mapping) or not samples:
        raise ParameterError("samples", "must map observables to arrays, and must not be empty")
    if not any(isinstance(part, Mapping) for part in samples.values()):
        return {_UNKNOWN_SIZE: samples}
    for d, part in samples.items():
        if isinstance(d, bool) or not isinstance(d, int | np.integer) or d < 1 or not isinstance(part, Mapping):
            raise ParameterError("samples", f"must map input dimensions to mappings of observables, got {d!r:.40}")
    return {int(d): part for d, part in samples.items()}


def _names(problem: Problem, by_size: Mapping[int, Mapping[str, Any]], observables: Iterable[str] | None) -> list[str]:
    known = problem.observables
    given = [name for name in next(iter(by_size.values())) if all(name in part for part in by_size.values())]
    shown = ", ".join(map(str, given)) or "none"
    if observables is None:
        names = [name for name in known if name in given]
        if not names:
            wanted = ", ".join(known)
            raise ParameterError("samples", f"must contain observables of {problem.slug} ({wanted}), got {shown}")
        return names
    names = [observables] if isinstance(observables, str) else list(dict.fromkeys(observables))
    for name in names:
        if name not in given:
            raise ParameterError("samples", f"must contain the observable {name!r}, got {shown}")
    if not names:
        raise ParameterError("observables", "must name at least one observable")
    return names


def _undefined(prediction: Prediction, name: str) -> NDArray[np.bool_]:
    """Where an observable is NaN although its cell is solved."""
    values = np.asarray(prediction.values[name])
    solved = np.asarray(prediction.converged)
    return np.isnan(values) & solved.reshape(solved.shape + (1,) * (values.ndim - solved.ndim))


def _runs(name: str, values: ArrayLike, undefined: NDArray[np.bool_]) -> Array:
    """The runs of one observable, checked."""
    shape = undefined.shape
    where = f"samples[{name!r}]"
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ParameterError(where, "must be an array of numbers") from None
    if array.shape[:-1] != shape or array.ndim != len(shape) + 1:
        wanted = ", ".join([*map(str, shape), "runs"])
        raise ParameterError(where, f"must have the shape ({wanted}), got {array.shape}")
    if array.shape[-1] < 2:
        raise ParameterError(where, f"must have at least 2 runs, got {array.shape[-1]}")
    if not np.all(np.isfinite(array[~undefined])):
        raise ParameterError(where, "must be finite; leave out runs that failed")
    return array
