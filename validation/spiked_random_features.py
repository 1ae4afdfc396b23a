"""Simulator of `spiked-random-features`, and what is measured on every ridge readout of features with a spike."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from asymptotics import GiantStep, ParameterError, Problem, SpikedRandomFeatures

from . import networks
from .networks import Array

TEST_POINTS = 10000


def simulate(
    problem: SpikedRandomFeatures, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, float]:
    """Ridge readout on one draw of the weights and of the samples.

    Parameters
    ----------
    problem : SpikedRandomFeatures
        One cell.
    sizes : mapping
        The input dimension "d" >= 2; p and n are `beta d` and `alpha d`, rounded, at least 1.  Optionally "test", the
        number of fresh points on which errors are measured.
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    dict of str to float
        test_error, generalization_error, train_error, ridge_objective, m, th, psi, q1, q2, chi.

    Raises
    ------
    ParameterError
        If the problem has more than one cell, or a size is not allowed.
    """
    cell, d, test_points = one_cell(problem, sizes)
    p, n = whole(cell["beta"] * d), whole(cell["alpha"] * d)
    weights_rng, data_rng, test_rng = networks.generators(seed, 3)

    spike = networks.unit_vector(d, weights_rng)
    rest = networks.unit_vector(d, weights_rng, orthogonal_to=spike)
    alignment = cell["alignment"]
    direction = alignment * spike + math.sqrt(1 - alignment**2) * rest
    weights = networks.spiked_weights(
        p, cell["spike_strength"], spike, cell["bulk_variance"], weights_rng, cell["row_norm_variance"]
    )

    X, y = networks.single_index_data(n, direction, problem.target, cell["noise_var"], data_rng)
    readout, errors = fit_readout(problem, cell, weights, direction, X, y, test_points, test_rng)
    bulk = weights - cell["spike_strength"] * spike
    excess_norms = np.sum(bulk**2, axis=1) - cell["bulk_variance"]
    chi = float(readout @ excess_norms) / math.sqrt(p)
    return errors | order_parameters(readout, bulk, spike, rest) | {"chi": chi}


def one_cell(problem: Problem, sizes: Mapping[str, int]) -> tuple[dict[str, float], int, int]:
    """What a simulator needs to know, checked.

    Parameters
    ----------
    problem : Problem
    sizes : mapping

    Returns
    -------
    cell : dict of str to float
        The cell parameters.
    d : int
        Input dimension.
    test_points : int
        Number of fresh points.

    Raises
    ------
    ParameterError
        If the problem has axes, or a size is missing, unknown or not allowed.
    """
    if problem.shape:
        raise ParameterError(problem.dims[0], "must be one value: a simulation is of one cell, choose it with isel")
    for name, size in sizes.items():
        if name not in ("d", "test"):
            raise ParameterError(name, "is not a size of this simulation (d, test)")
        least = 2 if name == "d" else 1
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < least:
            raise ParameterError(name, f"must be a whole number >= {least}, got {size!r}")
    if "d" not in sizes:
        raise ParameterError("d", "is required (input dimension of the simulated network)")
    cell = {name: float(value.item()) for name, value in problem.cells.arrays.items()}
    return cell, int(sizes["d"]), int(sizes.get("test", TEST_POINTS))


def whole(size: float) -> int:
    """The nearest whole number, at least 1."""
    return max(1, round(size))


def fit_readout(
    problem: GiantStep | SpikedRandomFeatures,
    cell: Mapping[str, float],
    weights: Array,
    direction: Array,
    X: Array,
    y: Array,
    test_points: int,
    rng: np.random.Generator,
) -> tuple[Array, dict[str, float]]:
    """The ridge readout on the features of given weights, and its errors.

    Parameters
    ----------
    problem : GiantStep or SpikedRandomFeatures
    cell : mapping
        Its cell parameters, of which lam and noise_var are used.
    weights : ndarray, shape (p, d)
    direction : ndarray, shape (d,)
        The unit vector theta of the target.
    X, y : ndarray, shapes (n, d) and (n,)
        Training samples of the readout.
    test_points : int
    rng : numpy.random.Generator
        Draws the fresh points.

    Returns
    -------
    readout : ndarray, shape (p,)
    errors : dict of str to float
        test_error, generalization_error, train_error, ridge_objective.
    """
    n, lam = len(y), cell["lam"]
    F = networks.features(weights, problem.activation, X)
    readout = networks.ridge(F, y, lam)
    train_error = float(np.mean((y - F @ readout / math.sqrt(len(weights))) ** 2))
    fresh = networks.fresh_error(weights, readout, problem.activation, direction, problem.target, test_points, rng)
    return readout, {
        "test_error": fresh + cell["noise_var"],
        "generalization_error": fresh,
        "train_error": train_error,
        "ridge_objective": train_error + lam * float(readout @ readout) / n,
    }


def order_parameters(readout: Array, bulk: Array, spike: Array, rest: Array) -> dict[str, float]:
    """Overlaps of the readout w with the bulk W_b of the weights.

    Parameters
    ----------
    readout : ndarray, shape (p,)
        w.
    bulk : ndarray, shape (p, d)
        W_b, the weights without their spike.
    spike, rest : ndarray, shape (d,)
        Orthogonal unit vectors v and zeta: the spike, and the target direction without its component along it.

    Returns
    -------
    dict of str to float
        m = sum w_i/sqrt(p), th = w W_b v/sqrt(p), psi = w W_b zeta/sqrt(p), q1 = |(I - v v^T) W_b^T w|^2/p and
        q2 = |w|^2/p.
    """
    p = len(readout)
    seen = readout @ bulk / math.sqrt(p)
    along_spike = float(seen @ spike)
    across = seen - along_spike * spike
    return {
        "m": float(np.sum(readout)) / math.sqrt(p),
        "th": along_spike,
        "psi": float(seen @ rest),
        "q1": float(across @ across),
        "q2": float(readout @ readout) / p,
    }
