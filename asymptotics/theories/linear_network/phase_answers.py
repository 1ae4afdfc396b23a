"""Questions to the phase cells: which output factor or rates give a feature-learning strength.

`LinearNetworkPhases` delegates to these functions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...cells import Cells, span
from ...errors import AccuracyWarning, ParameterError
from ...problem import Problem
from .phase_cells import area_squared, kernel_angle_squared, logarithm

if TYPE_CHECKING:
    from .phases import LinearNetworkPhases

P = TypeVar("P", bound="LinearNetworkPhases")
Array = NDArray[np.float64]

LEADS = ("readout", "first_layer")


def cells_with(problem: Problem, without: Iterable[str] = (), **more: Any) -> Cells:
    """The cells spanned by the parameters of a problem, some left out and others added."""
    names = [name for name in problem.cells.arrays if name not in set(without)]
    return span({**{name: getattr(problem, name) for name in names}, **more})


def as_parameter(cells: Cells, name: str, values: Any) -> Any:
    """Values over the cells as a parameter: a number, an array, or a labelled array if there are labels."""
    values = np.asarray(values)
    if not cells.labelled:
        return values if values.ndim else values.item()
    if name in cells.dims:
        raise ParameterError(name, "must not be an axis here: it is what is asked for")
    return cells.label(values)


def check_lead(lead: str) -> None:
    """Refuse what is not one of the layers."""
    if lead not in LEADS:
        raise ParameterError("lead", f"must be one of {', '.join(LEADS)}, got {lead!r}")


def with_strength(problem: P, chi: Any, by: str, lead: str) -> P:
    """See `LinearNetworkPhases.with_strength`."""
    check_lead(lead)
    chi = problem.parameters["m2"].canonical("chi", chi)
    if by == "gamma":
        return _by_gamma(problem, chi)
    if by == "rates":
        return _by_rates(problem, chi, lead)
    raise ParameterError("by", f"must be one of gamma, rates, got {by!r}")


def overlaps(problem: LinearNetworkPhases) -> dict[str, Any]:
    """See `LinearNetworkPhases.overlaps`."""
    cells = cells_with(problem)
    p, var_u, var_w, rho = (cells.arrays[name] for name in ("p", "var_u", "var_w", "correlation"))
    values = {"uu": p * var_u, "ww": p * var_w, "uw": p * rho * np.sqrt(var_u) * np.sqrt(var_w)}
    return {name: as_parameter(cells, name, array) for name, array in values.items()}


def _by_gamma(problem: P, chi: Any) -> P:
    """Eq. (23): gamma p sqrt(V+ V-) chi = 2 sqrt(eta_u eta_w) |A|."""
    sign = np.unique(np.sign(problem.cells.arrays["gamma"]))
    if sign.size != 1:
        raise ParameterError("gamma", "must have one sign")
    cells = cells_with(problem, without=["gamma"], chi=chi)
    ln = _logarithms(cells)
    _refuse_zero(cells, "target_coefficient", "eta_u", "eta_w")
    first, second = ln["eta_w"] + ln["var_u"], ln["eta_u"] + ln["var_w"]
    imbalance = np.abs(first - second)
    ln_sum = np.maximum(first, second) + np.log1p(_exp(-imbalance))
    ln_angle = 0.5 * np.log(_kernel_angle(imbalance, cells))
    ln_gamma = (np.log(2.0) + 0.5 * (ln["eta_u"] + ln["eta_w"]) + ln["target_coefficient"] - ln["p"] - ln_sum - ln_angle
                - ln["chi"])
    if np.any((cells.arrays["var_u"] == 0) & (cells.arrays["var_w"] == 0)):
        raise ParameterError("var_u", "must not be 0 with var_w: both layers would stay at zero")
    if np.any(np.abs(ln_gamma) > 700):
        raise ParameterError("chi", "asks for a gamma outside of the range of floating point numbers")
    return problem.replace(gamma=as_parameter(cells, "gamma", sign[0] * np.exp(ln_gamma)))


def _by_rates(problem: P, chi: Any, lead: str) -> P:
    """Eq. (23) for the imbalance: sinh(delta/2)^2 = (g/chi)^2 - (1 - rho^2), at the same eta_u eta_w."""
    cells = cells_with(problem, chi=chi)
    ln = _logarithms(cells)
    _refuse_zero(cells, "target_coefficient", "eta_u", "eta_w", "var_u", "var_w")
    ln_share = ln["target_coefficient"] - ln["gamma"] - ln["p"] - 0.5 * (ln["var_u"] + ln["var_w"]) - ln["chi"]
    if np.any(ln_share > 300):
        raise ParameterError("chi", "asks for rates outside of the range of floating point numbers")
    excess = _exp(2 * ln_share) - area_squared(cells.arrays["correlation"])
    if np.any(excess < 0):
        warnings.warn(
            f"in {np.count_nonzero(np.broadcast_to(excess < 0, cells.shape))} cells no rates reach this strength; "
            "balanced layers, where it is largest, stand for it", AccuracyWarning, stacklevel=4,
        )
    imbalance = 2 * np.arcsinh(np.sqrt(np.maximum(excess, 0.0)))
    # ln(a/b) < 0 where the readout makes more of the kernel
    ln_ratio = (-imbalance if lead == "readout" else imbalance) + ln["var_w"] - ln["var_u"]
    middle = 0.5 * (ln["eta_u"] + ln["eta_w"])
    rates = {"eta_u": np.exp(middle - 0.5 * ln_ratio), "eta_w": np.exp(middle + 0.5 * ln_ratio)}
    return problem.replace(**{name: as_parameter(cells, name, values) for name, values in rates.items()})


def _logarithms(cells: Cells) -> dict[str, Array]:
    return {name: logarithm(np.asarray(values, dtype=np.float64)) for name, values in cells.arrays.items()}


def _kernel_angle(imbalance: Array, cells: Cells) -> Array:
    with np.errstate(under="ignore"):
        return kernel_angle_squared(imbalance, cells.arrays["correlation"])


def _exp(values: Array) -> Array:
    with np.errstate(under="ignore"):
        return np.exp(values)


def _refuse_zero(cells: Cells, *names: str) -> None:
    for name in names:
        if np.any(cells.arrays[name] == 0):
            raise ParameterError(name, "must not be 0: the feature-learning strength would be 0 or not depend on it")
