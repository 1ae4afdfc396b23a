"""Expressions in x: grammar, equality, hostile texts, shape, derivatives, and Gaussian moments."""

from __future__ import annotations

import inspect
import math
import pickle
import subprocess
import sys
import time
import warnings
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp

from asymptotics.gaussian import nonlinearity
from asymptotics.gaussian.combination import Combination
from asymptotics.gaussian.expressions import Expression, parse
from tests.gaussian import brute_force
from tests.gaussian.test_members import assert_moments

quantified = settings(derandomize=True, deadline=None, max_examples=6)


# ---- grammar


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("relu(x) - 1/sqrt(2*pi)", lambda x: np.maximum(x, 0) - 1 / math.sqrt(2 * math.pi)),
        ("erf(x/sqrt(2))", lambda x: np.array([math.erf(t / math.sqrt(2)) for t in x])),
        ("tanh(1.5*x + 0.8)", lambda x: np.tanh(1.5 * x + 0.8)),
        ("x + 0.5*(x**2 - 1)", lambda x: x + 0.5 * (x * x - 1)),
        ("maximum(x, 0.1*x)", lambda x: np.maximum(x, 0.1 * x)),
        ("min(0.5*x, 2*x)", lambda x: np.minimum(0.5 * x, 2 * x)),
        ("0.5*(x + relu(x))*3", lambda x: 1.5 * (x + np.maximum(x, 0))),
        ("he3(x) + tanh(x)", lambda x: (x**3 - 3 * x) / math.sqrt(6) + np.tanh(x)),
        ("he2(2*x + 1)", lambda x: ((2 * x + 1) ** 2 - 1) / math.sqrt(2)),
        ("(x - 1)*(x + 1)*2**-1", lambda x: (x * x - 1) / 2),
        ("-sign(3 - x)", lambda x: -np.sign(3 - x)),
        ("abs(2*x - 1)", lambda x: np.abs(2 * x - 1)),
        ("log(1 + exp(2*x))/2", lambda x: np.logaddexp(0, 2 * x) / 2),
        ("1/(1 + exp(-x))", lambda x: 1 / (1 + np.exp(-x))),
        ("sin(e*x)/pi + tanh(1)", lambda x: np.sin(math.e * x) / math.pi + math.tanh(1)),
        ("+x - -x + 1_0*0x10", lambda x: 2 * x + 160),
        ("(tanh(x) - tanh(x))*5 + 4**0.5", lambda x: 0 * x + 2),
        ("x**0", lambda x: 0 * x + 1),
    ],
)
def test_closed_forms_are_kept(text: str, function: Any) -> None:
    sigma = nonlinearity(text)
    assert isinstance(sigma, Combination)
    x = np.linspace(-5, 5, 101)
    assert np.allclose(sigma(x), function(x), rtol=1e-14, atol=1e-14)


# text, mpmath function, kinks, jumps, bends for the reference, parity
EXPRESSIONS: list[tuple[str, Any, tuple[float, ...], tuple[tuple[float, float], ...], Any, int]] = [
    ("x*sigmoid(x)", lambda x: x / (1 + mp.exp(-x)), (), (), ((0.0, 1.0),), 0),
    ("x*tanh(softplus(x))", lambda x: x * mp.tanh(mp.log1p(mp.exp(x))), (), (), ((0.0, 1.0),), 0),
    ("relu(2*x)**2", lambda x: (2 * max(x, 0)) ** 2, (0.0,), (), (), 0),
    ("exp(-x**2/2)", lambda x: mp.exp(-x * x / 2), (), (), ((0.0, 1.0),), 1),
    ("exp(-abs(x))", lambda x: mp.exp(-abs(x)), (0.0,), (), (), 1),
    ("exp(0.5*x)", lambda x: mp.exp(x / 2), (), (), (), 0),
    ("1/(1 + x**2)", lambda x: 1 / (1 + x * x), (), (), ((0.0, 1.0),), 1),
    ("x/sqrt(1 + 4*x**2)", lambda x: x / mp.sqrt(1 + 4 * x * x), (), (), ((0.0, 0.5),), -1),
    ("atan(3*x)", lambda x: mp.atan(3 * x), (), (), ((0.0, 0.3),), -1),
    ("log(2 + sin(3*x))", lambda x: mp.log(2 + mp.sin(3 * x)), (), (), (), 0),
    ("cos(2*x)**2*x", lambda x: x * mp.cos(2 * x) ** 2, (), (), (), -1),
    ("min(max(x, 0), 6)", lambda x: min(max(x, 0), 6), (0.0, 6.0), (), (), 0),
    ("abs(x**2 - 2)", lambda x: abs(x * x - 2), (-math.sqrt(2), math.sqrt(2)), (), (), 1),
    ("tanh(x)*sign(x - 1)", lambda x: mp.tanh(x) * mp.sign(x - 1), (1.0,), ((1.0, 2 * math.tanh(1)),),
     ((0.0, 1.0),), 0),
    ("x*sign(tanh(x) - 0.5)", lambda x: x * mp.sign(mp.tanh(x) - 0.5), (math.atanh(0.5),),
     ((math.atanh(0.5), 2 * math.atanh(0.5)),), (), 0),
    ("sign(relu(x))", lambda x: mp.mpf(x > 0), (0.0,), ((0.0, 1.0),), (), 0),
    ("x*sign(x)", abs, (0.0,), (), (), 1),
    ("he3(tanh(x))", lambda x: (mp.tanh(x) ** 3 - 3 * mp.tanh(x)) / mp.sqrt(6), (), (), ((0.0, 0.5),), -1),
    ("(exp(x) - exp(-x))/(exp(x) + exp(-x))", mp.tanh, (), (), ((0.0, 1.0),), -1),
    ("gelu(x)*erf(x)", lambda x: x * mp.ncdf(x) * mp.erf(x), (), (), ((0.0, 0.7),), 0),
    ("tanh(20*x)*x", lambda x: x * mp.tanh(20 * x), (), (), ((0.0, 0.05),), 1),
]
IDS = [row[0] for row in EXPRESSIONS]


@pytest.mark.parametrize(("text", "function", "kinks", "jumps", "bends", "parity"), EXPRESSIONS, ids=IDS)
def test_values_and_shape(text: str, function: Any, kinks: Any, jumps: Any, bends: Any, parity: int) -> None:
    sigma = nonlinearity(text)
    assert isinstance(sigma, Expression)
    x = np.array([-30.0, -3.7, -1.2, -0.3, 0.1, 0.4, 0.9, 1.1, 2.0, 5.5, 30.0])
    with mpmath.workdps(30):
        assert np.allclose(sigma(x), [float(function(mp.mpf(float(t)))) for t in x], rtol=1e-13, atol=1e-15)
        assert all(abs(sigma.exact(mp.mpf(t), mp) - function(mp.mpf(t))) < 1e-28 * (1 + abs(t)) for t in x.tolist())
    assert sigma.kinks == pytest.approx(kinks, rel=1e-15, abs=0)
    assert [place for place, _ in sigma.jumps] == pytest.approx([place for place, _ in jumps], rel=1e-15)
    assert [height for _, height in sigma.jumps] == pytest.approx([height for _, height in jumps], rel=1e-15)
    assert sigma.parity == parity
    assert 0 < sigma.scale <= 1
    assert set(sigma.features) >= {(kink, 0.0) for kink in sigma.kinks}


@pytest.mark.parametrize(
    "text", [*IDS, "tanh(1.5*x + 0.8)", "relu(x) - x**3", "softplus(2*x)*cos(x)", "abs(sin(x/30))"]
)
def test_derivative_against_finite_differences(text: str) -> None:
    sigma = nonlinearity(text)
    x = np.linspace(-4, 4, 33) + 0.0123
    with mpmath.workdps(50):
        step = mp.mpf(10) ** -12
        differences = [
            float((sigma.exact(t + step, mp) - sigma.exact(t - step, mp)) / (2 * step)) for t in map(mp.mpf, x.tolist())
        ]
    assert np.allclose(sigma.derivative(x), differences, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("text", "function", "kinks", "jumps", "bends", "parity"), EXPRESSIONS, ids=IDS)
@quantified
@given(mean=st.floats(-6, 6), log_variance=st.floats(-3, 1.5))
def test_moments(text: str, function: Any, kinks: Any, jumps: Any, bends: Any, parity: int, mean: float,
                 log_variance: float) -> None:
    variance = 10**log_variance
    deviation = math.sqrt(variance)
    growth = 0.0
    if text == "exp(0.5*x)":  # the Gaussian of its square sits at mean + variance
        variance, deviation = min(variance, 9.0), min(deviation, 3.0)
        growth = math.exp(mean / 2 + variance)
    with mpmath.workdps(40):
        exact_kinks = [mp.sqrt(2) * round(k / math.sqrt(2)) if "x**2 - 2" in text else
                       mp.atanh(mp.mpf(1) / 2) if "0.5" in text else mp.mpf(k) for k in kinks]
    widest = min(2.0, 1 / deviation) if "cos" in text or "sin" in text else 2.0
    exact = brute_force.moments(function, mean, variance, exact_kinks, bends, widest)
    size = 4 + (4 * abs(mean) + 40 * deviation) * ("**2" in text) + 50 * growth
    assert_moments(nonlinearity(text).moments(mean, variance), exact, variance, size)


def test_moments_of_what_grows_fast() -> None:
    """E exp(t) = exp(m + v/2): the range of quadrature follows the growth."""
    mean, variance = np.array([0.5, -3.0, 1.0]), np.array([1.0, 9.0, 64.0])
    moments = nonlinearity("exp(x)").moments(mean, variance)
    expected = np.exp(mean + variance / 2)
    assert np.allclose(moments.mu0, expected, rtol=1e-12)
    assert np.allclose(moments.mu1, expected, rtol=1e-12)
    assert np.allclose(moments.mu2_sq, expected**2 * (np.expm1(variance) - variance), rtol=1e-11)
    power = nonlinearity("x**20*tanh(x)**2").moments(0.0, 1.0)
    plain = nonlinearity("x**20").moments(0.0, 1.0)
    assert 0.8 * plain.mu0 < power.mu0 < plain.mu0
    high = nonlinearity("he20(x) + tanh(x)").moments(0.0, 1.0)
    c1 = nonlinearity("tanh").hermite_coefficients(1)[1]
    assert high.mu2_sq == pytest.approx(1 + nonlinearity("tanh").second_moment() - c1**2, rel=1e-12)


def test_values_where_floats_overflow_on_the_way() -> None:
    sigma = nonlinearity("(exp(x) - exp(-x))/(exp(x) + exp(-x))")
    assert np.array_equal(sigma(np.array([-2000.0, 800.0])), [-1.0, 1.0])
    assert np.array_equal(sigma.derivative(np.array([-2000.0, 800.0])), [0.0, 0.0])
    assert nonlinearity("exp(x)")(1000.0) == np.inf
    assert sigma(np.ones((2, 3))).shape == (2, 3) and sigma(0.5).shape == ()


# ---- equality


@pytest.mark.parametrize(
    "texts",
    [
        ("abs", "abs(x)", "max(x, -x)", "relu(x) + relu(-x)", "2*relu(x) - x"),
        ("sigmoid", "1/(1 + exp(-x))", "sigmoid(x)", "0.5 + 0.5*tanh(x/2)", "(1 + tanh(0.5*x))/2"),
        ("softplus", "log(1 + exp(x))", "softplus(-x) + x", "x - 0.5*x + softplus(-x) + x/2"),
        ("he2", "he2(x)", "(x**2 - 1)/sqrt(2)", "(x - 1)*(x + 1)*sqrt(0.5)"),
        ("he5", "(x**5 - 10*x**3 + 15*x)/sqrt(120)"),
        ("linear", "x", "he1", "relu(x) - relu(-x)"),
        ("maximum(x, 0.1*x)", "0.1*x + 0.9*relu(x)", "relu(x) - relu(-x)/10"),
        ("tanh(1.5*x + 0.8)", "tanh( 1.5 * x+0.8 )", "-tanh(-0.8 - 3*x/2)", "tanh(1.5*x + 0.5 + 0.3)"),
        ("x*sigmoid(x)", "x/(1 + exp(-x))", "sigmoid(x) * x"),
        ("exp(-x**2)", "exp(-x*x)"),
        ("0*tanh(x) + 3", "3", "x - x + 3"),
    ],
    ids=lambda texts: texts[0],
)
def test_spellings_of_one_function_are_equal(texts: tuple[str, ...]) -> None:
    sigmas = [nonlinearity(text) for text in texts]
    assert len(set(sigmas)) == 1
    assert all(sigma == sigmas[0] for sigma in sigmas)


def test_different_functions_differ() -> None:
    texts = ["tanh", "tanh(2*x)", "2*tanh(x)", "tanh(x + 1)", "erf", "sin", "x*tanh(x)", "x*erf(x)", "x*tanh(2*x)"]
    assert len({nonlinearity(text) for text in texts}) == len(texts)


@pytest.mark.parametrize("text", [*IDS, "he4(x) + erf(x/sqrt(2))"])
def test_expressions_are_values(text: str) -> None:
    sigma = nonlinearity(text)
    copy = pickle.loads(pickle.dumps(sigma))
    assert copy == sigma and hash(copy) == hash(sigma) and str(copy) == str(sigma) == text and repr(sigma) == repr(text)
    assert nonlinearity(f"\t {text}\n") == sigma


# ---- hostile and mistaken texts


HOSTILE: list[tuple[str, str]] = [
    ("tahn", "did you mean 'tanh'?"),
    ("tahn(x)", "unknown function 'tahn', did you mean 'tanh'?"),
    ("y + 1", "unknown name 'y'"),
    ("he25(x)", "he0 to he24"),
    ("he99", "degree <= 24"),
    ("nan", "unknown name"),
    ("__import__('os').system('true')", "not allowed"),
    ("x.__class__.__mro__", "attribute access is not allowed"),
    ("().__class__", "attribute access"),
    ("eval('x')", "not allowed"),
    ("open(x)", "unknown function"),
    ("(lambda x: x)(x)", "not allowed"),
    ("lambda x: x", "a lambda is not allowed"),
    ("x < 1", "a comparison is not allowed"),
    ("x if x else 1", "a condition is not allowed"),
    ("x and x", "not allowed"),
    ("not x", "not allowed"),
    ("~x", "not allowed"),
    ("x // 2", "not allowed"),
    ("x % 2", "not allowed"),
    ("x @ x", "not allowed"),
    ("x << 9", "not allowed"),
    ("[x]", "a list is not allowed"),
    ("[x for x in x]", "not allowed"),
    ("{x: x}", "not allowed"),
    ("x, x", "a tuple (a comma) is not allowed"),
    ("x[0]", "indexing is not allowed"),
    ("(y := x)", "not allowed"),
    ("'tanh'", "not allowed"),
    ("f'{x}'", "not allowed"),
    ("b'x'", "not allowed"),
    ("None", "not allowed"),
    ("True", "not allowed"),
    ("...", "not allowed"),
    ("2j*x", "not allowed"),
    ("tanh(x, x)", "takes one argument, got 2"),
    ("tanh()", "takes one argument, got 0"),
    ("max(x)", "takes two arguments, got 1"),
    ("tanh(x=x)", "not allowed"),
    ("tanh(*x)", "not allowed"),
    ("tanh + x", "tanh needs an argument"),
    ("2x", "not valid syntax"),
    ("tanh(x", "not valid syntax"),
    ("x = 1", "not valid syntax"),
    ("import os", "not valid syntax"),
    ("x; x", "not valid syntax"),
    ("x\0", "not valid syntax"),
    ("\ud800", "not valid syntax"),
    ("x^2", "powers are written **"),
    ("x # + 1", "comments"),
    ("", "empty"),
    (" \n", "empty"),
    ("9**9**9", "powers must be"),
    ("2**1000", "powers must be"),
    ("x**x", "powers must be numbers"),
    ("x**0.3", "powers must be multiples of 1/2"),
    ("x**25", "up to 24"),
    ("(x + 1)**20*x**10", "degree <= 24"),
    ("((x + 1)**24)**24", "degree <= 24"),
    ("(((3*tanh(x))**24)**24)**24", "powers must be"),
    ("(((1.0001**24)**24)**24)**24", "too long"),
    ("1e300*x", "numbers must be"),
    ("1e-300*x", "numbers must be"),
    ("1e400", "numbers must be"),
    ("1e6**24", "out of range"),
    ("(1e6*x)**24", "coefficients beyond"),
    ("exp(1000)", "out of range"),
    ("exp(exp(exp(exp(9))))", "out of range"),
    ("1/0", "divides by zero"),
    ("1/(x - x)", "divides by zero"),
    ("0**-1", "divides by zero"),
    ("x/(sqrt(2)**2 - 2)", "divides by zero"),
    ("1/((1 + sqrt(2))**2 - 3 - 2*sqrt(2))", "divides by zero"),
    ("1/x", "a denominator must not vanish"),
    ("x/x", "a denominator must not vanish"),
    ("x**-2", "a denominator must not vanish"),
    ("1/(x - 0.123456789)", "near x = 0.1235"),
    ("1/(x**2 - 3*x + 2.25)", "near x = 1.5"),
    ("1/cos(x)", "a denominator must not vanish"),
    ("1/(1 - cos(x))", "a denominator must not vanish"),
    ("1/(tanh(x) - 0.999)", "near x = 3.8"),
    ("1/(1e-9 + x**2)", "numbers must be"),
    ("1/(1e-6 + sin(x)**2)", "a denominator must not vanish"),
    ("log(x)", "must be positive"),
    ("log(-1 - x**2)", "must be positive"),
    ("log(0)", "not a real number"),
    ("sqrt(x)", "must be positive"),
    ("sqrt(x**2)", "must be positive"),
    ("sqrt(-2)", "no real root"),
    ("x**2.5", "must be positive"),
    ("abs(x)**1.5", "must be positive"),
    ("exp(x**2)", "more slowly than a Gaussian"),
    ("exp(x**2/1000)", "more slowly than a Gaussian"),
    ("exp(exp(x))", "more slowly than a Gaussian"),
    ("exp(exp(x/100))", "more slowly than a Gaussian"),
    ("exp(exp(exp(exp(x/200))))", "more slowly than a Gaussian"),
    ("exp(softplus(x)**2)", "more slowly than a Gaussian"),
    ("relu(sin(x))", "changes sign too often"),
    ("sign(sin(pi*x))", "changes sign too often"),
    ("*".join(f"relu(x - {i})" for i in range(55)), "more than 50 kinks"),
    ("sin(exp(x))", "varies over less"),
    ("tanh(100000*x)*x", "varies over less"),
    ("he24(he24(he24(he24(tanh(x)))))", "too long"),
    ("gelu(" * 20 + "x" + ")" * 20, "too long"),
    ("x" * 100_000, "at most 1000 characters"),
    ("x+" * 50_000 + "x", "at most 1000 characters"),
    (" " * 100_000 + "x", "at most 1000 characters"),
    ("(" * 499 + "x" + ")" * 499, "nested too deeply|not valid syntax"),
    ("-" * 999 + "x", "at most 400"),
    ("-" * 200 + "x", "nested too deeply"),
    ("tanh(" * 150 + "x" + ")" * 150, "nested too deeply"),
    ("x+" * 150 + "x", "nested too deeply"),
    ("x**" * 90 + "2", "nested too deeply|powers must be"),
    ("1" * 999, "numbers must be"),
]


@pytest.mark.parametrize(("text", "reason"), HOSTILE, ids=[text[:30] for text, _ in HOSTILE])
def test_hostile_texts_are_refused_in_one_line(text: str, reason: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError) as refusal:
        nonlinearity(text)
    message = str(refusal.value)
    assert any(part in message for part in reason.split("|")), message
    assert message.startswith("must ") and "\n" not in message and len(message) < 250
    assert time.perf_counter() - start < 5


@settings(quantified, max_examples=300)
@given(text=st.text(alphabet="x0123456789.+-*/() epitanhsqrlogu,", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        sigma = nonlinearity(text)
    except ValueError as error:
        assert str(error).startswith("must ")
    else:
        assert np.all(np.isfinite(sigma(np.linspace(-3, 3, 13))))


_leaves = st.sampled_from(["x", "2", "0.5", "pi", "(-1.5)"])
_expressions = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(["tanh", "relu", "sin", "erf", "abs", "softplus", "gelu", "sigmoid"]), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        ),
    ),
    max_leaves=6,
)


@settings(quantified, max_examples=60)
@given(text=_expressions)
def test_expressions_mean_what_they_mean_in_python(text: str) -> None:
    meaning = {
        "tanh": np.tanh, "relu": lambda u: np.maximum(u, 0), "sin": np.sin, "abs": np.abs, "pi": np.pi,
        "erf": np.vectorize(math.erf), "softplus": lambda u: np.logaddexp(0, u),
        "gelu": np.vectorize(lambda u: u * (1 + math.erf(u / math.sqrt(2))) / 2),
        "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
    }
    x = np.linspace(-2.9, 3.1, 14)
    try:
        sigma = nonlinearity(text)
    except ValueError as error:
        assert any(reason in str(error) for reason in ("too often", "varies over", "kinks", "grow")), error
        return
    with np.errstate(under="ignore"):
        expected = eval(text, {"__builtins__": {}}, {**meaning, "x": x}) + 0 * x
    assert np.allclose(sigma(x), expected, rtol=1e-12, atol=1e-12 * (1 + np.max(np.abs(expected))))


def test_a_deep_stack_is_no_traceback() -> None:
    """Where the caller has used up most of the stack, an expression is refused, not a RecursionError."""

    def deeper(levels: int) -> None:
        if levels:
            return deeper(levels - 1)
        with pytest.raises(ValueError, match="nested too deeply"):
            parse("tanh(" * 50 + "x*0.37" + ")" * 50)

    deeper(sys.getrecursionlimit() - len(inspect.stack(0)) - 220)


def test_nothing_is_printed_or_warned() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in ("1 is x", "1(x)", "0or x", "'\\d'", "x is not 1"):
            with pytest.raises(ValueError):
                parse(text)


def test_other_types_are_refused() -> None:
    for wrong in (None, 3, 2.5, ["tanh"], b"tanh"):
        with pytest.raises(ValueError, match="must be a name, an expression in x or a callable"):
            nonlinearity(wrong)  # type: ignore[arg-type]


# ---- cost


def test_names_do_not_load_sympy() -> None:
    code = (
        "import sys, asymptotics; assert not {'sympy', 'scipy', 'mpmath'} & set(sys.modules); "
        "[asymptotics.nonlinearity(n) for n in ('tanh', 'relu', 'abs', 'sigmoid', 'he3', 'erf', 'linear')]; "
        "assert 'sympy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_parsing_is_fast_once_sympy_is_loaded() -> None:
    nonlinearity("tanh(0.5*x + 0.1)")
    start = time.perf_counter()
    for i in range(20):
        parse(f"tanh(1.5*x + {i}.25)")
    assert time.perf_counter() - start < 20 * 0.02
