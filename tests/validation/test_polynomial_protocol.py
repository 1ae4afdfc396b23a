"""Networks of `polynomial-spikes` paired with predictions, wrong theories, and the quick protocol."""

import math

import numpy as np
import pytest

from asymptotics import PolynomialSpikes
from validation import compare, networks
from validation import polynomial_pairs as pairs
from validation import polynomial_spikes as spikes
from validation.engine import run
from validation.polynomial_protocol import (
    FUNCTIONS,
    ISOTROPIC,
    TRAINED,
    at_step,
    cross_validation,
    protocol,
    step_parameters,
)

PROBLEM = PolynomialSpikes(activation="relu(x) - 1/sqrt(2*pi)", target_coefficients=[0.2, 0.8, 0.5, 0.25], d=100, p=80,
                           n=120, n0=150, eta=6, lam=[0.1, 1.0], noise_var=0.1)
STEP, FIRST_LAYER = ("tau", "tau_r", "row_rescaling"), pairs.FIRST_LAYER


# ---- pairs


def test_resized():
    half, same = pairs.resized(PROBLEM, 50), pairs.resized(PROBLEM, 100)
    assert same == PROBLEM
    assert [int(getattr(half, name)) for name in ("d", "p", "n", "n0")] == [50, 40, 60, 75]
    ratio = math.sqrt(float(pairs.resized(PROBLEM, 100_000).solve(["tau"]).tau[0] / half.solve(["tau"]).tau[0]))
    assert ratio == pytest.approx(1, abs=0.01)  # |b|^2 has a term of order 1/d
    for name in ("tau_r", "row_rescaling"):
        np.testing.assert_allclose(half.solve([name]).values[name], PROBLEM.solve([name]).values[name], rtol=1e-12)


def test_a_pair():
    """Every kind of value from its parts, at another size than that of the problem."""
    values = pairs.simulate(PROBLEM, {"d": 60, "test": 50}, 3)
    here = pairs.resized(PROBLEM, 60)
    after, network = spikes.measured(here, {"test": 50}, 3)
    before = spikes.simulate(here.replace(eta=0), {"test": 50}, 3)
    size = here.replace(direction_norm_squared=network.norm_squared, direction_alignment=network.alignment).solve()
    untrained, theory = here.replace(eta=0).solve(), PROBLEM.solve()
    assert set(values) == set(pairs.OBSERVABLES)
    for name in pairs.ERRORS:
        ratio = after[name] / size.values[name] / (before[name] / untrained.values[name])
        np.testing.assert_allclose(values[name] / theory.values[name], ratio)
    np.testing.assert_allclose(
        values["overlaps"] - theory.overlaps,
        after["overlaps"] - size.overlaps - (before["overlaps"] - untrained.overlaps), atol=1e-14)
    for name in ("singular_values", "first_layer_singular_value"):
        np.testing.assert_allclose(values[name] / theory.values[name], after[name] / size.values[name])
    for name in ("tau", "first_layer_alignment", "spike_vectors"):
        np.testing.assert_allclose(
            values[name] - theory.values[name], after[name] - size.values[name], atol=1e-14)
    assert values["singular_values"].shape == (2, 8) and np.isfinite(values["singular_values"][0, 0])


@pytest.mark.parametrize("simulate", [pairs.simulate, pairs.simulate_isotropic])
def test_a_pair_is_a_function_of_its_seed(simulate):
    first = simulate(PROBLEM, {"d": 60, "test": 50}, 3)
    np.testing.assert_equal(first, simulate(PROBLEM, {"d": 60, "test": 50}, np.random.SeedSequence(3)))
    assert np.all(first["test_error"] != simulate(PROBLEM, {"d": 60, "test": 50}, 4)["test_error"])


def test_pairing_removes_scatter():
    """What the samples and the direction make of a network cancels."""
    seeds = range(24)
    paired = [pairs.simulate(PROBLEM, {"d": 100, "test": 1000}, seed) for seed in seeds]
    bare = [spikes.simulate(PROBLEM, {"test": 1000}, seed) for seed in seeds]
    for name, gain in (("test_error", 1.5), ("train_error", 1.5), ("ridge_objective", 2), ("tau", 1.5)):
        scatter = [np.std([part[name] for part in runs], axis=0)[0] for runs in (bare, paired)]
        assert scatter[0] > gain * scatter[1], name


def test_without_a_step_nothing_is_left():
    values = pairs.simulate(PROBLEM.replace(eta=0), {"d": 80, "test": 50}, 0)
    theory = PROBLEM.replace(eta=0).solve([*pairs.ERRORS, "overlaps"]).values
    for name, value in theory.items():
        np.testing.assert_allclose(values[name], value, rtol=1e-10, atol=1e-14)


def test_isotropic_residual():
    """The same law of the rows as after the step, with a residual that knows nothing of weights and samples."""
    problem = PROBLEM.replace(d=300, p=3000, n0=450, eta=40)
    plan = spikes.plan_of(problem, {})
    network = pairs.isotropic(problem, plan, networks.generators(0, 4))
    actual = spikes.trained(problem, plan, networks.generators(0, 4))
    for name in ("initial", "direction", "learned", "X", "y"):
        np.testing.assert_array_equal(getattr(network, name), getattr(actual, name))
    law = problem.replace(direction_norm_squared=network.norm_squared).solve(STEP).values
    measured = spikes.step_parameters(network)
    for name in STEP:
        assert measured[name] == pytest.approx(law[name][0], rel=0.02), name
    residual = network.weights - actual.weights
    assert np.linalg.norm(residual) > 0.5 * law["tau_r"][0] * math.sqrt(3000)
    np.testing.assert_allclose(network.F, networks.features(network.weights, problem.activation, network.X))


def test_own_runs_beside_the_theory():
    """Everything the simulator measures can be given; what is not defined is left out."""
    problem = PROBLEM.replace(target_coefficients=[0.2, 0.8, 0.0])
    runs = [spikes.simulate(problem, {"test": 500}, seed) for seed in range(12)]
    samples = {name: np.stack([run[name] for run in runs], axis=-1) for name in runs[0]}
    report = compare(problem, samples, precision=1.0)
    names = {row.observable for row in report.rows}
    assert {"test_error", "overlaps[2]", "learned_fraction[1]", "singular_values[0]", "first_layer_alignment"} < names
    assert not names & {"learned_fraction[2]", "singular_values[4]", "spike_vectors[4,0]"}
    assert all(np.isfinite(row.theory) and np.isfinite(row.simulation) for row in report.rows)


# ---- wrong theories


def test_the_right_step_gives_the_right_theory():
    right = at_step(PROBLEM, step_parameters(PROBLEM))
    for name, value in PROBLEM.solve(FUNCTIONS).values.items():
        np.testing.assert_allclose(right[name], value, rtol=1e-9, atol=1e-12)
    law = PROBLEM.solve(["alignment", *STEP]).values
    assert [step_parameters(PROBLEM)[name] for name in ("alignment", "tau", "tau_r", "rescaling")] == pytest.approx(
        [value[0] for value in law.values()])


def test_dropped_terms_change_the_theory():
    problem = TRAINED["quadratic 0.3"]
    step = step_parameters(problem)
    right = problem.solve(["test_error"]).test_error
    for change in ({"tau_r": 0.0}, {"rescaling": 0.0}):
        wrong = at_step(problem, step | change)["test_error"]
        assert np.all(np.abs(wrong / right - 1) > 0.01)


def test_plain_cross_validation():
    """Right before the step, where all samples have the same leverage; wrong after a large one."""
    before = PROBLEM.replace(eta=0)
    np.testing.assert_allclose(
        cross_validation(before, step_parameters(before))["test_error"], before.solve().test_error, rtol=1e-7)
    problem = TRAINED["quadratic 0.3"]
    wrong = cross_validation(problem, step_parameters(problem))["test_error"] / problem.solve().test_error
    assert np.all(wrong < 0.97)


# ---- the protocol


@pytest.fixture(scope="module")
def full():
    return protocol("full")


def test_the_protocol_is_complete(full):
    names = [setting.name for setting in full.settings]
    assert len(set(names)) == len(names)
    assert {setting.name for setting in protocol("quick").settings} < set(names)
    assert {name for name, _ in full.laws} <= set(names)
    assert {name for setting in full.settings for name in setting.wrong} == {
        "eta 10 % off", "finite_rank", "residual dropped", "row rescaling dropped", "plain cross-validation"}


def test_what_is_judged(full):
    """Errors up to tau_r = 0.35 and with isotropic residuals, the spike of the weights with these only."""
    for setting in full.settings:
        tau_r = np.max(pairs.solved(setting.problem, ["tau_r"])["tau_r"])
        expected = tau_r <= 0.35 or setting.name in ISOTROPIC
        assert (set(FUNCTIONS) <= set(setting.judged)) == expected, setting.name
        shown = setting.shown.get("residual not isotropic", ())
        assert (set(FUNCTIONS) <= set(shown)) == (not expected)
        assert not set(shown) & set(setting.judged)
        assert setting.name in ISOTROPIC or not set(FIRST_LAYER) & set(setting.judged)
        smallest = pairs.solved(pairs.resized(setting.problem, min(full.networks)), ["singular_values"])
        for name in setting.judged:
            if name.startswith("singular_values["):
                assert np.all(np.isfinite(smallest["singular_values"][:, int(name[16:-1])])), name
    judged = [name for setting in full.settings for name in setting.judged]
    assert {"singular_values[0]", "singular_values[1]", "spike_vectors[1,2]", *STEP, *FIRST_LAYER} < set(judged)


def test_quick_passes_and_rejects_every_wrong_theory():
    report = run(protocol("quick"))
    assert report.passed, str(report)
    assert len(report.judged) > 60 and len(report.controls) == 5
