"""Simulator of `giant-step`: a two-layer network, one step on its first layer, ridge regression of its readout."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from asymptotics import GiantStep

from . import networks
from .spiked_random_features import fit_readout, one_cell, order_parameters, whole


def simulate(problem: GiantStep, sizes: Mapping[str, int], seed: int | np.random.SeedSequence) -> dict[str, float]:
    """One network, trained as in docs/theories/giant_step.md, section 1.

    Parameters
    ----------
    problem : GiantStep
        One cell; its `model` and `n_finite` concern the theory only.
    sizes : mapping
        The input dimension "d" >= 2; p, n and n0 are `beta d`, `alpha d` and `alpha0 d`, rounded, at least 1 (no step
        is made at alpha0 = 0).  Optionally "test", the number of fresh points on which errors are measured.
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    dict of str to float
        test_error, generalization_error, train_error, ridge_objective, m, th, psi, q1, q2, and spike_strength,
        bulk_variance, alignment of the trained weights.

    Raises
    ------
    ParameterError
        If the problem has more than one cell, or a size is not allowed.
    """
    cell, d, test_points = one_cell(problem, sizes)
    p, n = whole(cell["beta"] * d), whole(cell["alpha"] * d)
    weights_rng, step_rng, data_rng, test_rng = networks.generators(seed, 4)

    direction = networks.unit_vector(d, weights_rng)
    weights = networks.sphere_rows(p, d, weights_rng)
    # without a step there is no spike, and any direction orthogonal to the target's stands for it
    spike, strength, alignment = networks.unit_vector(d, weights_rng, orthogonal_to=direction), 0.0, 0.0
    if cell["alpha0"] > 0 and cell["eta"] > 0:
        n0 = whole(cell["alpha0"] * d)
        noise_var_step = cell.get("noise_var_step", cell["noise_var"])
        X, y = networks.single_index_data(n0, direction, problem.target, noise_var_step, step_rng)
        readout = np.full(p, 1 / math.sqrt(p))
        gradient = (y - networks.network(weights, readout, problem.activation, X)) @ X
        weights = networks.gradient_step(weights, readout, problem.activation, X, y, cell["eta"])
        spike = gradient / np.linalg.norm(gradient)
        strength, alignment = float(np.mean(weights @ spike)), float(spike @ direction)
    bulk = weights - strength * spike
    rest = direction - alignment * spike
    rest /= np.linalg.norm(rest)

    X, y = networks.single_index_data(n, direction, problem.target, cell["noise_var"], data_rng)
    readout, errors = fit_readout(problem, cell, weights, direction, X, y, test_points, test_rng)
    measured = {
        "spike_strength": strength,
        "bulk_variance": float(np.mean(np.sum(bulk**2, axis=1))),
        "alignment": alignment,
    }
    return errors | order_parameters(readout, bulk, spike, rest) | measured
