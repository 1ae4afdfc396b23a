"""Solving grids in tiles that stay in the cache: exponents and labels, and the self-averaged networks beside them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...solvers.blocks import Block, blocks, part
from . import exponents as ex
from .phase_cells import PhaseCell, logarithm, observables
from .phase_predictions import INFINITE

Array = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

TILE = 1 << 14

_TWICE = {"x_area": "area", "x_F0": "F0", "x_theta0": "theta0", "x_kappa": "kappa", "x_inf": "inf", "x_chi": "chi"}


def solve_phases(shape: tuple[int, ...], arrays: Arrays, asked: Collection[str]) -> dict[str, Any]:
    """Every cell of `LinearNetworkPhases`, from its parameters."""
    known = ("p", "var_u", "var_w", "gamma", "eta_u", "eta_w", "m2", "target_coefficient", "loss_factor")
    ln = {name: logarithm(arrays[name].astype(np.float64)) for name in known}
    # where nothing is trained
    nothing = (arrays["var_u"] == 0) & (arrays["var_w"] == 0) | (arrays["eta_u"] == 0) & (arrays["eta_w"] == 0)
    # sums of small arrays are made once, of large ones tile by tile
    pieces: dict[str, Array] = {
        "size": ln["gamma"] + ln["p"], "u": ln["eta_w"] + ln["var_u"], "w": ln["eta_u"] + ln["var_w"],
        "norms": 0.5 * (ln["var_u"] + ln["var_w"]), "target": ln["target_coefficient"], "gamma": ln["gamma"],
        "push": ln["target_coefficient"] + (np.log(2.0) + 0.5 * (ln["eta_u"] + ln["eta_w"])),
        "rate": ln["loss_factor"] + ln["m2"], "correlation": arrays["correlation"], "threshold": arrays["threshold"],
        "sign": np.sign(arrays["target_coefficient"]) * np.sign(arrays["gamma"]),
    }

    def tile(block: Block) -> tuple[dict[str, NDArray], NDArray[np.bool_]]:
        here = {name: part(values, block) for name, values in pieces.items()}
        larger = here["size"] + np.maximum(here["u"], here["w"])
        cell = PhaseCell(
            ln_reach=here["target"] - here["size"] - here["norms"], ln_push=here["push"] - larger,
            imbalance=np.abs(here["u"] - here["w"]), ln_kernel=here["gamma"] + larger,
            correlation=here["correlation"], sign=here["sign"], ln_rate=here["rate"], threshold=here["threshold"],
        )
        return observables(cell, asked)

    return _with_gaps(_filled(shape, asked, tile), shape, nothing, asked)


def solve_scaling(
    shape: tuple[int, ...], given: Arrays, correlated: bool, width: Arrays | None, asked: Collection[str]
) -> dict[str, Any]:
    """Every cell of `LinearNetworkScaling`.

    Parameters
    ----------
    shape : tuple of int
    given : mapping
        The exponents; integers and `Fraction`s are exact.
    correlated : bool
    width : mapping or None
        `p`, `correlation`, `target_coefficient` and `threshold` of the finite network.
    asked : collection of str
    """
    if not shape:
        # NumPy turns arrays without axes into Python integers, which np.maximum takes for int64
        one = {name: values.reshape(1) for name, values in given.items()}
        at = None if width is None else {name: values.reshape(1) for name, values in width.items()}
        return {name: values.reshape(()) if values.ndim else values
                for name, values in solve_scaling((1,), one, correlated, at, asked).items()}
    exact = ex.are_exact(given)
    numbers, unit = ex.in_units(given) if exact else ({name: values.astype(np.float64)
                                                       for name, values in given.items()}, 1)
    finite = [name for name in asked if name not in INFINITE]
    pieces = {} if width is None else _width_pieces(width)

    def tile(block: Block) -> tuple[dict[str, NDArray], NDArray[np.bool_]]:
        here = {name: part(values, block) for name, values in numbers.items()}
        tolerance = None if exact else ex.tolerance_of(here)
        twice = ex.twice_exponents(**here, correlated=correlated)
        signs = {name: _sign(twice, name, tolerance) for name in _signs_needed(asked)}
        anchored = correlated | (here["c_p"] == 0)
        found: dict[str, NDArray] = {}
        for name, of in _TWICE.items():
            if name in asked:
                found[name] = _number(twice, of, unit, tolerance)
        if "time_label" in asked:
            found["time_label"] = ex.time_codes(signs["inf"])
        if "kernel_label" in asked:
            found["kernel_label"] = ex.kernel_codes(signs["chi"], signs["imbalance"], anchored)
        if "mechanism_label" in asked:
            found["mechanism_label"] = ex.mechanism_codes(signs["area"], anchored)
        failed: NDArray[np.bool_] = np.zeros((), dtype=np.bool_)
        if finite:
            width_here = {name: part(values, block) for name, values in pieces.items()}
            cell = _cell_at_width(twice, here["c_p"], unit, tolerance, width_here)
            more, failed = observables(cell, finite)
            found.update(more)
        return found, failed

    nothing = given["c_p"] == 0 if finite else np.zeros((), dtype=np.bool_)
    return _with_gaps(_filled(shape, asked, tile), shape, nothing, finite)


def _signs_needed(asked: Collection[str]) -> set[str]:
    return {name for label, names in (("time_label", ("inf",)), ("kernel_label", ("chi", "imbalance")),
                                      ("mechanism_label", ("area",))) if label in asked for name in names}


def _sign(twice: ex.Exponents, name: str, tolerance: Array | None) -> ex.Signs:
    return ex.sign(getattr(twice, name), tolerance if tolerance is None else _multiple(name) * tolerance)


def _number(twice: ex.Exponents, name: str, unit: int, tolerance: Array | None) -> Array:
    """An exponent as float64; zero where it counts as zero."""
    given = getattr(twice, name)
    values = ex.divided(given, _multiple(name) * unit)
    return values if tolerance is None else np.where(np.abs(given) < _multiple(name) * tolerance, 0.0, values)


def _multiple(name: str) -> int:
    return 1 if name == "imbalance" else 2


def _width_pieces(width: Arrays) -> dict[str, Array]:
    target = width["target_coefficient"]
    return {"ln_p": np.log(width["p"].astype(np.float64)), "target": logarithm(target), "sign": np.sign(target),
            "correlation": width["correlation"], "threshold": width["threshold"]}


def _cell_at_width(
    twice: ex.Exponents, c_p: NDArray[Any], unit: int, tolerance: Array | None, width: Mapping[str, Array]
) -> PhaseCell:
    """Eq. (22) at n = p^(1/c_p): every quantity that goes as n^x is n^x."""
    # where the width does not grow there is no n; those cells are left out afterwards
    scale = width["ln_p"] / np.where(c_p == 0, 1.0, ex.divided(c_p, unit))
    area, chi, imbalance, theta0 = (
        _number(twice, name, unit, tolerance) for name in ("area", "chi", "imbalance", "theta0"))
    return PhaseCell(
        ln_reach=width["target"] - scale * area, ln_push=(width["target"] + np.log(2.0)) + scale * chi,
        imbalance=np.abs(scale * imbalance), ln_kernel=scale * theta0,
        correlation=width["correlation"], sign=width["sign"], ln_rate=np.zeros(()), threshold=width["threshold"],
    )


def _filled(
    shape: tuple[int, ...], asked: Collection[str],
    tile: Callable[[Block], tuple[dict[str, NDArray], NDArray[np.bool_]]],
) -> dict[str, Any]:
    """The observables of all tiles."""
    results: dict[str, Any] = {}
    failed = np.zeros(shape, dtype=np.bool_)
    for block in blocks(shape, TILE):
        found, wrong = tile(block)
        for name, values in found.items():
            if name not in results:
                results[name] = np.empty(shape, dtype=values.dtype)
            results[name][block] = values
        if np.any(wrong):
            failed[block] = wrong
    for name in asked:
        results.setdefault(name, np.empty(shape))
    results.update(converged=~failed, residual=np.zeros(()))
    return results


def _with_gaps(
    results: dict[str, Any], shape: tuple[int, ...], nothing: NDArray[np.bool_], names: Collection[str]
) -> dict[str, Any]:
    """NaN, and no label, where observables are not defined."""
    if np.any(nothing):
        where = np.broadcast_to(nothing, shape)
        for name in names:
            results[name][where] = -1 if results[name].dtype.kind == "i" else np.nan
        results["converged"] |= where
    return results
