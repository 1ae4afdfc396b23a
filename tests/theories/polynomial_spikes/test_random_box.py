"""Random problems from the stated box against an independent solution (tests/reference/polynomial_spikes.py).

The box: seven activations; teachers by Hermite coefficients (with and without mean, degree 1 to 5) and by name (sin,
relu, tanh); d, p, n, n0 between 50 and 5000, n = p in one of five; eta with tau between 0.01 and 1.5; lam between 1e-6
and 10; noise up to 0.5; step exponents between -0.1 and 0.45.
"""

import json
import warnings

import numpy as np
import pytest

from asymptotics import AccuracyWarning
from asymptotics.theories.polynomial_spikes.problem import PolynomialSpikes
from tests.reference.polynomial_spikes import ACTIVATIONS, FILE, TARGETS

STORED = json.loads(FILE.read_text())
NAMES = [f"{i}-{entry['parameters']['level']}-{entry['parameters']['activation']}" for i, entry in enumerate(STORED)]
TOLERANCE = 1e-11
STEP = ("tau", "tau_r", "row_rescaling")


def natural_scale(entry, name):
    """The size an error of an observable is measured in; its own where nothing else is said."""
    value = entry["observables"][name]
    if name == "train_error":
        return entry["observables"]["ridge_objective"]
    if name == "overlaps":
        return max(entry["label_second_moment"] ** 0.5, *map(abs, value))
    return float(np.max(np.abs(value), initial=0.0))


def tolerance(entry, name):
    """Of the answer."""
    return max(TOLERANCE, 3 * entry["accuracy"][name])


def solve(entry):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        return PolynomialSpikes(**entry["parameters"]).solve()


def deviations(entry, prediction):
    """|error| over the natural scale for every stored observable; infinite where an outlier is missing or invented."""
    answer = {}
    for name, expected in entry["observables"].items():
        found, expected = np.atleast_1d(getattr(prediction, name)), np.atleast_1d(np.asarray(expected, dtype=float))
        count = min(found.size, expected.size)  # of degrees, or of outliers, which are padded with NaN
        if name == "singular_values" and np.count_nonzero(np.isfinite(found)) != expected.size:
            answer[name] = np.inf
        else:
            error = np.max(np.abs(found[:count] - expected[:count]), initial=0.0)
            answer[name] = float(error / (natural_scale(entry, name) or 1.0))
    return answer


@pytest.mark.parametrize("entry", STORED, ids=NAMES)
def test_random_problem(entry):
    prediction = solve(entry)
    assert prediction.converged
    for name, deviation in deviations(entry, prediction).items():
        assert deviation <= tolerance(entry, name), (name, deviation)
    test_error = entry["observables"]["test_error"]
    excess = test_error - entry["parameters"]["noise_var"]
    assert abs(float(prediction.generalization_error) - excess) <= tolerance(entry, "test_error") * test_error
    if entry["parameters"]["level"] == "limit":
        assert all(np.isnan(getattr(prediction, name)) for name in STEP)


def test_the_box_is_covered():
    drawn = [entry["parameters"] for entry in STORED]
    assert {p["level"] for p in drawn} == {"full", "finite_rank", "limit"}
    for level, least in (("full", 5), ("finite_rank", 3), ("limit", 2)):
        names = [p["activation"] for p in drawn if p["level"] == level]
        assert min(names.count(name) for name in ACTIVATIONS) >= least
    assert {p["target"] for p in drawn if "target" in p} == set(TARGETS)
    means = [p["target_coefficients"][0] for p in drawn if "target_coefficients" in p]
    assert 0 < means.count(0.0) < len(means)
    assert sum(p["n"] == p["p"] for p in drawn) >= 5
    for name, low, high in (("d", 100, 2500), ("p", 100, 2500), ("n", 100, 2500), ("n0", 100, 2500), ("lam", 1e-5, 5)):
        values = [p[name] for p in drawn]
        assert min(values) < low and max(values) > high
    sizes = [entry["observables"]["tau"] for entry in STORED if "tau" in entry["observables"]]
    assert min(sizes) < 0.02 and max(sizes) > 1.3


def test_the_stored_accuracy_is_enough():
    for entry in STORED:
        assert max(entry["accuracy"].values()) < TOLERANCE / 10
