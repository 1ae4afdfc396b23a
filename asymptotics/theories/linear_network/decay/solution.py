"""From a problem to its observables.

Equations are numbered as in docs/theories/linear_network_decay.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..constants import LARGEST, SMALLEST, Constants
from ..exact import Array
from ..grid import Grid, Part
from ..layout import TILE
from ..observables import Units, Writer
from ..trajectory import State
from .flow import evolve
from .limits import limits

if TYPE_CHECKING:
    from .problem import LinearNetworkDecay

FIXED = {"final_coefficient": "coefficient", "final_ntk": "ntk", "decay_rate": "rate"}
FADED = 1e-200  # 2 Theta, relative to the largest invariant, below which a norm may be called zero


def solve(problem: LinearNetworkDecay, observables: Sequence[str]) -> dict[str, Any]:
    """Observables of all cells, "converged" and "residual"."""
    grid = Grid(problem.u, problem.w, problem.cells)
    grid.warn_of_impossible(problem.shape, stacklevel=5)
    layout = grid.layout
    needed = dict.fromkeys((*observables, "residual", *(("loss",) if "penalised_loss" in observables else ())))
    moving = {name: np.empty(layout.shape) for name in needed if name not in (*FIXED, "initial_ntk")}
    fixed = {name: np.empty(layout.constants) for name in observables if name in (*FIXED, "initial_ntk")}
    converged = np.empty(layout.constants, dtype=bool)
    known = np.ones(layout.shape, dtype=bool)
    state, writer = State(TILE), Writer(TILE)
    for where, block in grid.blocks():
        converged[where] = block.constants.in_range
        end = limits(block.constants, block.units, block.parameters["weight_decay"])
        for name, values in fixed.items():
            values[where] = getattr(end, FIXED[name]) if name in FIXED else block.units.initial_ntk
        for part in grid.parts(where, block):
            out = {name: part.tile.of(matrix) for name, matrix in moving.items()}
            write(part, state, writer, out)
            np.isfinite(out["residual"], out=part.tile.of(known))
    answer = grid.restore(moving, fixed | {"converged": converged})
    answer["converged"] = answer["converged"] & layout.restore(known)
    return answer


def write(part: Part, state: State, writer: Writer, out: Mapping[str, Array]) -> None:
    """One tile: products of weights decay with e^{-2 mu t}."""
    c, mu = part.constants, part.parameters["weight_decay"]
    state.reshape(part.tile.shape)
    evolve(c, mu, part.instants, state)
    with np.errstate(over="ignore"):
        half = np.exp(-np.minimum(mu * part.instants, LARGEST))
    fading = half * half
    units = part.units._replace(
        Ar=_area(part.units, mu, fading, state), imbalance=part.units.imbalance * fading,
        norm_u0=part.units.norm_u0 * half, norm_w0=part.units.norm_w0 * half,
    )
    shown = {name: values for name, values in out.items() if name != "penalised_loss"}
    writer.write(_faded(c, fading), units, part.instants, state, shown)
    if "penalised_loss" in out:
        np.add(out["loss"], penalty(part, state), out=out["penalised_loss"])


def _faded(c: Constants, fading: Array) -> Constants:
    return c._replace(Gam=c.Gam * fading)


def _area(units: Units, mu: Array, fading: Array, state: State) -> Array:
    """Ar at the time.  Where F and Ar are about to underflow, they give the angle and one of the norms no more."""
    area = units.Ar * fading
    lost = (np.abs(state.F) < SMALLEST) & (area < SMALLEST) & (mu > 0) & ~units.still
    if not np.any(lost):
        return area
    state.F[lost] = 0.0
    return np.where(lost, np.where(state.double < FADED, 0.0, np.nan), area)


def penalty(part: Part, state: State) -> Array:
    """(lam_u |u|^2 + lam_w |w|^2)/2 = 2 mu Theta/kap^2; equation (4)."""
    own, mu = part.parameters, part.parameters["weight_decay"]
    trains = (own["eta_u"] > 0) & (own["eta_w"] > 0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        kap = 2 * np.abs(own["gamma"]) * np.sqrt(own["eta_u"]) * np.sqrt(own["eta_w"])
        value = 2 * mu * (state.double * part.units.half_ntk / kap) / kap
    return np.where(mu == 0, 0.0, np.where(trains, value, np.nan))
