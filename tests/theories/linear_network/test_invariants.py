"""Invariants from weights and from overlaps, and the exact sums and products they rest on."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from asymptotics.theories.linear_network import exact
from asymptotics.theories.linear_network.invariants import (
    kernel_invariants,
    layers_of_overlaps,
    layers_of_weights,
    plain_invariants,
)

from .problems import KINDS, random_problem


@pytest.fixture(autouse=True)
def _tiny_is_zero():
    with np.errstate(under="ignore"):
        yield


def of_weights(u, w, gamma, eta_u, eta_w):
    """bP, bQ, F0, kap, area, R from the floats, in 200 digits; roundings of rates that are equal do not count."""
    with mpmath.workdps(200):
        u, w = [mpmath.mpf(float(x)) for x in u], [mpmath.mpf(float(x)) for x in w]
        gamma, eta_u, eta_w = map(mpmath.mpf, (gamma, eta_u, eta_w))
        a, b = abs(gamma) * mpmath.sqrt(eta_w), gamma * mpmath.sqrt(eta_u)
        pairs = list(zip(u, w, strict=True))
        uu, ww, uw = (mpmath.fsum(x * y for x, y in z) for z in (zip(u, u, strict=True), zip(w, w, strict=True), pairs))
        area = mpmath.fsum((u[i] * w[j] - u[j] * w[i]) ** 2 for i in range(len(u)) for j in range(i))
        return (
            mpmath.fsum((a * x + b * y) ** 2 for x, y in pairs), mpmath.fsum((a * x - b * y) ** 2 for x, y in pairs),
            gamma * uw, 2 * abs(gamma) * mpmath.sqrt(eta_u * eta_w), mpmath.sqrt(area), eta_w * uu - eta_u * ww,
        )


def deviations(found, expected, R_scale):
    scales = [abs(x) for x in expected[:5]] + [R_scale]
    return [float(abs(mpmath.mpf(float(a)) - b) / s) if s else abs(float(a))
            for a, b, s in zip(found, expected, scales, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_of_weights(kind):
    """All digits, also of P and Q when they cancel, of the area of nearly parallel vectors, of F0 near zero."""
    for seed in range(30):
        rng = np.random.default_rng((seed, KINDS.index(kind)))
        given = random_problem(rng, kind, 3.0)
        rates = [given[name] for name in ("gamma", "eta_u", "eta_w")]
        expected = of_weights(given["u"], given["w"], *rates)
        found = plain_invariants(layers_of_weights(given["u"], given["w"]), *rates)
        R_scale = given["eta_w"] * (given["u"] @ given["u"]) + given["eta_u"] * (given["w"] @ given["w"])
        assert max(deviations(found, expected, R_scale)) < 4e-15, (kind, seed)


def test_of_overlaps():
    """The overlaps count as exact numbers: nearly parallel layers lose nothing."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        uu, ww = 10 ** rng.uniform(-3, 3, size=2)
        uw = rng.choice([-1, 1]) * np.sqrt(uu * ww) * (1 - 10 ** rng.uniform(-14, 0))
        gamma, eta_u, eta_w = 10 ** rng.uniform(-3, 3, size=3)
        with mpmath.workdps(100):
            mp = [mpmath.mpf(float(x)) for x in (uu, ww, uw, gamma, eta_u, eta_w)]
            even = mp[3] ** 2 * (mp[5] * mp[0] + mp[4] * mp[1])
            odd = 2 * mp[3] ** 2 * mpmath.sqrt(mp[4] * mp[5]) * mp[2]
            expected = (even + odd, even - odd, mp[3] * mp[2], 2 * mp[3] * mpmath.sqrt(mp[4] * mp[5]),
                        mpmath.sqrt(mp[0] * mp[1] - mp[2] ** 2), mp[5] * mp[0] - mp[4] * mp[1])
        found = kernel_invariants(uu, ww, uw, gamma, eta_u, eta_w)
        assert max(deviations(found, expected, eta_w * uu + eta_u * ww)) < 4e-15


def test_overlaps_that_no_weights_have():
    found = kernel_invariants([1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [1.0 + 1e-15, 1.1, 0.0, 0.1], 1.0, 1.0, 1.0)
    assert np.isnan(found.bP).tolist() == [False, True, False, True]
    assert found.area[0] == 0
    assert layers_of_overlaps(1e-300, 1e-300, 1e300).possible == False  # noqa: E712


def test_parallel_vectors_have_no_area():
    """Also where the ratio is not a float; and P or Q vanish exactly if they do."""
    for factor, vector in ((3.0, [1.0, 2.0, -5.0]), (7.0, [1 / 3, 0.1, 0.0]), (2.0, [1e-200, 3e100]), (1.0, [0.1])):
        vector = np.array(vector)
        found = plain_invariants(layers_of_weights(vector, factor * vector), 1.0, 1.0, factor**2)
        if np.array_equal(factor * vector / factor, vector) and factor in (3.0, 2.0, 1.0):
            assert found.area == 0 and found.bQ == 0 and found.bP > 0
        assert abs(found.R) <= 1e-15 * found.bP
    exactly = plain_invariants(layers_of_weights([1.0, 2.0], [3.0, 6.0]), 1.0, 1.0, 9.0)
    assert exactly.bQ == 0 and exactly.area == 0
    rounded = plain_invariants(layers_of_weights(np.sqrt(2.0) * np.ones(3), np.ones(3)), 1.0, 2.0, 1.0)
    assert 0 < rounded.bQ < 1e-30
    assert plain_invariants(layers_of_weights([0.3], [1e-5]), 1.0, 1.0, 1.0).area == 0


def test_huge_width():
    rng = np.random.default_rng(0)
    u, w = rng.normal(size=(2, 100_000)) * 1e-150
    found = plain_invariants(layers_of_weights(u, w), 1e150, 1.0, 1.0)
    u, w = u * 1e150, w * 1e150
    assert found.bP == pytest.approx(np.sum((u + w) ** 2), rel=1e-13)
    start, imbalance = float(found.F0), float(found.R)
    assert start == pytest.approx(u @ w * 1e-150, rel=1e-12)
    assert imbalance * 1e150 * 1e150 == pytest.approx(u @ u - w @ w, rel=1e-12)


def test_differences_of_products_are_exact():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 2000))
    c = a * (1 + rng.integers(-3, 4, size=2000) * 2.0**-52)
    d = a * b / c
    found = exact.difference_of_products(a, b, c, d)
    for x, values in zip(found, zip(a, b, c, d, strict=True), strict=True):
        a_, b_, c_, d_ = map(Fraction, values)
        expected = a_ * b_ - c_ * d_
        assert (x == 0) == (expected == 0)
        assert x == pytest.approx(float(expected), rel=4e-16, abs=0)


def test_numbers_with_their_own_exponent():
    mantissa, exponent = exact.binary([0.0, 1.0, -3e-310, 1e308])
    assert mantissa[0] == 0 and exponent[0] == exact.ABSENT
    assert exact.scaled(mantissa, exponent).tolist() == [0.0, 1.0, -3e-310, 1e308]
    assert exact.scaled(np.array([0.7, -0.7, 0.7]), np.array([3000, 3000, -3000])).tolist() == [np.inf, -np.inf, 0.0]
    root, exponent = exact.binary_root([0.0, 2.0, 1e-310, 9.0])
    assert exact.scaled(root.high, exponent) == pytest.approx(np.sqrt([0.0, 2.0, 1e-310, 9.0]), rel=1e-15)
    with mpmath.workdps(40):
        two = mpmath.mpf(float(root.high[1])) + mpmath.mpf(float(root.low[1]))
        assert abs(two * mpmath.mpf(2) ** int(exponent[1]) - mpmath.sqrt(2)) < 1e-31
