"""From x, y and the gap to the observables of a state; equations (5) and (6).

Equations are numbered as in docs/theories/linear_network_descent.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..constants import LARGEST, Constants
from ..exact import Array
from ..grid import Part
from ..observables import Units
from ..trajectory import State
from .walk import Start

INFINITE = ("excess_loss", "loss", "ntk", "norm_u", "norm_w", "standard_ntk", "sharpness", "stability")


class Scale(NamedTuple):
    """What the cells of a block need beside constants and units, equation (5).

    Attributes
    ----------
    unit : ndarray
        |p| = unit |x|.
    spread, Ar : ndarray
        The area is spread |p||q| + Ar; Ar is not zero where nothing moves.
    rate : ndarray
        H, the step in units of the constants: stability = H Theta.
    moves_u, moves_w : ndarray of bool
        Whether the rates of the layers are positive.
    """

    unit: Array
    spread: Array
    Ar: Array
    rate: Array
    moves_u: NDArray[np.bool_]
    moves_w: NDArray[np.bool_]

    def part(self, index: Any) -> Scale:
        """Some of the cells, or the cells with further axes."""
        return Scale(*(array[index] for array in self))


def scale_of(c: Constants, units: Units, parameters: Mapping[str, Array], start: Start) -> Scale:
    """What does not change on the way."""
    flat = c.Gam == 0
    with np.errstate(over="ignore"):
        spread = np.minimum(units.Ar / np.where(flat, 1.0, c.Gam), LARGEST)
        rate = parameters["step_size"] * c.k
    return Scale(*np.broadcast_arrays(
        start.unit, np.where(flat, 0.0, spread), np.where(units.still, units.Ar, 0.0),
        np.where(start.in_range, rate, 0.0), parameters["eta_u"] > 0, parameters["eta_w"] > 0,
    ))


def fill(part: Part, scale: Scale, path: Sequence[Array], state: State) -> tuple[Part, NDArray[np.bool_]]:
    """The state of a tile from x, y and r, the tile with its constants at the time, and where descent has diverged."""
    c, (x, y, r) = part.constants, path
    with np.errstate(over="ignore", invalid="ignore"):
        p, q = x * scale.unit, y * scale.unit
        diverged = ~(p * p + q * q + c.kap * np.abs(r) + np.abs(r) < LARGEST)
    if np.any(diverged):
        lost = diverged & (c.kap > 0)
        p, q, r = np.where(lost, 0.0, p), np.where(lost, 0.0, q), np.where(diverged, 0.0, r)
    np.multiply(p, p, out=state.up)
    np.multiply(q, q, out=state.down)
    np.add(state.up, state.down, out=state.double)
    np.copyto(state.r, r)
    _coefficient(c, part.instants, state)
    product = p * q
    Gam = np.abs(product)
    with np.errstate(over="ignore"):
        Ar = np.minimum(Gam * scale.spread + scale.Ar, LARGEST)
    units = part.units._replace(Ar=Ar, imbalance=_imbalance(part, Gam))
    flipped = product < 0
    if np.any(flipped):
        units = _flipped(units, c, flipped)
    state.vanishing = None
    return part._replace(constants=c._replace(Gam=Gam), units=units), diverged


def _imbalance(part: Part, Gam: Array) -> Array:
    """2 gamma^2 |R|, which changes as p_i q_j do."""
    before = part.constants.Gam
    return part.units.imbalance / np.where(before == 0, 1.0, before) * Gam


def _coefficient(c: Constants, counts: Array, state: State) -> None:
    """F = F0 + (r0 - r), A - r or, after a first step, (P - Q)/(2 kap), whichever has the most digits; the residual."""
    F, other, r = state.F, state.work, state.r
    difference = state.up - state.down
    twice = 2 * c.kap * (np.abs(c.A) + np.abs(r))
    np.subtract(c.A, r, out=F)
    np.subtract(difference, 2 * c.kap * F, out=state.residual)
    np.abs(state.residual, out=state.residual)
    total = state.double + twice
    np.divide(state.residual, total, out=state.residual, where=total > 0)
    np.subtract(c.r0, r, out=other)
    np.add(other, c.F0, out=other)
    np.copyto(F, other, where=np.abs(r) > 0.5 * np.abs(c.r0))
    np.divide(difference, 2 * c.kap, out=F, where=(2 * state.double < twice) & (counts > 0))


def _flipped(units: Units, c: Constants, flipped: NDArray[np.bool_]) -> Units:
    """Where the imbalance has changed its sign the norms change roles in equation (12) of the flow."""
    first, second = units.first_scale, units.second_scale
    twice = 2 * c.kap
    return units._replace(
        u_first=units.u_first ^ flipped,
        first_scale=np.where(flipped, second / np.where(twice > 0, twice, 1.0), first),
        second_scale=np.where(flipped, first * twice, second),
    )


def write_diverged(
    diverged: NDArray[np.bool_], c: Constants, scale: Scale, out: Mapping[str, Array]
) -> None:
    """inf for what grows, NaN for the coefficient, the gap and the cosine, whose sign is lost; what is fixed stays."""
    for name, values in out.items():
        if name in INFINITE:
            grows = {"ntk": c.kap > 0, "stability": c.kap > 0, "norm_u": scale.moves_u, "norm_w": scale.moves_w}
            np.copyto(values, np.inf, where=diverged & grows.get(name, True))
        elif name in ("coefficient", "gap", "cosine"):
            np.copyto(values, np.nan, where=diverged)
        elif name == "residual":
            np.copyto(values, 0.0, where=diverged)
