"""Every conversion against the objective, loss or package that it converts from."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.polynomial import hermite, hermite_e
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from asymptotics import GiantStep, ParameterError, SpikedRandomFeatures, conventions, nonlinearity
from validation import networks

PAGE = Path(__file__).parents[1] / "docs" / "conventions.md"


def test_the_page_runs():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
    written = set(re.findall(r"`((?:\w+_from_\w+)|information_exponent)", PAGE.read_text(encoding="utf-8")))
    assert written <= set(dir(conventions))


# ---- ridge penalties


@pytest.fixture(scope="module", params=[(30, 12), (12, 30)], ids=["n>p", "n<p"])
def samples(request):
    n, p = request.param
    rng = np.random.default_rng(1)
    return rng.standard_normal((n, p)), rng.standard_normal(n)


def test_scikit_learn(samples):
    F, y = samples
    p = F.shape[1]
    w = networks.ridge(F, y, 0.7)
    scaled = Ridge(alpha=conventions.sklearn_from_lam(0.7), fit_intercept=False).fit(F / np.sqrt(p), y)
    raw = Ridge(alpha=conventions.sklearn_from_lam(0.7, p), fit_intercept=False).fit(F, y)
    kernel = KernelRidge(alpha=0.7, kernel="precomputed").fit(F @ F.T / p, y)
    np.testing.assert_allclose(scaled.coef_, w, rtol=1e-9)
    np.testing.assert_allclose(raw.coef_ * np.sqrt(p), w, rtol=1e-9)
    np.testing.assert_allclose(kernel.predict(F @ F.T / p), F @ w / np.sqrt(p), rtol=1e-9)


@pytest.mark.parametrize("loss_factor", [1.0, 2.0])
@pytest.mark.parametrize("penalty_factor", [1.0, 2.0])
@pytest.mark.parametrize("raw", [False, True])
def test_mean_objectives_are_stationary_at_our_solution(samples, loss_factor, penalty_factor, raw):
    F, y = samples
    n, p = F.shape
    width = p if raw else None
    lam = conventions.lam_from_mean_objective(0.05, n, loss_factor=loss_factor, penalty_factor=penalty_factor, p=width)
    A, scale = (F, np.sqrt(p)) if raw else (F / np.sqrt(p), 1.0)
    b = networks.ridge(F, y, float(lam)) / scale

    def objective(b):
        return loss_factor / (2 * n) * np.sum((y - A @ b) ** 2) + penalty_factor / 2 * 0.05 * np.sum(b**2)

    assert np.max(np.abs(gradient(objective, b))) < 1e-8 * np.max(np.abs(A.T @ y))
    back = conventions.mean_objective_from_lam(lam, n, loss_factor=loss_factor, penalty_factor=penalty_factor, p=width)
    assert back == pytest.approx(0.05, rel=1e-14)


def test_weight_decay_is_half_a_penalty(samples):
    F, y = samples
    n, p = F.shape
    A, w = F / np.sqrt(p), np.zeros(p)
    for _ in range(4000):  # gradient descent on the mean square, decay added to the gradient
        w -= 0.1 * (2 / n * A.T @ (A @ w - y) + 0.3 * w)
    lam = conventions.lam_from_mean_objective(0.3, n, penalty_factor=1)
    np.testing.assert_allclose(w, networks.ridge(F, y, float(lam)), rtol=1e-8)


def test_mei_montanari_objective(samples):
    F, y = samples
    n, N = F.shape
    d, penalty = 10, 0.3
    a = np.linalg.solve(F.T @ F / n + N * penalty / d * np.eye(N), F.T @ y / n)
    lam = conventions.lam_from_mei_montanari(penalty, n / d)
    np.testing.assert_allclose(networks.ridge(F, y, float(lam)) / np.sqrt(N), a, rtol=1e-9)
    assert conventions.mei_montanari_from_lam(lam, n / d) == pytest.approx(penalty, rel=1e-15)


@pytest.mark.parametrize(("psi_1", "psi_2", "penalty", "noise_var"),
                         [(1.0, 2.0, 0.005, 0.1), (2.0, 0.5, 0.3, 0.0), (0.4, 3.0, 0.02, 0.5)])
def test_mei_montanari_errors(psi_1, psi_2, penalty, noise_var):
    sigma, target = nonlinearity("relu"), nonlinearity("tanh")
    linear = float(target.hermite_coefficients(1)[1]) ** 2
    rest = target.second_moment() - linear
    expected = mei_montanari(sigma, psi_1, psi_2, penalty, F_1=np.sqrt(linear), noise=noise_var, F_star=np.sqrt(rest))
    ours = SpikedRandomFeatures(
        activation=sigma, target=target, spike_strength=0, alignment=0, alpha=psi_2, beta=psi_1, noise_var=noise_var,
        lam=conventions.lam_from_mei_montanari(penalty, psi_2),
    ).solve()
    assert ours.generalization_error == pytest.approx(expected, rel=1e-10)


def mei_montanari(sigma, psi_1, psi_2, penalty, *, F_1, noise, F_star):
    """Error on noiseless labels, arXiv:1908.05355, Definition 1, in its own symbols."""
    mu_1 = float(sigma.hermite_coefficients(1)[1])
    mu_star_squared = float(sigma.moments(0.0, 1.0).mu2_sq)
    z = mu_1**2 / mu_star_squared
    u = math.sqrt(psi_1 * psi_2 * penalty / mu_star_squared)
    nu_1 = nu_2 = 0.0
    for _ in range(20_000):
        nu_1 = (nu_1 + psi_1 / (u + nu_2 + z * nu_2 / (1 + z * nu_1 * nu_2))) / 2
        nu_2 = (nu_2 + psi_2 / (u + nu_1 + z * nu_1 / (1 + z * nu_1 * nu_2))) / 2
    chi = -nu_1 * nu_2

    def polynomial(*terms):
        return sum(factor * chi**i * z**j for i, j, factor in terms)

    E_0 = polynomial((5, 3, -1), (4, 2, 3), (3, 3, psi_1 * psi_2 - psi_2 - psi_1 + 1), (3, 2, -2), (3, 1, -3),
                     (2, 2, psi_1 + psi_2 - 3 * psi_1 * psi_2 + 1), (2, 1, 2), (2, 0, 1), (1, 1, 3 * psi_1 * psi_2),
                     (0, 0, -psi_1 * psi_2))
    E_1 = polynomial((3, 2, psi_2), (2, 1, -psi_2), (1, 1, psi_1 * psi_2), (0, 0, -psi_1 * psi_2))
    E_2 = polynomial((5, 3, 1), (4, 2, -3), (3, 3, psi_1 - 1), (3, 2, 2), (3, 1, 3), (2, 2, -psi_1 - 1), (2, 1, -2),
                     (2, 0, -1))
    return F_1**2 * E_1 / E_0 + (noise + F_star**2) * E_2 / E_0 + F_star**2


# ---- learning rates


PARAMETRISATIONS = {
    # name: (readout_scale, weight_scale, whether the initial output is subtracted)
    "ours": (lambda p, d: 1 / p, lambda p, d: 1.0, False),
    "mean field, weights of norm sqrt(d)": (lambda p, d: 1 / p, lambda p, d: 1 / math.sqrt(d), False),
    "readout 1/sqrt(p), centred": (lambda p, d: 1 / math.sqrt(p), lambda p, d: 1.0, True),
}


@pytest.mark.parametrize("name", PARAMETRISATIONS)
@pytest.mark.parametrize(("loss_factor", "reduction"), [(2.0, "mean"), (1.0, "mean"), (2.0, "sum")])
def test_one_step_on_the_literal_loss(name, loss_factor, reduction):
    d, p, n0, eta = 3, 4, 6, 1.7
    rng = np.random.default_rng(2)
    W, levels = networks.sphere_rows(p, d, rng), rng.uniform(0.5, 2, p)
    X, y = networks.single_index_data(n0, networks.unit_vector(d, rng), "sin", 0.1, rng)
    readout_scale, weight_scale = (scale(p, d) for scale in PARAMETRISATIONS[name][:2])
    centred = PARAMETRISATIONS[name][2]
    readout = levels / np.sqrt(p)

    def output(V):
        return readout_scale * np.tanh(weight_scale * X @ V.T) @ levels

    V = W / weight_scale
    initial = output(V) if centred else 0.0

    def loss(V):
        squares = loss_factor / 2 * (y - output(V) + initial) ** 2
        return np.sum(squares) if reduction == "sum" else np.mean(squares)

    rate = conventions.learning_rate_from_eta(
        eta, readout_scale=readout_scale, weight_scale=weight_scale,
        loss_factor=loss_factor * (n0 if reduction == "sum" else 1),
    )
    theirs = weight_scale * (V - rate * gradient(loss, V))
    labels = y + networks.network(W, readout, "tanh", X) if centred else y
    ours = networks.gradient_step(W, readout, "tanh", X, labels, eta)
    np.testing.assert_allclose(theirs, ours, atol=1e-8)
    assert np.max(np.abs(ours - W)) > 0.05
    assert conventions.eta_from_learning_rate(
        rate, readout_scale=readout_scale, weight_scale=weight_scale,
        loss_factor=loss_factor * (n0 if reduction == "sum" else 1),
    ) == pytest.approx(eta, rel=1e-14)


def test_the_public_code_of_the_paper():
    d = p = 8
    rng = np.random.default_rng(3)
    W0, a0 = networks.sphere_rows(p, d, rng), np.ones(p) / np.sqrt(p)
    Z, Y = networks.single_index_data(20, networks.unit_vector(d, rng), "sin", 0.0, rng)
    lr_strength = 1.3
    residual = Y - np.tanh(Z @ W0.T) @ a0 / np.sqrt(p)
    G = Z.T @ (np.outer(residual, a0) / np.sqrt(p) * (1 - np.tanh(Z @ W0.T) ** 2)) / 20
    W = W0 + lr_strength * np.sqrt(p) * np.sqrt(p) * G.T
    np.testing.assert_allclose(W, networks.gradient_step(W0, a0, "tanh", Z, Y, lr_strength), rtol=1e-12)


def gradient(function, x, h=1e-4):
    """Central differences of fourth order."""
    slopes = np.empty(x.size)
    for i, unit in enumerate(np.eye(x.size).reshape(x.size, *x.shape)):
        near, far = ((function(x + s * unit) - function(x - s * unit)) / (2 * s) for s in (h, 2 * h))
        slopes[i] = (4 * near - far) / 3
    return slopes.reshape(x.shape)


# ---- scales of weights and targets


@pytest.mark.parametrize(("activation", "sibling", "factor"),
                         [("erf", "erf(x/sqrt(2))", math.sqrt(2)), ("tanh(2*x)", "tanh", 2.0)])
def test_a_factor_in_the_argument_is_a_factor_in_the_weights(activation, sibling, factor):
    common = dict(target="sin", alignment=0.8, alpha=[0.5, 2.0], lam=0.1, noise_var=0.1)
    one = SpikedRandomFeatures(activation=activation, spike_strength=0.7, bulk_variance=1.2, **common).solve()
    other = SpikedRandomFeatures(
        activation=sibling, spike_strength=0.7 * factor, bulk_variance=1.2 * factor**2, **common
    ).solve()
    for name, power in {"test_error": 0, "train_error": 0, "m": 0, "q2": 0, "th": 1, "psi": 1, "q1": 2}.items():
        np.testing.assert_allclose(other.values[name], factor**power * one.values[name], rtol=1e-9, atol=1e-12)


def test_erf_is_the_plain_error_function():
    x = np.linspace(-2, 2, 5)
    np.testing.assert_allclose(nonlinearity("erf")(x), [math.erf(t) for t in x], rtol=1e-15)
    normal_cdf = np.array([0.5 * math.erfc(-t / math.sqrt(2)) for t in x])
    np.testing.assert_allclose(nonlinearity("erf(x/sqrt(2))")(x), 2 * normal_cdf - 1, atol=1e-15)


def test_the_size_of_the_target():
    common = dict(activation="tanh", alpha0=4.0, alpha=[0.5, 2.0], lam=0.1)
    plain = GiantStep(target="sin", eta=3, noise_var=0.1, **common).solve()
    scaled = GiantStep(target="-3*sin(x)", eta=1, noise_var=0.9, **common).solve()
    for name in ("test_error", "generalization_error", "train_error", "ridge_objective", "best_linear_error"):
        np.testing.assert_allclose(scaled.values[name], 9 * plain.values[name], rtol=1e-9)


# ---- Hermite coefficients


def test_hermite_conventions():
    f = nonlinearity("tanh(1.5*x + 0.8)")
    ours = f.hermite_coefficients(12)
    z, step = np.linspace(-12, 12, 2401, retstep=True)
    weight = step * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    projections = np.array([np.sum(weight * f(z) * hermite_e.hermeval(z, np.eye(13)[k])) for k in range(13)])
    np.testing.assert_allclose(conventions.orthonormal_from_projections(projections), ours, atol=1e-12)
    series = conventions.series_from_orthonormal(ours)
    np.testing.assert_allclose(conventions.orthonormal_from_series(series), ours, rtol=1e-14)
    factorials = np.array([math.factorial(k) for k in range(13)])
    np.testing.assert_allclose(series, projections / factorials, atol=1e-12)
    physicists = conventions.physicists_from_orthonormal(ours)
    np.testing.assert_allclose(conventions.orthonormal_from_physicists(physicists), ours, rtol=1e-14)
    x = np.linspace(-2, 2, 7)
    np.testing.assert_allclose(hermite.hermval(x / np.sqrt(2), physicists), hermite_e.hermeval(x, series), rtol=1e-11)


@pytest.mark.parametrize("degree", [2, 3, 7])
def test_named_hermite_polynomials_are_orthonormal(degree):
    unit = np.eye(9)[degree]
    np.testing.assert_allclose(nonlinearity(f"he{degree}").hermite_coefficients(8), unit, atol=1e-12)
    x = np.linspace(-2, 2, 7)
    series = conventions.series_from_orthonormal(unit)
    np.testing.assert_allclose(nonlinearity(f"he{degree}")(x), hermite_e.hermeval(x, series), atol=1e-12)


def test_information_exponent():
    assert conventions.information_exponent([1, 1e-14, 0, 0.3]) == 3
    assert conventions.information_exponent([0, 0.2, 1]) == 1
    assert conventions.information_exponent(nonlinearity("cos").hermite_coefficients(6)) == 2
    for constant in ([1.0], [1.0, 0.0], [], [0.0, 0.0]):
        with pytest.raises(ParameterError, match="nonzero entry"):
            conventions.information_exponent(constant)
