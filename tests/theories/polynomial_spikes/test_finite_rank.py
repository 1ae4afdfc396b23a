"""Level "finite_rank": the rows of section 12, mpmath, the kernel from its definition, identities and limits."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymptotics import nonlinearity
from asymptotics.gaussian.dilation import dilated_coefficients
from asymptotics.spectra.random_features import resolvent
from asymptotics.theories.polynomial_spikes.finite_rank import (
    finite_rank_spikes,
    solve_finite_rank,
    spike_factor,
)
from asymptotics.theories.polynomial_spikes.limit import (
    LimitingStep,
    dual_functions,
    limit_spikes,
    solve_limit,
    spike_functions,
)
from asymptotics.theories.polynomial_spikes.spikes import Spikes, random_features, solve_readouts
from asymptotics.theories.polynomial_spikes.step import Step, direction_norm_squared
from tests.reference import spiked_resolvent as reference

from .cases import CUBIC, ERRORS, QUADRATIC, RELU, TANH, readouts_of, sampled_features, steps_of, target_of

EVERYTHING = (*ERRORS, "overlaps")
FIXED = settings(max_examples=40, deadline=None, derandomize=True)


@pytest.fixture(autouse=True)
def _tiny_numbers_are_zero():
    with np.errstate(under="ignore"):
        yield


def step(tau=0.3, tau_r=0.2, s=0.05, rho=0.7):
    return Step(*(np.array([float(value)]) for value in (1.0, rho, tau, tau_r, s)))


def solve(activation, target, steps, readouts, **options):
    solved = solve_finite_rank(nonlinearity(activation), target, steps, readouts, EVERYTHING, **options)
    assert solved["converged"].all()
    return solved


def of_spikes(spikes, target, steps, readouts, degree=24, activation=RELU):
    return solve_readouts(lambda tables: spikes, np.zeros(readouts.lam.size, dtype=int), steps.alignment, degree,
                          nonlinearity(activation), target, readouts, EVERYTHING, 5)


# ---- section 12


def test_step():
    """All digits of the step: E y^2, B2, rho."""
    target = target_of(CUBIC)
    squared = direction_norm_squared(target, np.array([500.0]), np.array([750.0]), 0.1)
    assert target.second + 0.1 == pytest.approx(1.0925, rel=1e-15)
    assert squared[0] == pytest.approx(1.372703518, abs=1e-9)
    assert steps_of(RELU, target, 10.0).alignment[0] == pytest.approx(0.6828127368, abs=1e-10)


ROWS = [
    (RELU, 10.0, 0.1, (0.2929060769, 0.2133561186, 0.03989422804), 0.3405727971, 0.8517710312),
    (RELU, 25.0, 0.1, (0.7322651922, 0.5333902964, 0.0997355701), 0.3265593709, 0.8260082897),
    (TANH, 8.0, 0.3, (0.2899617158, 0.1795020142, -0.01995833517), 0.4315442315, 0.7693911855),
    (QUADRATIC, 6.0, 0.3, (0.3514872923, 0.2560273423, 0.06), 0.3057372351, 0.9328926640),
]


@pytest.mark.parametrize(("activation", "eta", "lam", "sizes", "train", "test"), ROWS)
def test_reference_rows(activation, eta, lam, sizes, train, test):
    """At J = 16 and 120 Gauss-Hermite nodes to all digits; on the default rule to the truncation."""
    target, readouts = target_of(CUBIC), readouts_of(lam=lam)
    steps = steps_of(activation, target, eta)
    assert (steps.tau[0], steps.tau_r[0], steps.rescaling[0]) == pytest.approx(sizes, rel=1e-9)
    z, weight = np.polynomial.hermite_e.hermegauss(120)
    kept = weight > 1e-200
    rule = z[kept], weight[kept] / np.sum(weight)
    factor = spike_factor(nonlinearity(activation), steps, readouts.p, readouts.d, 16, rule)
    solved = of_spikes(finite_rank_spikes(factor), target, steps, readouts, 16, activation)
    assert solved["ridge_objective"][0] == pytest.approx(train, abs=1e-10)
    assert solved["test_error"][0] == pytest.approx(test, abs=1e-10)
    solved = solve(activation, target, steps, readouts)
    truncation = 1e-9 if eta == 25 else 1e-10
    assert solved["ridge_objective"][0] == pytest.approx(train, abs=truncation)
    assert solved["test_error"][0] == pytest.approx(test, abs=truncation)


# ---- the kernel


@pytest.mark.parametrize("activation", [RELU, TANH, QUADRATIC, "erf(x)", "sin(2*x)", "gelu(x - 0.3)", "relu(x + 0.5)",
                                        "tanh(20*x)"])
def test_spike_functions_are_conditional_means(activation):
    """gamma_j(z) = E_kappa h_j(kappa) E_xi sigma(tau z kappa + v xi), from the moments of the activation."""
    function, steps = nonlinearity(activation), step()
    rule = np.array([-3.0, -0.7, 0.01, 1.0, 2.5]), np.ones(5)
    factor = spike_factor(function, steps, np.ones(1), np.full(1, 4.0), 12, rule)[0]
    kappa = np.linspace(-13, 13, 1501)
    density = np.exp(-0.5 * kappa**2)
    density /= density.sum()
    hermite = np.array([np.polynomial.hermite_e.hermeval(kappa, np.eye(13)[j]) for j in range(13)])
    hermite /= np.sqrt([float(mp.factorial(j)) for j in range(13)])[:, None]
    for number, z in enumerate(rule[0]):
        variance = (1 + 0.05 * z) ** 2 + 0.2**2 * z**2
        means = function.moments(0.3 * z * kappa, variance).mu0
        np.testing.assert_allclose(factor[:-1, number], hermite @ (density * means), atol=2e-14)
        v = variance + 0.3**2 * z**2
        assert factor[-1, number] == pytest.approx(np.sqrt(2) * v * float(function.moments(0.0, v).nu) / 2, abs=1e-13)


def test_a_tiny_step_has_tiny_spikes_with_all_digits():
    """gamma_j ~ tau^j c_j z^j, however small."""
    function = nonlinearity(TANH)
    rule = np.array([1.5]), np.ones(1)
    factor = spike_factor(function, step(1e-9, 0.0, 0.0), np.ones(1), np.ones(1), 6, rule)[0, :7, 0]
    np.testing.assert_allclose(factor, function.hermite_coefficients(6) * 1.5e-9 ** np.arange(7), rtol=1e-13)


@pytest.mark.parametrize("activation", [RELU, TANH, "sin(3*x)", "erf(x + 1)", QUADRATIC])
def test_dilated_coefficients(activation):
    """Against mpmath quadrature, alone and interpolated among many."""
    function = nonlinearity(activation)
    scales = np.array([0.5, 1.7, 6.0])
    many = np.append(scales, np.geomspace(0.4, 7, 500))
    alone, among = dilated_coefficients(function, scales, 20), dilated_coefficients(function, many, 20)[:3]
    for number, scale in enumerate(scales):
        size = np.sqrt(float(function.moments(0.0, scale**2).mu2_sq) + np.sum(alone[number, :2] ** 2))
        with mp.workdps(20):
            breaks = [mp.mpf(x) for x in (-16, -8, -4, -2, 0, 2, 4, 8, 16)]
            breaks = sorted({*breaks, *(mp.mpf(kink) / scale for kink in function.kinks)})
            for degree in (0, 3, 20):
                expected = mp.quad(lambda z, k=degree, v=float(scale): function.exact(v * z, mp.mp) * mp.npdf(z)
                                   * mp.hermite(k, z / mp.sqrt(2)) / mp.sqrt(mp.mpf(2) ** k * mp.factorial(k)), breaks)
                assert alone[number, degree] == pytest.approx(float(expected), abs=3e-15 * size)
                assert among[number, degree] == pytest.approx(float(expected), abs=2e-13 * size)


def test_homogeneous_activation():
    """E[relu(V z) h_k] = V c_k."""
    function = nonlinearity("relu")
    scales = np.geomspace(0.1, 10, 300)
    expected = scales[:, None] * function.hermite_coefficients(24)
    np.testing.assert_allclose(dilated_coefficients(function, scales, 24), expected, atol=2e-13 * scales.max())


def test_quadrature_and_truncation():
    target = target_of(CUBIC)
    for activation, eta in ((RELU, 10.0), (TANH, 8.0), (QUADRATIC, 6.0)):
        steps, readouts = steps_of(activation, target, eta), readouts_of()
        coarse, fine = (solve(activation, target, steps, readouts, refinement=level) for level in (1, 2))
        for name in EVERYTHING:
            np.testing.assert_allclose(coarse[name], fine[name], atol=2e-12)


# ---- against mpmath


@pytest.mark.parametrize("activation", [RELU, TANH, QUADRATIC, "relu(x)", "softplus(x)", "tanh(x)"])
def test_against_mpmath(activation):
    """The same kernel, inverted with many digits; the test error is a numerical derivative of the training error."""
    rng = np.random.default_rng(9)
    function = nonlinearity(activation)
    moments = function.standard_moments
    for number in range(8):
        coefficients = rng.normal(size=8) * 0.7 ** np.arange(8)
        target, noise_var = target_of(coefficients), rng.uniform(0, 1)
        p, n, d = (float(round(10 ** rng.uniform(1, top))) for top in (12 if number % 2 else 4, 4, 4))
        n = p if number % 4 == 0 else n
        lam, tau = 10 ** rng.uniform(-8, 3), 10 ** rng.uniform(-8, 0)
        steps = step(tau, tau * rng.uniform(), tau * rng.uniform(-0.5, 0.5), rng.uniform(-1, 1))
        readouts, intercept = readouts_of(0, d, p, n, lam, noise_var), number % 3 == 1
        factor = spike_factor(function, steps, readouts.p, readouts.d)
        solved = of_spikes(finite_rank_spikes(factor, intercept), target, steps, readouts, activation=activation)
        with mp.workdps(60):
            bulk = reference.Bulk(lam, float(moments.mu1) ** 2, float(moments.mu2_sq), p, n, d)
            rows = mp.matrix(factor[0].tolist())
            kernel = rows * rows.T
            if intercept:
                kernel[0, 0] += mp.mpf(10) ** 40
            expected = reference.FiniteRank(bulk, kernel, coefficients, target.second, float(steps.alignment[0]),
                                            noise_var).observables(5)
        for name in ("ridge_objective", "test_error", "train_error"):
            assert solved[name][0] == pytest.approx(float(expected[name]), rel=1e-12), (name, number)
        overlaps = [float(value) for value in expected["overlaps"]]
        assert solved["overlaps"][0] == pytest.approx(overlaps, abs=1e-13)


# ---- identities


def random_kernel(seed, scale=1.0, size=8):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(1, size, size)) * scale * 10 ** rng.uniform(-2, 1, size=(1, size, 1))
    return factor


def test_no_spikes_are_random_features():
    """K = 0: section 4, (10)."""
    target = target_of(CUBIC)
    none = Spikes(np.eye(4)[None], np.zeros((1, 4)))
    solved = of_spikes(none, target, step(), readouts_of(), degree=3)
    bulk = resolvent(random_features(nonlinearity(RELU), readouts_of()), np.array([0.1]))
    rest, weight, test_weight = 1.0925 - 0.64, bulk.train_weight[0], bulk.test_weight[0]
    assert solved["ridge_objective"][0] == pytest.approx(weight * (bulk.linear_share[0] * 0.64 + rest), rel=1e-14)
    test = test_weight * (bulk.linear_test_ratio[0] * 0.64 + rest)
    assert solved["test_error"][0] == pytest.approx(test, rel=1e-14)
    assert solved["overlaps"][0] == pytest.approx([0, 0.8 * bulk.linear_learned[0], 0, 0, 0], abs=1e-15)
    assert solved["generalization_error"][0] == pytest.approx(test - 0.1, rel=1e-14)


def test_no_step():
    """eta = 0: a constant and the radial direction are all that is left of K, neither learns a centred target."""
    target = target_of((0.0, 0.8, 0.5, 0.25))
    for activation in (RELU, TANH, "tanh(x)"):
        steps, readouts = steps_of(activation, target, 0.0), readouts_of(lam=[1e-3, 0.1, 10.0])
        none = Spikes(np.eye(4)[None], np.zeros((1, 4)))
        solved = solve(activation, target, steps, readouts)
        before = of_spikes(none, target, steps, readouts, 3, activation)
        np.testing.assert_allclose(solved["ridge_objective"], before["ridge_objective"], rtol=1e-13)
        np.testing.assert_allclose(solved["test_error"], before["test_error"], rtol=1e-13)


@FIXED
@given(seed=st.integers(0, 10_000), lam=st.floats(-4, 3), rho=st.floats(-0.99, 0.99))
def test_stronger_kernels_fit_better(seed, lam, rho):
    """The training objective decreases when K grows; never above the one before the step."""
    factor = random_kernel(seed)
    more = np.concatenate([factor, random_kernel(seed + 1, size=8)], axis=2)
    target, readouts, steps = target_of(CUBIC), readouts_of(lam=10**lam), step(rho=rho)
    weak, strong = (of_spikes(finite_rank_spikes(one), target, steps, readouts, 6) for one in (factor, more))
    none = of_spikes(Spikes(np.eye(8)[None], np.zeros((1, 8))), target, steps, readouts, 6)
    slack = 1 + 1e-14
    assert strong["ridge_objective"][0] <= weak["ridge_objective"][0] * slack <= none["ridge_objective"][0] * slack**2


@FIXED
@given(seed=st.integers(0, 10_000), lam=st.floats(-3, 2), n=st.floats(50, 5000))
def test_test_error_is_generalised_cross_validation(seed, lam, n):
    """train = m_w^2 L_test = L_train - lam dL_train/dlam."""
    target, steps = target_of(CUBIC), step()
    spikes = finite_rank_spikes(random_kernel(seed))
    spread = 1e-3 * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    readouts = readouts_of(lam=10**lam * np.exp(spread), n=n)
    solved = of_spikes(spikes, target, steps, readouts, 6)
    objective = solved["ridge_objective"]
    slope = (8 * (objective[3] - objective[1]) - (objective[4] - objective[0])) / 12e-3
    assert solved["train_error"][2] == pytest.approx(objective[2] - slope, rel=1e-8)
    weight = resolvent(random_features(nonlinearity(RELU), readouts), readouts.lam).train_weight
    np.testing.assert_allclose(solved["train_error"], weight**2 * solved["test_error"], rtol=1e-13)


@pytest.mark.parametrize("activation", [RELU, TANH, QUADRATIC])
def test_symmetries(activation):
    target, readouts = target_of(CUBIC), readouts_of(lam=[1e-3, 0.1, 1.0])
    flipped = target_of(np.array(CUBIC) * [1, -1, 1, -1])
    solved = solve(activation, target, step(0.4, 0.3, 0.1, 0.7), readouts)
    for other in (
        solve(activation, target, step(-0.4, 0.3, -0.1, 0.7), readouts),  # z -> -z
        solve(activation, target, step(-0.4, 0.3, 0.1, -0.7), readouts),  # kappa -> -kappa
        solve(activation, flipped, step(0.4, 0.3, 0.1, -0.7), readouts),  # theta -> -theta
    ):
        for name in ERRORS:
            np.testing.assert_allclose(other[name], solved[name], rtol=1e-13)
    changed = solve(activation, target, step(-0.4, 0.3, 0.1, 0.7), readouts)
    assert not np.allclose(changed["test_error"], solved["test_error"], rtol=1e-6)


def test_a_large_ridge_learns_nothing():
    target = target_of(CUBIC)
    solved = solve(RELU, target, steps_of(RELU, target, 10.0), readouts_of(lam=[1e6, 1e9]))
    for name in ("ridge_objective", "test_error", "train_error"):
        assert solved[name][0] == pytest.approx(1.0925, rel=1e-3)
        assert solved[name][1] == pytest.approx(1.0925, rel=1e-6)
    assert np.abs(solved["overlaps"][1]).max() < 1e-6 < np.abs(solved["overlaps"][0]).max() < 1e-3


def test_noise_enters_linearly():
    target, steps = target_of(CUBIC), step()
    solved = solve(TANH, target, steps, readouts_of(noise_var=[0.0, 0.3, 2.0]))
    bulk = resolvent(random_features(nonlinearity(TANH), readouts_of()), np.array([0.1]))
    for name, weight in (("ridge_objective", bulk.train_weight), ("test_error", bulk.test_weight)):
        np.testing.assert_allclose(solved[name], solved[name][0] + weight * [0.0, 0.3, 2.0], rtol=1e-14)


# ---- limits


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("intercept", [False, True])
def test_strong_spikes_are_level_limit(count, intercept):
    """K -> infinity on the span of P_0..P_l, in widely different strengths."""
    target, readouts = target_of((0.3, 0.8, 0.6, 0.3)), readouts_of(lam=[1e-3, 0.1, 1.0])
    functions = spike_functions(nonlinearity(TANH), np.array([0.25]), 3, intercept)
    dual = dual_functions(np.array([0.4]), 3)
    columns = np.linalg.solve(dual[0], functions[0])[:, : count + 1]
    steps = step(rho=0.6)
    limit = of_spikes(limit_spikes(functions, dual, np.array([count])), target, steps, readouts, 3, TANH)
    for scale in (1e6, 1e12):
        strengths = scale * 10.0 ** -np.arange(count + 1)
        strong = of_spikes(finite_rank_spikes(columns[None] * np.sqrt(strengths)), target, steps, readouts, 3, TANH)
        for name in EVERYTHING:
            np.testing.assert_allclose(strong[name], limit[name], rtol=0, atol=10.0**count / scale)


@pytest.mark.parametrize(("count", "expected"), [
    (1, [0.47543, 0.47205, 0.47079, 0.47043]), (2, None), (3, None),
])
def test_small_steps_of_large_networks_approach_level_limit(count, expected):
    """tau = eps, s = sr eps, p = eps^-(2 l + 1), n and d in proportion: linear in eps (section 5)."""
    target, r, sr = target_of((0.3, 0.8, 0.6, 0.3)), 0.4, 0.25
    limiting = LimitingStep(*(np.array([value]) for value in (0.6, r, sr)))
    exponent = {1: 0.1, 2: 0.3, 3: 0.35}[count]
    activation = RELU if count < 3 else TANH
    limit = solve_limit(nonlinearity(activation), target, limiting, np.array([exponent]), readouts_of(), EVERYTHING)
    errors = []
    for number, eps in enumerate((0.03, 0.01, 0.003, 0.001)):
        p = eps ** -(2 * count + 1)
        steps = step(eps, np.sqrt(r) * eps, sr * eps, 0.6)
        solved = solve(activation, target, steps, readouts_of(0, 1.25 * p, p, 1.5 * p))
        if expected:
            assert solved["ridge_objective"][0] == pytest.approx(expected[number], abs=5e-6)
        errors.append([np.abs(solved[name] - limit[name]).max() / eps for name in EVERYTHING])
    rates = np.array(errors)
    np.testing.assert_allclose(rates[3], rates[2], rtol=0.06)  # corrections to the law are O(eps)
    assert np.all(rates[3] < 10)


# ---- cells


def test_without_ridge():
    target = target_of(CUBIC)
    steps = steps_of(TANH, target, 8.0)
    for p, n in ((400, 600), (600, 400), (1e12, 300)):
        solved = solve(TANH, target, steps, readouts_of(0, p=p, n=n, lam=[0.0, 1e-13]))
        for name in ("test_error", "generalization_error", "overlaps"):
            np.testing.assert_allclose(solved[name][0], solved[name][1], rtol=1e-8, atol=1e-10)
        assert solved["train_error"][0] == pytest.approx(solved["train_error"][1], abs=1e-10)
    exact, *small = solve(TANH, target, steps, readouts_of(0, p=500, n=500, lam=[0.0, 1e-20, 1e-24]))["test_error"]
    assert exact == np.inf and small[1] / small[0] == pytest.approx(100, rel=1e-6)
    singular = solve(TANH, target, steps, readouts_of(0, p=500, n=500, lam=[0.0, 1e-24]))
    assert singular["train_error"][0] == singular["ridge_objective"][0] == 0
    np.testing.assert_allclose(singular["overlaps"][0], singular["overlaps"][1], atol=1e-9)


def test_a_batch_is_its_cells():
    rng = np.random.default_rng(4)
    target = target_of(CUBIC)
    steps, count = steps_of(TANH, target, np.geomspace(0.5, 15, 300)), 700
    readouts = readouts_of(rng.integers(0, 300, count), p=rng.choice([300, 400], count),
                           lam=10 ** rng.uniform(-3, 2, count), n=rng.integers(10, 2000, count),
                           noise_var=rng.uniform(0, 1, count))
    together = solve(TANH, target, steps, readouts)
    for i in range(0, count, 71):
        one = steps.at(readouts.step[[i]])
        alone = solve(TANH, target, one, readouts.at(np.array([i]))._replace(step=np.zeros(1, dtype=np.intp)))
        for name in EVERYTHING:
            np.testing.assert_allclose(together[name][i], alone[name][0], rtol=1e-11, atol=1e-12)


def test_intercept_is_a_free_constant():
    """It learns all of c*_0, and changes nothing else where the features are centred and nothing else is even."""
    target, centred = target_of((0.5, 0.8, 0.0, 0.3)), target_of((0.0, 0.8, 0.0, 0.3))
    steps, readouts = step(0.3, 0.2, 0.0), readouts_of()
    free = solve("tanh(x)", target, steps, readouts, intercept=True)
    without = solve("tanh(x)", centred, steps, readouts)
    assert free["overlaps"][0, 0] == 0.5
    for name in ERRORS:
        assert free[name][0] == pytest.approx(without[name][0], rel=1e-14)


def test_sampled_features():
    """Ridge on sampled features of this kind, at the same readouts z: means agree within 4 standard errors."""
    function, target = nonlinearity(RELU), target_of(CUBIC)
    d, p, n = 500, 400, 600
    steps, readouts = steps_of(RELU, target, 25.0), readouts_of()
    z = np.random.default_rng(99).standard_normal(p)
    factor = spike_factor(function, steps, readouts.p, readouts.d, 12, (z, np.full(p, 1 / p)))
    solved = of_spikes(finite_rank_spikes(factor), target, steps, readouts, 12)
    before = of_spikes(Spikes(np.eye(4)[None], np.zeros((1, 4))), target, steps, readouts, 3)
    features, rho = random_features(function, readouts), steps.alignment[0]
    samples = []
    for seed in range(36):
        rng = np.random.default_rng(seed)
        x, w = rng.standard_normal((4 * n, d)), rng.standard_normal((p, d))
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        f = sampled_features(rng, features, factor[0], x, w)[0] / np.sqrt(p)
        u = rho * x[:, 0] + np.sqrt(1 - rho**2) * x[:, 1]
        hermite = np.array([np.ones(4 * n), u, (u**2 - 1) / np.sqrt(2), (u**3 - 3 * u) / np.sqrt(6)])
        y = np.array(CUBIC) @ hermite + np.sqrt(0.1) * rng.standard_normal(4 * n)
        readout = np.linalg.solve(f[:n].T @ f[:n] + 0.1 * np.eye(p), f[:n].T @ y[:n])
        fit = f @ readout
        train, test = np.mean((y - fit)[:n] ** 2), np.mean((y - fit)[n:] ** 2)
        samples.append([train + 0.1 * readout @ readout / n, train, test, *(hermite[:, n:] @ fit[n:] / (3 * n))[1:3]])
    mean, error = np.mean(samples, axis=0), np.std(samples, axis=0, ddof=1) / np.sqrt(36)
    assert np.all(error < 0.015)
    names = ("ridge_objective", "train_error", "test_error")
    expected = [*(solved[name][0] for name in names), *solved["overlaps"][0, 1:3]]
    assert np.all(np.abs(mean - expected) < 4 * error), (mean, error, expected)
    without = [*(before[name][0] for name in names), *before["overlaps"][0, 1:3]]
    assert np.all(np.abs(mean - without) > 4 * error)  # the comparison would notice that the spikes are left out
