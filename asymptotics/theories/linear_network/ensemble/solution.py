"""From a problem to its averages: cells one after another, each a rule of thousands of nodes at all its times."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....cells import Cells
from ....errors import AccuracyWarning
from .averages import Ensemble, final_kernel_moments
from .cosine import Angles
from .flow import flow_of
from .initial_law import STEP, Average, InitialLaw, Rule, rule_of
from .linear import LinearEnsemble

Array = NDArray[np.float64]

LARGEST = 140.0  # log10 of what is squared
ENOUGH = 1e-8  # estimated relative error from which a cell is not converged
NAMES = {"coefficient": "mean_coefficient", "kernel": "mean_ntk", "square": "mean_excess_loss",
         "coefficient_spread": "sd_coefficient", "kernel_spread": "sd_ntk"}


class Shared:
    """Rules of laws, which cells of one solve share."""

    def __init__(self, refinement: int) -> None:
        self.refinement = refinement
        self._rules: dict[InitialLaw, tuple[Rule, Angles]] = {}

    def of(self, law: InitialLaw) -> tuple[Rule, Angles]:
        if law not in self._rules:
            rule = rule_of(law, STEP / self.refinement)
            self._rules[law] = rule, Angles(law, rule, self.refinement)
        return self._rules[law]


def solve(cells: Cells, observables: Collection[str], refinement: int) -> dict[str, Any]:
    """Observables of all cells, "converged" and "residual"."""
    fixed = tuple(name for name in cells.arrays if name != "t")
    shape, arrays = cells.compact(fixed)
    times = np.broadcast_to(cells.arrays["t"], cells.shape)
    answer = {name: np.full(cells.shape, np.nan) for name in observables}
    converged, residual = np.zeros(cells.shape, dtype=bool), np.full(cells.shape, np.inf)
    shared = Shared(refinement)
    unreachable = 0
    for index in np.ndindex(shape):
        where = tuple(i if length > 1 else slice(None) for i, length in zip(index, shape, strict=True))
        own = {name: array[index].item() for name, array in zip(fixed, arrays, strict=True)}
        found = averages_of(own, np.atleast_1d(times[where]).ravel(), observables, shared)
        if found is None:
            continue
        unreachable += found.pop("unreachable") * times[where].size
        for name, target in (*answer.items(), ("residual", residual)):
            target[where] = np.reshape([entry[name] for entry in found["times"]], times[where].shape)
        converged[where] = residual[where] < ENOUGH
    if unreachable:
        warnings.warn(f"in {unreachable} of {converged.size} cells the layers are aligned against the target: no "
                      "network reaches it", AccuracyWarning, stacklevel=5)
    return {**answer, "converged": converged, "residual": residual}


def averages_of(
    cell: Mapping[str, Any], times: Array, observables: Collection[str], shared: Shared
) -> dict[str, Any] | None:
    """The observables and the residual of one cell at each of these times; None where float64 does not hold it."""
    if not _squares(cell):
        return None
    if cell["var_u"] == 0 and cell["var_w"] == 0:
        return {"unreachable": False, "times": [_at_rest(cell, observables) for _ in times]}
    if cell["eta_u"] == 0 or cell["eta_w"] == 0:
        return {"unreachable": False, "times": [_linear(cell, t, observables) for t in times.tolist()]}
    flow = flow_of(*(cell[name] for name in (
        "p", "var_u", "var_w", "correlation", "gamma", "eta_u", "eta_w", "m2", "target_coefficient", "loss_factor")))
    if flow is None:
        return None
    rule, angles = shared.of(flow.law)
    ensemble = Ensemble(flow, rule, STEP / shared.refinement)
    final = final_kernel_moments(flow, STEP / shared.refinement)[0] if "mean_final_ntk" in observables else None
    entries = [_at(cell, ensemble, angles, final, t, observables) for t in times.tolist()]
    return {"unreachable": not flow.reachable and flow.target > 0, "times": entries}


def _at(
    cell: Mapping[str, Any], ensemble: Ensemble, angles: Angles, final: float | None, t: float,
    observables: Collection[str],
) -> dict[str, float]:
    flow = ensemble.flow
    found = ensemble.at(t, [name for name, public in NAMES.items() if public in observables])
    F = flow.coefficient_unit
    units = {"coefficient": -F if flow.mirrored else F, "kernel": flow.kernel_unit, "coefficient_spread": F,
             "kernel_spread": flow.kernel_unit, "square": 0.5 * cell["loss_factor"] * cell["m2"] * F * F}
    entry = {NAMES[name]: units[name] * average.value for name, average in found.items() if NAMES[name] in observables}
    relative = [_relative(average, ensemble.scale if name == "coefficient" else 0.0)
                for name, average in found.items() if NAMES[name] in observables]
    if final is not None:
        entry["mean_final_ntk"] = flow.kernel_unit * final
    if "mean_cosine" in observables:
        entry["mean_cosine"] = math.nan
        if _has_angle(cell, t):
            cosine = angles.mean(flow, t)
            entry["mean_cosine"] = flow.cosine_sign * (-1 if flow.mirrored else 1) * cosine.value
            relative.append(cosine.error)
    return entry | {"residual": max(relative, default=0.0)}


def _relative(average: Average, scale: float) -> float:
    """The error in units of the value, or of its natural scale."""
    size = max(abs(average.value), scale)
    return average.error / size if size > 0 else average.error


def _has_angle(cell: Mapping[str, Any], t: float) -> bool:
    """Whether no layer is zero: one that starts there is moved by the other one, if there is a target."""
    if cell["var_u"] > 0 and cell["var_w"] > 0:
        return True
    moved = cell["eta_u"] if cell["var_u"] == 0 else cell["eta_w"]
    alone = cell["var_u"] == 0 and cell["var_w"] == 0
    return bool(t > 0 and cell["target_coefficient"] != 0 and moved > 0 and not alone)


def _squares(cell: Mapping[str, Any]) -> bool:
    """Whether float64 holds the squares of the closed forms, which are not in units of the cell."""
    if cell["eta_u"] > 0 and cell["eta_w"] > 0 and (cell["var_u"] > 0 or cell["var_w"] > 0):
        return True
    start = math.log10(abs(cell["gamma"])) + math.log10(cell["p"]) + 0.5 * sum(
        math.log10(max(cell[name], 1e-300)) for name in ("var_u", "var_w"))
    target = math.log10(max(abs(cell["target_coefficient"]), 1e-300))
    return max(start, target, abs(math.log10(abs(cell["gamma"])))) < LARGEST


def _at_rest(cell: Mapping[str, Any], observables: Collection[str]) -> dict[str, float]:
    """All weights are zero, for ever."""
    loss = 0.5 * cell["loss_factor"] * cell["m2"] * cell["target_coefficient"] ** 2
    values = {"mean_excess_loss": loss, "mean_cosine": math.nan}
    return {name: values.get(name, 0.0) for name in observables} | {"residual": 0.0}


def linear_of(cell: Mapping[str, Any]) -> LinearEnsemble:
    """The ensemble of a cell in which one layer is not trained, or none."""
    fixed = "w" if cell["eta_w"] == 0 else "u"
    eta = cell["eta_u"] if fixed == "w" else cell["eta_w"]
    kernel = cell["gamma"] ** 2 * eta * cell[f"var_{fixed}"]
    return LinearEnsemble(
        cell["p"], cell["target_coefficient"], cell["gamma"] * math.sqrt(cell["var_u"]) * math.sqrt(cell["var_w"]),
        cell["correlation"], kernel, cell["loss_factor"] * cell["m2"] * kernel,
    )


def _linear(cell: Mapping[str, Any], t: float, observables: Collection[str]) -> dict[str, float]:
    """One layer is not trained, or none."""
    ensemble = linear_of(cell)
    entry = {"residual": 0.0}
    for name, value in (
        ("mean_coefficient", ensemble.coefficient), ("sd_coefficient", ensemble.coefficient_spread),
        ("mean_excess_loss", lambda t: 0.5 * cell["loss_factor"] * cell["m2"] * ensemble.square(t)),
        ("mean_ntk", lambda t: ensemble.mean_kernel), ("mean_final_ntk", lambda t: ensemble.mean_kernel),
        ("sd_ntk", lambda t: ensemble.kernel_spread),
    ):
        if name in observables:
            entry[name] = value(t)
    if "mean_cosine" in observables:
        entry["mean_cosine"] = math.nan
        if _has_angle(cell, t):
            entry["mean_cosine"] = (ensemble.cosine(t) if ensemble.start != 0 else
                                    math.copysign(1.0, cell["gamma"]) * math.copysign(1.0, cell["target_coefficient"]))
    return entry
