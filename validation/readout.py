"""What both simulators share: the sizes of a network, its ridge readouts, and what is measured on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from asymptotics import GiantStep, ParameterError, Problem, SpikedRandomFeatures

from . import networks
from .networks import Array

TEST_POINTS = 10000

ERRORS = ("test_error", "train_error")
ORDER_PARAMETERS = ("m", "th", "psi", "q1", "q2")
RIDGES = (0.01, 0.1, 1.0)  # lam of every setting of the protocols


class Plan(NamedTuple):
    """One network, and the ridges of its readouts.

    Attributes
    ----------
    cell : dict of str to float
        The cell parameters without `lam`.
    lam : ndarray
        Ridge penalties, one per cell, flat.
    d, p, n : int
        Input dimension, hidden units, samples of the readout.
    test_points : int
        Number of fresh points.
    """

    cell: dict[str, float]
    lam: Array
    d: int
    p: int
    n: int
    test_points: int


def plan(problem: GiantStep | SpikedRandomFeatures, sizes: Mapping[str, int]) -> Plan:
    """The network of a problem at a size.

    Parameters
    ----------
    problem : GiantStep or SpikedRandomFeatures
        Only `lam` may vary: its readouts share one network and one training set.
    sizes : mapping
        The input dimension "d" >= 2; p and n are `beta d` and `alpha d`, rounded, at least 1.  Optionally "test", the
        number of fresh points on which errors are measured.

    Raises
    ------
    ParameterError
        If another parameter varies, or a size is missing, unknown or not allowed.
    """
    cell, lam = one_network(problem)
    given = checked(sizes)
    if "d" not in given:
        raise ParameterError("d", "is required (input dimension of the simulated network)")
    d = given["d"]
    return Plan(cell, lam, d, whole(cell["beta"] * d), whole(cell["alpha"] * d), given.get("test", TEST_POINTS))


def one_network(problem: Problem, varying: str = "lam") -> tuple[dict[str, float], Array]:
    """The cell parameters without `varying`, and `varying`, one per cell, flat.

    Raises
    ------
    ParameterError
        If another parameter than `varying` varies.
    """
    arrays = problem.cells.arrays
    for name, value in arrays.items():
        if name != varying and value.size > 1:
            raise ParameterError(name, "must be one value: a simulation is of one network, choose it with isel")
    cell = {name: float(value.item()) for name, value in arrays.items() if name != varying}
    return cell, np.broadcast_to(arrays[varying], problem.shape).reshape(-1)


def checked(sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes of a simulation, "d" >= 2 and "test" >= 1, as integers.

    Raises
    ------
    ParameterError
        If a size is unknown or not allowed.
    """
    for name, size in sizes.items():
        if name not in ("d", "test"):
            raise ParameterError(name, "is not a size of this simulation (d, test)")
        least = 2 if name == "d" else 1
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < least:
            raise ParameterError(name, f"must be a whole number >= {least}, got {size!r}")
    return {name: int(size) for name, size in sizes.items()}


def blocks(problem: GiantStep | SpikedRandomFeatures, p: int) -> list[slice]:
    """The hidden units of every readout level: contiguous, in the order of the levels, their numbers rounded.

    Raises
    ------
    ParameterError
        If a level would have none.
    """
    ends = np.rint(p * np.cumsum(problem.readout_fractions) / np.sum(problem.readout_fractions)).astype(int)
    starts = np.concatenate([[0], ends[:-1]])
    if np.any(ends <= starts):
        raise ParameterError("readout_fractions", f"must leave every level a neuron, they do not with {p} neurons")
    return [slice(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def by_neuron(values: Any, parts: Sequence[slice]) -> Array:
    """Values of all hidden units from one value, or one for every readout level."""
    each = np.broadcast_to(np.asarray(values, dtype=np.float64), (len(parts),))
    return np.repeat(each, [part.stop - part.start for part in parts])


def whole(size: float) -> int:
    """The nearest whole number, at least 1."""
    return max(1, round(size))


def fit(
    problem: GiantStep | SpikedRandomFeatures,
    plan: Plan,
    weights: Array,
    direction: Array,
    X: Array,
    y: Array,
    rng: np.random.Generator,
) -> tuple[Array, dict[str, Array]]:
    """The ridge readouts on the features of given weights, and their errors.

    Parameters
    ----------
    problem : GiantStep or SpikedRandomFeatures
    plan : Plan
    weights : ndarray, shape (p, d)
    direction : ndarray, shape (d,)
        The unit vector theta of the target.
    X, y : ndarray, shapes (n, d) and (n,)
        Training samples of the readout.
    rng : numpy.random.Generator
        Draws the fresh points.

    Returns
    -------
    readouts : ndarray, shape (number of ridges, p)
    errors : dict of str to ndarray
        test_error, generalization_error, train_error, ridge_objective.
    """
    F = networks.features(weights, problem.activation, X)
    readouts = networks.ridge(F, y, plan.lam)
    fresh = networks.fresh_error(
        weights, readouts, problem.activation, direction, problem.target, plan.test_points, rng
    )
    return readouts, errors(plan, F, y, readouts, fresh)


def errors(plan: Plan, F: Array, y: Array, readouts: Array, fresh: Array) -> dict[str, Array]:
    """The errors of readouts (ridges, p) on features F and labels y, and `fresh`, those on noiseless fresh points."""
    train_error = np.mean((y - readouts @ F.T / math.sqrt(plan.p)) ** 2, axis=1)
    return {
        "test_error": fresh + plan.cell["noise_var"],
        "generalization_error": fresh,
        "train_error": train_error,
        "ridge_objective": train_error + plan.lam * np.sum(readouts**2, axis=1) / plan.n,
    }


def order_parameters(
    readouts: Array, bulk: Array, spike: Array, rest: Array, parts: Sequence[slice] = (slice(None),)
) -> dict[str, Array]:
    """Overlaps of readouts w with the bulk W_b of the weights.

    Parameters
    ----------
    readouts : ndarray, shape (..., p)
        w.
    bulk : ndarray, shape (p, d)
        W_b, the weights without their spike.
    spike, rest : ndarray, shape (d,)
        Orthogonal unit vectors v and zeta: the spike, and the target direction without its component along it.
    parts : sequence of slice
        The hidden units of every readout level.

    Returns
    -------
    dict of str to ndarray
        m = sum w_i/sqrt(p), th = w W_b v/sqrt(p), psi = w W_b zeta/sqrt(p), q1 = |(I - v v^T) W_b^T w|^2/p and
        q2 = |w|^2/p; with several levels the contributions of their units, along a last axis (q1: two).
    """
    p = readouts.shape[-1]
    seen = np.stack([readouts[..., part] @ bulk[part] for part in parts], axis=-2) / math.sqrt(p)
    along_spike = seen @ spike
    across = seen - along_spike[..., None] * spike
    measured = {
        "m": np.stack([np.sum(readouts[..., part], axis=-1) for part in parts], axis=-1) / math.sqrt(p),
        "th": along_spike,
        "psi": seen @ rest,
        "q1": across @ np.swapaxes(across, -1, -2),
        "q2": np.stack([np.sum(readouts[..., part] ** 2, axis=-1) for part in parts], axis=-1) / p,
    }
    if len(parts) > 1:
        return measured
    return {name: value[..., 0, 0] if name == "q1" else value[..., 0] for name, value in measured.items()}


def shaped(problem: Problem, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Measured values, of all cells or of each, in the shape of the cells and trailing axes; floats without axes."""
    full = {}
    for name, value in measured.items():
        array = np.asarray(value)
        own = len(problem.observables[name].dims)
        shape = problem.shape + array.shape[array.ndim - own:]
        full[name] = np.array(np.reshape(array, shape) if array.ndim > own else np.broadcast_to(array, shape))
    return {name: array if array.ndim else float(array) for name, array in full.items()}
