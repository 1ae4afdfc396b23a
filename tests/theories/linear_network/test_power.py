"""`PowerNetwork` against actual weights, against quadrature in many digits, and at its corners."""

import mpmath
import numpy as np
import pytest

import asymptotics as asy
from asymptotics import ParameterError, PowerNetwork
from asymptotics.theories.linear_network.power.neuron import explosion, moved, neurons
from tests.reference.power_network import integrate, path, unit

KINDS = ("generic", "u is frozen", "w is frozen", "against the signs", "decaying", "u = 0", "w = 0", "balanced",
         "small", "same sign")


def random_power(rng, kind):
    """Arguments of the reference, and a scale of time."""
    p = int(rng.integers(1, 5))
    u, w = 0.6 * rng.normal(size=(2, p))
    sign = rng.choice([-1.0, 1.0])
    given = dict(gamma=1.2 * sign, eta_u=0.7, eta_w=1.3, m4=1.4, c=1.5)
    A, scale = 2 * rng.normal(), 1.0
    if kind == "u is frozen":
        given["eta_u"] = 0.0
    elif kind == "w is frozen":
        given["eta_w"] = 0.0
    elif kind in ("against the signs", "decaying"):
        u, A = np.abs(u), -abs(A) * sign
        w = 0.5 * u if kind == "decaying" else w
    elif kind == "u = 0":
        u[0] = 0
    elif kind == "w = 0":
        w[0] = 0
    elif kind == "balanced":
        given.update(eta_u=2.0, eta_w=1.0)
        w = np.abs(u) * rng.choice([-1, 1], size=p)
    elif kind == "small":
        u, w, scale = 1e-2 * u, 1e-2 * w, 100.0
    elif kind == "same sign":
        u = np.abs(u) * sign * np.sign(A)
    return dict(u=u, w=w, A=A, **given), scale


def problem_of(given, t):
    names = dict(A="target_coefficient", c="loss_factor")
    return PowerNetwork(t=t, **{names.get(name, name): value for name, value in given.items()})


@pytest.mark.parametrize("kind", KINDS)
def test_actual_weights(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    for _ in range(5):
        given, scale = random_power(rng, kind)
        t = scale * np.array([1e-3, 0.1, 1.0, 10.0])
        u, w = integrate(times=t, **given)
        problem = problem_of(given, t)
        found, weights = problem.solve(), problem.weights()
        assert found.converged.all() and np.max(found.residual) < 1e-12
        terms = u * w**2 * given["gamma"]
        size = np.sum(np.abs(terms), axis=1)
        assert (np.abs(found.coefficient - np.sum(terms, axis=1)) <= 1e-10 * size + 1e-16).all()
        ntk = given["gamma"] ** 2 * np.sum(given["eta_u"] * w**4 + 4 * given["eta_w"] * u**2 * w**2, axis=1)
        assert found.ntk == pytest.approx(ntk, rel=1e-9, abs=1e-14)
        for name, values in (("u", u), ("w", w)):
            assert weights[name].values == pytest.approx(values, abs=1e-11 * np.max(np.abs(values)))
            norms = np.linalg.norm(values, axis=1)
            assert found.values[f"norm_{name}"] == pytest.approx(norms, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("against the signs", "decaying")])
def test_many_digits(kind):
    """Gap, weights and coefficient, early and late, with the time as the reference found it."""
    rng = np.random.default_rng(100 + KINDS.index(kind))
    tested = 0
    while tested < 2:
        given, _ = random_power(rng, kind)
        if problem_of(given, 0.0).solve().final_coefficient != given["A"]:
            continue
        tested += 1
        for left in (0.999, 0.5, 1e-9):
            expected = path(left=left, **given)
            problem = problem_of(given, float(expected["t"]))
            found, weights = problem.solve(), problem.weights()
            size = float(sum(abs(u * w * w) for u, w in zip(expected["u"], expected["w"], strict=True)))
            # what the rounding of the time does to the gap, and to a coefficient that explodes
            rate = problem.t * found.ntk * problem.loss_factor * problem.m4
            stiff = 1 + rate * (1 + abs(found.gap / problem.gamma) / size)
            slack = 1e-13 * stiff + 2e-15 * problem.t
            assert abs(found.coefficient - float(expected["F"])) < slack * abs(problem.gamma) * size
            assert abs(float(found.gap / expected["r"]) - 1) < slack
            for name in ("u", "w"):
                values = np.array(expected[name], dtype=float)
                assert weights[name].values == pytest.approx(values, abs=slack * max(np.max(np.abs(values)), 1e-2))


def exact_unit(*given):
    with mpmath.workdps(50):
        return unit(*(mpmath.mpf(float(x)) for x in given))


@np.errstate(under="ignore")
def test_closed_form_of_a_unit():
    """Also near I = 0, at tiny tau, and of the time of the explosion."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        u, w = rng.normal(size=2)
        eta_u, eta_w = 10 ** rng.uniform(-1, 1, 2)
        if rng.random() < 0.4:  # I is small or zero
            w = u * np.sqrt(2 * eta_w / eta_u) * (1 + rng.choice([0, 1e-15, 1e-9, 1e-4]) * rng.normal())
        one = neurons(np.array([[u]]), np.array([w]), np.array([eta_u]), np.array([eta_w]))
        last = float(explosion(one)[0, 0])
        for part in (1e-250, 1e-9, 0.1, 0.5):
            tau = part * min(last, 10.0)
            found = moved(one, np.array([[tau]]), np.array([[last - tau]]))
            u1, w1, psi = exact_unit(u, w, tau, eta_u, eta_w)
            assert found.shrunk[0, 0] == pytest.approx(float(psi), rel=1e-13)
            assert u + found.rise[0, 0] == pytest.approx(float(u1), rel=1e-12, abs=1e-13 * abs(u))
            gain = u1 * w1**2 - mpmath.mpf(float(u)) * mpmath.mpf(float(w)) ** 2
            assert found.gain[0, 0] == pytest.approx(float(gain), rel=1e-10)
        if np.isfinite(last):
            slope = 2 * eta_w * abs(u) + np.sqrt(2 * eta_w * eta_u) * abs(w)
            assert abs(float(exact_unit(u, w, last * (1 - 1e-9), eta_u, eta_w)[2])) < 2e-9 * last * slope


@np.errstate(under="ignore")
def test_invariants_and_monotony():
    rng = np.random.default_rng(5)
    for kind in KINDS:
        given, scale = random_power(rng, kind)
        problem = problem_of(given, scale * np.linspace(0, 5, 40))
        found, weights = problem.solve(), problem.weights()
        u, w = weights.u.values, weights.w.values
        invariant = 2 * given["eta_w"] * u**2 - given["eta_u"] * w**2
        size = 2 * given["eta_w"] * u**2 + given["eta_u"] * w**2
        assert (np.abs(invariant - invariant[0]) <= 1e-13 * (size + size[0])).all()
        A, F0 = given["A"], found.coefficient[0]
        steps = np.diff(found.coefficient) * np.sign(A - F0)
        assert (steps >= -1e-15 * (abs(A) + abs(F0))).all()
        assert found.excess_loss == pytest.approx(0.5 * problem.loss_factor * problem.m4 * found.gap**2)
        assert (np.sign(w) == np.sign(w[0])).all()
        slope = (problem.loss_factor * problem.m4 * found.ntk * found.gap)[1:-1]
        differences = (found.coefficient[2:] - found.coefficient[:-2]) / (2 * (problem.t[1] - problem.t[0]))
        near = np.argmin(np.abs(slope))
        assert slope[near] == pytest.approx(differences[near], abs=0.3 * np.max(np.abs(slope)) + 1e-12)


def test_semigroup():
    rng = np.random.default_rng(6)
    for kind in KINDS:
        given, scale = random_power(rng, kind)
        first, second = 0.3 * scale, 1.1 * scale
        whole = problem_of(given, first + second).solve()
        state = problem_of(given, first).weights()
        again = problem_of({**given, "u": state.u.values, "w": state.w.values}, second).solve()
        for name in ("coefficient", "ntk", "norm_u", "norm_w"):
            assert again.values[name] == pytest.approx(whole.values[name], rel=1e-10, abs=1e-13), (kind, name)


def test_out_of_reach():
    """Units that decay before they could change sides: F tends to zero, exponentially or algebraically."""
    t = np.array([0.0, 1.0, 1e2, 1e4, 1e6])
    decaying = PowerNetwork(u=[1.0, 0.8], w=[0.5, -0.3], target_coefficient=-1.0, t=t).solve()
    assert (decaying.final_coefficient == 0).all() and decaying.converged.all()
    assert (np.diff(decaying.coefficient) <= 0).all() and 0 <= decaying.coefficient[2] < 1e-50
    assert decaying.norm_u[-1] == pytest.approx(np.sqrt(1 - 0.125 + 0.64 - 0.045), rel=1e-14)
    algebraic = PowerNetwork(u=[1.0], w=[1.0], eta_u=2.0, target_coefficient=-1.0, t=t).solve()
    assert algebraic.norm_u == pytest.approx(algebraic.norm_w, rel=1e-14)
    assert algebraic.coefficient[-1] * (2 * t[-1]) ** 3 == pytest.approx(1, rel=1e-4)
    zero = PowerNetwork(u=[1.0], w=[1.0], eta_u=2.0, target_coefficient=0.0, t=t).solve()
    u = 1 / (1 + 8 * t) ** 0.25  # du/dt = -2 u^5
    assert zero.coefficient == pytest.approx(u**3, rel=1e-12)
    crossing = PowerNetwork(u=[1.0, 0.1], w=[0.5, 0.9], target_coefficient=-1.0, t=t)
    assert crossing.solve().coefficient[-1] == pytest.approx(-1, rel=1e-14)
    assert crossing.weights().u.values[-1, 1] < 0 < crossing.weights().u.values[-1, 0]


def test_corners():
    given = {"u": [0.3, 0.2], "w": [0.5, -1.0], "target_coefficient": 1.0, "t": [0.0, 1e9]}
    for changes in (dict(w=[0.0, 0.0]), dict(u=[0.0, 0.0], eta_u=0.0), dict(target_coefficient=0.3 * 0.25 + 0.2)):
        found = PowerNetwork(**given | changes).solve()
        assert found.coefficient[0] == found.coefficient[1] == found.final_coefficient[1] and found.converged.all()
    rates = PowerNetwork(**given | {"t": 1.0, "eta_u": [0.0, 1.0], "eta_w": 0.0}).solve()
    assert rates.coefficient[0] == pytest.approx(0.275) and rates.converged.all()
    assert rates.gap[1] == pytest.approx(0.725 * np.exp(-(0.5**4 + 1)), rel=1e-13)
    late = PowerNetwork(u=[1e-5], w=[1e-5], target_coefficient=1.0, t=[1e3, 1e5, 1e8, 1e12]).solve()
    assert late.coefficient[0] < 2e-15 and late.coefficient[3] == 1 and late.converged.all()


def test_grids_are_cells():
    problem = PowerNetwork(u=[0.3, -0.2], w=[0.5, -1.0], irreducible_loss=0.5, **asy.grid(
        target_coefficient=[-1.0, 0.0, 2.0], t=[0.0, 0.1, 30.0], eta_u=[0.0, 1.0]), gamma=-0.8)
    whole, weights = problem.solve(), problem.weights()
    assert weights.u.dims == (*problem.dims, "neuron") and whole.loss == pytest.approx(whole.excess_loss + 0.25)
    for index in np.ndindex(problem.shape):
        one = problem.isel(**dict(zip(problem.dims, index, strict=True)))
        for name, value in one.solve().values.items():
            assert whole.values[name][index] == pytest.approx(value, rel=1e-12, abs=1e-300), name
        assert weights.w.values[index] == pytest.approx(one.weights().w.values, rel=1e-12)
    assert max(asy.check(problem).values()) == 0
    assert problem.solve(["ntk"]).values.keys() == {"ntk"}


@pytest.mark.parametrize(("changes", "name", "words"), [
    ({"u": []}, "u", "list of numbers"),
    ({"w": [1.0, 2.0]}, "w", "as many entries as u"),
    ({"gamma": 0}, "gamma", "must not be 0"),
    ({"eta_u": 0, "eta_w": 0}, "eta_u", "must not both be 0"),
    ({"m4": 0}, "m4", "must be > 0"),
    ({"t": -1}, "t", "must be >= 0"),
    ({"irreducible_loss": -1}, "irreducible_loss", "must be >= 0"),
])
def test_bad_input(changes, name, words):
    with pytest.raises(ParameterError, match=words) as caught:
        PowerNetwork(**{"u": [1.0], "w": [1.0], "target_coefficient": 1.0, "t": 1.0} | changes)
    assert caught.value.name == name
