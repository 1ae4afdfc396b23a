"""Bulk edge, outliers and singular vectors: section 12, determinants in mpmath, thresholds, sampled matrices."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymptotics import nonlinearity
from asymptotics.spectra.random_features import RandomFeatures
from asymptotics.theories.polynomial_spikes.finite_rank import finite_rank_spikes, spike_factor
from asymptotics.theories.polynomial_spikes.spectrum import (
    OUTLIERS,
    count_above,
    first_layer_spike,
    left_vectors,
    solve_spectrum,
    spectrum,
)
from asymptotics.theories.polynomial_spikes.spikes import random_features
from tests.reference import spiked_resolvent as reference

from .cases import CUBIC, QUADRATIC, RELU, TANH, readouts_of, sampled_features, sinh_rule, steps_of, target_of

FIXED = settings(max_examples=25, deadline=None, derandomize=True)


@pytest.fixture(autouse=True)
def _tiny_numbers_are_zero():
    with np.errstate(under="ignore"):
        yield


def at_reference_rule(activation, eta):
    """The spikes of section 12, J = 16."""
    steps, readouts = steps_of(activation, target_of(CUBIC), eta), readouts_of()
    factor = spike_factor(nonlinearity(activation), steps, readouts.p, readouts.d, 16, sinh_rule(120))
    return random_features(nonlinearity(activation), readouts), finite_rank_spikes(factor)


# ---- section 12


@pytest.mark.parametrize(("activation", "eta", "edge", "values"), [
    (RELU, 10.0, 1.26988831, (3.07337939, 1.37046050)),
    (RELU, 25.0, 1.26988831, (7.39576009, 4.63612510)),
    (TANH, 8.0, 1.52110134, (6.91510592, 3.45985865)),
    (QUADRATIC, 6.0, 2.60956114, (7.39651126, 4.77292557)),
])
def test_reference_rows(activation, eta, edge, values):
    found = spectrum(*at_reference_rule(activation, eta))
    assert found.bulk_edge[0] == pytest.approx(edge, abs=1e-8) and found.residual[0] < 1e-13
    assert found.singular_values[0, :2] == pytest.approx(values, abs=1e-8)
    assert np.isnan(found.singular_values[0, 2:]).all() and np.isnan(found.positions[0, 2:]).all()
    solved = solve_spectrum(nonlinearity(activation), steps_of(activation, target_of(CUBIC), eta), readouts_of())
    np.testing.assert_allclose(solved["singular_values"][0, :2], found.singular_values[0, :2],
                               rtol=1e-8 if eta == 25 else 1e-10)
    assert np.count_nonzero(solved["spike_margins"][0] > 1) == 2


def test_reference_vectors():
    features, spikes = at_reference_rule(RELU, 10.0)
    cosines = left_vectors(features, spikes, spectrum(features, spikes).positions, 4)
    assert cosines.shape == (1, OUTLIERS, 4)
    assert cosines[0, 0] ** 2 == pytest.approx([0.009218, 0.951005, 0.000017, 0], abs=6e-7)
    assert cosines[0, 1] ** 2 == pytest.approx([0.332208, 0.003055, 0.234461, 0], abs=6e-7)
    assert np.isnan(cosines[0, 2:]).all()


def test_reference_of_the_first_layer():
    found = first_layer_spike(np.array([3 * 0.5 * np.sqrt(1.36)]), np.array([0.68]), np.array([0.8]))
    assert found.singular_value[0] == pytest.approx(2.26305941, abs=1e-8)
    assert found.left[0] == pytest.approx(0.72501609, abs=1e-8)
    assert found.teacher[0] == pytest.approx(0.31873279, abs=1e-8)
    assert found.right[0] == pytest.approx(0.31873279 / 0.68**2, abs=1e-7)


# ---- against mpmath


def random_case(rng):
    """A law and a kernel with row scales that span decades."""
    law = (rng.uniform(0.05, 1), 10 ** rng.uniform(-2, 0), *(10 ** rng.uniform(1, 4, 3)))
    size = int(rng.integers(2, 7))
    factor = rng.normal(size=(size, size)) * 10 ** rng.uniform(-1.5, 2.5, size=(size, 1))
    if rng.random() < 0.3:  # parities that do not mix
        factor[::2, 1::2] = factor[1::2, ::2] = 0.0
    return law, factor


class Continuation:
    """e(theta) < 0 by bisection and A = diag(1/r) + g K with its derivative in lam_bar = -theta."""

    def __init__(self, law, factor):
        self.bulk = reference.Bulk(1.0, *law)
        rows = mp.matrix(factor.tolist())
        self.kernel = rows * rows.T
        beta = self.bulk.beta
        x = -1 / (1 + mp.sqrt(beta)) ** 2
        self.lowest = x / (self.bulk.linear - x * self.bulk.white)

    def theta(self, e):
        return -(1 - self.bulk.q * (1 - self.bulk.g(e))) / e

    def edge(self):
        """The smallest theta between e_min and 0, by a ternary search in log |e|."""
        low, high = mp.log(-self.lowest) - 60, mp.log(-self.lowest)
        for _ in range(300):
            one, two = low + (high - low) / 3, high - (high - low) / 3
            low, high = (low, two) if self.theta(-mp.exp(one)) < self.theta(-mp.exp(two)) else (one, high)
        return -mp.exp(low)

    def e(self, theta, edge):
        low, high = mp.log(-edge) - 80, mp.log(-edge)
        for _ in range(160):
            middle = (low + high) / 2
            low, high = (middle, high) if self.theta(-mp.exp(middle)) > theta else (low, middle)
        return -mp.exp(low)

    def matrix(self, e):
        matrix = self.bulk.g(e) * self.kernel
        for j in range(matrix.rows):
            matrix[j, j] += 1 / (self.bulk.r_1(e) if j == 1 else e)
        return matrix

    def slope(self, e):
        """A'."""
        step = e * mp.mpf(10) ** -15
        change = (self.matrix(e + step) - self.matrix(e - step)) / (2 * step)
        return change / -reference.difference(self.theta, e, 15)

    def null_vector(self, e):
        matrix = self.matrix(e)
        vector = mp.matrix([mp.mpf(1) / (j + 1) for j in range(matrix.rows)])
        for _ in range(3):
            vector = mp.lu_solve(matrix, vector)
            vector /= mp.norm(vector)
        return vector


@pytest.mark.parametrize("seed", range(12))
def test_against_mpmath(seed):
    """The edge, roots of the determinant and how many there are, null vectors."""
    rng = np.random.default_rng(seed)
    law, factor = random_case(rng)
    features = RandomFeatures(*(np.array([value]) for value in law))
    spikes = finite_rank_spikes(factor[None])
    found = spectrum(features, spikes)
    cosines = left_vectors(features, spikes, found.positions, len(factor))[0]
    outliers = found.singular_values[0][np.isfinite(found.singular_values[0])]
    with mp.workdps(60):
        exact = Continuation(law, factor)
        edge = exact.edge()
        assert found.bulk_edge[0] == pytest.approx(float(mp.sqrt(exact.theta(edge))), rel=1e-12)
        signs = [mp.sign(value) for value in np.linalg.eigvalsh(
            np.array((-exact.matrix(edge) * -edge).tolist(), dtype=float))]
        assert len(outliers) == sum(sign < 0 for sign in signs)
        assert np.all(np.diff(outliers) <= 0) and np.all(outliers > found.bulk_edge[0])
        for number, value in enumerate(outliers):
            e = exact.e(mp.mpf(float(value)) ** 2, edge)
            # the determinant changes sign within rounding of the singular value
            lower, upper = (mp.det(exact.matrix(exact.e(mp.mpf(float(value)) ** 2 * (1 + shift), edge)))
                            for shift in (mp.mpf("-1e-11"), mp.mpf("1e-11")))
            assert mp.sign(lower) != mp.sign(upper), (seed, number)
            vector = exact.null_vector(e)
            power = (vector.T * exact.slope(e) * vector)[0]
            expected = np.array([float(v / mp.sqrt(power)) for v in vector])
            expected *= np.sign(expected[np.argmax(np.abs(expected))])
            np.testing.assert_allclose(cosines[number, :-1], expected[:-1], atol=1e-8)


@FIXED
@given(seed=st.integers(0, 100_000))
def test_counts_are_those_of_eigenvalues(seed):
    """Sylvester's law against the eigenvalues themselves; margins are these eigenvalues at the edge."""
    from asymptotics.spectra.random_features import continued

    law, factor = random_case(np.random.default_rng(seed))
    features = RandomFeatures(*(np.array([[value]]) for value in law))
    spikes = finite_rank_spikes(factor[None])
    for position in (-4.0, 0.0, 2.0):
        at = continued(features, np.array([[position]]))
        shares = np.ones(len(factor))
        shares[1] = at.linear[0, 0]
        eigenvalues = np.linalg.eigvalsh(-at.coupling[0, 0] * (factor.T * shares) @ factor)
        for level in (1e-3, 0.1, 1.0, 10.0):
            assert count_above(spikes, at, np.array([[level]]))[0, 0] == np.count_nonzero(eigenvalues > level)


@FIXED
@given(seed=st.integers(0, 100_000))
def test_a_spike_leaves_the_bulk_where_its_margin_is_one(seed):
    law, factor = random_case(np.random.default_rng(seed))
    features = RandomFeatures(*(np.array([value]) for value in law))
    margin = spectrum(features, finite_rank_spikes(factor[None])).margins[0]
    assert np.all(np.diff(margin) <= 0) and margin[0] > 0
    strongest = margin[: min(len(factor), 3)]
    for number, value in enumerate(strongest[strongest > 1e-6]):
        for change, expected in ((1 - 1e-9, number), (1 + 1e-9, number + 1)):
            scaled = finite_rank_spikes(factor[None] * np.sqrt(change / value))
            found = spectrum(features, scaled)
            assert np.count_nonzero(np.isfinite(found.singular_values)) == expected
            assert found.margins[0, number] == pytest.approx(change, rel=1e-11)
        # the outlier starts at the edge
        assert found.singular_values[0, number] == pytest.approx(found.bulk_edge[0], rel=1e-6)


# ---- identities


@FIXED
@given(seed=st.integers(0, 100_000))
def test_left_vectors_are_unit_vectors(seed):
    """Squared cosines add up to at most one, and to nearly one for strong spikes."""
    law, factor = random_case(np.random.default_rng(seed))
    size = len(factor)
    features = RandomFeatures(*(np.array([value]) for value in law))
    for scale in (1.0, 1e8):
        spikes = finite_rank_spikes(scale * np.vstack([factor, np.zeros(size)])[None])
        found = spectrum(features, spikes)
        total = np.sum(left_vectors(features, spikes, found.positions, size) ** 2, axis=-1)
        total = total[np.isfinite(total)]
        assert np.all(total <= 1 + 1e-12)
    assert total.size == min(size, OUTLIERS) and np.all(total > 1 - 1e-6)


def test_strong_spikes_have_the_singular_values_of_the_kernel():
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(5, 5)) * [[1e4], [1e3], [3e3], [1e4], [1e5]]
    features = RandomFeatures(*(np.array([value]) for value in (0.3, 0.2, 400.0, 600.0, 500.0)))
    found = spectrum(features, finite_rank_spikes(factor[None]))
    expected = np.linalg.svd(factor, compute_uv=False)
    np.testing.assert_allclose(found.singular_values[0, :5], expected, rtol=3e-5)


def test_edges_of_wide_and_narrow_networks():
    """p << n: the top eigenvalue of c_1^2 W W^T + mu_*^2.  p >> n: p/n times the mean one, as (1 + (p/n)^(-1/2))^2."""
    none = finite_rank_spikes(np.zeros((2, 3, 3)))
    features = RandomFeatures(np.full(2, 0.4), np.full(2, 0.2), np.array([300.0, 1e14]), np.array([1e14, 100.0]),
                              np.array([700.0, 1e14]))
    edge = spectrum(features, none).bulk_edge**2
    assert edge[0] == pytest.approx(0.4 * (1 + np.sqrt(3 / 7)) ** 2 + 0.2, rel=1e-4)
    assert edge[1] == pytest.approx(1e12 * 0.6, rel=1e-5)


def test_parity_keeps_vectors_apart():
    """tanh: odd functions only, however close two singular values are."""
    steps, target = steps_of("tanh(x)", target_of((0, 0.8, 0, 0.3)), [5.0, 20.0, 60.0]), 5
    solved = solve_spectrum(nonlinearity("tanh(x)"), steps, readouts_of([0, 1, 2]), target)
    vectors = solved["spike_vectors"]
    assert np.isfinite(solved["singular_values"][:, 0]).all()
    assert np.all(np.abs(vectors[np.isfinite(vectors[..., 0])][:, ::2]) < 1e-12)


def test_no_step():
    """tau = 0: the constant part c_0 sqrt(p) is the only spike of a tanh(x + 0.5); a centred ReLU has none."""
    target = target_of(CUBIC)
    shifted = nonlinearity("tanh(x + 0.5)")
    solved = solve_spectrum(shifted, steps_of("tanh(x + 0.5)", target, 0.0), readouts_of(d=1e6), 3)
    c_0 = shifted.hermite_coefficients(0)[0]
    assert np.count_nonzero(np.isfinite(solved["singular_values"])) == 1
    assert solved["singular_values"][0, 0] == pytest.approx(c_0 * 20, rel=0.05)
    assert solved["spike_vectors"][0, 0, 0] > 0.99
    centred = solve_spectrum(nonlinearity(RELU), steps_of(RELU, target, 0.0), readouts_of())
    assert np.isnan(centred["singular_values"]).all() and np.all(centred["spike_margins"] < 1)


def test_a_batch_is_its_cells():
    rng = np.random.default_rng(3)
    steps, count = steps_of(TANH, target_of(CUBIC), np.geomspace(0.5, 20, 150)), 900
    readouts = readouts_of(rng.integers(0, 150, count), n=rng.choice([100.0, 600.0, 3000.0], count),
                           lam=rng.uniform(0.1, 1, count))
    together = solve_spectrum(nonlinearity(TANH), steps, readouts, 4)
    for i in range(0, count, 91):
        alone = solve_spectrum(nonlinearity(TANH), steps.at(readouts.step[[i]]),
                               readouts.at(np.array([i]))._replace(step=np.zeros(1, dtype=np.intp)), 4)
        for name, values in alone.items():
            np.testing.assert_allclose(together[name][i], values[0], rtol=1e-9, atol=1e-11)


# ---- the first layer


def test_first_layer_threshold():
    beta = np.array([0.25, 1.0, 4.0])
    below = first_layer_spike(0.999 * beta**0.25, np.full(3, 0.5), beta)
    np.testing.assert_allclose(below.singular_value, 1 + np.sqrt(beta))
    assert not np.any([below.left, below.right, below.teacher])
    at = first_layer_spike(beta**0.25 * (1 + 1e-6), np.full(3, 0.5), beta)
    np.testing.assert_allclose(at.singular_value, 1 + np.sqrt(beta), rtol=1e-10)
    assert np.all((at.left > 0) & (at.left < 1e-4))
    strong = first_layer_spike(np.full(3, 1e6), np.full(3, -0.5), beta)
    np.testing.assert_allclose(strong.singular_value, 1e6, rtol=1e-10)
    np.testing.assert_allclose([strong.left, strong.right, 4 * strong.teacher], 1, rtol=1e-10)
    nothing = first_layer_spike(np.zeros(3), np.ones(3), beta)
    np.testing.assert_allclose(nothing.singular_value, 1 + np.sqrt(beta))


def test_first_layer_of_sampled_matrices():
    """W + s1 a b^T at d = 1500: fluctuations are of order d^(-1/2), and the mean of 6 is within 4 standard errors."""
    d, p, size = 1500, 900, 1.7
    found = first_layer_spike(np.array([size]), np.array([1.0]), np.array([p / d]))
    samples = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        w = rng.standard_normal((p, d)) / np.sqrt(d)
        a, b = rng.standard_normal(p) / np.sqrt(p), rng.standard_normal(d)
        a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
        w += size * np.outer(a, b)
        left = a.copy()
        for _ in range(60):
            left = w @ (left @ w)
            left /= np.linalg.norm(left)
        right = left @ w
        value = np.linalg.norm(right)
        samples.append([value, (left @ a) ** 2, (right @ b / value) ** 2])
    mean, error = np.mean(samples, axis=0), np.std(samples, axis=0, ddof=1) / np.sqrt(6)
    assert np.all(error < 0.02)
    assert np.all(np.abs(mean - [found.singular_value[0], found.left[0], found.right[0]]) < 4 * error + 2 / d)


# ---- sampled features


def test_sampled_features():
    """Gaussian features c_1 X W^T + mu_* Z with the exact part of finite rank, theory at the same readouts z.

    Means over 10 samples agree within 4 standard errors: outliers, the edge, cosines with h_k(kappa).
    """
    function = nonlinearity(RELU)
    d, p, n = 500, 400, 600
    steps, readouts = steps_of(RELU, target_of(CUBIC), 25.0), readouts_of()
    z = np.random.default_rng(99).standard_normal(p)
    factor = spike_factor(function, steps, readouts.p, readouts.d, 12, (z, np.full(p, 1 / p)))
    features, spikes = random_features(function, readouts), finite_rank_spikes(factor)
    found = spectrum(features, spikes)
    cosines = left_vectors(features, spikes, found.positions, 3)[0, :2]
    assert np.isfinite(cosines).all() and np.isnan(found.singular_values[0, 2])
    samples = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x, w = rng.standard_normal((n, d)), rng.standard_normal((p, d))
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        f, directions = sampled_features(rng, features, factor[0], x, w)
        f /= np.sqrt(n)
        squares, right = np.linalg.eigh(f.T @ f)
        values, left = np.sqrt(squares[:-4:-1]), f @ right[:, :-3:-1] / np.sqrt(squares[:-3:-1])
        overlaps = left.T @ directions[:3].T / np.sqrt(n)
        largest = np.argmax(np.abs(cosines), axis=1)
        overlaps *= np.sign(overlaps[[0, 1], largest])[:, None]
        samples.append([*values, *overlaps.ravel()])
    mean, error = np.mean(samples, axis=0), np.std(samples, axis=0, ddof=1) / np.sqrt(10)
    expected = np.array([*found.singular_values[0, :2], found.bulk_edge[0], *cosines.ravel()])
    assert np.all(error < [0.06, 0.06, 0.01, *[0.04] * 6])
    # the largest value of the bulk is below its limit by a few n^(-2/3)
    slack = np.where(np.arange(9) == 2, 3 * n ** (-2 / 3), 0.0)
    assert np.all(np.abs(mean - expected) < 4 * error + slack)
