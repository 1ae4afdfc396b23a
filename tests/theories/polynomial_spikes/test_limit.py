"""Level "limit": the table of section 12, exponents, mpmath projections, special cases in closed form."""

import functools
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymptotics import nonlinearity
from asymptotics.spectra.random_features import resolvent
from asymptotics.theories.polynomial_spikes.limit import (
    MOST_SPIKES,
    LimitingStep,
    dual_functions,
    is_critical,
    limit_spikes,
    limiting_step,
    missing_functions,
    solve_limit,
    spike_count,
    spike_functions,
)
from asymptotics.theories.polynomial_spikes.spikes import random_features, solve_readouts
from asymptotics.theories.polynomial_spikes.step import TargetMoments
from tests.reference import spiked_resolvent as reference

from .cases import ERRORS, QUADRATIC, RELU, TANH, readouts_of, steps_of, target_of

ALL_DEGREES = RELU + " + 0.2*he3(x) + 0.1*he5(x)"
EXPONENT = {0: -0.1, 1: 0.1, 2: 0.3, 3: 0.35, 4: 0.39, 8: 0.44}
FIXED = settings(max_examples=40, deadline=None, derandomize=True)


@pytest.fixture(autouse=True)
def _tiny_numbers_are_zero():
    with np.errstate(under="ignore"):
        yield


def solve(activation, coefficients, exponent, r, sr=0.0, rho=0.6, intercept=False, degrees=5, **cell):
    step = LimitingStep(*(np.array([float(value)]) for value in (rho, r, sr)))
    solved = solve_limit(nonlinearity(activation), target_of(coefficients), step, np.array([float(exponent)]),
                         readouts_of(**cell), [*ERRORS, "overlaps"], intercept, degrees)
    assert solved["converged"].all()
    return {name: values[0] for name, values in solved.items()}


# ---- section 12


@pytest.mark.parametrize(("count", "r", "intercept", "coefficients", "train", "test"), [
    (0, 0.4, False, (0, 0.8, 0.6, 0), 0.4817657997, 1.2047699008),
    (1, 0.0, False, (0, 0.8, 0.6, 0), 0.3992440169, 1.0136960532),
    (1, 0.4, False, (0, 0.8, 0.6, 0), 0.3992440169, 1.0136960532),
    (2, 0.0, False, (0, 0.8, 0.6, 0), 0.3821680138, 0.9681213085),
    (2, 0.4, False, (0, 0.8, 0.6, 0), 0.3863076509, 0.9791697314),
    (2, 0.0, True, (0, 0.8, 0.6, 0), 0.3736300123, 0.9453339361),
    (2, 0.4, True, (0, 0.8, 0.6, 0), 0.3736300123, 0.9453339361),
    (0, 0.4, False, (0.3, 0.8, 0.6, 0.3), 0.5805852617, 1.4685126363),
    (3, 0.4, False, (0.3, 0.8, 0.6, 0.3), 0.4227933397, 1.0765476686),
    (3, 0.4, True, (0.3, 0.8, 0.6, 0.3), 0.4207344829, 1.0710527133),
], ids=str)
def test_reference_table(count, r, intercept, coefficients, train, test):
    """The bulk of a centred ReLU; the spikes of an activation that has all degrees."""
    target, readouts = target_of(coefficients), readouts_of()
    functions = spike_functions(nonlinearity(ALL_DEGREES), np.zeros(1), 3, intercept)
    spikes = limit_spikes(functions, dual_functions(np.array([r]), 3), np.array([count]))
    solved = solve_readouts(lambda tables: spikes, np.zeros(1, dtype=int), np.array([0.6]), 3, nonlinearity(RELU),
                            target, readouts, ERRORS, 0)
    assert solved["ridge_objective"][0] == pytest.approx(train, abs=1e-10)
    assert solved["test_error"][0] == pytest.approx(test, abs=1e-10)


@pytest.mark.parametrize(("count", "sr", "train", "test"), [
    (1, 0.25, 0.47024113, 1.20274410), (1, 0.0, 0.49806348, 1.27743879), (2, 0.25, 0.42306441, 1.07727086),
])
def test_rescaling_of_the_rows(count, sr, train, test):
    """Section 5: c_0 = 0 and c*_0 != 0."""
    solved = solve(RELU, (0.3, 0.8, 0.6, 0.3), EXPONENT[count], 0.4, sr)
    assert solved["ridge_objective"] == pytest.approx(train, abs=1e-8)
    assert solved["test_error"] == pytest.approx(test, abs=1e-8)


# ---- exponents


@pytest.mark.parametrize(("exponent", "count"), [
    (-3.0, 0), (-0.1, 0), (0.1, 1), (0.26, 2), (0.34, 3), (0.39, 4), (0.44, 8), (0.249, 1), (0.251, 2), (0.499, 499),
])
def test_spike_count(exponent, count):
    assert spike_count(np.array([exponent]))[0] == count
    critical = exponent == 0.499  # 1/(1 - 2a) = 500: the float next to it is within rounding of the threshold
    assert is_critical(np.array([exponent]))[0] == critical


def test_spike_count_in_exact_arithmetic():
    rng = np.random.default_rng(1)
    exponents = np.concatenate([rng.uniform(-0.5, 0.499, 300), np.arange(1, 98) / 200])
    counts, critical = spike_count(exponents), is_critical(exponents)
    for a, count, refused in zip(exponents, counts, critical, strict=True):
        gap = 1 - 2 * Fraction(a)
        distance = min(abs(k * gap - 1) for k in (max(int(1 / gap), 1), int(1 / gap) + 1))
        assert refused == (distance < Fraction(1, 10**12))
        if not refused:
            # spike k diverges if k (1 - 2a) < 1, and a > 0
            assert count == (sum(k * gap < 1 for k in range(1, int(1 / gap) + 2)) if a > 0 else 0)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 10, 24, 50, 1000])
def test_thresholds_are_critical(k):
    threshold = (k - 1) / (2 * k)
    assert is_critical(np.array([threshold]))[0]
    assert not is_critical(np.array([threshold - 1e-9, threshold + 1e-9])).any()


# ---- against mpmath


def reference_observables(activation, coefficients, exponent, r, sr, rho, intercept, degrees, lam, p, n, d):
    function, size = nonlinearity(activation), max(int(spike_count(np.array([exponent]))[0]) + 1, 2)
    moments = function.standard_moments
    c = many_digits(function)
    with mp.workdps(80):
        bulk = reference.Bulk(lam, float(moments.mu1) ** 2, float(moments.mu2_sq), p, n, d)
        spikes = [reference.spike_function(c, k, *reference.numbers(r, sr), size) for k in range(size)]
        spikes = spikes[: int(spike_count(np.array([exponent]))[0]) + 1]
        if intercept:
            spikes[0] = [mp.mpf(1)]
        return reference.limit(bulk, independent(spikes), coefficients, np.sum(np.square(coefficients)), rho, 0.1,
                               degrees)


@functools.cache
def many_digits(function):
    """Hermite coefficients."""
    return function.hermite_coefficients_mp(2 * MOST_SPIKES + 2, 40)


def independent(spikes):
    """Those that are not combinations of the ones before."""
    kept, basis = [], []
    for spike in spikes:
        spike = list(spike) + [mp.mpf(0)] * (len(spikes[-1]) - len(spike))
        rest = list(spike)
        for unit in basis:
            overlap = mp.fsum(a * b for a, b in zip(rest, unit, strict=True))
            rest = [a - overlap * b for a, b in zip(rest, unit, strict=True)]
        norm, size = (mp.sqrt(mp.fsum(v * v for v in vector)) for vector in (rest, spike))
        if size > mp.mpf(10) ** -12 and norm > mp.mpf(10) ** -25 * size:
            kept.append(spike)
            basis.append([v / norm for v in rest])
    return kept


@pytest.mark.parametrize("activation", [RELU, "tanh(x)", "tanh(x + 0.5)", QUADRATIC, ALL_DEGREES])
def test_against_mpmath(activation):
    rng = np.random.default_rng(2)
    for exponent in (-0.2, 0.1, 0.3, 0.35, 0.39, 0.44, 0.47):
        for r, sr in ((0.4, 0.0), (0.05, 0.3), (6.0, -0.7)):
            intercept = bool(rng.random() < 0.3)
            coefficients = rng.normal(size=8) * 0.7 ** np.arange(8)
            cell = dict(lam=10 ** rng.uniform(-3, 1), p=400, n=600, d=int(rng.integers(50, 2000)))
            solved = solve(activation, coefficients, exponent, r, sr, 0.8, intercept, **cell)
            expected = reference_observables(activation, coefficients, exponent, r, sr, 0.8, intercept, 5, **cell)
            for name in ("test_error", "train_error", "ridge_objective"):
                assert solved[name] == pytest.approx(float(expected[name]), rel=1e-11), (name, exponent, r, sr)
            overlaps = [float(value) for value in expected["overlaps"]]
            assert solved["overlaps"] == pytest.approx(overlaps, abs=1e-11)


def test_many_spikes_of_a_strong_residual():
    """The functions P_k are nearly parallel, the projection is not allowed to notice."""
    for exponent in (0.46, 0.4695):
        arguments = (RELU, (0.3, 0.8, 0.6, 0.3, 0.2), exponent, 10.0, 0.0, 0.9, False)
        cell = dict(lam=0.1, p=400, n=600, d=500)
        solved = solve(*arguments, **cell)
        expected = reference_observables(*arguments, 5, **cell)
        assert solved["test_error"] == pytest.approx(float(expected["test_error"]), rel=1e-12)


# ---- special cases


@FIXED
@given(r=st.floats(0.0, 5.0), rho=st.floats(0.05, 0.99), c2=st.floats(-1.0, 1.0), lam=st.floats(-4, 2))
def test_two_spikes_in_closed_form(r, rho, c2, lam):
    """c_0 = c*_0 = 0: one and two spikes; the published constant 3 is 2 + (1 + r)^2 at r = 0."""
    cell = dict(lam=10**lam)
    bulk = resolvent(random_features(nonlinearity(RELU), readouts_of(**cell)), np.array([10**lam]))
    m_w, chi_w = bulk.train_weight[0], bulk.test_weight[0]
    m_1, chi_1 = m_w * bulk.linear_share[0], chi_w * bulk.linear_test_ratio[0]
    before, one, two, free = (solve(RELU, (0.0, 0.8, c2), EXPONENT[count], r, rho=rho, intercept=intercept, **cell)
                              for count, intercept in ((0, False), (1, False), (2, False), (2, True)))
    share = 2 / (2 + (1 + r) ** 2)
    for name, weight, linear in (("ridge_objective", m_w, m_1), ("test_error", chi_w, chi_1)):
        size = before[name]
        assert before[name] - one[name] == pytest.approx(linear * rho**2 * 0.64, rel=1e-11, abs=1e-13 * size)
        assert one[name] - two[name] == pytest.approx(weight * rho**4 * c2**2 * share, rel=1e-11, abs=1e-13 * size)
        assert one[name] - free[name] == pytest.approx(weight * rho**4 * c2**2, rel=1e-11, abs=1e-13 * size)
    assert two["overlaps"][2] == pytest.approx(rho**4 * c2 * share, abs=1e-14)


@FIXED
@given(r=st.floats(0.0, 3.0), c0_star=st.floats(-1.0, 1.0))
def test_second_spike_and_a_constant(r, c0_star):
    """c_0 = 0, c*_0 != 0, without the rescaling."""
    one, two = (solve(RELU, (c0_star, 0.8, 0.6), EXPONENT[count], r) for count in (1, 2))
    bulk = resolvent(random_features(nonlinearity(RELU), readouts_of()), np.array([0.1]))
    gain = ((1 + r) * c0_star + np.sqrt(2) * 0.36 * 0.6) ** 2 / (2 + (1 + r) ** 2)
    assert one["ridge_objective"] - two["ridge_objective"] == pytest.approx(bulk.train_weight[0] * gain, rel=1e-11,
                                                                           abs=1e-14)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_learned_fractions_with_a_constant(count):
    """Section 6: rho^2 + (1 - rho^2)(1 - Mt), rho^(2k) up to degree l, zero above."""
    coefficients = 0.8 ** np.arange(10)
    rho, rough = 0.7, ALL_DEGREES + " + 0.1*he7(x) + 0.3"
    overlaps = solve(rough, coefficients, EXPONENT[count], 0.4, 0.2, rho, degrees=10)["overlaps"]
    learned = resolvent(random_features(nonlinearity(rough), readouts_of()), np.array([0.1])).linear_learned[0]
    expected = np.where(np.arange(10) <= count, rho ** (2 * np.arange(10)), 0.0)
    expected[1] = rho**2 + (1 - rho**2) * learned
    np.testing.assert_allclose(overlaps / coefficients, expected, atol=1e-12)


def test_odd_features_learn_odd_degrees():
    solved = solve("tanh(x)", (0.3, 0.8, 0.6, 0.4), EXPONENT[4], 0.4)
    assert np.all(solved["overlaps"][[0, 2, 4]] == 0)
    assert solved["overlaps"][3] == pytest.approx(0.4 * 0.6**6, rel=1e-12)


def test_spikes_beyond_the_last_change_nothing_of_low_degree():
    step = dict(coefficients=(0.3, 0.8, 0.6, 0.3), r=0.4)
    last, beyond = (solve(TANH, exponent=a, **step)["test_error"] for a in (0.4704, 0.499))
    assert spike_count(np.array([0.499]))[0] > MOST_SPIKES
    assert beyond == pytest.approx(last, rel=1e-12)


def test_dual_functions():
    """<D_i, H_j/sqrt(j!)> = delta_ij."""
    r, size = 0.7, 9
    dual = dual_functions(np.array([r]), size - 1)[0]
    with mp.workdps(40):
        nothing = [mp.mpf(0)] * (2 * size)
        for j in range(size):
            unit = list(nothing)
            unit[j] = 1 / mp.sqrt(mp.factorial(j))  # sigma^(j) = 1: P_j = H_j
            column = [float(v / mp.sqrt(mp.factorial(j))) for v in
                      reference.spike_function(unit, j, mp.mpf(r), mp.mpf(0), size)]
            np.testing.assert_allclose(dual @ column, np.eye(size)[j], atol=1e-11)


def test_missing_functions_are_missing():
    rng = np.random.default_rng(0)
    functions = np.triu(rng.normal(size=(50, 6, 6)))
    functions[:10, :, 3] = functions[:10, :, 2]  # a dependent column
    functions[10:20, 4, 4] = 0.0  # a spike without its own degree
    diverges = np.arange(6) <= rng.integers(0, 6, 50)[:, None]
    null = missing_functions(functions, diverges)
    for one, these, vectors in zip(functions, diverges, null, strict=True):
        rank = np.linalg.matrix_rank(one[:, these])
        assert np.linalg.matrix_rank(vectors) == np.count_nonzero(vectors.any(axis=1)) == 6 - rank
        np.testing.assert_allclose(vectors @ one[:, these], 0, atol=1e-9 * max(1, np.abs(vectors).max()))


@FIXED
@given(r=st.floats(0.0, 3.0), sr=st.floats(-1.0, 1.0), rho=st.floats(-0.99, 0.99), lam=st.floats(-4, 3))
def test_more_spikes_fit_better(r, sr, rho, lam):
    objectives = [solve(TANH, (0.3, 0.8, 0.6, 0.3), EXPONENT[count], r, sr, rho, lam=10**lam)["ridge_objective"]
                  for count in (0, 1, 2, 3, 4)]
    assert np.all(np.diff(objectives) <= 1e-15)


def test_large_ridge_and_noise():
    """lam -> infinity: E y^2.  The noise enters linearly, with weights m_w and chi_w."""
    for count in (0, 2):
        solved = solve("tanh(x)", (0.0, 0.8, 0.5), EXPONENT[count], 0.4, lam=1e9)
        unlearned = 0.64 + 0.25 + 0.1 - (0.6**2 * 0.64 if count else 0)  # infinitely strong spikes are learned anyway
        assert solved["ridge_objective"] == pytest.approx(unlearned, rel=1e-6)
        assert solved["test_error"] == pytest.approx(unlearned, rel=1e-6)
    none, some = (solve(TANH, (0.3, 0.8, 0.5), 0.3, 0.4, noise_var=noise) for noise in (0.0, 0.7))
    bulk = resolvent(random_features(nonlinearity(TANH), readouts_of()), np.array([0.1]))
    for name, weight in (("ridge_objective", bulk.train_weight), ("test_error", bulk.test_weight)):
        assert some[name] - none[name] == pytest.approx(0.7 * weight[0], rel=1e-13)


# ---- cells


def test_without_ridge():
    """The limit lam -> 0 on both sides of n = p, and at it."""
    for p, n in ((400, 600), (600, 400)):
        exact, small = (solve(TANH, (0.2, 0.8, 0.5), 0.3, 0.4, 0.1, p=p, n=n, lam=lam) for lam in (0.0, 1e-13))
        for name in ("test_error", "generalization_error", "overlaps"):
            np.testing.assert_allclose(exact[name], small[name], rtol=1e-9, atol=1e-12)
        assert exact["train_error"] == pytest.approx(small["train_error"], abs=1e-10)
    singular = solve(TANH, (0.2, 0.8, 0.5), 0.3, 0.4, 0.1, p=500, n=500, lam=0.0)
    assert singular["test_error"] == np.inf and singular["train_error"] == 0 and singular["ridge_objective"] == 0
    near = solve(TANH, (0.2, 0.8, 0.5), 0.3, 0.4, 0.1, p=500, n=500, lam=1e-22)
    np.testing.assert_allclose(singular["overlaps"], near["overlaps"], atol=1e-10)


def test_a_batch_is_its_cells():
    rng = np.random.default_rng(4)
    function, target = nonlinearity(TANH), target_of((0.2, 0.8, 0.5, 0.25))
    steps = limiting_step(function, target, np.array([0.5, 2.0, 30.0]), np.array([0.1, 0.0, 0.5]))
    count = 200
    readouts = readouts_of(rng.integers(0, 3, count), lam=10 ** rng.uniform(-3, 2, count),
                           n=rng.integers(10, 2000, count), noise_var=rng.uniform(0, 1, count))
    exponent = rng.choice([-0.2, 0.1, 0.3, 0.35, 0.39, 0.44], count)
    names = [*ERRORS, "overlaps"]
    together = solve_limit(function, target, steps, exponent, readouts, names)
    for i in range(0, count, 17):
        alone = solve_limit(function, target, steps, exponent[[i]], readouts.at(np.array([i])), names)
        for name in names:
            np.testing.assert_allclose(together[name][i], alone[name][0], rtol=1e-12, atol=1e-14)


def test_limiting_step_is_the_limit_of_steps():
    target = target_of((0.2, 0.8, 0.5, 0.25))
    d = 1e9
    steps = steps_of(TANH, target, 8.0, d=d, p=d, n0=1.7 * d)
    limiting = limiting_step(nonlinearity(TANH), target, np.array([1.7]), np.array([0.1]))
    assert limiting.alignment[0] == pytest.approx(steps.alignment[0], rel=1e-8)
    assert limiting.residual_ratio[0] == pytest.approx(steps.residual_ratio[0], rel=1e-8)
    assert limiting.rescaling_ratio[0] == pytest.approx(steps.rescaling[0] / steps.tau[0], rel=1e-8)
    given = limiting_step(nonlinearity(TANH), target, np.array([1.7]), np.array([0.1]), np.array([2.0]),
                          np.array([0.5]))
    assert given.alignment[0] == 0.5
    assert given.residual_ratio[0] * 2.0 == pytest.approx(
        limiting.residual_ratio[0] * (0.8 / limiting.alignment[0]) ** 2)


def test_a_target_with_an_endless_series():
    """What lies beyond the coefficients given is in the second moment."""
    from asymptotics.theories.polynomial_spikes.step import target_moments

    full = target_moments(nonlinearity("tanh(2*x + 0.3)"), 24)
    short = TargetMoments(full.coefficients[:9], full.second, full.weighted)
    step = LimitingStep(np.array([0.7]), np.array([0.4]), np.array([0.1]))
    one, two = (solve_limit(nonlinearity(TANH), target, step, np.array([0.44]), readouts_of(), ERRORS)
                for target in (full, short))
    for name in ERRORS:
        assert one[name][0] == pytest.approx(two[name][0], rel=1e-13)
    assert one["generalization_error"][0] > full.second - np.sum(full.coefficients**2) > 1e-4
