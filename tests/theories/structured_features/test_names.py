"""The names that scripts rely on, and the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import asymptotics as asy

NAMES = {
    "feature-ridge": (
        ["eigenvalues", "target_weights", "residual_variance", "n", "lam", "multiplicities"],
        ["effective_ridge", "df1", "df2", "bias", "variance", "test_error", "train_error", "ridge_objective"]),
    "rainbow-network": (
        ["activations", "widths", "d", "n", "lam", "label_second_moment", "signal"],
        ["effective_ridge", "df1", "df2", "bias", "variance", "test_error", "train_error", "ridge_objective"]),
    "feature-classification": (
        ["loss", "labels", "eigenvalues", "target_weights", "rho", "n", "lam"],
        ["V", "q", "m", "classification_error", "train_loss"]),
}
CASES = {
    "feature-ridge": ({"eigenvalues": [1.0], "multiplicities": [300], "target_weights": [1.0],
                       "residual_variance": 0.25, "n": 200, "lam": 20}, "test_error", 0.8556470124317977),
    "rainbow-network": ({"activations": ["tanh"], "widths": [700], "d": 500, "n": 600, "lam": 6,
                         "label_second_moment": 1.1}, "test_error", 0.6993841513695643),
    "feature-classification": ({"loss": "square", "labels": "probit", "eigenvalues": [1.0], "target_weights": [1.0],
                                "multiplicities": [100], "rho": 1.0, "n": 200, "lam": 3}, "m", None),
}


@pytest.mark.parametrize("slug", NAMES)
def test_the_names(slug: str) -> None:
    theory = asy.THEORIES[slug]
    parameters, observables = NAMES[slug]
    assert set(parameters) <= set(theory.parameters)
    assert set(observables) <= set(theory.prediction.observables)


@pytest.mark.parametrize("slug", CASES)
def test_the_command_answers(slug: str) -> None:
    given, name, value = CASES[slug]
    command = [sys.executable, "-m", "asymptotics", "predict", slug, "--params", json.dumps(given), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert set(NAMES[slug][1]) <= set(answer["observables"]) and answer["converged"]
    if value is not None:
        assert abs(answer["observables"][name] / value - 1) < 1e-13
