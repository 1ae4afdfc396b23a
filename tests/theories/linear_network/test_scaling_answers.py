"""Boundary lines, rates that train, exponents of a feature-learning strength."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import asymptotics as asy
from asymptotics import AccuracyWarning, LinearNetworkScaling, ParameterError
from asymptotics.theories.linear_network.exponents import GIVEN, PRESETS

HALF = Fraction(1, 2)
EXPONENTS = st.lists(st.fractions(-3, 3, max_denominator=6), min_size=5, max_size=5)
ALIKE = {"c_gamma": 0, "c_u": 0, "c_w": 0, "e_u": 0, "e_w": 0}


def problem(exponents: Any, **more: Any) -> LinearNetworkScaling:
    return LinearNetworkScaling(**dict(zip(GIVEN[1:], exponents, strict=True)), **more)


# ---- rates that train


@given(EXPONENTS, st.booleans())
def test_trainable_rates_change_the_unit_of_time_only(exponents: list[Fraction], correlated: bool) -> None:
    before = problem(exponents, correlated=correlated)
    after = before.trainable()
    assert isinstance(after.e_u, int | Fraction)
    old, new = before.solve(), after.solve()
    assert new.x_inf == 0
    assert new.time_label == "trainable"
    for name in ("x_area", "x_F0", "x_chi", "kernel_label", "mechanism_label"):
        assert getattr(old, name) == getattr(new, name)


def test_presets_can_be_made_trainable() -> None:
    after = LinearNetworkScaling(preset="standard", p=100).trainable()
    assert (after.preset, after.e_u, after.e_w, after.p) == (None, 1, 1, 100)
    assert after.exponents == LinearNetworkScaling(preset="standard_small_rate").exponents
    for preset in set(PRESETS) - {"standard"}:
        known = LinearNetworkScaling(preset=preset)
        assert known.trainable().exponents == known.exponents


def test_trainable_rates_on_a_grid() -> None:
    grid = LinearNetworkScaling(**{**ALIKE, **asy.grid(c_gamma=["0", "1/3"], c_w=np.linspace(-1, 1, 5))})
    after = grid.trainable()
    assert after.e_u.dims == ("c_gamma", "c_w")
    np.testing.assert_allclose(after.solve().x_inf, 0, atol=1e-15)
    with pytest.raises(ParameterError, match=r"^e_u: must not be an axis here"):
        LinearNetworkScaling(**{**ALIKE, **asy.grid(e_u=[0, 1])}).trainable()


# ---- a feature-learning strength


@given(EXPONENTS, st.fractions(-2, 2, max_denominator=4))
def test_the_output_factor_of_a_strength(exponents: list[Fraction], x_chi: Fraction) -> None:
    after = problem(exponents).with_strength(x_chi)
    assert after.replace(c_gamma=exponents[0]) == problem(exponents)
    assert after.solve().x_chi == float(x_chi)
    assert (after.solve().kernel_label == "feature_order_one") == (x_chi == 0)


@given(EXPONENTS, st.fractions(0, 2, max_denominator=4), st.sampled_from(["readout", "first_layer"]))
def test_the_rates_of_a_strength(exponents: list[Fraction], below: Fraction, lead: str) -> None:
    before = problem(exponents)
    x_chi = -(1 - exponents[0] - (exponents[1] + exponents[2]) / 2) - below
    after = before.with_strength(x_chi, by="rates", lead=lead)
    assert after.e_u + after.e_w == before.e_u + before.e_w
    assert after.solve().x_chi == float(x_chi)
    # the kernel by the readout, eta_u |w|^2, against that by the first layer, eta_w |u|^2
    readout, first = -(after.e_u + after.c_w), -(after.e_w + after.c_u)
    assert readout >= first if lead == "readout" else first >= readout


def test_strengths_that_no_rates_reach() -> None:
    with pytest.warns(AccuracyWarning, match="in 1 cells no rates reach"):
        after = LinearNetworkScaling(preset="ntk").with_strength([0, -HALF, -1], by="rates")
    np.testing.assert_array_equal(after.solve().x_chi, [-0.5, -0.5, -1])


def test_questions_are_checked() -> None:
    ntk = LinearNetworkScaling(preset="ntk")
    for arguments, message in (({"x_chi": "a"}, "x_chi: must be a number or a fraction"),
                               ({"by": "gamma"}, "by: must be one of c_gamma, rates"),
                               ({"lead": "u"}, "lead: must be one of readout, first_layer")):
        with pytest.raises(ParameterError, match="^" + message):
            ntk.with_strength(**arguments)
    for arguments, message in (({}, "p: is required"), ({"p": 1}, "p: must be >= 2"),
                               ({"p": 10, "sigma": 2.0}, "sigma: must be one of the factors gamma, var_u")):
        with pytest.raises(ParameterError, match="^" + message):
            ntk.at_width(**arguments)
    with pytest.raises(ParameterError, match=r"^c_p: must not be 0"):
        LinearNetworkScaling(c_p=0, **ALIKE).at_width(10)
    with pytest.raises(ParameterError, match=r"^c_u: gives a var_u outside"):
        LinearNetworkScaling(**{**ALIKE, "c_u": 200}).at_width(10**4)


# ---- boundary lines


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("x", GIVEN)
@pytest.mark.parametrize("y", GIVEN)
def test_exponents_vanish_on_the_boundary_lines_and_nowhere_else(x: str, y: str, correlated: bool) -> None:
    if x == y:
        return
    rng = np.random.default_rng(GIVEN.index(x) * 6 + GIVEN.index(y))
    for _ in range(5):
        others = {"c_p": 1.0, **{name: rng.integers(-4, 5) / 4 for name in GIVEN[1:]}}
        window = [(0.0, 2.0) if name == "c_p" else (-2.0, 2.0) for name in (x, y)]
        found = LinearNetworkScaling(**others, correlated=correlated).boundaries(x, y, window)
        for name in ("x_chi", "x_inf"):
            for segment in found[name]:
                points = segment[0] + rng.random((20, 1)) * (segment[1] - segment[0])
                values = getattr(_solved(others, x, y, points.T, correlated), name)
                np.testing.assert_allclose(values, 0, atol=1e-12)
            # wherever the sign changes along a random line, a segment is crossed
            start, end = (np.array([rng.uniform(*window[0]), rng.uniform(*window[1])]) for _ in range(2))
            along = start + np.linspace(0, 1, 2001)[:, None] * (end - start)
            signs = np.sign(getattr(_solved(others, x, y, along.T, correlated), name))
            changes = np.flatnonzero(signs[1:] * signs[:-1] < 0)
            for change in changes:
                assert min(_distance(along[change], segment) for segment in found[name]) < 5e-3
        for segment in found["disalignment"]:
            points = segment[0] + np.array([[0.3], [0.6]]) * (segment[1] - segment[0])
            assert correlated
            assert set(_solved(others, x, y, points.T, True).kernel_label) == {"disalignment"}


def _solved(others: dict[str, float], x: str, y: str, places: np.ndarray, correlated: bool) -> Any:
    return LinearNetworkScaling(**{**others, x: places[0].clip(0 if x == "c_p" else None),
                                   y: places[1].clip(0 if y == "c_p" else None)}, correlated=correlated).solve()


def _distance(point: np.ndarray, segment: np.ndarray) -> float:
    step = segment[1] - segment[0]
    share = np.clip((point - segment[0]) @ step / (step @ step), 0, 1)
    return float(np.linalg.norm(point - segment[0] - share * step))


def test_the_boundary_of_equal_rates() -> None:
    """x_area = -|Delta|/2 is c_u = 1, c_w <= 1 mirrored: both variances at most 1/p."""
    grid = LinearNetworkScaling(**{**ALIKE, **asy.grid(c_u=np.linspace(-1, 3, 9), c_w=np.linspace(-1, 3, 9))})
    found = grid.boundaries("c_u", "c_w")
    np.testing.assert_allclose(np.sort(found["x_chi"], axis=1), [[[1, 1], [3, 1]], [[1, 1], [1, 3]]])
    assert found["x_inf"].shape == found["disalignment"].shape == (0, 2, 2)
    (line,) = grid.replace(correlated=True).boundaries("c_u", "c_w")["disalignment"]
    np.testing.assert_allclose(np.sort(line, axis=0), [[-1, -1], [1, 1]])


def test_boundaries_of_a_preset() -> None:
    found = LinearNetworkScaling(preset="mean_field").boundaries("c_gamma", "e_u", [(0, 2), (-3, 1)])
    assert any(_distance(np.array([1.0, -1.0]), segment) < 1e-12 for segment in found["x_chi"])
    assert any(_distance(np.array([1.0, -1.0]), segment) < 1e-12 for segment in found["x_inf"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("c_u", "c_u"), "y: must be another exponent than x"),
        (("c_u", "p"), "y: must be one of c_p"),
        (("c_x", "c_u"), "x: must be one of c_p"),
        (("c_u", "c_w"), "window: must be two pairs"),
        (("c_u", "c_w", [(0, 1), (1, 1)]), "window: must be two pairs"),
        (("c_u", "c_w", [(0, 1), (0,)]), "window: must be two pairs"),
        (("c_u", "c_w", [(0, 1)]), "window: must be two pairs"),
    ],
)
def test_bad_boundaries_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ParameterError, match="^" + message):
        LinearNetworkScaling(**ALIKE).boundaries(*arguments)
    with pytest.raises(ParameterError, match=r"^e_w: varies; boundary lines are in the plane"):
        LinearNetworkScaling(**{**ALIKE, "e_w": [0, 1]}).boundaries("c_u", "c_w", [(0, 1), (0, 1)])
