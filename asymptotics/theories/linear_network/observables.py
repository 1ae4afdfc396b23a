"""Observables of the state: loss, cosine, norms, linearised prediction, sharpness; equations (12) - (14) and (17)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from .constants import LARGEST, SMALLEST, Constants
from .exact import Array, binary, binary_root, scaled
from .invariants import Invariants, Layers
from .trajectory import State, factors, log_gap

Mask = NDArray[np.bool_]


class Units(NamedTuple):
    """Constants of the cells that turn the state into observables.

    Attributes
    ----------
    half_ntk : ndarray
        Theta = half_ntk * (2 Theta in the units of the state).
    loss_root : ndarray
        sqrt(c m2/2).
    irreducible : ndarray
        (c/2) Lirr.
    Ar : ndarray
        abs(gamma) area.
    cosine_sign : ndarray
        The sign of gamma.
    fixed_cosine : ndarray
        The cosine where weights are parallel and never change sides, else NaN.
    imbalance : ndarray
        2 gamma^2 |R| in the units of the state.
    u_first : ndarray of bool
        Whether |u| is the norm of the sum (12), not of the quotient.
    first_scale, second_scale : ndarray
        Units of the two norms.
    norm_u0, norm_w0 : ndarray
        At t = 0.
    still : ndarray of bool
        Whether no weight moves: the kernel vanishes.
    gamma : ndarray
        Its absolute value.
    initial_ntk, final_ntk : ndarray
        Theta at t = 0 and in the limit t -> inf.
    initial_rate, decay_rate : ndarray
        c m2 Theta_0, and the rate at which F tends to its limit.
    """

    half_ntk: Array
    loss_root: Array
    irreducible: Array
    Ar: Array
    cosine_sign: Array
    fixed_cosine: Array
    imbalance: Array
    u_first: Mask
    first_scale: Array
    second_scale: Array
    norm_u0: Array
    norm_w0: Array
    still: Mask
    gamma: Array
    initial_ntk: Array
    final_ntk: Array
    initial_rate: Array
    decay_rate: Array

    def part(self, index: Any) -> Self:
        """Some of the cells, or the cells with further axes."""
        return type(self)(*(array[index] for array in self))


def units_of(
    c: Constants, found: Invariants, layers: Layers, parameters: Mapping[str, Array]
) -> Units:
    """Constants of the observables from those of the trajectory; `parameters` by name."""
    gamma, loss_factor, m2 = parameters["gamma"], parameters["loss_factor"], parameters["m2"]
    half = c.half_exponent
    half_ntk = np.where(c.in_range, np.ldexp(0.5, 2 * np.where(c.in_range, half, 0).astype(np.int32)), 0.0)
    u_first = (found.imbalance > 0) | ((found.imbalance == 0) & (parameters["eta_w"] > 0))
    factor, factor_exponent = binary(np.abs(gamma))
    (a, a_exponent), (b, b_exponent) = binary_root(parameters["eta_w"]), binary_root(parameters["eta_u"])
    root, root_exponent = np.where(u_first, a.high, b.high), np.where(u_first, a_exponent, b_exponent)
    root = np.where(root == 0, 1.0, root)
    norm_u = np.hypot(layers.slope.high * layers.length, layers.across)
    still = (c.bP == 0) & (c.bQ == 0)
    with np.errstate(over="ignore"):  # inf is meant
        irreducible = 0.5 * loss_factor * parameters["irreducible_loss"]
    return Units(*np.broadcast_arrays(
        half_ntk,
        np.sqrt(0.5 * loss_factor) * np.sqrt(m2),
        irreducible,
        np.where(c.in_range, found.Ar, 0.0),
        np.where(gamma < 0, -1.0, 1.0),
        _fixed_cosine(c, found),
        2 * np.minimum(scaled(np.abs(found.imbalance), 2 * (found.exponent - half)), LARGEST),
        u_first,
        _usable(scaled(0.5 / (factor * root), half - factor_exponent - root_exponent), still),
        _usable(scaled(2 * root, root_exponent - half), still),
        scaled(norm_u, layers.u_exponent),
        scaled(layers.length, layers.w_exponent),
        still,
        np.abs(gamma),
        (c.bP + c.bQ) * half_ntk,
        np.where(c.reachable, 2 * c.Th * half_ntk, 0.0),
        0.5 * c.k * (c.bP + c.bQ),
        np.where(still, 0.0, c.rate),
    ))


def _usable(scale: Array, still: Mask) -> Array:
    return np.where(still, 0.0, np.where(scale < LARGEST, scale, np.nan))


def _fixed_cosine(c: Constants, found: Invariants) -> Array:
    """Where the target is at F = 0 or behind it: F tends to zero and may underflow."""
    one_sided = (c.bP == 0) != (c.bQ == 0)
    side = np.where(one_sided, np.where(c.bP == 0, -1.0, 1.0), np.sign(found.F0))
    return np.where((found.Ar == 0) & (one_sided | (c.A == 0)) & (side != 0), side, np.nan)


def with_parallel_cosine(c: Constants, units: Units) -> Units:
    """For any loss or step: the cosine is fixed only where the layers are parallel for ever, P = 0 or Q = 0."""
    side = np.where((c.bP == 0) != (c.bQ == 0), np.where(c.bP == 0, -1.0, 1.0), np.nan)
    return units._replace(fixed_cosine=np.where(units.Ar == 0, side, np.nan))


class Writer:
    """Writes the asked observables of one tile after another."""

    def __init__(self, size: int) -> None:
        self._memory = np.zeros((2, size))

    def write(self, c: Constants, units: Units, t: Array, state: State, out: Mapping[str, Array]) -> None:
        """Fill `out`, arrays of the shape of the state by the name of the observable.

        Of a state that did not come from `evaluate`: not `log_gap` and `linearised_coefficient`.  Where the products
        p_i q_j are not conserved, Gam, Ar and the imbalance are those of the time: arrays of the shape of the state.
        """
        for name, values in (("coefficient", state.F), ("gap", state.r), ("residual", state.residual)):
            if name in out:
                np.copyto(out[name], values)
        if "ntk" in out:
            np.multiply(state.double, units.half_ntk, out=out["ntk"])
            if state.vanishing is not None:
                out["ntk"][state.vanishing.where] = state.vanishing.of(units.initial_ntk)
        if "log_gap" in out:
            x = np.minimum(-state.x, LARGEST)
            out["log_gap"][...] = log_gap(c, factors(c, state.D, x), x)
        if "linearised_coefficient" in out:
            linearised(c, units, t, state, out["linearised_coefficient"])
        losses(units, state, out)
        if "sharpness" in out:
            sharpness(c, state, out["sharpness"])
        if not out.keys().isdisjoint(("cosine", "norm_u", "norm_w", "standard_ntk")):
            np.hypot(state.F, units.Ar, out=state.work)
            if "cosine" in out:
                cosine(units, state, out["cosine"])
            self._norms(units, state, out)

    def _norms(self, units: Units, state: State, out: Mapping[str, Array]) -> None:
        if out.keys().isdisjoint(("norm_u", "norm_w", "standard_ntk")):
            return
        shape = state.work.shape
        spare = (row[:state.work.size].reshape(shape) for row in self._memory)
        norm_u, norm_w = (out.get(name, buffer) for name, buffer in zip(("norm_u", "norm_w"), spare, strict=True))
        norms(units, state, norm_u, norm_w)
        if "standard_ntk" in out:
            standard_ntk(units, state, norm_u, norm_w, out["standard_ntk"])


# ---- the formulas: they may use the buffers e and work


def losses(units: Units, state: State, out: Mapping[str, Array]) -> None:
    """(c/2) m2 r^2, with and without (c/2) Lirr; equation (14)."""
    if "excess_loss" not in out and "loss" not in out:
        return
    excess = out.get("excess_loss", state.e)
    with np.errstate(over="ignore"):  # inf is meant
        np.multiply(state.r, units.loss_root, out=state.work)
        np.multiply(state.work, state.work, out=excess)
        if "loss" in out:
            np.add(excess, units.irreducible, out=out["loss"])


def cosine(units: Units, state: State, out: Array) -> None:
    """F/sqrt(F^2 + Ar^2), the root being given in `work`; equation (13)."""
    if np.min(state.work, initial=1.0) > 0:
        np.divide(state.F, state.work, out=out)
    else:
        out.fill(np.nan)
        np.divide(state.F, state.work, out=out, where=state.work > 0)
    fixed = ~np.isnan(units.fixed_cosine)
    if np.any(fixed):
        np.copyto(out, units.fixed_cosine, where=fixed)
    if np.any(units.cosine_sign < 0):
        np.multiply(out, units.cosine_sign, out=out)


def norms(units: Units, state: State, norm_u: Array, norm_w: Array) -> None:
    """One norm from a sum, the other from sqrt(F^2 + Ar^2), which is given in `work`; equation (12)."""
    same = bool(np.all(units.u_first)) or not np.any(units.u_first)
    first, second = (norm_u, norm_w) if not same or units.u_first.flat[0] else (norm_w, norm_u)
    root = state.e
    np.add(state.double, units.imbalance, out=root)
    np.sqrt(root, out=root)
    with np.errstate(over="ignore"):  # inf is meant
        np.multiply(root, units.first_scale, out=first)
        np.maximum(root, SMALLEST, out=root)
        np.multiply(state.work, units.second_scale, out=second)
        np.divide(second, root, out=second)
    if not same:
        np.copyto(root, first)
        np.copyto(first, second, where=~units.u_first)
        np.copyto(second, root, where=~units.u_first)
    if np.any(units.still):
        np.copyto(norm_u, units.norm_u0, where=units.still)
        np.copyto(norm_w, units.norm_w0, where=units.still)
    if state.vanishing is not None:
        norm_u[state.vanishing.where] = state.vanishing.of(units.norm_u0, 1.0)
        norm_w[state.vanishing.where] = state.vanishing.of(units.norm_w0, 1.0)


def standard_ntk(units: Units, state: State, norm_u: Array, norm_w: Array, out: Array) -> None:
    """gamma^2 (|u|^2 + |w|^2)."""
    with np.errstate(over="ignore"):  # inf is meant
        for norm, square in ((norm_u, state.e), (norm_w, state.work)):
            np.multiply(norm, units.gamma, out=square)
            np.multiply(square, square, out=square)
        np.add(state.e, state.work, out=out)


def linearised(c: Constants, units: Units, t: Array, state: State, out: Array) -> None:
    """A - r0 e^{-c m2 Theta_0 t}, accurate at both ends; equation (14)."""
    with np.errstate(over="ignore"):
        np.multiply(t, -units.initial_rate, out=out)
    np.exp(out, out=state.e)
    np.expm1(out, out=out)
    np.multiply(out, -c.r0, out=out)
    np.add(out, c.F0, out=out)
    np.less(state.e, 0.5, out=state.mask)
    np.multiply(state.e, c.r0, out=state.e)
    np.subtract(c.A, state.e, out=state.e)
    np.copyto(out, state.e, where=state.mask)


def sharpness(c: Constants, state: State, out: Array) -> None:
    """The largest eigenvalue of the Hessian, (c m2/2) (Theta + sqrt(kap^2 (F - r)^2 + Gam^2)); equation (17)."""
    np.subtract(state.F, state.r, out=out)
    np.multiply(out, c.kap, out=out)
    np.hypot(out, c.Gam, out=out)
    np.multiply(state.double, 0.5, out=state.e)
    np.add(out, state.e, out=out)
    np.multiply(out, 0.5 * c.k, out=out)
