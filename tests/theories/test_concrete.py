"""Predictions for one concrete W: against dense matrices, their limit, and networks with these very weights."""

import math

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import AccuracyWarning, ParameterError, SpikedRandomFeatures
from asymptotics.theories.spiked_random_features.concrete import ConcreteFeatures, concrete_features
from tests.reference import concrete_weights
from validation import networks
from validation.readout import order_parameters

RIDGES = np.array([0.01, 0.1, 1.0])
MEASURED = ("test_error", "train_error", "m", "th", "psi", "chi", "q1", "q2")
SETTING = dict(activation="relu", target="tanh", lam=0.1, noise_var=0.1)


def spiked(p, d, seed=0, *, r=1.0, alignment=0.8, c=1.2, row_norm_variance=0.0):
    """W with a spike and independent rows, and the target direction."""
    rng = np.random.default_rng(seed)
    v = networks.unit_vector(d, rng)
    zeta = networks.unit_vector(d, rng, orthogonal_to=v)
    weights = networks.spiked_weights(p, r, v, c, rng, row_norm_variance)
    return weights, alignment * v + math.sqrt(1 - alignment**2) * zeta


def trained(d, seed, activation, target, alpha0, eta, noise_var=0.0):
    """W (d x d) after one gradient step, and the target direction."""
    rng = np.random.default_rng([seed, 1])
    theta, start = networks.unit_vector(d, rng), networks.sphere_rows(d, d, rng)
    X, y = networks.single_index_data(round(alpha0 * d), theta, target, noise_var, rng)
    return networks.gradient_step(start, np.full(d, 1 / math.sqrt(d)), activation, X, y, eta), theta


def simulate(W, theta, activation, target, n, noise_var, sets, seed):
    """Readouts on fresh training sets: observables (sets, len(RIDGES))."""
    rng = np.random.default_rng([seed, 2])
    v = W.sum(axis=0) / np.linalg.norm(W.sum(axis=0))
    v = v if v @ theta > 0 else -v
    zeta = theta - (v @ theta) * v
    bulk = W - np.mean(W @ v) * v
    norms = np.sum(bulk**2, axis=1) - (bulk @ v) ** 2
    runs = []
    for _ in range(sets):
        X, y = networks.single_index_data(n, theta, target, noise_var, rng)
        F = networks.features(W, activation, X)
        w = networks.ridge(F, y, RIDGES)
        run = order_parameters(w, bulk, v, zeta / np.linalg.norm(zeta))
        run["chi"] = w @ (norms - norms.mean()) / math.sqrt(len(W))
        run["train_error"] = np.mean((y - w @ F.T / math.sqrt(len(W))) ** 2, axis=1)
        run["test_error"] = networks.fresh_error(W, w, activation, theta, target, 3000, rng) + noise_var
        runs.append(run)
    return {name: np.array([run[name] for run in runs]) for name in MEASURED}


def z_scores(samples, prediction):
    """(simulated - predicted)/standard error, (number of ridges,) for every observable."""
    return {name: (np.mean(x, axis=0) - getattr(prediction, name)) * math.sqrt(len(x)) / np.std(x, axis=0, ddof=1)
            for name, x in samples.items()}


@pytest.mark.parametrize("row_norms", [True, False])
@pytest.mark.parametrize(
    ("activation", "target", "p", "d", "n", "lam", "noise_var", "weights"),
    [
        ("relu", "tanh", 40, 30, 60, 0.1, 0.1, {}),
        ("tanh", "sin", 30, 40, 60, 0.01, 0.0, {}),
        ("relu", "relu", 30, 60, 20, 0.3, 0.05, {"row_norm_variance": 2.0}),
        ("softplus", "sin", 50, 20, 40, 1e-3, 0.1, {"row_norm_variance": 1.0, "alignment": -0.5}),
        ("softplus", "he2", 25, 25, 30, 1.0, 0.1, {"r": -2.0}),
        ("linear", "softplus", 30, 20, 40, 0.1, 0.1, {}),
        ("relu", "sin", 20, 10, 30, 1e-4, 0.1, {"r": 0.5}),
        ("tanh", "tanh", 20, 40, 40, 0.1, 0.1, {"r": 0.0}),
        ("sin", "tanh", 200, 10, 100, 10.0, 0.0, {"r": 2.0}),
        ("tanh", "sin", 40, 40, 80, 0.01, 0.1, None),
    ],
)
def test_dense_matrices_and_damped_iteration_give_the_same(
    activation, target, p, d, n, lam, noise_var, weights, row_norms
):
    W, theta = trained(d, 3, activation, target, 4.0, 3.0) if weights is None else spiked(p, d, seed=5, **weights)
    with np.errstate(under="ignore"):
        expected = concrete_weights.solve(W, theta, activation, target, n, lam, noise_var, row_norms)
    prediction = concrete_features(
        W, theta, activation=activation, target=target, n=n, lam=lam, noise_var=noise_var, row_norms=row_norms
    ).solve()
    assert prediction.converged and prediction.residual < 1e-12
    for name, value in expected.items():
        assert getattr(prediction, name) == pytest.approx(value, rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize(("activation", "target"), [("tanh", "sin"), ("relu", "tanh"), ("softplus", "relu")])
@pytest.mark.parametrize(("p", "d"), [(40, 60), (60, 40)])
def test_envelope(activation, target, p, d):
    """d(ridge_objective)/d(lam) = (beta/alpha) q2, by a six-point difference; catches every wrong term in q."""
    W, theta = spiked(p, d, row_norm_variance=1.0)
    lam = 0.3
    step = 0.01 * lam
    offsets = np.array([-3, -2, -1, 1, 2, 3])
    weights = np.array([-1, 9, -45, 45, -9, 1]) / 60 / step
    for n_finite in (None, 10**9):
        problem = concrete_features(
            W, theta, activation=activation, target=target, n=70, lam=lam + step * offsets, noise_var=0.1,
            n_finite=n_finite,
        )
        slope = weights @ problem.solve().ridge_objective
        assert slope == pytest.approx(p / 70 * problem.replace(lam=lam).solve().q2, rel=2e-10)


def test_scaling_and_order():
    W, theta = spiked(50, 40, row_norm_variance=1.0)
    alpha, lam = np.array([[0.3], [1.25], [4.0]]), np.array([1e-6, 0.1, 10.0])
    problem = concrete_features(W, theta, **{**SETTING, "alpha": alpha, "lam": lam})
    prediction = problem.solve()
    louder = problem.replace(activation="3*relu(x)", lam=9 * lam).solve()
    for name in ("test_error", "train_error", "spike_error", "variance"):
        np.testing.assert_allclose(getattr(louder, name), getattr(prediction, name), rtol=1e-9)
    twice = problem.replace(target="2*tanh(x)", noise_var=0.4).solve()
    np.testing.assert_allclose(twice.test_error, 4 * prediction.test_error, rtol=1e-11)
    noisier = problem.replace(noise_var=0.5).solve()
    for name in ("m", "th", "psi", "chi", "V1", "V2", "bias"):
        np.testing.assert_allclose(getattr(noisier, name), getattr(prediction, name), rtol=1e-12)
    larger = concrete_features(2 * W, theta, **{**SETTING, "alpha": alpha, "lam": 4 * lam}).solve()
    np.testing.assert_allclose(larger.test_error, prediction.test_error, rtol=1e-9)
    np.testing.assert_allclose(prediction.bias + prediction.variance, prediction.generalization_error, rtol=1e-12)
    assert np.all(prediction.train_error <= prediction.test_error)
    assert np.all(np.diff(prediction.train_error, axis=1) > 0)


def test_a_grid_equals_its_cells():
    W, theta = spiked(60, 40)
    alpha, lam = np.array([[0.2], [1.0], [1.5], [5.0]]), np.array([1e-8, 1e-3, 1.0, 30.0])
    grid = concrete_features(W, theta, **{**SETTING, "alpha": alpha, "lam": lam}).solve()
    for i, j in np.ndindex(4, 4):
        cell = grid.problem.replace(alpha=float(alpha[i, 0]), lam=float(lam[j])).solve()
        for name, values in grid.values.items():
            assert values[i, j] == pytest.approx(cell.values[name], rel=1e-11, abs=1e-13), name
    assert max(asy.check(grid).values()) < 1e-10
    again = concrete_features(W, theta, **SETTING, n=[8, 200])
    assert again.beta == 1.5
    np.testing.assert_array_equal(again.alpha, [0.2, 5.0])


def test_the_best_ridge():
    W, theta = spiked(60, 40)
    problem = concrete_features(W, theta, **SETTING, alpha=[0.5, 2.0])
    best = problem.optimal_ridge()
    errors = [best.replace(lam=factor * best.lam).solve().test_error for factor in (0.9, 1.0, 1.1)]
    assert np.all(errors[1] < errors[0]) and np.all(errors[1] < errors[2])


def test_signs_of_spike_and_direction():
    """v is along W^T 1 with <v, theta> >= 0; turning all of space, or -W for an odd activation, changes nothing."""
    rng = np.random.default_rng(0)
    W, theta = spiked(30, 20)
    problem = concrete_features(W, theta, **SETTING, alpha=2.0)
    assert problem.alignment > 0 and problem.spike_strength > 0
    turn = np.linalg.qr(rng.standard_normal((20, 20)))[0]
    turned = concrete_features(W @ turn, theta @ turn, **SETTING, alpha=2.0).solve()
    assert turned.test_error == pytest.approx(problem.solve().test_error, rel=1e-11)
    mirrored = concrete_features(-W, theta, **SETTING, alpha=2.0)
    assert mirrored.spike_strength < 0
    odd, same = (one.replace(activation="tanh").solve().test_error for one in (problem, mirrored))
    assert same == pytest.approx(odd, rel=1e-11)


def test_no_ridge_is_the_limit_of_a_small_one():
    W, theta = spiked(60, 40, r=0.5)
    for activation in ("tanh", "relu", "softplus", "linear", "he2"):
        problem = concrete_features(W, theta, activation=activation, target="sin", noise_var=0.1,
                                    alpha=np.array([[0.3], [0.9], [2.0], [3.0]]), lam=[0.0, 1e-13])
        prediction = problem.solve()
        assert prediction.converged.all()
        for name in ("test_error", "spike_error", "m", "th", "psi", "q2"):
            zero, small = getattr(prediction, name).T
            np.testing.assert_allclose(zero, small, rtol=1e-8, atol=1e-12, err_msg=name)
        assert prediction.train_error[0, 0] == 0 and prediction.V2[0, 0] == np.inf


def test_no_ridge_at_the_threshold_is_infinite_and_says_so():
    W, theta = spiked(30, 40)
    problem = concrete_features(W, theta, activation="tanh", target="sin", noise_var=0.1, lam=0.0,
                                alpha=0.75 * (1 + np.array([-1e-4, 0, 1e-6])))
    with pytest.warns(AccuracyWarning, match="1 of 3 cells sit at the interpolation threshold"):
        prediction = problem.solve()
    assert prediction.converged.all()
    assert prediction.test_error[1] == np.inf and np.isfinite(prediction.test_error[[0, 2]]).all()
    for name in ("m", "th", "psi", "spike_error"):
        values = getattr(prediction, name)
        assert values[1] == pytest.approx(values[[0, 2]].mean(), rel=0.01)


def test_extreme_weights():
    """Rows that are orthogonal, opposite, few, orthogonal to theta; two input dimensions; theta along the spike."""
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    W, theta = spiked(30, 40)
    across = turn[:20] - np.outer(turn[:20] @ theta, theta)
    extremes = {
        "orthogonal": (turn[:20], theta),
        "orthogonal with spike": (turn[:20] + theta, theta),
        "square": (turn, theta),
        "two": (W[:2], theta),
        "opposite": (np.concatenate([W, -W]), theta),
        "blind": (across, theta),
        "plane": (rng.standard_normal((30, 2)), np.array([0.6, 0.8])),
        "aligned": (0.1 * across + 3 * theta, theta),
        "huge": (1e6 * W, theta),
        "tiny": (1e-6 * W, theta),
    }
    for name, (weights, direction) in extremes.items():
        prediction = concrete_features(
            weights, direction, **{**SETTING, "alpha": np.array([[0.3], [3.0]]), "lam": [1e-8, 0.1, 1e8]}
        ).solve()
        assert prediction.converged.all(), name
        assert np.all(prediction.test_error >= 0.1) and np.all(prediction.residual < 1e-11), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W": np.zeros((3, 4))}, "W: must have rows that differ"),
        ({"W": np.ones(4)}, r"W: must be an array \(p, d\) of numbers, got shape \(4,\)"),
        ({"W": [[1.0, 2.0], [3.0]]}, "W: must not be a ragged list"),
        ({"W": np.full((3, 4), np.nan)}, "W: must be finite numbers"),
        ({"theta": np.array([1.0, 0, 0])}, "theta: must have as many elements as W has columns, 4, got 3"),
        ({"theta": np.array([3.0, 4, 0, 0])}, "theta: must have norm 1 .* got norm 5"),
        ({"beta": 2.0}, "beta: is set by the weights"),
        ({"n": 5}, "alpha: is set by n"),
        ({"n": 2.5, "alpha": None}, "n: must be a whole number >= 1"),
        ({"lam": -1.0}, "lam: must be >= 0"),
        ({"activation": "2"}, "activation: must not be constant"),
    ],
)
def test_refusals(change, message):
    rng = np.random.default_rng(0)
    given = {"W": rng.standard_normal((3, 4)), "theta": np.array([1.0, 0, 0, 0]), "alpha": 2.0, **SETTING, **change}
    given = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(ParameterError, match=message):
        concrete_features(given.pop("W"), given.pop("theta"), **given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eigenvalues": [0.0, 0.0]}, "eigenvalues: must not all be zero"),
        ({"eigenvalues": [-1.0, 1.0]}, "eigenvalues: must be >= 0"),
        ({"spike_overlaps": [1.0]}, "spike_overlaps: must have as many elements as the eigenvalues, 2, got 1"),
        ({"target_overlaps": [0.1, 0.1]}, "target_overlaps: must be zero where the eigenvalue is zero"),
        ({"target_overlaps": [0.0, 1.5]}, r"target_overlaps: must have sum b\^2/D <= 1, got 1.125"),
        ({"spike_strength": [1.0, 2.0]}, "spike_strength: must be one number"),
        ({"alignment": 1.5}, "alignment: must be <= 1"),
    ],
)
def test_refusals_of_overlaps(change, message):
    given = dict(eigenvalues=[0.0, 2.0], spike_overlaps=[0.0, 1.0], target_overlaps=[0.0, 1.0], spike_strength=1.0,
                 alignment=0.5, beta=1.0, alpha=2.0, **SETTING)
    with pytest.raises(ParameterError, match=message):
        ConcreteFeatures(**{**given, **change})


@pytest.mark.parametrize("gaussian", [False, True])
def test_large_weights_tend_to_the_limit(gaussian):
    """Scatter ~ d^-1/2 between draws of W, and a mean deviation ~ 1/d."""
    beta, c, sizes, draws = 1.25, 1.2, np.array([40, 80, 160, 320]), 40
    kappa_delta = 2 * beta * c**2 if gaussian else 0.0
    common = dict(activation="relu", target="sin", alpha=2.5, lam=RIDGES, noise_var=0.1)
    limit = SpikedRandomFeatures(**common, beta=beta, bulk_variance=c, spike_strength=1.0, alignment=0.8,
                                 row_norm_variance=kappa_delta).solve()
    deviations = {name: [] for name in ("test_error", "train_error", "m", "th", "psi", "q2")}
    for d in sizes:
        found = [concrete_features(*spiked(int(beta * d), d, seed, row_norm_variance=kappa_delta), **common).solve()
                 for seed in range(draws)]
        for name, rows in deviations.items():
            rows.append([getattr(prediction, name) - getattr(limit, name) for prediction in found])
    for name, rows in deviations.items():
        scatter = np.mean(np.std(rows, axis=1, ddof=1), axis=1)
        slope = np.polyfit(np.log(sizes), np.log(scatter), 1)[0]
        assert -0.75 < slope < -0.3, (name, slope)
        mean, error = np.mean(rows, axis=1), np.std(rows, axis=1, ddof=1) / math.sqrt(draws)
        scale = np.abs(getattr(limit, name)).max()
        assert np.all(np.abs(mean) < 4 * error + 3 * scale / sizes[:, None]), name


def test_networks_with_these_weights():
    """40 training sets for one W each; fixed seeds.  The weights of another draw must not do as well."""
    scores, others = [], []
    for seed, (activation, target, n, noise_var, weights) in enumerate([
        ("relu", "tanh", 450, 0.1, {}),
        ("relu", "sin", 900, 0.0, {"alignment": 0.9, "row_norm_variance": 2.0}),
        ("tanh", "sin", 450, 0.0, {"r": 0.1, "c": 1.0}),
    ]):
        W, theta = spiked(350, 300, seed, **weights)
        samples = simulate(W, theta, activation, target, n, noise_var, 40, seed)
        common = dict(activation=activation, target=target, n=n, lam=RIDGES, noise_var=noise_var)
        problem = concrete_features(W, theta, **common)
        other = concrete_features(*spiked(350, 300, seed + 50, **weights), **common)
        # normalised rows leave nothing to chi
        names = [name for name in MEASURED if name != "chi" or weights.get("row_norm_variance")]
        scores += [z_scores(samples, problem.solve())[name] for name in names]
        others += [z_scores(samples, other.solve())[name] for name in names]
        # theta less aligned with the spike than it is
        wrong = problem.replace(alignment=problem.alignment - 0.1)
        assert np.max(np.abs(z_scores(samples, wrong.solve())["test_error"])) > 6
    assert np.max(np.abs(scores)) < 3.5 and np.sqrt(np.mean(np.square(scores))) < 1.5
    assert np.sqrt(np.mean(np.square(others))) > 3


def test_a_weak_spike_needs_the_penalty_of_the_mean_direction():
    """n/z, not n V2 and not infinite: 12 draws of W with r = .1, tanh/sin."""
    deviations = {None: [], 10**12: []}
    for seed in range(12):
        W, theta = spiked(150, 150, seed, r=0.1, alignment=0.9, c=1.0)
        samples = simulate(W, theta, "tanh", "sin", 225, 0.0, 4, seed)
        for n_finite, rows in deviations.items():
            prediction = concrete_features(W, theta, activation="tanh", target="sin", n=225, lam=RIDGES,
                                           n_finite=n_finite).solve()
            rows.append(samples["m"].mean(axis=0) - prediction.m)
    right, free = (np.array(rows) for rows in deviations.values())
    error = np.std(right, axis=0, ddof=1) / math.sqrt(12)
    assert np.all(np.abs(np.mean(right, axis=0)) < 3.5 * error)
    assert np.all(np.mean(free, axis=0) < -0.3)


def test_row_norms_of_trained_networks():
    """tanh/sin, alpha0 = 20, eta = 3: norms follow the spike, and they matter; relu/relu: they do not."""
    settings = ("tanh", "sin", 20, 3, 0, 600), ("relu", "relu", 2, 1.5, 0.05, 400)
    for activation, target, alpha0, eta, noise_var, n in settings:
        deviations = {True: [], False: []}
        for seed in range(16):
            W, theta = trained(200, seed, activation, target, alpha0, eta, noise_var)
            samples = simulate(W, theta, activation, target, n, noise_var, 6, seed)
            for row_norms, rows in deviations.items():
                prediction = concrete_features(W, theta, activation=activation, target=target, n=n, lam=RIDGES,
                                               noise_var=noise_var, row_norms=row_norms).solve()
                rows.append([samples[name].mean(axis=0) - getattr(prediction, name)
                             for name in ("test_error", "m", "th")])
        for row_norms, rows in deviations.items():
            scores = np.mean(rows, axis=0) / np.std(rows, axis=0, ddof=1) * math.sqrt(16)
            if row_norms:
                assert np.max(np.abs(scores)) < 4
            elif activation == "tanh":
                assert np.all(scores[1] < -4) and np.all(scores[2] > 6)
