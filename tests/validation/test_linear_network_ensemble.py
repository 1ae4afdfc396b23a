"""Trained networks from Gaussian weights beside the averages; the integrator; theories that must be rejected."""

import dataclasses
import math

import numpy as np
import pytest

from asymptotics import LinearNetworkEnsemble, ParameterError
from validation import linear_network_ensemble as simulator
from validation.engine import run
from validation.judgement import against, judge
from validation.linear_network_ensemble_protocol import problems, protocol, wrong_theories

CASE = LinearNetworkEnsemble(p=4, var_u=0.3, var_w=0.5, t=[0.5, 1.5], correlation=0.4, gamma=0.7, eta_w=0.3,
                             target_coefficient=-1.2)
SMALL = ("correlated, target below zero, p = 4", "p = 2")


@pytest.fixture(scope="module")
def whole():
    return protocol("quick")


@pytest.fixture(scope="module")
def quick(whole):
    """Two kinds of networks and the laws of one, at size quick."""
    chosen = tuple(setting for setting in whole.settings if setting.name in (*SMALL, "laws, p = 2"))
    return run(dataclasses.replace(whole, settings=chosen), workers=1)


def test_small_run_passes_and_rejects_every_wrong_theory(quick):
    assert quick.passed, str(quick)
    assert quick.judgement.outcome == "passed"
    assert {row.observable for row in quick.judged} >= {*simulator.OBSERVABLES, *simulator.LEVELS}
    for name in SMALL:
        rows = [row for row in quick.judged if row.setting == name]
        for error, theory in wrong_theories(problems()[name]).items():
            values = theory if isinstance(theory, dict) else theory.solve(simulator.OBSERVABLES).values
            assert judge(against(rows, values)).outcome == "failed", (name, error)


def test_protocol_is_complete(whole):
    names = [setting.name for setting in whole.settings]
    assert len(set(names)) == len(names) == 12 and set(problems()) < set(names)
    assert all(setting.wrong for setting in whole.settings)
    kinds = problems().values()
    assert {math.copysign(1, kind.gamma) for kind in kinds} == {-1, 1} == {
        math.copysign(1, kind.target_coefficient) for kind in kinds}
    assert {0.0} < {kind.var_u for kind in kinds} and {0.0} < {kind.eta_u for kind in kinds}


def test_simulator_agrees_with_the_theory():
    """Means of 4000 networks, z below 4; the shape of the cells, unsorted times, and the same values twice."""
    problem = CASE.replace(t=[1.5, 0.0, 0.5])
    found = simulator.simulate(problem, {"networks": 4000}, 1)
    theory = problem.solve().values
    assert set(found) == set(simulator.OBSERVABLES)
    spread = {"mean_coefficient": theory["sd_coefficient"], "mean_ntk": theory["sd_ntk"],
              "mean_final_ntk": float(CASE.final_ntk().std()[0]), "mean_cosine": 0.7,
              "mean_excess_loss": problem.at_time("excess_loss").std()}
    for name, value in found.items():
        assert value.shape == (3,)
        assert (np.abs(value - theory[name]) < 4 * spread[name] / math.sqrt(4000)).all(), name
    again = simulator.simulate(problem, {"networks": 4000}, 1)
    assert all((found[name] == again[name]).all() for name in found)
    assert type(simulator.simulate(CASE.isel(t=0), {}, 0)["mean_ntk"]) is float


def test_frozen_layers_and_layers_that_start_at_zero():
    for changes in ({"eta_u": 0.0}, {"var_u": 0.0}, {"eta_w": 0.0, "gamma": -0.7}):
        problem = CASE.isel(t=1).replace(**changes)
        cell = {name: getattr(problem, name) for name in problem.cells.arrays}
        batch = simulator.Batch(cell, 3000, np.random.default_rng(2))
        batch.train(1.5)
        theory = problem.solve().values
        for name, drawn in (("coefficient", batch.coefficient()), ("ntk", batch.kernel()), ("cosine", batch.cosine())):
            slack = 4 * np.std(drawn) / math.sqrt(3000) + 1e-6
            assert np.mean(drawn) == pytest.approx(float(theory[f"mean_{name}"]), abs=slack), (name, changes)


def test_order_of_the_integrator():
    """Errors fall like the fourth power of the step, on the same networks."""
    cell = {name: getattr(CASE, name) for name in CASE.cells.arrays} | {"t": 1.5}

    def trained(step):
        batch = simulator.Batch(cell, 20, np.random.default_rng(0))
        batch.train(1.5, step)
        return batch.coefficient()

    exact = trained(0.01)
    errors = [np.max(np.abs(trained(step) - exact)) for step in (0.4, 0.2, 0.1)]
    assert 11 < errors[0] / errors[1] < 21 and 11 < errors[1] / errors[2] < 21 and errors[2] < 1e-6


def test_networks_that_are_drawn():
    cell = {name: getattr(CASE, name) for name in CASE.cells.arrays}
    batch = simulator.Batch(cell, 50_000, np.random.default_rng(3))
    assert np.mean(batch.u**2) == pytest.approx(0.3, rel=0.02) and np.mean(batch.w**2) == pytest.approx(0.5, rel=0.02)
    assert np.mean(batch.u * batch.w) == pytest.approx(0.4 * math.sqrt(0.15), rel=0.02)
    assert np.mean(batch.coefficient()) == pytest.approx(0.7 * 4 * 0.4 * math.sqrt(0.15), rel=0.02)


def test_levels_of_the_right_theory():
    problem = CASE.isel(t=-1)
    for name, value in simulator.levels(problem).items():
        assert value == pytest.approx(simulator.LEVELS[name][1], abs=1e-8), name
    off = simulator.levels(problem.replace(var_u=0.4), problem)
    assert max(abs(off[name] - level) for name, (_, level) in simulator.LEVELS.items()) > 0.02


@pytest.mark.parametrize(("problem", "sizes", "words"), [
    (CASE, {"d": 10}, "d: is not a size"),
    (CASE.replace(p=[2, 3]), {}, "p: must be one value"),
    (CASE.replace(t=1e9), {}, "t: needs more than"),
])
def test_bad_simulations(problem, sizes, words):
    with pytest.raises(ParameterError, match=words):
        simulator.simulate(problem, sizes, 0)
