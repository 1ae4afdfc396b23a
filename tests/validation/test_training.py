"""What trains given weights, whatever the network."""

import math

import numpy as np
import pytest

from asymptotics import LinearNetwork, LinearNetworkDecay, ParameterError
from validation import given_weights, training
from validation.linear_network import Training, descend, integrate, of_problem, vectors_of

NETWORK = LinearNetwork(u=[0.5, -0.2], w=[0.3, 0.4], eta_w=0.0, target_coefficient=1.0, t=[2.0, 0.0, 0.5, 2.0])


@pytest.mark.parametrize(("step", "order"), [(training.gradient_step, 1), (training.runge_kutta_step, 4)])
def test_orders_of_the_steps(step, order):
    network, weights = of_problem(NETWORK), vectors_of(NETWORK)
    exact = NETWORK.solve(["coefficient"]).coefficient
    errors = [np.abs(training.trained(NETWORK, network, weights, n, step)["coefficient"] - exact) for n in (20, 40)]
    assert (errors[0][[0, 2, 3]] > 0).all() and errors[0][1] == errors[1][1] < 1e-16
    coarse, fine = (error[[0, 2, 3]] for error in errors)
    np.testing.assert_allclose(np.log2(coarse / fine), order, atol=0.1)


def test_extrapolation_removes_the_first_order():
    found = training.extrapolated(lambda factor: {"x": np.array([1.0 + 0.1 / factor, 2.0])})
    np.testing.assert_allclose(found["x"], [1.0, 2.0], rtol=1e-15)


def test_times_of_any_order_and_repeated():
    times, places = training.instants_of(NETWORK)
    assert times.tolist() == [0.0, 0.5, 2.0] and places.tolist() == [2, 0, 1, 2]
    assert training.intervals_of(NETWORK).tolist() == [0.0, 0.5, 1.5]
    assert training.at_cells(NETWORK, [{"F": i} for i in range(3)])["F"].tolist() == [2, 0, 1, 2]
    values = integrate(NETWORK, {"d": 50})
    assert values["ntk"][0] == values["ntk"][3] and values["ntk"].shape == (4,)


@pytest.mark.parametrize("refuse", [
    lambda: training.require_no_sizes({"p": 3}), lambda: training.require_few_steps(math.inf, 1.0),
    lambda: training.require_few_steps(1.0, 1e9), lambda: training.require_few(2e6),
])
def test_what_cannot_be_simulated(refuse):
    with pytest.raises(ParameterError, match=r"p: is not a size|t: needs more|steps: must be <= 1000000"):
        refuse()
    training.require_no_sizes({})
    training.require_few_steps(1.0, 10.0)
    training.require_few(3)


def test_settings_of_given_weights():
    ways = given_weights.integrators(integrate, descend, ((10, 20), (100, 200)), (1e-8, 1e-3), ("ntk",))
    both = given_weights.settings({"one": NETWORK}, ("ntk",),
                                  lambda problem: {"rates": given_weights.rates_off(problem)}, ways)
    assert [setting.name for setting in both] == ["one", "one, gradient descent"]
    assert [dict(setting.networks) for setting in both] == [{10: 1, 20: 1}, {100: 1, 200: 1}]
    assert [setting.precision for setting in both] == [{"ntk": 1e-8}, {"ntk": 1e-3}]
    assert both[1].wrong["rates, gradient descent"].eta_u == pytest.approx(1.1)
    assert given_weights.without_imbalance(NETWORK.replace(eta_u=4.0, eta_w=1.0, gamma=3.0), 1.0, 2.0) == 72.0
    given = given_weights.parameters_of(NETWORK, "t")
    assert "t" not in given and "uu" not in given
    assert LinearNetworkDecay(**given, t=1.0, weight_decay=0.0).solve(["ntk"]).ntk > 0
    assert of_problem(LinearNetworkDecay(**given, t=1.0, weight_decay=0.3)).decay == 0.3
    assert isinstance(of_problem(NETWORK), Training)
