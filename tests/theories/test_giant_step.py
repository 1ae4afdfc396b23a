"""`GiantStep` and `SpikedRandomFeatures` as problems: what they accept, refuse and optimise."""

import math

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import AccuracyWarning, GiantStep, ParameterError, SpikedRandomFeatures
from asymptotics.gaussian import nonlinearity

STEP = dict(activation="tanh", target="sin", alpha0=2.0, eta=1.5, alpha=1.5, lam=0.1)
FEATURES = dict(activation="relu", target="sin", spike_strength=1.0, alignment=0.9, alpha=3.0, lam=0.1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lam", -1, "must be >= 0, got -1"),
        ("alpha", 0, "must be > 0, got 0"),
        ("alpha", [1.0, -2.0], r"must be > 0, got -2 at index \(1,\)"),
        ("beta", 0.0, "must be > 0, got 0"),
        ("noise_var", -0.1, "must be >= 0, got -0.1"),
        ("noise_var_step", -0.1, "must be >= 0, got -0.1"),
        ("alpha0", -1.0, "must be >= 0, got -1"),
        ("eta", np.nan, "must be a finite number, got nan"),
        ("lam", np.inf, "must be a finite number, got inf"),
        ("n_finite", 0.5, "must be >= 1, got 0.5"),
        ("n_finite", 2.5, "must be a whole number >= 1"),
        ("activation", "sign", "must have no jumps"),
        ("activation", "2", "must not be constant"),
        ("activation", "exp(x**2)", "Gaussian"),
        ("activation", math.tanh, "must be a vectorised callable"),
        ("activation", 3, "must be a name, an expression in x or a callable"),
        ("target", "1/x", "denominator must not vanish"),
        ("model", "exact", "must be one of exact_step, full_step, isotropic"),
        ("eta", "3", "must be a number >= 0, got '3'"),
    ],
)
def test_refusals(name, value, message):
    with pytest.raises(ParameterError, match=message) as caught:
        GiantStep(**{**STEP, name: value})
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("alignment", 1.01, "must be <= 1, got 1.01"),
        ("alignment", -1.01, "must be >= -1, got -1.01"),
        ("bulk_variance", 0.0, "must be > 0, got 0"),
        ("row_norm_variance", -1.0, "must be >= 0, got -1"),
    ],
)
def test_refusals_of_features(name, value, message):
    with pytest.raises(ParameterError, match=message):
        SpikedRandomFeatures(**{**FEATURES, name: value})


def test_sign_is_allowed_with_given_spikes():
    assert SpikedRandomFeatures(**{**FEATURES, "activation": "sign"}).solve().converged


def test_from_sizes():
    problem = GiantStep.from_sizes(d=400, p=600, n=[200, 800], n0=8000, activation="tanh", target="sin", eta=3, lam=0.1)
    assert problem.alpha0 == 20 and problem.beta == 1.5
    np.testing.assert_array_equal(problem.alpha, [0.5, 2.0])
    np.testing.assert_array_equal(problem.n_finite, [200, 800])
    with pytest.raises(ParameterError, match="alpha: is set by the sizes"):
        GiantStep.from_sizes(d=400, p=600, n=200, n0=8000, alpha=1, activation="tanh", target="sin", eta=3, lam=0.1)
    with pytest.raises(ParameterError, match="p: must be a whole number >= 1"):
        GiantStep.from_sizes(d=400, p=0.5, n=200, n0=8000, activation="tanh", target="sin", eta=3, lam=0.1)


def test_noise_of_the_step_defaults_to_the_noise():
    common = {**STEP, "noise_var": 0.3}
    same = GiantStep(**common, noise_var_step=0.3).solve()
    assert GiantStep(**common).solve().test_error == same.test_error
    assert GiantStep(**common, noise_var_step=0.0).solve().alignment > same.alignment


def test_step_parameters_from_hermite_series():
    """r, c, gamma by summing Hermite series of a non-centred pair, with noise in the step."""
    degree = 400
    activation, target = nonlinearity("softplus"), nonlinearity("relu")
    c, t = activation.hermite_coefficients(degree), target.hermite_coefficients(degree)
    k = np.arange(degree + 1)
    alpha0, eta, noise = 1.3, 2.1, 0.4
    power = 0.5 - t[0] ** 2 + (t[0] - c[0]) ** 2 + noise
    s2 = np.sum((k * c**2)[2:])
    nb = np.hypot(t[1], np.sqrt(power / alpha0))
    bulk = (1 + np.sqrt(2) * eta * c[2] * (t[0] - c[0])) ** 2 + eta**2 * s2 * power / alpha0
    prediction = GiantStep(
        activation="softplus", target="relu", alpha0=alpha0, eta=eta, alpha=1, lam=1, noise_var_step=noise
    ).solve()
    assert prediction.spike_strength == pytest.approx(eta * c[1] * nb, rel=1e-12)
    assert prediction.alignment == pytest.approx(t[1] / nb, rel=1e-12)
    assert prediction.bulk_variance == pytest.approx(bulk, rel=1e-9)


def test_giant_step_is_features_with_the_step_parameters():
    step = GiantStep(**STEP, noise_var=0.1, model="isotropic").solve()
    features = SpikedRandomFeatures(
        activation="tanh", target="sin", alpha=1.5, lam=0.1, noise_var=0.1,
        spike_strength=step.spike_strength, bulk_variance=step.bulk_variance, alignment=step.alignment,
    ).solve()
    for name in ("test_error", "train_error", "m", "th", "psi", "q1", "q2"):
        assert getattr(step, name) == pytest.approx(getattr(features, name), rel=1e-14)


def test_a_grid_equals_its_cells():
    rng = np.random.default_rng(1)
    alpha, eta, lam = rng.uniform(0.2, 3, 7), rng.uniform(0, 4, 7), 10 ** rng.uniform(-6, 1, 7)
    zipped = GiantStep(**{**STEP, "alpha": alpha, "eta": eta, "lam": lam}).solve()
    for i in range(7):
        single = GiantStep(**{**STEP, "alpha": alpha[i], "eta": eta[i], "lam": lam[i]}).solve()
        for name, values in zipped.values.items():
            assert values[i] == pytest.approx(single.values[name], rel=1e-11, abs=1e-13), name
    fixed = {name: value for name, value in STEP.items() if name not in ("lam", "eta")}
    grid = GiantStep(**asy.grid(lam=lam, eta=eta), **fixed).solve()
    assert grid.problem.dims == ("lam", "eta")
    assert grid.test_error[3, 5] == pytest.approx(
        GiantStep(**{**STEP, "lam": lam[3], "eta": eta[5]}).solve().test_error, rel=1e-11
    )


def test_the_same_bits_twice_and_only_what_is_asked():
    problem = GiantStep(**{**STEP, "alpha": np.linspace(0.2, 3, 40)})
    first, second = problem.solve(), problem.solve(["test_error", "V2"])
    assert list(second.values) == ["test_error", "V2"]
    np.testing.assert_array_equal(first.test_error, second.test_error)
    with pytest.raises(AttributeError, match="train_error was not computed"):
        _ = second.train_error


def test_empty_grid():
    prediction = GiantStep(**{**STEP, "alpha": np.array([])}).solve()
    assert prediction.test_error.shape == (0,)


def test_check_finds_nothing_to_complain_about():
    problem = GiantStep(**{**STEP, **asy.grid(alpha=np.linspace(0.2, 3, 9), lam=np.geomspace(1e-8, 1, 9))})
    changes = asy.check(problem)
    assert set(changes) == set(problem.prediction.observables)
    assert max(changes.values()) < 1e-11
    assert asy.check(problem.solve()) == changes
    with pytest.raises(ParameterError, match="problem: must be a problem or a prediction, got int"):
        asy.check(3)


class TestOptimalRidge:
    def test_published_optima(self):
        """tanh/sin, beta = 1, noise_var = .1 (none in the step), at the optimal step."""
        for alpha0, alpha, eta, lam, error in (
            (2, 0.5, 2.875, 0.614, 0.27023), (2, 1.5, 2.641, 0.4587, 0.24577), (2, 4, 2.470, 0.3182, 0.21496),
            (8, 1.5, 4.409, 0.767, 0.16321),
        ):
            best = GiantStep(
                activation="tanh", target="sin", alpha0=alpha0, eta=eta, alpha=alpha, lam=1.0, noise_var=0.1,
                noise_var_step=0.0, model="isotropic",
            ).optimal_ridge()
            assert best.lam == pytest.approx(lam, rel=1e-3)
            assert best.solve().test_error == pytest.approx(error, abs=6e-6)

    def test_it_is_a_stationary_minimum_in_every_cell(self):
        problem = GiantStep(**{**STEP, **asy.grid(alpha=np.linspace(0.3, 3, 8), eta=[0.0, 1.0, 3.0])}, noise_var=0.1)
        best = problem.optimal_ridge()
        assert set(best.lam.dims) == {"alpha", "eta"}
        step = 1e-3
        below, here, above = (
            best.replace(lam=best.lam * np.exp(s)).solve().test_error for s in (-step, 0.0, step)
        )
        assert np.all(here <= np.minimum(below, above))
        np.testing.assert_allclose(above, below, rtol=1e-9)
        for factor in (1e-4, 1e-2, 1e2, 1e4):
            assert np.all(best.replace(lam=best.lam * factor).solve().test_error >= here)

    def test_axes_of_the_given_ridge_are_dropped(self):
        problem = GiantStep(**{**STEP, "alpha": np.array([0.5, 1.0]), "lam": np.array([[0.1], [1.0], [10.0]])})
        best = problem.optimal_ridge()
        assert best.shape == (2,) and best.lam.shape == (2,)

    def test_no_ridge_where_none_is_best(self):
        best = SpikedRandomFeatures(
            activation="linear", target="linear", spike_strength=1.0, alignment=0.9, alpha=[2.0, 8.0], beta=2.0, lam=1.0
        ).optimal_ridge()
        np.testing.assert_array_equal(best.lam, 0.0)

    def test_infinite_ridge_where_nothing_can_be_learned(self):
        problem = SpikedRandomFeatures(**{**FEATURES, "activation": "tanh", "target": "he2"}, noise_var=0.1)
        with pytest.warns(AccuracyWarning, match="best ridge is infinite"):
            best = problem.optimal_ridge()
        assert best.solve().test_error == pytest.approx(1.1, rel=1e-8)


def test_a_covariance_that_is_not_resolved_is_not_converged():
    """Its spectrum spans too many decades for the tables: no plausible number, one warning; the other cells stand."""
    problem = GiantStep(activation="relu", target="erf", alpha0=0.5, eta=[3.0, 1e7], alpha=2, lam=1.0)
    with pytest.warns(asy.AccuracyWarning, match="1 of 2 cells did not converge"):
        prediction = problem.solve(["test_error"])
    assert prediction.converged.tolist() == [True, False]
    assert np.isfinite(prediction.test_error[0]) and np.isnan(prediction.test_error[1])
