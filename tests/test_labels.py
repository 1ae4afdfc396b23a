"""Parameters that are exact numbers, and observables that are words: stored, written, drawn, read again."""

from __future__ import annotations

import csv
import json
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

import asymptotics as asy
from asymptotics import AccuracyWarning, ParameterError, cli, plots, studies
from asymptotics.datasets import spell, words
from asymptotics.parameters import observable, parameter
from asymptotics.plots.style import COLOURS, tint
from asymptotics.problem import Prediction, Problem


class SidesPrediction(Prediction):
    height = observable("height above the plane", symbol="h")
    side = observable("side of the plane", labels=("below", "on_it", "above"), boundaries=("height",))
    drift = observable("sides later", labels=("left", "right"), dims=("time",))


class Sides(Problem):
    """height = a + b; cells with b = 13 fail, those with b = 7 have no side."""

    slug: ClassVar[str] = "sides"
    title: ClassVar[str] = "Sides of a plane"
    source: ClassVar[str] = "Nobody (1900)"
    prediction: ClassVar[type[Prediction]] = SidesPrediction

    a: Any = parameter("first", symbol="a", kind="rational")
    b: Any = parameter("second", symbol="b", kind="rational", low=-100, high=100, default="1/2")

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        a, b = (self.cells.arrays[name] for name in ("a", "b"))
        height = np.asarray((a + b), dtype=np.float64)
        side = np.where(np.broadcast_to(b == 7, height.shape), -1, np.sign(height) + 1)
        solved = {"height": height, "side": side, "drift": np.stack([side, 2 - side], axis=-1).clip(0, 1),
                  "converged": b != 13, "residual": 0.0}
        return {name: solved[name] for name in (*observables, "converged", "residual")}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """The command line, knowing this theory too, in an empty directory."""
    monkeypatch.setitem(asy.THEORIES, Sides.slug, Sides)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        return cli.main(arguments), *capsys.readouterr()

    return call


def plane(number: int = 21) -> xr.Dataset:
    axis = np.linspace(-1, 1, number)
    return Sides(**asy.grid(a=axis, b=axis)).solve(["height", "side"]).to_dataset().copy(deep=True)


# ---- exact numbers


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (1, 1), (0.5, 0.5), ("1/2", Fraction(1, 2)), (" -3/9 ", Fraction(-1, 3)), ("4/2", 2), ("0.1", Fraction(1, 10)),
        (Fraction(6, 3), 2), (np.int64(3), 3), (np.float64(0.1), 0.1), (np.array("1/7"), Fraction(1, 7)),
        (10**15, 10**15), (Fraction(1, 10**20), Fraction(1, 10**20)),
    ],
)
def test_a_number_stays_as_exact_as_it_is_given(value: object, stored: object) -> None:
    problem = Sides(a=value)
    assert problem.a == stored
    assert type(problem.a) is type(stored)
    assert problem == pickle.loads(pickle.dumps(problem)) == problem.replace()
    assert hash(problem) == hash(problem.replace())
    assert problem.b == Fraction(1, 2)


@pytest.mark.parametrize(
    ("values", "dtype", "stored"),
    [
        ([1, 2], np.int64, [1, 2]),
        (["1/2", 3], object, [Fraction(1, 2), 3]),
        (["1", "6/3"], np.int64, [1, 2]),
        (np.array(["1/3", "2"]), object, [Fraction(1, 3), 2]),
        (["1/2", 0.1 + 0.2], np.float64, [0.5, 0.1 + 0.2]),
        ([Fraction(1, 2), 1.0], np.float64, [0.5, 1.0]),
        ([], np.float64, []),
    ],
)
def test_one_floating_point_number_makes_all_of_an_array_so(values: object, dtype: type, stored: list) -> None:
    array = Sides(a=values).a
    assert array.dtype == dtype
    assert array.tolist() == stored
    assert not array.flags.writeable
    (labelled,) = asy.grid(a=values).values()
    assert Sides(a=labelled).a.values.tolist() == stored


@pytest.mark.parametrize(
    "value",
    ["", "x", "1e3", "1/0", "1/2/3", "١", "1" * 50, "nan", True, [True, "1/2"], [[1], [1, 2]], {"a": 1}, 1j, b"1",
     Fraction(10**400), [10**5000], [None], float("nan"), float("inf"), "0x10", ["1/2", "a"]],
)
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ParameterError, match=r"^a: must be a (finite )?number"):
        Sides(a=value)


def test_ranges_are_kept() -> None:
    with pytest.raises(ParameterError, match=r"^b: must be <= 100, got 101 at index \(1,\)$"):
        Sides(a=1, b=["1/2", "101"])


def test_exact_axes_are_labelled_by_the_nearest_numbers() -> None:
    problem = Sides(**asy.grid(a=["-1/3", "0", 2], b=[0.1, "1/3"]))
    assert problem.a.values.tolist() == [Fraction(-1, 3), 0, 2]
    data = problem.solve().to_dataset()
    np.testing.assert_array_equal(data["a"], [-1 / 3, 0.0, 2.0])
    assert json.loads(data.attrs["parameters"])["a"] == {"dims": ["a"], "values": ["-1/3", 0, 2]}
    assert problem.isel(a=0).a == Fraction(-1, 3)
    assert problem.sample(np.array([0, 5])).a.tolist() == [Fraction(-1, 3), 2]
    assert repr(Sides(a=["-1/3"] * 9)) == "Sides(a=<9; -0.333333 to -0.333333>, b=Fraction(1, 2))"


def test_parameters_as_json_give_the_same_problem(run: Any) -> None:
    out = run("predict", "sides", "--set", "a=1/3", "--json")[1]
    assert json.loads(out)["parameters"] == {"a": "1/3", "b": "1/2"}
    assert run("predict", "sides", "--params", json.dumps(json.loads(out)["parameters"]), "--json")[1] == out


# ---- words


def test_a_prediction_speaks_in_words_and_stores_their_positions() -> None:
    prediction = Sides(a=[-1, "-1/2", 3]).solve()
    assert prediction.side.tolist() == ["below", "on_it", "above"]
    assert not prediction.side.flags.writeable
    assert prediction.values["side"].dtype == np.int8
    assert prediction.values["side"].tolist() == [0, 1, 2]
    assert prediction.drift.shape == (3, 2)
    single = Sides(a=1).solve()
    assert isinstance(single.side, str)
    assert single.side == "above"
    assert asy.check(single) == {"height": 0.0, "side": 0.0, "drift": 0.0}


def test_cells_that_failed_or_are_not_defined_have_no_label() -> None:
    with pytest.warns(AccuracyWarning, match="1 of 3 cells"):
        prediction = Sides(a=0, b=[1, 13, 7]).solve()
    assert prediction.side.tolist() == ["above", "", ""]
    assert prediction.values["side"].tolist() == [2, -1, -1]
    assert prediction.converged.tolist() == [True, False, True]


def test_labels_are_words() -> None:
    for label in ("two words", "", " x"):
        with pytest.raises(ValueError, match="without blanks"):
            observable("side", labels=("one", label))


def test_datasets_have_flags_and_survive_netcdf3(tmp_path: Path) -> None:
    with pytest.warns(AccuracyWarning):
        data = Sides(**asy.grid(a=[-1, "-1/2", 3], b=["1/2", 13])).solve().to_dataset()
    data.to_netcdf(tmp_path / "a.nc", engine="scipy")
    again = xr.load_dataset(tmp_path / "a.nc", engine="scipy")
    xr.testing.assert_identical(again, data)
    assert again["side"].dtype == np.int8
    assert again["side"].attrs["flag_meanings"] == "below on_it above"
    assert again["side"].attrs["flag_values"].tolist() == [0, 1, 2]
    assert again["side"].attrs["boundaries"] == "height"
    spelled = spell(again["side"])
    assert spelled.dims == ("a", "b")
    assert spelled.values.tolist() == [["below", ""], ["on_it", ""], ["above", ""]]
    assert spell(again["height"]).identical(again["height"])
    assert words(1.5, {}) == 1.5


def test_the_command_line_prints_words(run: Any, tmp_path: Path) -> None:
    assert "one of below, on_it, above" in run("describe", "sides")[1]
    code, out, _ = run("predict", "sides", "--set", "a=-1/2")
    assert code == 0
    assert "  side       on_it  side of the plane\n" in out
    code, out, _ = run("predict", "sides", "--set", 'a=[-1, "-1/2"]', "--csv", "a.csv")
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["a", "height", "side"], ["-1", "-0.5", "below"], ["-0.5", "0", "on_it"]]
    lines = [line for line in (tmp_path / "a.csv").read_text().splitlines() if not line.startswith("#")]
    assert [row["side"] for row in csv.DictReader(lines)] == ["below", "on_it"]
    code, out, err = run("predict", "sides", "--set", "a=0", "--set", "b=[1, 13, 7]", "--json")
    assert (code, err) == (3, "warning: 1 of 3 cells did not converge and are NaN\n")
    assert json.loads(out)["observables"]["side"] == ["above", None, None]
    assert json.loads(out)["observables"]["drift"][0] == ["right", "left"]


@pytest.mark.parametrize("value", ["[" * 80 + "]" * 80, "9" * 4000, '"' + "1" * 100 + '"', "[1, [2]]", "1/0", "null"])
def test_strange_numbers_are_refused_in_one_line(run: Any, value: str) -> None:
    code, out, err = run("predict", "sides", "--set", f"a={value}")
    assert (code, out) == (2, "")
    assert err.startswith("error: a: must be ")
    assert err.count("\n") == 1


def test_studies_take_exact_axes_and_write_words(run: Any, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("""
        theory = "sides"
        [parameters]
        b = "1/3"
        [axes]
        a = ["-1/3", "1/3", 1]
        [output]
        observables = ["side"]
        table = "a.csv"
        netcdf = "a.nc"
    """)
    assert studies.load(tmp_path / "study.toml").axes["a"].tolist() == [Fraction(-1, 3), Fraction(1, 3), 1]
    assert run("run", "study.toml")[0] == 0
    assert ",on_it," in (tmp_path / "a.csv").read_text()
    assert spell(xr.load_dataset("a.nc", engine="scipy")["side"]).values.tolist() == ["on_it", "above", "above"]
    for wrong in ('["x"]', "[true]", '["1/2", []]'):
        (tmp_path / "wrong.toml").write_text(f'theory = "sides"\n[axes]\na = {wrong}\n')
        code, _, err = run("run", "wrong.toml")
        assert code == 2
        assert err.startswith("error: axes.a: must be ")


# ---- figures


def test_labels_are_a_map_of_colours() -> None:
    data = plane()
    ax = plots.category_map(data, "side")
    mesh = ax.collections[0]
    np.testing.assert_array_equal(np.reshape(mesh.get_array(), (21, 21)), data["side"].values.T)
    shades = [to_hex(mesh.cmap(mesh.norm(code))) for code in range(3)]
    assert shades == [to_hex(tint(colour)) for colour in COLOURS[:3]]
    box = ax.get_legend()
    assert [text.get_text() for text in box.get_texts()] == ["below", "on it", "above"]
    # the label that lives on the line only gives the line its colour
    assert to_hex(box.legend_handles[1].get_facecolor()).upper() == COLOURS[1]
    line = ax.collections[-1]
    assert to_hex(line.get_edgecolor()[0]).upper() == COLOURS[1]
    for path in line.get_paths():
        np.testing.assert_allclose(path.vertices.sum(axis=1), 0.0, atol=1e-6)


def test_absent_labels_are_not_in_the_legend_and_missing_ones_are_grey() -> None:
    data = plane()
    data["side"].values[:, :5] = -1
    ax = plots.category_map(data.isel(a=slice(-2, None)), "side", x="b", lines=[])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["above"]
    assert ax.get_xlabel() == "second ($b$)"
    masked = ax.collections[0].get_array()
    assert np.ma.getmaskarray(masked).reshape(-1, 21)[:, :5].all()
    assert len(ax.collections) == 1


def test_plateaus_of_zero_are_outlined() -> None:
    """As where x_inf = 0 on an area."""
    data = plane()
    data["height"] = data["height"].clip(min=0.0)
    ax = plots.category_map(data, "side")
    assert len(ax.collections) == 2
    data["height"] = -data["height"]
    assert len(plots.category_map(data, "side").collections) == 2
    data["height"] = 0 * data["height"]
    assert len(plots.category_map(data, "side").collections) == 1


def test_maps_side_by_side_share_their_boundaries() -> None:
    data = plane()
    left, right = plots.maps(data, ["side", "height"])
    assert left.figure is right.figure
    assert left.get_ylabel() == "second ($b$)"
    assert right.get_ylabel() == ""
    assert to_hex(right.collections[-1].get_edgecolor()[0]) == "#ffffff"
    assert len(plots.heat_map(data, "height").collections) == 1


def test_draw_prefers_labels_on_a_map() -> None:
    data = plane()
    assert plots.draw(data).get_legend() is not None
    assert len(plots.draw(data, "maps").figure.axes) == 1
    assert len(plots.draw(data, "maps", observables=["side", "height"]).figure.axes) == 1  # the line in the map
    assert len(plots.draw(data, "maps", observables=["height"]).figure.axes) == 2  # with its colour bar
    with pytest.raises(ParameterError, match="needs two axes"):
        plots.draw(data.isel(a=0), "maps")


def test_labels_along_a_line_are_named() -> None:
    data = plane().isel(b=3)
    data["side"].values[0] = -1
    ax = plots.learning_curves(data, observables=["side"])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["below", "on it", "above"]
    assert np.isnan(ax.get_lines()[0].get_ydata()[0])


def test_only_a_few_labels_can_be_drawn() -> None:
    data = plane()
    with pytest.raises(ParameterError, match="has numbers, not labels"):
        plots.category_map(data, "height")
    data["side"].attrs["flag_meanings"] = "a b c d e f g h"
    with pytest.raises(ParameterError, match="more than 7 labels"):
        plots.category_map(data, "side")
