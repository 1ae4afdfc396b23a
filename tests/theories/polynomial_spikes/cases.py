"""Settings that several tests share: the rows of tests/reference."""

import math

import numpy as np

from asymptotics import nonlinearity
from asymptotics.theories.polynomial_spikes.step import (
    Readouts,
    Step,
    TargetMoments,
    direction_norm_squared,
    step_of,
)

RELU = "relu(x) - 1/sqrt(2*pi)"
TANH = "tanh(1.5*x + 0.8)"
QUADRATIC = "x + 0.5*(x**2 - 1)"
CUBIC = (0.2, 0.8, 0.5, 0.25)
ERRORS = ("test_error", "generalization_error", "train_error", "ridge_objective")


def target_of(coefficients) -> TargetMoments:
    """Moments of a finite Hermite series, from z h_k = sqrt(k + 1) h_{k+1} + sqrt(k) h_{k-1}."""
    c = np.array(coefficients, dtype=float)
    k = np.arange(1, c.size + 1)
    raised = np.append(0.0, np.sqrt(k) * c)
    raised[: c.size - 1] += np.sqrt(k[:-1]) * c[1:]
    return TargetMoments(c, float(np.sum(c**2)), float(np.sum(raised**2)))


def steps_of(activation, target, eta, d=500, p=400, n0=750, noise_var=0.1, alignment=None) -> Step:
    """Steps (T,) at learning rates."""
    eta, d, p, n0 = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, dtype=float)) for v in (eta, d, p, n0)))
    squared = direction_norm_squared(target, d, n0, noise_var)
    return step_of(nonlinearity(activation), target, d, p, n0, eta, np.full(eta.shape, noise_var), squared, alignment)


def sampled_features(rng, features, factor, x, w, degree=12):
    """Gaussian features c_1 X W^T + mu_* Z and the exact part of finite rank, kappa = x_1; `factor` is (J + 2, p)."""
    directions = np.array([np.polynomial.hermite_e.hermeval(x[:, 0], np.eye(degree + 1)[j]) for j in range(degree + 1)])
    directions /= np.sqrt([float(math.factorial(j)) for j in range(degree + 1)])[:, None]
    radial = (np.mean(x**2, axis=1) - 1) * np.sqrt(x.shape[1] / 2)
    directions = np.vstack([directions, radial])
    noise = rng.standard_normal((len(x), len(w)))
    bulk = np.sqrt(features.linear[0]) * x @ w.T + np.sqrt(features.white[0]) * noise
    return bulk + directions.T @ factor, directions


def readouts_of(step=0, d=500, p=400, n=600, lam=0.1, noise_var=0.1) -> Readouts:
    """Cells (C,)."""
    step, *rest = np.broadcast_arrays(np.atleast_1d(step), d, p, n, lam, noise_var)
    return Readouts(step.astype(np.intp), *(np.array(values, dtype=float) for values in rest))


def sinh_rule(count, half_range=8.3, sharpness=0.8):
    """Nodes and weights for N(0, 1): x = sinh(u)/sharpness with equally spaced u, the rule of the tabulated digits."""
    u = np.arcsinh(sharpness * half_range) * np.linspace(-1, 1, count)
    nodes = np.sinh(u) / sharpness
    weights = np.exp(-0.5 * nodes**2) * np.cosh(u)
    return nodes, weights / np.sum(weights)
