"""The network of `polynomial-spikes`: its definition, the law of its weights, its spikes; its protocol."""

import math

import numpy as np
import pytest

from asymptotics import GiantStep, ParameterError, PolynomialSpikes, grid, nonlinearity
from validation import networks
from validation import polynomial_spikes as spikes

RELU = "relu(x) - 1/sqrt(2*pi)"
COEFFICIENTS = [0.2, 0.8, 0.5, 0.25]
PROBLEM = PolynomialSpikes(activation=RELU, target_coefficients=COEFFICIENTS, d=500, p=400, n=600, n0=750, eta=25,
                           lam=0.1, noise_var=0.1)
SMALL = PROBLEM.replace(d=10, p=8, n=12, n0=15, eta=3)
ERRORS = ["test_error", "generalization_error", "train_error", "ridge_objective"]
STEP = ["tau", "tau_r", "row_rescaling"]


def sized(d, **changes):
    return PROBLEM.replace(d=d, p=round(0.8 * d), n=round(1.2 * d), n0=round(1.5 * d), **changes)


def train(problem, seed):
    return spikes.trained(problem, spikes.plan_of(problem, {}), networks.generators(seed, 3))


def simulate(problem, seeds, test=2000):
    runs = [spikes.simulate(problem, {"test": test}, seed) for seed in range(seeds)]
    return {name: np.array([run[name] for run in runs]) for name in runs[0]}


def agrees(samples, theory, errors=4.0):
    """Whether the mean over networks is within that many standard errors."""
    samples = np.asarray(samples)
    return np.all(np.abs(np.mean(samples, axis=0) - theory)
                  < errors * np.std(samples, axis=0, ddof=1) / math.sqrt(len(samples)))


# ---- the definition


@pytest.mark.parametrize("activation", ["tanh(1.5*x + 0.8)", RELU, "x + 0.5*(x**2 - 1)"])
def test_step_descends_the_literal_loss_from_zero_output(activation):
    """W - eta dL/dW, L = (1/2 n0) sum (y - f)^2 with the network minus its copy at the start, by finite differences."""
    rng = np.random.default_rng(0)
    d, p, n0, eta = 4, 5, 7, 1.3
    W, a = networks.sphere_rows(p, d, rng), rng.standard_normal(p) / np.sqrt(p)
    X, y = networks.single_index_data(n0, networks.unit_vector(d, rng), "sin", 0.3, rng)
    sigma = nonlinearity(activation)

    def output(weights):
        return np.array([sum(a[i] * sigma(weights[i] @ x) for i in range(p)) for x in X])

    def loss(weights):
        return np.sum((y - (output(weights) - output(W))) ** 2) / (2 * n0)

    slopes = np.empty_like(W)
    for index in np.ndindex(W.shape):
        shift = np.zeros_like(W)
        shift[index] = 1e-5
        slopes[index] = (loss(W + shift) - loss(W - shift)) / 2e-5
    stepped = networks.gradient_step(W, a / np.sqrt(p), activation, X, y, eta, zero_output=True)
    np.testing.assert_allclose(stepped, W - eta * slopes, atol=1e-8)
    assert np.max(np.abs(stepped - W)) > 0.05


def test_a_linear_activation_learns_the_direction_only():
    """W + eta a b^T, b = X^T y/n0."""
    rng = np.random.default_rng(0)
    W, a = networks.sphere_rows(5, 4, rng), rng.standard_normal(5) / np.sqrt(5)
    X, y = networks.single_index_data(9, networks.unit_vector(4, rng), "tanh", 0.3, rng)
    stepped = networks.gradient_step(W, a / np.sqrt(5), "linear", X, y, 3.0, zero_output=True)
    np.testing.assert_allclose(stepped - W, 3 * np.outer(a, X.T @ y / 9), atol=1e-12)


def test_what_the_step_makes_of_a_network():
    """Mostly the rank-one part; without a step rows on the unit sphere."""
    problem = sized(300, eta=2)
    before, after = train(problem.replace(eta=0), 0), train(problem, 0)
    np.testing.assert_allclose(np.sum(before.weights**2, axis=1), 1, rtol=1e-12)
    step = (after.weights - before.weights) / 2
    rank_one = 0.5 * np.outer(after.initial, after.learned)
    assert np.linalg.norm(step - rank_one, 2) < 0.4 * np.linalg.norm(rank_one, 2)
    np.testing.assert_allclose(after.F, networks.features(after.weights, RELU, after.X), atol=1e-12)


def test_the_readout_of_the_step_is_gaussian():
    initial = np.concatenate([train(sized(100), seed).initial for seed in range(20)]) * math.sqrt(80)
    assert np.mean(initial) == pytest.approx(0, abs=4 / math.sqrt(1600))
    assert np.var(initial) == pytest.approx(1, abs=4 * math.sqrt(2 / 1600))
    assert np.mean(initial**4) == pytest.approx(3, abs=4 * math.sqrt(96 / 1600))


def test_what_is_measured():
    problem = SMALL.replace(**grid(lam=[0.1, 1.0]))
    values, network = spikes.measured(problem, {"test": 50}, 0)
    X = networks.generators(0, 4)[3].standard_normal((50, 10))
    along = X @ network.direction
    for i, lam in enumerate([0.1, 1.0]):
        w = networks.ridge(network.F, network.y, lam)
        outputs = networks.features(network.weights, RELU, X) @ w / math.sqrt(8)
        residuals = network.y - network.F @ w / math.sqrt(8)
        clean = np.mean((nonlinearity(problem.link)(along) - outputs) ** 2)
        assert values["generalization_error"][i] == pytest.approx(clean)
        assert values["test_error"][i] == pytest.approx(clean + 0.1)
        assert values["train_error"][i] == pytest.approx(np.mean(residuals**2))
        assert values["ridge_objective"][i] == pytest.approx((residuals @ residuals + lam * w @ w) / 12)
        third = np.mean(outputs * (along**3 - 3 * along) / math.sqrt(6))
        assert values["overlaps"][i, 3] == pytest.approx(third)
        assert values["learned_fraction"][i, 3] == pytest.approx(third / 0.25)
    assert values["overlaps"].shape == (2, 4)
    np.testing.assert_array_equal(values["singular_values"][0], values["singular_values"][1])
    cosine = network.learned @ network.direction / np.linalg.norm(network.learned)
    np.testing.assert_allclose(values["alignment"], cosine)


def test_a_component_that_the_target_does_not_have():
    values = spikes.simulate(SMALL.replace(target_coefficients=[0, 1, 0]), {"test": 20}, 0)
    np.testing.assert_array_equal(np.isnan(values["learned_fraction"]), [True, False, True])
    assert np.all(np.isfinite(values["overlaps"]))
    values = spikes.simulate(SMALL.replace(target_coefficients=None, target="tanh"), {"test": 20}, 0)
    np.testing.assert_array_equal(np.isnan(values["learned_fraction"]), [True, False] * 4 + [True])


def test_limit_has_the_learning_rate_of_its_exponent():
    limit = SMALL.replace(level="limit", eta=None, step_exponent=0.3)
    same = SMALL.replace(eta=12**0.3)
    np.testing.assert_equal(spikes.simulate(limit, {"test": 5}, 0), spikes.simulate(same, {"test": 5}, 0))
    assert spikes.simulate(same.replace(level="finite_rank"), {"test": 5}, 0)["test_error"] == pytest.approx(
        spikes.simulate(same, {"test": 5}, 0)["test_error"])


# ---- the law of the weights


@pytest.mark.parametrize("activation", [RELU, "tanh(1.5*x + 0.8)", "x + 0.5*(x**2 - 1)"])
def test_rows_after_the_step(activation):
    """tau, tau_r, s of (5): means over networks extrapolated from d = 100 and 300 as limit + a/d."""
    means, errors = {}, {}
    for d, count in ((100, 160), (300, 60)):
        problem = sized(d, activation=activation, eta=3)
        own = problem.solve(STEP)
        runs = [spikes.step_parameters(train(problem, seed)) for seed in range(count)]
        for name in STEP:
            ratios = [run[name] / own.values[name] for run in runs]
            means[d, name], errors[d, name] = np.mean(ratios), np.std(ratios, ddof=1) / math.sqrt(count)
    for name in STEP:
        limit = 1.5 * means[300, name] - 0.5 * means[100, name]
        error = math.hypot(1.5 * errors[300, name], 0.5 * errors[100, name])
        assert abs(limit - 1) < 4 * error < 0.4, (name, limit, error)
    assert abs(own.row_rescaling) > 0.005  # and is not too small to be seen


def test_squared_norms_of_the_rows():
    """|w_i|^2 grows by 2 s z_i + (tau^2 + tau_r^2 + s^2) z_i^2; tau^2 alone is a good half of the square."""
    problem = sized(400, eta=12)
    complete, half = [], []
    for seed in range(12):
        network = train(problem, seed)
        step = problem.replace(direction_norm_squared=network.norm_squared).solve(STEP)
        z = math.sqrt(400 * 0.8) * network.initial
        square = np.linalg.lstsq(np.vander(z, 3), np.sum(network.weights**2, axis=1))[0][0]
        complete.append(square / (step.tau**2 + step.tau_r**2 + step.row_rescaling**2))
        half.append(square / step.tau**2)
    assert agrees(complete, 1.0) and np.std(complete) < 0.2
    assert np.mean(half) > 1.4


def test_the_learned_direction():
    problem = sized(200).replace(n0=100)
    learned = [train(problem, seed) for seed in range(100)]
    mean = 1.0925 * 199 / 100 + 0.99 * 0.64  # eq. (3), but for E[y^2 z^2]
    mean += np.mean([network.y**2 * (network.X @ network.direction) ** 2 for network in learned]) / 100
    assert agrees([network.norm_squared for network in learned], mean)
    assert agrees([network.learned @ network.direction for network in learned], 0.8)
    known = [network.learned @ network.direction / np.linalg.norm(network.learned) for network in learned]
    np.testing.assert_allclose([network.alignment for network in learned], known)


# ---- without a step: random features, which another theory knows


@pytest.mark.parametrize("activation", [RELU, "tanh(1.5*x + 0.8)"])
def test_no_step(activation):
    problem = sized(400, activation=activation, eta=0)
    samples = simulate(problem, 10)
    limit = GiantStep(activation=activation, target=problem.link, alpha0=0, eta=0, alpha=1.2, beta=0.8, lam=0.1,
                      noise_var=0.1)
    theory = limit.solve(ERRORS).values
    for name in ERRORS:
        assert agrees(samples[name], theory[name]), name
    assert agrees(samples["overlaps"][:, 2:], 0.0)
    assert np.max(np.abs(samples["tau"])) < 0.02


def test_an_intercept_is_not_penalised():
    problem = SMALL.replace(intercept=True, activation="relu", lam=0.5)
    values, network = spikes.measured(problem, {"test": 50}, 0)
    A = np.column_stack([network.F / math.sqrt(8), np.ones(12)])
    solution = np.linalg.solve(A.T @ A + np.diag([0.5] * 8 + [0.0]), A.T @ network.y)
    residuals = network.y - A @ solution
    assert values["train_error"] == pytest.approx(np.mean(residuals**2))
    assert values["ridge_objective"] == pytest.approx(np.mean(residuals**2) + 0.5 * np.sum(solution[:8] ** 2) / 12)
    X = networks.generators(0, 4)[3].standard_normal((50, 10))
    outputs = networks.features(network.weights, "relu", X) @ solution[:8] / math.sqrt(8) + solution[8]
    assert values["overlaps"][0] == pytest.approx(np.mean(outputs))
    clean = np.mean((nonlinearity(problem.link)(X @ network.direction) - outputs) ** 2)
    assert values["test_error"] == pytest.approx(clean + 0.1)


# ---- spikes


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (6, 4), (4, 6)])
def test_leading_singular_values(shape):
    A = np.random.default_rng(0).standard_normal(shape)
    values, left, right = spikes.leading(A, 5)
    u, s, v = np.linalg.svd(A, full_matrices=False)
    found = min(5, *shape)
    np.testing.assert_allclose(values[:found], s[:found], rtol=1e-10)
    for own, known in ((left, u), (right, v.T)):
        np.testing.assert_allclose(np.abs(np.sum(own[:, :found] * known[:, :found], axis=0)), 1, rtol=1e-10)
        assert np.all(np.isnan(own[:, found:])) and own.shape == (len(known), 5)
    np.testing.assert_allclose(A @ right[:, :found], left[:, :found] * values[:found], atol=1e-10)
    assert np.all(np.isnan(values[found:]))


def test_spikes_of_the_features():
    """Singular values and vectors of the first two rows of the theory's reference table (level finite_rank)."""
    weak = simulate(PROBLEM.replace(eta=10), 10, test=1)
    assert agrees(weak["singular_values"][:, 0], 3.0733794)
    assert agrees(weak["spike_vectors"][:, 0, 1] ** 2, 0.951005)
    assert np.mean(weak["spike_vectors"][:, 0, [0, 2, 3]] ** 2) < 0.02
    for j, theory in ((0, 0.332208), (2, 0.234461)):
        assert agrees(weak["spike_vectors"][:, 1, j] ** 2, theory)
    assert np.all(weak["spike_vectors"][:, 0, 1] > 0) and np.all(weak["spike_vectors"][:, 1, 0] > 0)
    strong = simulate(PROBLEM, 10, test=1)
    assert agrees(strong["singular_values"][:, :2], [7.39576009, 4.63612510])


def test_spike_of_the_first_layer():
    """Its singular value and vectors at s1 = eta |c_1| |b| = 3, by the formulas of a spiked matrix."""
    theory = sized(400, eta=10).solve()
    problem = sized(400, eta=10 * 3 / (theory.tau * math.sqrt(320)))
    beta, s1 = 0.8, 3.0
    expected = {
        "first_layer_singular_value": math.sqrt((1 + s1**2) * (beta + s1**2)) / s1,
        "first_layer_readout_alignment": math.sqrt(1 - beta * (1 + s1**2) / (s1**2 * (s1**2 + beta))),
        "first_layer_alignment": theory.alignment * math.sqrt(1 - (beta + s1**2) / (s1**2 * (s1**2 + 1))),
    }
    samples = simulate(problem, 12, test=1)
    for name, value in expected.items():
        assert problem.solve([name]).values[name] == pytest.approx(value)
        error = np.std(samples[name], ddof=1) / math.sqrt(12)
        assert abs(np.mean(samples[name]) - value) < 4 * error + 6 / 400 * value, name  # and the shift of order 1/d
    below = simulate(problem.replace(eta=0.3), 3, test=1)
    assert np.max(below["first_layer_singular_value"]) < 1.05 * (1 + math.sqrt(beta))
    assert np.max(np.abs(below["first_layer_alignment"])) < 0.3


# ---- seeds and sizes


def test_a_network_is_a_function_of_its_seed():
    sequence = np.random.SeedSequence(3)
    first = spikes.simulate(SMALL, {"test": 20}, sequence)
    np.testing.assert_equal(first, spikes.simulate(SMALL, {"test": 20}, sequence))
    np.testing.assert_equal(first, spikes.simulate(SMALL, {"d": 10, "test": 20}, 3))
    assert first["test_error"] != spikes.simulate(SMALL, {"test": 20}, 4)["test_error"]
    assert set(first) <= set(SMALL.prediction.observables)
    assert all(type(first[name]) is float for name in (*ERRORS, *STEP, "alignment", "first_layer_singular_value"))
    known = SMALL.replace(direction_norm_squared=2.0, direction_alignment=0.5)
    np.testing.assert_equal(spikes.simulate(known, {"test": 20}, 3), first)


def test_data_do_not_depend_on_the_step():
    """Independent streams: trained or not, the readout sees the same samples."""
    after, before = train(SMALL, 0), train(SMALL.replace(eta=0), 0)
    for name in ("initial", "direction", "learned", "X", "y"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert np.any(after.weights != before.weights)


def test_ridges_share_the_network():
    lams = [0.0, 0.1, 2.0]
    together = spikes.simulate(SMALL.replace(**grid(lam=lams)), {"test": 50}, 3)
    for i, lam in enumerate(lams):
        alone = spikes.simulate(SMALL.replace(lam=lam), {"test": 50}, 3)
        for name, value in alone.items():
            assert np.shape(together[name]) == (3, *np.shape(value)), name
            np.testing.assert_allclose(together[name][i], value, rtol=1e-8, err_msg=name)


def test_one_network_only():
    for problem in (SMALL.replace(n=[12, 20]), SMALL.replace(**grid(eta=[0.1, 1.0], lam=[0.1, 1.0]))):
        with pytest.raises(ParameterError, match="one network"):
            spikes.simulate(problem, {}, 0)


@pytest.mark.parametrize("sizes", [{"d": 20}, {"d": 10.0}, {"d": True}, {"d": "10"}, {"test": 0}, {"p": 8}, {"n": 12}])
def test_sizes_are_those_of_the_problem(sizes):
    with pytest.raises(ParameterError):
        spikes.simulate(SMALL, sizes, 0)


def test_smallest_sizes():
    tiny = PROBLEM.replace(d=2, p=1, n=1, n0=1, lam=0)
    values = spikes.simulate(tiny, {"test": 1}, 0)
    assert all(math.isfinite(values[name]) for name in ERRORS)
    assert values["train_error"] == pytest.approx(0, abs=1e-20)
    assert np.isfinite(values["singular_values"][0]) and np.all(np.isnan(values["singular_values"][1:]))
