"""Questions to the exponents: boundary lines, the rates that train, the exponents of a feature-learning strength.

`LinearNetworkScaling` delegates to these functions.  Exact exponents give exact answers.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...cells import Cells
from ...errors import AccuracyWarning, ParameterError
from . import boundaries as lines
from . import exponents as ex
from .phase_answers import as_parameter, cells_with, check_lead
from .phases import LinearNetworkPhases

if TYPE_CHECKING:
    from .scaling import LinearNetworkScaling

P = TypeVar("P", bound="LinearNetworkScaling")
Array = NDArray[np.float64]

FACTORS = ("gamma", "var_u", "var_w", "eta_u", "eta_w")


def explicit(problem: P) -> P:
    """The same problem with a preset spelled out."""
    return problem.replace(preset=None, **problem.exponents) if problem.preset is not None else problem


def trainable(problem: P) -> P:
    """See `LinearNetworkScaling.trainable`."""
    problem = explicit(problem)
    given = _numbers(problem.cells)
    shift = _exponents(given, problem.correlated).inf / 2
    return _replaced(problem, problem.cells, {name: given[name] + shift for name in ("e_u", "e_w")})


def with_strength(problem: P, x_chi: Any, by: str, lead: str) -> P:
    """See `LinearNetworkScaling.with_strength`."""
    check_lead(lead)
    problem = explicit(problem)
    value = problem.parameters["c_u"].canonical("x_chi", x_chi)
    if by == "c_gamma":
        cells = cells_with(problem, without=["c_gamma"], x_chi=value)
        given = _numbers(cells)
        at_zero = _exponents({**given, "c_gamma": 0 * given["c_p"]}, problem.correlated)
        return _replaced(problem, cells, {"c_gamma": given["x_chi"] - at_zero.chi / 2})
    if by != "rates":
        raise ParameterError("by", f"must be one of c_gamma, rates, got {by!r}")
    cells = cells_with(problem, x_chi=value)
    given = _numbers(cells)
    needed = -(_exponents(given, problem.correlated).area + 2 * given["x_chi"])
    if np.any(needed < -ex.TOLERANCE):
        warnings.warn(
            f"in {np.count_nonzero(np.broadcast_to(needed < 0, cells.shape))} cells no rates reach this strength; "
            "balanced layers, where it is largest, stand for it", AccuracyWarning, stacklevel=3,
        )
    imbalance = np.maximum(needed, 0) * (1 if lead == "readout" else -1)
    both, gap = given["e_u"] + given["e_w"], given["c_u"] - given["c_w"] - imbalance
    return _replaced(problem, cells, {"e_u": (both + gap) / 2, "e_w": (both - gap) / 2})


def at_width(problem: LinearNetworkScaling, p: Any, factors: Mapping[str, Any]) -> LinearNetworkPhases:
    """See `LinearNetworkScaling.at_width`."""
    problem = explicit(problem)
    p = problem.p if p is None else p
    if p is None:
        raise ParameterError("p", "is required")
    width = problem.parameters["p"].canonical("p", p)
    cells = cells_with(problem, without=["p"], p=width)
    numbers = {name: np.asarray(values, dtype=np.float64) for name, values in cells.arrays.items()}
    if np.any(numbers["c_p"] == 0):
        raise ParameterError("c_p", "must not be 0, where the width does not grow")
    for name in factors:
        if name not in FACTORS:
            raise ParameterError(name, f"must be one of the factors {', '.join(FACTORS)}")
    scale = np.log(numbers["p"]) / numbers["c_p"]
    sizes = {}
    for name, of in zip(FACTORS, ("c_gamma", "c_u", "c_w", "e_u", "e_w"), strict=True):
        logs = -numbers[of] * scale
        if np.any(np.abs(logs) > 700):
            raise ParameterError(of, f"gives a {name} outside of the range of floating point numbers at this width")
        sizes[name] = as_parameter(cells, name, np.exp(logs)) * factors.get(name, 1.0)
    return LinearNetworkPhases(
        p=width, correlation=0.0 if problem.correlation is None else problem.correlation,
        target_coefficient=problem.target_coefficient, threshold=problem.threshold, **sizes,
    )


def boundaries(
    problem: LinearNetworkScaling, x: str, y: str, window: Sequence[Sequence[float]] | None
) -> dict[str, Array]:
    """See `LinearNetworkScaling.boundaries`."""
    arrays = problem.cells.arrays if problem.preset is None else explicit(problem).cells.arrays
    for role, name in (("x", x), ("y", y)):
        if name not in ex.GIVEN:
            raise ParameterError(role, f"must be one of {', '.join(ex.GIVEN)}, got {name!r}")
    if x == y:
        raise ParameterError("y", "must be another exponent than x")
    others = {name: np.asarray(arrays[name], dtype=np.float64) for name in ex.GIVEN if name not in (x, y)}
    for name, values in others.items():
        if values.size != 1:
            raise ParameterError(name, "varies; boundary lines are in the plane of two exponents")
    if window is None:
        window = [(float(np.min(arrays[name])), float(np.max(arrays[name]))) for name in (x, y)]
    try:
        frame = np.asarray(window, dtype=np.float64)
    except (TypeError, ValueError):
        frame = np.zeros(0)
    if frame.shape != (2, 2) or not np.all(frame[:, 0] < frame[:, 1]):
        raise ParameterError("window", f"must be two pairs (low, high), one for {x} and one for {y}")
    rest = {name: float(values.item()) for name, values in others.items()}

    def forms(*which: lines.Form) -> Array:
        return np.array([lines.in_plane(form, x, y, rest) for form in which])

    found = {"x_chi": lines.polygon_edges(forms(*lines.STRENGTH), frame),
             "x_inf": lines.polygon_edges(forms(*lines.RATE), frame)}
    anchored = problem.correlated or rest.get("c_p") == 0
    (balanced,) = forms(lines.BALANCED)
    exception = lines.clipped_line(balanced, -forms(*lines.STRENGTH[:1]), frame) if anchored else None
    found["disalignment"] = np.array([] if exception is None else [exception]).reshape(-1, 2, 2)
    return found


def _numbers(cells: Cells) -> dict[str, NDArray[Any]]:
    """Exponents as fractions, if all are exact, or else as floating point numbers."""
    names = [name for name in (*ex.GIVEN, "x_chi") if name in cells.arrays]
    given = {name: np.asarray(cells.arrays[name]) for name in names}
    if ex.are_exact(given):
        return {name: ex.in_fractions(values) for name, values in given.items()}
    return {name: values.astype(np.float64) for name, values in given.items()}


def _exponents(given: Mapping[str, NDArray[Any]], correlated: bool) -> ex.Exponents:
    return ex.twice_exponents(**{name: given[name] for name in ex.GIVEN}, correlated=correlated)


def _replaced(problem: P, cells: Cells, changes: Mapping[str, NDArray[Any]]) -> P:
    return problem.replace(**{name: as_parameter(cells, name, values) for name, values in changes.items()})
