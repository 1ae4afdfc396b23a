"""Study files: what is read, what is refused, what is computed and what is left on disk."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import asymptotics as asy
from asymptotics import ParameterError, plots, studies, tables
from asymptotics.studies import execution, simulation
from tests.toy import Toy

pytestmark = pytest.mark.usefixtures("toy")

TOML = """
theory = "toy"
[parameters]
activation = "tanh"
lam = 0.5
[axes]
alpha = { start = 0.5, stop = 4.0, num = 8 }
shift = [0.0, 1.0, 2.0]
[output]
observables = ["test_error", "floor"]
table = "curve.csv"
netcdf = "curve.nc"
plot = ["figures/curve.png", "figures/curve.pdf"]
[simulation]
d = 40
seeds = 5
points = { shift = [0.0, 1.0], alpha = [1.5, 2.5, 3.5] }
"""


def document(**changes: Any) -> dict[str, Any]:
    return {"theory": "toy", "axes": {"alpha": [1.0, 2.0, 3.0]}, "parameters": {"lam": 0.5}, **changes}


def simulate(problem: Toy, sizes: dict[str, int], seed: np.random.SeedSequence) -> dict[str, float]:
    """Networks with errors of known size around the theory."""
    assert problem.shape == ()
    noise = np.random.default_rng(seed).standard_normal()
    prediction = problem.solve()
    return {"test_error": prediction.test_error + 0.1 * noise, "fit_error": prediction.fit_error, "unknown": 1.0}


class EntryPoint:
    def __init__(self, load: Callable[[], Any]) -> None:
        self.load = load


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Install a simulator of the toy."""
    def install(simulator: Any) -> None:
        def entry_points(group: str, name: str) -> Iterator[EntryPoint]:
            assert (group, name) == ("asymptotics.simulators", "toy")
            return iter([EntryPoint(lambda: simulator)])

        monkeypatch.setattr(simulation, "entry_points", entry_points)

    return install


def rows(path: Path) -> list[dict[str, str]]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


# ---- reading


def test_a_study_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "curve.toml"
    path.write_text(TOML)
    study = studies.load(path)
    assert study.name == "curve"
    assert study.theory is Toy
    assert list(study.axes) == ["alpha", "shift"]
    np.testing.assert_array_equal(study.axes["alpha"], np.linspace(0.5, 4.0, 8))
    assert study.output.plot == ("figures/curve.png", "figures/curve.pdf")
    assert study.output.plot_kind == "curves"
    assert study.simulation is not None
    assert (study.simulation.d, study.simulation.seeds, study.simulation.seed) == (40, 5, 0)
    assert list(study.simulation_axes()) == ["alpha", "shift"]


def test_log_spacing_is_geometric() -> None:
    study = studies.parse(document(axes={"alpha": {"start": 0.1, "stop": 10.0, "num": 5, "spacing": "log"}}))
    np.testing.assert_allclose(study.axes["alpha"], np.geomspace(0.1, 10.0, 5), rtol=1e-15)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"theory": "tyo"}, "theory: 'tyo' is not known; did you mean 'toy'?"),
        ({"theory": "qqqqqq"}, "theory: 'qqqqqq' is not known: giant-step"),
        ({"theory": 3}, "theory: must be a string, got 3"),
        ({"thoery": "toy"}, "thoery: is not a known key; did you mean 'theory'?"),
        ({"run": {"wokers": 2}}, "run.wokers: is not a known key; did you mean 'workers'?"),
        ({"run": {"workers": 0}}, "run.workers: must be a whole number >= 1, got 0"),
        ({"run": {"tile_cells": 1.5}}, "run.tile_cells: must be a whole number >= 1, got 1.5"),
        ({"run": {"store": "../a.store"}}, "run.store: must be a path inside the output directory"),
        ({"run": {"workers": 2, "scheduler": "tcp://a:1"}}, "run.scheduler: excludes workers"),
        ({"axes": 3}, "axes: must be a table, got 3"),
        ({"axes": {"alhpa": [1.0]}}, "axes.alhpa: is not a known key; did you mean 'alpha'?"),
        ({"axes": {"alpha": 1.0}}, "axes.alpha: must be a list of values or {start, stop, num, spacing}, got 1.0"),
        ({"axes": {"alpha": []}}, "axes.alpha: must be a list of values"),
        ({"axes": {"alpha": [1.0, "2"]}}, "axes.alpha: must be a list of finite numbers, got [1.0, \"2\"]"),
        ({"axes": {"alpha": [1.0, True]}}, "axes.alpha: must be a list of finite numbers"),
        ({"axes": {"alpha": [1.0, [2.0]]}}, "axes.alpha: must be a list of finite numbers"),
        ({"axes": {"alpha": [1.0, float("nan")]}}, "axes.alpha: must be a list of finite numbers"),
        ({"axes": {"alpha": [1, 10**400]}}, "axes.alpha: must be a list of finite numbers"),
        ({"axes": {"alpha": [1.0, -2.0]}}, "axes.alpha: must be > 0, got -2 at index (1,)"),
        ({"axes": {"alpha": {"start": 1, "stop": 2, "nmu": 3}}}, "axes.alpha.nmu: is not a known key; did you"),
        ({"axes": {"alpha": {"start": 1, "num": 3}}}, "axes.alpha.stop: must be a finite number"),
        ({"axes": {"alpha": {"start": 1, "stop": 2}}}, "axes.alpha.num: is required"),
        ({"axes": {"alpha": {"start": 1, "stop": 2, "num": 0}}}, "axes.alpha.num: must be a whole number >= 1, got 0"),
        ({"axes": {"alpha": {"start": 1, "stop": 2, "num": 10**8}}}, "axes.alpha.num: must be <= 10000000"),
        ({"axes": {"alpha": {"start": 1, "stop": 2, "num": 2, "spacing": "lgo"}}}, "axes.alpha.spacing: must be"),
        ({"axes": {"alpha": {"start": 0, "stop": 2, "num": 2, "spacing": "log"}}}, "axes.alpha: must have start"),
        ({"axes": {"alpha": {"start": -1, "stop": 2, "num": 3}}}, "axes.alpha: must be > 0, got -1 at index (0,)"),
        ({"axes": {"alpha": [1.0], "lam": [1.0]}}, "axes.lam: is given in [parameters] as well"),
        ({"axes": {"alpha": [1.0], "model": ["sum", "x"]}}, "axes.model: must be one of sum, double, got 'x'"),
        ({"axes": {"alpha": [1.0], "model": {"start": 1, "stop": 2, "num": 2}}}, "axes.model: must be a list of"),
        ({"axes": {"alpha": [1.0], "levels": [[1.0, 1.0, 1.0, 1.0]]}}, "axes.levels: must have at most 3 values"),
        ({"parameters": {"lma": 1.0}}, "parameters.lma: is not a known key; did you mean 'lam'?"),
        ({"parameters": {"lam": -1.0}}, "parameters.lam: must be >= 0, got -1"),
        ({"parameters": {"lam": [1.0, 2.0]}}, "parameters.lam: must be one value (a list makes an axis)"),
        ({"parameters": {}}, "parameters.lam: is required (ridge penalty)"),
        ({"optimal": "rigde"}, "optimal: toy has no optimal 'rigde'; did you mean 'ridge'?"),
        ({"optimal": "ridge", "axes": {"alpha": [1.0], "lam": [1.0]}, "parameters": {}}, "axes.lam: is chosen by"),
        ({"optimal": ["ridge", "ridge"]}, "optimal: must not repeat a value"),
        ({"output": {"obserables": []}}, "output.obserables: is not a known key; did you mean 'observables'?"),
        ({"output": {"observables": ["test"]}}, "output.observables: 'test' is not a known observable; did you mean"),
        ({"output": {"table": 1}}, "output.table: must be a string, got 1"),
        ({"output": {"table": "/tmp/a.csv"}}, "output.table: must be a path inside the output directory"),
        ({"output": {"table": "../a.csv"}}, "output.table: must be a path inside the output directory"),
        ({"output": {"table": "a.txt"}}, "output.table: must end in .csv, got \"a.txt\""),
        ({"output": {"netcdf": "a.csv"}}, "output.netcdf: must end in .nc"),
        ({"output": {"plot": ["a.png", "a.jpg"]}}, "output.plot: must end in .png or .pdf"),
        ({"output": {"plot": "a.png", "plot_kind": "map"}}, "output.plot_kind: must be one of curves, heatmap"),
        ({"output": {"plot": "a.png", "plot_kind": "heatmap"}}, "output.plot: a heat map needs two axes"),
        ({"output": {"plot": "a.png", "x": "lam"}}, "output.x: must be one of the axes alpha, got 'lam'"),
        ({"output": {"x": "alpha"}}, "output.x: needs output.plot"),
        ({"output": {"plot": "a.png", "observables": ["spectrum"], "plot_kind": "decomposition"}},
         "output.observables: must name an"),
        ({"output": {"plot": "a.png", "plot_kind": "decomposition"}}, "output.observables: must name an observable"),
        ({"axes": {}, "parameters": {"lam": 1.0, "alpha": 1.0}, "output": {"plot": "a.png"}}, "output.plot: needs an"),
        ({"simulation": {}}, "simulation.points: must have every axis longer than one; alpha is missing"),
        ({"simulation": {"points": {"alpha": [1.0]}}}, "simulation.d: is required"),
        ({"simulation": {"points": {"alpha": [1.0]}, "d": 1.5}}, "simulation.d: must be a whole number >= 1, got 1.5"),
        ({"simulation": {"points": {"alpha": [1.0]}, "d": 9, "seeds": 1}}, "simulation.seeds: must be a whole"),
        ({"simulation": {"points": {"alpha": [5.0]}, "d": 9}}, "simulation.points.alpha: must lie within the"),
        ({"simulation": {"points": {"lam": [5.0]}, "d": 9}}, "simulation.points.lam: is not a known key"),
        ({"simulation": {"points": {"alpha": 2.0}, "d": 9}}, "simulation.points.alpha: must be a list of values"),
    ],
)
def test_bad_studies_are_refused_under_their_key(changes: dict, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        studies.parse(document(**changes))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", [b"theory = ", b"theory = \"toy\"\ntheory = \"toy\"", b"\xff\xfe", b"a = " + b"[" * 5000, b"a = \x00"]
)
def test_files_that_are_not_toml_are_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(text)
    with pytest.raises(ParameterError, match=r"bad\.toml: cannot be read"):
        studies.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"no\.toml: cannot be read \(No such file or directory\)"):
        studies.load(tmp_path / "no.toml")


# ---- theory


def test_run_returns_a_labelled_dataset() -> None:
    problem = Toy(**asy.grid(alpha=[1.0, 2.0], lam=[0.1, 1.0]))
    xr.testing.assert_identical(studies.run(problem), problem.solve().to_dataset())
    assert "fit_error" not in studies.run(problem, observables=["test_error"])


def test_dimensions_have_the_order_of_the_axes(tmp_path: Path) -> None:
    axes = {"shift": [0.0, 1.0], "model": ["double", "sum"], "alpha": [1.0, 2.0, 3.0], "levels": [[1.0], [2.0]]}
    dataset = studies.run_study(studies.parse(document(axes=axes)), tmp_path).dataset
    assert dataset["test_error"].dims == ("shift", "model", "alpha", "levels")
    assert dataset["spectrum"].dims == ("shift", "model", "alpha", "levels", "degree")
    assert dataset["model"].values.tolist() == ["double", "sum"]
    assert dataset["levels"].values.tolist() == ["[1.0]", "[2.0]"]
    one = Toy(alpha=2.0, lam=0.5, shift=1.0, model="double", levels=[2.0]).solve()
    cell = dataset.sel(shift=1.0, model="double", alpha=2.0, levels="[2.0]")
    assert cell["test_error"] == one.test_error
    assert cell["spectrum"] == one.spectrum
    parameters = json.loads(dataset.attrs["parameters"])
    assert parameters["model"] == {"dims": ["model"], "values": ["double", "sum"]}
    assert parameters["lam"] == 0.5
    assert list(tmp_path.iterdir()) == []


def test_the_optimum_is_taken_in_every_cell_and_recorded(tmp_path: Path) -> None:
    study = studies.parse({
        "theory": "toy", "optimal": "ridge", "axes": {"alpha": [0.5, 1.0], "model": ["sum", "double"]},
        "output": {"table": "a.csv", "netcdf": "a.nc"},
    })
    dataset = studies.run_study(study, tmp_path).dataset
    expected = np.sqrt([2.0, 4.0]) - np.array([[0.5], [1.0]])
    np.testing.assert_allclose(dataset["lam"], expected)
    assert dataset["lam"].attrs["symbol"] == r"\lambda"
    assert json.loads(dataset.attrs["parameters"])["lam"]["dims"] == ["alpha", "model"]
    table = rows(tmp_path / "a.csv")
    assert list(table[0])[:3] == ["alpha", "model", "lam"]
    np.testing.assert_allclose([float(row["lam"]) for row in table], expected.ravel())
    with xr.open_dataset(tmp_path / "a.nc", engine="scipy") as stored:
        xr.testing.assert_identical(stored.load(), dataset)


def test_an_optimum_without_axes_is_recorded_too(tmp_path: Path) -> None:
    study = studies.parse({"theory": "toy", "optimal": ["ridge"], "parameters": {"alpha": 1.0},
                           "axes": {"model": ["sum", "double"]}})
    dataset = studies.run_study(study, tmp_path).dataset
    np.testing.assert_allclose(dataset["lam"], np.sqrt([2.0, 4.0]) - 1.0)


def test_results_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    study = studies.parse(document(axes={"alpha": [1.0], "levels": [[1.0], [1.0, 2.0]]}))
    with pytest.raises(ParameterError, match=r"axes\.levels: gives results that do not fit together"):
        studies.run_study(study, tmp_path)


def test_a_study_without_axes_is_one_row(tmp_path: Path) -> None:
    study = studies.parse({"theory": "toy", "parameters": {"alpha": 1.0, "lam": 1.0}, "output": {"table": "a.csv"}})
    studies.run_study(study, tmp_path)
    (row,) = rows(tmp_path / "a.csv")
    assert float(row["fit_error"]) == 1.0


# ---- files


def test_matrices_in_a_study():
    """One for all cells, or an axis of them."""
    study = studies.parse(document(parameters={"lam": 0.5, "weights": [[1.0, 2.0]]}, axes={"alpha": [1.0, 2.0]}))
    assert study.problems()[0] == Toy(**asy.grid(alpha=[1.0, 2.0]), lam=0.5, weights=[[1.0, 2.0]])
    study = studies.parse(document(axes={"alpha": [1.0], "weights": [[[1.0]], [[2.0, 3.0]]]}))
    assert [problem.weights.tolist() for problem in study.problems()] == [[[1.0]], [[2.0, 3.0]]]
    with pytest.raises(ParameterError, match=r"axes\.weights: must be a matrix"):
        studies.parse(document(axes={"alpha": [1.0], "weights": [[1.0]]}))


def test_everything_is_written(tmp_path: Path, installed: Callable) -> None:
    installed(simulate)
    (tmp_path / "curve.toml").write_text(TOML)
    out = tmp_path / "new" / "directory"
    results = studies.run_study(studies.load(tmp_path / "curve.toml"), out)
    names = ["curve.csv", "curve.nc", "figures/curve.png", "figures/curve.pdf", "curve_simulation.csv"]
    assert {str(path.relative_to(out)) for path in results.files} == set(names)
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == set(names)
    assert results.converged
    comments = [line for line in (out / "curve.csv").read_text().splitlines() if line.startswith("#")]
    assert comments[0] == "# theory: toy"
    assert json.loads(comments[2].removeprefix("# parameters: ")) == {
        "lam": 0.5, "n": None, "activation": "tanh", "levels": [1.0, 2.0], "weights": None,
        "model": "sum", "exact": True}
    table = rows(out / "curve.csv")
    assert list(table[0]) == ["alpha", "shift", "test_error", "floor", "converged", "residual"]
    assert len(table) == 24
    stored = [float(row["test_error"]) for row in table]
    np.testing.assert_array_equal(stored, results.dataset["test_error"].values.ravel())
    assert (out / "figures/curve.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "figures/curve.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_study_writes_the_same_bytes(tmp_path: Path, installed: Callable) -> None:
    installed(simulate)
    (tmp_path / "curve.toml").write_text(TOML)
    first, second = (studies.run_study(studies.load(tmp_path / "curve.toml"), tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first.files] == [path.read_bytes() for path in second.files]


def test_outputs_that_cannot_be_written_are_refused_before_computing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*rest: Any) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr(Toy, "_solve", never)
    (tmp_path / "a.csv").mkdir()
    (tmp_path / "file").touch()
    for output, directory, message in (
        ({"table": "a.csv"}, tmp_path, r"output\.table: cannot write .*a\.csv \(it is a directory\)"),
        ({"table": "b.csv"}, tmp_path / "file", r"output directory: cannot create .*file"),
        ({"table": "b.csv", "netcdf": "b\0.nc"}, tmp_path, r"output\.netcdf: cannot write"),
        ({"plot": ["b.png", "./b.png"]}, tmp_path, r"output\.plot: must not be the same file as another output"),
        ({"table": "b" * 300 + ".csv"}, tmp_path, r"output\.table: cannot write b*"),
    ):
        with pytest.raises(ParameterError, match=message):
            studies.run_study(studies.parse(document(output=output)), directory)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "file"]


# ---- simulation


def test_the_mean_and_its_standard_error(tmp_path: Path, installed: Callable) -> None:
    seeds: list[tuple] = []

    def remembering(problem: Toy, sizes: dict, seed: np.random.SeedSequence) -> dict[str, float]:
        seeds.append((problem.alpha, problem.shift, seed.spawn_key))
        assert sizes == {"d": 40}
        return simulate(problem, sizes, seed)

    installed(remembering)
    (tmp_path / "curve.toml").write_text(TOML)
    found = studies.run_study(studies.load(tmp_path / "curve.toml"), tmp_path).simulation
    assert found is not None
    assert found["test_error"].dims == ("alpha", "shift")
    assert found["alpha"].values.tolist() == [1.5, 2.5, 3.5]
    points = [(alpha, shift) for alpha in (1.5, 2.5, 3.5) for shift in (0.0, 1.0)]
    assert seeds == [(*point, (i, j)) for i, point in enumerate(points) for j in range(5)]
    children = [child.spawn(5) for child in np.random.SeedSequence(0).spawn(6)]
    noise = np.array([[np.random.default_rng(seed).standard_normal() for seed in group] for group in children])
    theory = np.ravel(Toy(alpha=np.array([[1.5], [2.5], [3.5]]), shift=[0.0, 1.0], lam=0.5).solve().test_error)
    error = 0.1 * np.std(noise, axis=1, ddof=1) / np.sqrt(5)
    table = rows(tmp_path / "curve_simulation.csv")
    assert list(table[0]) == ["alpha", "shift", "observable", "theory", "simulation", "standard_error", "z",
                              "relative_error", "networks"]
    assert [row["observable"] for row in table] == ["test_error"] * 6
    columns = {name: np.array([float(row[name]) for row in table]) for name in table[0] if name != "observable"}
    np.testing.assert_allclose(columns["theory"], theory)
    np.testing.assert_allclose(columns["simulation"], theory + 0.1 * noise.mean(axis=1))
    np.testing.assert_allclose(columns["standard_error"], error)
    np.testing.assert_allclose(columns["z"], 0.1 * noise.mean(axis=1) / error)
    np.testing.assert_allclose(columns["relative_error"], 0.1 * noise.mean(axis=1) / theory, rtol=1e-6)
    np.testing.assert_array_equal(columns["networks"], 5)


def test_a_point_does_not_depend_on_the_number_of_repetitions(tmp_path: Path, installed: Callable) -> None:
    seeds: list[int] = []

    def remembering(problem: Toy, sizes: dict, seed: np.random.SeedSequence) -> dict[str, float]:
        seeds.append(int(seed.generate_state(1)[0]))
        return {}

    installed(remembering)
    sets = []
    for count in (2, 4):
        seeds.clear()
        section = {"d": 9, "seeds": count, "points": {"alpha": [1.0, 2.0]}}
        studies.run_study(studies.parse(document(simulation=section)), tmp_path)
        sets.append(np.reshape(seeds, (2, count)).copy())
    np.testing.assert_array_equal(sets[0], sets[1][:, :2])
    assert len(set(sets[1].ravel().tolist())) == 8


def test_fixed_axes_and_the_optimum_are_simulated_too(tmp_path: Path, installed: Callable) -> None:
    def exact(problem: Toy, sizes: dict, seed: np.random.SeedSequence) -> dict[str, float]:
        assert problem.lam == pytest.approx(np.sqrt(4.0 if problem.model == "double" else 2.0) - problem.alpha)
        return {"test_error": float(problem.solve().test_error), "fit_error": float(problem.solve().fit_error)}

    installed(exact)
    study = studies.parse({
        "theory": "toy", "optimal": "ridge", "axes": {"model": ["sum", "double"], "alpha": [0.5, 1.0, 1.25], "n": [3]},
        "simulation": {"d": 9, "seeds": 2, "points": {"alpha": [0.75], "model": ["double", "sum"]}},
    })
    found = studies.run_study(study, tmp_path).simulation
    assert found is not None
    assert found["test_error"].dims == ("model", "alpha", "n")
    assert found["model"].values.tolist() == ["double", "sum"]
    np.testing.assert_array_equal(found["test_error"], found["test_error_theory"])
    np.testing.assert_allclose(found["lam"], np.sqrt([4.0, 2.0]) - 0.75)
    table = rows(tmp_path / "study_simulation.csv")
    assert [row["observable"] for row in table] == ["test_error", "fit_error"] * 2
    assert {row["lam"] for row in table} == {repr(float(value)) for value in found["lam"].values.ravel()}


def test_observables_with_an_axis_of_their_own_are_simulated_too(tmp_path: Path, installed: Callable) -> None:
    def noisy(problem: Toy, sizes: dict, seed: np.random.SeedSequence) -> dict[str, Any]:
        offset = (seed.spawn_key[1] - 1.0) * np.array([1.0, 2.0])
        return {"spectrum": problem.solve().spectrum + offset}

    installed(noisy)
    study = studies.parse(document(
        simulation={"d": 9, "seeds": 3, "points": {"alpha": [1.0, 2.0]}},
        output={"observables": ["spectrum"], "table": "a.csv", "plot": "a.png"},
    ))
    results = studies.run_study(study, tmp_path)
    found = results.simulation
    assert found is not None and found["spectrum"].dims == ("alpha", "degree")
    np.testing.assert_allclose(found["spectrum"], found["spectrum_theory"])
    np.testing.assert_allclose(found["spectrum_standard_error"], [[1 / np.sqrt(3), 2 / np.sqrt(3)]] * 2)
    table = rows(tmp_path / "a_simulation.csv")
    assert [row["observable"] for row in table] == ["spectrum[0]", "spectrum[1]"] * 2
    assert [float(row["theory"]) for row in table] == pytest.approx(found["spectrum_theory"].values.ravel().tolist())
    axes = plots.draw(results.dataset, None, None, ["spectrum"], found)
    assert len(axes.containers) == 2  # points with error bars, for each degree
    assert sum(line.get_linestyle() == "-" for line in axes.get_lines()) == 2


def test_a_network_that_diverged_is_not_averaged_away(tmp_path: Path, installed: Callable) -> None:
    installed(lambda problem, sizes, seed: {"test_error": np.inf if seed.spawn_key[1] else 1.0})
    section = {"d": 9, "seeds": 3, "points": {"alpha": [1.0]}}
    found = studies.run_study(studies.parse(document(simulation=section)), tmp_path).simulation
    assert found is not None
    assert np.isnan(found["test_error"]).all()


def test_what_is_finished_survives_an_interruption(tmp_path: Path, installed: Callable) -> None:
    def interrupted(problem: Toy, sizes: dict, seed: np.random.SeedSequence) -> dict[str, float]:
        assert (tmp_path / "curve.csv").exists()
        assert (tmp_path / "figures" / "curve.png").exists()
        if seed.spawn_key == (2, 3):
            raise KeyboardInterrupt
        return simulate(problem, sizes, seed)

    installed(interrupted)
    (tmp_path / "curve.toml").write_text(TOML)
    with pytest.raises(KeyboardInterrupt):
        studies.run_study(studies.load(tmp_path / "curve.toml"), tmp_path)
    table = rows(tmp_path / "curve_simulation.csv")
    assert [row["networks"] for row in table] == ["5", "5", "3"]
    assert all(float(row["standard_error"]) > 0 for row in table)


def test_a_missing_or_broken_simulator_is_refused_before_computing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = studies.parse(document(simulation={"d": 9, "points": {"alpha": [1.0]}}, output={"table": "a.csv"}))
    with pytest.raises(ParameterError, match="simulation: no simulator of toy is installed"):
        studies.run_study(study, tmp_path)

    def broken() -> None:
        raise ImportError("no module named networks")

    monkeypatch.setattr(simulation, "entry_points", lambda group, name: [EntryPoint(broken)])
    with pytest.raises(ParameterError, match=r"simulation: the simulator of toy cannot be loaded \(no module"):
        studies.run_study(study, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_cell_is_told(tmp_path: Path) -> None:
    study = studies.parse(document(axes={"alpha": [1.0, 13.0]}, output={"table": "a.csv"}))
    with pytest.warns(asy.AccuracyWarning, match="1 of 2 cells did not converge"):
        results = studies.run_study(study, tmp_path)
    assert not results.converged
    assert [row["converged"] for row in rows(tmp_path / "a.csv")] == ["True", "False"]
    assert rows(tmp_path / "a.csv")[1]["test_error"] == "nan"


def test_long_tables_are_written_in_pieces() -> None:
    dataset = Toy(**asy.grid(alpha=np.linspace(1, 2, 7), lam=[0.1, 0.2], shift=[0.0, 1.0, 2.0])).solve().to_dataset()
    whole = tables.from_dataset(dataset)
    for rows_at_once in (1, 4, 6, 13):
        parts = list(tables.pieces_of_dataset(dataset, rows_at_once))
        assert all(list(part) == list(whole) and len(part["alpha"]) <= rows_at_once for part in parts)
        assert {name: [value for part in parts for value in part[name]] for name in whole} == whole


def test_results_say_which_study_made_them(tmp_path: Path) -> None:
    study = studies.parse(document(axes={"alpha": [1.0, 2.0], "shift": [0.0, 1.0]},
                                   output={"table": "a.csv", "netcdf": "a.nc"}, run={"store": "a.store"}))
    studies.run_study(study, tmp_path)
    for name in ("a.csv", "a.nc", "a.store"):
        found = studies.load(tmp_path / name)
        assert found.problem == study.problem
        assert found.document == {key: value for key, value in document().items() if key != "axes"} | {
            "axes": {"alpha": [1.0, 2.0], "shift": [0.0, 1.0]}, "output": {"table": "a.csv", "netcdf": "a.nc"}}
    comments = [line for line in (tmp_path / "a.csv").read_text().splitlines() if line.startswith("#")]
    assert "# column alpha: samples per dimension, n/d (\\alpha)" in comments
    assert "# column test_error: test error (E_\\mathrm{test})" in comments
    several = studies.parse(document(axes={"alpha": [1.0], "model": ["sum", "double"]}))
    with pytest.raises(ParameterError, match=r"axes\.model: makes one problem for every value"):
        _ = several.problem


@pytest.mark.parametrize("problem", [
    Toy(**asy.grid(alpha=[1.0, 2.0], lam=[0.1, 0.2]), levels=[1.0], n=3, weights=[[1.0, 2.0]]),
    Toy(alpha=[[1.0], [2.0]], lam=[0.1, 0.2], model="double", exact=False), Toy(alpha=1.0, lam=0.1),
    Toy(alpha=xr.DataArray([1.0, 2.0], dims="run", coords={"run": [7, 8]}), lam=0.1),
])
def test_a_dataset_says_which_problem_it_answers(problem: Toy, tmp_path: Path) -> None:
    problem.solve().to_dataset().to_netcdf(tmp_path / "a.nc", engine="scipy")
    assert studies.load(tmp_path / "a.nc").problem == problem
    assert studies.load(tmp_path / "a.nc").problems() == [problem]
    studies.run(problem, store=tmp_path / "a.store")
    assert studies.load(tmp_path / "a.store").problem == problem


def test_files_that_say_no_study_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_text("nonsense")
    (tmp_path / "a.csv").write_text("alpha,beta\n1,2\n")
    (tmp_path / "b.csv").write_text("# study: {\n")
    (tmp_path / "empty").mkdir()
    for name, message in {"a.nc": "cannot be read", "a.csv": "does not say which study made it",
                          "b.csv": "cannot be read", "empty": "cannot be read", "no.nc": "No such file"}.items():
        with pytest.raises(ParameterError, match=message):
            studies.load(tmp_path / name)


def test_pandas_reads_the_tables(tmp_path: Path) -> None:
    import pandas

    study = studies.parse(document(output={"table": "a.csv"}))
    dataset = studies.run_study(study, tmp_path).dataset
    frame = pandas.read_csv(tmp_path / "a.csv", comment="#")
    np.testing.assert_array_equal(frame["test_error"], dataset["test_error"])
    assert frame["converged"].dtype == bool
    assert {"spectrum[0]", "spectrum[1]"} <= set(frame.columns)


def test_results_are_drawn_again_with_the_networks(tmp_path: Path, installed: Callable,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    from asymptotics import plots

    drawn: list[bool] = []
    draw = plots.draw
    monkeypatch.setattr(plots, "draw", lambda *given: drawn.append(given[-1] is not None) or draw(*given))
    installed(simulate)
    (tmp_path / "curve.toml").write_text(TOML)
    execution.run_study(studies.load(tmp_path / "curve.toml"), tmp_path)
    assert drawn == [False, True]
