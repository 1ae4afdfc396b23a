"""`LinearNetworkDecay`: tabulated digits, integrators, limits, identities, corners, input."""

import itertools

import mpmath
import numpy as np
import pytest

import asymptotics as asy
from asymptotics import AccuracyWarning, LinearNetwork, LinearNetworkDecay, ParameterError
from asymptotics.theories.linear_network.decay.bessel import attenuation, excess, ratios
from asymptotics.theories.linear_network.decay.flow import Points, arrive
from tests.reference import linear_network_extensions as reference
from tests.theories.linear_network.problems import CASES, KINDS, arguments, random_problem

NAMES = ("coefficient", "gap", "ntk", "cosine", "norm_u", "norm_w")


def decay(name="A", **changes):
    return LinearNetworkDecay(**{"t": 1.0, "weight_decay": 0.1, **CASES[name], **changes})


def test_tabulated_digits():
    solution = decay(t=2.0).solve()
    assert solution.coefficient == pytest.approx(0.8573425768701, rel=1e-13)
    assert solution.ntk == pytest.approx(1.81990515139, rel=1e-12)
    assert solution.converged and solution.residual < 1e-15


@pytest.mark.parametrize("kind", KINDS[:6])
def test_integrated_weights(kind):
    """DOP853 on the 2p weights."""
    rng = np.random.default_rng(8)
    for mu_in_rates in (0.01, 0.3, 3.0):
        given = random_problem(rng, kind)
        rate = float(LinearNetwork(t=0.0, **given).solve().decay_rate)
        mu, times = mu_in_rates * rate, np.array([0.1, 0.7, 2.5]) / rate
        u, w = reference.integrate(times=times, mu=mu, **arguments(given))
        solution = LinearNetworkDecay(weight_decay=mu, t=times, **given).solve()
        gamma, A = given["gamma"], given["target_coefficient"]
        F = gamma * np.sum(u * w, axis=1)
        scale = abs(A) + abs(gamma * (given["u"] @ given["w"]))
        assert solution.coefficient == pytest.approx(F, abs=1e-10 * scale)
        assert solution.norm_u == pytest.approx(np.linalg.norm(u, axis=1), rel=1e-8)
        assert solution.norm_w == pytest.approx(np.linalg.norm(w, axis=1), rel=1e-8)
        if given["eta_u"] * given["eta_w"] > 0:
            penalty = np.sum(u**2, axis=1) / given["eta_u"] + np.sum(w**2, axis=1) / given["eta_w"]
            assert solution.penalised_loss == pytest.approx(solution.loss + 0.5 * mu * penalty, rel=1e-9)
            assert (np.diff(solution.penalised_loss) <= 0).all()
        else:
            assert np.isnan(solution.penalised_loss).all()


@pytest.mark.parametrize("name", CASES)
def test_no_decay_is_the_flow_itself(name):
    t = np.array([0.0, 0.3, 2.0, 9.0])
    flow, still = LinearNetwork(**CASES[name], t=t).solve(), decay(name, weight_decay=0.0, t=t).solve()
    for observable in (*NAMES, "sharpness", "standard_ntk", "final_ntk", "decay_rate"):
        assert np.array_equal(still.values[observable], flow.values[observable]), observable
    assert (still.final_coefficient == CASES[name]["target_coefficient"]).all()
    assert np.array_equal(still.penalised_loss, still.loss)
    for mu in (1e-300, 1e-30, 1e-12, 1e-7):
        near = decay(name, weight_decay=mu, t=t).solve()
        for observable in NAMES:
            expected = flow.values[observable]
            assert near.values[observable] == pytest.approx(expected, rel=100 * mu + 1e-13, abs=100 * mu + 1e-14)


def test_mixed_cells_with_and_without_decay():
    mu = np.array([0.0, 0.1, 0.0, 2.0])
    both = decay(weight_decay=mu[:, None], t=[0.5, 2.0]).solve()
    for i, value in enumerate(mu):
        alone = decay(weight_decay=value, t=[0.5, 2.0]).solve()
        for name, values in both.values.items():
            np.testing.assert_allclose(values[i], alone.values[name], rtol=1e-15, err_msg=name)


# ---- the parts: Bessel functions of every order and argument


@pytest.mark.parametrize("a", [0.0, 1e-9, 0.499, 0.5, 7.3, 25.9, 26.1, 5000.0])
@pytest.mark.parametrize("X0", [1e-8, 0.7, 25.9, 26.1, 400.0])
def test_ratios_and_attenuation(a, X0):
    m = 0.125
    for length in (1e-9, 0.9, 5.0):
        X = X0 * np.exp(-length)
        if a < 26 and X < 1e-9:
            continue
        args = [np.array([x]) for x in (a * m, X * m, m)]
        start = [np.array([x]) for x in (a * m, X0 * m, m)]
        found, larger = ratios(*args), excess(*args)
        with mpmath.workdps(60):
            above, below, x, x0 = a + mpmath.mpf("0.5"), a - mpmath.mpf("0.5"), mpmath.mpf(X), mpmath.mpf(X0)
            K = mpmath.besselk(above, x) / mpmath.besselk(below, x)
            In = mpmath.besseli(above, x) / mpmath.besseli(below, x)
            assert float(found.K[0] / (m * x * K) - 1) == pytest.approx(0, abs=1e-13)
            assert float(found.I[0] * (m * x) / In - 1) == pytest.approx(0, abs=1e-13)
            if 0 < a <= 0.5 * X:
                assert float(larger[0] * 4 * m * a / (K - 1) - 1) == pytest.approx(0, abs=1e-13)
            for order, n in ((above, a + 0.5), (below, a - 0.5)):
                values = [mpmath.log(mpmath.besseli(order, y) / mpmath.besselk(order, y))
                          for y in (x0 * mpmath.exp(-mpmath.mpf(length)), x0)]
                expected = values[0] - values[1]
                got = attenuation(np.array([n * m]), *start, np.array([length]), np.array([length / (2 * m)]))[0]
                # of a large logarithm, e^G counts
                assert float(got / expected - 1) == pytest.approx(0, abs=max(1e-13, 1e-13 / abs(float(expected))))


@pytest.mark.parametrize(("bP", "bQ", "drive", "m", "tau"), [
    (1.0, 0.3, 0.7, 0.05, 3.0), (0.2, 1.0, 1.0, 0.3, 2.0), (1e-12, 1.0, 0.8, 0.1, 30.0), (1.0, 1e-9, 0.0, 0.01, 50.0),
    (1.0, 1.0, 0.01, 0.002, 100.0), (0.5, 1.0, 1.0, 0.5, 10.0), (1e-20, 1.0, 1.0, 0.01, 90.0),
])
def test_bessel_functions_of_many_digits(bP, bQ, drive, m, tau):
    """Also that the two references agree."""
    expected_F, expected = reference.bessel(bP, bQ, drive, m, tau)
    z = reference.ratio(bP, bQ, mpmath.mpf(drive), m, tau)
    fading = mpmath.exp(-2 * mpmath.mpf(m) * tau)
    assert float(fading * (bP * z + bQ / z) / 2 / expected - 1) == pytest.approx(0, abs=1e-15)
    values = (bP, bQ, bP**0.5 * bQ**0.5, 1.0, drive, 0.5 * (bP - bQ), m, tau, 2 * m * tau)
    found = arrive(Points(*(np.array([x]) for x in values)))
    assert float((found.toward[0] + found.away[0]) / 2 / expected - 1) == pytest.approx(0, abs=2e-13)
    assert float((found.toward[0] - found.away[0]) / 2 - expected_F) == pytest.approx(0, abs=2e-13 * float(expected))


# ---- limits


@pytest.mark.parametrize("name", ["A", "B", "C", "E"])
@pytest.mark.parametrize("strength", [0.05, 0.4, 0.9, 1.5, 8.0])
def test_where_it_ends_and_how_fast(name, strength):
    """The soft threshold, and the rate from two late times."""
    start = decay(name, weight_decay=0.0, t=0.0)
    A = CASES[name]["target_coefficient"]
    kap = 2 * abs(start.gamma) * (start.eta_u * start.eta_w) ** 0.5
    mu = 0.5 * strength * kap * start.m2 * abs(A)
    problem = start.replace(weight_decay=mu)
    end = problem.solve()
    rate = float(end.decay_rate)
    late = problem.replace(t=np.array([18.0, 19.0, 200.0]) / rate).solve()
    assert late.coefficient[2] == pytest.approx(end.final_coefficient, abs=1e-9 * abs(A))
    assert late.ntk[2] == pytest.approx(end.final_ntk, abs=1e-9)
    distance = late.coefficient[:2] - end.final_coefficient
    assert np.log(distance[0] / distance[1]) == pytest.approx(1.0, abs=0.02)
    assert end.final_coefficient == pytest.approx(np.sign(A) * max(1 - strength, 0) * abs(A), rel=1e-12)
    lam_u, lam_w = mu / start.eta_u, mu / start.eta_w
    assert problem.stationary_coefficient(lam_u=lam_u, lam_w=lam_w) == pytest.approx(end.final_coefficient, rel=1e-12)


def test_stationary_coefficient_minimises_the_penalised_loss():
    """Unequal penalties: the minimum over the norms and the angle, by brute force."""
    problem = decay("B", loss_factor=2.0)
    lam_u, lam_w = 0.7, 0.09
    norms = np.geomspace(1e-3, 10, 1201)
    F = -problem.gamma * norms[:, None] * norms
    loss = problem.m2 * (F + 2) ** 2 + 0.5 * lam_u * norms[:, None] ** 2 + 0.5 * lam_w * norms**2
    best = F.flat[np.argmin(loss)]
    assert problem.stationary_coefficient(lam_u=lam_u, lam_w=lam_w) == pytest.approx(best, abs=5e-3)
    grid = problem.stationary_coefficient(lam_u=[[0.0], [1e3]], lam_w=[0.1, 0.2, 0.3])
    assert grid.shape == (2, 3) and (grid[0] == -2).all() and (grid[1] == 0).all()
    with pytest.raises(ParameterError, match="lam_u"):
        problem.stationary_coefficient(lam_u=-1, lam_w=1)


# ---- identities


def test_semigroup():
    """Again from the overlaps at t1."""
    rng = np.random.default_rng(2)
    for kind in ("generic", "no target", "aligned", "opposed", "almost aligned", "unbalanced"):
        given = random_problem(rng, kind)
        rate = float(LinearNetwork(t=0.0, **given).solve().decay_rate) + 1e-3
        problem = LinearNetworkDecay(weight_decay=0.2 * rate, t=0.0, **given)
        first, second = 0.8 / rate, 1.9 / rate
        whole, state = problem.replace(t=first + second).solve(), problem.replace(t=first).solve()
        uw = float(state.coefficient / given["gamma"])
        norms = float(state.norm_u), float(state.norm_w)
        others = {name: value for name, value in given.items() if name not in ("u", "w")}
        again = LinearNetworkDecay.from_overlaps(
            uu=norms[0] ** 2, ww=norms[1] ** 2, uw=np.clip(uw, -norms[0] * norms[1], norms[0] * norms[1]),
            weight_decay=0.2 * rate, t=second, **others).solve()
        scale = abs(given["target_coefficient"]) + abs(float(state.coefficient))
        assert again.coefficient == pytest.approx(whole.coefficient, abs=1e-6 * scale), kind
        if kind not in ("aligned", "opposed", "almost aligned"):
            assert again.coefficient == pytest.approx(whole.coefficient, abs=1e-11 * scale), kind


def test_symmetries():
    rng = np.random.default_rng(3)
    for kind in ("generic", "unbalanced", "almost aligned"):
        given = random_problem(rng, kind)
        rate = float(LinearNetwork(t=0.0, **given).solve().decay_rate)
        mu, t = 0.3 * rate, np.array([0.1, 1.0, 5.0]) / rate
        problem = LinearNetworkDecay(weight_decay=mu, t=t, **given)
        base = problem.solve()
        u, w, gamma, m2 = (given[name] for name in ("u", "w", "gamma", "m2"))
        for sign, changed in (
            (-1, dict(target_coefficient=-given["target_coefficient"], u=-u)),
            (1, dict(gamma=-gamma, w=-w)),
            (1, dict(m2=4 * m2, t=t / 4, weight_decay=4 * mu)),
            (1, dict(u=8 * u, gamma=gamma / 8, eta_u=64 * given["eta_u"])),
            (1, dict(u=w, w=u, eta_u=given["eta_w"], eta_w=given["eta_u"])),
            (1, dict(u=np.tile(u, 4) / 2, w=np.tile(w, 4) / 2)),
        ):
            other = problem.replace(**changed).solve()
            for name, factor in (("coefficient", sign), ("ntk", 1)):
                assert other.values[name] == pytest.approx(factor * base.values[name], rel=1e-11), (kind, changed, name)


def test_area_and_imbalance_decay():
    t = np.linspace(0, 8, 30)
    solution = decay("B", weight_decay=0.2, t=t).solve()
    gamma, fading = CASES["B"]["gamma"], np.exp(-0.4 * t)
    area = np.sqrt((solution.norm_u * solution.norm_w) ** 2 - (solution.coefficient / gamma) ** 2)
    imbalance = CASES["B"]["eta_w"] * solution.norm_u**2 - CASES["B"]["eta_u"] * solution.norm_w**2
    assert area == pytest.approx(area[0] * fading, abs=1e-7 * area[0])
    assert imbalance == pytest.approx(imbalance[0] * fading, abs=1e-14)
    kap = 2 * gamma * (CASES["B"]["eta_u"] * CASES["B"]["eta_w"]) ** 0.5
    Gam = np.sqrt(solution.ntk**2 - (kap * solution.coefficient) ** 2)
    assert Gam == pytest.approx(Gam[0] * fading, abs=1e-7 * Gam[0])


# ---- corners


def test_logistic_curve_with_decay():
    """u = w: dF/dt = kap F (A - F) - 2 mu F, which is logistic with another target and rate."""
    w, t = np.array([0.1, 0.05]), np.array([0.0, 1.0, 4.0, 30.0])
    F0 = w @ w
    for A, mu in ((1.0, 0.2), (1.0, 1.0), (1.0, 3.0), (-1.0, 0.3), (0.0, 0.5)):
        solution = LinearNetworkDecay(u=w, w=w, target_coefficient=A, weight_decay=mu, t=t).solve()
        end = A - mu
        growth = t if end == 0 else np.expm1(2 * end * t) / (2 * end)
        F = F0 * np.exp(2 * end * t) / (1 + 2 * F0 * growth)
        assert solution.coefficient == pytest.approx(F, rel=1e-13, abs=1e-300), (A, mu)
        assert solution.cosine == pytest.approx(np.ones(4)) and (solution.final_coefficient == max(end, 0)).all()


def test_nothing_but_decay():
    """Zero weights stay; without learning rates, F and the norms only decay."""
    t = np.array([0.0, 1.0, 3.0])
    zero = LinearNetworkDecay(u=[0.0], w=[0.0], target_coefficient=1, weight_decay=0.3, t=t).solve()
    assert (zero.coefficient == 0).all() and (zero.norm_u == 0).all() and zero.converged.all()
    assert (zero.decay_rate == 0).all() and np.isnan(zero.cosine).all()
    frozen = decay(weight_decay=0.3, eta_u=[0.0], eta_w=0.0, t=t[:, None]).solve()
    assert frozen.coefficient[:, 0] == pytest.approx(0.01 * np.exp(-0.6 * t), rel=1e-14)
    assert frozen.norm_u[:, 0] == pytest.approx(0.3**0.5 * np.exp(-0.3 * t), rel=1e-14)
    assert frozen.ntk[:, 0] == pytest.approx(np.zeros(3)) and np.isnan(frozen.penalised_loss).all()


@pytest.mark.parametrize("mu", [1e-9, 0.01, 1.0, 60.0])
def test_one_rate_vanishes_continuously(mu):
    """A frozen layer decays all the same."""
    t = np.array([0.3, 2.0, 9.0])
    frozen = decay(eta_w=0.0, weight_decay=mu, t=t).solve()
    assert frozen.norm_w == pytest.approx(0.61**0.5 * np.exp(-mu * t), rel=1e-13)
    for eta_w in (1e-12, 1e-300):
        near = decay(eta_w=eta_w, weight_decay=mu, t=t).solve()
        for name in NAMES:
            assert near.values[name] == pytest.approx(frozen.values[name], rel=200 * eta_w**0.5 + 1e-12,
                                                      nan_ok=True), name


def test_saddle_passage():
    """From F < 0 to a positive target, past the saddle at a distance of 1e-20."""
    for t in np.linspace(0, 120, 25):
        with mpmath.workdps(60):
            F, Theta = reference.bessel(1e-20, 1.0, mpmath.mpf(1), mpmath.mpf("0.0625"), mpmath.mpf(t))
        values = (1e-20, 1.0, 1e-10, 1.0, 1.0, 0.5 * (1e-20 - 1), 0.0625, t, 0.125 * t)
        found = arrive(Points(*(np.array([x]) for x in values)))
        double = found.toward[0] + found.away[0]
        assert abs(found.toward[0] - found.away[0] - 2 * F) <= 1e-12 * double
        assert double == pytest.approx(2 * float(Theta), rel=1e-12, abs=0)


def test_everything_decays_until_it_underflows():
    solution = decay(weight_decay=3.0, t=np.linspace(0, 400, 801)).solve()
    assert solution.converged.all() and np.isfinite(solution.norm_u).all() and solution.coefficient[-1] == 0
    known = ~np.isnan(solution.cosine)
    assert known[: np.argmin(known)].all() and known.sum() > 200
    assert np.max(np.abs(np.diff(solution.cosine[known]))[50:]) < 1e-2


def test_scales():
    """Time, kernel and function in other units: powers of two change no digit that matters."""
    base = decay(t=[0.3, 2.0, 40.0]).solve()
    for unit in (2.0**-300, 2.0**300):
        # u, w -> sqrt(unit), gamma -> 1/unit, rates -> unit^... leave F and Theta
        other = decay(u=np.array(CASES["A"]["u"]) * unit, w=np.array(CASES["A"]["w"]) * unit, gamma=unit**-2,
                      eta_u=unit**2, eta_w=unit**2, t=[0.3, 2.0, 40.0]).solve()
        for name in ("coefficient", "ntk", "cosine"):
            assert other.values[name] == pytest.approx(base.values[name], rel=1e-14)
        assert other.norm_u == pytest.approx(base.norm_u * unit, rel=1e-14)
        slow = decay(m2=unit, weight_decay=0.1 * unit, t=np.array([0.3, 2.0, 40.0]) / unit).solve()
        assert slow.coefficient == pytest.approx(base.coefficient, rel=1e-14)


def test_no_warnings_and_no_failures_over_a_wide_grid():
    rng = np.random.default_rng(0)
    with np.errstate(all="raise"):
        for kind in KINDS:
            given = random_problem(rng, kind)
            solution = LinearNetworkDecay(
                **given, weight_decay=np.concatenate([[0], np.geomspace(1e-300, 1e300, 121)])[:, None],
                t=np.concatenate([[0], np.geomspace(1e-300, 1e300, 61)])).solve()
            assert solution.converged.all()
            for name in ("coefficient", "ntk", "gap", "norm_u", "norm_w"):
                assert np.isfinite(solution.values[name]).all(), (kind, name)
            assert np.max(solution.residual) < 1e-12


# ---- input and grids


@pytest.mark.parametrize(("changes", "name", "words"), [
    ({"weight_decay": -1}, "weight_decay", "must be >= 0, got -1"),
    ({"weight_decay": np.inf}, "weight_decay", "finite"),
    ({"weight_decay": None}, "weight_decay", "a number"),
    ({"weight_decay": "strong"}, "weight_decay", "a number"),
    ({"t": -1}, "t", "must be >= 0"),
    ({"gamma": 0}, "gamma", "must not be 0"),
    ({"w": [1.0]}, "w", "as many entries as u"),
    ({"weight_deca": 1}, "weight_deca", "did you mean 'weight_decay'"),
])
def test_bad_input(changes, name, words):
    with pytest.raises(ParameterError, match=words) as caught:
        decay(**changes)
    assert caught.value.name == name


def test_impossible_overlaps():
    problem = LinearNetworkDecay.from_overlaps(
        uu=1.0, ww=1.0, uw=[0.5, 2.0], target_coefficient=1, weight_decay=0.1, t=1.0)
    with pytest.warns(AccuracyWarning):
        solution = problem.solve()
    assert solution.converged.tolist() == [True, False] and np.isnan(solution.coefficient[1])


def test_labelled_grid_and_order_of_axes():
    axes = {"weight_decay": [0.0, 0.1, 1.0], "t": [0.0, 1.0, 5.0, 30.0], "gamma": [0.5, -2.0]}
    expected = None
    for order in itertools.permutations(axes):
        grid = asy.grid(**{name: axes[name] for name in order})
        data = decay(**grid).solve(["coefficient", "norm_u", "final_coefficient"]).to_dataset()
        data = data.transpose(*axes)
        expected = data if expected is None else expected
        np.testing.assert_allclose(data.coefficient, expected.coefficient, rtol=1e-14)
        np.testing.assert_allclose(data.norm_u, expected.norm_u, rtol=1e-14)
    one = decay(weight_decay=0.1, t=5.0, gamma=-2.0).solve()
    assert expected.coefficient.sel(weight_decay=0.1, t=5.0, gamma=-2.0).item() == pytest.approx(one.coefficient)
    threshold = decay(**asy.grid(gamma=[0.5, 1.0])).stationary_coefficient(lam_u=0.1, lam_w=0.1)
    assert threshold.dims == ("gamma",) and threshold.values == pytest.approx([0.8, 0.9])
