"""From a problem to its observables: cells that differ in time only share one run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....datasets import answer_dataset, described
from ..exact import Array
from ..layout import Layout
from .descent import descend
from .flow import STAGES, Path, flow
from .layers import Layers, Training, kernel, layers_of
from .observables import observe

if TYPE_CHECKING:
    import xarray as xr

    from .problem import InputsNetwork

TRAINING = ("gamma", "eta_u", "eta_w", "loss_factor", "m2")
TOLERATED = 1e-10  # residual beyond which a cell has not converged
NUMBERS = 2**22  # in the layers that exist at once

Measure = Callable[[Training, Path], dict[str, Array]]


def solve(problem: InputsNetwork, observables: Sequence[str], refinement: int) -> dict[str, Any]:
    """Observables of all cells, "converged" and "residual"."""
    answer = _sweep(problem, lambda c, path: observe(c, path.state, observables), refinement)
    if "loss" in observables:
        loss_factor, irreducible = (problem.cells.arrays[name] for name in ("loss_factor", "irreducible_loss"))
        answer["loss"] = answer["excess_loss"] + 0.5 * loss_factor * irreducible
    return {name: answer[name] for name in (*observables, "converged", "residual")}


def kernel_dataset(problem: InputsNetwork) -> xr.Dataset:
    """See `InputsNetwork.kernel`."""
    with np.errstate(under="ignore"):
        answer = _sweep(problem, lambda c, path: {"kernel": kernel(c, path.state.u, path.state.W)}, 1)
    values = np.where(answer["converged"][..., None, None], answer["kernel"], np.nan)
    attributes = described("neural tangent kernel weighted by the rates", r"\Theta")
    return answer_dataset(problem, {"kernel": (("input", "other_input"), values, attributes)},
                          {"other_input": problem.axis_labels["input"]})


def _sweep(problem: InputsNetwork, measure: Measure, refinement: int) -> dict[str, Array]:
    """What is measured on the paths of all cells, in their shape."""
    instants = _instants(problem)
    varying = tuple(name for name in (*TRAINING, "step_size") if name in problem.parameters)
    constant_shape, chosen = problem.cells.compact(varying)
    columns = dict(zip(varying, (array.ravel() for array in chosen), strict=True))
    layout = Layout(problem.shape, constant_shape)
    matrix = layout.times(instants)
    times = np.broadcast_to(matrix if layout.upright else matrix.T, (layout.constants, layout.instants))
    many = max(1, NUMBERS // (max(1, layout.instants) * problem.W.size // len(problem.u) * problem.W.shape[1]))
    parts: list[dict[str, Array]] = []
    with np.errstate(over="ignore", invalid="ignore"):  # what is out of range does not converge
        for first in range(0, max(1, layout.constants), many):
            own = slice(first, first + many)
            parts.append(_block(problem, {name: column[own] for name, column in columns.items()}, times[own], measure,
                                refinement))
    return {name: _restored(layout, np.concatenate([part[name] for part in parts])) for name in parts[0]}


def _block(
    problem: InputsNetwork, columns: dict[str, Array], times: Array, measure: Measure, refinement: int
) -> dict[str, Array]:
    c = _training(problem, columns)
    order = np.argsort(times, axis=1, kind="stable")
    start = layers_of(problem.u, problem.W, c)
    if "step_size" in columns:
        path = descend(c, start, columns["step_size"], times.astype(np.int64))
    else:
        sorted_path = flow(c, start, np.take_along_axis(times, order, axis=1), STAGES + 4 * (refinement - 1))
        path = _unsorted(sorted_path, order)
    finite = np.isfinite(path.residual)
    for array in path.state:
        finite &= np.all(np.isfinite(array), axis=tuple(range(2, array.ndim)))
    converged = finite & (path.residual <= TOLERATED)
    residual = np.where(finite, path.residual, np.inf)
    return {**measure(c, path), "converged": converged, "residual": residual}


def _training(problem: InputsNetwork, columns: dict[str, Array]) -> Training:
    D = problem.W.shape[1]
    covariance = np.eye(D) if problem.covariance is None else 0.5 * (problem.covariance + problem.covariance.T)
    gamma, eta_u, eta_w, loss_factor, m2 = (columns[name] for name in TRAINING)
    return Training(gamma, eta_u, eta_w, loss_factor, m2[:, None, None] * covariance, problem.target)


def _unsorted(path: Path, order: NDArray[np.int64]) -> Path:
    back = np.argsort(order, axis=1, kind="stable")

    def put(array: Array) -> Array:
        return np.take_along_axis(array, back.reshape(back.shape + (1,) * (array.ndim - 2)), axis=1)

    return Path(Layers(*map(put, path.state)), put(path.residual))


def _instants(problem: InputsNetwork) -> Array:
    """Times or numbers of steps, along all axes that are not those of a run."""
    arrays = problem.cells.arrays
    return arrays["t"] if "t" in arrays else arrays["steps"]


def _restored(layout: Layout, values: Array) -> Array:
    """(constants, instants, ...) as an array over the axes of the cells and further ones."""
    def back(matrix: Array) -> Array:
        return layout.restore(matrix if layout.upright else matrix.T)

    if values.ndim == 2:
        return back(values)
    trailing = values.shape[2:]
    flat = values.reshape(*values.shape[:2], math.prod(trailing))
    columns = np.stack([back(flat[..., i]) for i in range(flat.shape[-1])], axis=-1)
    return columns.reshape(*columns.shape[:-1], *trailing)
