"""What the problems of linear networks share: declarations, datasets of answers, quotients."""

import numpy as np
import pytest

import asymptotics as asy
from asymptotics.datasets import answer_dataset
from asymptotics.theories.linear_network.descent.prediction import LinearNetworkDescentPrediction
from asymptotics.theories.linear_network.prediction import StatePrediction
from asymptotics.theories.linear_network.ratios import expm1_ratio, log1p_ratio, norm

PROBLEMS = [problem for slug, problem in asy.THEORIES.items() if "linear-network" in slug or slug == "power-network"]
LINE = {"u": [0.3, 0.1], "w": [0.2, -0.4], "target_coefficient": 1.0}


@pytest.mark.parametrize("name", ["gamma", "eta_u", "eta_w", "m2", "target_coefficient", "t", "step_size", "steps",
                                  "loss_factor", "u", "w"])
def test_a_parameter_has_one_symbol_and_one_range_everywhere(name):
    declared = [problem.parameters[name] for problem in PROBLEMS if name in problem.parameters]
    assert len(declared) > 1
    assert len({(own.symbol, own.kind, own.low, own.above) for own in declared}) == 1


@pytest.mark.parametrize("name", ["coefficient", "excess_loss", "loss", "ntk", "cosine", "gap", "norm_u", "norm_w",
                                  "gap_norm", "final_coefficient", "final_ntk", "initial_ntk", "standard_ntk"])
def test_an_observable_has_one_symbol_everywhere(name):
    shown = [getattr(problem.prediction, name).symbol for problem in PROBLEMS if hasattr(problem.prediction, name)]
    line = {symbol for symbol in shown if "beta" not in symbol and "W" not in symbol}
    assert shown and len(line) <= 1


def test_an_observable_that_is_undefined_elsewhere():
    own, first = LinearNetworkDescentPrediction.loss, StatePrediction.loss
    assert (own.meaning, own.symbol, own.name) == (first.meaning, first.symbol, "loss")
    assert own.undefined == "inf where descent has diverged" != first.undefined


def test_datasets_of_answers():
    problem = asy.LinearNetwork(**LINE, t=[0.0, 1.0])
    found = answer_dataset(problem, {"a": (("k",), np.ones((2, 3)), {"symbol": "a"})}, {"k": ["x", "y", "z"]})
    assert found.a.dims == ("t", "k") and found.k.values.tolist() == ["x", "y", "z"] and found.a.symbol == "a"
    assert found.attrs["theory"] == "linear-network" and found.t.values.tolist() == [0.0, 1.0]
    named = problem.replace(t=asy.grid(t=[0.0, 1.0])["t"].rename(t="neuron"))
    with pytest.raises(asy.ParameterError, match="neuron: is the name of an axis"):
        named.weights()


def test_no_cells_have_answers_too():
    none = asy.LinearNetwork(**LINE, t=np.zeros(0))
    assert none.hessian_spectrum().eigenvalue.shape == (0, 4) and none.weights().u.shape == (0, 2)
    descent = asy.LinearNetworkDescent(**LINE | {"target_coefficient": np.zeros(0)}, step_size=0.1, steps=2)
    assert descent.label_noise_drift(3).rate.shape == (0,) == descent.largest_stable_step().shape


def test_quotients_and_norms():
    x = np.array([0.0, 1e-300, -1e-20, 1e-3, 2.0])
    np.testing.assert_allclose(expm1_ratio(x), [1, 1, 1, 1.0005001667083417, 3.194528049465325], rtol=1e-15)
    np.testing.assert_allclose(log1p_ratio(x), [1, 1, 1, 0.9995003330835332, 0.5493061443340549], rtol=1e-15)
    np.testing.assert_allclose(norm(np.array([[3e-200, 4e-200], [0.0, 0.0], [3e200, 4e200]])), [5e-200, 0, 5e200])


def test_descent_of_no_step_size_stays():
    problem = asy.LinearNetworkInputsDescent(u=[0.5], W=[[0.3, 0.1]], target=[1.0, 2.0], step_size=0.0, steps=[0, 9])
    found = problem.solve()
    assert found.converged.all() and (found.coefficients[0] == found.coefficients[1]).all()
