"""Densities as weighted eigenvalues: resolvents, the chain, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import ParameterError


@pytest.mark.parametrize(("p", "m"), [(100, 400), (300, 200), (95, 100)])
def test_the_resolvent_of_marchenko_and_pastur(p: int, m: int) -> None:
    found = asy.wishart_spectrum(p, m)
    ratio = p / m
    for t in (1e-3, 0.1, 3.0):
        total = found["multiplicities"] @ (1 / (found["eigenvalues"] + t)) / p + max(0.0, 1 - 1 / ratio) / t
        b = 1 - ratio + t
        closed = (-b + np.sqrt(b**2 + 4 * ratio * t)) / (2 * ratio * t)
        np.testing.assert_allclose(total, closed, rtol=1e-11)


def test_a_linear_layer_is_marchenko_and_pastur() -> None:
    """Features W x of p units with a label on them: the chain, and its spectrum."""
    cells = asy.grid(n=[30.0, 80.0, 300.0], lam=[0.0, 0.1, 2.0])
    ridge = asy.FeatureRidge(**asy.wishart_spectrum(100, 400), residual_variance=0.2, **cells).solve()
    chain = asy.RainbowNetwork(activations=["linear"], widths=[100], d=400, target_layer="features",
                               label_second_moment=1.2, **cells).solve()
    for name in chain.values.keys() & ridge.values.keys():
        np.testing.assert_allclose(ridge.values[name], chain.values[name], rtol=1e-9, err_msg=name)


def test_a_power_law_density() -> None:
    """Between two ends, against its integral."""
    found = asy.density_spectrum(lambda s: s**-1.5, 1e-4, 1.0, modes=2.0, target=lambda s: 0 * s + 3.0)
    np.testing.assert_allclose(np.sum(found["multiplicities"]), 2 * 2 * (1e2 - 1), rtol=1e-12)
    np.testing.assert_allclose(found["target_weights"], 3 * found["multiplicities"])


@pytest.mark.parametrize(("arguments", "message"), [
    ((lambda s: s, 0.0, 1.0), "low: and high must be numbers with 0 < low < high"),
    ((lambda s: -s, 0.1, 1.0), "density: must be finite and >= 0"),
    ((lambda s: np.where(s > 0.3141, 1.0, 0.0), 0.1, 1.0), "density: cannot be integrated to 12 digits"),
])
def test_bad_densities(arguments: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=f"^{message}"):
        asy.density_spectrum(*arguments, modes=1)
    with pytest.raises(ParameterError, match=r"^p: must differ from m"):
        asy.wishart_spectrum(100, 100)
