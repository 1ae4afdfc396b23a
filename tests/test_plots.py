"""Figures: what is on them, where, in which words and colours."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_hex

import asymptotics as asy
from asymptotics import ParameterError, plots
from asymptotics.plots.labels import equation, is_log
from asymptotics.plots.style import COLOURS, REFERENCE
from tests.toy import Toy


def dataset(**axes: object) -> xr.Dataset:
    given = {"alpha": np.linspace(0.5, 4.0, 8), **axes}
    axes = {name: values for name, values in given.items() if np.ndim(values)}
    scalars = {name: value for name, value in {"lam": 0.5, **given}.items() if name not in axes}
    return Toy(**asy.grid(**axes), **scalars).solve().to_dataset().copy(deep=True)


def legend(ax: Axes) -> dict[str, object]:
    box = ax.get_legend()
    return {} if box is None else {text.get_text(): handle for text, handle in
                                   zip(box.get_texts(), box.legend_handles, strict=True)}


def simulated(at: list[float], shift: list[float]) -> xr.Dataset:
    means = 10.0 + np.arange(len(at) * len(shift)).reshape(len(at), len(shift))
    return xr.Dataset({"test_error": (("alpha", "shift"), means),
                       "test_error_standard_error": (("alpha", "shift"), 0.1 * means)},
                      coords={"alpha": at, "shift": shift}, attrs={"size_d": 400})


# ---- learning curves


def test_one_curve() -> None:
    data = dataset()
    ax = plots.learning_curves(data)
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), data["alpha"])
    np.testing.assert_array_equal(line.get_ydata(), data["test_error"])
    assert to_hex(line.get_color()).upper() == COLOURS[0]
    assert ax.get_xlabel() == r"samples per dimension, n/d ($\alpha$)"
    assert ax.get_ylabel() == r"test error ($E_\mathrm{test}$)"
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "linear")
    assert legend(ax) == {}


def test_a_line_for_every_value_of_the_other_axes() -> None:
    data = dataset(shift=[0.0, 1.0, 3.0])
    ax = plots.learning_curves(data)
    lines = ax.get_lines()
    assert len(lines) == 3
    for position, line in enumerate(lines):
        np.testing.assert_array_equal(line.get_ydata(), data["test_error"][:, position])
    assert len({line.get_color() for line in lines}) == 3
    assert list(legend(ax)) == [r"$\eta = 0$", r"$\eta = 1$", r"$\eta = 3$"]
    assert [handle.get_color() for handle in legend(ax).values()] == [line.get_color() for line in lines]  # type: ignore[attr-defined]


def test_the_horizontal_axis_can_be_chosen() -> None:
    data = dataset(alpha=[1.0, 2.0], lam=np.geomspace(0.01, 10.0, 7))
    ax = plots.learning_curves(data, x="lam")
    assert len(ax.get_lines()) == 2
    np.testing.assert_array_equal(ax.get_lines()[1].get_ydata(), data["test_error"][1])
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == r"ridge penalty ($\lambda$)"
    assert list(legend(ax)) == [r"$\alpha = 1$", r"$\alpha = 2$"]


def test_several_axes_are_all_named_and_short_ones_are_not() -> None:
    data = dataset(shift=[0.0, 1.0], lam=[0.1, 0.2], n=[5])
    ax = plots.learning_curves(data)
    assert len(ax.get_lines()) == 4
    assert list(legend(ax)) == [rf"$\eta = {shift}$, $\lambda = {lam}$" for shift in (0, 1) for lam in (0.1, 0.2)]


def test_a_constant_observable_is_one_reference_line() -> None:
    data = dataset(shift=[0.0, 1.0])
    ax = plots.learning_curves(data, observables=("test_error", "floor"))
    *curves, reference = ax.get_lines()
    assert len(curves) == 2
    assert list(reference.get_ydata()) == [0.25, 0.25]
    assert reference.get_color() == REFERENCE
    assert reference.get_linestyle() != "-"
    assert list(legend(ax)) == [r"$\eta = 0$", r"$\eta = 1$", "best error"]
    assert ax.get_ylabel() == r"test error ($E_\mathrm{test}$)"


def test_a_constant_observable_alone_is_a_curve() -> None:
    (line,) = plots.learning_curves(dataset(), observables="floor").get_lines()
    assert len(line.get_xdata()) == 8  # type: ignore[arg-type]


def test_several_observables_differ_in_colour_or_in_style() -> None:
    names = ("test_error", "fit_error")
    alone = plots.learning_curves(dataset(), observables=names)
    assert len({line.get_color() for line in alone.get_lines()}) == 2
    assert {line.get_linestyle() for line in alone.get_lines()} == {"-"}
    assert list(legend(alone)) == ["test error", "fit error"]
    assert alone.get_ylabel() == r"$E_\mathrm{test}$, $E_\mathrm{fit}$"
    grouped = plots.learning_curves(dataset(shift=[0.0, 1.0]), observables=names)
    assert len(grouped.get_lines()) == 4
    assert len({(line.get_color(), line.get_linestyle()) for line in grouped.get_lines()}) == 4
    assert len(legend(grouped)) == 4


def test_many_lines_have_ordered_colours_and_a_short_legend() -> None:
    ax = plots.learning_curves(dataset(shift=np.linspace(0.0, 5.0, 21)))
    colours = [to_hex(line.get_color()) for line in ax.get_lines()]
    assert len(set(colours)) == 21
    assert len(legend(ax)) <= 8
    first, *_, last = legend(ax)
    assert (first, last) == (r"$\eta = 0$", r"$\eta = 5$")


def test_scales_follow_the_spacing_and_the_span() -> None:
    assert plots.learning_curves(dataset(alpha=np.geomspace(0.5, 2.0, 9))).get_xscale() == "log"
    assert plots.learning_curves(dataset(alpha=np.array([0.5, 1.0, 1.1, 2.0]))).get_xscale() == "linear"
    wide = dataset(alpha=np.geomspace(1e-3, 1e3, 30), lam=0.0)
    ax = plots.learning_curves(wide)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


@pytest.mark.parametrize(
    ("values", "log"),
    [
        ([1.0, 2.0, 3.0], False),
        ([1.0, 2.0, 4.0], True),
        ([1.0, 10.0], False),
        ([1.0, 100.0], True),
        ([0.0, 1.0, 1000.0], False),
        ([-1.0, 1.0, 1000.0], False),
        ([1.0], False),
        ([], False),
        ([4.0, 1.0, 2.0], True),
        ([1.0, np.nan, 2.0, np.inf, 4.0], True),
    ],
)
def test_is_log(values: list[float], log: bool) -> None:
    assert is_log(np.array(values)) is log


def test_a_short_log_axis_has_readable_ticks() -> None:
    ax = plots.learning_curves(dataset(alpha=np.geomspace(0.2, 6.0, 20)))
    ax.figure.canvas.draw()
    shown = {label.get_text() for label in ax.get_xticklabels()}
    assert {"0.2", "0.5", "1", "2", "5"} <= shown


def test_lines_are_broken_where_values_are_not_finite() -> None:
    data = dataset()
    data["test_error"][2] = np.inf
    data["test_error"][4] = np.nan
    (line,) = plots.learning_curves(data).get_lines()
    assert np.flatnonzero(np.isnan(line.get_ydata())).tolist() == [2, 4]


def test_unsorted_values_are_drawn_in_order() -> None:
    data = dataset(alpha=[3.0, 1.0, 2.0])
    (line,) = plots.learning_curves(data).get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(line.get_ydata(), data["test_error"][[1, 2, 0]])


def test_a_paired_axis_is_drawn_along_its_first_parameter() -> None:
    data = Toy(alpha=[1.0, 2.0, 3.0], lam=[0.1, 0.2, 0.3]).solve().to_dataset()
    np.testing.assert_array_equal(plots.learning_curves(data).get_lines()[0].get_xdata(), [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(plots.learning_curves(data, x="lam").get_lines()[0].get_xdata(), [0.1, 0.2, 0.3])


def test_names_on_an_axis_make_groups() -> None:
    parts = [dataset().expand_dims(model=[name]) for name in ("sum", "double")]
    data = xr.concat(parts, "model", data_vars="all", coords="minimal", compat="override", join="exact",
                     combine_attrs="override")
    ax = plots.learning_curves(data)
    assert list(legend(ax)) == ["model = sum", "model = double"]


def test_curves_can_be_drawn_into_given_axes() -> None:
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert plots.learning_curves(dataset(), ax=ax) is ax


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ParameterError, match="'test_eror' is not in the dataset; did you mean 'test_error'"):
        plots.learning_curves(dataset(), observables="test_eror")
    with pytest.raises(ParameterError, match="x: must be a parameter that varies along one axis, got 'lam'"):
        plots.learning_curves(dataset(), x="lam")
    with pytest.raises(ParameterError, match="observables: must name at least one"):
        plots.learning_curves(dataset(), observables=())


# ---- simulated networks


def test_networks_lie_where_they_were_simulated_in_the_colour_of_their_curve() -> None:
    data = dataset(shift=[0.0, 1.0])
    ax = plots.learning_curves(data, simulation=simulated([1.0, 2.5], [0.0, 1.0]))
    curves = [line for line in ax.get_lines() if line.get_linestyle() == "-"]
    points = [container for container in ax.containers]
    assert len(curves) == len(points) == 2
    for position, (curve, point) in enumerate(zip(curves, points, strict=True)):
        marks, _, (bars,) = point.lines
        np.testing.assert_array_equal(marks.get_xdata(), [1.0, 2.5])
        means = 10.0 + np.array([position, position + 2])
        np.testing.assert_array_equal(marks.get_ydata(), means)
        assert marks.get_color() == curve.get_color()
        assert marks.get_marker() == "o"
        heights = np.array([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_allclose(heights, means[:, None] + 0.1 * means[:, None] * np.array([-1, 1]))
    assert list(legend(ax))[-1] == "simulation, $d = 400$"


def test_networks_off_the_curves_get_their_own_colour() -> None:
    ax = plots.learning_curves(dataset(shift=[0.0, 1.0]), simulation=simulated([1.0], [0.0, 0.5]))
    colours = [container.lines[0].get_color() for container in ax.containers]
    assert colours[0] == ax.get_lines()[0].get_color()
    assert colours[1] not in [line.get_color() for line in ax.get_lines()[:2]]
    assert r"$\eta = 0.5$" in legend(ax)


def test_networks_match_their_curve_up_to_rounding() -> None:
    ax = plots.learning_curves(dataset(shift=[0.1 + 0.2, 1.0]), simulation=simulated([1.0], [0.3]))
    assert ax.containers[0].lines[0].get_color() == ax.get_lines()[0].get_color()
    assert len([text for text in legend(ax) if "eta" in text]) == 2


def test_missing_networks_leave_no_mark() -> None:
    networks = simulated([1.0, 2.5], [0.0, 1.0])
    networks["test_error"][1] = np.nan
    ax = plots.learning_curves(dataset(shift=[0.0, 1.0]), simulation=networks)
    assert [container.lines[0].get_xdata().tolist() for container in ax.containers] == [[1.0], [1.0]]
    networks["test_error"][:] = np.nan
    assert not plots.learning_curves(dataset(shift=[0.0, 1.0]), simulation=networks).containers


# ---- heat maps


def test_a_heat_map_shows_every_cell_at_its_place() -> None:
    data = dataset(alpha=np.geomspace(0.1, 10.0, 5), lam=[1.0, 2.0, 3.0])
    ax = plots.heat_map(data)
    (mesh,) = ax.collections
    coordinates = mesh.get_coordinates()  # type: ignore[attr-defined]
    np.testing.assert_allclose(coordinates[0, :, 0], 10.0 ** np.linspace(-1.25, 1.25, 6))
    np.testing.assert_allclose(coordinates[:, 0, 1], [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_array_equal(np.reshape(mesh.get_array(), (3, 5)), data["test_error"].T)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert ax.get_xlabel() == r"samples per dimension, n/d ($\alpha$)"
    assert ax.get_ylabel() == r"ridge penalty ($\lambda$)"
    assert mesh.get_cmap().name == "cividis"
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == r"test error ($E_\mathrm{test}$)"


def test_the_axes_of_a_heat_map_can_be_exchanged() -> None:
    data = dataset(alpha=[1.0, 2.0], lam=[1.0, 2.0, 3.0])
    ax = plots.heat_map(data, "fit_error", x="lam")
    assert ax.get_xlabel() == r"ridge penalty ($\lambda$)"
    np.testing.assert_array_equal(np.reshape(ax.collections[0].get_array(), (2, 3)), data["fit_error"])
    other = plots.heat_map(data, "fit_error", y="alpha")
    assert other.get_xlabel() == ax.get_xlabel()


def test_colours_are_logarithmic_over_decades_and_grey_where_not_finite() -> None:
    data = dataset(alpha=np.geomspace(0.01, 100.0, 9), lam=[0.001, 0.002])
    data["test_error"][0, 0] = np.inf
    (mesh,) = plots.heat_map(data).collections
    assert isinstance(mesh.norm, LogNorm)
    assert np.ma.count_masked(mesh.get_array()) == 1
    assert to_hex(mesh.get_cmap().get_bad()) == "#d9d9d9"
    (mesh,) = plots.heat_map(dataset(alpha=[1.0, 1.5], lam=[1.0, 2.0])).collections
    assert not isinstance(mesh.norm, LogNorm)


def test_heat_maps_need_two_axes() -> None:
    with pytest.raises(ParameterError, match="observable: test_error has no two axes"):
        plots.heat_map(dataset())
    with pytest.raises(ParameterError, match="is a third axis"):
        plots.heat_map(dataset(lam=[1.0, 2.0], shift=[0.0, 1.0]))
    with pytest.raises(ParameterError, match="x: must be one of the axes alpha, lam, got 'shift'"):
        plots.heat_map(dataset(lam=[1.0, 2.0]), x="shift")
    assert plots.heat_map(dataset(lam=[1.0, 2.0], shift=[1.0])).collections


# ---- decomposition


def test_components_are_stacked_up_to_their_sum() -> None:
    data = dataset()
    ax = plots.error_decomposition(data, components=("noise_error", "fit_error"))
    total = data["noise_error"] + data["fit_error"]
    (line,) = ax.get_lines()
    np.testing.assert_allclose(line.get_ydata(), total)
    lower, upper = ax.collections
    heights = lower.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(0.5)
    assert heights.min() == 0.0
    heights = upper.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (pytest.approx(0.5), pytest.approx(float(total.max())))
    assert list(legend(ax)) == ["noise error", "fit error", "sum"]
    assert ax.get_ylim()[0] == 0.0
    assert to_hex(lower.get_facecolor()[0][:3]).upper() != to_hex(upper.get_facecolor()[0][:3]).upper()  # type: ignore[index]


def test_areas_are_broken_where_the_sum_is_not_finite() -> None:
    data = dataset()
    data["fit_error"][3] = np.inf
    ax = plots.error_decomposition(data, components=("noise_error", "fit_error"))
    assert [len(area.get_paths()) for area in ax.collections] == [1, 2]


def test_a_decomposition_has_one_axis() -> None:
    with pytest.raises(ParameterError, match="shift: is a second axis"):
        plots.error_decomposition(dataset(shift=[0.0, 1.0]), components=("fit_error",))
    with pytest.raises(ParameterError, match="observables: 'spike_error' is not in the dataset"):
        plots.error_decomposition(dataset())


# ---- the choice of a figure


@pytest.mark.parametrize(
    ("lengths", "kind"),
    [({"a": 2}, "curves"), ({"a": 9, "b": 9}, "heatmap"), ({"a": 100, "b": 8}, "curves"), ({"a": 5, "b": 1}, "curves"),
     ({"a": 50, "b": 2, "c": 3}, "curves"), ({"a": 50, "b": 50, "c": 1}, "heatmap")],
)
def test_the_figure_follows_from_the_axes(lengths: dict, kind: str) -> None:
    assert plots.check_figure(lengths, lengths) == kind


def test_figures_that_cannot_be_drawn_are_refused() -> None:
    for lengths, kind, message in (
        ({}, None, "--plot: needs an axis of more than one number"),
        ({"a": 1}, None, "--plot: needs an axis of more than one number"),
        ({"a": 9, "b": 9, "c": 9}, None, "--plot: would have 81 lines"),
        ({"a": 9}, "heatmap", "--plot: a heat map needs two axes longer than one, not 1"),
        ({"a": 9, "b": 2}, "decomposition", "--plot: a decomposition needs one axis longer than one, not 2"),
    ):
        with pytest.raises(ParameterError, match=message):
            plots.check_figure(lengths, lengths, kind, prefix="--")
    with pytest.raises(ParameterError, match="x: must be an axis of numbers, got 'names'"):
        plots.check_figure({"a": 5, "names": 2}, ["a"], x="names")


def test_draw_follows_the_choice() -> None:
    assert plots.draw(dataset(alpha=np.linspace(1.0, 2.0, 9), lam=np.linspace(1.0, 2.0, 9))).collections
    assert plots.draw(dataset(), observables=["fit_error", "spectrum"]).get_ylabel() == r"fit error ($E_\mathrm{fit}$)"
    areas = plots.draw(dataset(), "decomposition", observables=["noise_error", "fit_error"])
    assert len(areas.collections) == 2
    assert plots.draw(dataset(), simulation=simulated([1.0], [0.0]).isel(shift=0, drop=True)).containers


# ---- words and files


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.0, r"$\eta = 3$"), (0.125, r"$\eta = 0.125$"), (1e-4, r"$\eta = 0.0001$"), (1e-5, r"$\eta = 10^{-5}$"),
     (2.5e9, r"$\eta = 2.5\times 10^{9}$"), (-1.0, r"$\eta = -1$"), (10**7, r"$\eta = 10^{7}$"),
     ("tanh", r"$\eta$ = tanh"), (True, r"$\eta$ = True")],
)
def test_equations(value: object, text: str) -> None:
    assert equation(xr.DataArray(0.0, name="shift", attrs={"symbol": r"\eta"}), value) == text


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_saved_files_are_complete_and_reproducible(tmp_path: Path, suffix: str) -> None:
    hashes = set()
    for name in "ab":
        path = tmp_path / f"{name}.{suffix}"
        plots.save(plots.learning_curves(dataset(shift=[0.0, 1.0]), observables=["test_error", "floor"]).figure, path)
        hashes.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(hashes) == 1
    content = (tmp_path / f"a.{suffix}").read_bytes()
    assert content.startswith(b"\x89PNG" if suffix == "png" else b"%PDF")
    assert b"CreationDate" not in content
    if suffix == "pdf":
        assert b"/FontFile2" in content
        assert b"/Type3" not in content
    else:
        from matplotlib.image import imread

        assert imread(tmp_path / "a.png").shape[:2] == (640, 900)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a.{suffix}", f"b.{suffix}"]


def test_drawing_changes_no_global_state() -> None:
    before = dict(matplotlib.rcParams)
    plots.learning_curves(dataset())
    assert dict(matplotlib.rcParams) == before
    code = "import asymptotics.plots, sys; print('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


# ---- components


def components(**sizes: int) -> xr.Dataset:
    dims, shape = (*sizes, "degree"), (*sizes.values(), 4)
    values = np.arange(np.prod(shape), dtype=float).reshape(shape)
    return xr.Dataset({"target_spike": (dims, values, {"long_name": "target"}),
                       "network_spike": (dims, -0.5 * values, {"long_name": "network"}), "other": ((), 1.0)},
                      coords={"degree": ("degree", np.arange(4), {"long_name": "Hermite degree", "symbol": "k"})})


def test_components_are_bars_side_by_side() -> None:
    ax = plots.component_bars(components(alpha=1))
    target, network = ax.containers
    for bars, heights, shift in ((target, np.arange(4.0), -0.2), (network, -0.5 * np.arange(4.0), 0.2)):
        assert [bar.get_height() for bar in bars] == list(heights)
        np.testing.assert_allclose([bar.get_x() + 0.5 * bar.get_width() for bar in bars], np.arange(4) + shift)
    assert target[0].get_facecolor() != network[0].get_facecolor()
    assert list(legend(ax)) == ["target", "network"]
    assert ax.get_xlabel() == "Hermite degree ($k$)"
    (alone,) = plots.component_bars(components(), "network_spike").containers
    assert alone[0].get_width() == pytest.approx(0.8)


def test_components_are_those_of_one_cell() -> None:
    with pytest.raises(ParameterError, match="alpha: is a second axis"):
        plots.component_bars(components(alpha=2))
    with pytest.raises(ParameterError, match="observables: 'other' has no axis 'degree'"):
        plots.component_bars(components(), ["target_spike", "other"])
    with pytest.raises(ParameterError, match="observables: 'network' is not in the dataset"):
        plots.component_bars(components(), "network")


def test_learned_components_can_be_drawn() -> None:
    problem = asy.GiantStep(activation="tanh", target="sin", alpha0=20, eta=3, alpha=3, lam=0.1, model="isotropic")
    ax = plots.component_bars(problem.learned_components(5))
    assert list(legend(ax)) == ["target along the spike", "mean prediction along the spike"]
    ax.figure.canvas.draw()
