"""Exponents and labels of large linear networks: the table of parametrisations, ties, brute force, bad input."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import asymptotics as asy
from asymptotics import LinearNetworkScaling, ParameterError, studies
from asymptotics.datasets import spell
from asymptotics.theories.linear_network.exponents import GIVEN, KERNEL_LABELS, PRESETS

ROOT = Path(__file__).parents[3]
HALF = Fraction(1, 2)

# c_gamma, c_u, c_w, e_u, e_w | x_area, x_F0, x_theta0, x_kappa, x_inf, x_chi | labels
TABLE = {
    "ntk": ((HALF, 0, 0, 0, 0), (0.5, 0, 0, -0.5, 0, -0.5), ("trainable", "kernel", "none")),
    "standard": ((0, 1, 0, 0, 0), (0.5, 0, 1, 0, 1, -1), ("unstable", "kernel", "none")),
    "standard_small_rate": ((0, 1, 0, 1, 1), (0.5, 0, 0, -1, 0, -1), ("trainable", "kernel", "none")),
    "xavier": ((0, 1, 1, 0, 0), (0, -0.5, 0, 0, 0, 0), ("trainable", "feature_order_one", "alignment")),
    "mean_field": ((1, 0, 0, -1, -1), (0, -0.5, 0, 0, 0, 0), ("trainable", "feature_order_one", "alignment")),
    "mup": ((0, 2, 0, 1, -1), (0, -0.5, 0, 0, 0, 0), ("trainable", "feature_order_one", "alignment")),
    "small_init": (
        (0, 2, 2, 0, 0), (-1, -1.5, -1, 0, 0, 1), ("trainable", "feature_saddle", "alignment_and_rescaling")),
    "unit_gaussian": ((0, 0, 0, 1, 1), (1, 0.5, 0, -1, 0, -1), ("trainable", "kernel", "none")),
    "small_readout": ((0, 2, 0, 1, 1), (0, -0.5, 0, -1, 0, -1), ("trainable", "kernel", "alignment")),
}
NUMBERS = ("x_area", "x_F0", "x_theta0", "x_kappa", "x_inf", "x_chi")
LABELS = ("time_label", "kernel_label", "mechanism_label")
ALIKE = {"c_u": 0, "c_w": 0, "e_u": 0, "e_w": 0}


def problem(*exponents: Any, **more: Any) -> LinearNetworkScaling:
    return LinearNetworkScaling(**dict(zip(GIVEN[1:], exponents, strict=True)), **more)


# ---- the table


@pytest.mark.parametrize("preset", TABLE)
@pytest.mark.parametrize("convert", [None, lambda x: x, str, float, Fraction])
def test_known_parametrisations(preset: str, convert: Any) -> None:
    exponents, numbers, labels = TABLE[preset]
    found = LinearNetworkScaling(preset=preset) if convert is None else problem(*map(convert, exponents))
    answer = found.solve()
    assert tuple(getattr(answer, name) for name in NUMBERS) == numbers
    assert tuple(getattr(answer, name) for name in LABELS) == labels
    assert answer.converged
    assert answer.residual == 0
    assert tuple(answer.values) == NUMBERS + LABELS


def test_presets_are_those_of_the_table_in_its_order() -> None:
    assert list(PRESETS) == list(TABLE)
    assert all(PRESETS[name] == TABLE[name][0] for name in TABLE)
    assert LinearNetworkScaling(preset="mup").exponents == dict(zip(GIVEN, (1, 0, 2, 0, 1, -1), strict=True))


def test_a_grid_has_the_labels_of_its_cells() -> None:
    rows = np.array([row for row, _, _ in TABLE.values()], dtype=object).T
    answer = problem(*rows).solve()
    assert answer.kernel_label.tolist() == [labels[1] for _, _, labels in TABLE.values()]
    assert answer.x_chi.tolist() == [numbers[5] for _, numbers, _ in TABLE.values()]


# ---- ties


def test_the_trap_of_floating_point() -> None:
    answer = problem(0.7, 0.1 + 0.2, 0.3, -0.4, -0.4).solve()
    assert answer.x_chi == 0
    assert answer.kernel_label == "feature_order_one"
    exact = problem(Fraction(0.7), Fraction(0.1 + 0.2), Fraction(0.3), Fraction(-0.4), Fraction(-0.4)).solve()
    assert exact.kernel_label == "kernel"
    assert -1e-15 < exact.x_chi < 0


@pytest.mark.parametrize("step", [Fraction(1, 10**14), Fraction(1, 10**29)])
def test_exact_exponents_have_no_tolerance(step: Fraction) -> None:
    """Also where they exceed 64 bits."""
    for sign, label in ((1, "feature_saddle"), (0, "feature_order_one"), (-1, "kernel")):
        answer = problem(1 + sign * step, 0, 0, -1, -1).solve()
        assert answer.kernel_label == label
        assert answer.x_chi == float(sign * step)
    text = problem("1." + "0" * 28 + "1", 0, 0, "-1", "-1").solve()
    assert text.kernel_label == "feature_saddle"


@pytest.mark.parametrize(("size", "inside", "outside"), [(1.0, 0.9e-12, 1.1e-12), (1000.0, 0.9e-9, 1.1e-9)])
def test_floating_point_ties_scale_with_the_largest_exponent(size: float, inside: float, outside: float) -> None:
    # c_u = size, c_w = -size: x_area = 1 - c_gamma, Delta = 0 by the rates
    for shift, label in ((inside, "feature_order_one"), (-inside, "feature_order_one"), (outside, "feature_saddle"),
                         (-outside, "kernel")):
        assert problem(1 + shift, size, -size, size, -size).solve().kernel_label == label


def test_one_floating_point_exponent_makes_the_problem_floating() -> None:
    assert problem(1 + Fraction(1, 10**14), 0, 0, -1, -1.0).solve().kernel_label == "feature_order_one"
    assert problem([1 + Fraction(1, 10**14), 1.0], 0, 0, -1, -1).solve().kernel_label.tolist() == [
        "feature_order_one", "feature_order_one"]


@given(st.lists(st.fractions(-3, 3, max_denominator=12), min_size=5, max_size=5), st.booleans())
def test_floating_point_decides_as_fractions_do(exponents: list[Fraction], correlated: bool) -> None:
    exact = problem(*exponents, correlated=correlated).solve()
    rounded = problem(*map(float, exponents), correlated=correlated).solve()
    for name in LABELS:
        assert getattr(exact, name) == getattr(rounded, name)
    for name in NUMBERS:
        assert getattr(rounded, name) == pytest.approx(getattr(exact, name), abs=1e-14)
    imbalance = abs((exponents[1] - exponents[2]) - (exponents[3] - exponents[4]))
    assert exact.x_chi + exact.x_area + float(imbalance) / 2 == pytest.approx(0, abs=1e-14)
    assert exact.x_chi == pytest.approx(exact.x_kappa - exact.x_theta0, abs=1e-14)


# ---- the order of decision


@pytest.mark.parametrize(
    ("exponents", "more", "label"),
    [
        ((1, 0, 0, 0, 0), {"correlated": True}, "feature_order_one"),
        ((2, 0, 0, 0, 0), {"correlated": True}, "feature_saddle"),
        ((HALF, 0, 0, 0, 0), {"correlated": True}, "disalignment"),
        ((HALF, 0, 0, 0, 0), {"c_p": "3/2", "correlated": True}, "disalignment"),
        ((HALF, 1, 0, 0, 0), {"correlated": True}, "kernel"),
        ((0, 1, 0, 1, 0), {"correlated": True}, "disalignment"),
        ((HALF, 0, 0, 0, 0), {}, "kernel"),
        ((-HALF, 0, 0, 0, 0), {"c_p": 0}, "disalignment"),
        ((-HALF, 0, 0, 0, 0), {"c_p": 0.0}, "disalignment"),
        ((-HALF, 0, 0, 1, 0), {"c_p": 0}, "kernel"),
        ((0, 0, 0, 0, 0), {"c_p": 0}, "feature_order_one"),
        ((1, 0, 0, 0, 0), {"c_p": 0}, "feature_saddle"),
    ],
)
def test_order_of_decision(exponents: tuple, more: dict, label: str) -> None:
    assert problem(*exponents, **more).solve().kernel_label == label


@pytest.mark.parametrize(
    ("exponents", "more", "label"),
    [
        ((1, 0, 0, 0, 0), {}, "alignment"),
        ((1, 0, 0, 0, 0), {"correlated": True}, "undecided"),
        ((HALF, 0, 0, 0, 0), {}, "none"),
        ((HALF, 0, 0, 0, 0), {"correlated": True}, "disalignment"),
        ((HALF, 0, 0, 1, 0), {"correlated": True}, "disalignment"),  # without kernel change
        ((HALF, 0, 0, 0, 0), {"c_p": 0, "correlated": True}, "alignment_and_rescaling"),
        ((0, 0, 0, 0, 0), {"c_p": 0}, "undecided"),
        ((2, 0, 0, 0, 0), {}, "alignment_and_rescaling"),
        ((2, 0, 0, 0, 0), {"correlated": True}, "alignment_and_rescaling"),
    ],
)
def test_mechanisms_of_the_limit(exponents: tuple, more: dict, label: str) -> None:
    assert problem(*exponents, **more).solve().mechanism_label == label


def test_alignment_without_kernel_change_needs_unbalanced_layers() -> None:
    """For -|Delta|/2 < x_area <= 0: never in the kernel regime of balanced layers."""
    values = [Fraction(k, 2) for k in range(-3, 4)]
    grid = itertools.product(values, repeat=5)
    columns = zip(*grid, strict=True)
    c_gamma, c_u, c_w, e_u, e_w = (np.array([float(x) for x in column]) for column in columns)
    answer = problem(c_gamma, c_u, c_w, e_u, e_w).solve()
    aligns = np.char.startswith(answer.mechanism_label, "alignment") & (answer.kernel_label == "kernel")
    imbalance = np.abs((c_u - c_w) - (e_u - e_w))
    np.testing.assert_array_equal(aligns, (-imbalance / 2 < answer.x_area) & (answer.x_area <= 0))
    assert not np.any(aligns & (imbalance == 0))


# ---- brute force: the quantities themselves at n = 1e6 ... 1e12


def _network(n: float, c_p: float, c_gamma: float, c_u: float, c_w: float, e_u: float, e_w: float,
             correlated: bool) -> dict[str, float]:
    """Natural logarithms of what the exponents describe, from the invariants P and Q."""
    rho, width = (0.6, n**c_p)
    gamma, var_u, var_w, eta_u, eta_w = (n**-c for c in (c_gamma, c_u, c_w, e_u, e_w))
    if not correlated:
        rho = 1.3 / math.sqrt(width) if c_p else 0.4  # the typical overlap of a random network
    a, b = eta_w * var_u, eta_u * var_w
    first = gamma**2 * width * (a + b + 2 * rho * math.sqrt(a * b))
    second = gamma**2 * width * (a + b - 2 * rho * math.sqrt(a * b))
    kappa = 2 * gamma * math.sqrt(eta_u * eta_w)
    final = math.hypot(kappa, math.sqrt(first * second))
    area = gamma * width * math.sqrt(var_u * var_w * (1 - rho**2))
    output = gamma * width * rho * math.sqrt(var_u * var_w)
    sizes = {"x_area": area, "x_F0": output, "x_theta0": (first + second) / 2, "x_kappa": kappa, "x_inf": final,
             "x_chi": kappa / math.sqrt(first * second)}
    return {**{name: math.log(size) for name, size in sizes.items()}, "ratio": 2 * final / (first + second),
            "cosine_0": output / math.hypot(output, area), "cosine_inf": 1 / math.hypot(1, area)}


def _random_rows(count: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    rows = rng.integers(-6, 7, size=(count, 6)) / 4
    rows[:, 0] = rng.choice([0.0, 0.5, 1.0, 1.0, 1.0], size=count)
    balanced = rng.random(count) < 0.5
    rows[balanced, 5] = (rows[:, 4] + rows[:, 3] - rows[:, 2])[balanced]  # Delta = 0
    tied = rng.random(count) < 0.5
    rows[tied, 1] = (rows[:, 0] - (rows[:, 2] + rows[:, 3]) / 2)[tied]  # x_area = 0
    return rows


@pytest.mark.parametrize("correlated", [False, True])
def test_exponents_are_the_slopes_of_the_quantities(correlated: bool) -> None:
    rows = _random_rows(300)
    answer = LinearNetworkScaling(**dict(zip(GIVEN, rows.T, strict=True)), correlated=correlated).solve()
    scales = np.array([1e11, 1e12])
    for index, row in enumerate(rows):
        low, high = (_network(n, *row, correlated) for n in scales)
        for name in NUMBERS:
            slope = (high[name] - low[name]) / math.log(10)
            assert slope == pytest.approx(getattr(answer, name)[index], abs=0.01), (name, row)


@pytest.mark.parametrize("correlated", [False, True])
def test_labels_are_what_the_quantities_do(correlated: bool) -> None:
    rows = _random_rows(300)
    answer = LinearNetworkScaling(**dict(zip(GIVEN, rows.T, strict=True)), correlated=correlated).solve()
    for index, row in enumerate(rows):
        low, high = (_network(n, *row, correlated) for n in (1e6, 1e12))
        label, ratio = answer.kernel_label[index], high["ratio"]
        growth = math.log(ratio / low["ratio"]) / math.log(1e6)
        if label == "kernel":
            assert abs(ratio - 1) < 2e-3, row
        elif label == "feature_saddle":
            assert growth > 0.12, row
        else:
            assert abs(growth) < 5e-3, row
            assert abs(ratio - 1) > 0.01, row
            assert (ratio < 1) == (label == "disalignment") or label == "feature_order_one", row
        change = high["cosine_inf"] - high["cosine_0"]
        mechanism = answer.mechanism_label[index]
        if mechanism == "none":
            assert abs(change) < 0.035, row  # n^(-1/8)
        elif mechanism == "disalignment":
            assert change < -0.3, row
        elif mechanism != "undecided":
            assert change > 0.3, row
        growth = (high["x_inf"] - low["x_inf"]) / math.log(1e6)
        assert answer.time_label[index] == ("trainable" if abs(growth) < 0.03 else
                                            "unstable" if growth > 0 else "frozen"), row


# ---- values and input


def test_problems_are_values() -> None:
    for one in (LinearNetworkScaling(preset="mup", p=100), problem("1/3", 0, 0, 0, 0.5),
                LinearNetworkScaling(**asy.grid(c_gamma=["0", "1/2"], c_u=[0.1, 0.2]), c_w=0, e_u=0, e_w=0)):
        assert one == one.replace() == pickle.loads(pickle.dumps(one))
        assert hash(one) == hash(one.replace())
        assert set(asy.check(one).values()) == {0.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"c_u": None}, "c_u: is required, or a preset"),
        ({"preset": "ntk"}, "c_gamma: must not be given beside the preset 'ntk'"),
        ({"preset": "nkt"}, "preset: must be one of ntk, standard,"),
        ({"c_p": -1}, "c_p: must be >= 0, got -1"),
        ({"c_p": "-1/2"}, "c_p: must be >= 0, got -0.5"),
        ({"c_gamma": "1/0"}, 'c_gamma: must be a number or a fraction such as "1/2" or null, got'),
        ({"c_gamma": [0, float("nan")]}, r"c_gamma: must be a finite number, got nan at index \(1,\)"),
        ({"c_gamma": True}, "c_gamma: must be a number"),
        ({"e_u": 1e7}, "e_u: must lie between -1000000 and 1000000"),
        ({"correlated": 1}, "correlated: must be true or false"),
        ({"p": 1}, "p: must be >= 2"),
        ({"p": 10.5}, "p: must be a whole number"),
        ({"p": 10, "correlated": True}, "correlation: is required at a width p"),
        ({"correlation": 0.5}, "correlation: must be 0 or null unless"),
        ({"p": 10, "correlated": True, "correlation": 0.0}, "correlation: must not be 0"),
        ({"p": 10, "correlated": True, "correlation": 1.0}, "correlation: must be < 1"),
        ({"c_x": 1}, "c_x: is not a known parameter of linear-network-scaling"),
    ],
)
def test_bad_input_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ParameterError, match="^" + message):
        LinearNetworkScaling(**{"c_gamma": 1, **ALIKE, **changes})


@pytest.mark.parametrize("changes", [{"c_p": 2}, {"correlated": True}, {"c_u": 1}, {"e_w": "0"}, {"c_p": [1, 2]}])
def test_a_preset_stands_alone(changes: dict) -> None:
    with pytest.raises(ParameterError, match="must not be given beside the preset 'mup'"):
        LinearNetworkScaling(preset="mup", **changes)
    assert LinearNetworkScaling(preset="mup", c_p=1, correlated=False, c_u=None).solve().x_chi == 0


def test_observables_of_a_width_need_a_width() -> None:
    with pytest.raises(ParameterError, match="'ntk_ratio' is not a known observable"):
        LinearNetworkScaling(preset="mup").solve(["ntk_ratio"])
    assert LinearNetworkScaling(preset="mup", p=4).solve(["ntk_ratio"]).ntk_ratio == pytest.approx(math.sqrt(2))


# ---- command line and studies


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-m", "asymptotics", "predict", "linear-network-scaling",
                           *arguments], cwd=ROOT, text=True, capture_output=True, timeout=60)


def test_the_command_line_answers_in_words() -> None:
    done = command("--params", '{"c_gamma": "1/2", "c_u": [0, "1"], "c_w": 0, "e_u": 0, "e_w": 0}', "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["parameters"]["c_gamma"] == "1/2"
    assert answer["observables"]["kernel_label"] == ["kernel", "kernel"]
    assert answer["observables"]["mechanism_label"] == ["none", "alignment"]
    assert answer["observables"]["x_area"] == [0.5, 0.0]
    done = command("--set", "preset=mean_field", "--set", "p=1000")
    assert done.returncode == 0
    words = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()}
    assert (words["kernel_label"], words["time_label"], words["mechanism"]) == (
        "feature_order_one", "trainable", "alignment")
    done = command("--set", "preset=mup", "--set", "c_u=1/2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: c_u: must not be given beside the preset 'mup'\n"


def test_presets_side_by_side_in_a_study(tmp_path: Path) -> None:
    document = {"theory": "linear-network-scaling", "axes": {"preset": list(PRESETS), "p": [10, 100]},
                "output": {"netcdf": "a.nc", "observables": ["kernel_label", "ntk_ratio", "mechanism"]}}
    studies.run_study(studies.parse(document), tmp_path)
    data = xr.load_dataset(tmp_path / "a.nc", engine="scipy")
    labels = spell(data["kernel_label"])
    assert labels.sel(preset="small_init", p=100).item() == "feature_saddle"
    assert data["ntk_ratio"].sel(preset="small_init", p=100).item() == pytest.approx(100, rel=1e-4)
    assert set(np.unique(labels)) <= set(KERNEL_LABELS)


def test_the_example_is_a_million_cells_that_survive(tmp_path: Path) -> None:
    study = studies.load(ROOT / "examples" / "linear_phase_diagram.toml")
    results = studies.run_study(study, tmp_path)
    assert results.converged
    assert (tmp_path / "linear_phase_diagram.png").read_bytes().startswith(b"\x89PNG")
    data = xr.load_dataset(tmp_path / "linear_phase_diagram.nc", engine="scipy")
    assert data["kernel_label"].shape == (1000, 1000)
    chi = data["x_chi"].values
    meant = np.where(chi == 0, "feature_order_one", np.where(chi > 0, "feature_saddle", "kernel"))
    np.testing.assert_array_equal(spell(data["kernel_label"]), meant)
