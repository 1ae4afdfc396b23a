"""From a balanced problem to its observables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ....datasets import answer_dataset, described
from ..exact import Array
from .modes import Modes, modes_of
from .riccati import Products, conserved, products

if TYPE_CHECKING:
    import xarray as xr

    from .problem import BalancedLinearNetwork

TOLERATED = 1e-9  # residual beyond which a cell has not converged
NUMBERS = 2**17  # in the matrices of one tile

Measure = Callable[[Modes, Products, Array, Array], dict[str, Array]]


def solve(problem: BalancedLinearNetwork, observables: Sequence[str]) -> dict[str, Any]:
    """Observables of all cells, "converged" and "residual"."""
    asked = set(observables)

    def measure(modes: Modes, found: Products, m2: Array, loss_factor: Array) -> dict[str, Array]:
        return observe(modes, found, m2, loss_factor, asked)

    return _sweep(problem, measure)


def observe(modes: Modes, found: Products, m2: Array, loss_factor: Array, asked: set[str]) -> dict[str, Array]:
    """The observables that are asked for, over the points and trailing axes."""
    k = modes.strengths.size
    own = np.arange(k)
    values: dict[str, Array] = {}
    if "singular_values" in asked:
        finite = np.where(np.isfinite(found.function), found.function, 0.0)
        values["singular_values"] = np.linalg.svd(finite, compute_uv=False)
    if "mode_coefficients" in asked:
        values["mode_coefficients"] = found.function[:, own, own]
    if asked & {"gap_norm", "excess_loss"}:
        gap = found.function.copy()
        gap[:, own, own] -= modes.strengths / m2[:, None]
        gap_norm = np.sqrt(np.sum(gap * gap, axis=(1, 2)))
        values |= {"gap_norm": gap_norm, "excess_loss": 0.5 * loss_factor * m2 * gap_norm**2}
    for name, square in (("norm_W1", found.first), ("norm_W2", found.second)):
        values[name] = np.sqrt(np.trace(square, axis1=1, axis2=2))
    return {name: array for name, array in values.items() if name in asked}


def products_dataset(problem: BalancedLinearNetwork) -> xr.Dataset:
    """See `BalancedLinearNetwork.weights_product`."""
    outputs, inputs = map(np.arange, problem.correlation.shape)
    labels = {"output": outputs, "input": inputs, "other_input": inputs, "other_output": outputs}

    def measure(modes: Modes, found: Products, m2: Array, loss_factor: Array) -> dict[str, Array]:
        left, right = modes.left, modes.right
        return {"function": left @ found.function @ right.T, "first": right @ found.first @ right.T,
                "second": left @ found.second @ left.T}

    with np.errstate(under="ignore"):
        found = _sweep(problem, measure)
    converged = found["converged"][..., None, None]
    axes = {"function": (("output", "input"), "product W2 W1", "W_2W_1"),
            "first": (("input", "other_input"), "product W1^T W1", "W_1^TW_1"),
            "second": (("output", "other_output"), "product W2 W2^T", "W_2W_2^T")}
    return answer_dataset(problem, {
        name: (own, np.where(converged, found[name], np.nan), described(words, symbol))
        for name, (own, words, symbol) in axes.items()}, labels)


def _sweep(problem: BalancedLinearNetwork, measure: Measure) -> dict[str, Array]:
    """What is measured at all cells, in their shape."""
    modes = modes_of(problem.W1, problem.W2, problem.correlation)
    arrays = problem.cells.arrays
    m2, loss_factor, eta, t = (np.broadcast_to(arrays[name], problem.shape).reshape(-1)
                               for name in ("m2", "loss_factor", "eta", "t"))
    size = max(1, NUMBERS // modes.start.shape[0] ** 2)
    parts: list[dict[str, Any]] = []
    with np.errstate(over="ignore", invalid="ignore"):  # what is out of range does not converge
        time = loss_factor * eta * m2 * t
        for first in range(0, max(1, time.size), size):
            own = slice(first, first + size)
            found = products(modes, m2[own], time[own])
            residual = conserved(found, modes.lam)
            finite = np.isfinite(residual)
            measured: dict[str, Any] = measure(modes, found, m2[own], loss_factor[own])
            measured |= {"converged": finite & (residual <= TOLERATED), "residual": np.where(finite, residual, np.inf)}
            parts.append(measured)
    return {name: np.concatenate([part[name] for part in parts]).reshape((*problem.shape, *array.shape[1:]))
            for name, array in parts[0].items()}
