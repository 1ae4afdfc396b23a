"""`LinearNetworkInputs` and `LinearNetworkInputsDescent` as a person meets them."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import LinearNetworkInputs, LinearNetworkInputsDescent, ParameterError

from .test_inputs import CASE


def problem(**changes):
    return LinearNetworkInputs(**{**CASE, "t": 1.0, **changes})


@pytest.mark.parametrize(("changes", "name", "words"), [
    ({"u": [1.0]}, "W", r"as many rows as u has entries \(1\), got 3"),
    ({"W": [1.0, 2.0]}, "W", "must be a matrix"),
    ({"W": [[1.0], [1.0, 2.0]]}, "W", "ragged"),
    ({"W": [[1.0, np.inf]] * 3}, "W", "finite"),
    ({"target": [1.0]}, "target", r"as many entries as W has columns \(2\), got 1"),
    ({"covariance": [[1.0]]}, "covariance", "must be 2 x 2, as W has 2 columns, got 1 x 1"),
    ({"covariance": [[1.0, 0.5], [0.4, 1.0]]}, "covariance", "symmetric"),
    ({"covariance": [[1.0, 2.0], [2.0, 1.0]]}, "covariance", "no negative eigenvalue, got -1"),
    ({"covariance": np.zeros((2, 2))}, "covariance", "must not be zero"),
    ({"gamma": [1.0, 0.0]}, "gamma", "must not be 0"),
    ({"eta_u": 0, "eta_w": 0}, "eta_u", "must not both be 0"),
    ({"m2": 0}, "m2", "must be > 0"),
    ({"t": -1}, "t", "must be >= 0"),
    ({"steps": 3}, "steps", "is not a known parameter"),
])
def test_bad_input(changes, name, words):
    with pytest.raises(ParameterError, match=words) as caught:
        problem(**changes)
    assert caught.value.name == name


@pytest.mark.parametrize(("changes", "name"), [({"step_size": -1}, "step_size"), ({"steps": 1.5}, "steps"),
                                               ({"steps": -1}, "steps")])
def test_bad_steps(changes, name):
    with pytest.raises(ParameterError) as caught:
        LinearNetworkInputsDescent(**{**CASE, "step_size": 0.1, "steps": 3, **changes})
    assert caught.value.name == name


AXES = {
    "t": dict(t=[3.0, 0.0, 1.0]),
    "t and cells": dict(t=np.geomspace(0.1, 10, 5), gamma=np.array([0.5, -1.0])[:, None]),
    "t outside": dict(t=np.array([1.0, 0.1])[:, None], eta_w=np.array([0.0, 1.0, 2.0])),
    "t along with a parameter": dict(t=[1.0, 2.0], m2=[2.0, 1.0]),
    "loss only": dict(irreducible_loss=[0.0, 1.0], t=np.array([0.5, 2.0])[:, None]),
    "many": dict(eta_u=np.linspace(0, 2, 300)[:, None], t=[0.5, 4.0]),
    "labelled": asy.grid(t=[0.1, 1.0], loss_factor=[1.0, 2.0], eta_u=[0.5, 1.0]),
    "lengths of one": dict(t=np.ones((1, 1))),
}


@pytest.mark.parametrize("axes", AXES)
def test_grids(axes):
    """Cells are independent, whatever varies along which axis; also of gradient descent."""
    flow = problem(**AXES[axes])
    given = {name: value for name, value in AXES[axes].items() if name != "t"}
    count = (100 * AXES[axes]["t"]).astype(int) if axes == "labelled" else (100 * np.array(AXES[axes]["t"])).astype(int)
    descent = LinearNetworkInputsDescent(**CASE, **given, step_size=0.01, steps=np.asarray(count) if axes != "labelled"
                                         else count.rename("steps").drop_vars("t"))
    for whole in (flow, descent):
        solution = whole.solve()
        picked = np.unique(np.linspace(0, whole.cells.size - 1, 12).astype(int))
        for i in picked:
            cell = whole.sample(np.array([i])).solve()
            for name, values in solution.values.items():
                flat = values.reshape(whole.cells.size, *values.shape[len(whole.shape):])
                assert flat[i] == pytest.approx(cell.values[name][0] if cell.values[name].ndim > flat[i].ndim
                                                else cell.values[name], rel=1e-12, abs=1e-13), (name, i)


def test_empty_axes_and_single_cells():
    assert problem(t=[]).solve().coefficients.shape == (0, 2)
    assert problem(gamma=np.ones((0, 1)), t=[1.0, 2.0]).solve().ntk_trace.shape == (0, 2)
    assert problem().solve().coefficients.shape == (2,) and type(problem().solve().loss) is np.float64


def test_a_problem_is_a_value():
    one = problem(t=[0.0, 1.0])
    assert one == problem(t=[0.0, 1.0]) != problem(t=[0.0, 1.0], W=2 * np.array(CASE["W"]))
    assert pickle.loads(pickle.dumps(one)) == one and hash(one) == hash(problem(t=[0.0, 1.0]))
    for name, values in one.solve().values.items():
        assert (one.solve([name]).values[name] == values).all(), name
    assert one.isel(t=1).solve().loss == pytest.approx(one.solve().loss[1], rel=1e-13)
    assert one.solve().loss == pytest.approx(one.solve().excess_loss)
    noisy = one.replace(irreducible_loss=0.4, loss_factor=2.0).solve()
    assert noisy.loss == pytest.approx(noisy.excess_loss + 0.4)


def test_labelled_output(tmp_path):
    flow = LinearNetworkInputs(**CASE, **asy.grid(gamma=[0.5, 1.0], t=[0.0, 1.0, 2.0]))
    dataset = flow.solve().to_dataset()
    assert dataset.coefficients.dims == ("gamma", "t", "input") and dataset.input.values.tolist() == [0, 1]
    assert json.loads(dataset.attrs["parameters"])["W"] == CASE["W"]
    dataset.to_netcdf(tmp_path / "a.nc", engine="scipy")
    kernel = flow.kernel()["kernel"]
    assert kernel.dims == ("gamma", "t", "input", "other_input")
    assert np.einsum("gtij,ij->gt", kernel.values, CASE["covariance"]) == pytest.approx(flow.solve().ntk_trace)


def test_command_line():
    line = [sys.executable, "-m", "asymptotics", "predict", "linear-network-inputs", "--params", json.dumps(CASE),
            "--set", "t=[0.5, 2]", "--json"]
    run = subprocess.run(line, capture_output=True, text=True, check=False)
    assert run.returncode == 0 and not run.stderr
    answer = json.loads(run.stdout)
    assert answer["observables"]["coefficients"] == pytest.approx(problem(t=[0.5, 2.0]).solve().coefficients)
    line[-2:] = ["W=[[1, 2], [3]]"]
    run = subprocess.run([*line[:-1], "W=[[1, 2], [3]]", "--set", "t=1"], capture_output=True, text=True, check=False)
    assert run.returncode == 2 and run.stderr.startswith("error: W: must be rows of numbers, got a ragged list")
