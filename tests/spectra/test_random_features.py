"""The resolvent of random features: reference numbers, mpmath, corners, identities, and actual features."""

import mpmath as mp
import numpy as np
import pytest

from asymptotics.spectra.random_features import (
    RandomFeatures,
    above_edge,
    continued,
    eigenvalue,
    equation,
    functionals,
    resolvent,
)
from tests.reference import spiked_resolvent as reference

FIELDS = (
    "r_w", "linear_share", "linear_learned", "coupling", "train_weight", "test_weight", "linear_test_ratio",
    "coupling_test_ratio",
)

# lam, c_1^2, mu_*^2, p, n, d  ->  e, r_1, e', r_1' (derivatives in lam p/n)
ROWS = [
    ((0.1, 0.25, 0.25 - 0.5 / np.pi, 400, 600, 500), (8.23495516918, 5.37251190279, -99.3643234097, -56.2394743256)),
    ((1e-6, 1, 0.5, 400, 600, 500), (500001.864197, 286422.170731, -7.50000000019e11, -4.29631211067e11)),
    ((1e-3, 1, 0.5, 600, 600, 500), (31.9249949114, 14.3609217892, -16310.6812484, -7164.74617442)),
    ((2, 0.5, 0.3, 2000, 500, 1000), (0.0922339368271, 0.0849151313097, -0.00875404320638, -0.00745990983877)),
]


def solve(lam, linear, white, p, n, d):
    values = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, dtype=float)) for v in (lam, linear, white, p, n, d)))
    lam, *law = values
    return resolvent(RandomFeatures(*law), lam)


def check(values, tolerance=1e-13):
    """All functionals of one cell against mpmath."""
    solved = solve(*values)
    assert solved.converged.all() and solved.residual[0] < 1e-14 * max(1.0, values[3] / values[4])
    with mp.workdps(max(reference.DIGITS, mp.mp.dps)):
        expected = reference.Bulk(*values).functionals()
    for name in FIELDS:
        assert getattr(solved, name)[0] == pytest.approx(float(expected[name]), rel=tolerance, abs=0), (name, values)


@pytest.mark.parametrize(("values", "expected"), ROWS)
def test_reference_rows(values, expected):
    solved = solve(*values)
    e, share = solved.r_w[0], solved.linear_share[0]
    fresh = (e, e * share, -e**2 * solved.test_weight[0], -e**2 * (solved.test_weight * solved.linear_test_ratio)[0])
    assert fresh == pytest.approx(expected, rel=1e-11)


def test_first_row():
    solved = solve(*ROWS[0][0])
    law = RandomFeatures(*(np.array([float(v)]) for v in ROWS[0][0][1:]))
    assert functionals(law, 1 / solved.r_w).hidden[0] == pytest.approx(0.5655041212, rel=1e-9)
    assert solved.coupling[0] / solved.r_w[0] == pytest.approx(0.3234955169, rel=1e-9)


def test_random_box():
    rng = np.random.default_rng(7)
    for number in range(60):
        lam = 10 ** rng.uniform(-14, 8)
        linear, white = rng.uniform(0.01, 2), 10 ** rng.uniform(-4, 0)
        p, n, d = 10 ** rng.uniform(0.5, 5, size=3)
        n = p if number % 5 == 0 else n
        d = p if number % 7 == 0 else d
        check((lam, linear, white, p, n, d))


@pytest.mark.parametrize("values", [
    (1e-8, 1.0, 0.3, 1e12, 600, 500),
    (1e3, 0.25, 0.1, 1e12, 600, 500),
    (1e-14, 0.5, 0.3, 500, 500, 400),
    (1e-200, 0.5, 0.3, 500, 500, 400),
    (1e-30, 0.5, 0.3, 500, 5000, 400),
    (1e8, 0.5, 0.3, 500, 300, 400),
    (1e-300, 0.5, 0.3, 500, 300, 400),
    (0.1, 0.5, 1e-8, 4000, 3000, 50),
    (1e-6, 0.5, 1e-8, 100, 3000, 500),
    (0.3, 0.5, 0.2, 1, 1e9, 1e9),
    (0.3, 0.5, 0.2, 1e9, 10, 1e9),
    (0.3, 0.5, 0.2, 1000, 1e12, 30),
], ids=str)
def test_corners(values):
    with mp.workdps(300):
        check(values)


@pytest.mark.parametrize("values", [
    (0.3, 0.5, 1e-6, 4000, 700, 50), (5.5e-5, 0.5, 2e-6, 1.12e5, 130, 130.0), (1e-9, 0.5, 0.3, 500001, 500000, 400000),
    (1e-9, 0.5, 0.3, 499999, 500000, 400000),
], ids=str)
def test_ill_conditioned_corners(values):
    """Small white parts and n next to p: as many digits as the problem has in its inputs."""
    check(values, 1e-12)


def test_without_ridge():
    law = dict(linear=0.4, white=0.2, d=500)
    many = solve(0.0, 0.4, 0.2, 400, 600, 500)
    assert np.isinf(many.r_w[0]) and many.converged.all()
    assert many.train_weight[0] == pytest.approx(1 / 3, rel=1e-15)
    assert many.test_weight[0] == pytest.approx(3, rel=1e-15)
    with mp.workdps(120):
        for p, n in ((400, 600), (600, 400), (10, 4000), (4000, 10)):
            solved = solve(0.0, p=p, n=n, **law)
            expected = reference.Bulk(0.0, 0.4, 0.2, p, n, 500).functionals()
            for name in FIELDS:
                if float(expected[name]) < 1e50:
                    assert getattr(solved, name)[0] == pytest.approx(float(expected[name]), rel=1e-13, abs=1e-50), name


def test_threshold_without_ridge():
    solved = solve(0.0, 0.4, 0.2, 500, 500, 400)
    assert solved.converged.all() and np.isinf(solved.r_w[0]) and np.isinf(solved.test_weight[0])
    assert solved.train_weight[0] == 0 and solved.residual[0] == 0
    # what multiplies the infinite test weight is the limit of a small ridge, and the weight grows as lam^(-1/2)
    small = solve([1e-20, 1e-24], 0.4, 0.2, 500, 500, 400)
    for name in ("linear_share", "coupling", "linear_test_ratio", "coupling_test_ratio"):
        assert getattr(solved, name)[0] == pytest.approx(getattr(small, name)[1], rel=1e-9)
    assert small.test_weight[1] / small.test_weight[0] == pytest.approx(100, rel=1e-8)


def test_white_features_are_marchenko_pastur():
    rng = np.random.default_rng(3)
    white, q = rng.uniform(0.1, 2, 50), 10 ** rng.uniform(-2, 2, 50)
    lam = 10 ** rng.uniform(-4, 4, 50)
    solved = solve(lam, 0.0, white, 100 * q, 100.0, 70.0)
    lam_bar, e = lam * q, solved.r_w
    terms = np.array([white * lam_bar * e**2, (lam_bar + white * (q - 1)) * e, -np.ones(50)])
    np.testing.assert_array_less(np.abs(terms.sum(axis=0)), 1e-14 * np.abs(terms).max(axis=0) * np.maximum(q, 1))


def test_identities():
    rng = np.random.default_rng(5)
    law = RandomFeatures(rng.uniform(0.1, 1, 200), rng.uniform(0.01, 1, 200), *10 ** rng.uniform(1, 4, (3, 200)))
    lam = 10 ** rng.uniform(-5, 3, 200)
    solved = resolvent(law, lam)
    values = functionals(law, 1 / solved.r_w)
    beta, lam_bar = law.p / law.d, lam * law.load
    np.testing.assert_allclose(values.hidden, 1 / (1 + values.x * values.linear), rtol=1e-14)
    np.testing.assert_allclose(values.linear, 1 / (1 + values.x * beta * values.hidden), rtol=1e-14)
    np.testing.assert_allclose(values.linear, 1 - beta * (1 - values.hidden), atol=1e-14 * (1 + beta.max()))
    g = solved.coupling / solved.r_w
    np.testing.assert_allclose(law.load * (1 - g), 1 - lam_bar * solved.r_w, atol=1e-13 * law.load.max())
    nothing = functionals(law, np.full(200, 1e30))
    np.testing.assert_allclose(nothing.hidden, 1, rtol=1e-15)


def test_more_ridge_more_resolvent_weight():
    """m_w rises from 1 - p/n (or 0) to 1, the test weight falls from above to 1."""
    lam = np.geomspace(1e-8, 1e8, 200)
    for p in (100, 500, 2000):
        solved = solve(lam, 0.4, 0.2, p, 500, 400)
        assert np.all(np.diff(solved.train_weight) > 0) and np.all(solved.test_weight >= 1)
        assert solved.train_weight[-1] == pytest.approx(1, abs=1e-6)
        assert solved.test_weight[-1] == pytest.approx(1, abs=1e-6)


# ---- the continuation above the bulk


def laws(count=100, seed=11):
    rng = np.random.default_rng(seed)
    return RandomFeatures(rng.uniform(0.05, 1, count), 10 ** rng.uniform(-3, 0, count),
                          *10 ** rng.uniform(0.5, 4, (3, count)))


def test_continuation_solves_the_equation():
    law = laws()
    for position in (-10.0, -1.0, 0.0, 3.0, 30.0):
        values = continued(law, np.full(100, position))
        theta = eigenvalue(law, values)
        assert np.all(values.inverse < 0) and np.all(values.dilution > 0)
        missing = equation(law, values, -theta / values.inverse)
        scale = np.abs(theta / values.inverse) + law.load * (1 + values.hidden * values.dilution)
        assert np.all(np.abs(missing) < 1e-13 * scale)


@pytest.mark.parametrize("ratio", [1e-10, 1e-3, 1.0, 7.0, 1e10])
def test_continuation_against_mpmath(ratio):
    """Next to the end of the interval and far from it, for wide and narrow networks: nothing cancels."""
    for position in (-50.0, -3.0, 1.0, 40.0):
        law = RandomFeatures(*(np.array([value]) for value in (0.4, 0.3, 1000.0 * ratio, 300.0, 1000.0)))
        values = continued(law, np.array([position]))
        with mp.workdps(120):
            bulk = reference.Bulk(1.0, *(float(v[0]) for v in law))
            x = -1 / ((1 + mp.sqrt(bulk.beta)) ** 2 * (1 + mp.exp(position)))
            e = x / (bulk.linear - x * bulk.white)
            # the derivative needs a step that is small compared to the distance from the end
            slope = -reference.difference(bulk.g, e, 50)
            expected = {
                "hidden": bulk.hidden(e),
                "linear": bulk.r_1(e) / e,
                "linear_learned": 1 - bulk.r_1(e) / e,
                "coupling": bulk.g(e) * e,
                "linear_test_ratio": reference.difference(bulk.r_1, e, 50),
                "coupling_test_ratio": slope * e**2,
            }
            rise = float(bulk.q * (1 - bulk.g(e) - e * slope))
            theta = float(-(1 - bulk.q * (1 - bulk.g(e))) / e)
        for name, value in expected.items():
            assert getattr(values, name)[0] == pytest.approx(float(value), rel=1e-13, abs=0), (name, position)
        assert 1 - above_edge(law, values)[0] == pytest.approx(rise, rel=1e-13, abs=1e-15)
        assert eigenvalue(law, values)[0] == pytest.approx(theta, rel=1e-13)


def test_edge_is_where_the_eigenvalue_turns():
    """e^2 dtheta/de by mpmath differences."""
    law = laws(20, 4)
    for position in (-3.0, 0.5, 4.0):
        values = continued(law, np.full(20, position))
        slopes = above_edge(law, values)
        for i in range(20):
            with mp.workdps(40):
                bulk = reference.Bulk(1.0, *(float(v[i]) for v in law))
                e = 1 / mp.mpf(float(values.inverse[i]))
                turn = reference.difference(lambda v, b=bulk: -(1 - b.q * (1 - b.g(v))) / v, e, 12)
                expected = float(e**2 * turn)
            assert slopes[i] == pytest.approx(expected, rel=1e-8, abs=1e-9 * (1 + law.load[i]))


def test_white_edge():
    """Hardly any linear part: mu_*^2 (1 + sqrt(p/n))^2."""
    from asymptotics.theories.polynomial_spikes.spectrum import spectrum
    from asymptotics.theories.polynomial_spikes.spikes import Spikes

    q = np.array([0.1, 1.0, 5.0])
    law = RandomFeatures(np.full(3, 1e-12), np.full(3, 0.7), 1000 * q, np.full(3, 1000.0), np.full(3, 800.0))
    none = Spikes(np.tile(np.eye(3), (3, 1, 1)), np.zeros((3, 3)))
    np.testing.assert_allclose(spectrum(law, none).bulk_edge, np.sqrt(0.7) * (1 + np.sqrt(q)), rtol=1e-10)


def test_actual_features():
    """Traces of the resolvent of one large matrix of random features of a centred activation."""
    rng = np.random.default_rng(0)
    d, p, n, lam = 900, 1200, 1500, 0.3
    x, w = rng.standard_normal((n, d)), rng.standard_normal((p, d))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    f = np.tanh(x @ w.T) / np.sqrt(p)
    from asymptotics import nonlinearity

    moments = nonlinearity("tanh").standard_moments
    solved = solve(lam, float(moments.mu1) ** 2, float(moments.mu2_sq), p, n, d)
    inverse = np.linalg.inv(f @ f.T + lam * np.eye(n)) * n / p
    assert solved.r_w[0] == pytest.approx(np.trace(inverse) / n, rel=3e-3)
    inner = np.sum((inverse @ x) * x) / (n * d)
    assert solved.r_w[0] * solved.linear_share[0] == pytest.approx(inner, rel=3e-3)
    assert solved.train_weight[0] == pytest.approx(lam * p / n * np.trace(inverse) / n, rel=3e-3)
