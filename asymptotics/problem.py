"""The three words of the library: `Problem`, `.solve()`, `Prediction`."""

from __future__ import annotations

import dataclasses
import difflib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

import numpy as np

from .cells import Cells, span
from .errors import AccuracyWarning, ParameterError
from .parameters import Observable, Parameter, is_labelled, parameter

if TYPE_CHECKING:
    import xarray as xr


class Prediction:
    """The answer to a problem: its observables as arrays, and how the solution went.

    Attributes
    ----------
    problem : Problem
    values : dict of str to ndarray
        The computed observables; each is also an attribute.  Cell shape, plus trailing axes; NumPy scalars where the
        problem has no axes.  Labels are stored as positions in the list of their words (int8, -1 for none); the
        attributes hold the words.
    converged : ndarray of bool
        False where a cell failed: its observables are NaN.
    residual : ndarray
        How far the self-consistent equations are from holding; 1e-12 means twelve digits.  Says nothing about
        quadrature: see `asymptotics.check`.
    """

    observables: ClassVar[Mapping[str, Observable]] = {}

    problem: Problem
    values: Mapping[str, Any]
    converged: Any
    residual: Any

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Observable)}
        cls.observables = {**cls.observables, **own}

    def __init__(self, problem: Problem, values: Mapping[str, Any], converged: Any, residual: Any) -> None:
        vars(self).update(problem=problem, values=dict(values), converged=converged, residual=residual)

    def __setattr__(self, name: str, value: Any) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to {name!r}: a prediction does not change")

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete {name!r}: a prediction does not change")

    def __repr__(self) -> str:
        failed = int(np.size(self.converged) - np.count_nonzero(self.converged))
        cells = f"{self.problem.cells.size} cells" + (f", {failed} not converged" if failed else "")
        return f"{type(self).__name__}({', '.join(self.values)}: {cells})"

    def to_dataset(self) -> xr.Dataset:
        """The prediction as an `xarray.Dataset` that survives netCDF-3: labelled axes, units, all parameters."""
        from .datasets import to_dataset

        return to_dataset(self)


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False, field_specifiers=(parameter,))
class Problem:
    """A question to a theory: a frozen value whose fields are declared with `parameter(...)`.

    Subclasses declare `slug`, `title`, `source`, `prediction` (a `Prediction` subclass), `table_parameters` (the cell
    parameters on which the expensive tables depend) and `is_limit` (whether a simulation needs an input dimension d
    that the problem does not have), and implement `_solve`.
    """

    slug: ClassVar[str] = ""
    title: ClassVar[str] = ""
    source: ClassVar[str] = ""
    prediction: ClassVar[type[Prediction]] = Prediction
    table_parameters: ClassVar[tuple[str, ...]] = ()
    is_limit: ClassVar[bool] = True
    parameters: ClassVar[Mapping[str, Parameter]] = {}

    cells: Cells

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclasses.dataclass(init=False, repr=False, eq=False, frozen=True, kw_only=True)(cls)
        fields: tuple[dataclasses.Field, ...] = dataclasses.fields(cls)  # type: ignore[arg-type]
        cls.parameters = {field.name: field.metadata["parameter"] for field in fields if field.name != "cells"}
        clash = set(cls.parameters) & set(cls.prediction.observables)
        if clash:
            raise TypeError(f"{cls.__name__}: {sorted(clash)} are both parameters and observables")

    def __init__(self, /, **given: Any) -> None:
        cls = type(self)
        for name in given:
            if name not in cls.parameters:
                raise ParameterError(name, _unknown(name, cls.parameters, f"parameter of {cls.slug}"))
        declarations = cls.declarations(given)
        for name, declared in declarations.items():
            if declared.required and name not in given:
                raise ParameterError(name, f"is required ({declared.meaning})")
        # the order of the keywords is the order of the labelled axes
        values = {name: declarations[name].canonical(name, value) for name, value in given.items()}
        for name, declared in declarations.items():
            if name not in values:
                values[name] = declared.canonical(name, declared.default)
        cells = span({name: value for name, value in values.items()
                      if declarations[name].is_cell and value is not None})
        vars(self).update(values)
        vars(self)["cells"] = cells
        trailing = {dim for declared in self.observables.values() for dim in declared.dims}
        for dim in cells.dims:
            if dim in trailing or dim in self.observables:
                raise ParameterError(dim, f"is the name of an observable or of its axis in {cls.slug}; rename the axis")
        self._validate()

    @classmethod
    def declarations(cls, given: Mapping[str, Any]) -> Mapping[str, Parameter]:
        """`parameters`, for those given: a kind or a default may depend on the value of a fixed parameter."""
        return cls.parameters

    @property
    def observables(self) -> Mapping[str, Observable]:
        """What this problem can be asked for; trailing axes may depend on fixed parameters."""
        return self.prediction.observables

    @property
    def axis_labels(self) -> Mapping[str, np.ndarray]:
        """Coordinates along trailing axes of the observables."""
        return {}

    def _validate(self) -> None:
        """Check relations between fixed parameters; raise `ParameterError`."""

    # ---- a problem is a value

    def _values(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name in type(self).parameters}

    def _identity(self) -> tuple:
        return (type(self), self.cells.dims, *((name, _content(getattr(self, name))) for name in self.parameters))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Problem):
            return NotImplemented
        return self is other or self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __reduce__(self) -> tuple[Callable, tuple]:
        return _rebuild, (type(self), self._values())

    def __repr__(self) -> str:
        shown = (f"{name}={_summary(value)}" for name, value in self._values().items() if value is not None)
        return f"{type(self).__name__}({', '.join(shown)})"

    def replace(self, /, **changes: Any) -> Self:
        """The same problem with some parameters changed; axes keep their order."""
        return type(self)(**{**self._values(), **changes})

    # ---- axes

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes of the cells."""
        return self.cells.dims

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes of the cells."""
        return self.cells.shape

    def isel(self, /, **indexers: int | slice | Sequence[int] | np.ndarray) -> Self:
        """The part of the problem at these positions along named axes; an integer drops the axis."""
        for dim in indexers:
            if dim not in self.dims:
                raise ParameterError(dim, f"must be one of the axes {', '.join(self.dims) or '(none)'}")
        changes: dict[str, Any] = {}
        for name, array in self.cells.arrays.items():
            value = getattr(self, name)
            if is_labelled(value):
                changes[name] = value.isel({dim: index for dim, index in indexers.items() if dim in value.dims})
            elif np.ndim(value):
                # the last axis first, one at a time: an integer drops its axis, and lists select products as in xarray
                for axis in reversed(range(array.ndim)):
                    key = _clip(indexers.get(self.dims[axis], slice(None)), array.shape[axis], self.shape[axis])
                    array = array[(slice(None),) * axis + (key,)]
                changes[name] = array
        return self.replace(**changes)

    def sample(self, positions: np.ndarray) -> Self:
        """The cells at flat (row-major) positions, as a problem with one axis."""
        where = np.unravel_index(positions, self.shape) if self.shape else ()
        changes = {
            name: array.item() if array.size == 1
            else array[tuple(np.minimum(index, length - 1) for index, length in zip(where, array.shape, strict=True))]
            for name, array in self.cells.arrays.items()
        }
        return self.replace(**changes)

    # ---- the answer

    def solve(self, observables: Iterable[str] | None = None) -> Any:
        """Solve every cell.

        Parameters
        ----------
        observables : iterable of str, optional
            Compute and keep only these; all by default.

        Returns
        -------
        Prediction
            The subclass named by `self.prediction`.

        Raises
        ------
        ParameterError
            If an observable is not known.

        Warns
        -----
        AccuracyWarning
            Once, with the number of cells that did not converge (they are NaN); and for singular cells.
        """
        return self._predict(self._asked(observables), refinement=1)

    def _asked(self, observables: Iterable[str] | None) -> tuple[str, ...]:
        known = self.observables
        if observables is None:
            return tuple(known)
        if isinstance(observables, str):
            observables = [observables]
        asked = tuple(dict.fromkeys(observables))
        for name in asked:
            if name not in known:
                raise ParameterError("observables", f"{name!r} {_unknown(name, known, f'observable of {self.slug}')}")
        return asked

    def _predict(self, observables: tuple[str, ...], refinement: int) -> Any:
        # exp(-large) and products of tiny numbers round to zero as they should; everything else must be handled
        with np.errstate(under="ignore"):
            solved = self._solve(observables, refinement)
        shape = self.shape
        converged = _filled(solved.pop("converged"), shape)
        residual = _filled(solved.pop("residual"), shape)
        failed = converged.size - np.count_nonzero(converged)
        values, known = {}, self.observables
        for name in observables:
            labels = known[name].labels
            # given up here: large answers exist once
            array = np.asarray(solved.pop(name), dtype=np.int8 if labels else np.float64)
            full = _filled(array, shape + array.shape[array.ndim - len(known[name].dims):])
            if failed:
                full[~converged] = -1 if labels else np.nan
            values[name] = _frozen(full)
        if failed:
            warnings.warn(
                f"{failed} of {converged.size} cells did not converge and are NaN", AccuracyWarning, stacklevel=3
            )
        return self.prediction(self, values, _frozen(converged), _frozen(residual))

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        """Compute `observables`, "converged" and "residual", broadcastable to the cells (plus trailing axes).

        `refinement` divides every quadrature step and multiplies the size of every table.
        """
        raise NotImplementedError


def check(problem: Problem | Prediction, cells: int = 64) -> dict[str, float]:
    """Solve a sample of the cells again with halved quadrature steps and finer tables.

    Parameters
    ----------
    problem : Problem or Prediction
        A prediction stands for its problem.
    cells : int
        Size of the sample: equally spaced cells, the first and the last among them.

    Returns
    -------
    dict of str to float
        For every observable the largest change over the sample, relative to the largest finite |value| in it (or to
        1e-6, so that the rounding noise of a zero does not count); inf where a cell changes between finite and not.
        0 for labels that are the same, inf if one is not.
    """
    if isinstance(problem, Prediction):
        problem = problem.problem
    if not isinstance(problem, Problem):
        raise ParameterError("problem", f"must be a problem or a prediction, got {type(problem).__name__}")
    size = problem.cells.size
    positions = np.unique(np.linspace(0, max(size - 1, 0), min(cells, size)).astype(np.int64))
    sample = problem.sample(positions)
    names = tuple(problem.observables)
    coarse, fine = (sample._predict(names, refinement) for refinement in (1, 2))
    changes = {}
    for name in names:
        a, b = np.ravel(coarse.values[name]), np.ravel(fine.values[name])
        if problem.observables[name].labels:
            changes[name] = 0.0 if np.array_equal(a, b) else float("inf")
            continue
        finite = np.isfinite(a) & np.isfinite(b)
        agree = finite | (a == b) | (np.isnan(a) & np.isnan(b))
        scale = np.max(np.abs(b[finite]), initial=1e-6)
        change = np.max(np.abs(a[finite] - b[finite]), initial=0.0)
        changes[name] = float(change / scale) if np.all(agree) else float("inf")
    return changes


def grid(**axes: Any) -> dict[str, xr.DataArray]:
    """Labelled axes, one dimension each: `Problem(..., **grid(alpha=[...], lam=[...]))` has a cell per combination.

    Parameters
    ----------
    **axes : array_like
        One-dimensional values by parameter name; the axes keep this order.

    Raises
    ------
    ParameterError
        If an axis is not one-dimensional.
    """
    import xarray as xr

    labelled = {}
    for name, values in axes.items():
        array = np.atleast_1d(np.asarray(values))
        if array.dtype.kind == "U":
            array = np.atleast_1d(np.array(values, dtype=object))  # numbers beside text stay numbers
        if array.ndim != 1:
            raise ParameterError(name, f"must be a list of values along one axis, got {array.ndim} axes")
        labelled[name] = xr.DataArray(array, dims=(name,), coords={name: array}, name=name)
    return labelled


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` for a misspelt name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _unknown(name: str, known: Iterable[str], noun: str) -> str:
    known = list(known)
    return f"is not a known {noun}" + (nearest(name, known) or f" ({', '.join(known)})")


def _rebuild(cls: type[Problem], values: Mapping[str, Any]) -> Problem:
    return cls(**values)


def _content(value: Any) -> Any:
    """A hashable image of a canonical parameter value."""
    if is_labelled(value):
        labels = tuple((dim, _content(value.coords[dim].values)) for dim in value.dims if dim in value.coords)
        return (value.dims, labels, _content(value.values))
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            return (value.shape, "O", tuple(value.ravel().tolist()))
        return (value.shape, value.dtype.str, value.tobytes())
    return value


def _summary(value: Any) -> str:
    if is_labelled(value):
        axes = ", ".join(f"{dim}: {length}" for dim, length in zip(value.dims, value.shape, strict=True))
        return f"<{axes}; {_span(value.values)}>"
    if isinstance(value, np.ndarray):
        return repr(value.tolist()) if value.size <= 6 else f"<{'x'.join(map(str, value.shape))}; {_span(value)}>"
    return repr(value)


def _span(array: np.ndarray) -> str:
    return f"{float(np.min(array)):g} to {float(np.max(array)):g}" if array.size else "empty"


def _filled(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A copy that fills the shape."""
    array = np.array(values)
    return array if array.shape == shape else np.array(np.broadcast_to(array, shape))


def _frozen(array: np.ndarray) -> Any:
    if array.ndim == 0:
        return array[()]
    array.setflags(write=False)
    return array


def _clip(index: Any, length: int, full: int) -> Any:
    """The index along an axis of length 1 that stands for an axis of length `full`."""
    if length == full:
        return index
    if isinstance(index, int | np.integer):
        if not -full <= index < full:
            raise IndexError(f"index {index} is out of bounds for an axis of length {full}")
        return 0
    return slice(None)
