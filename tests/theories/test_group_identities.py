"""Several readout levels: identities and corners."""

import numpy as np
import pytest

from asymptotics import nonlinearity
from asymptotics.theories.spiked_random_features.solution import solve_cells
from tests.reference import readout_groups
from tests.theories.test_groups import ERRORS, OVERLAPS, assert_same_errors, cell_values, solve, spikes

PAIRS = [("tanh", "sin"), ("relu", "tanh"), ("softplus", "relu"), ("cos", "he2"), ("gelu", "he3"), ("sign", "erf")]


def solve_one(activation="tanh", target="sin", r=1.0, c=1.0, gamma=0.8, **cells):
    with np.errstate(under="ignore"):
        return solve_cells(
            nonlinearity(activation), nonlinearity(target), spikes(r, [c], gamma), cell_values(**cells),
            (*ERRORS, *OVERLAPS, "n_crossover"),
        )


@pytest.mark.parametrize(("activation", "target"), PAIRS)
@pytest.mark.parametrize("n_finite", [None, 700.0])
def test_one_level_and_identical_levels_are_solve_cells(activation, target, n_finite):
    rng = np.random.default_rng(1)
    cells = dict(
        alpha=10 ** rng.uniform(-1, 1, 20), beta=10 ** rng.uniform(-1, 1, 20), lam=10 ** rng.uniform(-8, 2, 20),
        noise_var=rng.choice([0.0, 0.3], 20), n_finite=n_finite,
    )
    expected = solve_one(activation, target, 1.3, 1.4, 0.7, **cells)
    one = solve(activation, target, 1.3, (1.4,), 0.7, (1.0,), (1.0,), **cells)
    three = solve(activation, target, 1.3 / 0.65, (1.4,) * 3, 0.7, (0.65,) * 3, (0.2, 0.3, 0.5), **cells)
    for solved in (one, three):
        assert solved["converged"].all() and np.max(solved["residual"]) <= 2e-13
        assert_same_errors(solved, expected, 1e-11)
        np.testing.assert_allclose(solved["V2"].sum(axis=1), expected["V2"], rtol=1e-11)
        np.testing.assert_allclose(solved["q2"].sum(axis=1), expected["q2"], rtol=1e-11)
        for name in ("V1", "q1"):
            np.testing.assert_allclose(solved[name].sum(axis=(1, 2)), expected[name], rtol=1e-10)
        for name in ("m", "th", "psi"):
            np.testing.assert_allclose(solved[name].sum(axis=1), expected[name], rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(one["n_crossover"], expected["n_crossover"], rtol=1e-11)
    np.testing.assert_allclose(three["V2"] / three["V2"].sum(axis=1, keepdims=True), [[0.2, 0.3, 0.5]] * 20, rtol=1e-10)


@pytest.mark.parametrize("n_finite", [None, 300.0])
def test_opposite_levels_of_an_odd_activation_are_equal(n_finite):
    """w_i sigma(-t) = -w_i sigma(t): the group -u is the group u with the opposite readout, up to the bulk."""
    cells = dict(alpha=[0.4, 1.0, 3.0], lam=[1e-4, 0.1, 1.0], noise_var=0.1, n_finite=n_finite)
    for activation in ("tanh", "erf(x/sqrt(2))", "sin", "he3"):
        same = solve(activation, "sin", 1.0, (1.1, 1.1, 1.4), 0.8, (1.2, 1.2, 0.5), (0.3, 0.3, 0.4), **cells)
        odd = solve(activation, "sin", 1.0, (1.1, 1.1, 1.4), 0.8, (1.2, -1.2, 0.5), (0.3, 0.3, 0.4), **cells)
        assert_same_errors(odd, same, 1e-10)
        signs = np.array([1.0, -1.0, 1.0])
        np.testing.assert_allclose(odd["m"], signs * same["m"], rtol=1e-9, atol=1e-12)
        for name in ("th", "psi", "V2", "q2"):
            np.testing.assert_allclose(odd[name], same[name], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(odd["condition"], same["condition"], rtol=1e-9)


def test_permuting_groups_permutes_the_answer():
    order = np.array([2, 0, 3, 1])
    levels, c = np.array([0.5, -1.0, 2.0, 0.0]), np.array([1.2, 0.8, 1.5, 1.0])
    pi = np.array([0.1, 0.4, 0.2, 0.3])
    cells = dict(alpha=[0.3, 1.0, 4.0], lam=[1e-6, 0.01, 1.0], noise_var=0.1)
    one = solve("relu", "sin", 1.0, c, 0.8, levels, pi, **cells)
    two = solve("relu", "sin", 1.0, c[order], 0.8, levels[order], pi[order], **cells)
    assert_same_errors(two, one, 1e-11)
    for name in OVERLAPS:
        permuted = one[name][:, order][:, :, order] if one[name].ndim == 3 else one[name][:, order]
        np.testing.assert_allclose(two[name], permuted, rtol=1e-9, atol=1e-10 * np.max(np.abs(permuted)))


@pytest.mark.parametrize("n_finite", [None, 300.0])
@pytest.mark.parametrize(("activation", "target"), PAIRS)
def test_envelope(activation, target, n_finite):
    """d(ridge_objective)/d(lam) = (beta/alpha) sum_g q2_g, by a six-point difference."""
    alpha, beta, lam = 1.6, 0.9, 0.3
    step = 0.02 * lam
    offsets = np.array([0, -3, -2, -1, 1, 2, 3])
    weights = np.array([-1, 9, -45, 45, -9, 1]) / 60 / step
    solved = solve(
        activation, target, 0.9, (1.2, 0.7, 1.0), 0.7, (1.0, -0.6, 1.7), (0.5, 0.2, 0.3), alpha=alpha, beta=beta,
        lam=lam + step * offsets, noise_var=0.1, n_finite=n_finite,
    )
    slope = weights @ solved["ridge_objective"][1:]
    assert slope == pytest.approx(beta / alpha * solved["q2"][0].sum(), rel=2e-10)


def test_errors_add_up_and_keep_their_order():
    rng = np.random.default_rng(8)
    for activation, target in PAIRS:
        cells = dict(alpha=10 ** rng.uniform(-1, 1, 30), lam=10 ** rng.uniform(-6, 2, 30), noise_var=0.1)
        s = solve(activation, target, 1.2, (1.0, 0.6, 1.3), -0.6, (1.0, -1.5, 0.2), (0.3, 0.3, 0.4), **cells)
        total = s["spike_error"] + s["orthogonal_error"] + s["estimation_error"]
        np.testing.assert_allclose(total, s["generalization_error"], rtol=1e-12)
        np.testing.assert_allclose(s["bias"] + s["variance"], s["generalization_error"], rtol=1e-12)
        tiny = 1e-12 * s["test_error"]
        assert np.all(s["variance"] >= 0) and np.all(s["variance"] <= s["estimation_error"] + tiny)
        assert np.all(s["train_error"] >= 0) and np.all(s["train_error"] <= s["test_error"] + tiny)
        assert np.all(s["q2"] > 0) and np.all(np.linalg.eigvalsh(s["q1"])[:, 0] > -1e-13 * np.max(s["q1"], axis=(1, 2)))
        # Q <= P
        filled = np.array([1.0, 0.6, 1.3]) * s["V2"]
        room = np.eye(3) * filled[:, None] - s["V1"]
        assert np.all(np.linalg.eigvalsh(room)[:, 0] > -1e-13 * np.max(filled, axis=1))


# ---- corners


def test_without_ridge():
    """Regular above the threshold; below it only limits exist: not converged, and never a plausible number."""
    above = solve(alpha=1.5, lam=[0.0, 1e-14], noise_var=0.1)
    assert above["converged"].all()
    np.testing.assert_allclose(above["test_error"][0], above["test_error"][1], rtol=1e-10)
    assert not solve(alpha=[0.5, 1.0], lam=0.0, noise_var=0.1)["converged"].any()
    below = solve(alpha=0.5, lam=[1e-100, 1e-20], noise_var=0.1)
    assert below["converged"].all()
    np.testing.assert_allclose(below["test_error"][0], below["test_error"][1], rtol=1e-10)


def test_a_huge_ridge_leaves_the_mean_directions_free():
    error = solve(lam=[1e8, 1e15, 1e100])["test_error"]
    np.testing.assert_allclose(error, error[2], rtol=1e-7)


@pytest.mark.parametrize(("activation", "c"), [("he2", (1.7,) * 2), ("abs", (0.8,) * 2), ("tanh", (1.3,) * 2)])
def test_without_spike_it_is_random_features(activation, c):
    cells = dict(alpha=[0.5, 2.0], lam=0.3, noise_var=0.1)
    expected = solve_one(activation, "sin", 0.0, c[0], 0.8, **cells)
    solved = solve(activation, "sin", 0.0, c, 0.8, (1.0, -2.0), (0.3, 0.7), **cells)
    assert solved["converged"].all()
    assert_same_errors(solved, expected, 1e-11)
    if activation != "tanh":  # E mu1 = 0: Q = P
        np.testing.assert_allclose(solved["V1"], np.eye(2) * c[0] * solved["V2"][:, :, None], rtol=1e-13, atol=1e-16)
        assert not solved["th"].any() and not solved["psi"].any()
    else:
        assert np.all(np.isinf(solved["n_crossover"])) and not solved["m"].any()


def test_a_level_zero_has_no_spike():
    """u = 0, c = 1: an odd activation has no mean there; a group that small changes nothing."""
    solved = solve("tanh", levels=(0.0, 1.0), c=(1.0, 1.2), alpha=[0.5, 1.5, 5.0], lam=[1e-6, 0.1, 1.0])
    assert solved["converged"].all() and not solved["m"][:, 0].any()
    few = solve("tanh", levels=(0.0, 1.0), c=(1.0, 1.2), fractions=(1e-5, 1 - 1e-5))
    alone = solve("tanh", levels=(1.0,), c=(1.2,), fractions=(1.0,))
    assert few["converged"].all()
    np.testing.assert_allclose(few["test_error"], alone["test_error"], rtol=1e-4)


def test_nearly_dependent_mean_functions():
    """Eight levels: directions below 1e-11 are left out of the limit; a finite size needs no such choice."""
    levels = np.linspace(-2, 2, 8)
    common = dict(levels=levels, c=1 + 0.1 * np.arange(8), fractions=np.full(8, 1 / 8), gamma=0.85)
    limit = solve(**common)
    assert limit["converged"].all() and limit["condition"][0] > 1e11
    finite = solve(**common, n_finite=1000.0)
    assert finite["spike_error"][0] > limit["spike_error"][0] and np.max(np.abs(finite["m"])) < 1
    assert finite["test_error"][0] == pytest.approx(
        readout_groups.solve(
            activation="tanh", target="sin", r=1.0, alpha=1.5, beta=1.0, lam=0.1, n_finite=1000.0, **common
        )["test_error"], rel=1e-11,
    )


def test_a_weak_spike():
    """r -> 0: mean functions of size r, nearly parallel to each other and to kappa mu1; regular with n_finite."""
    limit = solve(r=1e-4)
    assert limit["converged"].all()
    finite = [solve(r=r, n_finite=500.0)["test_error"][0] for r in (1e-3, 1e-6, 1e-9, 0.0)]
    np.testing.assert_allclose(finite, finite[3], rtol=1e-3)
    np.testing.assert_allclose(finite[1:], finite[3], rtol=1e-8)
