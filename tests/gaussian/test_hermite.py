"""Hermite coefficients in float64 and to any number of digits, against closed forms and Parseval's identity."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp

from asymptotics.gaussian import nonlinearity
from asymptotics.gaussian.hermite import hermite_functions, hermite_polynomial
from tests.gaussian import brute_force
from tests.gaussian.brute_force import BENDS, FUNCTIONS

DEGREE = 9


def probabilists(k: int, x: Any) -> Any:
    """He_k(x)."""
    before, now = mp.mpf(0), mp.mpf(1)
    for j in range(k):
        before, now = now, x * now - j * before
    return now


def closed_form(name: str, k: int) -> Any:
    """E[sigma h_k] from tables, at the current precision."""
    root = mp.sqrt(mp.factorial(k))
    sign = (-1) ** (k // 2)
    if name == "relu":
        return (1 / mp.sqrt(2 * mp.pi) if k == 0 else mp.mpf(k == 1) / 2 if k % 2 else
                probabilists(k - 2, mp.mpf(0)) / mp.sqrt(2 * mp.pi) / root)
    if name == "abs":
        return 0 if k % 2 else 2 * closed_form("relu", k)
    if name == "sign":
        return mp.mpf(0) if k % 2 == 0 else 2 * probabilists(k - 1, mp.mpf(0)) / mp.sqrt(2 * mp.pi) / root
    if name == "sin":
        return mp.exp(-mp.mpf(1) / 2) * sign / root if k % 2 else mp.mpf(0)
    if name == "cos":
        return mp.mpf(0) if k % 2 else mp.exp(-mp.mpf(1) / 2) * sign / root
    if name == "erf(x/sqrt(2))":
        return mp.mpf(0) if k % 2 == 0 else (
            mp.sqrt(2 / mp.pi) * mp.mpf(2) ** (-mp.mpf(k) / 2) * probabilists(k - 1, mp.mpf(0)) / root
        )
    if name == "exp(x/2)":
        return mp.exp(mp.mpf(1) / 8) / 2**k / root
    if name == "exp(-x**2/2)":
        return 0 if k % 2 else (-1) ** (k // 2) * mp.factorial(k) / (
            mp.sqrt(2) * 2**k * mp.factorial(k // 2) * root) * 1
    raise KeyError(name)


CLOSED = ["relu", "abs", "sign", "sin", "cos", "erf(x/sqrt(2))", "exp(x/2)", "exp(-x**2/2)"]


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("digits", [15, 50])
def test_many_digits_against_closed_forms(name: str, digits: int) -> None:
    coefficients = nonlinearity(name).hermite_coefficients_mp(DEGREE, digits)
    with mpmath.workdps(digits + 15):
        for k, coefficient in enumerate(coefficients):
            exact = closed_form(name, k)
            assert abs(coefficient - exact) <= abs(exact) * mp.mpf(10) ** (1 - digits), (k, coefficient, exact)


@pytest.mark.parametrize("name", CLOSED)
def test_doubles_against_closed_forms(name: str) -> None:
    sigma = nonlinearity(name)
    coefficients = sigma.hermite_coefficients(30)
    with mpmath.workdps(40):
        exact = np.array([float(closed_form(name, k)) for k in range(31)])
    assert np.allclose(coefficients, exact, rtol=0, atol=2e-15)
    assert coefficients.shape == (31,)
    if sigma.parity:
        assert not np.any(coefficients[(1 if sigma.parity > 0 else 0)::2])


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 24])
def test_hermite_polynomials_have_one_coefficient(degree: int) -> None:
    """Also to 80 digits: the 1/sqrt(k!) of heN is not rounded."""
    sigma = nonlinearity(f"he{degree}")
    assert sigma.hermite_coefficients_mp(degree + 2, 80) == [int(k == degree) for k in range(degree + 3)]
    cancelling = 3e-11 if degree > 9 else 1e-14
    assert np.allclose(sigma.hermite_coefficients(degree + 2), np.eye(degree + 3)[degree], atol=cancelling)


def test_decimal_numbers_and_roots_are_exact() -> None:
    """0.1 is one tenth, sqrt(2) is the root, also where the double is not enough."""
    with mpmath.workdps(60):
        tenth, root = nonlinearity("0.1*x + sqrt(2)").hermite_coefficients_mp(1, 45)[::-1]
        assert abs(tenth - mp.mpf(1) / 10) < mp.mpf(10) ** -45
        assert abs(root - mp.sqrt(2)) < mp.mpf(10) ** -44
        sigma = nonlinearity("relu(x - sqrt(2)/3)*0.3")
        mean = sigma.hermite_coefficients_mp(0, 45)[0]
        c = mp.sqrt(2) / 3
        assert abs(mean - 3 * (mp.npdf(c) - c * mp.ncdf(-c)) / 10) < mp.mpf(10) ** -45


ARBITRARY: list[tuple[str, Any, tuple[Any, ...], Any]] = [
    *((name, FUNCTIONS[name], (), BENDS[name]) for name in ("tanh", "softplus", "gelu", "sigmoid")),
    ("tanh(1.5*x + 0.75)", lambda x: mp.tanh(1.5 * x + 0.75), (), ((-0.5, 0.7),)),
    ("gelu(2*x - 1) + x**2", lambda x: (2 * x - 1) * mp.ncdf(2 * x - 1) + x * x, (), ((0.5, 0.5),)),
    ("erf(2*x + 1) - sin(3*x - 1)", lambda x: mp.erf(2 * x + 1) - mp.sin(3 * x - 1), (), ((-0.5, 0.3),)),
    ("sign(2*x - 1) + relu(-x - 0.25)", lambda x: mp.sign(2 * x - 1) + max(-x - 0.25, 0), (-0.25, 0.5), ()),
    ("x*sigmoid(x)", lambda x: x / (1 + mp.exp(-x)), (), ((0.0, 1.0),)),
    ("tanh(x)*sign(x - 1)", lambda x: mp.tanh(x) * mp.sign(x - 1), (1,), ((0.0, 1.0),)),
    ("min(max(x, 0), 2)*x", lambda x: min(max(x, 0), 2) * x, (0, 2), ()),
    ("abs(x**2 - 2)", lambda x: abs(x * x - 2), ("root",), ()),
]


@pytest.mark.parametrize(("text", "function", "kinks", "bends"), ARBITRARY, ids=[row[0] for row in ARBITRARY])
def test_against_brute_force(text: str, function: Any, kinks: tuple[Any, ...], bends: Any) -> None:
    sigma = nonlinearity(text)
    coefficients = sigma.hermite_coefficients_mp(DEGREE, 24)
    doubles = sigma.hermite_coefficients(DEGREE)
    with mpmath.workdps(brute_force.DIGITS):
        if kinks == ("root",):
            kinks = (-mp.sqrt(2), mp.sqrt(2))
        nodes = brute_force.expectation_nodes(0.0, 1.0, kinks, bends, widest=1.0)
        values = [w * function(z) for z, w in nodes]
        norm = mp.sqrt(mp.fsum(f * f / w for f, (_, w) in zip(values, nodes, strict=True)))
        for k in range(DEGREE + 1):
            exact = mp.fsum(f * brute_force.he(k)(z) for f, (z, _) in zip(values, nodes, strict=True))
            assert abs(coefficients[k] - exact) <= mp.mpf(10) ** -23 * abs(exact) + mp.mpf(10) ** -28 * norm
            assert abs(doubles[k] - exact) <= 3e-15 * norm


@pytest.mark.parametrize("name", ["tanh", "sin", "gelu", "erf", "softplus", "x*sigmoid(x)", "cos(3*x)"])
def test_parseval(name: str) -> None:
    sigma = nonlinearity(name)
    coefficients = sigma.hermite_coefficients(250)
    k = np.arange(251)
    # tails fall like exp(-c sqrt(k)) or faster
    tail = 30 * np.sum(coefficients[-20:] ** 2)
    assert np.sum(coefficients**2) == pytest.approx(sigma.second_moment(), rel=1e-13, abs=tail)
    assert np.sum((k * coefficients**2)[2:]) == pytest.approx(sigma.slope_variance(), rel=1e-12, abs=250 * tail)


@pytest.mark.parametrize("name", ["tanh", "relu", "sign", "x*relu(x - 1)", "exp(-abs(x))"])
def test_doubles_are_rounded_digits(name: str) -> None:
    sigma = nonlinearity(name)
    exact = np.array([float(c) for c in sigma.hermite_coefficients_mp(20, 30)])
    assert np.allclose(sigma.hermite_coefficients(20), exact, rtol=0, atol=2e-15)


def test_moments_give_the_first_coefficients() -> None:
    for name in ("tanh", "relu", "gelu", "tanh(1.5*x + 0.8)", "exp(-(x - 1)**2)", "sign(x - 1)", "he2", "abs"):
        sigma = nonlinearity(name)
        moments = sigma.moments(0.0, 1.0)
        expected = [moments.mu0, moments.mu1, np.sqrt(2) * moments.nu]
        assert np.allclose(sigma.hermite_coefficients(2), expected, rtol=0, atol=3e-15)


def test_more_digits_change_nothing() -> None:
    for text in ("tanh", "exp(-abs(x - 0.3))", "tanh(20*x)*x"):
        few, many = (nonlinearity(text).hermite_coefficients_mp(6, digits) for digits in (20, 45))
        assert all(abs(one - two) <= mp.mpf(10) ** -19 * abs(two) for one, two in zip(few, many, strict=True))


def test_precision_of_the_caller_is_left_alone() -> None:
    before = mp.dps
    nonlinearity("tanh(x)*x").hermite_coefficients_mp(2, 40)
    assert mp.dps == before


def test_zeros_are_zeros() -> None:
    """Also where all coefficients asked for vanish, and where no parity says so."""
    assert nonlinearity("x*cos(x)").hermite_coefficients_mp(0, 20) == [0]
    assert nonlinearity("he3(x) + he4(x)").hermite_coefficients_mp(2, 20) == [0, 0, 0]
    assert nonlinearity("he3(x) + he4(x) + x*cos(x) - x/sqrt(e)").hermite_coefficients_mp(0, 20) == [0]
    assert nonlinearity("tanh(x) - tanh(x)").hermite_coefficients_mp(2, 20) == [0, 0, 0]


def test_refusals() -> None:
    with pytest.raises(ValueError, match="degree must be >= 0"):
        nonlinearity("tanh").hermite_coefficients_mp(-1, 20)
    with pytest.raises(ValueError, match="digits >= 1"):
        nonlinearity("tanh").hermite_coefficients_mp(3, 0)
    with pytest.raises(ValueError, match="double precision only"):
        nonlinearity(np.tanh).hermite_coefficients_mp(3, 20)


def test_hermite_functions_are_orthonormal_and_bounded() -> None:
    x = np.linspace(-50, 50, 20001)
    with np.errstate(under="ignore"):
        functions = hermite_functions(x, 120)
        products = functions @ functions.T * (x[1] - x[0])
    assert np.allclose(products, np.eye(121), atol=1e-12)
    assert np.max(np.abs(functions)) < 1
    for k in range(6):
        expected = [float(brute_force.he(k)(mp.mpf(t))) for t in (-1.5, 0.25)]
        values = np.polynomial.polynomial.polyval([-1.5, 0.25], hermite_polynomial(k))
        assert values == pytest.approx(expected, rel=1e-14)


def test_hermite_polynomials_are_correctly_rounded() -> None:
    with mpmath.workdps(60):
        for k in range(25):
            integers = np.polynomial.hermite_e.herme2poly([0.0] * k + [1.0]).tolist()
            exact = [float(mp.mpf(a) / mp.sqrt(mp.factorial(k))) for a in integers]
            assert hermite_polynomial(k).tolist() == exact
