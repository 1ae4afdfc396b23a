"""Laws over the initial weights: as distributions, beside draws, quadrature and the laws of SciPy."""

import math
import warnings

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from asymptotics import AccuracyWarning, LinearNetworkEnsemble, ParameterError, grid
from tests.reference import linear_network_ensemble as reference

from .problems import cell, ensemble, values

LEVELS = np.array([0.002, 0.1, 0.37, 0.5, 0.8, 0.99])
NAMES = ("coefficient", "excess_loss", "ntk", "final_ntk", "final_alignment", "escape_time")
KINDS = {
    "usual": {},
    "narrow": dict(p=20, var_u=0.05, var_w=0.05, t=0.5),
    "target below zero, gamma below zero": dict(p=3, correlation=0.6, gamma=-0.8, target_coefficient=-1.2, eta_u=0.4),
    "two units": dict(p=2, t=0.3),
    "one unit": dict(p=1, t=0.7),
    "unequal rates": dict(p=50, var_u=1 / 2500, var_w=1.0, eta_u=1 / 50, eta_w=50.0, t=0.5),
    "no target": dict(target_coefficient=0.0),
    "start": dict(t=0.0),
    "w is frozen": dict(eta_w=0.0, gamma=-0.9),
    "u is frozen": dict(eta_u=0.0, target_coefficient=-0.5),
    "u starts at zero": dict(var_u=0.0, correlation=0.0),
    "w starts at zero, target below zero": dict(var_w=0.0, correlation=0.0, target_coefficient=-1.0),
    "late": dict(p=10, var_u=0.1, var_w=0.1, correlation=0.0, t=6.0),
}

pytestmark = pytest.mark.filterwarnings("ignore:.*escape times are not accurate")  # every law of every cell is tried


def law(problem, name):
    return getattr(problem, name)() if hasattr(problem, name) else problem.at_time(name)


def laws(kind):
    """Those that have a density."""
    problem = ensemble(**KINDS[kind])
    for name in NAMES:
        found = law(problem, name)
        if found.std() > 0:
            yield name, found, problem


@pytest.mark.parametrize("kind", KINDS)
def test_distribution_functions(kind):
    """Quantiles are inverse, densities are derivatives, the function rises from 0 to 1."""
    for name, found, _ in laws(kind):
        x = found.ppf(LEVELS)
        assert (np.diff(x) > 0).all(), name
        assert found.cdf(x) == pytest.approx(LEVELS, abs=1e-8), name
        assert found.sf(x) == pytest.approx(1 - LEVELS, abs=1e-8), name
        if kind != "late":
            h = 1e-3 * np.diff(x, prepend=2 * x[0] - x[1])
            slope = (8 * (found.cdf(x + h) - found.cdf(x - h)) - found.cdf(x + 2 * h) + found.cdf(x - 2 * h)) / (12 * h)
            middle = slice(1, -1)
            assert found.pdf(x)[middle] == pytest.approx(slope[middle], rel=1e-4), name
        spread = x[-1] - x[0]
        wide = np.linspace(x[0] - 0.3 * spread, x[-1] + 0.3 * spread, 60)
        cdf = found.cdf(wide)
        assert (np.diff(cdf) > -1e-9).all() and (cdf > -1e-9).all() and (cdf < 1 + 1e-9).all(), name
        far = 1e3 * (abs(x[0]) + abs(x[-1]))
        assert found.cdf(-far) == pytest.approx(0, abs=1e-6), name
        assert name == "coefficient" or found.cdf(far) > 0.99, name


@pytest.mark.parametrize("kind", ["usual", "target below zero, gamma below zero", "one unit", "unequal rates",
                                  "w is frozen", "u is frozen", "u starts at zero", "late"])
def test_moments_of_laws(kind):
    """The quantile function integrates to the mean, with double-exponential nodes."""
    v = np.linspace(-2.2, 2.2, 27)
    q = 1 / (1 + np.exp(-math.pi * np.sinh(v)))
    weight = math.pi * np.cosh(v) * q * (1 - q) * (v[1] - v[0])
    for name, found, problem in laws(kind):
        if name in ("excess_loss", "coefficient") and kind == "late":
            continue  # from networks rarer than any of these levels
        x = found.ppf(q)
        mean = weight @ x
        assert mean == pytest.approx(found.mean(), rel=2e-3, abs=1e-3 * found.std()), name
        assert math.sqrt(weight @ (x - mean) ** 2) == pytest.approx(found.std(), rel=2e-2), name
        average = f"mean_{name}"
        if average in problem.observables:
            assert found.mean() == pytest.approx(float(problem.solve([average]).values[average]), rel=1e-10), name
        if name in ("coefficient", "ntk"):
            assert found.std() == pytest.approx(float(problem.solve([f"sd_{name}"]).values[f"sd_{name}"]), rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_below_quantiles(kind):
    """Shares of 40,000 networks, z below 4."""
    count, given = 40_000, {**USUAL, **KINDS[kind]}
    drawn = reference.observables(cell(given), *reference.triples(cell(given), count, len(kind)))
    drawn["final_alignment"] = alignment(cell(given), len(kind), count)
    for name, found, _ in laws(kind):
        if name == "escape_time" or (name == "final_alignment" and found.std() < 1e-12):
            continue
        share = np.mean(drawn[name][:, None] <= found.ppf(LEVELS), axis=0)
        z = (share - LEVELS) / np.sqrt(LEVELS * (1 - LEVELS) / count)
        assert np.max(np.abs(z)) < 4, (name, z)


USUAL = dict(p=5, var_u=0.4, var_w=0.3, correlation=0.2, target_coefficient=1.0, t=1.0)


def alignment(one, seed, count):
    """|A|/hypot(A, gamma area)."""
    area = reference.network(one, *reference.triples(one, count, seed))[2]
    with np.errstate(all="ignore"):
        return abs(one.A) / np.hypot(one.A, area)


def test_rows_of_final_alignment():
    one = ensemble(p=10, var_u=0.1, var_w=0.1, correlation=0.0).final_alignment()
    two = ensemble(p=100, var_u=1.0, var_w=1.0, correlation=0.0, gamma=0.1).final_alignment()
    assert one.mean() == pytest.approx(0.7488868636026651, abs=1e-15)
    assert two.mean() == pytest.approx(0.1014974740292265, abs=1e-15)


def test_laws_that_scipy_knows():
    q = LEVELS
    problem = ensemble(p=7, gamma=-1.4, target_coefficient=-0.6)
    area = stats.gamma(6, scale=1.4 * math.sqrt(0.4 * 0.3) * math.sqrt(1 - 0.04))
    x = 0.6 / np.hypot(0.6, area.ppf(1 - q))
    found = problem.final_alignment()
    assert found.ppf(q) == pytest.approx(x, rel=1e-12) and found.cdf(x) == pytest.approx(q, rel=1e-12)
    small = ensemble(p=30, var_u=1e-6, var_w=1e-6, correlation=0.0, m2=0.5)
    chi = stats.chi2(30)
    times = (math.log(2 * 2 / 2e-6) - np.log(chi.ppf(1 - q))) / (0.5 * 2)
    found = small.escape_time()
    assert found.ppf(q) == pytest.approx(times, rel=1e-12) and found.sf(times) == pytest.approx(1 - q, rel=1e-12)
    assert found.mean() == pytest.approx(np.mean(_escapes(small)), abs=5 * found.std() / math.sqrt(4000))
    frozen = ensemble(p=7, gamma=-1.4, eta_w=0.0, eta_u=0.7)
    chi = stats.chi2(7, scale=1.4**2 * 0.7 * 0.3)
    for found in (frozen.at_time("ntk"), frozen.final_ntk()):
        assert found.pdf(chi.ppf(q)) == pytest.approx(chi.pdf(chi.ppf(q)), rel=1e-11)
        assert found.cdf(chi.ppf(q)) == pytest.approx(q, rel=1e-11)
        assert (found.mean(), found.std()) == pytest.approx((chi.mean(), chi.std()), rel=1e-13)


def _escapes(problem):
    """Half-times of 4000 networks, by bisection of the closed form."""
    one = cell({name: getattr(problem, name) for name in (
        "p", "var_u", "var_w", "correlation", "target_coefficient", "t", "m2")})
    F0, _, _, bP, bQ = reference.network(one, *reference.triples(one, 4000, 1))
    half = 0.5 * (one.A + F0)
    return reference.bisect(lambda t: reference.flow(one, bP, bQ, F0, t)[0] > half, np.zeros(4000), np.full(4000, 60.0))


def test_escape_is_the_limit_of_the_law_of_the_coefficient():
    problem = ensemble(p=10, var_u=1e-10, var_w=1e-10, correlation=0.0)
    t = problem.escape_time().ppf(np.array([0.1, 0.5, 0.9]))
    reached = problem.replace(t=t).at_time("coefficient").sf(0.5)
    assert reached == pytest.approx([0.1, 0.5, 0.9], abs=1e-6)


def test_kernel_law_beside_slow_sums():
    """Shares of the weights of a fine grid: as accurate as the grid."""
    given = USUAL | {"p": 4, "t": 0.5}
    rule = reference.Trapezoid(cell(given), 4)
    for name in ("coefficient", "ntk", "excess_loss"):
        limit = float(ensemble(**given).at_time(name).ppf(0.4))
        assert rule.share(name, limit) == pytest.approx(0.4, abs=2e-3), name


def test_late_quantiles_beside_rare_means():
    """At late times the mean loss is far above what 99 % of the networks show."""
    problem = ensemble(**KINDS["late"])
    found = problem.at_time("excess_loss")
    assert found.mean() == pytest.approx(4.486242e-12, rel=2e-7)
    assert found.ppf(0.5) < 1e-2 * found.mean()
    one = cell(USUAL | KINDS["late"])
    losses = reference.observables(one, *reference.triples(one, 100_000, 3))["excess_loss"]
    assert np.mean(losses <= found.ppf(0.9)) == pytest.approx(0.9, abs=4e-3)


def test_constants():
    aligned = ensemble(p=1).final_alignment()
    assert (aligned.mean(), aligned.std(), aligned.ppf(0.3), aligned.cdf(0.5), aligned.sf(0.5)) == (1, 0, 1, 0, 1)
    assert math.isnan(aligned.pdf(1.0)) and aligned.pdf(0.5) == 0
    at_rest = ensemble(var_u=0.0, var_w=0.0)
    assert at_rest.final_ntk().mean() == at_rest.at_time("ntk").mean() == at_rest.at_time("coefficient").mean() == 0
    assert at_rest.at_time("excess_loss").ppf(0.2) == 0.5
    for unknown in (at_rest.final_alignment(), ensemble(eta_u=0.0).escape_time(),
                    ensemble(target_coefficient=0.0).escape_time(), ensemble(correlation=1.0).at_time("ntk")):
        assert math.isnan(unknown.mean()) and math.isnan(unknown.cdf(0.5)) and math.isnan(unknown.ppf(0.5))
    against = ensemble(correlation=-1.0, var_u=0.3)
    assert against.final_ntk().mean() == 0 and math.isnan(against.final_alignment().mean())
    still = ensemble(var_u=0.0, correlation=0.0, t=0.0)
    assert float(still.at_time("coefficient").mean()) == 0


# ---- shapes, and what is refused


def test_laws_over_grids():
    problem = LinearNetworkEnsemble(p=[[3], [8]], var_u=0.4, var_w=0.3, t=[0.1, 1.0, 2.0], target_coefficient=1.0)
    found = problem.at_time("coefficient")
    assert found.shape == (2, 3) and found.mean().shape == (2, 3) and found.cdf(0.5).shape == (2, 3)
    levels = found.ppf(np.array([0.1, 0.9]).reshape(2, 1, 1))
    assert levels.shape == (2, 2, 3)
    for i in np.ndindex(2, 3):
        alone = ensemble(p=(3, 8)[i[0]], correlation=0.0, t=(0.1, 1.0, 2.0)[i[1]]).at_time("coefficient")
        assert levels[:, i[0], i[1]] == pytest.approx(alone.ppf(np.array([0.1, 0.9])), rel=1e-12)
    with pytest.raises(ParameterError, match="must broadcast with the cells"):
        found.cdf(np.zeros(2))
    with pytest.raises(ParameterError, match="must not be longer"):
        ensemble(p=[3]).at_time("ntk").cdf(np.zeros(4))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.5, np.nan])
def test_bad_levels(level):
    for call in (ensemble().final_ntk().ppf, lambda q: ensemble().final_ntk().ppf([0.5, q]), ensemble().quantiles):
        with pytest.raises(ParameterError, match=r"must be .*> 0 and < 1"):
            call(level)
    with pytest.raises(ParameterError, match="x: must be a number"):
        ensemble().final_ntk().cdf(np.nan)


def test_bad_observables_and_levels():
    with pytest.raises(ParameterError, match="must be one of coefficient, excess_loss, ntk, got 'cosine'"):
        ensemble().at_time("cosine")
    with pytest.raises(ParameterError, match="got 'gap'"):
        ensemble().quantiles(0.5, ["ntk", "gap"])
    for levels in ([], [[0.1, 0.5]]):
        with pytest.raises(ParameterError, match="levels"):
            ensemble().quantiles(levels)
    with pytest.raises(ParameterError, match="name of an axis"):
        LinearNetworkEnsemble(p=3, var_u=1.0, var_w=1.0, target_coefficient=1.0,
                              t=xr.DataArray([1.0, 2.0], dims="level")).quantiles(0.5)


def test_quantiles(tmp_path):
    problem = LinearNetworkEnsemble(var_u=0.4, var_w=0.3, target_coefficient=1.0, **grid(p=[2, 9], t=[0.0, 0.5, 4.0]))
    found = problem.quantiles([0.1, 0.5, 0.9])
    assert set(found.data_vars) == {"coefficient", "excess_loss", "ntk"}
    assert found.ntk.dims == ("p", "t", "level") and found.level.values.tolist() == [0.1, 0.5, 0.9]
    for name in found.data_vars:
        assert (np.diff(found[name], axis=-1) > 0).all()
        alone = ensemble(p=9, correlation=0.0, t=0.5).at_time(name).ppf(0.5)
        assert found[name].sel(p=9, t=0.5, level=0.5).item() == pytest.approx(alone, rel=1e-12)
        assert "quantile" in found[name].attrs["long_name"]
    found.to_netcdf(tmp_path / "quantiles.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "quantiles.nc", engine="scipy") as read:
        xr.testing.assert_identical(read.load(), found)
    assert problem.quantiles(0.5, "ntk").sizes["level"] == 1
    assert values(dict(p=9, var_u=0.4, var_w=0.3, target_coefficient=1.0, t=0.5), ["mean_ntk"])["mean_ntk"] > 0


def test_escape_times_of_large_weights_warn():
    large = ensemble(p=4, var_u=1.0, var_w=1.0, t=0.0)
    with pytest.warns(AccuracyWarning, match="in 1 of 1 cells the initial weights are not small"):
        large.escape_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        large.replace(var_u=1e-4, var_w=1e-4).escape_time()


@pytest.mark.parametrize(("p", "t"), [(1, 10.0), (1, 100.0), (4, 29.0), (3, 0.5)])
def test_late_quantiles_of_a_frozen_layer(p, t):
    """Where most of the spreads at given X have underflowed."""
    rng = np.random.default_rng(p)
    u, w = rng.normal(size=(2, 40_000, p)) / np.sqrt(p)
    with np.errstate(under="ignore"):
        gap = (1 - (u * w).sum(axis=1)) * np.exp(-t * (w * w).sum(axis=1))
        loss = 0.5 * gap**2
    problem = ensemble(p=p, var_u=1 / p, var_w=1 / p, correlation=0.0, eta_w=0.0, t=t)
    for level in (0.1, 0.5, 0.8):
        limit = problem.at_time("excess_loss").ppf(level)
        share = np.mean(loss <= limit)
        assert abs(share - level) < 4 * np.sqrt(level * (1 - level) / gap.size)
        assert problem.at_time("excess_loss").cdf(limit) == pytest.approx(level, abs=1e-9)


def test_losses_below_the_smallest_number_are_zero():
    late = ensemble(p=3, var_u=0.3, var_w=0.3, target_coefficient=1.0, t=[100.0, 1000.0]).at_time("excess_loss")
    early, last = np.moveaxis(late.ppf(np.array([0.2, 0.5, 0.8])[:, None]), 1, 0)
    assert np.all(np.diff(early) > 0) and np.all(last == 0)
