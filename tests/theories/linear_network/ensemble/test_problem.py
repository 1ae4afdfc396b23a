"""`LinearNetworkEnsemble` as a person meets it: input, grids, labels, command line."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from asymptotics import LinearNetworkEnsemble, ParameterError, grid

from .problems import ROWS, WITHOUT_ANGLE, ensemble


@pytest.mark.parametrize(("changes", "name", "words"), [
    ({"p": 0}, "p", "must be >= 1"),
    ({"p": 2.5}, "p", "whole number|integer"),
    ({"p": [2, 0]}, "p", "must be >= 1"),
    ({"p": None}, "p", "p: "),
    ({"var_u": -1}, "var_u", "must be >= 0, got -1"),
    ({"var_w": np.nan}, "var_w", "finite"),
    ({"correlation": 1.5}, "correlation", "must be"),
    ({"correlation": -1.01}, "correlation", "must be"),
    ({"gamma": 0}, "gamma", "must not be 0"),
    ({"gamma": [1.0, 0.0]}, "gamma", "must not be 0"),
    ({"eta_u": -1}, "eta_u", "must be >= 0"),
    ({"eta_w": np.inf}, "eta_w", "finite"),
    ({"eta_u": 0, "eta_w": 0}, "eta_u", "must not both be 0"),
    ({"m2": 0}, "m2", "must be > 0"),
    ({"loss_factor": 0}, "loss_factor", "must be > 0"),
    ({"t": -1}, "t", "must be >= 0"),
    ({"t": np.inf}, "t", "finite"),
    ({"target_coefficient": "one"}, "target_coefficient", "a number"),
    ({"var": 1}, "var", "var: "),
])
def test_bad_input(changes, name, words):
    with pytest.raises(ParameterError, match=words) as caught:
        ensemble(**changes)
    assert caught.value.name == name


def test_all_observables():
    problem = ensemble(t=[0.0, 1.0, 9.0], gamma=[[1.0], [-0.7]])
    solution = problem.solve()
    assert set(solution.values) == {*WITHOUT_ANGLE, "mean_cosine"}
    for name, value in solution.values.items():
        assert value.shape == (2, 3) and (problem.solve([name]).values[name] == value).all(), name
        assert (problem.solve().values[name] == value).all()
    assert problem.solve("mean_ntk").values.keys() == {"mean_ntk"}
    assert (solution.sd_coefficient > 0).all() and np.max(solution.residual) < 1e-10


def test_a_problem_is_a_value():
    problem = ensemble(t=[0.0, 1.0])
    assert problem == ensemble(t=[0.0, 1.0]) != ensemble(t=[0.0, 1.5])
    assert hash(pickle.loads(pickle.dumps(problem))) == hash(problem)
    assert problem.isel(t=1).solve().mean_ntk == problem.solve().mean_ntk[1]


AXES = {
    "t": dict(t=np.geomspace(1e-2, 10, 4)),
    "t with cells": dict(p=np.array([1, 2, 9])[:, None], t=np.array([0.1, 3.0])),
    "t outside": dict(t=np.array([0.1, 3.0])[:, None], eta_w=np.linspace(0, 1, 3)),
    "t along with a cell parameter": dict(t=np.geomspace(0.1, 10, 3), m2=np.geomspace(10, 0.1, 3)),
    "lengths of one": dict(t=np.ones((1, 1)), gamma=np.ones((1, 1))),
    "labelled": grid(t=[0.1, 1.0], gamma=[1.0, -0.5], var_u=[0.0, 1.0]),
}


@pytest.mark.parametrize("axes", AXES)
def test_grids(axes):
    """Cells are independent, whatever varies along which axis."""
    problem = ensemble(**AXES[axes])
    solution = problem.solve()
    for i in range(problem.cells.size):
        alone = problem.sample(np.array([i])).solve()
        for name, value in solution.values.items():
            assert np.ravel(value)[i] == np.ravel(alone.values[name])[0], name
    assert solution.converged.shape == problem.shape


def test_empty_axes():
    assert ensemble(t=[]).solve().mean_ntk.shape == (0,)
    assert ensemble(t=[], p=np.ones((3, 1))).solve().mean_ntk.shape == (3, 0)


def test_labelled_output():
    given = dict(var_u=0.4, var_w=0.3, target_coefficient=1.0)
    dataset = LinearNetworkEnsemble(**given, **grid(p=[2, 5], t=[0.0, 1.0, 2.0])).solve().to_dataset()
    assert dataset.mean_ntk.dims == ("p", "t") and dataset.p.values.tolist() == [2, 5]
    assert json.loads(dataset.attrs["parameters"])["var_u"] == 0.4


def command(*arguments):
    line = [sys.executable, "-m", "asymptotics", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_predict():
    given, expected = ROWS[0]
    run = command("predict", "linear-network-ensemble", "--params", json.dumps(given), "--json")
    assert run.returncode == 0 and not run.stderr
    answer = json.loads(run.stdout)
    assert answer["observables"]["mean_ntk"] == pytest.approx(expected[1], rel=1e-11)
    assert answer["parameters"]["correlation"] == 0
    run = command("predict", "linear-network-ensemble", "--params", json.dumps(given), "--set", "gamma=0")
    assert run.returncode == 2 and run.stderr == "error: gamma: must not be 0: the network would be zero for ever\n"
