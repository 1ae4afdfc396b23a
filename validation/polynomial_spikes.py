"""`polynomial-spikes`: one step from zero output with Gaussian readouts, then ridge: the network of the theory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from asymptotics import ParameterError
from asymptotics.theories.polynomial_spikes import PolynomialSpikes

from . import networks
from .networks import Array
from .readout import TEST_POINTS, Plan, checked, errors, one_network, shaped

OUTLIERS = 8  # singular values that are measured
DEGREES = 5  # overlaps that are measured where the target is not given by its coefficients


class Trained(NamedTuple):
    """One network after its step, and the samples of its readout.

    Attributes
    ----------
    weights : ndarray, shape (p, d)
        W1.
    initial : ndarray, shape (p,)
        a, the readout during the step.
    direction, learned : ndarray, shape (d,)
        theta, and b = X^T y/n0 of the samples of the step.
    X, y, F : ndarray, shapes (n, d), (n,) and (n, p)
        Samples of the readout and their features.
    """

    weights: Array
    initial: Array
    direction: Array
    learned: Array
    X: Array
    y: Array
    F: Array


def simulate(
    problem: PolynomialSpikes, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """One network as in docs/theories/polynomial_spikes.md, section 1.

    Parameters
    ----------
    problem : PolynomialSpikes
        One cell, or cells that differ in `lam` only: their readouts share the network.  At level "limit" the step is
        n^step_exponent; otherwise the level concerns the theory only.
    sizes : mapping
        d, p, n and n0 are those of the problem; a "d" must agree.  Optionally "test", the number of fresh points on
        which errors and overlaps are measured.
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    dict of str to float or ndarray
        test_error, generalization_error, train_error, ridge_objective, overlaps, learned_fraction, singular_values
        (the largest, outliers or not), alignment, and tau, tau_r, row_rescaling of the trained weights, in the shape
        of the cells and trailing axes.

    Raises
    ------
    ParameterError
        If another parameter than `lam` varies, or a size is not allowed.
    """
    return measured(problem, sizes, seed)[0]


def measured(
    problem: PolynomialSpikes, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> tuple[dict[str, Any], Trained]:
    """What `simulate` returns, and the network itself."""
    plan = plan_of(problem, sizes)
    *rngs, test_rng = networks.generators(seed, 4)
    network = trained(problem, plan, *rngs)
    target = target_coefficients(problem)
    readouts = networks.ridge(network.F, network.y, plan.lam)
    fresh, overlaps = networks.fresh_overlaps(
        network.weights, readouts, problem.activation, network.direction, problem.link, plan.test_points, test_rng,
        target.size - 1,
    )
    values = errors(plan, network.F, network.y, readouts, fresh) | {
        "overlaps": overlaps,
        "learned_fraction": np.divide(overlaps, target, out=np.full(overlaps.shape, np.nan), where=target != 0),
        "singular_values": spikes(network.F)[0],
        "alignment": network.learned @ network.direction / np.linalg.norm(network.learned),
    }
    return shaped(problem, values | step_parameters(network)), network


def plan_of(problem: PolynomialSpikes, sizes: Mapping[str, int]) -> Plan:
    """The network of a problem, whose sizes are its own."""
    cell, lam = one_network(problem)
    given = checked(sizes)
    d, p, n = (int(cell[name]) for name in ("d", "p", "n"))
    if given.get("d", d) != d:
        raise ParameterError("d", f"must be that of the problem, {d}, got {given['d']}")
    return Plan(cell, lam, d, p, n, given.get("test", TEST_POINTS))


def trained(
    problem: PolynomialSpikes, plan: Plan, weights_rng: np.random.Generator, step_rng: np.random.Generator,
    data_rng: np.random.Generator,
) -> Trained:
    """A network that made the step of the problem."""
    d, p, noise_var = plan.d, plan.p, plan.cell["noise_var"]
    direction = networks.unit_vector(d, weights_rng)
    weights = networks.sphere_rows(p, d, weights_rng)
    initial = weights_rng.standard_normal(p) / math.sqrt(p)
    X, y = networks.single_index_data(int(plan.cell["n0"]), direction, problem.link, noise_var, step_rng)
    learned = y @ X / len(y)
    # `gradient_step` is for readouts that are smaller by sqrt(p)
    weights = networks.gradient_step(
        weights, initial / math.sqrt(p), problem.activation, X, y, learning_rate(problem, plan), zero_output=True
    )
    X, y = networks.single_index_data(plan.n, direction, problem.link, noise_var, data_rng)
    return Trained(weights, initial, direction, learned, X, y, networks.features(weights, problem.activation, X))


def learning_rate(problem: PolynomialSpikes, plan: Plan) -> float:
    """eta, or n^step_exponent."""
    return plan.n ** plan.cell["step_exponent"] if problem.level == "limit" else plan.cell["eta"]


def target_coefficients(problem: PolynomialSpikes) -> Array:
    """c*_k of the degrees whose overlaps are measured."""
    if problem.target_coefficients is not None:
        return np.asarray(problem.target_coefficients, dtype=np.float64)
    return problem.link.hermite_coefficients(DEGREES - 1)


# ---- what the step made of the weights and of the features


def step_parameters(network: Trained) -> dict[str, float]:
    """tau, tau_r and s of the law tau z_i kappa + sqrt((1 + s z_i)^2 + tau_r^2 z_i^2) xi, by least squares in z_i."""
    z = math.sqrt(network.initial.size) * network.initial
    unit = network.learned / np.linalg.norm(network.learned)
    along = network.weights @ unit
    across = np.sum(network.weights**2, axis=1) - along**2
    _, linear, square = np.linalg.lstsq(np.vander(z, 3, increasing=True), across)[0]
    return {
        "tau": float(z @ along / (z @ z)),
        "tau_r": math.sqrt(max(square - linear**2 / 4, 0.0)),
        "row_rescaling": float(linear) / 2,
    }


def spikes(F: Array, count: int = OUTLIERS) -> tuple[Array, Array]:
    """The largest singular values of F/sqrt(n), and their left vectors.

    Returns
    -------
    values : ndarray, shape (count,)
        NaN where F has fewer.
    left : ndarray, shape (n, count)
    """
    from scipy import linalg

    n, p = F.shape
    gram = F.T @ F if p <= n else F @ F.T
    found = min(count, len(gram))
    squares, vectors = linalg.eigh(gram / n, subset_by_index=[len(gram) - found, len(gram) - 1])
    values = np.sqrt(np.maximum(squares[::-1], 0.0))
    left = vectors[:, ::-1]
    if p <= n:
        left = F @ left / np.where(values > 0, math.sqrt(n) * values, np.inf)
    missing = ((0, count - found),)
    return np.pad(values, missing, constant_values=np.nan), np.pad(left, ((0, 0), *missing), constant_values=np.nan)


def spike_composition(network: Trained, degree: int) -> Array:
    """Squared overlaps of left singular vectors with h_j(kappa)/sqrt(n), kappa = <b, x>/|b|: (OUTLIERS, degree + 1)."""
    kappa = network.X @ network.learned / np.linalg.norm(network.learned)
    left = spikes(network.F)[1]
    return (left.T @ networks.hermite(kappa, degree)) ** 2 / len(kappa)


def first_layer_spike(network: Trained) -> dict[str, float]:
    """The largest singular value of W1; squared cosines of its vectors with a (left), with b and theta (right)."""
    left, values, right = np.linalg.svd(network.weights, full_matrices=False)

    def cosine_squared(vector: Array, other: Array) -> float:
        return float((vector @ other) ** 2 / (other @ other))

    return {
        "singular_value": float(values[0]),
        "with_readout": cosine_squared(left[:, 0], network.initial),
        "with_learned": cosine_squared(right[0], network.learned),
        "with_target": cosine_squared(right[0], network.direction),
    }
