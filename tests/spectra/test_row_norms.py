"""Row norms after a gradient step: statistics from actual weights, overlaps from actual data, the tables."""

import math

import numpy as np
import pytest

from asymptotics import GiantStep, nonlinearity
from asymptotics.spectra.row_norms import norm_samples
from asymptotics.theories.spiked_random_features.gradient_step import first_coefficients
from asymptotics.theories.spiked_random_features.row_norms import (
    norm_direction,
    normed_step_curve,
    normed_step_curves,
    slope_moments,
)
from asymptotics.theories.spiked_random_features.step_curve import label_measure, step_anisotropy
from validation import networks

ERF = "erf(x/sqrt(2))"

# activation, target, alpha0, eta, noise_var_step: odd, neither, with and without a part of the norms along the rows
SETTINGS = [
    ("tanh", "sin", 4.0, 3.0, 0.0),
    (ERF, "relu", 0.5, 3.0, 0.1),
    ("relu", "tanh(x + 1)", 0.7, 2.0, 0.0),
    ("tanh(x + 0.7)", "relu", 0.7, 3.0, 0.2),
    ("softplus", "tanh", 1.0, 3.0, 0.1),
    ("he2", "tanh(x + 1)", 1.0, 0.5, 0.0),
]


def pieces(setting):
    activation, target = nonlinearity(setting[0]), nonlinearity(setting[1])
    alpha0, eta, noise_var = setting[2:]
    k2, tau2 = step_anisotropy(activation, alpha0, eta)
    measure = label_measure(target, first_coefficients(activation)[0], noise_var, alpha0, k2, tau2)
    return activation, target, measure, k2, tau2


def at_labels(setting, labels):
    """The functions f and h of the norms at given labels."""
    activation, _, measure, k2, _ = pieces(setting)
    s = slope_moments(activation)
    _, _, alpha0, eta, _ = setting
    shift = k2 * labels / alpha0
    a0 = 1 + k2 * measure.mean
    a, rise = a0 + shift, shift * (2 * a0 + shift)
    f = 2 * math.sqrt(2) * eta * s.second * labels * a + 2 * eta**2 / alpha0 * s.pull * labels**2
    h = eta * labels * (math.sqrt(2) * s.second * rise + 4 * eta / alpha0 * s.pull * labels * a
                        + (eta / alpha0) ** 2 * s.cubic * labels**2)
    return f, h


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_functions_of_the_labels(setting):
    activation, _, measure, k2, tau2 = pieces(setting)
    norms = norm_direction(activation, measure, setting[2], setting[3], k2, tau2)
    f, h = at_labels(setting, measure.y)
    np.testing.assert_allclose(norms.linear, f, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(norms.direct, h, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_norms_of_actual_weights(setting):
    """Their variance, and their covariance with the rows, of several networks with many rows."""
    activation, target, measure, k2, tau2 = pieces(setting)
    alpha0, eta, noise_var = setting[2:]
    d, p = 250, 3000
    power = norm_direction(activation, measure, alpha0, eta, k2, tau2).power
    ratios, slopes, weights = [], [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X, y = networks.single_index_data(round(alpha0 * d), networks.unit_vector(d, rng), target, noise_var, rng)
        W, readout = networks.sphere_rows(p, d, rng), np.full(p, 1 / math.sqrt(p))
        residual = y - networks.network(W, readout, activation, X)
        bulk = networks.gradient_step(W, readout, activation, X, y, eta)
        bulk -= eta * first_coefficients(activation)[1] * (residual @ X / len(X))
        norms = np.sum(bulk**2, axis=1)
        norms -= np.mean(norms)
        ratios.append(d * np.mean(norms**2) / power)
        f, h = at_labels(setting, residual)
        M = (X.T * residual) @ X / len(X)
        s = (f @ X + k2 * (f @ X) @ M + h @ X) / len(X)
        if s @ s > 1e-6 * power:
            slopes.append(d * norms @ bulk @ s / p / (s @ s))
            weights.append(s @ s)
        else:  # no part along the rows: none along the gradient, beyond the sampling of the rows
            g = residual @ X / len(X)
            along = d * norms @ bulk @ g / p / np.linalg.norm(g)
            assert abs(along) < 4 * math.sqrt(power * np.mean((bulk @ g) ** 2) / (g @ g) * d / p)
    assert np.mean(ratios) == pytest.approx(1, abs=4 * np.std(ratios, ddof=1) / math.sqrt(6) + 4 / d)
    if slopes:
        error = np.std(slopes, ddof=1) / math.sqrt(6)
        assert error < 0.15
        assert np.average(slopes, weights=weights) == pytest.approx(1, abs=4 * error + 10 / d)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_overlaps_of_actual_data(setting):
    """The resolvent of sampled covariances, in the direction of the norms."""
    activation, target, measure, k2, tau2 = pieces(setting)
    alpha0, eta, noise_var = setting[2:]
    norms = norm_direction(activation, measure, alpha0, eta, k2, tau2)
    c = (1 + k2 * measure.mean) ** 2 + (tau2 + k2**2 / alpha0) * measure.power
    omega = c * np.array([0.05, 1.0, 20.0])
    expected = norm_samples(measure, omega, alpha0, k2, tau2, norms)
    d, samples = 300, []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        theta = networks.unit_vector(d, rng)
        X, y = networks.single_index_data(round(alpha0 * d), theta, target, noise_var, rng)
        y -= first_coefficients(activation)[0]
        n0 = len(X)
        P = np.eye(d) + k2 * (X.T * y) @ X / n0
        C = P @ P + tau2 * (X.T * y**2) @ X / n0
        f, h = at_labels(setting, y)
        s, g = P @ (f @ X) / n0 + h @ X / n0, y @ X / n0
        v = g / np.linalg.norm(g)
        zeta = theta - (theta @ v) * v
        zeta /= np.linalg.norm(zeta)
        row = []
        for value in omega:
            R = np.linalg.inv(C + value * np.eye(d))
            ratio = (v @ R @ s) / (v @ R @ v)
            row.append([ratio, value * (zeta @ R @ s - (zeta @ R @ v) * ratio),
                        norms.power - s @ R @ s + (v @ R @ s) * ratio])
        samples.append(np.transpose(row))
    mean, error = np.mean(samples, axis=0), np.std(samples, axis=0, ddof=1) / math.sqrt(10)
    natural = np.sqrt(norms.power * np.array([[c], [c], [norms.power]]))
    assert np.all(np.abs(mean - expected) < 4.8 * error + 5 / d * natural)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_tables(setting):
    """Against direct values between the nodes; halved steps; derivatives by differences; positive matrices."""
    activation, target, measure, k2, tau2 = pieces(setting)
    curve = normed_step_curve(activation, target, *setting[2:])
    fine = normed_step_curve(activation, target, *setting[2:], refinement=2)
    assert curve.converged.all() and curve.directions == 3
    norms = norm_direction(activation, measure, setting[2], setting[3], k2, tau2)
    x = np.geomspace(1e-4, 1e4, 33)[None]
    overlaps = curve.overlaps(x)
    direct = norm_samples(measure, 1 / x[0], setting[2], k2, tau2, norms)
    scale = np.sqrt(norms.power * curve.curve.mean[0] * np.array([[1], [1], [norms.power / curve.curve.mean[0]]]))
    assert np.max(np.abs(overlaps.resolvent[2, :, 0] - direct) / scale) < 1e-11
    for one, two in zip(overlaps, fine.overlaps(x), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-10 * np.max(overlaps.resolvent))

    step = 1e-4
    shifted = [curve.overlaps(x * math.exp(k * step)).resolvent for k in (-2, -1, 1, 2)]
    slope = (shifted[0] - 8 * shifted[1] + 8 * shifted[2] - shifted[3]) / (12 * step)
    np.testing.assert_allclose(overlaps.remaining, overlaps.resolvent + slope, rtol=0,
                               atol=1e-9 * np.max(np.abs(overlaps.resolvent)))
    zeta = overlaps.resolvent[1]
    rest = overlaps.resolvent - x * zeta[:, None] * zeta
    np.testing.assert_allclose(overlaps.rest, rest, rtol=0, atol=1e-12 * np.max(np.abs(overlaps.resolvent)))
    for matrix in overlaps:
        values = np.linalg.eigvalsh(np.moveaxis(matrix, (0, 1), (-2, -1)))
        assert np.all(values > -1e-11 * np.max(np.abs(matrix)))


def test_stacked_tables_and_no_step():
    activation, target = nonlinearity("tanh"), nonlinearity("sin")
    curves = normed_step_curves(activation, target, [2.0, 0.0, 2.0, 1.0], [3.0, 3.0, 0.0, 1.0], 0.0)
    x = np.geomspace(0.1, 10, 4 * 5).reshape(4, 5)
    together = curves.overlaps(x)
    for i, (alpha0, eta) in enumerate([(2.0, 3.0), (0.0, 3.0), (2.0, 0.0), (1.0, 1.0)]):
        alone = normed_step_curve(activation, target, alpha0, eta, 0.0).overlaps(x[i:i + 1])
        for one, two in zip(together, alone, strict=True):
            np.testing.assert_allclose(one[:, :, i], two[:, :, 0], rtol=1e-13, atol=1e-15)
    assert not np.any(together.resolvent[2, :, 1:3])


def test_slope_moments():
    relu = slope_moments(nonlinearity("relu"))
    slope = 1 / math.sqrt(2 * math.pi)  # of the linear part of the step function
    assert relu.power == pytest.approx(0.25 - slope**2, rel=1e-12)
    assert relu.pull == pytest.approx(0, abs=1e-15)
    cubic = slope_moments(nonlinearity("x**3"))  # sigma' = 3 z^2 = 3 + 3 sqrt2 h_2
    assert cubic.second == pytest.approx(3 * math.sqrt(2)) and cubic.power == pytest.approx(18)
    assert (cubic.third, cubic.pull, cubic.lever_cubic) == (0, 0, 0)
    assert cubic.cubic == pytest.approx(27 * 8)  # E (z^2 - 1)^3 = 8
    assert cubic.lever == pytest.approx(9 * 10)  # E z^2 (z^2 - 1)^2 = 15 - 6 + 1


# ---- what it means for networks

COMMON = dict(activation="tanh", target="sin", alpha0=20, eta=3, alpha=3, lam=0.1)


def test_many_samples_of_the_step():
    """alpha0 -> infinity: only the norms along the spike are left, |W_b,i|^2 - c = 2 sqrt6 eta c_3 nb (W_b v)_i."""
    tanh = nonlinearity("tanh")
    curve = normed_step_curve(tanh, nonlinearity("sin"), 1e8, 3.0, 0.0)
    t_1 = nonlinearity("sin").hermite_coefficients(1)[1]
    xi = 2 * math.sqrt(6) * 3.0 * tanh.hermite_coefficients(3)[3] * t_1
    overlaps = curve.overlaps(np.array([[0.3, 3.0]]))
    np.testing.assert_allclose(overlaps.resolvent[0, 2], xi, rtol=1e-6)
    assert np.max(np.abs(overlaps.resolvent[1, 2])) < 1e-3


def test_simulated_values():
    """300 networks of d = 600 and 800 of d = 200, extrapolated: m, th and errors, which the norms change."""
    full = GiantStep(**COMMON, model="full_step").solve()
    without = GiantStep(**COMMON).solve()
    simulated = {"test_error": (0.03146, 0.00017), "train_error": (0.02147, 0.00021)}
    for name, (mean, error) in simulated.items():
        assert abs(getattr(full, name) - mean) < 2.5 * error
    assert abs(without.test_error - 0.03146) > 5 * 0.00017
    assert full.m < 0.98 * without.m and full.th > 1.2 * without.th


@pytest.mark.parametrize("model", ["exact_step", "full_step"])
@pytest.mark.parametrize("setting", [SETTINGS[0], SETTINGS[3], SETTINGS[4]], ids=str)
def test_envelope(setting, model):
    """d(ridge_objective)/dlam = (beta/alpha) q2, by a six-point difference."""
    problem = GiantStep(
        activation=setting[0], target=setting[1], alpha0=setting[2], eta=setting[3], noise_var_step=setting[4],
        alpha=1.5, beta=1.2, noise_var=0.1, model=model, lam=0.1 * np.exp(0.01 * np.arange(-3, 4)), n_finite=500,
    )
    prediction = problem.solve()
    weights = np.array([-1, 9, -45, 0, 45, -9, 1]) / 60
    slope = weights @ prediction.ridge_objective / (0.01 * 0.1)
    assert slope == pytest.approx(1.2 / 1.5 * prediction.q2[3], rel=1e-9)


def test_models_agree_for_a_linear_activation():
    problem = GiantStep(activation="linear", target="sin", alpha0=2, eta=1, alpha=[0.5, 2.0], lam=0.1, noise_var=0.1)
    names = ["test_error", "train_error", "m", "th", "psi", "q1", "q2", "V1", "V2"]
    isotropic = problem.replace(model="isotropic").solve()
    for model in ("exact_step", "full_step"):
        prediction = problem.replace(model=model).solve()
        for name in names:
            np.testing.assert_allclose(getattr(prediction, name), getattr(isotropic, name), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(prediction.isotropic_gap, 0, atol=1e-12)


def test_gap_of_the_isotropic_model():
    problem = GiantStep(activation=ERF, target=ERF, alpha0=0.5, eta=4, alpha=2, lam=0.1, noise_var=0.1,
                        noise_var_step=0)
    exact, isotropic = problem.solve(), problem.replace(model="isotropic").solve()
    assert exact.isotropic_gap == pytest.approx(isotropic.test_error / exact.test_error - 1, rel=1e-12)
    assert np.isnan(isotropic.isotropic_gap)
    assert problem.solve(["isotropic_gap"]).isotropic_gap == exact.isotropic_gap
