"""Random problems from the stated box against an independent mpmath solution (tests/reference)."""

import json
from pathlib import Path

import numpy as np
import pytest

from asymptotics import SpikedRandomFeatures

STORED = Path(__file__).parents[1] / "reference" / "spiked_random_features.json"
ERRORS = (
    "test_error", "generalization_error", "train_error", "spike_error", "orthogonal_error", "estimation_error",
    "variance",
)
OVERLAPS = ("m", "th", "psi", "chi")
EPS = np.finfo(float).eps


def problems():
    return json.loads(STORED.read_text())


def solve(stored):
    parameters = {name: value for name, value in stored["parameters"].items() if value is not None}
    return SpikedRandomFeatures(**parameters).solve()


def test_the_box_is_covered():
    stored = [problem["parameters"] for problem in problems()]
    assert len(stored) >= 100
    for role in ("activation", "target"):
        names, counts = np.unique([parameters[role] for parameters in stored], return_counts=True)
        assert len(names) >= 15 and counts.min() >= 6, dict(zip(names, counts, strict=True))
    for name, low, high in (("alpha", 0.02, 50), ("beta", 0.02, 50), ("lam", 1e-7, 1e3)):
        values = np.array([parameters[name] for parameters in stored])
        assert values.min() < low and values.max() > high
    ratio = [abs(parameters["spike_strength"]) / parameters["bulk_variance"] ** 0.5 for parameters in stored]
    assert max(ratio) > 70 and min(ratio) == 0


@pytest.mark.parametrize("start", range(0, 320, 40))
def test_random_problems(start):
    for stored in problems()[start:start + 40]:
        prediction = solve(stored)
        assert prediction.converged
        for name, deviation in deviations(stored, prediction).items():
            assert deviation <= 1e-10, (name, deviation, stored["parameters"])


def deviations(stored, prediction):
    """|error| over max(|value|, natural scale) for every stored observable."""
    expected = {name: float(value) for name, value in stored["observables"].items()}
    scales = natural_scales(prediction.problem, expected)
    return {
        name: abs(float(getattr(prediction, name)) - value) / max(abs(value), scales.get(name, 0.0))
        for name, value in expected.items()
    }


@np.errstate(under="ignore")
def natural_scales(problem, expected):
    """Test error and its parts: 1e-3 of the test error.  Overlaps: the size at which the function that they multiply
    explains the whole target; where those functions are nearly parallel, 100 eps times that condition number on top.
    """
    kappa = np.linspace(-9, 9, 20001)
    weight = np.exp(-0.5 * kappa**2)
    weight /= weight.sum()
    moments = problem.activation.moments(problem.spike_strength * kappa, problem.bulk_variance)
    functions = np.array([moments.mu0, kappa * moments.mu1, moments.nu])
    power = problem.target.second_moment() + problem.noise_var
    norms = np.sqrt(functions**2 @ weight)
    unit = functions / np.where(norms > 0, norms, 1.0)[:, None]
    gram = (unit * weight) @ unit.T
    used = [i for i in range(3 if problem.row_norm_variance else 2) if norms[i] > 1e-12]
    eigenvalues = np.linalg.eigvalsh(gram[np.ix_(used, used)]) if used else np.ones(1)
    condition = 1 / np.sqrt(max(eigenvalues[0], 1e-15))
    slack = max(1.0, 100 * EPS * condition / 1e-10)
    scales = {name: 1e-3 * expected["test_error"] for name in ERRORS}
    for name, norm in zip(("m", "th", "chi"), norms, strict=True):
        scales[name] = slack * np.sqrt(power) / norm if norm > 1e-12 else 1.0
    scales["psi"] = np.sqrt(power / (moments.mu1**2 @ weight)) if moments.mu1.any() else 1.0
    return scales


@pytest.mark.slow
def test_some_of_the_stored_solutions_are_reproduced():
    from tests.reference.spiked_random_features import solve as reference

    for stored in problems()[::40]:
        parameters = dict(stored["parameters"])
        row_norm_variance = parameters.pop("row_norm_variance")
        fresh = reference(**parameters, row_norm_variance=row_norm_variance, digits=45)
        for name, value in stored["observables"].items():
            assert float(fresh[name]) == pytest.approx(float(value), rel=1e-14, abs=1e-18)
