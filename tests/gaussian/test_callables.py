"""Python callables as nonlinearities."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asymptotics.errors import AccuracyWarning
from asymptotics.gaussian import nonlinearity
from asymptotics.gaussian.nonlinearity import Nonlinearity

Array = NDArray[np.float64]

quantified = settings(derandomize=True, deadline=None, max_examples=25)


def tanh(x: Array) -> Array:
    return np.tanh(x)


def tanh_slope(x: Array) -> Array:
    return 1 - np.tanh(x) ** 2


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.1 * x)


def leaky_slope(x: Array) -> Array:
    return np.where(x > 0, 1.0, 0.1)


def stairs(x: Array) -> Array:
    return np.sign(x - 0.5) + 2 * (x > -1) + np.sin(x)


def clipped(x: Array) -> Array:
    return np.clip(x, -1.0, 2.0)


PAIRS: list[tuple[Nonlinearity, str, float]] = [
    (nonlinearity(tanh), "tanh", 1e-12),
    (nonlinearity(tanh, derivative=tanh_slope), "tanh", 1e-14),
    (nonlinearity(leaky, kinks=[0.0]), "maximum(x, 0.1*x)", 1e-12),
    (nonlinearity(leaky, derivative=leaky_slope, kinks=(0,)), "maximum(x, 0.1*x)", 1e-14),
    (nonlinearity(clipped, kinks=(2.0, -1.0)), "relu(x + 1) - relu(x - 2) - 1", 1e-12),
    (nonlinearity(stairs, kinks=(-1.0, 0.5)), "sign(x - 0.5) + sign(x + 1) + 1 + sin(x)", 1e-12),
    (nonlinearity(np.sin), "sin", 1e-12),
    (nonlinearity(lambda x: np.tanh(10 * x), scale=0.1), "tanh(10*x)", 1e-12),
]
IDS = ["tanh", "tanh with slope", "leaky", "leaky with slope", "clipped", "stairs", "sin", "steep"]


@pytest.mark.parametrize(("wrapped", "text", "accuracy"), PAIRS, ids=IDS)
@quantified
@given(mean=st.floats(-5, 5), log_variance=st.floats(-3, 1.5))
def test_moments_are_those_of_the_same_function_by_name(
    wrapped: Nonlinearity, text: str, accuracy: float, mean: float, log_variance: float
) -> None:
    variance = 10**log_variance
    moments, named = wrapped.moments(mean, variance), nonlinearity(text).moments(mean, variance)
    size = 1 / wrapped.scale
    deviation = math.sqrt(variance)
    differences = [abs(float(one - two)) for one, two in zip(moments, named, strict=True)]
    assert differences[0] <= 1e-13 * (abs(named.mu0) + 0.1)
    assert differences[1] <= 10 * accuracy * size
    assert differences[2] <= 1e-10 * named.mu2_sq + 1e-22
    assert differences[3] <= 10 * accuracy * size / deviation


@pytest.mark.parametrize(("wrapped", "text", "accuracy"), PAIRS, ids=IDS)
def test_shape_is_found(wrapped: Nonlinearity, text: str, accuracy: float) -> None:
    named = nonlinearity(text)
    x = np.linspace(-4, 4, 82)
    assert np.allclose(wrapped(x), named(x), rtol=1e-15, atol=1e-15)
    assert np.allclose(wrapped.derivative(x), named.derivative(x), rtol=0, atol=10 * accuracy / wrapped.scale)
    assert wrapped.kinks == named.kinks
    assert wrapped.parity == named.parity
    assert wrapped.degree <= named.degree
    heights = dict(named.jumps)
    assert dict(wrapped.jumps) == pytest.approx({place: heights[place] for place in sorted(heights)}, abs=1e-10)
    assert np.allclose(wrapped.hermite_coefficients(12), named.hermite_coefficients(12), atol=1e-14)
    assert wrapped.second_moment() == pytest.approx(named.second_moment(), rel=1e-13)
    if math.isinf(named.slope_variance()):
        assert math.isinf(wrapped.slope_variance())
    else:
        assert wrapped.slope_variance() == pytest.approx(named.slope_variance(), rel=1e-10)


def test_variance_zero() -> None:
    moments = nonlinearity(leaky, kinks=[0]).moments(np.array([-2.0, 3.0]), 0.0)
    assert np.allclose(moments.mu0, [-0.2, 3.0], rtol=1e-15)
    assert np.allclose(moments.mu1, [0.1, 1.0], rtol=1e-12)


def test_undeclared_kinks_are_noticed() -> None:
    with pytest.warns(AccuracyWarning, match="declare its kinks"):
        nonlinearity(leaky).moments(np.linspace(-1, 1, 5), 1.0)


# ---- a callable is itself


def test_equality_is_identity() -> None:
    assert nonlinearity(tanh) == nonlinearity(tanh)
    assert hash(nonlinearity(tanh)) == hash(nonlinearity(tanh))
    assert nonlinearity(tanh) != nonlinearity(lambda x: np.tanh(x))
    assert nonlinearity(tanh) != nonlinearity("tanh")
    assert nonlinearity(tanh) != nonlinearity(tanh, derivative=tanh_slope)
    assert nonlinearity(leaky, kinks=[0]) != nonlinearity(leaky, kinks=[0, 1])
    assert nonlinearity(tanh) != nonlinearity(tanh, scale=0.5)
    assert nonlinearity(leaky, kinks=[1, 0]) == nonlinearity(leaky, kinks=(0.0, 1.0))


def test_module_level_functions_can_be_pickled() -> None:
    sigma = nonlinearity(leaky, derivative=leaky_slope, kinks=[0])
    copy = pickle.loads(pickle.dumps(sigma))
    assert copy == sigma and hash(copy) == hash(sigma)
    assert copy.moments(0.3, 2.0) == sigma.moments(0.3, 2.0)
    assert str(sigma) == "leaky"


# ---- refusals


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: np.zeros(3), "shape"),
        (lambda x: 1.0, "shape"),
        (lambda x: x[..., None], "shape"),
        (lambda x: np.exp(x * x), "Gaussian"),
        (lambda x: np.where(x > 60, np.inf, x), "finite"),
        (lambda x: np.where(np.abs(x) < 1, np.nan, x), "finite"),
        (lambda x: np.log(x), "finite"),
    ],
)
def test_what_is_no_nonlinearity_is_refused(function: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        nonlinearity(function)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_scale_must_be_positive(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be > 0"):
        nonlinearity(tanh, scale=scale)
