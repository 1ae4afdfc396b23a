"""Order parameters of the three mechanisms: many digits, signs, identities, corners."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymptotics.theories.linear_network.mechanisms import MECHANISMS, order_parameters, region

SIZES = st.floats(-150, 150).map(lambda exponent: 10.0**exponent)
NEAR = st.floats(-3, 3).map(lambda exponent: 10.0**exponent)


def reference(F0: float, A: float, Ar: float, Im: float) -> tuple[float, float, float]:
    with mpmath.workdps(400):
        F0, A, Ar, Im = map(mpmath.mpf, (abs(F0), abs(A), Ar, abs(Im)))
        first, last = mpmath.hypot(F0, Ar), mpmath.hypot(A, Ar)
        kernel = mpmath.sqrt((A**2 + Ar**2 + Im**2) / (F0**2 + Ar**2 + Im**2))
        return float(A / last - F0 / first), float(mpmath.log(last / first)), float(mpmath.log(kernel))


@given(NEAR, NEAR, NEAR, NEAR)
def test_moderate_numbers(F0: float, A: float, Ar: float, Im: float) -> None:
    np.testing.assert_allclose(order_parameters(F0, -A, Ar, Im), reference(F0, A, Ar, Im), rtol=5e-15, atol=1e-300)


@given(SIZES, SIZES, SIZES, SIZES)
def test_numbers_of_any_size(F0: float, A: float, Ar: float, Im: float) -> None:
    with np.errstate(under="ignore"):
        found = order_parameters(-F0, A, Ar, -Im)
        np.testing.assert_allclose(found, reference(F0, A, Ar, Im), rtol=1e-13, atol=1e-290)


@given(NEAR, st.floats(1e-15, 1e-3), NEAR, NEAR)
def test_small_changes_keep_their_digits(F0: float, change: float, Ar: float, Im: float) -> None:
    A = F0 * (1 + change)
    np.testing.assert_allclose(order_parameters(F0, A, Ar, Im), reference(F0, A, Ar, Im), rtol=1e-14)


@given(SIZES, SIZES, SIZES, SIZES)
def test_all_move_up_if_the_target_is_larger(F0: float, A: float, Ar: float, Im: float) -> None:
    with np.errstate(under="ignore"):
        found = np.array(order_parameters(F0, A, Ar, Im))
    sign = np.sign(A - F0)
    assert np.all((found == 0) | (np.sign(found) == sign))
    with np.errstate(under="ignore"):
        back = np.array(order_parameters(A, F0, Ar, Im))
    np.testing.assert_array_equal(back, -found)


@given(NEAR, NEAR, NEAR)
def test_the_function_changes_by_angle_and_norms(F0: float, A: float, Ar: float) -> None:
    """ln(|A|/|F0|) = ln rho_s + ln(c1/c0), eq. (25); the kernel follows the norms of balanced layers, eq. (26)."""
    found = order_parameters(F0, A, Ar)
    cosines = np.log(np.hypot(F0, Ar) / F0), np.log(np.hypot(A, Ar) / A)
    assert np.log(A / F0) == pytest.approx(float(found.ln_rescaling + cosines[0] - cosines[1]), abs=1e-12)
    assert found.ln_ntk_ratio == found.ln_rescaling


@given(NEAR, NEAR, NEAR, NEAR)
def test_imbalance_pulls_the_kernel_to_where_it_was(F0: float, A: float, Ar: float, Im: float) -> None:
    balanced, unbalanced = order_parameters(F0, A, Ar), order_parameters(F0, A, Ar, Im)
    assert abs(unbalanced.ln_ntk_ratio) <= abs(balanced.ln_ntk_ratio) * (1 + 1e-14)
    assert unbalanced[:2] == balanced[:2]


def test_corners() -> None:
    with np.errstate(under="ignore"):
        change, rescaling, kernel = order_parameters(
            [0.0, 0.0, 1.0, 0.0, 1.0, 2.0, 0.0], [1.0, 1.0, 0.0, 0.0, 3.0, 2.0, 0.0],
            [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, np.inf, 1.0, 1.0])
    np.testing.assert_allclose(change, [np.nan, np.sqrt(0.5), np.nan, 0.0, 0.0, 0.0, np.nan], rtol=1e-15)
    np.testing.assert_allclose(rescaling, [np.inf, 0.5 * np.log(2), -np.inf, 0.0, np.log(3), 0.0, np.nan])
    np.testing.assert_allclose(kernel, [np.inf, 0.5 * np.log(2), -np.inf, 0.0, 0.0, 0.0, 0.0])


def test_regions() -> None:
    change = np.array([0.0, 0.06, -0.06, 0.0, 0.0, 0.05, 0.5, np.nan])
    ratio = np.array([1.0, 1.0, 3.0, 1.06, 0.9, 1.05, 0.2, np.nan])
    words = [MECHANISMS[code] for code in region(change, ratio)[:-1]]
    assert words == ["kernel", "alignment", "disalignment", "rescaling", "rescaling", "rescaling", "alignment"]
    assert region(change, ratio, 0.5).tolist()[:7] == [0, 0, 3, 0, 0, 0, 3]
