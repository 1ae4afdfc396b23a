"""The named nonlinearities and their combinations: values, derivatives, parity, and Gaussian moments."""

from __future__ import annotations

import math
import pickle
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp

from asymptotics.gaussian import Moments, nonlinearity
from asymptotics.gaussian.combination import Combination
from tests.gaussian import brute_force
from tests.gaussian.brute_force import BENDS, DERIVATIVES, FUNCTIONS, KINKS

NAMES = sorted(FUNCTIONS)
quantified = settings(derandomize=True, deadline=None, max_examples=12)


def decimals(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers of four decimals, which a text gives back exactly."""
    return st.integers(round(low * 10_000), round(high * 10_000)).map(lambda n: n / 10_000)


def assert_moments(moments: Moments, exact: tuple[Any, ...], variance: float, size: float = 1.0) -> None:
    """Moments against exact ones.

    Relative to the natural scales rms(sigma), rms(sigma') and rms(sigma'') under the Gaussian, by 1e-12; `size` is that
    of sigma' where it is not small.  mu2_sq, of which the solution takes 1/lam, to 1e-11 of itself (or what the
    rounding of sigma itself leaves of it), down to 1e-23 of max(1, variance) size^2: trapezoid sums are absolutely,
    not relatively, accurate in far tails.
    """
    mu0, mu1, mu2_sq, nu = (float(moment) if abs(moment) > 1e-300 else 0.0 for moment in exact)
    deviation = math.sqrt(variance)
    rms = math.sqrt(mu0**2 + variance * mu1**2 + mu2_sq)
    assert abs(moments.mu0 - mu0) <= 1e-12 * rms + 1e-16 * size
    assert abs(moments.mu1 - mu1) <= 1e-12 * (abs(mu1) + math.sqrt(mu2_sq / variance)) + 1e-15 * size
    nu_scale = abs(mu1) / deviation + math.sqrt(mu2_sq) / variance
    assert abs(moments.nu - nu) <= 1e-12 * (abs(nu) + nu_scale) + 1e-15 * size / deviation
    rounding = 3e-16 * rms * math.sqrt(mu2_sq)
    assert abs(moments.mu2_sq - mu2_sq) <= 1e-11 * mu2_sq + rounding + 1e-23 * max(1.0, variance) * size**2
    assert moments.mu2_sq >= 0


# ---- moments


@pytest.mark.parametrize("name", NAMES)
@quantified
@given(distance=st.floats(-12, 12), log_variance=st.floats(-6, 3))
def test_moments_of_named_nonlinearities(name: str, distance: float, log_variance: float) -> None:
    variance = 10**log_variance
    mean = distance * math.sqrt(variance)
    widest = min(2.0, 8 / math.sqrt(variance)) if name in ("sin", "cos") else 2.0
    exact = brute_force.moments(FUNCTIONS[name], mean, variance, KINKS.get(name, ()), BENDS.get(name, ()), widest)
    assert_moments(nonlinearity(name).moments(mean, variance), exact, variance)


COMBINATIONS: list[tuple[str, Any, tuple[float, ...], tuple[tuple[float, float], ...]]] = [
    ("3*relu(2 - 0.5*x) - x", lambda x: 3 * max(2 - x / 2, 0) - x, (4.0,), ()),
    ("relu(x) - 0.1*relu(-x)", lambda x: max(x, 0) - max(-x, 0) / 10, (0.0,), ()),
    ("abs(x + 1) + 2*x - 3", lambda x: abs(x + 1) + 2 * x - 3, (-1.0,), ()),
    ("2*tanh(1.5*x + 0.75) + x", lambda x: 2 * mp.tanh(1.5 * x + 0.75) + x, (), ((-0.5, 0.7),)),
    ("erf(-2*x + 1)/4 + 1", lambda x: mp.erf(1 - 2 * x) / 4 + 1, (), ((0.5, 0.35),)),
    ("sin(3*x + 1) - 2*x", lambda x: mp.sin(3 * x + 1) - 2 * x, (), ()),
    ("1 - cos(-x/2 + 2)", lambda x: 1 - mp.cos(2 - x / 2), (), ()),
    ("sign(2*x - 1)*3 + x", lambda x: 3 * mp.sign(2 * x - 1) + x, (0.5,), ()),
    ("softplus(-2*x) + x", lambda x: mp.log(1 + mp.exp(-2 * x)) + x, (), ((0.0, 0.5),)),
    ("gelu(1 - x)", lambda x: (1 - x) * mp.ncdf(1 - x), (), ((1.0, 1.0),)),
    ("he2(2*x + 1)", lambda x: ((2 * x + 1) ** 2 - 1) / mp.sqrt(2), (), ()),
    ("relu(x) + relu(x - 1) - relu(x + 2)", lambda x: max(x, 0) + max(x - 1, 0) - max(x + 2, 0), (-2.0, 0.0, 1.0), ()),
    ("relu(x) + sign(x - 1)", lambda x: max(x, 0) + mp.sign(x - 1), (0.0, 1.0), ()),
    ("tanh(x) + 0.25*x**3", lambda x: mp.tanh(x) + x**3 / 4, (), ((0.0, 1.0),)),
    ("relu(x) - x**2", lambda x: max(x, 0) - x * x, (0.0,), ()),
    ("sin(4*x) + relu(x)", lambda x: mp.sin(4 * x) + max(x, 0), (0.0,), ()),
    ("tanh(8*x) - erf(x)", lambda x: mp.tanh(8 * x) - mp.erf(x), (), ((0.0, 0.125), (0.0, 0.7))),
]


@pytest.mark.parametrize(("text", "function", "kinks", "bends"), COMBINATIONS, ids=[row[0] for row in COMBINATIONS])
@settings(quantified, max_examples=6)
@given(mean=st.floats(-8, 8), log_variance=st.floats(-4, 2))
def test_moments_of_combinations(text: str, function: Any, kinks: Any, bends: Any, mean: float, log_variance: float
                                 ) -> None:
    variance = 10**log_variance
    sigma = nonlinearity(text)
    assert isinstance(sigma, Combination)
    widest = min(2.0, 2 / math.sqrt(variance)) if "sin" in text or "cos" in text else 2.0
    exact = brute_force.moments(function, mean, variance, kinks, bends, widest)
    # sums are exact relative to their terms: x**2 in "relu(x) - x**2", tanh(8 x) in the last one
    size = 8 + (3 * abs(mean) + 9 * math.sqrt(variance) if "**" in text else 0.0) ** 2
    assert_moments(sigma.moments(mean, variance), exact, variance, size)


@pytest.mark.parametrize("name", ["relu", "erf", "sin", "cos", "sign", "abs", "linear", "he3", "tanh", "gelu"])
@settings(quantified, max_examples=20)
@given(a=decimals(0.1, 5), b=decimals(0.2, 4), c=decimals(-3, 3), flip=st.booleans(), mean=decimals(-3, 3),
       variance=decimals(0.01, 9))
def test_affine_arguments_are_exact(name: str, a: float, b: float, c: float, flip: bool, mean: float, variance: float
                                    ) -> None:
    """a g(b x + c) - x + 1 has the moments of g at (b m + c, b^2 v), also for negative b."""
    b = -b if flip else b
    sigma = nonlinearity(f"{a!r}*{'' if name == 'linear' else name}({b!r}*x + {c!r}) - x + 1")
    assert isinstance(sigma, Combination)
    plain = nonlinearity(name).moments(b * mean + c, b * b * variance)
    shifted = sigma.moments(mean, variance)
    scale = 10 * a * (1 + abs(b)) ** 3 * (1 + abs(mean) + abs(c) + variance) ** 3
    assert shifted.mu0 == pytest.approx(a * plain.mu0 - mean + 1, abs=1e-14 * scale)
    assert shifted.mu1 == pytest.approx(a * b * plain.mu1 - 1, abs=1e-14 * scale)
    assert shifted.mu2_sq == pytest.approx(a * a * plain.mu2_sq, rel=1e-10, abs=1e-25 * scale**2)
    assert shifted.nu == pytest.approx(a * b * b * plain.nu, rel=1e-11, abs=1e-14 * scale)


@pytest.mark.parametrize("name", [*NAMES, "tanh(8*x) - erf(x)", "relu(x) + sign(x - 1)"])
def test_variance_zero_gives_values_and_slopes(name: str) -> None:
    sigma = nonlinearity(name)
    mean = np.array([-30.0, -1.5, 0.25, 7.0])
    moments = sigma.moments(mean, 0.0)
    assert np.array_equal(moments.mu0, sigma(mean))
    assert np.array_equal(moments.mu1, sigma.derivative(mean))
    assert not np.any(moments.mu2_sq) and not np.any(moments.nu)
    mixed = sigma.moments(mean, np.array([0.0, 1.0, 0.0, 2.0]))
    separate = sigma.moments(mean[1::2], np.array([1.0, 2.0]))
    assert np.array_equal(mixed.mu0[::2], sigma(mean[::2]))
    assert np.allclose(mixed.mu2_sq[1::2], separate.mu2_sq, rtol=1e-11, atol=1e-30)


@pytest.mark.parametrize("name", NAMES)
def test_moments_broadcast_and_small_variances_approach_zero_variance(name: str) -> None:
    sigma = nonlinearity(name)
    moments = sigma.moments(np.linspace(-2, 2, 4)[:, None], np.array([0.5, 1.0, 1e-14]))
    assert all(moment.shape == (4, 3) for moment in moments)
    assert np.allclose(moments.mu0[:, 2], sigma(np.linspace(-2, 2, 4)), rtol=1e-12, atol=1e-13)
    assert isinstance(sigma.moments(0.5, 1.0).mu0, np.float64)
    assert sigma.moments(np.zeros((0, 2)), 1.0).mu0.shape == (0, 2)


@pytest.mark.parametrize("name", NAMES)
def test_moments_do_not_depend_on_their_neighbours(name: str) -> None:
    """The rule is chosen for all cells together; a wide cell must not spoil a narrow one."""
    sigma = nonlinearity(name)
    mean, variance = np.array([0.3, -1.0, 40.0, 0.0]), np.array([1.0, 1e-6, 1e3, 30.0])
    together = sigma.moments(mean, variance)
    for i in range(4):
        alone = sigma.moments(mean[i], variance[i])
        rounding = 1e-15 * abs(alone.mu0) * math.sqrt(alone.mu2_sq)
        assert together.mu2_sq[i] == pytest.approx(alone.mu2_sq, rel=1e-11, abs=rounding + 1e-28)
        assert together.mu0[i] == pytest.approx(alone.mu0, rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("name", ["relu", "softplus", "gelu"])
def test_reflection_keeps_the_digits_of_small_curvatures(name: str) -> None:
    """g(t) - g(-t) = t: far to the right mu2_sq is the same as far to the left, where values have all their digits."""
    sigma = nonlinearity(name)
    mean = np.array([2.0, 9.0, 20.0, 60.0])
    right, left = sigma.moments(mean, 1.0), sigma.moments(-mean, 1.0)
    assert np.array_equal(right.mu2_sq, left.mu2_sq)
    assert np.allclose(right.mu0, mean + left.mu0, rtol=1e-15, atol=0)


def test_second_moment_and_slope_variance() -> None:
    for name in NAMES:
        sigma = nonlinearity(name)
        nodes = brute_force.expectation_nodes(0.0, 1.0, KINKS.get(name, ()), BENDS.get(name, ()))
        with mpmath.workdps(brute_force.DIGITS):
            slopes = [(w, DERIVATIVES[name](z)) for z, w in nodes]
            second = mp.fsum(w * FUNCTIONS[name](z) ** 2 for z, w in nodes)
            slope = mp.fsum(w * f for w, f in slopes)
            variance = mp.fsum(w * (f - slope) ** 2 for w, f in slopes)
        assert sigma.second_moment() == pytest.approx(float(second), rel=1e-13)
        expected = math.inf if name == "sign" else float(variance)
        assert sigma.slope_variance() == pytest.approx(expected, rel=1e-12, abs=1e-28)


# ---- values


@pytest.mark.parametrize("name", NAMES)
@settings(quantified, max_examples=60)
@given(x=st.floats(-60, 60).filter(lambda x: abs(x) > 1e-9))
def test_values_and_derivatives(name: str, x: float) -> None:
    sigma = nonlinearity(name)
    with mpmath.workdps(60):
        value, slope = FUNCTIONS[name](mp.mpf(x)), DERIVATIVES[name](mp.mpf(x))
        size = sum(abs(a) * abs(x) ** k for k, a in enumerate(sigma.polynomial)) if name.startswith("he") else 0.0
        assert abs(sigma(x) - value) <= 1e-15 * (abs(value) * max(1.0, x * x if name == "gelu" else 1.0) + 1 + size)
        assert abs(sigma.derivative(x) - slope) <= 1e-14 * (abs(slope) + 0.1 + size)


def test_tails_keep_their_digits() -> None:
    x = np.array([-300.0, -40.0, -20.0])
    assert np.allclose(nonlinearity("softplus")(x), np.log1p(np.exp(x)), rtol=1e-15, atol=0)
    assert np.allclose(nonlinearity("softplus").derivative(x), np.exp(x), rtol=1e-8, atol=0)
    assert np.allclose(nonlinearity("tanh").derivative(-x / 2), 4 * np.exp(x), rtol=1e-8, atol=0)
    assert float(nonlinearity("gelu")(-30.0)) == pytest.approx(float(-30 * mp.ncdf(-30)), rel=1e-12)
    for name in NAMES:
        sigma = nonlinearity(name)
        assert np.all(np.isfinite(sigma(np.array([-1e4, 1e4])))), name
        assert np.all(np.isfinite(sigma.derivative(np.array([-1e4, 1e4])))), name


@pytest.mark.parametrize("name", NAMES)
def test_shape(name: str) -> None:
    sigma = nonlinearity(name)
    x = np.linspace(0.1, 6, 40)
    even = np.allclose(sigma(x), sigma(-x), rtol=1e-14, atol=0)
    odd = np.allclose(sigma(x), -sigma(-x), rtol=1e-14, atol=0)
    assert sigma.parity == (1 if even else -1 if odd else 0)
    assert sigma.kinks == KINKS.get(name, ())
    assert sigma.jumps == (((0.0, 2.0),) if name == "sign" else ())
    assert sigma.degree == {"relu": 1, "abs": 1, "softplus": 1, "gelu": 1, "linear": 1}.get(
        name, int(name[2:]) if name.startswith("he") else 0
    )


@pytest.mark.parametrize(
    ("text", "parity"),
    [("abs(x) + cos(2*x)", 1), ("relu(x) + relu(-x)", 1), ("relu(x) - relu(-x)", -1), ("relu(x) - 0.5*x", 1),
     ("gelu(2*x) - x", 1), ("softplus(x) + x", 0), ("sigmoid(x)", 0), ("sigmoid(x) - 0.5", -1), ("tanh(x) + 1", 0),
     ("sin(x) + x**3", -1), ("sin(x + 1)", 0), ("he2(x) + abs(x)", 1), ("relu(x - 1) + relu(-x - 1)", 0)],
)
def test_parity_of_combinations(text: str, parity: int) -> None:
    """What is recognised is right; shifted pairs are not recognised."""
    assert nonlinearity(text).parity == parity


@pytest.mark.parametrize("name", [*NAMES, "tanh(1.5*x + 0.8)", "relu(x) - 1/sqrt(2*pi)"])
def test_nonlinearities_are_values(name: str) -> None:
    sigma = nonlinearity(name)
    copy = pickle.loads(pickle.dumps(sigma))
    assert copy == sigma and hash(copy) == hash(sigma) and copy.text == sigma.text
    assert nonlinearity(sigma) is sigma
    assert nonlinearity(f" {name} ") == sigma
    assert sigma != nonlinearity("tanh(2*x)") and sigma != name
    x = np.linspace(-3, 3, 11)
    assert np.array_equal(copy(x), sigma(x))
    assert copy.hermite_coefficients_mp(3, 30) == sigma.hermite_coefficients_mp(3, 30)


def test_too_fast_a_wave_is_refused() -> None:
    with pytest.raises(ValueError, match="oscillate"):
        nonlinearity("sin(100000*x)")
