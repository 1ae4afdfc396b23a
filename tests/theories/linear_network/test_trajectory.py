"""The trajectory of `LinearNetwork`: tabulated digits, integrators, identities, late times."""

import mpmath
import numpy as np
import pytest

from asymptotics import LinearNetwork
from asymptotics.theories.linear_network.trajectory import trajectory
from tests.reference import linear_network as reference

from .problems import CASES, KINDS, arguments, case, random_problem

NAMES = ("coefficient", "gap", "ntk", "cosine", "norm_u", "norm_w")
TABLE = """
A 0.5 0.407905201858 0.592094798142 1.221984703182 0.6901893410843 0.6752720574636 0.8752098900213
A 2 0.9601939343998 0.03980606560021 2.124991662721 0.9134881066929 0.952625756192 1.103401935543
A 40 1 2.257526568307e-38 2.197202767156 0.9194454841421 0.9713914677298 1.119643418048
B 0.5 -1.07508118389 -0.9249188161099 1.648003268149 -0.9633481036235 1.514355300389 1.052766827913
B 3 -1.999966670507 -3.332949349483e-5 2.879285735898 -0.988981814784 2.192280396885 1.317772110284
C 0.4 1.191790100445 -0.8917901004451 2.076299567384 0.9431471480205 0.9260664850689 1.364514486435
C 5 0.3013546642481 -0.001354664248148 1.72669362762 0.5829721375558 0.3979789633138 1.298882909969
D 1 3.548232582731e-6 1.999996451767 7.099029359329e-6 0.9997022764935 0.001873369872626 0.001894601456683
D 6 1.997679535801 0.002320464199054 3.995359071602 1.0 1.413392902133 1.413392930434
E 1 0.4952365245725 0.5047634754275 1.403862992764 1.0 0.7933496768302 0.48018066166
E 8 0.9999999194219 8.057809137232e-8 2.310450620244 1.0 0.9344737324299 0.8231699624637
"""
FINAL_NTK = {"A": 2.197202767156, "B": 2.87933111156, "C": 1.726457717409, "D": 4.0, "E": 2.310450775844}


@pytest.mark.parametrize("row", TABLE.strip().splitlines())
def test_tabulated_digits(row):
    name, t, *expected = row.split()
    solution = case(name, t=float(t)).solve()
    for observable, text in zip(NAMES, expected, strict=True):
        # the table has 12 or 13 digits
        assert float(solution.values[observable]) == pytest.approx(float(text), rel=5e-12, abs=0), observable
    assert solution.excess_loss == pytest.approx(
        0.5 * CASES[name].get("m2", 1.0) * float(expected[1]) ** 2, rel=1e-11
    )
    assert solution.converged and solution.residual < 1e-15


@pytest.mark.parametrize("name", CASES)
def test_final_kernel(name):
    solution = case(name, t=60.0).solve()
    assert solution.final_ntk == pytest.approx(FINAL_NTK[name], rel=1e-12)
    assert solution.ntk == pytest.approx(solution.final_ntk, rel=1e-14)
    assert solution.decay_rate == pytest.approx(solution.final_ntk * CASES[name].get("m2", 1.0), rel=1e-14)
    assert case(name, t=0.0).solve().ntk == pytest.approx(solution.initial_ntk, rel=1e-14)


@pytest.mark.parametrize("kind", ["generic", "no target", "u is frozen", "w is frozen", "aligned", "opposed"])
def test_integrated_weights(kind):
    """DOP853 on the 2p weights."""
    rng = np.random.default_rng(5)
    for _ in range(3):
        given = random_problem(rng, kind)
        problem = LinearNetwork(t=0.0, **given)
        times = np.array([0.1, 0.7, 2.5]) / problem.solve().decay_rate
        u, w = reference.integrate(times=times, **arguments(given))
        solution = problem.replace(t=times).solve()
        gamma, A = given["gamma"], given["target_coefficient"]
        scale = abs(A) + abs(gamma * (given["u"] @ given["w"]))
        F = gamma * np.sum(u * w, axis=1)
        assert solution.coefficient == pytest.approx(F, abs=1e-10 * scale)
        assert solution.gap == pytest.approx(A - F, abs=1e-10 * scale)
        assert solution.norm_u == pytest.approx(np.linalg.norm(u, axis=1), rel=1e-10)
        assert solution.norm_w == pytest.approx(np.linalg.norm(w, axis=1), rel=1e-10)
        kernel = gamma**2 * (given["eta_u"] * np.sum(w**2, axis=1) + given["eta_w"] * np.sum(u**2, axis=1))
        assert solution.ntk == pytest.approx(kernel, rel=1e-10)


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_riccati_equation(name):
    """The Taylor series of dz/dt in 30 digits."""
    bP, bQ, F0, kap, k = invariants_of(name)
    A = CASES[name]["target_coefficient"]
    z = reference.riccati(bP, bQ, kap, A, k, 0.8)
    expected = (float((bP * z - bQ / z) / (2 * kap)), float((bP * z + bQ / z) / 2))
    found = trajectory(bP, bQ, F0, kap, A, k, 0.8)
    assert (float(found.F), float(found.Theta)) == pytest.approx(expected, rel=1e-14)


def invariants_of(name):
    """bP, bQ, F0, kap, c m2, written out."""
    given = {"gamma": 1.0, "eta_u": 1.0, "eta_w": 1.0, "m2": 1.0, **CASES[name]}
    u, w = np.array(given["u"]), np.array(given["w"])
    a, b = given["gamma"] * given["eta_w"] ** 0.5, given["gamma"] * given["eta_u"] ** 0.5
    kap = 2 * a * b / given["gamma"]
    return np.sum((a * u + b * w) ** 2), np.sum((a * u - b * w) ** 2), given["gamma"] * u @ w, kap, given["m2"]


# ---- identities


@pytest.mark.parametrize("kind", KINDS)
def test_conserved_and_monotone(kind):
    """Nos. 1, 2, 3: Theta^2 = (kap F)^2 + Gam^2; F moves from F0 to A; c m2 Theta r = dF/dt."""
    rng = np.random.default_rng(11)
    for _ in range(5):
        given = random_problem(rng, kind)
        problem = LinearNetwork(t=0.0, **given)
        start = problem.solve()
        rate = float(start.decay_rate) or float(start.initial_ntk) * given["m2"] * given["loss_factor"]
        t = np.geomspace(1e-9, 30, 60) / rate
        solution = problem.replace(t=t).solve()
        F, A, F0 = solution.coefficient, given["target_coefficient"], float(start.coefficient)
        kap = 2 * abs(given["gamma"]) * (given["eta_u"] * given["eta_w"]) ** 0.5
        Gam_squared = start.ntk**2 - (kap * F0) ** 2
        assert solution.ntk**2 - (kap * F) ** 2 == pytest.approx(Gam_squared, abs=1e-13 * np.max(solution.ntk) ** 2)
        steps = np.diff(np.concatenate([[F0], F])) * np.sign(A - F0)
        scale = abs(A) + abs(F0)
        assert (steps >= -4e-16 * scale).all() and (np.abs(F - A) <= abs(A - F0) * (1 + 1e-15)).all()
        early, late = problem.replace(t=t[30:40] * (1 - 1e-5)).solve(), problem.replace(t=t[30:40] * (1 + 1e-5)).solve()
        middle = problem.replace(t=t[30:40]).solve()
        slope = (late.coefficient - early.coefficient) / (2e-5 * t[30:40])
        velocity = given["loss_factor"] * given["m2"] * middle.ntk * middle.gap
        assert velocity == pytest.approx(slope, abs=1e-8 * np.max(np.abs(velocity)) + 1e-10 * scale / t[30])


def test_semigroup():
    """No. 4: solving again from the state at t1, given as weights or as overlaps."""
    rng = np.random.default_rng(2)
    for kind in ("generic", "u is frozen", "aligned", "opposed", "no target"):
        given = random_problem(rng, kind)
        problem = LinearNetwork(t=0.0, **given)
        first, second = np.array([0.4, 1.1]) / problem.solve().decay_rate
        whole = problem.replace(t=first + second).solve()
        state = problem.replace(t=first).weights()
        restarted = LinearNetwork(**{**given, "u": state.u.values, "w": state.w.values}, t=second).solve()
        overlaps = dict(uu=state.u.values @ state.u.values, ww=state.w.values @ state.w.values,
                        uw=state.u.values @ state.w.values)
        others = {name: value for name, value in given.items() if name not in ("u", "w")}
        for again in (restarted, LinearNetwork.from_overlaps(**overlaps, t=second, **others).solve()):
            for name in ("coefficient", "gap", "ntk", "norm_u", "norm_w"):
                assert again.values[name] == pytest.approx(whole.values[name], rel=1e-12), (kind, name)


def test_symmetries():
    """Nos. 5 - 9."""
    rng = np.random.default_rng(3)
    for kind in ("generic", "unbalanced", "almost aligned"):
        given = random_problem(rng, kind)
        problem = LinearNetwork(t=0.0, **given)
        t = np.array([0.1, 1.0, 5.0]) / problem.solve().decay_rate
        problem = problem.replace(t=t)
        base = problem.solve()
        u, w, gamma, m2, c = (given[name] for name in ("u", "w", "gamma", "m2", "loss_factor"))
        same = {"coefficient": 1, "ntk": 1, "cosine": 1}
        mirrored = {**same, "coefficient": -1, "cosine": -1}
        for signs, changed in (
            (mirrored, dict(target_coefficient=-given["target_coefficient"], u=-u)),
            ({**same, "cosine": -1}, dict(gamma=-gamma, w=-w)),
            (same, dict(m2=4 * m2, t=t / 4)),
            (same, dict(loss_factor=4 * c, t=t / 4)),
            (same, dict(u=8 * u, gamma=gamma / 8, eta_u=64 * given["eta_u"])),
            (same, dict(u=w, w=u, eta_u=given["eta_w"], eta_w=given["eta_u"])),
            (same, dict(u=np.tile(u, 4) / 2, w=np.tile(w, 4) / 2)),
        ):
            other = problem.replace(**changed).solve()
            for name, sign in signs.items():
                assert other.values[name] == pytest.approx(sign * base.values[name], rel=1e-12), (kind, changed, name)


def test_one_rate_vanishes_continuously():
    """No. 10."""
    given = CASES["A"] | {"t": np.array([0.3, 2.0, 9.0])}
    frozen = LinearNetwork(**given, eta_w=0.0).solve()
    r0 = 1 - np.dot(given["u"], given["w"])
    Gam = np.dot(given["w"], given["w"])
    assert frozen.gap == pytest.approx(r0 * np.exp(-Gam * given["t"]), rel=1e-14)
    assert frozen.ntk == pytest.approx(np.full(3, Gam), rel=1e-14)
    assert frozen.norm_w == pytest.approx(np.full(3, Gam**0.5), rel=1e-14)
    assert frozen.linearised_coefficient == pytest.approx(frozen.coefficient, rel=1e-13)
    for eta_w in (1e-6, 1e-12, 1e-300):
        near = LinearNetwork(**given, eta_w=eta_w).solve()
        for name in NAMES:
            assert near.values[name] == pytest.approx(frozen.values[name], rel=40 * eta_w**0.5 + 1e-13)


def test_rate_of_the_end():
    """No. 12; ln|r| goes on where r has underflowed."""
    for name in CASES:
        solution = case(name, t=[200.0, 201.0, 1e4, 1e4 + 1]).solve()
        slopes = -np.diff(solution.log_gap)[[0, 2]]
        assert slopes == pytest.approx([float(solution.decay_rate[0])] * 2, rel=1e-9)
    assert solution.gap[2] == 0 and np.isfinite(solution.log_gap).all()


def test_kernel_limit():
    """No. 13: with ever larger kernels the linearised prediction becomes exact, like chi^2."""
    deviations = []
    for size in (1e2, 1e4):
        network = case("B", eta_u=size, eta_w=1 / size, gamma=1.0)
        t = np.linspace(0.1, 5, 40) / network.solve().decay_rate
        solution = network.replace(t=t).solve()
        deviations.append(np.max(np.abs(solution.coefficient - solution.linearised_coefficient)))
    assert deviations[0] < 0.2 and deviations[1] < 2e-4 * 2 and deviations[1] < deviations[0] / 50


def test_saddle_passage():
    """No. 20: 1e-60 past the saddle, F and Theta keep their digits relative to each other."""
    bP, bQ, kap, A, F0 = 1.0, 1e-60, 2.0, -1.0, (1.0 - 1e-60) / 4
    t = np.concatenate([np.linspace(0, 90, 181), 34.5 + np.linspace(-0.5, 0.5, 101)])
    found = trajectory(bP, bQ, F0, kap, A, 1.0, t)
    assert (kap * found.F) ** 2 + bP * bQ == pytest.approx(found.Theta**2, rel=1e-12, abs=0)
    with mpmath.workdps(150):
        for time, F, Theta in zip(t, found.F, found.Theta, strict=True):
            expected = float(passage(bP, bQ, kap, A, time))
            assert abs(F - expected) <= 1e-12 * Theta / kap
    assert np.min(np.abs(found.F)) < 1e-27 and found.F[180] == pytest.approx(-1, rel=1e-12)


def passage(bP, bQ, kap, A, t):
    """F by the closed form in the digits of mpmath."""
    bP, bQ, kap, A, t = map(mpmath.mpf, (bP, bQ, kap, A, t))
    Th = mpmath.sqrt((kap * A) ** 2 + bP * bQ)
    tau = mpmath.tanh(Th * t / 2)
    z = (Th + (kap * A + bQ) * tau) / (Th + (bP - kap * A) * tau)
    return (bP * z - bQ / z) / (2 * kap)


def test_early_times_keep_relative_digits():
    """F - F0 from a network at F0 = 0, at times down to 1e-300."""
    t = np.geomspace(1e-300, 1e-6, 50)
    solution = LinearNetwork(u=[0.5, 1.0], w=[1.0, -0.5], target_coefficient=3.0, t=t).solve()
    assert solution.coefficient == pytest.approx(2.5 * 3.0 * t, rel=1e-5)
    assert solution.coefficient[:30] == pytest.approx(2.5 * 3.0 * t[:30], rel=1e-14, abs=0)
    assert solution.linearised_coefficient[:30] == pytest.approx(2.5 * 3.0 * t[:30], rel=1e-14, abs=0)
