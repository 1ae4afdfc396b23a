"""Balanced layers: actual weights, matrix exponentials in many digits, semigroup, the network on a line, bad input."""

import itertools
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import BalancedLinearNetwork, LinearNetwork, LinearNetworkInputs, ParameterError, balanced_weights
from asymptotics.theories.linear_network.balanced.riccati import graded
from tests.reference.linear_network_inputs import integrate, integrate_layers, riccati

TIMES = np.concatenate([[0.0], np.geomspace(0.01, 20, 10)])
SHAPES = [  # hidden, inputs, outputs, lam
    (1, 1, 1, 0.0), (3, 3, 3, 0.0), (2, 4, 3, 0.0), (5, 2, 3, 0.0), (8, 3, 2, 0.0), (4, 6, 5, 0.0), (3, 3, 3, 0.7),
    (2, 3, 4, 2.0), (2, 5, 2, 2.0), (3, 4, 2, -1.5), (2, 2, 6, -0.5), (3, 3, 5, -1.0), (1, 3, 4, 0.5), (1, 4, 2, -0.5),
]


def products(problem):
    found = problem.weights_product()
    return [found[name].values for name in ("function", "first", "second")]


def of_weights(W1, W2):
    return W2 @ W1, W1.T @ W1, W2 @ W2.T


def correlations(rng, outputs, inputs):
    yield rng.normal(size=(outputs, inputs))
    yield np.outer(rng.normal(size=outputs), rng.normal(size=inputs))
    yield np.zeros((outputs, inputs))


@pytest.mark.parametrize("shape", SHAPES)
def test_flow_of_all_weights(shape):
    H, D, outputs, lam = shape
    rng = np.random.default_rng(SHAPES.index(shape))
    W1, W2 = balanced_weights(H, D, outputs, lam, 0.3, seed=SHAPES.index(shape))
    for S in correlations(rng, outputs, D):
        problem = BalancedLinearNetwork(W1=W1, W2=W2, correlation=S, m2=1.3, eta=0.7, loss_factor=1.2, t=TIMES)
        solution = problem.solve()
        assert solution.converged.all() and np.max(solution.residual) < 1e-12
        layers = integrate_layers(W1, W2, S, TIMES, 1.3, 1.2 * 0.7)
        for i, pair in enumerate(layers):
            for found, expected in zip(products(problem), of_weights(*pair), strict=True):
                assert found[i] == pytest.approx(expected, abs=5e-11)
            gap = S / 1.3 - pair[1] @ pair[0]
            modes = np.linalg.svd(pair[1] @ pair[0], compute_uv=False)
            assert solution.singular_values[i] == pytest.approx(modes, abs=5e-11)
            assert solution.gap_norm[i] == pytest.approx(np.linalg.norm(gap), abs=1e-10)
            assert solution.excess_loss[i] == pytest.approx(0.6 * 1.3 * np.sum(gap**2), abs=1e-10)
            assert solution.norm_W1[i] == pytest.approx(np.linalg.norm(pair[0]), abs=5e-11)
            assert solution.norm_W2[i] == pytest.approx(np.linalg.norm(pair[1]), abs=5e-11)


def test_every_shape_of_single_units_and_deficient_weights():
    """A single hidden unit is always balanced; zero layers and layers of lower rank are balanced too."""
    rng = np.random.default_rng(9)
    pairs = [(rng.normal(size=(1, D)), rng.normal(size=(n, 1))) for D, n in itertools.product((1, 3), (1, 2))]
    pairs += [(np.zeros((2, 3)), np.zeros((2, 2))), (np.zeros((1, 3)), np.ones((2, 1))),
              (np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.6, 0.0], [0.8, 0.0]]))]
    for W1, W2 in pairs:
        S = rng.normal(size=(W2.shape[0], W1.shape[1]))
        problem = BalancedLinearNetwork(W1=W1, W2=W2, correlation=S, t=TIMES)
        for i, pair in enumerate(integrate_layers(W1, W2, S, TIMES)):
            for found, expected in zip(products(problem), of_weights(*pair), strict=True):
                assert found[i] == pytest.approx(expected, abs=1e-10)


LONG = [(4, 4, 4, 0.0, 1e-8), (3, 5, 4, 0.0, 1e-4), (2, 3, 3, 0.4, 0.1), (3, 4, 2, -0.8, 1e-8), (6, 2, 3, 0.0, 0.5)]


@pytest.mark.parametrize("shape", LONG)
@pytest.mark.parametrize("t", [1e-9, 1.0, 8.0, 20.0, 60.0, 300.0, 1000.0])
def test_many_digits(shape, t):
    """Also where exponentials are beyond the range of float64, and modes wait for others or are given up."""
    *sizes, lam, scale = shape
    W1, W2 = balanced_weights(*sizes, lam, scale, seed=3)
    S = np.random.default_rng(2).normal(size=(sizes[2], sizes[1]))
    problem = BalancedLinearNetwork(W1=W1, W2=W2, correlation=S, t=t)
    D = sizes[1]
    expected = riccati(W1, W2, S, problem.lam, t)
    function, first, second = products(problem)
    for found, block in ((function, expected[D:, :D]), (first, expected[:D, :D]), (second, expected[D:, D:])):
        assert np.max(np.abs(found - block)) < 1e-10


def test_ten_thousand_units_of_time():
    W1, W2 = balanced_weights(3, 3, 3, 0.0, 1e-8, seed=0)
    S = np.diag([1.0, 0.9, 0.8])
    problem = BalancedLinearNetwork(W1=W1, W2=W2, correlation=S, t=[1e4, 1e300])
    assert products(problem)[0][0] == pytest.approx(riccati(W1, W2, S, 0.0, 1e4)[3:, :3], abs=1e-13)
    assert products(problem)[0][1] == pytest.approx(S, abs=1e-13)


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_semigroup(shape):
    """From the products at t1: weights that have them, in as many hidden units as inputs and outputs."""
    H, D, outputs, lam = shape
    W1, W2 = balanced_weights(H, D, outputs, lam, 0.2, seed=5)
    S = np.random.default_rng(5).normal(size=(outputs, D))
    (middle,) = integrate_layers(W1, W2, S, [1.1])
    whole = BalancedLinearNetwork(W1=W1, W2=W2, correlation=S, t=3.0)
    rest = BalancedLinearNetwork(W1=middle[0], W2=middle[1], correlation=S, t=1.9)
    for one, other in zip(products(whole), products(rest), strict=True):
        assert one == pytest.approx(other, abs=2e-11)


def test_rotations():
    rng = np.random.default_rng(6)
    W1, W2 = balanced_weights(3, 4, 3, 0.5, 0.2, seed=6)
    S = rng.normal(size=(3, 4))
    hidden, inputs, outputs = (np.linalg.qr(rng.normal(size=(n, n)))[0] for n in (3, 4, 3))
    plain = BalancedLinearNetwork(W1=W1, W2=W2, correlation=S, t=TIMES).solve()
    turned = BalancedLinearNetwork(W1=hidden @ W1 @ inputs, W2=outputs @ W2 @ hidden.T, t=TIMES,
                                   correlation=outputs @ S @ inputs).solve()
    for name, values in plain.values.items():
        assert turned.values[name] == pytest.approx(values, abs=1e-12), name


def test_one_input_one_output_is_the_network_on_a_line():
    t = np.concatenate([[0.0], np.geomspace(0.01, 300, 12)])
    for w1, w2, A in ((0.3, -0.8, 1.2), (0.5, 0.5, 0.7), (0.5, 0.5, -0.7), (1e-6, 2e-6, 1.0), (0.0, 0.4, -1.0)):
        line = LinearNetwork(u=[w2], w=[w1], target_coefficient=A, t=t).solve()
        problem = BalancedLinearNetwork(W1=[[w1]], W2=[[w2]], correlation=[[A]], t=t)
        assert problem.lam == pytest.approx(w2**2 - w1**2, abs=1e-16)
        assert products(problem)[0][:, 0, 0] == pytest.approx(line.coefficient, abs=1e-13)
        found = problem.solve()
        assert found.norm_W1 == pytest.approx(line.norm_w, abs=1e-7) and found.norm_W2 == pytest.approx(line.norm_u,
                                                                                                      abs=1e-7)
        assert found.gap_norm == pytest.approx(np.abs(line.gap), abs=1e-13)


def test_a_single_unit_with_rates_of_its_own():
    rng = np.random.default_rng(7)
    W, target = rng.normal(size=3), rng.normal(size=3)
    for gamma in (0.7, -1.6):
        numbers = dict(gamma=gamma, eta_u=2.0, eta_w=0.3, loss_factor=2.0, m2=1.4)
        problem = BalancedLinearNetwork.from_scalar_network(u=0.6, W=W, target=target, t=TIMES, **numbers)
        other = LinearNetworkInputs(u=[0.6], W=W[None], target=target, t=TIMES, **numbers).solve()
        assert products(problem)[0][:, 0] == pytest.approx(other.coefficients, abs=1e-12)
        assert problem.solve().excess_loss == pytest.approx(other.excess_loss, abs=1e-12)
        weights = integrate(np.array([0.6]), W[None], target, TIMES, 1.4 * np.eye(3), gamma, 2.0, 0.3, 2.0)
        expected = np.array([gamma * W.T @ u for u, W in weights])
        assert products(problem)[0][:, 0] == pytest.approx(expected, abs=1e-11)


def test_small_weights_learn_one_mode_after_the_other():
    """From scale e^{-a} a mode of strength s is half learned at about a/s: saddle to saddle."""
    W1, W2 = balanced_weights(3, 3, 3, 0.0, 1e-8, seed=1)
    problem = BalancedLinearNetwork(W1=W1, W2=W2, correlation=np.diag([4.0, 2.0, 1.0]), t=np.linspace(0, 60, 6001))
    found = problem.solve()
    for k, strength in enumerate((4.0, 2.0)):
        half = problem.t[np.argmax(found.mode_coefficients[:, k] > strength / 2)]
        assert half == pytest.approx(np.log(1e8) / strength, rel=0.25)
    assert np.max(np.abs(found.excess_loss - 0.5 * found.gap_norm**2)) < 1e-14


@pytest.mark.parametrize("scale", [1e-120, 1e-30, 1e30, 1e120])
def test_scales(scale):
    """Weights k W, S k^2, time 1/k^2: everything in units of its own; and the start is the start."""
    W1, W2 = balanced_weights(3, 4, 2, 0.0, 0.7, seed=4)
    S = np.random.default_rng(4).normal(size=(2, 4))
    plain = BalancedLinearNetwork(W1=W1, W2=W2, correlation=S, t=TIMES).solve()
    found = BalancedLinearNetwork(W1=scale * W1, W2=scale * W2, correlation=scale**2 * S, t=TIMES / scale**2).solve()
    assert found.converged.all()
    assert found.norm_W1 / scale == pytest.approx(plain.norm_W1, rel=1e-12)
    assert found.singular_values / scale**2 == pytest.approx(plain.singular_values, abs=1e-12)


def test_graded_elimination():
    rng = np.random.default_rng(8)
    Y = rng.normal(size=(50, 7, 3)) * 10 ** rng.uniform(-8, 0, size=(50, 7, 1))
    scale = rng.uniform(-8, 8, size=(50, 7))
    L, log_D, U = graded(scale, Y)
    whole = L @ (np.exp(log_D)[..., None] * U)
    expected = np.exp(scale)[..., None] * Y
    assert np.max(np.abs(whole - expected) / np.max(np.abs(expected), axis=2, keepdims=True)) < 1e-13
    assert max(np.max(np.abs(L)), np.max(np.abs(U))) < 1 + 1e-12
    with np.errstate(under="ignore"):
        L, log_D, U = graded(1e6 * scale, np.zeros((50, 7, 3)))
    assert (L == 0).all() and (np.abs(np.linalg.det(U)) == 1).all()


# ---- input


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.0, 1e-9, 2.0])
def test_initial_weights_are_balanced(shape, scale):
    H, D, outputs, lam = shape
    W1, W2 = balanced_weights(H, D, outputs, lam, scale, seed=2)
    assert W1.shape == (H, D) and W2.shape == (outputs, H)
    assert np.max(np.abs(W2.T @ W2 - W1 @ W1.T - lam * np.eye(H))) < 1e-14 * (1 + scale**2)
    again, other = (balanced_weights(H, D, outputs, lam, *more) for more in ((scale, 2), (1.0, 3)))
    assert (again[0] == W1).all() and not np.allclose(other[0], W1)
    small = W1 if lam >= 0 else W2
    values = np.linalg.svd(small, compute_uv=False)
    assert values[:min(H, D, outputs)] == pytest.approx(scale, abs=1e-15 + 1e-14 * scale)


@pytest.mark.parametrize(("given", "name"), [
    ((3, 2, 2, 0.5), "lam"), ((3, 2, 4, -0.5), "lam"), ((0, 2, 2), "hidden"), ((2, 1.5, 2), "inputs"),
    ((2, 2, None), "outputs"), ((2, 2, 2, np.nan), "lam"), ((2, 2, 2, 0.0, -1.0), "scale"),
])
def test_weights_that_do_not_exist(given, name):
    with pytest.raises(ParameterError) as caught:
        balanced_weights(*given)
    assert caught.value.name == name


@pytest.mark.parametrize(("changes", "name", "words"), [
    ({"W1": [[1.0, 0.0], [0.0, 2.0]]}, "W2",
     r"violated by 0\.21 of \|W1\|\^2 \+ \|W2\|\^2 \(allowed 1e-10\) for the best lam, -1\.5"),
    ({"W1": [[1.0, 0.0]]}, "W2", r"as many columns as W1 has rows \(1\), got 2"),
    ({"correlation": [[1.0, 0.0]]}, "correlation", "must be 2 x 2, outputs by inputs, got 1 x 2"),
    ({"correlation": [1.0, 0.0]}, "correlation", "must be a matrix"),
    ({"W2": [[1.0, 0.0], [0.0]]}, "W2", "ragged"),
    ({"m2": 0.0}, "m2", "> 0"),
    ({"eta": -1.0}, "eta", ">= 0"),
    ({"t": -1.0}, "t", ">= 0"),
    ({"lam": 0.5}, "lam", "not a known parameter"),
])
def test_bad_input(changes, name, words):
    with pytest.raises(ParameterError, match=words) as caught:
        BalancedLinearNetwork(**{"W1": np.eye(2), "W2": np.eye(2), "correlation": np.eye(2), "t": 1.0, **changes})
    assert caught.value.name == name


@pytest.mark.parametrize(("changes", "name"), [
    ({"u": [1.0, 2.0]}, "u"), ({"gamma": 0.0}, "gamma"), ({"eta_u": 0.0}, "eta_u"), ({"eta_w": -1.0}, "eta_w"),
    ({"target": [1.0]}, "target"), ({"m2": [1.0, 2.0]}, "m2"), ({"W": [[1.0, 2.0]] * 2}, "target"),
])
def test_bad_single_units(changes, name):
    with pytest.raises(ParameterError) as caught:
        BalancedLinearNetwork.from_scalar_network(
            **{"u": 1.0, "W": [1.0, 2.0], "target": [0.1, 0.2], "t": 1.0, **changes})
    assert caught.value.name == name


def test_grids_labels_and_the_command_line():
    W1, W2 = balanced_weights(2, 3, 2, 0.0, 0.3)
    S = [[1.0, 0.2, 0.0], [0.1, -0.5, 0.3]]
    axes = asy.grid(m2=[0.5, 1.0], eta=[0.0, 2.0], t=[0.0, 1.0, 5.0])
    problem = BalancedLinearNetwork(W1=W1, W2=W2, correlation=S, loss_factor=2.0, **axes)
    solution = problem.solve()
    dataset = solution.to_dataset()
    assert dataset.singular_values.dims == ("m2", "eta", "t", "mode")
    assert problem.weights_product()["function"].dims == ("m2", "eta", "t", "output", "input")
    for i in range(problem.cells.size):
        cell = problem.sample(np.array([i])).solve()
        for name, values in solution.values.items():
            flat = values.reshape(problem.cells.size, *values.shape[3:])
            assert flat[i] == pytest.approx(np.reshape(cell.values[name], flat[i].shape), abs=1e-15), name
    assert (solution.gap_norm[:, 0, 1] == solution.gap_norm[:, 0, 0]).all()
    assert problem == pickle.loads(pickle.dumps(problem)) and problem.solve(["norm_W1"]).values.keys() == {"norm_W1"}
    assert BalancedLinearNetwork(W1=W1, W2=W2, correlation=S, t=[]).solve().singular_values.shape == (0, 2)
    given = json.dumps({"W1": W1.tolist(), "W2": W2.tolist(), "correlation": S, "t": [0.5, 2.0]})
    run = subprocess.run([sys.executable, "-m", "asymptotics", "predict", "balanced-linear-network", "--params", given,
                          "--json"], capture_output=True, text=True, check=False)
    assert run.returncode == 0 and not run.stderr
    expected = BalancedLinearNetwork(W1=W1, W2=W2, correlation=S, t=[0.5, 2.0]).solve().gap_norm
    assert json.loads(run.stdout)["observables"]["gap_norm"] == pytest.approx(expected)
