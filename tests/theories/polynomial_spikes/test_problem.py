"""`PolynomialSpikes` as a person meets it: input, corners, the three levels side by side, answers."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import AccuracyWarning, ParameterError, PolynomialSpikes

SIZES = dict(d=500, p=400, n=600, n0=750, noise_var=0.1)
CUBIC = (0.2, 0.8, 0.5, 0.25)
CENTRED_RELU = "relu(x) - 1/sqrt(2*pi)"


def problem(**changes):
    given = {"activation": CENTRED_RELU, "target_coefficients": CUBIC, "eta": 3.0, "lam": 0.1, **SIZES, **changes}
    return PolynomialSpikes(**{name: value for name, value in given.items() if value is not None})


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tau", category=AccuracyWarning)
        yield


@pytest.mark.parametrize(("changes", "name", "words"), [
    ({"target": "sin"}, "target", "one of the two"),
    ({"target_coefficients": None}, "target", "one of the two"),
    ({"target_coefficients": [1.0]}, "target_coefficients", "2 to 25 numbers"),
    ({"target_coefficients": [0.3, 0.0, 1.0]}, "target_coefficients", "linear component"),
    ({"target_coefficients": None, "target": "he2"}, "target", "linear component"),
    ({"activation": "he2"}, "activation", "linear component"),
    ({"activation": "abs"}, "activation", "linear component"),
    ({"activation": "linear"}, "activation", "nonlinear"),
    ({"activation": "sign"}, "activation", "without jumps"),
    ({"eta": None}, "eta", "must be given at level full"),
    ({"step_exponent": 0.3}, "step_exponent", "must not be given at level full"),
    ({"level": "limit"}, "eta", "must not be given at level limit"),
    ({"level": "limit", "eta": None}, "step_exponent", "must be given at level limit"),
    ({"level": "limit", "eta": None, "step_exponent": 0.5}, "step_exponent", "must be < 0.5"),
    ({"level": "limit", "eta": None, "step_exponent": 9 / 20}, "step_exponent", "at its threshold"),
    ({"level": "limit", "eta": None, "step_exponent": [0.1, 1 / 3]}, "step_exponent", "at its threshold"),
    ({"level": "limit", "eta": None, "step_exponent": 0.0}, "step_exponent", "at its threshold"),
    ({"level": "R"}, "level", "must be one of full, finite_rank, limit"),
    ({"d": 500.5}, "d", "whole number"),
    ({"n0": 0}, "n0", "must be >= 1"),
    ({"lam": -1}, "lam", "must be >= 0, got -1"),
    ({"eta": -1}, "eta", "must be >= 0, got -1"),
    ({"direction_norm_squared": 0}, "direction_norm_squared", "must be > 0"),
    ({"direction_alignment": 1.1}, "direction_alignment", "must be <= 1"),
])
def test_bad_input(changes, name, words):
    with pytest.raises(ParameterError, match=words) as caught:
        problem(**changes)
    assert caught.value.name == name


def test_every_observable_at_every_level():
    limit = problem(level="limit", eta=None, step_exponent=[0.1, 0.3]).solve()
    for level in ("full", "finite_rank"):
        prediction = problem(level=level, eta=[1.0, 10.0]).solve()
        assert set(prediction.values) == set(limit.values)
        assert prediction.converged.all() and np.max(prediction.residual) < 1e-12
        for name in ("test_error", "train_error", "ridge_objective", "alignment", "tau", "bulk_edge", "overlaps",
                     "first_layer_singular_value"):
            assert np.isfinite(getattr(prediction, name)).all(), name
        assert prediction.generalization_error == pytest.approx(prediction.test_error - 0.1, abs=1e-14)
        assert prediction.learned_fraction == pytest.approx(prediction.overlaps / CUBIC, abs=1e-14)
        outside = np.isfinite(prediction.singular_values)
        assert (outside == (prediction.threshold_ratio > 1)).all()
        assert (prediction.singular_values[outside] > prediction.bulk_edge[0]).all()
        assert np.sum(prediction.spike_vectors[outside] ** 2, axis=-1).max() <= 1
    for name in ("tau", "tau_r", "row_rescaling", "singular_values", "spike_vectors", "first_layer_alignment"):
        assert np.isnan(getattr(limit, name)).all()
    assert limit.bulk_edge == pytest.approx(prediction.bulk_edge[0], rel=1e-12)
    assert limit.residual.max() < 1e-12 and limit.converged.all()


def test_levels_meet_for_small_steps():
    """Without a step they are one; with p tau^2 fixed the levels full and finite_rank differ by O(tau^2)."""
    still = {level: problem(level=level, eta=0.0).solve() for level in ("full", "finite_rank")}
    for name in ("test_error", "train_error", "ridge_objective", "overlaps"):
        assert still["full"].values[name] == pytest.approx(still["finite_rank"].values[name], rel=1e-11, abs=1e-12)
    gaps = []
    for scale in (1e2, 1e4):
        sizes = {name: int(scale * SIZES[name]) for name in ("d", "p", "n", "n0")}
        errors = [float(problem(level=level, eta=3.0, **sizes).solve(["test_error"]).test_error)
                  for level in ("full", "finite_rank")]
        gaps.append(errors[0] / errors[1] - 1)
    assert abs(gaps[0]) < 1e-3 and gaps[0] == pytest.approx(100 * gaps[1], rel=0.1)


def test_finite_rank_tends_to_the_limit():
    """Deviations shrink with 1/K of the weakest spike, n^(2(1 - 2a) - 1), as tau = n^(a - 1/2) does faster."""
    limit = problem(level="limit", eta=None, step_exponent=0.29).solve(["test_error", "overlaps"])
    deviations = []
    for scale in (1e6, 1e10):
        sizes = {name: int(scale * SIZES[name]) for name in ("d", "p", "n", "n0")}
        near = problem(level="finite_rank", eta=float(sizes["n"]) ** 0.29, **sizes).solve(["test_error", "overlaps"])
        deviations.append(abs(near.test_error / limit.test_error - 1))
    assert deviations[0] < 0.02 and deviations[1] == pytest.approx(1e4**-0.16 * deviations[0], rel=0.15)


def test_without_ridge():
    with pytest.warns(AccuracyWarning, match="1 of 3 cells have n = p"):
        bare = problem(lam=0.0, n=[300, 400, 600]).solve()
    small = problem(lam=1e-9, n=[300, 400, 600]).solve()
    assert bare.converged.all()
    assert bare.test_error[1] == np.inf and bare.train_error[1] == bare.ridge_objective[1] == 0
    assert bare.train_error[0] == bare.ridge_objective[0] == 0
    for name in ("test_error", "overlaps"):
        assert bare.values[name][[0, 2]] == pytest.approx(small.values[name][[0, 2]], rel=1e-6)
    assert bare.train_error[2] == pytest.approx(small.train_error[2], rel=1e-6)
    # at n = p overlaps approach their limit like the root of the ridge
    ridges = problem(n=400, lam=[1e-8, 4e-8]).solve(["overlaps"]).overlaps
    assert bare.overlaps[1] == pytest.approx(2 * ridges[0] - ridges[1], abs=1e-6)


def test_warnings_say_where_a_level_ends():
    with pytest.warns(AccuracyWarning, match=r"2 of 3 cells have tau\^2 > 0.05"):
        problem(level="finite_rank", eta=[1.0, 10.0, 20.0]).solve(["test_error"])
    with pytest.warns(AccuracyWarning, match="1 of 3 cells have tau_r > 0.35"):
        problem(eta=[1.0, 10.0, 20.0]).solve(["test_error"])


def test_the_direction_may_be_known():
    mean = problem().solve()
    squared = (0.8 / mean.alignment) ** 2
    given = problem(direction_norm_squared=squared, direction_alignment=mean.alignment).solve()
    assert given.test_error == pytest.approx(mean.test_error, rel=1e-12)
    longer = problem(direction_norm_squared=4 * squared).solve()
    assert longer.tau == pytest.approx(2 * mean.tau, rel=1e-12)
    assert longer.tau_r == mean.tau_r


def test_in_the_limit_an_intercept_is_a_mean_of_the_activation():
    step = {"level": "limit", "eta": None, "step_exponent": 0.2}
    fitted, with_mean = problem(intercept=True, **step).solve(), problem(activation="relu", **step).solve()
    assert fitted.learned_fraction[0] == pytest.approx(1, abs=1e-12)
    assert fitted.test_error == pytest.approx(with_mean.test_error, rel=1e-12)
    assert fitted.ridge_objective < problem(**step).solve().ridge_objective


def test_check_finds_nothing_to_refine():
    for level in ("full", "finite_rank"):
        changes = asy.check(problem(level=level, eta=[0.5, 3.0, 12.0], lam=1e-3))
        assert max(changes.values()) < 1e-9, changes


def test_grids_share_steps_and_keep_their_labels():
    grid = problem(**asy.grid(eta=[1.0, 4.0], lam=[0.01, 0.1, 1.0])).solve(["test_error", "learned_fraction"])
    dataset = grid.to_dataset()
    assert dataset.learned_fraction.dims == ("eta", "lam", "degree")
    assert dataset.degree.values.tolist() == [0, 1, 2, 3]
    one = problem(eta=4.0, lam=0.1).solve(["test_error"]).test_error
    assert float(dataset.test_error.sel(eta=4.0, lam=0.1)) == pytest.approx(float(one), rel=1e-13)


def test_a_target_that_is_no_polynomial():
    prediction = problem(target_coefficients=None, target="tanh").solve()
    assert prediction.overlaps.shape == (9,)
    assert np.isnan(prediction.learned_fraction[::2]).all() and np.isfinite(prediction.learned_fraction[1::2]).all()


# ---- answers


@pytest.mark.parametrize("activation", ["x + 0.5*(x**2 - 1)", "tanh"])
def test_the_best_step(activation):
    base = problem(activation=activation, lam=0.3)
    best = base.optimal_step(ridge="given")
    assert best.lam == 0.3
    error = best.solve(["test_error"]).test_error
    tried = base.replace(eta=best.eta * np.geomspace(0.05, 3, 60)).solve(["test_error"]).test_error
    assert error <= tried.min() * (1 + 1e-12)
    near = base.replace(eta=best.eta * np.array([0.97, 1.03])).solve(["test_error"]).test_error
    assert (near > error).all()


def test_the_best_step_and_ridge_of_several_sizes():
    best = problem(n=[300, 900]).optimal_step()
    assert best.shape == (2,)
    error = best.solve(["test_error"]).test_error
    for factor in (0.9, 1.1):
        assert (best.replace(eta=factor * best.eta).solve(["test_error"]).test_error > error).all()
        assert (best.replace(lam=factor * best.lam).solve(["test_error"]).test_error > error).all()


def test_the_best_split_is_that_of_brute_force():
    sizes = dict(d=40, p=30)
    best = problem(**sizes).optimal_split(60)
    steps = np.arange(1, 60)
    errors = problem(**{**sizes, "n0": steps, "n": 60 - steps}).solve(["test_error"]).test_error
    assert (best.n0, best.n) == (steps[np.argmin(errors)], 60 - steps[np.argmin(errors)])
    several = problem(**sizes).optimal_split([60, 200])
    assert several.n0[0] == best.n0 and several.n0[1] + several.n[1] == 200


@pytest.mark.parametrize("question", [
    lambda: problem().optimal_split(1), lambda: problem().optimal_split(100, ridge="best"),
    lambda: problem().optimal_step(ridge=3), lambda: problem().phase_table([0.6]),
    lambda: problem(level="limit", eta=None, step_exponent=0.1).optimal_step(),
    lambda: problem().phase_table([0.1, 0.1]),
])
def test_bad_questions(question):
    with pytest.raises(ParameterError):
        question()


def test_edge_crossings_are_where_singular_values_appear():
    crossings = problem().edge_crossings()
    eta = crossings["eta"].values
    assert np.isfinite(eta[:2]).all() and eta[0] < eta[1]
    for number, place in enumerate(eta[:2]):
        around = problem(eta=place * np.array([1 - 1e-6, 1 + 1e-6])).solve(["singular_values", "bulk_edge"])
        assert np.isnan(around.singular_values[0, number]) and np.isfinite(around.singular_values[1, number])
        assert around.singular_values[1, number] == pytest.approx(around.bulk_edge[1], rel=1e-4)
    uncentred = problem(activation="relu").edge_crossings()["eta"].values
    assert uncentred[0] == 0
    several = problem(n=[600, 1200], d=[500, 1000]).edge_crossings()["eta"]
    assert several.shape[0] == 2 and float(several[0, 0]) == pytest.approx(eta[0], rel=1e-9)


def test_the_phase_table():
    table = problem().phase_table([-0.1, 0.2, 0.25, 0.3])
    assert table["spikes"].values.tolist() == [0, 1, -1, 2]
    assert np.isnan(table["learned_fraction_limit"].values[2]).all()
    assert table["learned_fraction"].dims == ("step_exponent", "degree")
    assert table["eta"].values == pytest.approx(600.0 ** np.array([-0.1, 0.2, 0.25, 0.3]))
    direct = problem(eta=600**0.3).solve(["learned_fraction"]).learned_fraction
    assert table["learned_fraction"].values[3] == pytest.approx(direct, rel=1e-12)
    limit = problem(level="limit", eta=None, step_exponent=0.3).solve(["learned_fraction"]).learned_fraction
    assert table["learned_fraction_limit"].values[3] == pytest.approx(limit, rel=1e-12)
    several = problem(**asy.grid(lam=[0.1, 1.0])).phase_table([0.1, 0.2])
    assert several["test_error"].sizes == {"step_exponent": 2, "lam": 2}


@pytest.mark.parametrize("axes", [{"lam": [0.1]}, {"n": [600], "lam": [0.1]}, {"n": [[600], [900]], "lam": [0.1]}])
def test_the_phase_table_with_axes_of_length_one(axes):
    table = problem(**axes).phase_table([0.1, 0.2])
    assert table["test_error"].size == 2 * np.size(axes.get("n", 600))
    alone = problem(lam=0.1).phase_table([0.1, 0.2])
    first = table["test_error"].transpose("step_exponent", ...).values.reshape(2, -1)[:, 0]
    assert first == pytest.approx(alone["test_error"].values, rel=1e-12)


def test_command_line():
    given = {"activation": CENTRED_RELU, "target_coefficients": CUBIC, "eta": 10, "lam": 0.1, **SIZES}
    done = subprocess.run([sys.executable, "-m", "asymptotics", "predict", "polynomial-spikes", "--json", "--params",
                           json.dumps(given)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)["observables"]
    assert answer["test_error"] == pytest.approx(0.871351340287, abs=1e-12)
    assert answer["singular_values"][:3] == [pytest.approx(3.07337939, abs=1e-8), pytest.approx(1.37046050, abs=1e-8),
                                             None]
