"""Features and labels from data: the plug-in, its corrections and warnings, kappa_hat and GCV."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import AccuracyWarning, FeatureRidge, ParameterError

S = 1 / np.arange(1, 41.0)


def gaussian(seed: int, count: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    beta = rng.normal(size=40)
    F = rng.normal(size=(count, 40)) * np.sqrt(S)
    return F, F @ beta + 0.7 * rng.normal(size=count), beta


def test_the_plug_in_is_the_population_of_the_data() -> None:
    F, y, _ = gaussian(0, 300)
    problem = FeatureRidge.from_features(F, y, debias=False, n=20, lam=1)
    np.testing.assert_allclose(np.sort(problem.eigenvalues), np.linalg.eigvalsh(F.T @ F / 300), rtol=1e-12)
    psi = F.T @ y / 300
    np.testing.assert_allclose(np.sum(problem.target_weights), psi @ psi, rtol=1e-12)
    rest = y - F @ np.linalg.lstsq(F, y, rcond=None)[0]
    np.testing.assert_allclose(problem.residual_variance, rest @ rest / 300, rtol=1e-12)


def test_without_its_bias_the_noise_is_found() -> None:
    truth = []
    for seed in range(30):
        F, y, _ = gaussian(seed, 150)
        raw, fair = (FeatureRidge.from_features(F, y, debias=debias, n=100, lam=1) for debias in (False, True))
        truth.append([raw.residual_variance, fair.residual_variance])
    mean, error = np.mean(truth, axis=0), np.std(truth, axis=0) / np.sqrt(30)
    assert abs(mean[1] - 0.49) < 3 * error[1]
    assert abs(mean[0] - 0.49 * 110 / 150) < 3 * error[0]


def test_learning_curves_from_data_are_those_of_the_population() -> None:
    """Averages over data sets of what is predicted from 150 samples, against the exact population."""
    n, lam = np.array([20.0, 60.0, 200.0]), 0.5
    ratios = []
    for seed in range(40):
        F, y, beta = gaussian(100 + seed, 150)
        exact = FeatureRidge(eigenvalues=S, target_weights=S**2 * beta**2, residual_variance=0.49, n=n, lam=lam).solve()
        own = FeatureRidge.from_features(F, y, n=n, lam=lam).solve()
        ratios.append(own.test_error / exact.test_error)
    error = np.std(ratios, axis=0) / np.sqrt(40)
    assert np.all(np.abs(np.mean(ratios, axis=0) - 1) < 4 * error + 0.02)


def test_an_intercept_centres() -> None:
    F, y, _ = gaussian(1, 300)
    plain = FeatureRidge.from_features(F - np.mean(F, axis=0), y - np.mean(y), debias=False, n=20, lam=1)
    shifted = FeatureRidge.from_features(F + 3, y - 5, debias=False, intercept=True, n=20, lam=1)
    np.testing.assert_allclose(shifted.solve().test_error, plain.solve().test_error, rtol=1e-10)


def test_what_a_sample_says_about_itself() -> None:
    """kappa_hat and GCV on 60 training sets, against the theory."""
    lam = np.array([0.1, 1.0, 10.0])
    kappas, errors = [], []
    beta = gaussian(7, 1)[2]
    for seed in range(60):
        rng = np.random.default_rng(seed)
        F = rng.normal(size=(100, 40)) * np.sqrt(S)
        y = F @ beta + 0.7 * rng.normal(size=100)
        kappas.append(asy.kappa_hat(F, lam))
        errors.append(asy.gcv(F, y, lam))
    wanted = FeatureRidge(eigenvalues=S, target_weights=S**2 * beta**2, residual_variance=0.49, n=100, lam=lam).solve()
    np.testing.assert_allclose(np.mean(kappas, axis=0), wanted.effective_ridge, rtol=0.01)
    scatter = np.std(errors, axis=0) / np.sqrt(60)
    assert np.all(np.abs(np.mean(errors, axis=0) - wanted.test_error) < 3 * scatter + 0.01)


@pytest.mark.parametrize("shape", [(30, 12), (12, 30), (20, 20)])
def test_gcv_and_kappa_hat_are_what_they_say(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    F, y = rng.normal(size=shape), rng.normal(size=shape[0])
    for lam in (1e-3, 1.0, 50.0):
        hat = F @ np.linalg.solve(F.T @ F + lam * np.eye(shape[1]), F.T)
        free = shape[0] - np.trace(hat)
        np.testing.assert_allclose(asy.kappa_hat(F, lam), lam / free, rtol=1e-9)
        np.testing.assert_allclose(asy.gcv(F, y, lam), np.mean((y - hat @ y) ** 2) / (free / shape[0]) ** 2, rtol=1e-9)
    np.testing.assert_allclose(asy.gcv(F, y, 0.0), asy.gcv(F, y, 1e-11), rtol=1e-5)
    np.testing.assert_allclose(asy.kappa_hat(F, 0.0), asy.kappa_hat(F, 1e-11), rtol=1e-5, atol=1e-11)
    with pytest.raises(ParameterError, match="lam: must be finite numbers >= 0"):
        asy.gcv(F, y, -1.0)


def test_few_samples_and_heavy_tails_are_warned_of() -> None:
    F, y, _ = gaussian(3, 100)
    with pytest.warns(AccuracyWarning, match="100 samples of 40 features, fewer than 3 for each"):
        FeatureRidge.from_features(F, y, n=10, lam=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FeatureRidge.from_features(*gaussian(3, 1000)[:2], n=10, lam=1)
    rng = np.random.default_rng(4)
    rare = rng.normal(size=(1000, 40)) * (rng.random(size=(1000, 40)) < 0.01)
    with pytest.warns(AccuracyWarning, match="heavy tails: whitened features scatter"):
        FeatureRidge.from_features(rare, rng.normal(size=1000), n=10, lam=1)


@pytest.mark.parametrize(("F", "y", "message"), [
    (np.ones(3), np.ones(3), "F: must be an array of numbers with 2 axes"),
    (np.ones((3, 2)), np.ones(4), "y: must have as many elements as F has rows, 3, got 4"),
    (np.full((3, 2), np.inf), np.ones(3), "F: must be finite numbers"),
    (np.zeros((3, 2)), np.ones(3), "F: must not be zero"),
    ([[1.0, 2.0], [3.0]], np.ones(2), "F: must not be a ragged list"),
    (np.eye(3), np.ones(3), "debias: needs more samples than features, 3, got 3"),
])
def test_bad_data(F: Any, y: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=f"^{message}"):
        FeatureRidge.from_features(F, y, n=10, lam=1)
