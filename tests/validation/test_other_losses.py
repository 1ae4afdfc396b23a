"""Simulators and protocols of `linear-network-loss` and `power-network`."""

import numpy as np
import pytest

from asymptotics import LinearNetworkLoss, ParameterError, PowerNetwork
from validation import linear_network_loss, power_network, training
from validation.engine import run

LOSSES = dict(linear_network_loss.LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_simulator_of_losses(name):
    problem = linear_network_loss.random_problem(3, 1, *LOSSES[name])
    values, theory = linear_network_loss.simulate(problem, {}, 0), problem.solve()
    for observable in linear_network_loss.JUDGED:
        assert values[observable] == pytest.approx(theory.values[observable], rel=1e-5), observable
    one = problem.replace(t=2.0)
    assert linear_network_loss.simulate(one, {}, 0)["ntk"] == pytest.approx(float(one.solve().ntk), rel=1e-5)


def test_overlaps_leave_a_direction_to_chance():
    problem = LinearNetworkLoss.from_overlaps(
        uu=2.0, ww=0.5, uw=-0.7, x=[1.0, -0.5], y=[1.0, 1.0], loss_function="softplus(-x)", argument="margin", t=1.0)
    values = linear_network_loss.simulate(problem, {}, np.random.SeedSequence(1))
    assert values["coefficient"] == pytest.approx(float(problem.solve().coefficient), rel=1e-5)


@pytest.mark.parametrize("changes", [{}, {"eta_u": 0.0}, {"target_coefficient": 0.0}, {"irreducible_loss": 0.3}])
def test_simulator_of_power_units(changes):
    problem = power_network.random_problem(3, 2, **changes)
    values, theory = power_network.simulate(problem, {}, 0), problem.solve()
    for observable in (*power_network.JUDGED, "loss", "excess_loss"):
        expected = theory.values[observable]
        assert values[observable] == pytest.approx(expected, rel=1e-4, abs=1e-6), observable


@pytest.mark.parametrize(("simulate", "problem"), [
    (linear_network_loss.simulate, linear_network_loss.random_problem(2, 0, *LOSSES["square"])),
    (power_network.simulate, power_network.random_problem(2, 0)),
])
def test_bad_simulations(simulate, problem, monkeypatch):
    monkeypatch.setattr(training, "LARGEST_NUMBER_OF_STEPS", 100)
    with pytest.raises(ParameterError, match="not a size"):
        simulate(problem, {"d": 3}, 0)
    with pytest.raises(ParameterError, match="one value"):
        simulate(problem.replace(eta_u=[1.0, 1.0, 1.0, 2.0]), {}, 0)
    with pytest.raises(ParameterError, match="steps"):
        simulate(problem.replace(t=1e9), {}, 0)


@pytest.mark.parametrize("module", [linear_network_loss, power_network])
def test_protocols(module):
    """They pass, and reject every wrong theory."""
    report = run(module.protocol("quick"), workers=1)
    assert report.passed, str(report)
    assert len(report.controls) == 6 and all(control.rejected for control in report.controls)


def test_wrong_theories_are_of_both_kinds():
    logistic = linear_network_loss.random_problem(3, 0, *LOSSES["logistic"])
    assert "square loss" in linear_network_loss.wrong_theories(logistic)
    square = linear_network_loss.random_problem(3, 0, *LOSSES["square"])
    assert "square loss" not in linear_network_loss.wrong_theories(square)
    assert isinstance(power_network.wrong_theories(power_network.random_problem(2, 0))["eta 10 % off"], PowerNetwork)
