"""Actual weights step by step beside the exact map; theories that the protocol must reject."""

import dataclasses
import math

import numpy as np
import pytest

from asymptotics import LinearNetworkDescent, ParameterError, grid
from validation import linear_network_descent
from validation.engine import run
from validation.judgement import against, judge
from validation.linear_network_descent_protocol import (
    STATE,
    THRESHOLDS,
    descents,
    protocol,
    simulate_catapult,
    simulate_drift,
    wrong_descents,
)

# case A of the reference table: 50 steps of 0.2
CASE = LinearNetworkDescent(u=(0.5, -0.2, 0.1), w=(0.3, 0.4, -0.6), target_coefficient=1, step_size=0.2, steps=[0, 50])


@pytest.fixture(scope="module")
def quick():
    return run(protocol("quick"), workers=2)


def test_quick_passes_and_rejects_every_wrong_theory(quick):
    assert quick.passed, str(quick)
    assert len(quick.controls) == 8 and all(control.rejected for control in quick.controls)
    assert sum(row.bounded for row in quick.judged) == len(quick.judged) - 2
    for name in ("stays bounded", "loss rose"):
        assert len([row for row in quick.judged if row.observable == name]) == len(THRESHOLDS)


def test_every_network_alone_rejects_every_wrong_theory(quick):
    """Not only together; also a step that is 0.0001 % off, and every observable by itself where it moves."""
    for name, problem in descents(1).items():
        rows = [row for row in quick.judged if row.setting == name]
        assert rows and judge(rows).outcome == "passed"
        wrong = wrong_descents(problem) | {"step": problem.replace(step_size=(1 + 1e-6) * problem.step_size)}
        for error, theory in wrong.items():
            values = theory.solve(STATE).values if isinstance(theory, LinearNetworkDescent) else theory
            assert judge(against(rows, values)).outcome == "failed", (name, error)


def test_drifts_that_are_off_are_rejected(quick):
    for row in quick.judged:
        if row.observable.endswith("drift"):
            for factor in (0.95, 1.05):
                assert row.standard_error < 0.01
                off = judge([dataclasses.replace(row, theory=factor)]).outcome
                assert off == "failed", row


def test_protocol_is_complete():
    quick, full = ([setting.name for setting in protocol(size).settings] for size in ("quick", "full"))
    assert len(set(full)) == len(full) and len(quick) < len(full)
    problems = descents(6)
    assert any(problem.batch_m2 is not None for problem in problems.values())
    assert {problem.loss_factor for problem in problems.values()} == {1, 2}
    for problem in problems.values():
        assert np.isfinite(problem.solve().loss).all()


# ---- simulators


def test_simulator_reproduces_the_reference_row():
    values = linear_network_descent.simulate(CASE, {}, 0)
    assert set(values) == set(linear_network_descent.OBSERVABLES) <= set(CASE.observables)
    assert values["coefficient"][1] == pytest.approx(0.999999999996883, rel=1e-14)
    assert values["ntk"][1] == pytest.approx(2.1617678448997, rel=1e-13)
    assert values["norm_u"][0] == pytest.approx(math.sqrt(0.3), rel=1e-15)


@pytest.mark.parametrize("problem", [
    CASE.replace(irreducible_loss=0.3, loss_factor=2.0, steps=[7, 0, 7, 300]),
    CASE.replace(gamma=-0.7, eta_u=0.4, steps=30, step_size=1.0),
    CASE.replace(steps=[0, 3], batch_m2=(1.0, 0.5, 2.0), batch_mxy=(0.3, 1.0, -0.2)),
    LinearNetworkDescent.from_overlaps(
        uu=2.0, ww=0.5, uw=-0.7, gamma=-0.8, eta_u=0.3, target_coefficient=0.4, step_size=0.3, steps=[0, 1, 40]),
], ids=["noise", "one number", "batches", "overlaps"])
def test_simulator_agrees_with_the_theory(problem):
    values = linear_network_descent.simulate(problem, {}, np.random.SeedSequence(1))
    theory = problem.solve(linear_network_descent.OBSERVABLES).values
    for name in linear_network_descent.OBSERVABLES:
        assert np.shape(values[name]) == problem.shape
        assert values[name] == pytest.approx(theory[name], rel=1e-11, abs=1e-12), name


def test_what_diverges():
    problem = CASE.replace(step_size=3.0, steps=[1, 60])
    values = linear_network_descent.simulate(problem, {}, 0)
    assert np.isfinite(values["ntk"][0]) and np.isnan(values["ntk"][1])
    assert np.isinf(problem.solve().ntk[1])


@pytest.mark.parametrize(("problem", "sizes", "words"), [
    (CASE, {"d": 10}, "d: is not a size"),
    (CASE.replace(step_size=[0.5, 1.0]), {}, "step_size: must be one value"),
    (CASE.replace(**grid(steps=[1, 2], m2=[1.0, 2.0])), {}, "m2: must be one value"),
    (CASE.replace(steps=10**7), {}, "steps: must be <= "),
])
def test_bad_simulations(problem, sizes, words):
    with pytest.raises(ParameterError, match=words):
        linear_network_descent.simulate(problem, sizes, 0)


def test_catapults_and_drifts_are_functions_of_the_seed():
    settings = {setting.name: setting for setting in protocol("quick").settings}
    problem = settings["h c m2 Theta_0 = 2.5"].problem
    assert simulate_catapult(problem, {"d": 400}, 0) == {"stays bounded": 1, "loss rose": 1}
    problem = settings["label noise, h = 0.04"].problem
    one, again, other = (simulate_drift(problem, {"d": 25}, seed) for seed in (0, 0, 1))
    assert one == again != other and abs(one["drift"] - 1) < 0.3
