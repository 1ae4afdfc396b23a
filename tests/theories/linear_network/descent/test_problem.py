"""`LinearNetworkDescent` as a person meets it: input, grids of every shape, labels, symmetries, divergence."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import asymptotics as asy
from asymptotics import AccuracyWarning, LinearNetworkDescent, ParameterError

from ..problems import CASES
from ..test_problem import each_cell
from .problems import case

KERNEL = ("coefficient", "gap", "excess_loss", "ntk", "cosine", "norm_u", "norm_w", "sharpness")


@pytest.mark.parametrize(("changes", "name", "words"), [
    ({"u": None}, "u", "must be given with w"),
    ({"w": [1.0]}, "w", "as many entries as u"),
    ({"uu": 1.0}, "uu", "must not be given beside u"),
    ({"gamma": 0}, "gamma", "must not be 0"),
    ({"eta_u": 0, "eta_w": 0}, "eta_u", "must not both be 0"),
    ({"m2": 0}, "m2", "must be > 0"),
    ({"step_size": -0.1}, "step_size", "must be >= 0, got -0.1"),
    ({"step_size": np.inf}, "step_size", "finite"),
    ({"step_size": None}, "step_size", "a number"),
    ({"steps": -1}, "steps", "must be >= 0"),
    ({"steps": 2.5}, "steps", "a whole number"),
    ({"steps": [1, np.nan]}, "steps", "finite"),
    ({"t": 1.0}, "t", "is not a known parameter"),
    ({"batch_m2": [1.0] * 10}, "batch_mxy", "must be given with batch_m2"),
    ({"batch_mxy": [1.0] * 10}, "batch_m2", "must be given with batch_mxy"),
    ({"batch_m2": [1.0] * 10, "batch_mxy": [1.0] * 9}, "batch_mxy", "as many entries as batch_m2"),
    ({"batch_m2": [1.0] * 9, "batch_mxy": [1.0] * 9}, "steps", "must be <= the number of batches"),
    ({"batch_m2": [-1.0] * 10, "batch_mxy": [1.0] * 10}, "batch_m2", "must be >= 0"),
    ({"batch_m2": 1.0, "batch_mxy": 1.0}, "batch_m2", "a list of numbers"),
])
def test_bad_input(changes, name, words):
    with pytest.raises(ParameterError, match=words) as caught:
        case("A", **changes)
    assert caught.value.name == name


def test_all_observables():
    problem = case("B", steps=[0, 1, 40], irreducible_loss=0.2, loss_factor=2.0)
    with np.errstate(all="raise"):
        solution = problem.solve()
    assert all(np.isfinite(values).all() for values in solution.values.values())
    assert solution.loss == pytest.approx(solution.excess_loss + 0.2)
    assert solution.excess_loss == pytest.approx(1.5 * solution.gap**2)
    assert solution.stability == pytest.approx(0.1 * 2 * 1.5 * solution.ntk)
    assert solution.initial_ntk == pytest.approx(solution.ntk[0], rel=1e-15)
    flow = asy.LinearNetwork(**CASES["B"], irreducible_loss=0.2, loss_factor=2.0, t=0.0).solve()
    for name in solution.values.keys() & flow.values.keys():
        assert solution.values[name][0] == pytest.approx(flow.values[name], rel=1e-14), name
    for name, values in solution.values.items():
        assert (problem.solve([name]).values[name] == values).all(), name
    assert max(asy.check(problem).values()) == 0


def test_a_problem_is_a_value():
    problem = case("B", batch_m2=[1.0] * 10, batch_mxy=[0.5] * 10)
    assert problem == case("B", batch_m2=[1.0] * 10, batch_mxy=[0.5] * 10) != case("B")
    assert hash(pickle.loads(pickle.dumps(problem))) == hash(problem)
    curve = case("A", steps=np.arange(5))
    assert curve.isel(steps=3).solve().ntk == curve.solve().ntk[3]


# ---- grids


H = np.array([0.05, 0.4, 1.4, 2.5])
AXES = {
    "steps": dict(steps=[5, 0, 3, 3, 200, 64, 65, 63, 128]),
    "steps with cells": dict(step_size=H[1:3, None], steps=np.arange(300)),
    "steps outside": dict(steps=np.array([0, 70, 1])[:, None], step_size=np.linspace(0, 2, 50)),
    "steps along with a cell parameter": dict(step_size=H, steps=np.array([100, 3, 7, 1])),
    "steps along and across": dict(steps=np.array([[0, 500], [3, 1], [100, 64], [7, 2]]), step_size=H[:, None]),
    "steps of everything": dict(steps=np.arange(0, 96, 4).reshape(2, 4, 3), eta_u=np.linspace(1, 2, 3),
                                target_coefficient=np.array([-1.0, 2.0])[:, None, None]),
    "no steps": dict(steps=100, gamma=np.linspace(-0.5, 2, 4)[:, None], eta_u=np.linspace(0, 2, 30)),
    "lengths of one": dict(steps=np.ones((1, 1), int), gamma=np.ones((1, 1))),
    "labelled": asy.grid(steps=[0, 10, 30], gamma=[1.0, -0.5], m2=[1.0, 2.0], step_size=[0.1, 5.0]),
}


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("axes", AXES)
def test_grids(axes, batches):
    """Cells are independent, whatever varies along which axis: some arrive, some diverge, some do not move."""
    given = {**CASES["A"], "step_size": 0.3, **AXES[axes]}
    if batches:
        rng = np.random.default_rng(0)
        given |= dict(batch_m2=rng.uniform(0.5, 1.5, 500), batch_mxy=rng.uniform(0.5, 1.5, 500))
    problem = LinearNetworkDescent(**given)
    with np.errstate(all="raise"):
        solution = problem.solve()
    assert solution.converged.shape == problem.shape and solution.converged.all()
    for name, expected in each_cell(problem).items():
        assert solution.values[name] == pytest.approx(expected, rel=1e-13, abs=1e-200, nan_ok=True), name


def test_cells_that_leave_at_different_steps():
    """A tile of many cells against each by itself: counts of all sizes, ends of all kinds."""
    rng = np.random.default_rng(1)
    problem = LinearNetworkDescent.from_overlaps(
        uu=rng.uniform(0, 2, 400), ww=rng.uniform(0, 2, 400), uw=0.0, eta_w=rng.choice([0.0, 1.0], 400),
        gamma=rng.choice([-1.0, 1.0], 400), target_coefficient=rng.normal(size=400),
        step_size=rng.choice([0.0, 1e-290, 0.1, 0.5, 1.0, 3.0], 400), steps=rng.choice([0, 1, 64, 100, 3000], 400))
    with np.errstate(all="raise"):
        solution = problem.solve()
    assert solution.converged.all() and np.isinf(solution.loss).any()
    picked = np.arange(0, 400, 9)
    for name, expected in each_cell(problem.sample(picked)).items():
        assert solution.values[name][picked] == pytest.approx(expected, rel=1e-12, abs=1e-200, nan_ok=True), name


def test_empty_axes():
    assert case("A", steps=np.array([], int)).solve().coefficient.shape == (0,)
    assert case("A", steps=np.array([], int), gamma=np.ones((3, 1))).solve().coefficient.shape == (3, 0)
    assert case("A", gamma=[]).outcome().outcome.shape == (0,)


def test_labelled_output(tmp_path):
    problem = LinearNetworkDescent(**CASES["A"], **asy.grid(step_size=[0.1, 3.0], steps=[0, 10, 1000]))
    dataset = problem.solve().to_dataset()
    assert dataset.loss.dims == ("step_size", "steps") and np.isinf(dataset.loss.values[1, 2])
    assert json.loads(dataset.attrs["parameters"])["batch_m2"] is None
    dataset.to_netcdf(tmp_path / "descent.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "descent.nc", engine="scipy") as again:
        xr.testing.assert_identical(again.load(), dataset)


# ---- what diverges, and what does not fit


def test_divergence():
    problem = case("A", step_size=3.0, steps=[0, 5, 40, 10**9])
    with np.errstate(all="raise"):
        solution = problem.solve()
    assert solution.converged.all() and (solution.residual < 1e-12).all()
    assert np.isfinite(solution.loss[:2]).all()
    for name in ("loss", "excess_loss", "ntk", "norm_u", "norm_w", "standard_ntk", "sharpness", "stability"):
        assert np.isinf(solution.values[name][2:]).all(), name
    for name in ("coefficient", "gap", "cosine"):
        assert np.isnan(solution.values[name][2:]).all() and np.isfinite(solution.values[name][:2]).all()
    lazy = case("A", eta_w=0.0, step_size=10.0, steps=10**6).solve()  # the kernel is fixed, the output is not
    assert lazy.ntk == pytest.approx(0.61) and lazy.norm_w == pytest.approx(np.sqrt(0.61), rel=1e-14)
    assert np.isinf(lazy.norm_u) and np.isinf(lazy.loss) and np.isnan(lazy.coefficient)


def test_what_float64_does_not_hold():
    with pytest.warns(AccuracyWarning, match="1 of 2 cells did not converge"):
        solution = case("A", step_size=[0.1, 1e290]).solve()
    assert solution.converged.tolist() == [True, False] and np.isnan(solution.initial_ntk[1])
    impossible = LinearNetworkDescent.from_overlaps(
        uu=1.0, ww=1.0, uw=[0.9, 1.1], target_coefficient=1.0, step_size=0.1, steps=3)
    with (pytest.warns(AccuracyWarning, match="uw\\^2 > uu ww"),
          pytest.warns(AccuracyWarning, match="did not converge") as caught):
        impossible.solve()
    assert {warning.filename for warning in caught} == {__file__}


def test_degenerate_cells():
    counts = [0, 1, 50, 10**6]
    still = case("A", u=(0.0,) * 3, w=(0.0,) * 3, steps=counts).solve()
    assert (still.coefficient == 0).all() and (still.gap == 1).all() and np.isnan(still.cosine).all()
    rates = case("A", eta_u=[0.0, 1.0], eta_w=0.0, steps=100).solve()  # a cell in which nothing moves
    assert rates.coefficient[0] == pytest.approx(0.01) and rates.ntk[0] == 0
    assert rates.cosine[0] == pytest.approx(0.01 / np.sqrt(0.3 * 0.61)) and rates.norm_u[0] == pytest.approx(0.3**0.5)
    lazy = case("A", eta_w=0.0, step_size=0.3, steps=counts).solve()
    assert lazy.gap == pytest.approx([0.99 * (1 - 0.3 * 0.61) ** n for n in counts], rel=1e-12, abs=1e-300)
    saddle = case("A", w=CASES["A"]["u"], target_coefficient=-1.0, steps=counts).solve()  # u = w: out of reach
    assert abs(saddle.coefficient[-1]) < 1e-300 and (saddle.cosine == 1).all()
    assert saddle.gap[-1] == pytest.approx(-1, rel=1e-14)
    nothing = case("A", step_size=0.0, steps=counts).solve()
    for name in KERNEL:
        assert nothing.values[name] == pytest.approx(nothing.values[name][0], rel=1e-13), name
    tiny = case("A", step_size=1e-200, steps=counts).solve()
    assert tiny.coefficient == pytest.approx(0.01) and tiny.ntk == pytest.approx(0.91)


# ---- symmetries


@pytest.mark.parametrize("h", [0.1, 0.4, 1.5])
def test_symmetries(h):
    counts = [0, 1, 2, 10, 40]
    base = case("B", step_size=h, steps=counts)
    here = base.solve(KERNEL)

    def same(problem, signs=(), names=KERNEL, swapped=False, slack=1e-8):
        there = problem.solve(KERNEL)
        for name in names:
            other = {"norm_u": "norm_w", "norm_w": "norm_u"}.get(name, name) if swapped else name
            sign = -1 if name in signs else 1
            assert there.values[name] == pytest.approx(sign * here.values[other], rel=slack, nan_ok=True), name

    given = CASES["B"]
    same(base.replace(gamma=-0.7, w=tuple(-x for x in given["w"])), signs=("cosine",))
    same(base.replace(u=given["w"], w=given["u"], eta_u=0.5, eta_w=2.0), swapped=True)
    same(base.replace(u=tuple(-x for x in given["u"]), target_coefficient=2.0), signs=("coefficient", "gap", "cosine"))
    kernel = ("coefficient", "gap", "ntk", "cosine", "norm_u", "norm_w")
    same(base.replace(loss_factor=4.0, step_size=h / 4), names=kernel)  # c, m2 and h enter as a product
    same(base.replace(m2=0.5 * 1.5, step_size=2 * h), names=kernel)
    # a factor of h is one of both rates
    names = ("coefficient", "gap", "excess_loss", "cosine", "norm_u", "norm_w")
    same(base.replace(step_size=h / 3, eta_u=6.0, eta_w=1.5), names=names)
    twice = tuple(np.tile(given[name], 2) / np.sqrt(2) for name in "uw")
    same(base.replace(u=twice[0], w=twice[1]))
    u, w = (np.array(given[name]) for name in "uw")
    overlaps = LinearNetworkDescent.from_overlaps(
        uu=u @ u, ww=w @ w, uw=u @ w, step_size=h, steps=counts,
        **{name: value for name, value in given.items() if name not in "uw"})
    same(overlaps)


def test_restart():
    """The state after m steps, as overlaps, goes on where it was."""
    whole = case("A", step_size=0.8, steps=[7, 20])
    middle = whole.solve()
    F = middle.coefficient[0]
    rest = LinearNetworkDescent.from_overlaps(
        uu=middle.norm_u[0] ** 2, ww=middle.norm_w[0] ** 2, uw=F, target_coefficient=1.0, step_size=0.8, steps=13)
    for name in KERNEL:
        assert rest.solve().values[name] == pytest.approx(middle.values[name][1], rel=1e-10, abs=1e-13), name


def test_command_line():
    given = json.dumps({"u": [0.5, -0.2, 0.1], "w": [0.3, 0.4, -0.6], "target_coefficient": 1, "step_size": 0.2})
    run = subprocess.run(
        [sys.executable, "-m", "asymptotics", "predict", "linear-network-descent", "--params", given, "--set",
         "steps=[0, 50]", "--json"], capture_output=True, text=True, check=False)
    assert run.returncode == 0 and not run.stderr
    assert json.loads(run.stdout)["observables"]["ntk"][1] == pytest.approx(2.1617678448997, rel=1e-13)
