"""The network against the definitions it implements: literal loss, literal objective, statistics of the weights."""

import numpy as np
import pytest

from asymptotics import nonlinearity
from validation import networks


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("activation", ["tanh", "relu", "x**2 + x", lambda x: np.arctan(x)])
def test_gradient_step_descends_the_literal_loss(activation, rng):
    """W - eta p dL/dW with L = (1/2 n0) sum (y - f)^2, by finite differences, for a readout that is not constant."""
    d, p, n0, eta = 4, 5, 7, 1.3
    W, readout = networks.sphere_rows(p, d, rng), rng.standard_normal(p) / np.sqrt(p)
    X, y = networks.single_index_data(n0, networks.unit_vector(d, rng), "sin", 0.3, rng)
    sigma = nonlinearity(activation)

    def loss(weights):
        outputs = np.array([sum(readout[i] * sigma(weights[i] @ x) for i in range(p)) for x in X]) / np.sqrt(p)
        return np.sum((y - outputs) ** 2) / (2 * n0)

    slopes = np.empty_like(W)
    for index in np.ndindex(W.shape):
        shift = np.zeros_like(W)
        shift[index] = 1e-5
        slopes[index] = (loss(W + shift) - loss(W - shift)) / 2e-5
    stepped = networks.gradient_step(W, readout, activation, X, y, eta)
    np.testing.assert_allclose(stepped, W - eta * p * slopes, atol=1e-8)
    assert np.max(np.abs(stepped - W)) > 0.05


def test_blocks_change_nothing(rng, monkeypatch):
    W, readout = networks.sphere_rows(6, 5, rng), rng.standard_normal(6)
    X, y = networks.single_index_data(50, networks.unit_vector(5, rng), "tanh", 0.1, rng)
    step, outputs = networks.gradient_step(W, readout, "tanh", X, y, 2.0), networks.network(W, readout, "tanh", X)
    monkeypatch.setattr(networks, "BLOCK_ENTRIES", 42)
    np.testing.assert_allclose(networks.gradient_step(W, readout, "tanh", X, y, 2.0), step, rtol=1e-12)
    np.testing.assert_allclose(networks.network(W, readout, "tanh", X), outputs, rtol=1e-12)


@pytest.mark.parametrize(("n", "p"), [(40, 15), (15, 40), (20, 20)])
@pytest.mark.parametrize("lam", [1e-3, 0.5, 1e4])
def test_ridge_is_stationary(n, p, lam, rng):
    F, y = rng.standard_normal((n, p)), rng.standard_normal(n)
    w = networks.ridge(F, y, lam)
    A = F / np.sqrt(p)
    np.testing.assert_allclose(A.T @ (A @ w - y) + lam * w, 0, atol=1e-10 * np.max(np.abs(A.T @ y)))


@pytest.mark.parametrize(("n", "p"), [(40, 15), (15, 40)])
def test_ridge_without_penalty_is_the_limit(n, p, rng):
    F, y = rng.standard_normal((n, p)), rng.standard_normal(n)
    np.testing.assert_allclose(networks.ridge(F, y, 0.0), networks.ridge(F, y, 1e-9), rtol=1e-6, atol=1e-8)
    if p > n:
        np.testing.assert_allclose(F @ networks.ridge(F, y, 0.0) / np.sqrt(p), y, atol=1e-10)


def test_data(rng):
    direction = networks.unit_vector(20, rng)
    X, y = networks.single_index_data(40_000, direction, "tanh", 0.25, rng)
    assert np.linalg.norm(direction) == pytest.approx(1)
    np.testing.assert_allclose(np.cov(X.T), np.eye(20), atol=0.03)
    noise = y - np.tanh(X @ direction)
    assert np.mean(noise) == pytest.approx(0, abs=5 * 0.5 / 200)
    assert np.var(noise) == pytest.approx(0.25, rel=5 * np.sqrt(2) / 200)


def test_sphere_rows(rng):
    rows = networks.sphere_rows(20_000, 5, rng)
    np.testing.assert_allclose(np.sum(rows**2, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(rows.T @ rows / 20_000, np.eye(5) / 5, atol=0.01)


def test_orthogonal_unit_vector(rng):
    first = networks.unit_vector(7, rng)
    second = networks.unit_vector(7, rng, orthogonal_to=first)
    assert first @ second == pytest.approx(0, abs=1e-14)
    assert np.linalg.norm(second) == pytest.approx(1)


def test_bulk_of_normalised_rows(rng):
    spike = networks.unit_vector(6, rng)
    bulk = networks.spiked_weights(50, -0.7, spike, 2.0, rng) + 0.7 * spike
    np.testing.assert_allclose(np.sum(bulk**2, axis=1), 2.0, rtol=1e-12)


@pytest.mark.parametrize(("c", "norm_variance"), [(1.5, 0.3), (1.0, 4.0)])
def test_bulk_row_norms_fluctuate_as_asked(c, norm_variance, rng):
    p, d = 30_000, 4
    spike = networks.unit_vector(d, rng)
    bulk = networks.spiked_weights(p, 1.0, spike, c, rng, norm_variance * p) - spike
    norms = np.sum(bulk**2, axis=1)  # gamma distributed: relative variance norm_variance/c^2
    relative = norm_variance / c**2
    assert np.mean(norms) == pytest.approx(c, rel=5 * np.sqrt(relative / p))
    assert np.var(norms) == pytest.approx(norm_variance, rel=5 * np.sqrt((2 + 3 * relative) / p))


def test_gaussian_rows(rng):
    """row_norm_variance = 2 beta c^2 gives independent Gaussian entries of variance c/d."""
    p, d, c = 40_000, 3, 1.7
    bulk = networks.spiked_weights(p, 0.0, networks.unit_vector(d, rng), c, rng, 2 * (p / d) * c**2)
    entries = bulk / np.sqrt(c / d)
    np.testing.assert_allclose(entries.T @ entries / p, np.eye(d), atol=0.04)
    np.testing.assert_allclose(np.mean(entries**4, axis=0), 3, atol=5 * np.sqrt(96 / p))
    squares = entries[:, :2] ** 2 - 1
    assert np.mean(squares[:, 0] * squares[:, 1]) == pytest.approx(0, abs=5 * 2 / np.sqrt(p))


def test_fresh_error(rng):
    """A linear network with a linear target: the error is the squared distance of the two directions."""
    direction = networks.unit_vector(5, rng)
    W, readout = networks.sphere_rows(6, 5, rng), rng.standard_normal(6)
    distance = np.sum((direction - readout @ W / np.sqrt(6)) ** 2)
    measured = networks.fresh_error(W, readout, "linear", direction, "linear", 40_000, rng)
    assert measured == pytest.approx(distance, rel=5 * np.sqrt(2 / 40_000))


def test_fresh_overlaps(rng):
    """A linear network has an overlap with the linear part only; an intercept with the constant."""
    direction = networks.unit_vector(5, rng)
    W, readouts = networks.sphere_rows(6, 5, rng), rng.standard_normal((2, 6))
    seed = np.random.SeedSequence(1)
    error, overlaps = networks.fresh_overlaps(
        W, readouts, "linear", direction, "sin", 40_000, np.random.default_rng(seed), 3, np.array([0.0, 0.7]))
    known = networks.fresh_error(W, readouts, "linear", direction, "sin", 40_000, np.random.default_rng(seed))
    assert error[0] == pytest.approx(known[0], rel=1e-12)
    assert error[1] == pytest.approx(known[1] + 0.49, abs=0.05)
    expected = np.zeros((2, 4))
    expected[:, 1], expected[1, 0] = readouts @ W @ direction / np.sqrt(6), 0.7
    np.testing.assert_allclose(overlaps, expected, atol=0.05)


def test_hermite(rng):
    x = rng.standard_normal(5)
    np.testing.assert_allclose(networks.hermite(x, 3), np.stack(
        [np.ones(5), x, (x**2 - 1) / np.sqrt(2), (x**3 - 3 * x) / np.sqrt(6)], axis=1))


def test_generators():
    root = np.random.SeedSequence(5, spawn_key=(2, 1))
    first = [rng.standard_normal() for rng in networks.generators(root, 3)]
    assert first == [rng.standard_normal() for rng in networks.generators(root, 3)]
    assert len(set(first)) == 3
    assert [rng.standard_normal() for rng in networks.generators(5, 3)] != first
    assert [rng.standard_normal() for rng in networks.generators(root, 2)] == first[:2]
