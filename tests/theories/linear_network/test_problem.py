"""`LinearNetwork` as a person meets it: input, grids of every shape, labels, command line."""

import itertools
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import asymptotics as asy
from asymptotics import AccuracyWarning, LinearNetwork, ParameterError

from .problems import CASES, case

OVERLAPS = dict(uu=0.3, ww=0.61, uw=0.01)


@pytest.mark.parametrize(("changes", "name", "words"), [
    ({"u": []}, "u", "list of numbers"),
    ({"u": 1.0}, "u", "list of numbers"),
    ({"u": [1.0, np.nan, 0.0]}, "u", "finite"),
    ({"w": [1.0, 2.0]}, "w", "as many entries as u"),
    ({"w": None}, "w", "must be given with u"),
    ({"u": None}, "u", "must be given with w"),
    ({"u": None, "w": None}, "u", "or uu, ww and uw"),
    ({"u": None, "w": None, "uu": 1.0}, "ww", "must be given with uu"),
    ({"uu": 1.0}, "uu", "must not be given beside u"),
    ({"u": None, "w": None, "uu": -1.0, "ww": 1.0, "uw": 0.0}, "uu", "must be >= 0"),
    ({"gamma": 0}, "gamma", "must not be 0"),
    ({"gamma": [1.0, 0.0]}, "gamma", "must not be 0"),
    ({"gamma": np.inf}, "gamma", "finite"),
    ({"eta_u": -1}, "eta_u", "must be >= 0, got -1"),
    ({"eta_w": -1e-9}, "eta_w", "must be >= 0"),
    ({"eta_u": 0, "eta_w": 0}, "eta_u", "must not both be 0"),
    ({"m2": 0}, "m2", "must be > 0"),
    ({"loss_factor": 0}, "loss_factor", "must be > 0"),
    ({"irreducible_loss": -1}, "irreducible_loss", "must be >= 0"),
    ({"t": -1}, "t", "must be >= 0"),
    ({"t": np.inf}, "t", "finite"),
    ({"t": None}, "t", "a number"),
    ({"target_coefficient": "one"}, "target_coefficient", "a number"),
    ({"gamm": 1}, "gamm", "did you mean 'gamma'"),
])
def test_bad_input(changes, name, words):
    with pytest.raises(ParameterError, match=words) as caught:
        case("A", **changes)
    assert caught.value.name == name


def test_all_observables():
    problem = case("A", t=[0.0, 1.0], irreducible_loss=0.2, loss_factor=2.0)
    solution = problem.solve()
    assert {"coefficient", "gap", "excess_loss", "ntk", "cosine", "norm_u", "norm_w", "final_ntk",
            "decay_rate"} < set(solution.values)
    assert all(np.isfinite(values).all() for values in solution.values.values())
    assert solution.loss == pytest.approx(solution.excess_loss + 0.2)
    assert solution.excess_loss == pytest.approx(solution.gap**2)
    assert solution.standard_ntk == pytest.approx(solution.norm_u**2 + solution.norm_w**2)
    assert problem.solve("ntk").values.keys() == {"ntk"}
    for name, values in solution.values.items():
        assert (problem.solve([name]).values[name] == values).all(), name
    assert max(asy.check(problem).values()) == 0


def test_a_problem_is_a_value():
    problem = case("B", t=[0.0, 1.0])
    assert problem == case("B", t=[0.0, 1.0]) != case("B", t=[0.0, 1.5])
    assert hash(pickle.loads(pickle.dumps(problem))) == hash(problem)
    assert "eta_u=2.0" in repr(problem) and "uu" not in repr(problem)
    assert problem.isel(t=1).solve().ntk == problem.solve().ntk[1]


def test_overlaps_instead_of_weights():
    for name, given in CASES.items():
        u, w = np.array(given["u"]), np.array(given["w"])
        others = {key: value for key, value in given.items() if key not in ("u", "w")}
        t = np.linspace(0, 6, 13)
        by_weights = case(name, t=t).solve()
        by_overlaps = LinearNetwork.from_overlaps(uu=u @ u, ww=w @ w, uw=u @ w, t=t, **others).solve()
        for key, values in by_weights.values.items():
            # E has one neuron: its area is rounding there, and stands for an angle
            slack = 1e-7 if name == "E" else 1e-12
            assert by_overlaps.values[key] == pytest.approx(values, rel=slack, abs=slack), (name, key)
    grid = LinearNetwork.from_overlaps(uu=[[1.0], [2.0]], ww=[1.0, 2.0, 3.0], uw=0.5, target_coefficient=1.0, t=1.0)
    assert grid.solve().coefficient.shape == (2, 3)


def test_moments_and_samples():
    rng = np.random.default_rng(0)
    x = rng.normal(size=50)
    y = 1.5 * x + 0.3 * rng.normal(size=50)
    weights = dict(u=[0.5, 1.0], w=[0.1, -0.3], t=[0.0, 1.0, 50.0])
    problem = LinearNetwork.from_samples(x, y, **weights)
    start = 0.1 * 0.5 - 0.3
    found = problem.solve()
    assert found.loss[0] == pytest.approx(0.5 * np.mean((start * x - y) ** 2), rel=1e-13)
    slope = np.sum(x * y) / np.sum(x * x)
    assert found.coefficient[2] == pytest.approx(slope, rel=1e-13)
    assert found.loss[2] == pytest.approx(0.5 * np.mean((slope * x - y) ** 2), rel=1e-13)
    again = LinearNetwork.from_moments(m2=np.mean(x * x), mxy=np.mean(x * y), myy=np.mean(y * y), **weights).solve()
    assert again.loss == pytest.approx(found.loss, rel=1e-12)
    weights["t"] = 1.0
    linear = LinearNetwork.from_moments(m2=3.0, mxy=asy.grid(mxy=[0.1, 0.7])["mxy"], myy=0.49 / 3, **weights)
    assert linear.solve().to_dataset().loss.dims == ("mxy",) and abs(linear.irreducible_loss.values[1]) < 1e-16
    for bad, name in ((dict(m2=1.0, mxy=2.0, myy=3.9), "myy"), (dict(m2=0.0, mxy=0.0, myy=1.0), "m2")):
        with pytest.raises(ParameterError) as caught:
            LinearNetwork.from_moments(**bad, **weights)
        assert caught.value.name == name
    for bad, name in ((([1.0], [1.0, 2.0]), "y"), (([0.0], [1.0]), "x")):
        with pytest.raises(ParameterError) as caught:
            LinearNetwork.from_samples(*bad, **weights)
        assert caught.value.name == name


def test_impossible_overlaps():
    """In their own cells; rounding is forgiven."""
    problem = LinearNetwork.from_overlaps(
        uu=1.0, ww=1.0, uw=[0.9, 1.0 + 1e-15, 1.1, -1.1], target_coefficient=1.0, t=1.0)
    with (pytest.warns(AccuracyWarning, match="2 of 4 cells have uw\\^2 > uu ww"),
          pytest.warns(AccuracyWarning, match="2 of 4 cells did not converge") as caught):
        solution = problem.solve()
    assert {warning.filename for warning in caught} == {__file__}
    assert solution.converged.tolist() == [True, True, False, False]
    assert np.isnan(solution.ntk).tolist() == [False, False, True, True] and solution.cosine[1] == 1
    with pytest.warns(AccuracyWarning, match="2 of 4 cells") as caught:
        assert np.isnan(problem.time_to(0.5)).tolist() == [False, False, True, True]
    assert {warning.filename for warning in caught} == {__file__}


# ---- grids


def each_cell(problem):
    """One solve per cell."""
    cells = [problem.sample(np.array([i])).solve() for i in range(problem.cells.size)]
    return {name: np.reshape([cell.values[name] for cell in cells], problem.shape) for name in cells[0].values}


AXES = {
    "t": dict(t=np.geomspace(1e-3, 1e3, 7)),
    "t with cells": dict(gamma=np.linspace(0.5, 2, 4)[:, None], t=np.geomspace(0.1, 10, 300)),
    "t outside": dict(t=np.geomspace(0.1, 10, 3)[:, None], eta_w=np.linspace(0, 1, 50)),
    "t in the middle": dict(gamma=np.array([1.0, -2.0])[:, None, None], t=np.geomspace(0.1, 1, 3)[:, None],
                            m2=np.array([1.0, 2.0, 3.0, 4.0])),
    "t along with a cell parameter": dict(t=np.geomspace(0.1, 10, 5), m2=np.geomspace(10, 0.1, 5)),
    "t along and across": dict(t=np.geomspace(0.1, 10, 12).reshape(4, 3), m2=np.linspace(1, 2, 4)[:, None]),
    "t of everything": dict(t=np.geomspace(0.1, 10, 24).reshape(2, 4, 3), eta_u=np.linspace(1, 2, 3),
                            target_coefficient=np.array([-1.0, 2.0])[:, None, None]),
    "no t": dict(t=1.0, gamma=np.linspace(0.5, 2, 4)[:, None], eta_u=np.linspace(0.5, 2, 30)),
    "lengths of one": dict(t=np.ones((1, 1)), gamma=np.ones((1, 1))),
    "labelled": asy.grid(t=[0.1, 1.0, 3.0], gamma=[1.0, -0.5], m2=[1.0, 2.0]),
}


@pytest.mark.parametrize("axes", AXES)
def test_grids(axes):
    """Cells are independent, whatever varies along which axis."""
    problem = LinearNetwork(**{**CASES["A"], **AXES[axes]})
    solution = problem.solve()
    assert solution.converged.shape == problem.shape
    for name, expected in each_cell(problem).items():
        assert solution.values[name] == pytest.approx(expected, rel=1e-14, abs=1e-300), name


def test_grids_of_overlaps():
    uu, uw = np.linspace(0.5, 1, 3)[:, None, None], np.linspace(-0.3, 0.3, 2)[:, None]
    problem = LinearNetwork.from_overlaps(uu=uu, ww=1.0, uw=uw, target_coefficient=1.0, t=np.linspace(0, 3, 5),
                                          eta_w=uu + uw)
    for name, expected in each_cell(problem).items():
        assert problem.solve().values[name] == pytest.approx(expected, rel=1e-14), name


def test_mixed_cells_in_one_tile():
    """Every kind of cell beside every other: saddles, frozen layers, late and early times, signs of R and gamma."""
    rates = np.array([0.0, 1e-100, 1e-9, 1.0, 1e9])
    values = itertools.product([1.0, 0.0], [1.0, 1e-120, 0.0], [1.0, -1.0], rates[1:], rates, [1.0, -2.0],
                               [-1.0, 0.0, 1.0])
    uu, ww, c, eta_u, eta_w, gamma, A = np.array(list(values)).T
    problem = LinearNetwork.from_overlaps(
        uu=uu[:, None], ww=ww[:, None], uw=(c * np.sqrt(uu * ww))[:, None], eta_u=eta_u[:, None], eta_w=eta_w[:, None],
        gamma=gamma[:, None], target_coefficient=A[:, None], t=np.array([0.0, 1e-290, 1e-3, 1.0, 1e3, 1e12]),
    )
    solution = problem.solve()
    assert solution.converged.all() and np.max(solution.residual) < 1e-14
    picked = problem.isel(dim_0=slice(0, None, 37))
    for name, expected in each_cell(picked).items():
        assert solution.values[name][::37] == pytest.approx(expected, rel=1e-13, abs=1e-300, nan_ok=True), name
    assert not np.isnan(problem.time_to([0.5, 1e-3])).any()


def test_empty_axes():
    solution = case("A", t=[]).solve()
    assert solution.coefficient.shape == (0,) and solution.final_ntk.shape == (0,)
    assert case("A", t=[], gamma=np.ones((3, 1))).solve().coefficient.shape == (3, 0)
    assert case("A", gamma=[]).time_to(0.5).shape == (0,)


def test_labelled_output():
    dataset = LinearNetwork(**CASES["A"], **asy.grid(gamma=[0.5, 1.0], t=[0.0, 1.0, 2.0])).solve().to_dataset()
    assert dataset.coefficient.dims == ("gamma", "t") and dataset.final_ntk.dims == ("gamma", "t")
    assert json.loads(dataset.attrs["parameters"])["u"] == [0.5, -0.2, 0.1]
    curve = case("A", t=xr.DataArray([0.0, 1.0], dims="step", coords={"step": [0, 100]})).solve().to_dataset()
    assert curve.t.dims == ("step",)


# ---- command line


def command(*arguments):
    line = [sys.executable, "-m", "asymptotics", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_predict():
    given = json.dumps({"u": [0.5, -0.2, 0.1], "w": [0.3, 0.4, -0.6], "target_coefficient": 1})
    run = command("predict", "linear-network", "--params", given, "--set", "t=[0.5, 2]", "--json")
    assert run.returncode == 0 and not run.stderr
    answer = json.loads(run.stdout)
    assert answer["observables"]["coefficient"] == pytest.approx([0.407905201858, 0.9601939343998], rel=1e-11)
    assert answer["parameters"]["uu"] is None and answer["parameters"]["gamma"] == 1
    run = command("predict", "linear-network", "--params", json.dumps({**OVERLAPS, "target_coefficient": 1, "t": 0.5}))
    assert run.returncode == 0 and "0.40790520" in run.stdout
    run = command("predict", "linear-network", "--params", given, "--set", "t=1", "--set", "gamma=0")
    assert run.returncode == 2 and run.stderr == "error: gamma: must not be 0: the network would be zero for ever\n"
    impossible = json.dumps({"uu": 1, "ww": 1, "uw": [0.5, 2], "target_coefficient": 1, "t": 1})
    run = command("predict", "linear-network", "--params", impossible, "--json")
    assert run.returncode == 3 and json.loads(run.stdout)["observables"]["ntk"][1] is None


def test_describe():
    run = command("describe", "linear-network")
    assert run.returncode == 0
    for word in ("irreducible_loss", "decay_rate", "arXiv:2401.07085", "or null"):
        assert word in run.stdout
