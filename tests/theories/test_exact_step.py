"""`exact_step` and `full_step` against an independent solution (tests/reference/giant_step.py), and their corners."""

import json
import warnings

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import AccuracyWarning, GiantStep, SpikedRandomFeatures
from tests.reference.giant_step import FILE, MODELS, draws
from tests.reference.giant_step import solve as reference
from tests.theories.test_reference_rows import EXACT_ROWS

ERF = "erf(x/sqrt(2))"
BENT = "x+0.5*(x**2-1)"
TOLERANCE = 1e-10
STORED = json.loads(FILE.read_text())

# strongly anisotropic bulks, poles near the labels, covariances that touch zero
HARD = [
    dict(activation="relu", target=ERF, alpha0=0.5, eta=3.0),
    dict(activation="relu", target="relu", alpha0=0.5, eta=10.0, noise_var=0.5),
    dict(activation="tanh", target="he3", alpha0=0.3, eta=5.0, noise_var=0.5),
    dict(activation=BENT, target="tanh", alpha0=2.0, eta=3.0),
    dict(activation=ERF, target=ERF, alpha0=0.5, eta=4.0, noise_var=0.1),
    dict(activation="softplus", target="sin", alpha0=0.05, eta=2.0, noise_var=0.1, noise_var_step=1e-3),
    dict(activation="tanh(x+0.7)", target="relu", alpha0=20.0, eta=4.0),
    dict(activation="sin", target="tanh", alpha0=1.0, eta=30.0),
    dict(activation="relu", target="sin", alpha0=1e4, eta=2.0),
    dict(activation="he2", target="relu", alpha0=1.0, eta=1.5, noise_var=0.2),
]


def assert_agrees(problem, expected, tolerance):
    """To `tolerance` of every value, or of 1e-3 where it is smaller."""
    prediction = problem.solve()
    assert prediction.converged
    for name, value in expected.items():
        difference = abs(float(getattr(prediction, name)) - value)
        assert difference <= tolerance * max(abs(value), 1e-3), (name, difference, value)


@pytest.mark.parametrize(("parameters", "expected"), EXACT_ROWS)
def test_published_rows(parameters, expected):
    fresh = reference(**parameters)["exact_step"]
    for name, value in expected.items():
        assert fresh[name] == pytest.approx(value, rel=1e-11)
    assert_agrees(GiantStep(**parameters, model="exact_step"), expected, 1e-11)


def test_the_stored_problems_are_the_drawn_ones():
    assert [entry["parameters"] for entry in STORED] == draws(len(STORED))
    assert len(STORED) >= 8
    for entry in STORED:
        assert entry["change"] <= 1e-12  # under a finer quadrature of the reference


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("entry", STORED, ids=range(len(STORED)))
def test_random_problems(entry, model):
    assert_agrees(GiantStep(**entry["parameters"], model=model), entry["observables"][model], TOLERANCE)


@pytest.mark.parametrize("index", [0, 2])
def test_some_of_the_stored_solutions_are_reproduced(index):
    entry = STORED[index]
    for model, values in reference(**entry["parameters"]).items():
        for name, value in values.items():
            assert value == pytest.approx(entry["observables"][model][name], rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(
    "step",
    [
        dict(HARD[0], alpha=0.5, lam=1e-4),
        dict(HARD[3], alpha=1.5, lam=1e-4),
        dict(activation="tanh", target="he3", alpha0=0.3, eta=5.0, alpha=1.5, lam=0.1),
        dict(activation=ERF, target="tanh", alpha0=0.5, eta=4.0, alpha=0.5, lam=1e-6),
        dict(activation="relu", target="sin", alpha0=0.05, eta=1.0, alpha=2.0, beta=0.4, lam=0.01),
        dict(activation="relu", target="sin", alpha0=0.005, eta=4.0, alpha=1.5, lam=0.1),
        dict(activation="relu", target="cos", alpha0=2.0, eta=3.0, alpha=1.5, lam=0.1),
    ],
)
def test_hard_problems(step):
    """Few samples in the step, small ridges, no signal in the step."""
    for model, values in reference(**step).items():
        assert_agrees(GiantStep(**step, model=model), values, TOLERANCE)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("step", HARD, ids=[f"{step['activation']}-{step['target']}" for step in HARD])
def test_finer_tables_change_nothing(step, model):
    problem = GiantStep(**step, model=model, **asy.grid(alpha=[0.5, 2.0], lam=[1e-3, 1.0]))
    changes = asy.check(problem)
    assert set(changes) == set(problem.prediction.observables)
    assert max(changes.values()) < 1e-9, changes


def test_a_grid_over_steps_equals_its_cells():
    common = dict(activation="softplus", target=ERF, alpha=1.4, beta=1.2, noise_var=0.1)
    axes = dict(alpha0=[0.0, 0.5, 3.0], eta=[0.0, 1.0, 4.0], lam=[1e-3, 0.3])
    for model in MODELS:
        grid = GiantStep(**common, **asy.grid(**axes), model=model).solve()
        assert grid.problem.dims == tuple(axes) and grid.converged.all()
        for i, j, k in np.ndindex(3, 3, 2):
            point = {name: values[index] for (name, values), index in zip(axes.items(), (i, j, k), strict=True)}
            single = GiantStep(**common, **point, model=model).solve()
            for name, values in grid.values.items():
                expected = float(single.values[name])
                assert float(np.broadcast_to(values, (3, 3, 2))[i, j, k]) == pytest.approx(
                    expected, rel=1e-11, abs=1e-13
                ), (name, point)


# --------------------------------------------------------------------------------------------------
# corners
# --------------------------------------------------------------------------------------------------
STEP = dict(alpha0=2.0, eta=1.5, alpha=1.5, beta=1.0, lam=0.1, noise_var=0.1)
PAIRS = [
    ("tanh", "sin"), ("relu", ERF), (BENT, "tanh"), ("linear", "sin"), ("relu", "sign"),
    ("tanh", "he2"), ("relu", "cos"),  # t_1 = 0
    ("cos", "sin"), ("he2", "he2"), ("he3", "he3"), ("abs", "tanh"),  # c_1 = 0
]
CORNERS = {
    "no ridge": dict(lam=0.0),
    "no ridge, interpolating": dict(lam=0.0, alpha=0.5),
    "tiny ridge": dict(lam=1e-8, alpha=0.5),
    "threshold": dict(alpha=1.0),
    "threshold, no ridge": dict(alpha=1.0, lam=0.0),
    "no step": dict(eta=0.0),
    "no step, no ridge": dict(eta=0.0, lam=0.0, alpha=0.5),
    "no samples": dict(alpha0=0.0),
    "very few samples": dict(alpha0=1e-3),
    "fully aligned": dict(alpha0=1e8, noise_var=0.0),
    "huge step": dict(eta=100.0),
    "enormous step": dict(eta=1e4),
    "tiny step": dict(eta=1e-8),
}
INFINITE = {
    "no ridge": {"V2", "q2"},  # rank deficient: affine activations with p = d
    "no ridge, interpolating": {"V1", "V2"},
    "no step, no ridge": {"V1", "V2"},
}


def solve_strictly(problem):
    """Only AccuracyWarnings may come up; returns the prediction and whether any did."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", AccuracyWarning)
        prediction = problem.solve()
    return prediction, bool(caught)


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("model", MODELS)
def test_corners_are_finite_or_say_so(corner, model):
    for activation, target in PAIRS:
        parameters = {**STEP, **CORNERS[corner], "activation": activation, "target": target}
        prediction, warned = solve_strictly(GiantStep(**parameters, model=model))
        values = {name: float(value) for name, value in prediction.values.items()}
        where = (activation, target, values)
        if corner == "threshold, no ridge":
            assert warned and values["test_error"] == np.inf and values["train_error"] == 0, where
        elif not prediction.converged:
            assert warned and np.isnan(values["test_error"]), where
        else:
            unusual = {name for name, value in values.items() if not np.isfinite(value)}
            assert unusual <= INFINITE.get(corner, set()) | {"n_crossover"}, where
            assert not warned, where
            assert values["test_error"] >= parameters["noise_var"], where
            assert values["train_error"] <= values["test_error"], where
            assert min(values[name] for name in ("variance", "bias", "estimation_error", "q1", "q2")) >= 0, where


@pytest.mark.parametrize("model", MODELS)
def test_ordinary_corners_converge(model):
    ordinary = ("no ridge", "tiny ridge", "threshold", "no step", "no samples", "fully aligned", "huge step")
    for corner in ordinary:
        for activation, target in PAIRS:
            problem = GiantStep(**{**STEP, **CORNERS[corner], "activation": activation, "target": target}, model=model)
            assert problem.solve(["test_error"]).converged, (corner, activation, target)


@pytest.mark.parametrize("model", MODELS)
def test_no_ridge_is_the_limit_of_a_small_one(model):
    for activation, target in (("tanh", "sin"), (BENT, "tanh"), ("tanh", "he2")):
        for alpha in (0.5, 1.5):
            prediction = GiantStep(
                **{**STEP, "alpha": alpha, "lam": [0.0, 1e-12]}, activation=activation, target=target, model=model
            ).solve()
            zero, small = prediction.test_error
            assert prediction.converged.all() and zero == pytest.approx(small, rel=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_no_step_is_random_features(model):
    for activation, target in (("tanh", "sin"), ("relu", ERF), ("he2", "he2")):
        common = dict(activation=activation, target=target, alpha=1.5, lam=0.1, noise_var=0.1)
        plain = SpikedRandomFeatures(**common, spike_strength=0.0, alignment=0.0).solve()
        for nothing in (dict(alpha0=0.0, eta=2.0), dict(alpha0=2.0, eta=0.0)):
            step = GiantStep(**common, **nothing, model=model).solve()
            for name in ("test_error", "train_error", "psi", "q1", "q2", "V1", "V2"):
                assert getattr(step, name) == pytest.approx(getattr(plain, name), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("model", MODELS)
def test_without_linear_features_only_the_variance_of_the_bulk_counts(model):
    """Even activations get no spike, so mu_1 = 0, and the covariance drops out."""
    for activation, target in (("cos", "sin"), ("abs", "tanh"), ("he2", "relu")):
        step = GiantStep(**STEP, activation=activation, target=target, model=model).solve()
        plain = SpikedRandomFeatures(
            activation=activation, target=target, spike_strength=0.0, bulk_variance=step.bulk_variance,
            alignment=step.alignment, alpha=1.5, lam=0.1, noise_var=0.1,
        ).solve()
        assert step.spike_strength == 0 and step.th == 0 and step.psi == 0
        names = ("train_error", "V1", "V2") + (("test_error", "m", "q2") if model == "exact_step" else ())
        for name in names:
            assert getattr(step, name) == pytest.approx(getattr(plain, name), rel=1e-12), (activation, name)


@pytest.mark.parametrize("model", MODELS)
def test_a_target_without_a_linear_part_gives_noise_spikes(model):
    for activation, target in (("tanh", "he2"), ("relu", "cos"), ("softplus", "abs")):
        step = GiantStep(**STEP, activation=activation, target=target, model=model).solve()
        assert step.alignment == 0 and step.psi == 0 and step.spike_strength > 0


def test_full_alignment_is_approached_smoothly():
    """The distance from the limit falls like 1/alpha0."""
    for model in MODELS:
        for activation, target in (("tanh", "sin"), ("relu", "relu")):
            errors = GiantStep(
                **{**STEP, "alpha0": [1e5, 1e6, 1e7, 1e12]}, activation=activation, target=target, model=model
            ).solve().test_error
            first, second, third = np.abs(errors[:3] - errors[3])
            assert second == pytest.approx(first / 10, rel=1e-3) and third == pytest.approx(first / 100, rel=1e-2)


def test_even_activation_with_an_enormous_bulk():
    """No spike and mu1 = 0: the solution sits at x = 0, where the slope of the table is rounding noise."""
    common = dict(activation="abs", target="relu", alpha0=1.0, alpha=2.0, lam=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        for eta in (1e3, 1e6):
            for model in ("exact_step", "full_step"):
                prediction = GiantStep(**common, eta=eta, model=model).solve()
                assert prediction.converged or np.isnan(prediction.test_error)
