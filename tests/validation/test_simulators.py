"""Simulated networks against the theory, with fixed seeds, and theories that the same criterion must reject."""

import math
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from asymptotics import GiantStep, ParameterError, SpikedRandomFeatures, grid, nonlinearity
from validation import giant_step, linear_network, networks, polynomial_spikes, spiked_random_features

D = 250
ERRORS = ["test_error", "generalization_error", "train_error", "ridge_objective"]
ORDER_PARAMETERS = ["m", "th", "psi", "q1", "q2"]
SPIKE = ["spike_strength", "bulk_variance", "alignment"]

RANDOM_FEATURES = GiantStep(activation="tanh", target="sin", alpha0=20, eta=0, alpha=2, lam=0.01, noise_var=0.1)
LINEAR = GiantStep(activation="linear", target="sin", alpha0=4, eta=1, alpha=3, lam=0.1, noise_var=0.05)
TANH = GiantStep(activation="tanh", target="sin", alpha0=20, eta=3, alpha=3, lam=0.1)
RELU = GiantStep(activation="relu", target="relu", alpha0=2, eta=1.5, alpha=2, lam=0.1, noise_var=0.05,
                 noise_var_step=0)
SPIKED = dict(spike_strength=1, alignment=0.9, alpha=3, lam=0.1, row_norm_variance=2)
SPIKED_RELU = SpikedRandomFeatures(activation="relu", target="sin", **SPIKED)
SPIKED_HE2 = SpikedRandomFeatures(activation="he2", target="he2", **SPIKED)


def simulate(problem, seeds, **sizes):
    module = giant_step if isinstance(problem, GiantStep) else spiked_random_features
    runs = [module.simulate(problem, {"d": D, **sizes}, seed) for seed in range(seeds)]
    return {name: np.array([run[name] for run in runs]) for name in runs[0]}


def scores(problem, samples, names):
    """(mean - theory) / standard error, by name."""
    theory = problem.solve(names)
    return {name: (np.mean(samples[name]) - theory.values[name])
            / (np.std(samples[name], ddof=1) / math.sqrt(samples[name].size)) for name in names}


def agrees(problem, samples, names):
    return max(map(abs, scores(problem, samples, names).values())) < 4


@pytest.fixture(scope="module")
def tanh_samples():
    return simulate(TANH, 12)


@pytest.mark.parametrize("problem", [RANDOM_FEATURES, LINEAR, SPIKED_RELU], ids=["no step", "linear", "spiked relu"])
def test_networks_agree_where_the_theory_is_exact(problem):
    names = ERRORS + ORDER_PARAMETERS + ([] if isinstance(problem, GiantStep) else ["chi"])
    samples = simulate(problem, 12)
    assert agrees(problem, samples, names), scores(problem, samples, names)
    # the criterion has teeth: errors known to a few per cent
    assert np.std(samples["test_error"], ddof=1) < 0.3 * np.mean(samples["test_error"])


def test_trained_network():
    """Errors only: the isotropic model is an approximation, which here is good for the errors."""
    samples = simulate(RELU, 16)
    assert agrees(RELU, samples, ERRORS), scores(RELU, samples, ERRORS)
    wrong = RELU.replace(eta=0.7 * 1.5)
    assert not agrees(wrong, samples, ERRORS), scores(wrong, samples, ERRORS)


def test_isotropic_model_of_a_trained_tanh_network(tanh_samples):
    """Off by 3 % (5 standard errors here), not by more; `test_row_norms_of_a_trained_network_...` shows the reason."""
    theory = TANH.solve(["test_error", "train_error"])
    for name, value in theory.values.items():
        assert np.mean(tanh_samples[name]) == pytest.approx(value, rel=0.1), name


@pytest.mark.parametrize("eta", [0.7 * 3, 1.3 * 3])
def test_a_wrong_learning_rate_is_rejected(eta, tanh_samples):
    wrong = TANH.replace(eta=eta)
    assert not agrees(wrong, tanh_samples, ["test_error"]), scores(wrong, tanh_samples, ERRORS)


def test_row_norm_fluctuations_are_seen():
    samples = simulate(SPIKED_HE2, 12)
    names = ["test_error", "train_error", "chi"]
    assert agrees(SPIKED_HE2, samples, names), scores(SPIKED_HE2, samples, names)
    dropped = SPIKED_HE2.replace(row_norm_variance=0)
    assert not agrees(dropped, samples, ["test_error"]), scores(dropped, samples, names)


def test_spike_of_the_trained_weights():
    """r, c and gamma have corrections of order 1/d: two sizes, extrapolated.  The published c is rejected."""
    problem = GiantStep(activation="softplus", target="tanh", alpha0=2, eta=3, alpha=0.1, lam=1, noise_var_step=0.1)
    small, large = (simulate(problem, 40, d=d, test=1) for d in (100, 200))
    theory = problem.solve(SPIKE)
    published = 1 + 9 * problem.activation.slope_variance() * problem.target.second_moment() / 2
    for name in SPIKE:
        limit = 2 * np.mean(large[name]) - np.mean(small[name])
        error = math.hypot(2 * np.std(large[name], ddof=1), np.std(small[name], ddof=1)) / math.sqrt(40)
        assert abs(limit - theory.values[name]) < 4 * error, name
        if name == "bulk_variance":
            assert abs(limit - published) > 4 * error


def test_row_norms_of_a_trained_network_follow_the_spike():
    """Why order parameters of trained networks differ from the isotropic model, in which the two are independent.

    |W_b,i|^2 = |w_i|^2 + 2 w_i . (rest of the step) has the part 2 sqrt(6) eta c_3 w_i . g, c_3 = E[sigma h_3].
    """
    d, n0, eta = 400, 8000, 3.0
    rng = np.random.default_rng(0)
    direction, W = networks.unit_vector(d, rng), networks.sphere_rows(d, d, rng)
    X, y = networks.single_index_data(n0, direction, "sin", 0.0, rng)
    readout = np.full(d, 1 / math.sqrt(d))
    gradient = (y - networks.network(W, readout, "tanh", X)) @ X / n0
    spike = gradient / np.linalg.norm(gradient)
    trained = networks.gradient_step(W, readout, "tanh", X, y, eta)
    bulk = trained - np.mean(trained @ spike) * spike
    norms = np.sum(bulk**2, axis=1)
    c_3 = nonlinearity("tanh").hermite_coefficients(3)[3]
    slope = np.polyfit(W @ spike, norms, 1)[0]
    assert slope == pytest.approx(2 * math.sqrt(6) * eta * c_3 * np.linalg.norm(gradient), rel=0.05)
    assert np.corrcoef(W @ spike, norms)[0, 1] < -0.9


# ---- seeds and sizes


@pytest.mark.parametrize(("module", "problem"), [(giant_step, TANH), (spiked_random_features, SPIKED_RELU)])
def test_a_network_is_a_function_of_its_seed(module, problem):
    sizes = {"d": 10, "test": 20}
    sequence = np.random.SeedSequence(3)
    first = module.simulate(problem, sizes, sequence)
    assert first == module.simulate(problem, sizes, sequence) == module.simulate(problem, sizes, 3)
    assert first["test_error"] != module.simulate(problem, sizes, 4)["test_error"]
    assert set(first) <= set(problem.prediction.observables)
    assert all(type(value) is float for value in first.values())


def test_readout_data_do_not_depend_on_the_step():
    """Independent streams: at another alpha0 the network without step sees the same data."""
    sizes = {"d": 12, "test": 20}
    runs = [giant_step.simulate(RANDOM_FEATURES.replace(alpha0=alpha0, eta=eta), sizes, 0)
            for alpha0, eta in ((20, 0), (0, 3), (0, 0))]
    assert runs[0] == runs[1] == runs[2]
    assert runs[0]["spike_strength"] == runs[0]["alignment"] == 0 and runs[0]["bulk_variance"] == pytest.approx(1)


def test_smallest_sizes_and_no_ridge():
    tiny = TANH.replace(alpha=0.01, beta=0.01, alpha0=0.01, lam=0)
    values = giant_step.simulate(tiny, {"d": 2, "test": 1}, 0)
    assert all(map(math.isfinite, values.values()))
    assert values["train_error"] == pytest.approx(0, abs=1e-20)
    aligned = SPIKED_RELU.replace(alignment=-1, lam=0, alpha=0.01, beta=3)
    assert all(map(math.isfinite, spiked_random_features.simulate(aligned, {"d": 2}, 0).values()))


@pytest.mark.parametrize("sizes", [{}, {"d": 1}, {"d": 20.5}, {"d": 20.0}, {"d": True}, {"d": "20"},
                                   {"d": 20, "test": 0}, {"d": 20, "p": 30}])
@pytest.mark.parametrize(("module", "problem"), [(giant_step, TANH), (spiked_random_features, SPIKED_RELU)])
def test_sizes_are_checked(module, problem, sizes):
    with pytest.raises(ParameterError):
        module.simulate(problem, sizes, 0)


@pytest.mark.parametrize(("module", "problem"), [(giant_step, TANH), (spiked_random_features, SPIKED_RELU)])
def test_ridges_share_the_network(module, problem):
    lams = [0.0, 0.1, 2.0]
    together = module.simulate(problem.replace(**grid(lam=lams)), {"d": 20, "test": 50}, 3)
    for i, lam in enumerate(lams):
        alone = module.simulate(problem.replace(lam=lam), {"d": 20, "test": 50}, 3)
        for name, value in alone.items():
            assert isinstance(value, float)
            assert together[name].shape == (3,)
            assert together[name][i] == pytest.approx(value, rel=1e-8), name


def test_one_network_only():
    for problem in (TANH.replace(alpha=[1.0, 2.0]), TANH.replace(**grid(eta=[0.1, 1.0], lam=[0.1, 1.0]))):
        with pytest.raises(ParameterError, match="one network"):
            giant_step.simulate(problem, {"d": 20}, 0)


def test_entry_points_name_the_simulators():
    for module in (giant_step, linear_network, polynomial_spikes, spiked_random_features):
        slug = module.__name__.rpartition(".")[2].replace("_", "-")
        name = f"validation.{slug.replace('-', '_')}:simulate"
        assert EntryPoint(slug, name, "asymptotics.simulators").load() is module.simulate
