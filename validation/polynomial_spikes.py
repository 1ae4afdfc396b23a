"""`polynomial-spikes`: one step from zero output with Gaussian readouts, then ridge: the network of the theory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from asymptotics import ParameterError, PolynomialSpikes
from asymptotics.theories.polynomial_spikes.spectrum import OUTLIERS

from . import networks
from .networks import Array
from .readout import TEST_POINTS, Plan, checked, errors, one_network, shaped


class Trained(NamedTuple):
    """One network after its step, and the samples of its readout.

    Attributes
    ----------
    weights : ndarray, shape (p, d)
        W after the step.
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

    @property
    def norm_squared(self) -> float:
        """|b|^2."""
        return float(self.learned @ self.learned)

    @property
    def alignment(self) -> float:
        """Cosine of b and theta."""
        return float(self.learned @ self.direction) / math.sqrt(self.norm_squared)


Training = Callable[[PolynomialSpikes, Plan, Sequence[np.random.Generator]], Trained]


def simulate(
    problem: PolynomialSpikes, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """One network as in docs/theories/polynomial_spikes.md, section 1.

    Parameters
    ----------
    problem : PolynomialSpikes
        One cell, or cells that differ in `lam` only: their readouts share the network.  At level "limit" the step is
        n^step_exponent; otherwise the level concerns the theory only, as do known properties of the direction.
    sizes : mapping
        d, p, n and n0 are those of the problem; a "d" must agree.  Optionally "test", the number of fresh points on
        which errors and overlaps are measured.
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    dict of str to float or ndarray
        What `measured` returns.

    Raises
    ------
    ParameterError
        If another parameter than `lam` varies, or a size is not allowed.
    """
    return measured(problem, sizes, seed)[0]


def trained(problem: PolynomialSpikes, plan: Plan, rngs: Sequence[np.random.Generator]) -> Trained:
    """A network that made the step of the problem.

    Parameters
    ----------
    problem : PolynomialSpikes
    plan : Plan
    rngs : sequence of numpy.random.Generator
        Of the weights, the samples of the step, and the samples of the readout.
    """
    weights_rng, step_rng, data_rng = rngs[:3]
    d, p, noise_var = plan.d, plan.p, plan.cell["noise_var"]
    eta = plan.n ** plan.cell["step_exponent"] if problem.level == "limit" else plan.cell["eta"]
    direction = networks.unit_vector(d, weights_rng)
    weights = networks.sphere_rows(p, d, weights_rng)
    initial = weights_rng.standard_normal(p) / math.sqrt(p)
    X, y = networks.single_index_data(int(plan.cell["n0"]), direction, problem.link, noise_var, step_rng)
    learned = y @ X / len(y)
    if eta > 0:  # `gradient_step` is for readouts that are smaller by sqrt(p)
        weights = networks.gradient_step(
            weights, initial / math.sqrt(p), problem.activation, X, y, eta, zero_output=True
        )
    X, y = networks.single_index_data(plan.n, direction, problem.link, noise_var, data_rng)
    return Trained(weights, initial, direction, learned, X, y, networks.features(weights, problem.activation, X))


def measured(
    problem: PolynomialSpikes, sizes: Mapping[str, int], seed: int | np.random.SeedSequence,
    training: Training = trained,
) -> tuple[dict[str, Any], Trained]:
    """All that is measured on one network, and the network.

    Parameters
    ----------
    problem, sizes, seed
        As for `simulate`.
    training : callable
        Another way to make the first layer than by a gradient step.

    Returns
    -------
    values : dict of str to float or ndarray
        test_error, generalization_error, train_error, ridge_objective, overlaps, learned_fraction; alignment, and tau,
        tau_r, row_rescaling of the weights; singular_values (the largest, outliers or not), spike_vectors;
        first_layer_singular_value, first_layer_alignment, first_layer_readout_alignment.  In the shape of the cells and
        the trailing axes of the theory.
    network : Trained
    """
    plan = plan_of(problem, sizes)
    *rngs, test_rng, residual_rng = networks.generators(seed, 5)
    network = training(problem, plan, (*rngs, residual_rng))
    values = (readout(problem, plan, network, test_rng) | step_parameters(network) | spikes(network, problem.degrees)
              | {"alignment": network.alignment})
    return shaped(problem, values), network


def readout(
    problem: PolynomialSpikes, plan: Plan, network: Trained, test_rng: np.random.Generator
) -> dict[str, Array]:
    """Errors, overlaps and learned fractions of the ridge readouts of a network."""
    readouts = networks.ridge(*_centred(problem, network), plan.lam)
    intercepts = _intercepts(problem, network, readouts)
    fresh, overlaps = networks.fresh_overlaps(
        network.weights, readouts, problem.activation, network.direction, problem.link, plan.test_points, test_rng,
        problem.degrees - 1, intercepts,
    )
    target = _target(problem)
    return errors(plan, network.F, network.y - intercepts[:, None], readouts, fresh) | {
        "overlaps": overlaps,
        "learned_fraction": np.divide(overlaps, target, out=np.full(overlaps.shape, np.nan), where=target != 0),
    }


def plan_of(problem: PolynomialSpikes, sizes: Mapping[str, int]) -> Plan:
    """The network of a problem, whose sizes are its own."""
    cell, lam = one_network(problem)
    given = checked(sizes)
    d, p, n = (int(cell[name]) for name in ("d", "p", "n"))
    if given.get("d", d) != d:
        raise ParameterError("d", f"must be that of the problem, {d}, got {given['d']}")
    return Plan(cell, lam, d, p, n, given.get("test", TEST_POINTS))


def _target(problem: PolynomialSpikes) -> Array:
    """c*_k of the degrees whose overlaps are measured; zeros are exact."""
    if problem.target_coefficients is not None:
        return np.asarray(problem.target_coefficients)
    coefficients = problem.link.hermite_coefficients(problem.degrees - 1)
    return np.where(np.abs(coefficients) > 1e-12 * math.sqrt(problem.link.second_moment()), coefficients, 0.0)


def _centred(problem: PolynomialSpikes, network: Trained) -> tuple[Array, Array]:
    """Features and labels; without their means if an intercept is fitted beside the readout."""
    if not problem.intercept:
        return network.F, network.y
    return network.F - np.mean(network.F, axis=0), network.y - np.mean(network.y)


def _intercepts(problem: PolynomialSpikes, network: Trained, readouts: Array) -> Array:
    """One for each readout, zero unless fitted."""
    if not problem.intercept:
        return np.zeros(len(readouts))
    return np.mean(network.y) - readouts @ np.mean(network.F, axis=0) / math.sqrt(readouts.shape[1])


# ---- what the step made of the weights and of the features


def step_parameters(network: Trained) -> dict[str, float]:
    """tau, tau_r and s of the law tau z_i kappa + sqrt((1 + s z_i)^2 + tau_r^2 z_i^2) xi, by least squares in z_i."""
    z = math.sqrt(network.initial.size) * network.initial
    along = network.weights @ (network.learned / math.sqrt(network.norm_squared))
    across = np.sum(network.weights**2, axis=1) - along**2
    _, linear, square = np.linalg.lstsq(np.vander(z, 3, increasing=True), across)[0]
    return {
        "tau": float(z @ along / (z @ z)),
        "tau_r": math.sqrt(max(square - linear**2 / 4, 0.0)),
        "row_rescaling": float(linear) / 2,
    }


def spikes(network: Trained, degrees: int) -> dict[str, Any]:
    """The largest singular values of F/sqrt(n), cosines of their left vectors with h_k(kappa), and the same of W."""
    kappa = network.X @ network.learned / math.sqrt(network.norm_squared)
    values, left, _ = leading(network.F, OUTLIERS)
    cosines = left.T @ networks.hermite(kappa, degrees - 1) / math.sqrt(len(kappa))
    highest = np.argmax(np.abs(cosines), axis=1)[:, None]
    (value,), own, right = leading(network.weights, 1)
    of_readout, of_target = own[:, 0] @ network.initial, right[:, 0] @ network.direction
    return {
        "singular_values": values / math.sqrt(len(kappa)),
        "spike_vectors": cosines * np.sign(np.take_along_axis(cosines, highest, axis=1)),
        "first_layer_singular_value": float(value),
        "first_layer_alignment": float(of_target * np.sign(right[:, 0] @ network.learned)),
        "first_layer_readout_alignment": abs(float(of_readout)) / float(np.linalg.norm(network.initial)),
    }


def leading(A: Array, count: int) -> tuple[Array, Array, Array]:
    """The largest singular values of a matrix (m, n) and their vectors, as columns (m, count) and (n, count).

    NaN where the matrix has fewer.
    """
    from scipy import linalg

    wide = A.shape[0] < A.shape[1]
    gram = A @ A.T if wide else A.T @ A
    found = min(count, len(gram))
    squares, vectors = linalg.eigh(gram, subset_by_index=[len(gram) - found, len(gram) - 1])
    values, own = np.sqrt(np.maximum(squares[::-1], 0.0)), vectors[:, ::-1]
    other = (A.T if wide else A) @ own / np.where(values > 0, values, np.inf)
    values, left, right = (np.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, count - found)], constant_values=np.nan)
                           for part in (values, *((own, other) if wide else (other, own))))
    return values, left, right
