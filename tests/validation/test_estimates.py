"""Extrapolation and quantiles against their definitions and against random numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from validation.estimates import allowed_rms, allowed_z, estimate, extrapolate, gaussian_z, power_law


def test_estimate():
    samples = np.random.default_rng(0).normal(size=(3, 2, 7))
    result = estimate(samples)
    np.testing.assert_allclose(result.mean, samples.mean(axis=-1))
    np.testing.assert_allclose(result.standard_error, stats.sem(samples, axis=-1))
    assert np.all(result.freedom == 6)


@pytest.mark.parametrize("sizes", [{100: 30, 300: 10}, {50: 40, 100: 20, 400: 11}])
def test_extrapolation_is_exact_for_its_law(sizes):
    noise = {d: np.tile([-1.0, 1.0], count)[:count] for d, count in sizes.items()}
    samples = {d: 3.0 + 7.0 / d + (noise[d] - noise[d].mean()) for d in sizes}
    limit, slope = extrapolate({d: estimate(part) for d, part in samples.items()}, sizes)
    assert limit.mean == pytest.approx(3.0, rel=1e-12)
    assert slope == pytest.approx(7.0, rel=1e-10)


def test_extrapolation_of_two_sizes():
    rng = np.random.default_rng(1)
    parts = {100: estimate(rng.normal(size=40)), 300: estimate(rng.normal(size=9))}
    limit, _ = extrapolate(parts, {100: 40, 300: 9})
    small, large = parts[100], parts[300]
    assert limit.mean == pytest.approx(1.5 * large.mean - 0.5 * small.mean)
    a, b = (1.5 * large.standard_error) ** 2, (0.5 * small.standard_error) ** 2
    assert limit.standard_error == pytest.approx(np.sqrt(a + b))
    assert limit.freedom == pytest.approx((a + b) ** 2 / (a**2 / 8 + b**2 / 39))


def test_extrapolated_z_is_calibrated():
    """Under the law the extrapolated deviation follows Student's t: with few networks, no excess of large z."""
    rng = np.random.default_rng(2)
    samples = {d: 1.0 + 5.0 / d + rng.normal(scale=1 / np.sqrt(d), size=(20_000, count))
               for d, count in {100: 12, 300: 6}.items()}
    limit, _ = extrapolate({d: estimate(part) for d, part in samples.items()}, {100: 12, 300: 6})
    z = (limit.mean - 1.0) / limit.standard_error
    outside = np.mean(np.abs(z) > allowed_z(limit.freedom, 0.05))
    assert outside == pytest.approx(0.05, abs=0.006)
    assert np.mean(gaussian_z(z, limit.freedom) ** 2) == pytest.approx(1, abs=0.04)


def test_identical_networks_have_no_error():
    parts = {100: estimate(np.ones(5)), 200: estimate(np.full(4, 2.0))}
    limit, slope = extrapolate(parts, {100: 5, 200: 4})
    assert (limit.mean, limit.standard_error, limit.freedom) == (pytest.approx(3), 0, 7)
    assert slope == pytest.approx(-200)


def test_power_law():
    sizes, rng = [50, 100, 200], np.random.default_rng(3)
    errors = np.array([0.002, 0.002, 0.002])
    exponents = []
    for _ in range(400):
        exponent, error = power_law(sizes, 4.0 / np.array(sizes) + errors * rng.normal(size=3), errors)
        exponents.append((exponent + 1) / error)
    assert np.mean(exponents) == pytest.approx(0, abs=0.3)
    assert np.std(exponents) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("deviations", [[0.1, 0.05, 0.001], [0.1, -0.05, 0.03]])
def test_a_power_law_needs_resolved_deviations(deviations):
    assert np.all(np.isnan(power_law([50, 100, 200], deviations, [0.001] * 3)))


def test_allowed_z():
    assert allowed_z(9, 0.05) == pytest.approx(stats.t.ppf(0.975, 9))
    each = 1 - (1 - 0.01) ** (1 / 200)
    assert allowed_z(40.5, 0.01, rows=200) == pytest.approx(stats.t.isf(each / 2, 40.5))


@given(st.floats(-30, 30), st.floats(1, 1e4))
def test_gaussian_z_keeps_probabilities(z, freedom):
    value = gaussian_z(z, freedom)
    assert abs(value) <= abs(z) * (1 + 1e-9) + 1e-7  # a probability near one half is rounded
    assert stats.norm.sf(abs(value)) == pytest.approx(max(stats.t.sf(abs(z), freedom), 1e-300), rel=1e-6)
    assert value * z >= 0


def test_gaussian_z_far_away():
    assert gaussian_z(np.inf, 5.0) > 37
    assert gaussian_z(-1e6, 1e6) < -37


def test_allowed_rms():
    assert allowed_rms([1] * 30, 0.01) == pytest.approx(np.sqrt(stats.chi2.isf(0.01, 30) / 30))
    assert allowed_rms([8] * 30, 0.01) == pytest.approx(allowed_rms([1] * 30, 0.01))
    assert allowed_rms([30], 0.01) == pytest.approx(np.sqrt(stats.chi2.isf(0.01, 1)))
