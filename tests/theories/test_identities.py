"""Identities and limits that the equations must satisfy, whatever the numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymptotics import GiantStep, SpikedRandomFeatures, nonlinearity
from asymptotics.theories.spiked_random_features.equations import bulk_potential

NAMES = ["tanh", "relu", "erf", "sin", "cos", "sign", "abs", "softplus", "sigmoid", "gelu", "he2", "he3"]
PAIRS = [("tanh", "sin"), ("relu", "tanh"), ("softplus", "relu"), ("cos", "he2"), ("sign", "erf"), ("gelu", "sign")]
FIXED = settings(max_examples=60, deadline=None, derandomize=True)

box = st.fixed_dictionaries({
    "activation": st.sampled_from(NAMES),
    "target": st.sampled_from(NAMES),
    "spike_strength": st.floats(-5, 5),
    "bulk_variance": st.floats(0.2, 4),
    "alignment": st.floats(-0.99, 0.99),
    "alpha": st.floats(-2, 2).map(lambda x: 10**x),
    "beta": st.floats(-2, 2).map(lambda x: 10**x),
    "lam": st.floats(-6, 3).map(lambda x: 10**x),
    "noise_var": st.floats(0, 1),
})


def mei_montanari(activation, target, alpha, beta, lam, noise_var):
    """Test error of random-features ridge, arXiv:1908.05355, by its own fixed point in long double."""
    sigma, star = nonlinearity(activation), nonlinearity(target)
    c = sigma.hermite_coefficients(1)
    rest = np.longdouble(float(sigma.moments(0.0, 1.0).mu2_sq))
    t = star.hermite_coefficients(1)
    psi1, psi2 = np.longdouble(beta), np.longdouble(alpha)
    z = np.longdouble(c[1]) ** 2 / rest
    u = np.sqrt(psi1 * psi2 * np.longdouble(lam) / alpha / rest)
    a = b = np.longdouble(0)
    for _ in range(200_000):
        fresh_a = psi1 / (u + b + z * b / (1 + z * a * b))
        fresh_b = psi2 / (u + fresh_a + z * fresh_a / (1 + z * fresh_a * b))
        change = abs(fresh_a - a) + abs(fresh_b - b)
        a, b = (a + fresh_a) / 2, (b + fresh_b) / 2
        if change < 1e-18 * (a + b):
            break
    x = -a * b
    e0 = (-x**5 * z**3 + 3 * x**4 * z**2 + (psi1 * psi2 - psi2 - psi1 + 1) * x**3 * z**3 - 2 * x**3 * z**2
          - 3 * x**3 * z + (psi1 + psi2 - 3 * psi1 * psi2 + 1) * x**2 * z**2 + 2 * x**2 * z + x**2
          + 3 * psi1 * psi2 * x * z - psi1 * psi2)
    e1 = psi2 * x**3 * z**2 - psi2 * x**2 * z + psi1 * psi2 * x * z - psi1 * psi2
    e2 = (x**5 * z**3 - 3 * x**4 * z**2 + (psi1 - 1) * x**3 * z**3 + 2 * x**3 * z**2 + 3 * x**3 * z
          - (psi1 + 1) * x**2 * z**2 - 2 * x**2 * z - x**2)
    nonlinear = star.second_moment() - t[1] ** 2 - (t[0] ** 2 if c[0] else 0)
    return float(t[1] ** 2 * e1 / e0 + (noise_var + nonlinear) * e2 / e0 + nonlinear + noise_var)


@pytest.mark.parametrize(("activation", "target"), [("tanh", "sin"), ("relu", "tanh"), ("softplus", "relu"),
                                                    ("sign", "erf"), ("gelu", "he3"), ("sin", "sign")])
def test_without_spike_it_is_mei_montanari(activation, target):
    for alpha, beta, lam, noise_var in [(2.0, 1.0, 0.01, 0.1), (0.3, 2.0, 0.5, 0.0), (3.0, 0.4, 1e-3, 0.5),
                                        (1.0, 1.0, 2.0, 0.2)]:
        expected = mei_montanari(activation, target, alpha, beta, lam, noise_var)
        for alignment in (0.0, 0.6):  # without spike v is no special direction
            problem = SpikedRandomFeatures(
                activation=activation, target=target, spike_strength=0.0, alignment=alignment, alpha=alpha, beta=beta,
                lam=lam, noise_var=noise_var,
            )
            assert problem.solve().test_error == pytest.approx(expected, rel=1e-10)


def test_no_step_is_random_features():
    common = dict(activation="relu", target="tanh", alpha=[0.5, 2.0], beta=1.3, lam=0.1, noise_var=0.1)
    features = SpikedRandomFeatures(spike_strength=0.0, alignment=0.0, **common).solve()
    for off in (dict(eta=0.0, alpha0=2.0), dict(eta=2.0, alpha0=0.0)):
        step = GiantStep(**off, **common).solve()
        np.testing.assert_array_equal(step.test_error, features.test_error)


@pytest.mark.parametrize(("activation", "target"), PAIRS)
def test_potential_is_convex_and_stationary_at_the_solution(activation, target):
    rng = np.random.default_rng(3)
    kappa = np.linspace(-9, 9, 601)
    weight = np.exp(-0.5 * kappa**2)
    weight /= weight.sum()
    alpha, beta, lam, c, r = 1.7, 0.8, 0.05, 1.4, 1.1
    moments = nonlinearity(activation).moments(r * kappa, c)
    arguments = (moments.mu1**2, moments.mu2_sq, weight, alpha, beta, lam, c)
    for _ in range(200):
        ends = rng.normal(0, 4, (2, 2))
        values = [bulk_potential(point, *arguments)[0] for point in (ends[0], ends.mean(axis=0), ends[1])]
        assert values[1] <= 0.5 * (values[0] + values[2])
        _, gradient, hessian = bulk_potential(ends[0], *arguments)
        assert np.linalg.eigvalsh(hessian)[0] > 0
        direction, step = rng.normal(size=2), 1e-5
        ahead, behind = (bulk_potential(ends[0] + s * step * direction, *arguments)[0] for s in (1, -1))
        scale = max(1.0, abs(ahead))
        assert gradient @ direction == pytest.approx((ahead - behind) / (2 * step), rel=1e-6, abs=1e-9 * scale)
    solution = SpikedRandomFeatures(
        activation=activation, target=target, spike_strength=r, bulk_variance=c, alignment=0.5, alpha=alpha, beta=beta,
        lam=lam,
    ).solve()
    _, gradient, _ = bulk_potential(np.log([solution.V1, solution.V2]), *arguments)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


@FIXED
@given(box, st.floats(0.01, 100))
def test_scaling_of_the_features(parameters, factor):
    """sigma -> a sigma with lam -> a^2 lam changes nothing but the readout."""
    problem = SpikedRandomFeatures(**parameters)
    scaled = problem.replace(
        activation=nonlinearity(f"{factor!r}*{parameters['activation']}(x)"
                                if not parameters["activation"].startswith("he") else parameters["activation"]),
        lam=parameters["lam"] * (factor**2 if not parameters["activation"].startswith("he") else 1),
    )
    one, two = problem.solve(), scaled.solve()
    for name in ("test_error", "train_error", "spike_error", "variance"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), rel=1e-9, abs=1e-12 * float(one.test_error))


@FIXED
@given(box)
def test_errors_add_up_and_keep_their_order(parameters):
    prediction = SpikedRandomFeatures(**parameters).solve()
    assert prediction.converged
    parts = prediction.spike_error + prediction.orthogonal_error + prediction.estimation_error
    assert parts == pytest.approx(prediction.generalization_error, rel=1e-12)
    assert prediction.bias + prediction.variance == pytest.approx(prediction.generalization_error, rel=1e-12)
    assert prediction.test_error >= parameters["noise_var"]
    tiny = 1e-12 * prediction.test_error
    assert 0 <= prediction.variance <= prediction.estimation_error + tiny
    assert 0 <= prediction.train_error <= prediction.test_error + tiny
    excess = prediction.V1 / prediction.V2 - parameters["bulk_variance"]
    assert excess <= 1e-14 * parameters["bulk_variance"]
    assert prediction.residual < 1e-12


@FIXED
@given(box, st.floats(0.1, 10))
def test_signal_does_not_depend_on_the_noise_and_errors_scale(parameters, more):
    problem = SpikedRandomFeatures(**parameters)
    quiet, loud = problem.solve(), problem.replace(noise_var=parameters["noise_var"] + more).solve()
    for name in ("m", "th", "psi", "V1", "V2", "spike_error"):
        assert getattr(quiet, name) == getattr(loud, name)
    assert loud.test_error >= quiet.test_error + more
    target = parameters["target"]
    if not target.startswith("he"):
        twice = problem.replace(target=f"2*{target}(x)", noise_var=4 * parameters["noise_var"]).solve()
        assert twice.test_error == pytest.approx(4 * quiet.test_error, rel=1e-11)


@pytest.mark.parametrize("extra", [{}, {"row_norm_variance": 2.5}, {"n_finite": 300},
                                   {"row_norm_variance": 1.0, "n_finite": 50}])
@pytest.mark.parametrize(("activation", "target"), PAIRS)
def test_envelope(activation, target, extra):
    """d(ridge_objective)/d(lam) = (beta/alpha) q2, by a six-point difference; catches every wrong term in q."""
    alpha, beta, lam = 1.6, 0.9, 0.3
    step = 0.02 * lam
    offsets = np.array([-3, -2, -1, 1, 2, 3])
    weights = np.array([-1, 9, -45, 45, -9, 1]) / 60 / step
    problem = SpikedRandomFeatures(
        activation=activation, target=target, spike_strength=0.9, bulk_variance=1.2, alignment=0.7, alpha=alpha,
        beta=beta, lam=lam + step * offsets, noise_var=0.1, **extra,
    )
    slope = weights @ problem.solve().ridge_objective
    assert slope == pytest.approx(beta / alpha * problem.replace(lam=lam).solve().q2, rel=2e-10)


def test_training_error_grows_with_the_ridge():
    lam = np.geomspace(1e-8, 1e6, 60)
    for activation, target in PAIRS:
        prediction = SpikedRandomFeatures(
            activation=activation, target=target, spike_strength=1.0, alignment=0.7, alpha=1.3, lam=lam, noise_var=0.1
        ).solve()
        assert np.all(np.diff(prediction.train_error) > -1e-14)
        assert np.all(np.diff(prediction.ridge_objective) > -1e-14)


def test_linear_activation_learns_the_linear_part_only():
    """sigma = x: features span the linear functions; with alpha -> inf only the linear target is learned."""
    prediction = SpikedRandomFeatures(
        activation="linear", target="sin", spike_strength=1.0, alignment=0.6, alpha=1e7, beta=3.0, lam=1e-3
    ).solve()
    t1 = math.exp(-0.5)
    assert prediction.test_error == pytest.approx((1 - math.exp(-2)) / 2 - t1**2, rel=1e-6)
    assert prediction.test_error == pytest.approx(prediction.best_linear_error, rel=1e-6)


def test_even_target_is_invisible_to_an_odd_activation():
    prediction = SpikedRandomFeatures(
        activation="tanh", target="cos", spike_strength=1.0, alignment=0.6, alpha=2.0, lam=0.1, noise_var=0.2
    ).solve()
    assert prediction.m == pytest.approx(0, abs=1e-14) and prediction.psi == pytest.approx(0, abs=1e-14)
    power = nonlinearity("cos").second_moment()
    assert prediction.generalization_error - prediction.variance == pytest.approx(power, rel=1e-12)


def test_the_limit_eta_to_zero_is_not_the_value_at_zero():
    """tanh/sin, alpha0 = 2, alpha = 1.5, beta = 1, lam = .1: .265564 at eta = 0, .156487 at eta = 0+."""
    etas = [0.0, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8]
    error = GiantStep(activation="tanh", target="sin", alpha0=2.0, eta=etas, alpha=1.5, lam=0.1).solve().test_error
    assert error[0] == pytest.approx(0.265564, abs=1e-6)
    np.testing.assert_allclose(error[3:], 0.156487, atol=2e-6)
    assert abs(error[5] - error[4]) < 1e-10


def test_n_finite_interpolates():
    """Published simulation point: sRF tanh/sin with the step parameters of alpha0 = 2, n = 600."""
    etas = [0.05, 0.2, 0.5]
    common = dict(activation="tanh", target="sin", alpha0=2.0, eta=etas, alpha=1.5, lam=0.1,
                  model="isotropic")
    np.testing.assert_allclose(
        GiantStep(**common, n_finite=600).solve().test_error, [0.25082, 0.18593, 0.15916], atol=6e-6
    )
    limit = GiantStep(**common).solve()
    np.testing.assert_allclose(limit.test_error, [0.15645, 0.15589, 0.15297], atol=6e-6)
    huge = GiantStep(**common, n_finite=10**15).solve()
    np.testing.assert_allclose(huge.test_error, limit.test_error, rtol=1e-9)
    assert np.all(limit.n_crossover[0] > 600) and limit.n_crossover[2] < limit.n_crossover[0]


def test_a_weak_spike_with_finite_n_tends_to_none():
    """The mean direction fades away: penalties and functions that vanish together lose no digits."""
    common = dict(activation="tanh", target="sin", alignment=0.8, alpha=1.5, lam=0.1, noise_var=0.1, n_finite=1000)
    strengths = [1e-14, 1e-9, 1e-7, 1e-6]
    weak = SpikedRandomFeatures(**common, spike_strength=strengths).solve()
    np.testing.assert_allclose(weak.test_error, weak.test_error[0], rtol=1e-8)
    none = SpikedRandomFeatures(**{**common, "alignment": 0.0}, spike_strength=0.0).solve()
    assert weak.test_error[0] == pytest.approx(none.test_error, rel=1e-9)
