"""FeatureRidge against 60-digit bisection, the reference rows, identities and limits."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asymptotics as asy
from asymptotics import AccuracyWarning, FeatureRidge, ParameterError
from asymptotics.spectra import effective_ridge as solver
from asymptotics.spectra.power_law import infinite_power_law
from tests.reference import structured_features as reference

K = np.arange(1, 101.0)
F = {"eigenvalues": K**-1.5, "target_weights": K**-3.5, "residual_variance": 0.1}
FLAT = {"eigenvalues": [1.0], "multiplicities": [300.0], "target_weights": [1.0], "residual_variance": 0.25}
LAW = {"power_law": [1.5, 2.2, 1.0], "residual_variance": 0.1}
ROWS: list[tuple[dict[str, Any], dict[str, float]]] = [
    (F | {"n": 60, "lam": 0.01}, {
        "effective_ridge": 0.0026644383505977916, "df1": 56.24686380986957, "df2": 36.60030945060553,
        "bias": 0.007746218441766624, "test_error": 0.27627600855915124, "train_error": 0.0010810090259479764}),
    (F | {"n": 200, "lam": 1}, {
        "effective_ridge": 0.006250678245357352, "df1": 40.01736119712399, "df2": 22.187128471816933,
        "bias": 0.018501693230953273, "test_error": 0.13328809350246723, "train_error": 0.0852858685190174}),
    (F | {"n": 100, "lam": 1e-10}, {
        "effective_ridge": 4.969042567558506e-08, "test_error": 2484.560151785709,
        "train_error": 1.006245801345523e-06}),
    (F | {"n": 60, "lam": 0}, {
        "effective_ridge": 0.0021999798999383442, "df2": 40.49689116306086, "bias": 0.006218475336772309,
        "test_error": 0.326773981188865, "train_error": 0}),
    (FLAT | {"n": 200, "lam": 20}, {
        "effective_ridge": 0.7358898943540674, "df1": 172.82202112918654, "df2": 99.55816995725665,
        "bias": 0.17971375899627864, "test_error": 0.8556470124317977, "train_error": 0.015800431968941563}),
    (LAW | {"n": 100, "lam": 0.01}, {
        "effective_ridge": 0.003881168779879301, "df1": 97.4234565495214, "df2": 32.14131737253022,
        "bias": 0.008393533745526208, "test_error": 0.15973421461861326}),
]
SPECTRA = {
    "power law": (K**-1.5, np.ones(100), K**-2.0),
    "plateau": (np.repeat([1.0, 1e-10], [40, 60]), np.ones(100), np.full(100, 0.01)),
    "fifteen decades": (np.logspace(0, -15, 60), np.ones(60), np.logspace(0, -2, 60)),
}


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_reference_rows(row: int) -> None:
    given, wanted = ROWS[row]
    found = FeatureRidge(**given).solve()
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=2e-14)
    assert found.converged and found.residual < 1e-13


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("cells", ["few", "many"])
def test_hard_cells_in_sixty_digits(name: str, cells: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directly and from the table."""
    monkeypatch.setattr(solver, "FEW_CELLS", 10**6 if cells == "few" else 0)
    s, w, t = SPECTRA[name]
    rank = np.sum(w)
    problem = FeatureRidge(
        eigenvalues=s, multiplicities=w, target_weights=s * t, residual_variance=0.1,
        **asy.grid(n=[1, 25, 40, rank - 1e-6, rank, rank + 1e-6, 1e5], lam=[0, 1e-14, 1e-6, 0.01, 1, 1e4]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        found = problem.solve()
    for place in np.ndindex(problem.shape):
        n, lam = problem.n.values[place[0]], problem.lam.values[place[1]]
        wanted = reference.ridge(s, w, t, 0.1, n, lam)
        if wanted is None:
            continue
        for observable, value in wanted.items():
            if value is not None:
                np.testing.assert_allclose(getattr(found, observable)[place], float(value), rtol=3e-14, atol=1e-300,
                                           err_msg=f"{observable} {n} {lam}")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_random_problems(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 30))
    s = 10 ** rng.uniform(-12, 3, count)
    w = rng.uniform(0.1, 30, count)
    t = rng.exponential(size=count)
    n, lam, sres = 10 ** rng.uniform(-1, 4), 10 ** rng.uniform(-14, 6), rng.exponential()
    wanted = reference.ridge(s, w, t, sres, n, lam)
    assert wanted is not None
    found = FeatureRidge(eigenvalues=s, multiplicities=w, target_weights=s * t, residual_variance=sres, n=n,
                         lam=lam).solve()
    for name, value in wanted.items():
        np.testing.assert_allclose(found.values[name], float(value), rtol=1e-12)


def test_the_table_equals_the_direct_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    problem = FeatureRidge(**F, n=10 ** rng.uniform(0, 4, 500), lam=10 ** rng.uniform(-9, 3, 500))
    table = problem.solve()
    monkeypatch.setattr(solver, "FEW_CELLS", 10**6)
    direct = problem.solve()
    for name in table.values:
        scale = np.abs(table.test_error / problem.lam) if name == "error_slope_lam" else np.abs(direct.values[name])
        if name == "error_slope_n":
            scale = scale + np.abs(direct.test_error / problem.n)
        assert np.max(np.abs(table.values[name] - direct.values[name]) / scale) < 3e-14, name


def test_huge_and_tiny_ridges() -> None:
    found = FeatureRidge(**F, n=100, lam=np.array([1e-300, 1e-30, 1e300])).solve()
    inverse = np.sum(K**1.5)
    np.testing.assert_allclose(found.effective_ridge[:2], np.sqrt(np.array([1e-300, 1e-30]) / inverse), rtol=1e-10)
    np.testing.assert_allclose(found.effective_ridge[2], 1e298, rtol=1e-14)
    np.testing.assert_allclose(found.test_error[2], 0.1 + np.sum(K**-2.0), rtol=1e-14)
    assert np.all(found.converged)


# ---- without ridge


def test_without_ridge_there_are_closed_forms() -> None:
    with pytest.warns(AccuracyWarning, match="the test error diverges in 1 cells: no ridge, and n is the rank"):
        found = FeatureRidge(**F, n=np.array([100.0, 101, 400]), lam=0).solve()
    np.testing.assert_array_equal(found.effective_ridge, 0)
    np.testing.assert_array_equal(found.df1, 100)
    np.testing.assert_array_equal(found.df2, 100)
    np.testing.assert_array_equal(found.bias, 0)
    np.testing.assert_allclose(found.test_error, [np.inf, 0.1 * 101, 0.1 * 400 / 300])
    np.testing.assert_array_equal(found.variance[0], np.inf)
    np.testing.assert_allclose(found.train_error, [0, 0.1 / 101, 0.1 * 300 / 400])
    np.testing.assert_allclose(found.ridge_objective, [0, 0.1 / 101, 0.1 * 300 / 400])
    inverse = np.sum(K**1.5)
    np.testing.assert_allclose(found.weight_norm[1:], np.sum(K**-0.5) + 0.1 * inverse / np.array([1, 300]))
    assert np.all(np.isnan([found.error_slope_lam[0], found.error_slope_n[0]])) and np.all(found.converged)
    bare = FeatureRidge(**(F | {"residual_variance": 0.0}), n=100, lam=0).solve()
    assert bare.test_error == bare.variance == 0


@pytest.mark.parametrize("n", [60.0, 99.0, 101.0, 300.0])
def test_no_ridge_is_the_limit_of_a_small_one(n: float) -> None:
    bare, small = (FeatureRidge(**F, n=n, lam=lam).solve() for lam in (0.0, 1e-18))
    for name in bare.values:
        np.testing.assert_allclose(bare.values[name], small.values[name], rtol=1e-8, atol=1e-15)


def test_at_the_threshold_errors_grow_as_one_over_the_root_of_the_ridge() -> None:
    found = FeatureRidge(**F, n=100, lam=1e-20).solve()
    inverse = np.sum(K**1.5)
    np.testing.assert_allclose(found.test_error, 0.1 * 100 / (2 * np.sqrt(1e-20 * inverse)), rtol=1e-6)


# ---- closed forms and identities


def test_isotropic_features() -> None:
    rng = np.random.default_rng(1)
    s, p, r2, sres = 0.7, 300, 1.3, 0.2
    n, lam = rng.uniform(10, 1000, 200), 10 ** rng.uniform(-6, 3, 200)
    found = FeatureRidge(eigenvalues=[s], multiplicities=[p], target_weights=[s**2 * r2], residual_variance=sres, n=n,
                         lam=lam).solve()
    b = lam + s * (p - n)
    root = np.sqrt(b**2 + 4 * n * lam * s)
    kappa = np.where(b > 0, (b + root) / (2 * n), 2 * lam * s / (root - np.minimum(b, 0)))
    df2, bias = p * s**2 / (s + kappa) ** 2, s * r2 * (kappa / (s + kappa)) ** 2
    np.testing.assert_allclose(found.effective_ridge, kappa, rtol=1e-12)
    np.testing.assert_allclose(found.test_error, (bias + sres) / (1 - df2 / n), rtol=1e-9)
    bare = FeatureRidge(eigenvalues=[1.0], multiplicities=[p], target_weights=[r2], residual_variance=sres, n=100.0,
                        lam=0).solve()
    np.testing.assert_allclose(bare.test_error, sres + r2 * (1 - 100 / p) + sres * 100 / (p - 100), rtol=1e-13)


def test_errors_add_up_and_units_do_not_matter() -> None:
    problem = FeatureRidge(**F, **asy.grid(n=np.geomspace(5, 500, 12), lam=np.geomspace(1e-8, 10, 11)))
    found = problem.solve()
    np.testing.assert_allclose(found.test_error, 0.1 + found.bias + found.variance, rtol=1e-13)
    np.testing.assert_allclose(found.test_error, found.bias_fixed_design + found.variance_noise + 0.1, rtol=1e-13)
    lam = problem.lam.values
    np.testing.assert_allclose(found.effective_ridge * (problem.n.values[:, None] - found.df1), lam * np.ones((12, 1)),
                               rtol=1e-6, atol=1e-12)
    size = problem.n.values[:, None] * found.ridge_objective
    np.testing.assert_allclose(size, problem.n.values[:, None] * found.train_error + lam * found.weight_norm,
                               rtol=1e-12)
    scaled = FeatureRidge(eigenvalues=7 * K**-1.5, target_weights=7 * K**-3.5, residual_variance=0.1,
                          **asy.grid(n=problem.n.values, lam=7 * lam)).solve()
    np.testing.assert_allclose(scaled.test_error, found.test_error, rtol=1e-12)
    np.testing.assert_allclose(scaled.effective_ridge, 7 * found.effective_ridge, rtol=1e-12)
    assert np.all(np.diff(found.effective_ridge, axis=0) < 0) and np.all(np.diff(found.effective_ridge, axis=1) > 0)
    assert np.all(found.df2 <= found.df1) and np.all(found.df1 <= np.minimum(100, problem.n.values[:, None]))


def test_multiplicities_are_repetitions() -> None:
    grid = asy.grid(n=np.geomspace(5, 50, 15), lam=np.geomspace(1e-8, 10, 11))
    many = FeatureRidge(eigenvalues=np.repeat([2.0, 0.3], [7, 20]), target_weights=np.repeat([0.1, 0.02], [7, 20]),
                        residual_variance=0.3, **grid).solve()
    few = FeatureRidge(eigenvalues=[2.0, 0.3, 0.0], multiplicities=[7, 20, 5], target_weights=[0.7, 0.4, 0.0],
                       residual_variance=0.3, **grid).solve()
    for name, values in many.values.items():
        np.testing.assert_allclose(few.values[name], values, rtol=1e-11)


def test_slopes_are_those_of_differences() -> None:
    for n, lam in ((60.0, 0.01), (150.0, 2.0), (300.0, 0.0), (60.0, 0.0)):
        base = FeatureRidge(**F, n=n, lam=lam).solve()
        step = 1e-5 * max(lam, 1e-2)
        ahead, further = (FeatureRidge(**F, n=n, lam=lam + i * step).solve().test_error for i in (1, 2))
        np.testing.assert_allclose(base.error_slope_lam, (4 * ahead - 3 * base.test_error - further) / (2 * step),
                                   rtol=1e-4)
        up, down = (FeatureRidge(**F, n=n * factor, lam=lam).solve().test_error for factor in (1 + 1e-5, 1 - 1e-5))
        np.testing.assert_allclose(base.error_slope_n, (up - down) / (2e-5 * n), rtol=1e-6)


# ---- the best ridge


@pytest.mark.parametrize("n", [10.0, 99.0, 100.0, 101.0, 3000.0])
def test_under_an_isotropic_prior_the_best_ridge_is_the_noise(n: float) -> None:
    r2, sres = 2.0, 0.3
    problem = FeatureRidge(eigenvalues=K**-1.3, target_weights=K**-2.6 * r2 / 100, residual_variance=sres, n=n, lam=1)
    best = problem.optimal_ridge()
    np.testing.assert_allclose(best.lam, sres * 100 / r2, rtol=1e-12)
    found = best.solve()
    np.testing.assert_allclose(found.test_error, n * found.effective_ridge * r2 / 100, rtol=1e-13)
    np.testing.assert_allclose(found.error_slope_lam, 0, atol=1e-13)


def test_several_local_minima_are_found() -> None:
    """A strong part that is learned with a large ridge, and a weak one that is worth a small one."""
    problem = FeatureRidge(
        eigenvalues=[0.0353, 0.0012, 0.000146], multiplicities=[31, 7, 70], target_weights=[0.0158, 3.2e-5, 1.2e-5],
        residual_variance=0.0149, **asy.grid(n=[20.0, 50.0, 55.6, 62.0, 200.0]), lam=0.0)
    minima = problem.ridge_minima()
    assert minima.sizes["minimum"] == 2 and np.isfinite(minima.lam.values[2, 1])
    lams = np.geomspace(1e-7, 1e3, 20001)
    for place, n in enumerate(problem.n.values):
        errors = problem.replace(n=float(n), lam=lams).solve(["test_error"]).test_error
        low = np.flatnonzero((errors[1:-1] < errors[:-2]) & (errors[1:-1] < errors[2:])) + 1
        inner = minima.lam.values[place][minima.at_boundary.values[place] == 0]
        np.testing.assert_allclose(np.sort(inner), lams[low], rtol=2e-3)
        assert minima.test_error.values[place, 0] <= np.min(errors) * (1 + 1e-12)
    best = problem.optimal_ridge()
    np.testing.assert_array_equal(best.lam.values, minima.lam.values[:, 0])


def test_no_ridge_or_an_infinite_one_may_be_best() -> None:
    bare = FeatureRidge(**(F | {"residual_variance": 0.0}), n=np.array([50.0, 100.0, 200.0]), lam=1).ridge_minima()
    np.testing.assert_array_equal(bare.lam.values[1:, 0], 0)
    np.testing.assert_array_equal(bare.test_error.values[1:, 0], 0)
    noise = FeatureRidge(eigenvalues=K**-1.5, target_weights=np.zeros(100), residual_variance=1.0, n=50, lam=1)
    with pytest.warns(AccuracyWarning, match="in 1 cells the best ridge is infinite"):
        best = noise.optimal_ridge()
    np.testing.assert_allclose(best.solve().test_error, 1.0, rtol=1e-6)


def test_at_the_best_ridge_more_samples_never_hurt() -> None:
    problem = FeatureRidge(**F, **asy.grid(n=np.geomspace(5, 1000, 200)), lam=1)
    assert np.all(np.diff(problem.optimal_ridge().solve().test_error) < 0)
    labelled = FeatureRidge(**F, **asy.grid(lam=[1.0, 2.0], n=[50.0, 60.0])).optimal_ridge()
    assert labelled.dims == ("n",)


# ---- sweeps, ensembles


def test_along_the_effective_ridge_everything_is_explicit() -> None:
    problem = FeatureRidge(**F, **asy.grid(n=[40.0, 100.0, 250.0]), lam=0)
    kappa = np.geomspace(1e-5, 1, 30)
    swept = problem.along_effective_ridge(kappa)
    for place, n in enumerate(problem.n.values):
        lam = swept.lam.values[place]
        good = np.isfinite(lam)
        solved = FeatureRidge(**F, n=float(n), lam=lam[good]).solve()
        np.testing.assert_allclose(solved.effective_ridge, kappa[good], rtol=1e-9)
        for name in ("test_error", "train_error", "df2", "bias", "variance", "ridge_objective"):
            np.testing.assert_allclose(swept[name].values[place, good], solved.values[name], rtol=1e-9)
    for wrong in ([0.0, 1.0], "a", [], [[1.0]], [1e-300]):
        with pytest.raises(ParameterError, match="effective_ridge: must be"):
            problem.along_effective_ridge(wrong)


def test_averages_of_predictors_lose_their_variance() -> None:
    problem = FeatureRidge(**F, **asy.grid(n=[40.0, 250.0]), lam=0.1)
    found = problem.solve()
    errors = problem.ensemble_error([1, 4, 10**9])
    np.testing.assert_allclose(errors.values[:, 0], found.test_error)
    np.testing.assert_allclose(errors.values[:, 1], 0.1 + found.bias + found.variance / 4)
    np.testing.assert_allclose(errors.values[:, 2], 0.1 + found.bias, rtol=1e-6)
    with pytest.raises(ParameterError, match="predictors: must be whole numbers >= 1"):
        problem.ensemble_error([0])


# ---- infinite power laws


@pytest.mark.parametrize(("decay", "source"), [(1.06, 1.5), (1.2, 2.0), (1.5, 2.2), (2.0, 1.1), (3.0, 5.0)])
@pytest.mark.parametrize("kappa", [1e-8, 1e-3, 3.0])
def test_infinite_sums(decay: float, source: float, kappa: float) -> None:
    """Against Euler and Maclaurin: integrals in mpmath, and its own summation of the rest."""
    import mpmath as mp

    s, w, t = infinite_power_law(decay, source, 1.0, 1e-9)
    with mp.workdps(30):
        for power, exponent, values in ((1, 0.0, w * (s / (s + kappa))), (0, source, t * (kappa / (s + kappa)) ** 2)):
            def term(k: Any, power: int = power, exponent: float = exponent) -> Any:
                q = 1 / (1 + kappa * k ** mp.mpf(decay))
                return k ** -mp.mpf(exponent) * (q if power else (1 - q) ** 2)

            wanted = _infinite_sum(term, decay, kappa)
            np.testing.assert_allclose(np.sum(values), float(wanted), rtol=2e-13)


def _infinite_sum(term: Any, decay: float, kappa: float) -> Any:
    """Terms one by one up to K, then the Euler-Maclaurin formula with derivatives by mpmath."""
    import mpmath as mp

    end = 60
    total = mp.fsum(term(mp.mpf(k)) for k in range(1, end))
    middle = max(-mp.log(kappa) / decay, mp.log(end))
    points = [mp.log(end), *(middle + shift for shift in (1, 5, 20, 60, 200, 700, 2000)), ]
    integral = mp.quad(lambda u: term(mp.e**u) * mp.e**u, points, maxdegree=8)
    taylor = mp.taylor(term, end, 9)
    ends = sum(mp.bernoulli(2 * j) / (2 * j) * taylor[2 * j - 1] for j in range(1, 6))
    return total + integral + term(mp.mpf(end)) / 2 - ends


def test_overfitting_an_infinite_power_law_is_tempered() -> None:
    found = FeatureRidge(**LAW, n=np.array([100.0, 1000.0, 1e4]), lam=0).solve()
    n = np.array([100.0, 1000.0, 1e4])
    np.testing.assert_allclose(1 / (1 - found.df2 / n), [1.49254, 1.49925, 1.499925], atol=6e-6)
    angle = np.pi / 1.5
    closed = (angle / np.sin(angle) / (n + 0.5)) ** 1.5
    np.testing.assert_allclose(found.effective_ridge / closed, 1, atol=2e-6)
    slopes = FeatureRidge(**(LAW | {"residual_variance": 0.0}), n=np.array([1e5, 1e6]), lam=0).solve().bias
    np.testing.assert_allclose(np.log(slopes[1] / slopes[0]) / np.log(10), -1.2, atol=1e-4)


def test_tilings_of_a_power_law_agree() -> None:
    problem = FeatureRidge(**LAW, **asy.grid(n=np.geomspace(10, 1e5, 20), lam=np.geomspace(1e-9, 10, 20)))
    whole, part = problem.solve(), problem.isel(n=slice(0, 5), lam=slice(10, None)).solve()
    np.testing.assert_allclose(part.test_error, whole.test_error[:5, 10:], rtol=1e-12)
    assert max(asy.check(problem).values()) < 1e-11


def test_weights_that_add_up_to_the_samples_but_for_rounding() -> None:
    weights = [0.1] * 10
    for n in (1.0, sum(weights)):
        problem = FeatureRidge(eigenvalues=np.linspace(0.5, 2, 10), target_weights=np.full(10, 0.1),
                               multiplicities=weights, residual_variance=1, n=n, lam=0)
        with pytest.warns(AccuracyWarning, match="diverges in 1 cells"):
            assert problem.solve().test_error == np.inf


def test_empty_grids() -> None:
    empty = FeatureRidge(**F, n=[], lam=1.0)
    assert empty.solve().test_error.shape == empty.optimal_ridge().shape == (0,)
    assert empty.ridge_minima().sizes["n"] == empty.along_effective_ridge([1.0]).sizes["n"] == 0


# ---- bad input


@pytest.mark.parametrize(("changes", "message"), [
    ({"lam": -1}, "lam: must be >= 0, got -1"),
    ({"n": 0}, "n: must be > 0, got 0"),
    ({"residual_variance": -0.1}, "residual_variance: must be >= 0, got -0.1"),
    ({"eigenvalues": None}, "eigenvalues: or power_law must be given, one of the two"),
    ({"power_law": [2, 2, 1]}, "eigenvalues: or power_law must be given, one of the two"),
    ({"target_weights": None}, "target_weights: must be given with eigenvalues"),
    ({"target_weights": [1.0]}, "target_weights: must have as many elements as the eigenvalues, 100, got 1"),
    ({"multiplicities": [1.0]}, "multiplicities: must have as many elements as the eigenvalues, 100, got 1"),
    ({"multiplicities": np.zeros(100)}, r"multiplicities: must be > 0, got 0 at index \(0,\)"),
    ({"eigenvalues": np.zeros(100)}, "eigenvalues: must not all be zero"),
    ({"eigenvalues": np.append(K[:99], 0)}, "target_weights: must be zero where the eigenvalue is, got 1e-07 at index"),
    ({"eigenvalues": None, "target_weights": None, "power_law": [1.0, 2.0, 1.0]}, "power_law: must have 1.05 <= a, b"),
    ({"eigenvalues": None, "target_weights": None, "power_law": [2.0, 2.0]}, "power_law: must be the three numbers"),
    ({"eigenvalues": None, "power_law": [2, 2, 1]}, "target_weights: must not be given with power_law"),
])
def test_bad_input(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=f"^{message}"):
        FeatureRidge(**(F | {"n": 10, "lam": 1} | changes))


def test_sound_with_all_warnings_as_errors() -> None:
    with np.errstate(all="raise", under="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", AccuracyWarning)
        for lam in (np.array([0, 1e-300, 1e-9, 1.0, 1e300]), np.geomspace(1e-20, 1e5, 150)):
            problem = FeatureRidge(**F, n=np.array([[1e-3], [50.0], [100.0], [1e9]]), lam=lam)
            assert np.all(problem.solve().converged)
            problem.optimal_ridge()
