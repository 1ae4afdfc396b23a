"""Trained networks beside the closed form; integrators of known order; theories that the bounds must reject."""

import dataclasses
import math

import numpy as np
import pytest

from asymptotics import LinearNetwork, LinearNetworkScaling, ParameterError, grid
from validation import linear_network, tanh_network
from validation.engine import run
from validation.judgement import Row, against, judge
from validation.laws import InverseSize, StepSize
from validation.linear_network_protocol import (
    SLOPES,
    TRAJECTORY,
    protocol,
    random_problem,
    simulate_phase,
    slopes,
    trajectories,
    wrong_trajectories,
)
from validation.protocols import Protocol, Setting

# case A of the reference table: u, w, t = 0.5, 2 and F, Theta, cos, |u|, |w|
CASE = LinearNetwork(u=(0.5, -0.2, 0.1), w=(0.3, 0.4, -0.6), target_coefficient=1, t=[0.5, 2.0])
REFERENCE = {
    "coefficient": (0.407905201858, 0.9601939343998), "ntk": (1.221984703182, 2.124991662721),
    "cosine": (0.6901893410843, 0.9134881066929), "norm_u": (0.6752720574636, 0.952625756192),
    "norm_w": (0.8752098900213, 1.103401935543),
}


@pytest.fixture(scope="module")
def quick():
    return run(protocol("quick"))


def test_quick_passes_and_rejects_every_wrong_theory(quick):
    assert quick.passed, str(quick)
    assert quick.judgement.outcome == "passed" and len(quick.controls) == 12
    assert all(row.bounded for row in quick.judged) and not any(row.bounded for row in quick.reported)
    assert "largest deviation" in str(quick) and "rms z nan" not in str(quick).splitlines()[-4]
    laws = {law.exponent for law in quick.laws if "descent" in law.setting and law.observable == "ntk"}
    assert np.allclose(list(laws), -1, atol=0.02)
    laws = {law.exponent for law in quick.laws if "descent" not in law.setting and law.observable == "ntk"}
    assert np.allclose(list(laws), -4, atol=0.1)


def test_every_network_alone_rejects_every_wrong_theory(quick):
    """Not only together: also a rate that is 0.01 % off, and every observable by itself where it moves."""
    problems = trajectories(1)
    for name, problem in problems.items():
        rows = [row for row in quick.judged if row.setting == name]
        assert rows and judge(rows).outcome == "passed"
        for error, theory in wrong_trajectories(problem).items():
            values = theory.solve(TRAJECTORY).values if isinstance(theory, LinearNetwork) else theory
            assert judge(against(rows, values)).outcome == "failed", (name, error)
        off = problem.replace(eta_u=1.0001 * problem.eta_u, eta_w=1.0001 * problem.eta_w).solve(TRAJECTORY).values
        for observable in ("coefficient", "gap"):
            own = [row for row in rows if row.observable == observable]
            assert judge(against(own, {observable: off[observable]})).outcome == "failed", (name, observable)


def test_slopes_that_are_a_tenth_off_are_rejected(quick):
    for row in quick.judged:
        if row.setting.startswith("slopes"):
            for shift in (-0.1, 0.1):
                assert judge([dataclasses.replace(row, theory=row.theory + shift)]).outcome == "failed", row


def test_protocol_is_complete():
    quick, full = ([setting.name for setting in protocol(size).settings] for size in ("quick", "full"))
    assert len(set(full)) == len(full) and set(quick) < set(full)
    assert {len(problem.u) for problem in trajectories(6).values()} == {1, 2, 10, 100}
    problems = list(trajectories(6).values())
    for name in ("gamma", "target_coefficient"):
        assert {math.copysign(1, getattr(problem, name)) for problem in problems} == {-1, 1}
    assert {problem.loss_factor for problem in problems} == {1, 2}
    for setting in protocol("full").settings:
        assert setting.problem.solve().converged.all()


# ---- simulators


def test_simulator_reproduces_the_reference_table():
    values = linear_network.simulate(CASE, {}, 0)
    assert set(values) == set(linear_network.OBSERVABLES) <= set(LinearNetwork.prediction.observables)
    for name, expected in REFERENCE.items():
        assert values[name] == pytest.approx(expected, rel=2e-5), name
    assert linear_network.integrate(CASE, {"d": 200})["ntk"] == pytest.approx(REFERENCE["ntk"], rel=1e-10)
    assert linear_network.descend(CASE, {"d": 200})["ntk"] == pytest.approx(REFERENCE["ntk"], rel=1e-2)


@pytest.mark.parametrize("problem", [
    random_problem(3, 0), random_problem(3, 1),
    random_problem(2, 2).replace(irreducible_loss=0.3),
    LinearNetwork.from_overlaps(uu=2.0, ww=0.5, uw=-0.7, gamma=-0.8, eta_u=0.3, target_coefficient=0.4, t=[0.0, 1.0]),
    LinearNetwork.from_overlaps(uu=1.0, ww=0.0, uw=0.0, target_coefficient=-2, t=1.5),
    LinearNetwork.from_overlaps(uu=1.0, ww=1.0, uw=1.0, target_coefficient=-2, t=[3.0, 0.5, 3.0]),
], ids=["p = 3", "p = 3, other", "p = 2, noise", "overlaps", "one layer", "parallel"])
def test_simulator_agrees_with_the_theory(problem):
    values = linear_network.simulate(problem, {}, np.random.SeedSequence(1))
    theory = problem.solve(linear_network.OBSERVABLES).values
    for name in linear_network.OBSERVABLES:
        assert np.shape(values[name]) == problem.shape
        scale = np.max(np.abs(theory[name]))
        assert values[name] == pytest.approx(theory[name], abs=3e-4 * scale), name


def test_overlaps_leave_a_direction_to_chance_only():
    problem = LinearNetwork.from_overlaps(uu=2.0, ww=0.5, uw=-0.7, target_coefficient=0.4, t=1.0)
    one, two = (linear_network.weights_of(problem, np.random.default_rng(seed)) for seed in (0, 1))
    assert not np.allclose(one, two)
    for u, w in (one, two):
        assert (u @ u, w @ w, u @ w) == pytest.approx((2.0, 0.5, -0.7))
    first, again = (linear_network.simulate(problem, {}, 3) for _ in range(2))
    assert first == again and type(first["ntk"]) is float


def test_simulator_at_zero_weights_and_time_zero():
    still = LinearNetwork(u=(0.0,), w=(0.0,), target_coefficient=1, t=5.0)
    values = linear_network.simulate(still, {}, 0)
    assert values["coefficient"] == 0 and values["gap"] == 1 and math.isnan(values["cosine"])
    start = linear_network.simulate(CASE.replace(t=0.0), {}, 0)
    assert start["norm_u"] == pytest.approx(math.sqrt(0.3), rel=1e-15)


@pytest.mark.parametrize(("problem", "sizes", "words"), [
    (CASE, {"d": 10}, "d: is not a size"),
    (CASE.replace(eta_u=[0.5, 1.0]), {}, "eta_u: must be one value"),
    (CASE.replace(**grid(t=[1.0, 2.0], m2=[1.0, 2.0])), {}, "m2: must be one value"),
    (CASE.replace(t=1e9), {}, "t: needs more than"),
])
def test_bad_simulations(problem, sizes, words):
    with pytest.raises(ParameterError, match=words):
        linear_network.simulate(problem, sizes, 0)


@pytest.mark.filterwarnings("ignore::asymptotics.AccuracyWarning")
def test_impossible_overlaps():
    problem = LinearNetwork.from_overlaps(uu=1.0, ww=1.0, uw=2.0, target_coefficient=1, t=1.0)
    with pytest.raises(ParameterError, match="uw"):
        linear_network.simulate(problem, {}, 0)


@pytest.mark.parametrize("preset", ["mean_field", "small_init"])
def test_networks_of_the_phase_diagram(preset):
    """Section 5: 2 and sqrt(2), cos 1/sqrt(2); 2/p, p and 1."""
    values = simulate_phase(LinearNetworkScaling(preset=preset), {"d": 4000}, 0)
    expected = {"mean_field": (2, math.sqrt(2), math.sqrt(0.5)), "small_init": (2 / 4000, 4000, 1)}[preset]
    assert np.exp([values[name] for name in SLOPES]) == pytest.approx(expected, rel=0.06)


def test_slopes_of_presets():
    assert slopes(LinearNetworkScaling(preset="ntk")) == dict(zip(SLOPES, (0, 0, -0.5), strict=True))
    assert slopes(LinearNetworkScaling(preset="small_init")) == dict(zip(SLOPES, (-1, 1, 0), strict=True))
    assert slopes(LinearNetworkScaling(preset="unit_gaussian")) == dict(zip(SLOPES, (0, 0, -1), strict=True))


def test_tanh_networks():
    assert [tuple(tanh_network.linear_values(case)[name] for name in tanh_network.DIRECTIONS)
            for case in tanh_network.CASES.values()] == [(0, 0), (1, 1), (-1, -1), (0, 1), (0, -1)]
    X = tanh_network.whitened(50, 3, np.random.default_rng(0))
    np.testing.assert_allclose(X.T @ X / 50, np.eye(3), atol=1e-12)
    with pytest.raises(ParameterError, match="tanh"):
        tanh_network.simulate(CASE, {"d": 3}, 0)


def test_tanh_units_that_stay_small_are_linear(monkeypatch):
    """With small first-layer weights the network is the linear one, up to the fluctuation of its overlaps."""
    case = tanh_network.Case(2000, 1, 2000.0, 1e-2, 1e-3, 0.95, 0.005, 1e-6)
    monkeypatch.setitem(tanh_network.CASES, "small", case)
    values = tanh_network.simulate(tanh_network.linear(case), {"d": 2000}, 0)
    theory = tanh_network.linear_values(case)
    for name in (*tanh_network.SIZES, *tanh_network.KERNEL):
        assert values[name] == pytest.approx(theory[name], rel=0.1), name


# ---- rows with a bound


def test_step_size_law():
    """Values with errors of order 2 and 3: the limit is exact, the error is that of the two finest."""
    runs = {d: np.array([[3 + 5 / d**2 - 40 / d**3], [7 + 1 / d**2]]) for d in (10, 20, 40)}
    found = StepSize(2).limit(runs)
    assert found.mean == pytest.approx([3, 7], rel=1e-13) and found.slope == pytest.approx([5, 1], rel=1e-9)
    without_coarsest = (4 * runs[40] - runs[20])[0, 0] / 3
    assert found.error == pytest.approx([abs(3 - without_coarsest)] * 2, rel=1e-9)
    assert np.isinf(found.freedom).all()
    (alone,) = StepSize(2).limit({10: np.array([[1.0, 1.0]])}).mean
    assert alone == 1


def test_bounded_rows_do_not_enter_the_rms():
    def row(z, bounded):
        return Row(setting="a", cell={}, group=("a", z), observable="ntk", theory=1.0, simulation=1.0 + z,
                   standard_error=1.0, freedom=np.inf if bounded else 50, networks=1, bounded=bounded)

    assert judge([row(0.9, True)]).outcome == "passed" and np.isnan(judge([row(0.9, True)]).rms_z)
    assert judge([row(-1.1, True)]).outcome == "failed"
    assert judge([row(1.1, False)]).outcome == "passed"
    random = [row(1.5, False), row(0.3, False)]
    mixed, alone = judge([*random, *[row(0.0, True)] * 50]), judge(random)
    assert (mixed.rms_z, mixed.allowed_rms) == (alone.rms_z, alone.allowed_rms)
    assert mixed.allowed_z[:2] == alone.allowed_z and set(mixed.allowed_z[2:]) == {1.0}
    assert judge([row(np.nan, True), *random]).outcome == "inconclusive"


def test_settings_with_their_own_networks_and_derived_values():
    """Beside a setting of the usual kind."""
    problem = random_problem(2, 0)
    exact = Setting(name="exact", problem=problem, judged=("ntk",), law=StepSize(4), networks={20: 1, 40: 1, 80: 1})
    derived = Setting(name="derived", problem=LinearNetworkScaling(preset="ntk"), judged=(SLOPES[0],),
                      shown={"limit": (SLOPES[2],)}, values={SLOPES[0]: math.log(2), SLOPES[2]: 0.0},
                      simulate=simulate_phase, wrong={"twice": {SLOPES[0]: 2 * math.log(2)}})
    whole = Protocol(title="t", simulate=linear_network.integrate, settings=(exact, derived), networks={300: 10},
                     test_points=0, precision={}, laws=(("exact", "ntk"),))
    assert whole.required() == {("exact", 20): 1, ("exact", 40): 1, ("exact", 80): 1, ("derived", 300): 10}
    report = run(whole, workers=1)
    assert report.passed, str(report)
    assert [row.bounded for row in report.judged] == [True] * 6 + [False]
    assert [(row.observable, row.model) for row in report.reported] == [(SLOPES[2], "limit")]
    assert len(report.laws) == 6 and report.laws[0].sizes == (20, 40, 80)
    assert "10 networks of d = 300" in str(report) and "of the bound (6 rows)" in str(report)
    assert "extrapolated" in str(InverseSize())


def test_figure_of_bounds(quick):
    (ax,) = quick.figure().axes
    assert ax.get_xscale() == "log" and len(ax.get_legend().get_texts()) == len(TRAJECTORY) + 3 + 2
