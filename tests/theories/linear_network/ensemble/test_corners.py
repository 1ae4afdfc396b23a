"""Zero rates, zero weights, perfect correlation, one and a million units, early and late times, extreme scales."""

import itertools
import math
import warnings

import numpy as np
import pytest

from asymptotics import AccuracyWarning, LinearNetworkEnsemble
from tests.reference import linear_network_ensemble as reference

from .problems import MEANS, WITHOUT_ANGLE, cell, ensemble, values

ALL = (*WITHOUT_ANGLE, "mean_cosine")


def over_chi_square(p, function):
    """E function(X) with a chi-square X."""
    s = np.linspace(-200 / p - 10, math.log(2 * p + 200), 4000)
    log = 0.5 * p * s - 0.5 * np.exp(s)
    weight = np.exp(log - np.max(log))
    return float(np.sum(weight * function(np.exp(s))) / np.sum(weight))


def on_a_line(given):
    """All observables where P and Q are proportional to one chi-square variable."""
    one = cell(given)
    a, b = one.eta_w * one.var_u, one.eta_u * one.var_w
    rho = one.rho * math.copysign(1, one.gamma)
    plus, minus = (math.sqrt(a) + math.copysign(1, rho) * math.sqrt(b)) ** 2, (
        math.sqrt(a) - math.copysign(1, rho) * math.sqrt(b)) ** 2
    if rho == 0:
        plus = minus = a + b

    def mean(function):
        with np.errstate(all="ignore"):
            return over_chi_square(one.p, lambda X: function(*reference.flow(
                one, one.gamma**2 * plus * X, one.gamma**2 * minus * X,
                one.gamma**2 * (plus - minus) * X / (2 * one.kap))[:3]))

    F, Theta, r = (mean(lambda *found, i=i: found[i]) for i in (0, 2, 1))
    return {"mean_coefficient": F, "mean_ntk": Theta,
            "mean_excess_loss": 0.5 * one.c * one.m2 * mean(lambda F, r, Theta: r * r),
            "sd_coefficient": math.sqrt(mean(lambda F_, r_, Theta_: (r_ - r) ** 2)),
            "sd_ntk": math.sqrt(mean(lambda F_, r_, Theta_: (Theta_ - Theta) ** 2))}


@pytest.mark.parametrize("changes", [
    dict(var_u=0.0, correlation=0.0), dict(var_w=0.0, correlation=0.0, target_coefficient=-1.3),
    dict(var_u=0.0, correlation=0.7, gamma=-1.2), dict(correlation=1.0), dict(correlation=1.0, target_coefficient=-0.7),
    dict(correlation=-1.0, eta_u=0.3), dict(correlation=-1.0, gamma=-0.6, eta_w=3.0),
])
@pytest.mark.parametrize("p", [1, 4])
def test_one_random_number(changes, p):
    """One layer zero, or layers that are proportional with unequal norms."""
    given = dict(p=p, var_u=0.4, var_w=0.3, target_coefficient=1.0, t=0.6, m2=0.8) | changes
    found = values(given, WITHOUT_ANGLE)
    zero = given["var_u"] * given["var_w"] == 0
    for name, value in on_a_line(given | ({"correlation": 0.0} if zero else {})).items():
        assert found[name] == pytest.approx(value, rel=1e-10), name
    if zero:
        cosine = values(given, ["mean_cosine"])["mean_cosine"]
        assert cosine == math.copysign(1, given["target_coefficient"] * given.get("gamma", 1.0))


@pytest.mark.parametrize("target", [1.0, -1.0])
@pytest.mark.parametrize("correlation", [1.0, -1.0])
def test_balanced_layers(target, correlation):
    """a = b: logistic growth, or decay to zero and no way to a target of the other sign."""
    p, t = 3, np.array([0.0, 0.5, 3.0])
    problem = LinearNetworkEnsemble(p=p, var_u=0.4, var_w=0.4, correlation=correlation, target_coefficient=target, t=t)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        solution = problem.solve()
    against = target * correlation < 0
    assert [warning.category for warning in caught] == [AccuracyWarning] * against
    if against:
        assert "in 3 of 3 cells" in str(caught[0].message) and caught[0].filename == __file__
    assert solution.converged.all()
    for i, time in enumerate(t.tolist()):
        def F(X, time=time):
            F0, x = 0.4 * correlation * X, 2 * time
            if against:
                return _opposed(F0, target, x)
            return target * F0 / (F0 + (target - F0) * math.exp(-x))

        F_mean = over_chi_square(p, F)
        assert solution.mean_coefficient[i] == pytest.approx(F_mean, abs=1e-12)
        assert solution.mean_ntk[i] == pytest.approx(2 * over_chi_square(p, lambda X: np.abs(F(X))), rel=1e-11)
        loss = over_chi_square(p, lambda X: 0.5 * (target - F(X)) ** 2)
        assert solution.mean_excess_loss[i] == pytest.approx(loss, rel=1e-10)
    assert np.all(solution.mean_cosine == correlation)
    assert np.all(solution.mean_final_ntk == 0) if against else solution.mean_final_ntk == pytest.approx(2.0)


def _opposed(F0, target, x):
    """Logistic decay to zero of a coefficient of the other sign: Lam = c m2 kap |A|."""
    e = np.exp(-x)
    return F0 * target * e / (target - F0 * (1 - e))


def test_frozen_layers_that_start_at_zero():
    """The kernel is chi-square, or zero for ever."""
    still = ensemble(eta_u=0.0, var_u=0.0, correlation=0.0, t=0.7)
    assert still.solve().mean_ntk == 0 and still.solve().mean_excess_loss == 0.5
    assert math.isnan(still.solve().mean_cosine)
    moving = ensemble(eta_w=0.0, var_u=0.0, correlation=0.0, t=0.7)
    assert moving.solve().mean_coefficient == pytest.approx(
        over_chi_square(5, lambda X: 1 - np.exp(-0.7 * 0.3 * X)), rel=1e-12)
    assert moving.solve().mean_cosine == 1 and moving.replace(gamma=-1.0).solve().mean_cosine == -1


def test_nothing_is_trained_or_there():
    """Both rates zero in a cell of a grid; both variances zero."""
    found = ensemble(eta_u=[0.0, 1.0], eta_w=[0.0, 1.0], t=2.0).solve()
    start = ensemble(t=0.0).solve()
    assert found.converged.all()
    for name in ("mean_coefficient", "mean_excess_loss", "sd_coefficient", "mean_cosine"):
        assert found.values[name][0] == pytest.approx(start.values[name], rel=1e-11), name
    assert found.mean_ntk[0] == found.mean_final_ntk[0] == found.sd_ntk[0] == 0
    empty = ensemble(var_u=0.0, var_w=0.0, t=[0.0, 5.0], target_coefficient=-2.0).solve()
    assert (empty.mean_excess_loss == 2).all() and (empty.mean_coefficient == 0).all() and (empty.mean_ntk == 0).all()
    assert np.isnan(empty.mean_cosine).all() and empty.converged.all()


def test_one_unit():
    """The layers are parallel or opposed at all times."""
    given = dict(p=1, var_u=1.0, var_w=0.5, correlation=0.5, gamma=-1.3, target_coefficient=0.8, t=0.5)
    drawn = reference.observables(cell(given), *reference.triples(cell(given), 400_000, 1))
    found = values(given, ALL)
    assert abs(found["mean_cosine"] - np.mean(drawn["cosine"])) < 4 * np.std(drawn["cosine"]) / 632
    assert abs(found["mean_cosine"]) < 1
    start = values(given | {"t": 0.0}, ["mean_cosine"])["mean_cosine"]
    assert start == pytest.approx(2 / math.pi * math.asin(0.5), abs=1e-9)


def test_a_million_units():
    """A narrow law: Gauss quadrature of order 12."""
    for t in (0.0, 0.3, 2.0):
        given = dict(p=10**6, var_u=1e-6, var_w=3e-6, correlation=0.3, target_coefficient=-0.7, t=t)
        found, expected = values(given, ALL), reference.gauss(cell(given), 12)
        for name in ALL:
            slack = 1e-6 if name.startswith("sd") else 1e-10
            assert found[name] == pytest.approx(expected[name], rel=slack), (name, t)


def test_the_end():
    found = ensemble(t=[1e6, 1e12, 1e300]).solve()
    assert found.converged.all() and (found.mean_excess_loss == 0).all()
    assert found.mean_coefficient == pytest.approx(1, abs=1e-15)
    assert found.mean_ntk == pytest.approx(found.mean_final_ntk, rel=1e-14)
    alignment = ensemble().final_alignment()
    assert found.mean_cosine == pytest.approx(alignment.mean(), abs=1e-9)
    assert (found.sd_coefficient == 0).all()
    assert found.sd_ntk == pytest.approx(ensemble().final_ntk().std(), rel=1e-10)


def test_early_times_keep_their_digits():
    """The change of the mean coefficient is the mean kernel times the gap, to first order."""
    start, soon = ensemble(correlation=0.0, t=0.0).solve(), ensemble(correlation=0.0, t=1e-9).solve()
    assert start.mean_coefficient == pytest.approx(0, abs=1e-16)
    # E Theta r at the start, with <u, w> independent of its sign: A E Theta
    assert soon.mean_coefficient == pytest.approx(1e-9 * start.mean_ntk, rel=1e-7)


def test_scales():
    """Changes of units are only that, between 1e-100 and 1e100."""
    plain = values(USUAL, ALL)
    for power in (-100, -30, 30, 100):
        k = 10.0**power
        scaled = values(USUAL | {"var_u": USUAL["var_u"] * k, "gamma": 10.0 ** (-power / 2), "eta_u": k}, ALL)
        assert scaled == pytest.approx(plain, rel=1e-9), power
        later = values(USUAL | {"m2": k, "t": USUAL["t"] / k}, ALL)
        assert later["mean_excess_loss"] == pytest.approx(k * plain["mean_excess_loss"], rel=1e-11)
        assert later["mean_coefficient"] == pytest.approx(plain["mean_coefficient"], rel=1e-11)
        larger = values(USUAL | {"gamma": k, "target_coefficient": k * USUAL["target_coefficient"],
                                 "t": USUAL["t"] / k / k}, ALL)
        assert larger["mean_ntk"] == pytest.approx(k * k * plain["mean_ntk"], rel=1e-10)
        assert larger["mean_cosine"] == pytest.approx(plain["mean_cosine"], rel=1e-8)


USUAL = dict(p=4, var_u=0.4, var_w=0.3, correlation=0.2, target_coefficient=1.0, t=0.8, eta_u=1.0)


@pytest.mark.parametrize("var_u", [1e-6, 1e-9, 1e-12, 1e-30, 1e-60, 1e-90])
def test_layers_of_very_unequal_norms(var_u):
    """tau tends to 1: the limit is a layer that starts at zero."""
    for p in (1, 3, 30, 300):
        given = dict(p=p, var_u=var_u, var_w=0.5, target_coefficient=1.0, t=1.2)
        found, limit = values(given, WITHOUT_ANGLE), values(given | {"var_u": 0.0}, WITHOUT_ANGLE)
        for name in WITHOUT_ANGLE:
            assert found[name] == pytest.approx(limit[name], rel=max(1e-10, 20 * var_u * p)), (name, p)


def test_nearly_perfect_correlation():
    for rest in (1e-6, 1e-10):
        given = dict(p=3, var_u=0.4, var_w=0.2, target_coefficient=-0.8, t=0.9)
        found, limit = (values(given | {"correlation": rho}, WITHOUT_ANGLE) for rho in (1 - rest, 1.0))
        for name in WITHOUT_ANGLE:
            assert found[name] == pytest.approx(limit[name], rel=1e2 * rest), (name, rest)


def test_no_mixture_of_corners_is_a_plausible_number():
    """Every corner beside every other: a cell is finite and in its bounds, or NaN with `converged` False."""
    corners = itertools.product((1, 2, 50), (0.0, 1e-100, 0.5, 1e100), (0.0, 0.5, 1e100), (-1.0, 0.0, 0.4, 1.0),
                                (-1.0, 1e-100, 1e100), (0.0, 1.0), (1.0,), (-1.0, 0.0, 1e100))
    p, var_u, var_w, rho, gamma, eta_u, eta_w, A = map(np.array, zip(*corners, strict=True))
    problem = LinearNetworkEnsemble(p=p[:, None], var_u=var_u[:, None], var_w=var_w[:, None], correlation=rho[:, None],
                                    gamma=gamma[:, None], eta_u=eta_u[:, None], eta_w=eta_w[:, None],
                                    target_coefficient=A[:, None], t=np.array([0.0, 1.0, 1e6]))
    picked = problem.isel(dim_0=slice(0, None, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        found = picked.solve(WITHOUT_ANGLE)
    for name, value in found.values.items():
        assert (np.isfinite(value) == found.converged).all(), name
    assert found.converged.mean() > 0.3 and not found.converged.all()
    inside = found.converged
    for name in ("mean_ntk", "mean_excess_loss", "mean_final_ntk", "sd_coefficient", "sd_ntk"):
        assert (found.values[name][inside] >= 0).all(), name
    losses = found.mean_excess_loss[inside.all(axis=1)]
    assert (losses[:, 1:] <= (1 + 1e-9) * losses[:, :-1]).all()


def test_beyond_float64():
    for changes in ({"var_u": 1e300, "var_w": 1e300}, {"gamma": 1e300}, {"target_coefficient": 1e300, "gamma": 1e100}):
        problem = ensemble(t=[0.5, 1.0], **changes)
        with pytest.warns(AccuracyWarning, match="2 of 2 cells did not converge"):
            found = problem.solve(MEANS)
        assert not found.converged.any() and all(np.isnan(value).all() for value in found.values.values())
