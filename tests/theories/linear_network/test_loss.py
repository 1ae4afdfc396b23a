"""`LinearNetworkLoss` against the square loss, actual weights, and quadrature in many digits."""

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import asymptotics as asy
from asymptotics import AccuracyWarning, LinearNetwork, LinearNetworkLoss, ParameterError

from .problems import CASES, KINDS, random_problem

STATE = ("coefficient", "gap", "ntk", "cosine", "norm_u", "norm_w", "standard_ntk")
rng = np.random.default_rng(0)
X = rng.normal(size=15)
NOISY = np.sign(X + 0.5 * rng.normal(size=15))
LABELS = 0.5 * X + rng.normal(size=15)
WEIGHTS = dict(u=[0.5, -0.2, 0.1], w=[0.3, 0.4, -0.6], gamma=-1.2, eta_u=0.7, eta_w=1.3, loss_factor=1.5)
SLOPES = {
    "softplus(-x)": ("margin", lambda m: -1 / (1 + np.exp(m))),
    "exp(-x)": ("margin", lambda m: -np.exp(-m)),
    "sqrt(1 + x**2) - 1": ("residual", lambda m: m / np.sqrt(1 + m * m)),
    "x**4/4": ("residual", lambda m: m**3),
}


def logistic(y=NOISY, **changes):
    return LinearNetworkLoss(**{**WEIGHTS, "x": X, "y": y, "loss_function": "softplus(-x)", "argument": "margin",
                                "t": 1.0, **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_the_square_loss_is_the_linear_network(kind):
    """Also at late times, past saddles, with targets that are out of reach."""
    draw = np.random.default_rng(KINDS.index(kind))
    for _ in range(4):
        given = random_problem(draw, kind)
        A, m2 = given.pop("target_coefficient"), given.pop("m2")
        if kind == "unbalanced":
            given["u"] = given["u"] / np.max(np.abs(given["u"]))
        x = np.array([1.0, -1.0]) * np.sqrt(m2)
        plain = LinearNetwork(**given, target_coefficient=A, m2=float(np.mean(x * x)), t=0.0)
        rate = float(plain.solve().decay_rate)
        t = np.concatenate([[0.0, 1e-200], np.geomspace(1e-6, 300, 20) / (rate or 1.0)])
        expected = plain.replace(t=t).solve()
        problem = LinearNetworkLoss(**given, x=x, y=A * x, loss_function="x**2/2", argument="residual", t=t)
        found = problem.solve()
        assert found.converged.all() and np.max(found.residual) < 1e-12
        kap = 2 * abs(given["gamma"]) * np.sqrt(given["eta_u"] * given["eta_w"])
        with np.errstate(over="ignore"):
            scales = {"coefficient": np.maximum(np.abs(expected.coefficient), expected.ntk / kap if kap else 0.0),
                      "cosine": 1.0, "gap": np.abs(expected.gap) * (1 + rate * t)}
        for name in STATE:
            error = np.abs(found.values[name] - expected.values[name])
            scale = scales.get(name, np.abs(expected.values[name])) * (1 + 0 * t)
            seen = np.abs(expected.values[name]) > 1e-280
            # the label A x is rounded, and the minimum with it
            assert (error[seen] <= 1e-12 * scale[seen] + 4e-16 * abs(A) * (name == "gap")).all(), (kind, name)


def test_actual_weights():
    for text, (argument, slope) in SLOPES.items():
        for y in (NOISY if argument == "margin" else LABELS, np.sign(X), -NOISY):
            problem = logistic(y, loss_function=text, argument=argument, t=[0.1, 1.0, 10.0, 60.0])
            u, w = integrate(problem, slope)
            F = problem.gamma * np.sum(u * w, axis=1)
            found = problem.solve()
            assert found.coefficient == pytest.approx(F, rel=3e-11), text
            assert found.norm_u == pytest.approx(np.linalg.norm(u, axis=1), rel=1e-11)
            assert found.norm_w == pytest.approx(np.linalg.norm(w, axis=1), rel=1e-11)
            m = (y * X if argument == "margin" else X) * F[:, None] - (0 if argument == "margin" else y)
            values = np.mean(asy.nonlinearity(text)(m), axis=1) * 1.5
            assert found.loss == pytest.approx(values, rel=1e-10)


def integrate(problem, slope):
    """Weights at the times, by DOP853."""
    p, x, y, margin = 3, problem.x, problem.y, problem.argument == "margin"
    a = x * y if margin else x

    def velocity(_, state):
        m = a * problem.gamma * (state[:p] @ state[p:]) - (0 if margin else y)
        force = -problem.loss_factor * problem.gamma * np.mean(a * slope(m))
        return force * np.concatenate([problem.eta_u * state[p:], problem.eta_w * state[:p]])

    with np.errstate(all="ignore"):
        found = solve_ivp(velocity, (0.0, problem.t[-1]), np.concatenate([problem.u, problem.w]), method="DOP853",
                          t_eval=problem.t, rtol=1e-13, atol=1e-16)
    return found.y[:p].T, found.y[p:].T


def test_separable_data_for_ever_in_many_digits():
    """t(F) from 1e-17, through the saddle, to F ~ ln t; by quadrature with mpmath."""
    u, w, t = 1e-8, -1e-9, [1e-3, 5.0, 60.0, 1e6, 1e12]
    problem = LinearNetworkLoss(u=[u], w=[w], x=X, y=np.sign(X), loss_function="softplus(-x)", argument="margin", t=t)
    found = problem.solve()
    assert found.final_coefficient[0] == np.inf and (found.gap == np.inf).all()
    with mpmath.workdps(40):
        size = [abs(mpmath.mpf(float(x))) for x in X]
        F0, Gam = mpmath.mpf(u) * mpmath.mpf(w), abs(mpmath.mpf(u) ** 2 - mpmath.mpf(w) ** 2)

        def inverse(F):
            return 15 / (mpmath.sqrt(4 * F * F + Gam**2) * sum(a / (1 + mpmath.exp(a * F)) for a in size))

        for time, F in zip(t, found.coefficient, strict=True):
            F = mpmath.mpf(float(F))
            points = {F0, F} | {s * abs(F0) * 10 ** (mpmath.mpf(k) / 2) for s in (-1, 1) for k in range(-8, 36)}
            points |= {F * k / 30 for k in range(1, 31)}
            panels = sorted(x for x in points if F0 <= x <= F)
            assert float(mpmath.quad(inverse, panels)) == pytest.approx(time, rel=1e-12)


def test_times_are_the_inverse():
    for problem in (logistic(), logistic(np.sign(X)), logistic(-NOISY, eta_u=0.0),
                    logistic(LABELS, loss_function="sqrt(1 + x**2) - 1", argument="residual")):
        t = np.array([1e-6, 0.1, 1.0, 7.0])
        found = problem.replace(t=t).solve()
        assert problem.time_to(coefficient=found.coefficient) == pytest.approx(t, rel=1e-10)
        assert problem.time_to(loss=found.loss[1:3]) == pytest.approx(t[1:3], rel=1e-8)
        start = problem.replace(t=0.0).solve()
        assert problem.time_to(coefficient=start.coefficient) == 0
        assert problem.time_to(loss=start.loss) == pytest.approx(0, abs=1e-14)
        assert problem.time_to(loss=2 * start.loss) == 0 and problem.time_to(loss=-1.0) == np.inf
        behind = start.coefficient - np.sign(found.coefficient[1] - start.coefficient)
        assert problem.time_to(coefficient=behind) == np.inf
    assert logistic().time_to(coefficient=1e3) == np.inf
    assert logistic(np.sign(X)).time_to(loss=asy.grid(level=[0.1, 1e-3])["level"]).dims == ("level",)


def test_minimum_is_reached():
    """The final coefficient is where the mean of a l' vanishes, and the gap keeps its digits on the way."""
    problem = logistic(t=[0.0, 1e3, 1.1e3, 1e4, 1e6])
    found = problem.solve()
    F = found.final_coefficient[0]
    a = X * NOISY
    assert abs(np.mean(a / (1 + np.exp(a * F)))) < 1e-15
    curvature = 1.5 * np.mean(a * a / (4 * np.cosh(a * F / 2) ** 2))
    rate = -np.diff(np.log(np.abs(found.gap[1:3])))[0] / 100
    assert rate == pytest.approx(curvature * found.ntk[-1], rel=1e-9)
    assert found.coefficient[-1] == F and abs(found.gap[3]) < 1e-40


def test_degenerate_cells():
    """The saddle, aligned against the minimum, a frozen layer, at the minimum already."""
    aligned = dict(w=[0.5, 1.0], eta_u=1.0, eta_w=1.0, gamma=1.0)
    away = logistic(-np.sign(X), u=[0.5, 1.0], **aligned, t=[0.0, 1.0, 100.0, 1e5]).solve()
    assert away.final_coefficient[0] == 0 and (np.diff(away.coefficient) <= 0).all() and away.coefficient[2] < 1e-10
    assert away.converged.all() and away.norm_u == pytest.approx(away.norm_w) and (away.cosine == 1).all()
    zero = logistic(u=[0.0, 0.0], **aligned | {"w": [0.0, 0.0]}, t=[0.0, 1e6]).solve()
    assert (zero.coefficient == 0).all() and np.isnan(zero.cosine).all() and zero.converged.all()
    there = logistic(np.array([1.0, 1.0]), x=[1.0, 2.0], loss_function="x**2/2", argument="residual", u=[0.6], w=[1.0],
                     gamma=1.0, t=[0.0, 5.0]).solve()
    assert (there.coefficient == 0.6).all() and (there.gap == 0).all()
    frozen = logistic(eta_w=0.0, t=[0.0, 3.0, 1e9]).solve()
    assert frozen.ntk == pytest.approx(np.full(3, frozen.ntk[0]))


def test_grids_are_cells():
    problem = logistic(np.sign(X), **asy.grid(gamma=[0.5, -2.0], t=[0.0, 0.1, 30.0], eta_u=[0.0, 1.0]))
    whole = problem.solve()
    assert set(whole.to_dataset().loss.dims) == {"gamma", "t", "eta_u"}
    for index in np.ndindex(problem.shape):
        one = problem.isel(**dict(zip(problem.dims, index, strict=True))).solve()
        for name, value in one.values.items():
            assert whole.values[name][index] == pytest.approx(value, rel=1e-12), name


def test_overlaps_and_callables():
    u, w = np.array(WEIGHTS["u"]), np.array(WEIGHTS["w"])
    others = {name: value for name, value in WEIGHTS.items() if name not in ("u", "w")}
    by_overlaps = LinearNetworkLoss.from_overlaps(
        uu=u @ u, ww=w @ w, uw=u @ w, x=X, y=NOISY, loss_function="softplus(-x)", argument="margin", t=2.0, **others)
    assert by_overlaps.solve().coefficient == pytest.approx(logistic(t=2.0).solve().coefficient, rel=1e-13)

    def loss(m):
        return np.logaddexp(0, -m)

    def slope(m):
        return -np.exp(-np.logaddexp(0, m))

    wrapped = logistic(loss_function=asy.nonlinearity(loss, derivative=slope), t=[1.0, 20.0])
    assert wrapped.solve().coefficient == pytest.approx(logistic(t=[1.0, 20.0]).solve().coefficient, rel=1e-9)
    with pytest.warns(AccuracyWarning):
        bad = LinearNetworkLoss.from_overlaps(uu=1.0, ww=1.0, uw=[0.5, 2.0], x=X, y=NOISY, t=1.0,
                                              loss_function="softplus(-x)", argument="margin").solve()
    assert bad.converged.tolist() == [True, False] and np.isnan(bad.coefficient[1])


@pytest.mark.parametrize(("changes", "name", "words"), [
    ({"y": [1.0]}, "y", "as many entries as x"),
    ({"x": []}, "x", "list of numbers"),
    ({"x": np.zeros(15)}, "x", "only zero products"),
    ({"loss_function": "relu(1 - x)"}, "loss_function", "must be smooth"),
    ({"loss_function": "1 - tanh(x)"}, "loss_function", "must be convex"),
    ({"loss_function": "1"}, "loss_function", "flat"),
    ({"argument": "angle"}, "argument", "margin, residual"),
    ({"loss_factor": 0}, "loss_factor", "must be > 0"),
    ({"gamma": 0}, "gamma", "must not be 0"),
    ({"t": -1}, "t", "must be >= 0"),
])
def test_bad_input(changes, name, words):
    with pytest.raises(ParameterError, match=words) as caught:
        logistic(**changes)
    assert caught.value.name == name


def test_bad_levels():
    for levels in ({}, {"loss": 1.0, "coefficient": 1.0}):
        with pytest.raises(ParameterError, match="one of them"):
            logistic().time_to(**levels)


def test_check_and_cases():
    for name in CASES:
        given = {key: value for key, value in CASES[name].items() if key not in ("target_coefficient", "m2")}
        problem = logistic(**{"gamma": 1.0, "eta_u": 1.0, "eta_w": 1.0, **given, "t": [0.0, 3.0]})
        assert max(asy.check(problem).values()) == 0
