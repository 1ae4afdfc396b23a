"""Self-averaged networks of finite width: eq. (22) of docs/theories/linear_network.md (arXiv:2401.07085).

With |u|^2, |w|^2 and <u, w> at their means, everything that training does follows from three numbers: the correlation
rho, the reach g = |A|/(gamma p sigma_u sigma_w) and the imbalance delta = |ln(a/b)|, a = eta_w sigma_u^2 and
b = eta_u sigma_w^2.  Logarithms of all scales come in, so that no product leaves the range of float64; where one layer
starts at zero the reach is infinite, and the push kap |A|/Theta_0 = g sech(delta/2) is not.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .mechanisms import region

Array = NDArray[np.float64]

NOTHING = -1e12  # stands for the logarithm of 0
_NEVER = 1e10  # logarithms beyond are made of such
_PLAIN = 300.0  # up to here squares and products of exponentials are safe
_LARGEST = 709.78

KERNELS = ("initial_ntk", "final_ntk", "decay_rate")


class PhaseCell(NamedTuple):
    """What the observables depend on; arrays that broadcast.

    Attributes
    ----------
    ln_reach : ndarray
        ln g.
    ln_push : ndarray
        ln(kap |A|/(gamma^2 p max(a, b))): kap |A|/Theta_0 without the factor 1/(1 + min(a, b)/max(a, b)).
    imbalance : ndarray
        |ln(a/b)|.
    ln_kernel : ndarray
        ln(gamma^2 p max(a, b)): Theta_0 without the factor 1 + min(a, b)/max(a, b).
    correlation : ndarray
    sign : ndarray
        Of the final cosine, that of A gamma.
    ln_rate : ndarray
        ln(c m2).
    threshold : ndarray
        Of the mechanisms.
    """

    ln_reach: Array
    ln_push: Array
    imbalance: Array
    ln_kernel: Array
    correlation: Array
    sign: Array
    ln_rate: Array
    threshold: Array


def logarithm(values: Array) -> Array:
    """ln |x|, and a number beyond all others for 0."""
    size = np.abs(values)
    return np.where(size > 0, np.log(np.where(size > 0, size, 1.0)), NOTHING)


def kernel_angle_squared(imbalance: Array, correlation: Array) -> Array:
    """(Gam/Theta_0)^2 = 1 - rho^2 sech(delta/2)^2, without cancellation."""
    half = 0.5 * np.expm1(-imbalance)
    return area_squared(correlation) + (correlation * (half / (1 + half))) ** 2


def area_squared(correlation: Array) -> Array:
    """(Ar/(gamma p sigma_u sigma_w))^2 = 1 - rho^2."""
    return (1 - correlation) * (1 + correlation)


def observables(cell: PhaseCell, asked: Collection[str]) -> tuple[dict[str, NDArray], NDArray[np.bool_]]:
    """The observables asked for, and where numbers leave the range of float64; eq. (22).

    Parameters
    ----------
    cell : PhaseCell
    asked : collection of str
        Of `initial_ntk`, `final_ntk`, `decay_rate`, `ntk_ratio`, `initial_cosine`, `final_cosine`, `alignment_change`,
        `rescaling`, `feature_learning_strength`, `mechanism`.
    """
    tops = [float(np.max(logs, initial=0.0)) for logs in (cell.ln_reach, cell.ln_push, cell.ln_kernel, cell.ln_rate)]
    found, failed = (_plain if sum(tops) < _PLAIN else _extreme)(cell, asked)
    cosine = found["final_cosine"]
    found["initial_cosine"] = cell.correlation
    found["final_cosine"] = cell.sign * cosine
    if "alignment_change" in asked or "mechanism" in asked:
        found["alignment_change"] = cosine - np.abs(cell.correlation)
    if "mechanism" in asked:
        found["mechanism"] = region(found["alignment_change"], found["ntk_ratio"], cell.threshold)
    return {name: found[name] for name in asked}, failed


def _plain(cell: PhaseCell, asked: Collection[str]) -> tuple[dict[str, NDArray], NDArray[np.bool_]]:
    """Where no square overflows: almost always."""
    angle, kernel_angle = _angles(cell)
    reach = np.exp(cell.ln_reach)
    both = 1 + np.exp(-cell.imbalance)
    push = np.exp(cell.ln_push) / both
    rescaling = np.sqrt(reach * reach + angle)
    ratio = np.sqrt(push * push + kernel_angle)
    found: dict[str, NDArray] = {"rescaling": rescaling, "ntk_ratio": ratio, "final_cosine": reach / rescaling}
    if "feature_learning_strength" in asked:
        found["feature_learning_strength"] = push / np.sqrt(kernel_angle)
    if not set(KERNELS).isdisjoint(asked):
        found["initial_ntk"] = np.exp(cell.ln_kernel) * both
        found["final_ntk"] = found["initial_ntk"] * ratio
        found["decay_rate"] = np.exp(cell.ln_rate) * found["final_ntk"]
    return found, np.zeros((), dtype=np.bool_)


def _extreme(cell: PhaseCell, asked: Collection[str]) -> tuple[dict[str, NDArray], NDArray[np.bool_]]:
    """The same in logarithms: over the whole range of float64, and with one layer at zero."""
    angle, kernel_angle = _angles(cell)
    ln_both = np.log1p(np.exp(-cell.imbalance))
    ln_push = cell.ln_push - ln_both
    ln_rescaling = 0.5 * np.logaddexp(2 * cell.ln_reach, np.log(angle))
    ln_ratio = 0.5 * np.logaddexp(2 * ln_push, np.log(kernel_angle))
    logs = {
        "rescaling": ln_rescaling, "ntk_ratio": ln_ratio, "final_cosine": cell.ln_reach - ln_rescaling,
        "feature_learning_strength": ln_push - 0.5 * np.log(kernel_angle), "initial_ntk": cell.ln_kernel + ln_both,
    }
    logs["final_ntk"] = logs["initial_ntk"] + ln_ratio
    logs["decay_rate"] = cell.ln_rate + logs["final_ntk"]
    found: dict[str, NDArray] = {}
    failed = np.zeros((), dtype=np.bool_)
    for name, values in logs.items():
        large = values > _LARGEST
        failed = failed | (large & (values < _NEVER))
        found[name] = np.where(large, np.inf, np.exp(np.where(large, 0.0, values)))
    return found, failed


def _angles(cell: PhaseCell) -> tuple[Array, Array]:
    """Eq. (22): squares of Ar over the product of the norms, and of Gam over Theta_0."""
    angle = area_squared(cell.correlation)
    return angle, kernel_angle_squared(cell.imbalance, cell.correlation) if np.any(cell.correlation) else angle
