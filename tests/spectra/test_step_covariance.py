"""The covariance of the bulk after a gradient step: equations, tables and rules against definitions and simulation."""

import math
from typing import NamedTuple

import numpy as np
import pytest

from asymptotics.gaussian import nonlinearity
from asymptotics.gaussian.quadrature import graded_edges, normal_density, panel_rule, trapezoid_rule
from asymptotics.spectra import Isotropic, step_covariance
from asymptotics.spectra.chebyshev import half_line_nodes, half_line_point
from asymptotics.spectra.step_covariance import LabelMeasure, resolvent_matrix, spectral_samples
from asymptotics.spectra.step_curve import StepCurve, tabulate
from asymptotics.theories.spiked_random_features.gradient_step import first_coefficients, spike_parameters
from asymptotics.theories.spiked_random_features.step_curve import (
    label_measure,
    step_anisotropy,
    step_curve,
    step_curves,
)

ERF = "erf(x/sqrt(2))"
QUADRATIC = "x + 0.5*(x**2 - 1)"

# activation, target, alpha0, eta, noise_var_step
ORDINARY = [
    (ERF, ERF, 0.5, 4.0, 0.0),
    ("relu", "erf", 0.5, 3.0, 0.0),
    ("relu", "relu", 2.0, 1.5, 0.0),
    ("tanh", "relu", 1.0, 2.0, 0.0),
    ("tanh", "sin", 2.0, 3.0, 0.0),
    (ERF, ERF, 1.0, 2.0, 0.3),
    ("sin", "tanh", 4.0, 2.0, 0.2),
    ("relu", "sin", 0.5, 2.0, 0.0),
    ("softplus", "tanh", 1.0, 4.0, 0.1),
    ("tanh", "sin", 20.0, 3.0, 0.0),
    ("relu", "sign", 1.0, 2.0, 0.0),
    ("relu", "tanh", 1000.0, 2.0, 0.0),
    ("linear", "sin", 1.0, 2.0, 0.0),
    (QUADRATIC, "tanh", 2.0, 0.2, 0.0),
    (QUADRATIC, "tanh", 2.0, 3.0, 0.0),
    ("relu", "erf", 0.5, 3.0, 1e-6),
    ("relu", "erf", 0.5, 3.0, 1e-3),
]
HARD = [
    ("relu", "relu", 0.5, 10.0, 0.5),
    ("tanh", "he3", 0.3, 5.0, 0.5),
    ("he2", "he2", 1.0, 1.0, 0.0),
    ("softplus", "he2", 0.3, 20.0, 0.0),
    ("relu", "relu", 0.1, 10.0, 0.1),
]


class Matrices(NamedTuple):
    """Entries (vv, v zeta, zeta zeta) of g, dg/dlog x and their sum, (3, T, C)."""

    value: np.ndarray
    slope: np.ndarray
    total: np.ndarray


def matrices(curve, x):
    overlaps = curve.overlaps(x)
    g, total, hidden = (np.stack([part[0, 0], part[0, 1], part[1, 1]]) for part in (
        overlaps.resolvent, overlaps.remaining, overlaps.hidden))
    with np.errstate(under="ignore"):
        slope = -x * (hidden + np.stack([g[1] * g[1], g[1] * g[2], g[2] * g[2]]))
        rest = np.stack([g[0] - x * g[1] ** 2, g[1] * (1 - x * g[2]), g[2] * (1 - x * g[2])])
    given = np.stack([overlaps.rest[0, 0], overlaps.rest[0, 1], overlaps.rest[1, 1]])
    assert np.allclose(given, rest, rtol=0, atol=1e-13 * np.max(g))
    return Matrices(g, slope, total)


def pieces(setting):
    """Nonlinearities, (alpha0, eta, noise_var), (c_0, k2, tau2)."""
    activation, target = nonlinearity(setting[0]), nonlinearity(setting[1])
    mean = first_coefficients(activation)[0]
    return activation, target, setting[2:], (mean, *step_anisotropy(activation, *setting[2:4]))


def measure_of(setting, refinement=1):
    _, target, (alpha0, _, noise_var), (mean, k2, tau2) = pieces(setting)
    return label_measure(target, mean, noise_var, alpha0, k2, tau2, refinement), alpha0, k2, tau2


def curve_of(setting, refinement=1):
    activation, target, scalars, _ = pieces(setting)
    return step_curve(activation, target, *scalars, refinement)


# ---- the equations, from their definition


def plain_measure(setting):
    """Labels, s and weights on fine rules that know nothing of poles; with noise a trapezoid each for s and noise."""
    _, target, (_, _, noise_var), (mean, _, _) = pieces(setting)
    if not noise_var:
        places, scales = (np.array([feature[i] for feature in target.features]) for i in range(2))
        s, weight = panel_rule(graded_edges(-9.0, 9.0, 0.125, places, scales))
        return target(s) - mean, s, weight * normal_density(s)
    s, weight = trapezoid_rule(8.5, 0.125)
    weight = weight * normal_density(s)
    y = np.ravel(target(s)[:, None] - mean + math.sqrt(noise_var) * s)
    return y, np.repeat(s, s.size), np.ravel(np.outer(weight, weight))


def by_definition(setting, omega):
    """tr (C + omega)^{-1}/d and its overlaps [[vv, vz], [vz, zz]] by damped iteration of the 2 x 2 matrix equation."""
    _, _, (alpha0, _, _), (_, k2, tau2) = pieces(setting)
    y, s, weight = plain_measure(setting)
    identity = np.eye(2)
    label = np.zeros((y.size, 2, 2))
    label[:, 0, 0], label[:, 0, 1], label[:, 1, 0] = tau2 * y * y, k2 * y, k2 * y
    matrix = np.diag([1e-6, -1.0])
    for value in [*np.geomspace(1e6, omega, 12), omega]:
        linear = np.array([[value, 1.0], [1.0, -1.0]])
        for _ in range(4000):
            own = label @ np.linalg.inv(identity + matrix @ label / alpha0)
            fresh = np.linalg.inv(linear + np.einsum("k,kij->ij", weight, own))
            change = np.max(np.abs(fresh - matrix)) / np.max(np.abs(fresh))
            matrix = 0.5 * (matrix + fresh)
            if change < (1e-15 if value == omega else 1e-4):
                break
    signal = np.linalg.inv(linear + np.einsum("k,kij->ij", weight * s * s, own))
    share = np.linalg.inv(identity + label @ matrix / alpha0)
    along = np.einsum("k,kij->ij", weight * y * s, share)
    noise = np.einsum("k,kij->ij", weight * y * y, matrix / alpha0 @ share)
    t1, power = weight @ (y * s), weight @ y**2
    norm = math.sqrt(t1**2 + power / alpha0)
    gamma, rho = t1 / norm, math.sqrt(power / alpha0) / norm
    vv = (noise + along.T @ signal @ along)[0, 0] / norm**2
    theta_v, theta = (signal @ along)[0, 0] / norm, signal[0, 0]
    vz = (theta_v - gamma * vv) / rho
    zz = (theta - 2 * gamma * theta_v + gamma**2 * vv) / rho**2
    return matrix, np.array([[vv, vz], [vz, zz]])


@pytest.mark.parametrize("setting", [
    ("relu", "erf", 0.5, 3.0, 0.0), ("softplus", "tanh", 1.0, 4.0, 0.1), (QUADRATIC, "tanh", 2.0, 3.0, 0.0),
    (ERF, ERF, 1.0, 2.0, 0.3), ("relu", "relu", 2.0, 1.5, 0.0),
], ids=str)
@pytest.mark.parametrize("omega", [0.1, 2.0])
def test_equations_by_definition(setting, omega):
    matrix, overlaps = by_definition(setting, omega)
    solved = resolvent_matrix(*measure_in_order(setting, np.array([omega])))
    assert np.allclose(
        [solved.g[0], solved.q[0], solved.h[0]], [matrix[0, 0], matrix[0, 1], -matrix[1, 1]], rtol=1e-12, atol=0
    )
    curve = curve_of(setting)
    x = np.array([[1 / omega]])
    assert curve.spectrum(x).t[0, 0] == pytest.approx(omega * (1 - omega * matrix[0, 0]), rel=1e-11)
    inverse = omega * (np.eye(2) - omega * overlaps)
    g = inverse + np.outer(inverse[:, 0], inverse[0]) / omega / (1 - inverse[0, 0] / omega)
    value = matrices(curve, x).value[:, 0, 0]
    assert np.allclose(value, [g[0, 0], g[0, 1], g[1, 1]], rtol=0, atol=1e-11 * np.max(np.abs(g)))


def measure_in_order(setting, omega):
    measure, alpha0, k2, tau2 = measure_of(setting)
    return measure, omega, alpha0, k2, tau2


# ---- simulation


def sampled(setting, d, rng, x):
    """t, g_vv, g_vz, g_zz of one sampled covariance at x, (4, X)."""
    _, target, (alpha0, _, noise_var), (mean, k2, tau2) = pieces(setting)
    count = round(alpha0 * d)
    inputs = rng.standard_normal((count, d))
    y = target(inputs[:, 0]) + math.sqrt(noise_var) * rng.standard_normal(count) - mean
    weighted = y[:, None] * inputs
    root = np.eye(d) + k2 * (inputs.T @ weighted) / count
    lam, vectors = np.linalg.eigh(root @ root + tau2 * (weighted.T @ weighted) / count)
    v = inputs.T @ y
    v /= np.linalg.norm(v)
    zeta = -v[0] * v
    zeta[0] += 1
    zeta /= np.linalg.norm(zeta)
    a, b = vectors.T @ v, vectors.T @ zeta
    weight = lam / (1 + x[:, None] * lam)
    vv, vz, zz = weight @ (a * a), weight @ (a * b), weight @ (b * b)
    left = 1 - x * vv
    return np.stack([np.mean(weight, axis=1), vv / left, vz / left, zz + x * vz**2 / left])


@pytest.mark.parametrize("setting", [
    ("relu", "erf", 0.5, 3.0, 0.0), (QUADRATIC, "tanh", 2.0, 0.8, 0.2), ("softplus", "tanh", 1.0, 4.0, 0.1)
], ids=str)
def test_sampled_covariance(setting):
    """24 matrices at d = 500: within 3.5 standard errors, which are at most 1 % of t and 6 % of g_vv."""
    rng = np.random.default_rng(7)
    x = np.array([0.03, 1.0, 30.0])
    draws = np.stack([sampled(setting, 500, rng, x) for _ in range(24)])
    mean, error = draws.mean(axis=0), draws.std(axis=0, ddof=1) / math.sqrt(len(draws))
    curve = curve_of(setting)
    theory = np.concatenate([curve.spectrum(x[None]).t, matrices(curve, x[None]).value[:, 0]])
    assert np.all(np.abs(mean - theory) <= 3.5 * error)
    assert np.all(error[0] <= 0.01 * theory[0])
    assert np.all(error[1] <= 0.06 * theory[1])


# ---- rules and tables


@pytest.mark.parametrize("setting", ORDINARY + HARD, ids=str)
def test_refinement_changes_nothing(setting):
    """Panels halved and nodes doubled, 1e-6 <= x <= 1e6.

    t, 1 - x t, g and d(x g)/dx agree to 1e-11 of their scale.  Relative errors of elasticity and stiffness come from a
    derivative at the end of the interval, where e -> 0: rounding times M^2.
    """
    curve, fine = curve_of(setting), curve_of(setting, 2)
    assert curve.converged.all()
    assert fine.converged.all()
    x = np.geomspace(1e-6, 1e6, 61)[None]
    one, two = curve.spectrum(x), fine.spectrum(x)
    for name, limit in (("t", 1e-12), ("deficit", 1e-11), ("elasticity", 1e-10), ("stiffness", 1e-10)):
        assert np.allclose(getattr(one, name), getattr(two, name), rtol=limit, atol=0), name
    one, two = matrices(curve, x), matrices(fine, x)
    for name in ("value", "total"):
        size = getattr(two, name)
        scale = np.stack([size[0], np.sqrt(size[0] * size[2]), size[2]])
        assert np.max(np.abs(getattr(one, name) - size) / scale) < 1e-11, name
    scale = np.stack([two.value[0], np.sqrt(two.value[0] * two.value[2]), two.value[2]])
    assert np.max(np.abs(one.slope - two.slope) / scale) < 1e-11


@pytest.mark.parametrize("setting", [setting for setting in ORDINARY + HARD if setting[0] != "linear"], ids=str)
def test_table_against_direct_solution(setting):
    measure, alpha0, k2, tau2 = measure_of(setting)
    x = np.random.default_rng(3).permutation(np.geomspace(1e-6, 1e6, 25))
    samples = spectral_samples(measure, 1 / x, alpha0, k2, tau2)
    assert np.max(samples.residual) < 1e-14
    curve = curve_of(setting)
    values, overlaps = curve.spectrum(x[None]), matrices(curve, x[None])
    assert np.allclose(values.t[0], samples.filled / x, rtol=1e-12, atol=0)
    assert np.allclose(values.deficit[0], samples.empty, rtol=1e-12, atol=0)
    # x <= 1: g from Gc, as it is defined
    near = x <= 1
    vv, vz, zz = samples.filled_overlaps[:, near] / x[near]
    left = 1 - x[near] * vv
    expected = np.stack([vv / left, vz / left, zz + x[near] * vz**2 / left])
    assert np.allclose(overlaps.value[:, 0, near], expected, rtol=1e-10, atol=1e-11 * np.max(vv / left))


def test_complements():
    """Both forms of 1 - omega T and 1 - omega R at moderate omega, and the determinant."""
    samples = spectral_samples(*measure_in_order(("softplus", "tanh", 1.0, 4.0, 0.1), np.geomspace(0.01, 100, 9)))
    assert np.allclose(samples.filled + samples.empty, 1, rtol=0, atol=1e-14)
    identity = np.array([[1.0], [0.0], [1.0]])
    assert np.allclose(samples.filled_overlaps + samples.empty_overlaps, identity, rtol=0, atol=1e-14)
    vv, vz, zz = samples.empty_overlaps
    assert np.allclose(samples.determinant, vv * zz - vz**2, rtol=1e-10, atol=0)


@pytest.mark.parametrize("setting", ORDINARY[:4] + ORDINARY[14:15] + HARD[:3], ids=str)
def test_derivatives(setting):
    curve = curve_of(setting)
    x = np.geomspace(1e-5, 1e5, 21)[None]
    h = 5e-3
    weights = {1: 0.75, 2: -0.15, 3: 1 / 60}

    def difference(function):
        return sum(
            weight * (function(x * math.exp(k * h)) - function(x * math.exp(-k * h))) for k, weight in weights.items()
        ) / h

    values, overlaps = curve.spectrum(x), matrices(curve, x)
    assert np.allclose(values.elasticity, difference(lambda x: np.log(curve.spectrum(x).t)), rtol=0, atol=1e-11)
    rest = -difference(lambda x: np.log(curve.spectrum(x).deficit)) * values.deficit / (x * values.t)
    assert np.allclose(values.stiffness, -x * values.t * rest / values.elasticity, rtol=1e-5, atol=0)
    assert np.allclose(1 + values.elasticity, rest, rtol=0, atol=1e-10 * (1 + 1 / x))
    g_vv, _, g_zz = overlaps.value
    scale = np.stack([g_vv, np.sqrt(g_vv * g_zz), g_zz])
    assert np.max(np.abs(overlaps.slope - difference(lambda x: matrices(curve, x).value)) / scale) < 1e-10
    assert np.max(np.abs(overlaps.total - overlaps.value - overlaps.slope) / scale) < 1e-13
    # what is small where x is large keeps its accuracy: d(x t)/dx and d(x g_zz)/dx fall faster than t and g_zz
    assert np.all(overlaps.total[2] > 0)
    assert np.all(values.stiffness > 0)


@pytest.mark.parametrize("setting", ORDINARY + HARD, ids=str)
def test_first_moments(setting):
    """omega (1 - omega T) -> c, E y and t_1 are those of the spike parameters."""
    activation, target, scalars, (_, k2, tau2) = pieces(setting)
    spikes = spike_parameters(activation, target, *(np.float64(value) for value in scalars))
    curve = curve_of(setting)
    at_zero = curve.spectrum(np.zeros((1, 1)))
    assert at_zero.t[0, 0] == pytest.approx(float(spikes.bulk_variance), rel=1e-12)
    assert at_zero.deficit[0, 0] == 1
    assert at_zero.elasticity[0, 0] == 0
    if k2 or tau2:
        measure, alpha0, _, _ = measure_of(setting)
        far = spectral_samples(measure, np.array([1e9]), alpha0, k2, tau2)
        assert 1e9 * far.filled[0] == pytest.approx(float(spikes.bulk_variance), rel=1e-4)
        norm = math.hypot(measure.signal, math.sqrt(measure.power / alpha0))
        assert measure.signal / norm == pytest.approx(float(spikes.alignment), abs=1e-14)
        assert measure.p0.sum() == pytest.approx(1, abs=1e-14)
        assert measure.p2.sum() == pytest.approx(1, abs=1e-14)


def test_second_moment():
    """tr C^2/d of M alone, from free moments: C = (1 + k M)^2 with unlabelled y = 1, a Wishart matrix."""
    ones = LabelMeasure(np.ones(1), np.ones(1), np.zeros(1), np.ones(1))
    k, alpha0 = 0.3, 2.0
    moments = [1, 1, 1 + 1 / alpha0, 1 + 3 / alpha0 + 1 / alpha0**2, 1 + 6 / alpha0 + 6 / alpha0**2 + 1 / alpha0**3]
    square = sum(math.comb(4, j) * k**j * moments[j] for j in range(5))
    curve = tabulate(ones, alpha0, k, 0.0)
    x = np.full((1, 1), 1e-7)
    c = 1 + 2 * k + k**2 * moments[2]
    assert curve.mean[0] == pytest.approx(c, rel=1e-14)
    assert -curve.spectrum(x).elasticity[0, 0] / x[0, 0] == pytest.approx(square / c, rel=2e-6)


# ---- special cases


def test_isotropic():
    c = np.array([1.0, 2.5, 1e-3, 1e5])
    curve = StepCurve.isotropic(c)
    x = np.geomspace(1e-12, 1e12, 49)[None] * np.ones((4, 1))
    expected = Isotropic(c).spectrum(x)
    for one, two in zip(curve.spectrum(x), expected, strict=True):
        assert np.allclose(one, two, rtol=4e-16, atol=0)
    overlaps = matrices(curve, x)
    assert np.allclose(overlaps.value[0], c[:, None], rtol=4e-16, atol=0)
    assert np.allclose(overlaps.value[2], expected.t, rtol=4e-16, atol=0)
    assert np.allclose(overlaps.slope[2], -x * expected.t**2, rtol=1e-15, atol=0)
    assert np.allclose(overlaps.total[2], expected.t * expected.deficit, rtol=1e-15, atol=0)
    assert not np.any(overlaps.value[1])
    assert not np.any(overlaps.slope[0])
    assert curve.converged.all()


@pytest.mark.parametrize("setting", [
    ("linear", "sin", 1.0, 2.0, 0.1), ("relu", "sin", 0.0, 2.0, 0.1), ("tanh", "sin", 2.0, 0.0, 0.0),
    ("tanh", "0", 2.0, 1.0, 0.0),
], ids=str)
def test_no_step(setting):
    curve = curve_of(setting)
    assert curve.order == 1
    assert curve.mean[0] == 1


def test_small_step_is_isotropic():
    curve = curve_of(("relu", "erf", 0.5, 1e-7, 0.1))
    x = np.geomspace(1e-3, 1e3, 7)[None]
    assert np.allclose(curve.spectrum(x).t, 1 / (1 + x), rtol=1e-6, atol=0)


def test_wishart_without_labels():
    """Constant labels and k2 = 0: C = 1 + tau2 M, whose resolvent is that of Marchenko and Pastur."""
    ones = LabelMeasure(np.ones(1), np.ones(1), np.zeros(1), np.ones(1))
    tau2, alpha0 = 0.7, 0.5
    x = np.geomspace(1e-4, 1e4, 17)[None]
    z = (1 / x + 1) / tau2  # tr (M + z)^{-1}/d for M = X^T X/n0
    b = z + 1 - 1 / alpha0
    trace = 2 / (b + np.sqrt(b * b + 4 * z / alpha0)) / tau2
    curve = tabulate(ones, alpha0, 0.0, tau2)
    assert np.allclose(curve.spectrum(x).deficit, trace / x, rtol=1e-12, atol=0)


def test_tables_are_stacked():
    activation, target = nonlinearity("relu"), nonlinearity("erf")
    alpha0, eta = np.array([0.5, 2.0, 0.0, 0.5]), np.array([3.0, 1.0, 1.0, 3.0])
    noise_var = np.array([0.0, 0.1, 0.1, 0.0])
    curve = step_curves(activation, target, alpha0, eta, noise_var)
    x = np.geomspace(1e-5, 1e5, 4 * 11).reshape(4, 11)
    stacked, overlaps = curve.spectrum(x), matrices(curve, x)
    for i in range(4):
        alone = step_curve(activation, target, alpha0[i], eta[i], noise_var[i])
        for one, two in zip(stacked, alone.spectrum(x[i:i + 1]), strict=True):
            assert np.allclose(one[i], two[0], rtol=1e-14, atol=0)
        for one, two in zip(overlaps, matrices(alone, x[i:i + 1]), strict=True):
            assert np.allclose(one[:, i], two[:, 0], rtol=1e-13, atol=1e-16)
    some = curve.rows(np.array([2, 0]))
    assert np.array_equal(some.spectrum(x[[2, 0]]).t, stacked.t[[2, 0]])
    assert np.array_equal(some.mean, curve.mean[[2, 0]])


@pytest.mark.parametrize("setting", [ORDINARY[0], ORDINARY[1], ORDINARY[14], HARD[0]], ids=str)
def test_extreme_x(setting):
    """Newton's iterations may try any float."""
    curve = curve_of(setting)
    x = np.array([[0.0, 1e-300, 1e-260, 1e-12, 1e12, 1e150, 1e290]])
    values, overlaps = curve.spectrum(x), matrices(curve, x)
    for array in (*values, *overlaps):
        assert np.all(np.isfinite(array))
    assert np.all(values.deficit > 0)
    assert np.all((values.elasticity <= 0) & (values.elasticity >= -1 - 1e-15))
    assert np.all(np.diff(values.t[0]) <= 0)
    assert np.allclose(x * values.t + values.deficit, 1, rtol=0, atol=1e-15)


def test_continuation(monkeypatch):
    """Where Newton's method fails from the usual start the solution is followed from large omega."""
    arguments = measure_in_order(("relu", "erf", 0.5, 3.0, 0.0), np.array([3.0, 0.01, 0.3]))
    expected = resolvent_matrix(*arguments)
    newton, calls = step_covariance._newton, []

    def failing(*given):
        calls.append(1)
        point, residual = newton(*given)
        return (point, residual) if len(calls) > 1 else (np.full_like(point, np.nan), np.full_like(residual, np.nan))

    monkeypatch.setattr(step_covariance, "_newton", failing)
    followed = resolvent_matrix(*arguments)
    assert len(calls) > 3
    assert np.allclose(followed.g, expected.g, rtol=1e-14, atol=0)
    assert np.max(followed.residual) < 1e-14


def test_unresolved_tables_say_so():
    """A spectrum over seven decades needs more nodes than there are."""
    curve = curve_of(("relu", "erf", 0.5, 1e5, 0.0))
    assert not curve.converged[0]


def test_half_line():
    u, slope = half_line_point(np.array([0.0, 2.0, 1e200]), np.array(0.7))
    assert u[0] == 1
    assert u[2] == -1
    omega = half_line_nodes(12, 0.7)
    u, slope = half_line_point(1 / omega, np.array(0.7))
    assert np.allclose(u, np.cos(np.pi * (np.arange(12) + 0.5) / 12), rtol=0, atol=1e-15)
    assert np.allclose(slope / omega, (1 - u**2) / (3 - u), rtol=1e-12, atol=0)
