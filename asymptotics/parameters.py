"""Declarations of parameters and observables: one line each that serves validation, `describe`, docs and datasets."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from .errors import ParameterError
from .rationals import as_float, exact_array

Kind = Literal[
    "number", "rational", "size", "vector", "matrix", "choice", "flag", "nonlinearity", "nonlinearities", "sizes"
]

CELL_KINDS = ("number", "rational", "size")
_NO_DEFAULT: Any = dataclasses.MISSING


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What a parameter means and which values it takes.

    `low` and `high` are allowed values, `above` and `below` are not.  Cell kinds ("number", "rational", "size") take
    arrays.
    """

    meaning: str
    symbol: str
    kind: Kind
    low: float | None
    high: float | None
    above: float | None
    below: float | None
    infinite: bool
    optional: bool
    choices: tuple[str, ...]
    default: Any

    @property
    def is_cell(self) -> bool:
        """Whether arrays are allowed and span the cells of the problem."""
        return self.kind in CELL_KINDS

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING

    @property
    def range(self) -> str:
        """The allowed values, in words."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "flag":
            return "true or false"
        if self.kind in ("nonlinearity", "nonlinearities"):
            return "a name or an expression in x" + (", several" if self.kind == "nonlinearities" else "")
        bounds = [("> ", self.above), (">= ", self.low), ("< ", self.below), ("<= ", self.high)]
        words = " and ".join(sign + _number(bound) for sign, bound in bounds if bound is not None)
        noun = {"size": "a whole number", "sizes": "whole numbers", "vector": "numbers", "matrix": "rows of numbers",
                "rational": 'a number or a fraction such as "1/2"'}.get(self.kind, "a number")
        text = f"{noun} {words}".strip()
        return text + " or null" if self.optional else text

    def canonical(self, name: str, value: Any) -> Any:
        """Return `value` in the one form in which it is stored, or raise `ParameterError`."""
        if value is None:
            if self.optional:
                return None
            raise ParameterError(name, f"must be {self.range}, got null")
        return _CANONICAL[self.kind](self, name, value)

    def check_range(self, name: str, array: np.ndarray) -> None:
        """Raise `ParameterError` that names the first value of `array` outside the allowed range."""
        with np.errstate(invalid="ignore"):
            bad = np.isnan(array) if self.infinite else ~np.isfinite(array)
            self._refuse(name, array, bad, "must be a number" if self.infinite else "must be a finite number")
            for bound, sign, wrong in (
                (self.above, ">", np.less_equal),
                (self.low, ">=", np.less),
                (self.below, "<", np.greater_equal),
                (self.high, "<=", np.greater),
            ):
                if bound is not None:
                    self._refuse(name, array, wrong(array, bound), f"must be {sign} {_number(bound)}")

    @staticmethod
    def _refuse(name: str, array: np.ndarray, bad: np.ndarray, rule: str) -> None:
        if np.any(bad):
            where = np.unravel_index(int(np.argmax(bad)), array.shape) if array.ndim else ()
            place = f" at index {tuple(int(i) for i in where)}" if where else ""
            raise ParameterError(name, f"{rule}, got {_number(float(array[where]))}{place}")


def parameter(
    meaning: str,
    *,
    symbol: str = "",
    kind: Kind = "number",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    infinite: bool = False,
    choices: Sequence[str] = (),
    default: Any = _NO_DEFAULT,
) -> Any:
    """Declare a parameter of a `Problem`.

    Parameters
    ----------
    meaning : str
        One phrase in the field's words.
    symbol : str
        LaTeX, for axes and tables.
    kind : str
        "number", "rational", "size" (cell parameters: scalars or arrays); "vector", "matrix", "choice", "flag",
        "nonlinearity", "nonlinearities", "sizes" (fixed parameters: one per problem).  A "rational" stays exact where
        it is given as integers, fractions or text such as "1/2".
    low, high, above, below : float, optional
        Inclusive (`low`, `high`) and exclusive (`above`, `below`) bounds.
    infinite : bool
        Whether infinities are allowed.
    choices : sequence of str
        For "choice".
    default
        Without one the parameter is required; a default of None makes it optional.
    """
    declared = Parameter(
        meaning, symbol, kind, low, high, above, below, infinite, default is None, tuple(choices), default
    )
    return dataclasses.field(default=default, metadata={"parameter": declared})


class Observable:
    """What a prediction holds under one name; a read-only attribute of `Prediction` objects.

    Of an observable with `labels`, a prediction stores the positions in them; the attribute holds the words.
    """

    def __init__(
        self, meaning: str, symbol: str, units: str, dims: tuple[str, ...], undefined: str,
        labels: tuple[str, ...] = (), boundaries: tuple[str, ...] = (),
    ) -> None:
        self.meaning = meaning
        self.symbol = symbol
        self.units = units
        self.dims = dims
        self.undefined = undefined
        self.labels = labels
        self.boundaries = boundaries
        self.name = ""

    def along(self, *dims: str) -> Observable:
        """The same observable with these trailing axes."""
        return Observable(self.meaning, self.symbol, self.units, dims, self.undefined, self.labels, self.boundaries)

    def undefined_where(self, words: str) -> Observable:
        """The same observable, undefined where these words say."""
        return Observable(self.meaning, self.symbol, self.units, self.dims, words, self.labels, self.boundaries)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, prediction: Any, owner: type) -> Any:
        if prediction is None:
            return self
        try:
            values = prediction.values[self.name]
        except KeyError:
            raise AttributeError(f"{self.name} was not computed; ask for it in solve(observables=[...])") from None
        return in_words(values, self.labels) if self.labels else values


def in_words(codes: Any, labels: Sequence[str]) -> Any:
    """The labels at these positions; -1 is no label, an empty string."""
    words = np.asarray((*labels, ""))[codes]
    if isinstance(words, np.ndarray):
        words.setflags(write=False)
    return words


def observable(
    meaning: str, *, symbol: str = "", units: str = "1", dims: Sequence[str] = (), undefined: str = "",
    labels: Sequence[str] = (), boundaries: Sequence[str] = (),
) -> Any:
    """Declare an observable of a `Prediction`.

    Parameters
    ----------
    meaning : str
        One phrase in the field's words.
    symbol : str
        LaTeX.
    units : str
        "1" for pure numbers.
    dims : sequence of str
        Trailing axes beyond the cells, such as "degree".
    undefined : str
        When the value is NaN (not defined) or infinite (divergent) although the cell converged.
    labels : sequence of str
        The words that the observable can be, without blanks, if it is not a number.  It is solved for and stored as
        positions in this list, -1 where there is no label.
    boundaries : sequence of str
        Observables that vanish where one label gives way to another; for figures.
    """
    if any(not word or word.split() != [word] for word in labels):
        raise ValueError(f"labels must be words without blanks, got {list(labels)}")
    return Observable(meaning, symbol, units, tuple(dims), undefined, tuple(labels), tuple(boundaries))


def _number(value: float) -> str:
    if value == int(value) if math.isfinite(value) else False:
        return str(int(value)) if abs(value) < 1e15 else f"{value:g}"
    return f"{value:.12g}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def is_labelled(value: Any) -> bool:
    """Whether `value` is an `xarray.DataArray` (decided without importing xarray)."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray)


def _numeric(declared: Parameter, name: str, value: Any) -> np.ndarray:
    """A float64 (or, for sizes, int64) read-only copy of numbers; refuses everything else."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise ParameterError(name, f"must be {declared.range}, got a ragged list {_shown(value)}") from None
    if array.dtype.kind not in "iuf" and array.size:
        raise ParameterError(name, f"must be {declared.range}, got {_shown(value)}")
    array = array.astype(np.float64)
    declared.check_range(name, array)
    if declared.kind in ("size", "sizes"):
        if np.any(np.abs(array) > 2**53):
            raise ParameterError(name, f"must be {declared.range} and <= 2^53, got {_shown(value)}")
        if np.any(array != np.floor(array)):
            raise ParameterError(name, f"must be {declared.range}, got {_shown(value)}")
        array = array.astype(np.int64)
    array.setflags(write=False)
    return array


def _rational(declared: Parameter, name: str, value: Any) -> np.ndarray:
    """A read-only copy of numbers: int64 or objects where all are exact, else float64; refuses everything else."""
    try:
        array = exact_array(value)
        declared.check_range(name, as_float(array))
    except ParameterError:
        raise
    except (ValueError, OverflowError, ZeroDivisionError):
        raise ParameterError(name, f"must be {declared.range}, got {_shown(value)}") from None
    if array.dtype.kind != "O":
        array = array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
    array.setflags(write=False)
    return array


def _canonical_cell(declared: Parameter, name: str, value: Any) -> Any:
    numeric = _rational if declared.kind == "rational" else _numeric
    if is_labelled(value):
        array = numeric(declared, name, value.values)
        if array.ndim == 0:
            return array.item()
        import xarray as xr

        labels = {str(dim): np.array(value.coords[dim].values) for dim in value.dims if dim in value.coords}
        if name in labels and array.ndim == 1 and labels[name].dtype.kind in "OU":
            labels[name] = as_float(numeric(declared, name, labels[name]))
        for label in labels.values():
            label.setflags(write=False)
        if name in labels and not (array.ndim == 1 and np.array_equal(labels[name], as_float(array))):
            raise ParameterError(name, f"must have its own values as coordinates along {name!r}")
        return xr.DataArray(array, dims=tuple(str(dim) for dim in value.dims), coords=labels, name=name)
    array = numeric(declared, name, value)
    return array.item() if array.ndim == 0 else array


def _canonical_vector(declared: Parameter, name: str, value: Any) -> np.ndarray:
    array = _numeric(declared, name, value)
    if array.ndim != 1 or not array.size:
        raise ParameterError(name, f"must be a list of numbers, got {_shown(value)}")
    return array


def _canonical_matrix(declared: Parameter, name: str, value: Any) -> np.ndarray:
    array = _numeric(declared, name, value)
    if array.ndim != 2 or not array.size:
        raise ParameterError(name, f"must be a matrix, a list of rows of equal length, got {_shown(value)}")
    return array


def _canonical_choice(declared: Parameter, name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in declared.choices:
        raise ParameterError(name, f"must be {declared.range}, got {_shown(value)}")
    return value


def _canonical_flag(declared: Parameter, name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ParameterError(name, f"must be true or false, got {_shown(value)}")
    return bool(value)


def _canonical_nonlinearity(declared: Parameter, name: str, value: Any) -> Any:
    from .gaussian import nonlinearity

    try:
        return nonlinearity(value)
    except ValueError as error:
        raise ParameterError(name, str(error)) from None


def _canonical_nonlinearities(declared: Parameter, name: str, value: Any) -> tuple:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ParameterError(name, f"must be a list of names or expressions in x, got {_shown(value)}")
    return tuple(_canonical_nonlinearity(declared, f"{name}[{i}]", item) for i, item in enumerate(value))


def _canonical_sizes(declared: Parameter, name: str, value: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in _canonical_vector(declared, name, value))


_CANONICAL: dict[str, Callable[[Parameter, str, Any], Any]] = {
    "number": _canonical_cell,
    "rational": _canonical_cell,
    "size": _canonical_cell,
    "vector": _canonical_vector,
    "matrix": _canonical_matrix,
    "choice": _canonical_choice,
    "flag": _canonical_flag,
    "nonlinearity": _canonical_nonlinearity,
    "nonlinearities": _canonical_nonlinearities,
    "sizes": _canonical_sizes,
}
