"""Ridge readout of one concrete W, slowly: dense matrices, Gauss-Legendre panels, plain damped iteration.

Shares no code with the library.  The mean direction 1, W_b v, the row norms and W_b zeta are four vectors, whose
overlaps through the resolvent are all kept; that 1 is in the kernel of W_p^T is not used.
"""

from __future__ import annotations

import math

import numpy as np


def _legendre(edges, count=32):
    nodes, weights = np.polynomial.legendre.leggauss(count)
    half = 0.5 * np.diff(edges)[:, None]
    middle = 0.5 * (edges[1:] + edges[:-1])[:, None]
    return (middle + half * nodes).ravel(), (half * weights).ravel()


def _gaussian(x):
    return np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)


_Z, _WEIGHT = _legendre(np.linspace(-12, 12, 49))


def _relu(means, deviation):
    """E f, E f', E (f - affine)^2 and E f''/2 at N(means, deviation^2)."""
    a = means / deviation
    cumulative = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in a])
    density = _gaussian(a)
    mu0 = means * cumulative + deviation * density
    square = (means**2 + deviation**2) * cumulative + means * deviation * density
    return mu0, cumulative, square - mu0**2 - deviation**2 * cumulative**2, density / (2 * deviation)


def moments(name, means, deviation):
    """E f, E f', E (f - affine)^2 and E f''/2 at N(means, deviation^2); deviation > 0."""
    if name == "relu":
        return _relu(means, deviation)
    function = {"tanh": np.tanh, "sin": np.sin, "softplus": lambda t: np.logaddexp(0, t), "linear": lambda t: t,
                "he2": lambda t: (t**2 - 1) / math.sqrt(2)}[name]
    values, density = function(means[:, None] + deviation * _Z), _WEIGHT * _gaussian(_Z)
    mu0, mu1 = values @ density, values @ (density * _Z) / deviation
    nu = values @ (density * (_Z**2 - 1)) / (2 * deviation**2)
    rest = values - mu0[:, None] - mu1[:, None] * deviation * _Z
    return mu0, mu1, rest**2 @ density, nu


def solve(W, theta, activation, target, n, lam, noise_var=0.0, row_norms=True):
    """Observables of the readout on n samples, as a dict of floats."""
    p, d = W.shape
    total = W.sum(axis=0)
    v = total / np.linalg.norm(total)
    v = v if v @ theta >= 0 else -v
    gamma = v @ theta
    rho = math.sqrt(1 - gamma**2)
    zeta = (theta - gamma * v) / rho
    r = np.mean(W @ v)
    bulk = W - r * v
    across = bulk @ (np.eye(d) - np.outer(v, v))
    omega = across @ across.T
    norms = np.sum(across**2, axis=1)
    c = norms.mean()
    columns = [np.ones(p), bulk @ v] + ([norms - c] if row_norms else []) + [bulk @ zeta]
    directions = np.stack(columns, axis=1)

    kappa, weight = _legendre(np.linspace(-12, 12, 97))
    weight = weight * _gaussian(kappa)
    mu0, mu1, mu2_sq, nu = moments(activation, r * kappa, math.sqrt(c))
    h, slope, rest, _ = moments(target, gamma * kappa, rho)
    h1 = rho * slope
    functions = np.stack([mu0, kappa * mu1] + ([nu] if row_norms else []))
    squares = np.stack([mu1**2, mu2_sq])

    # V1, V2: half a step at a time
    v1, v2 = c / (lam + 1), 1 / (lam + 1)
    for _ in range(20000):
        o = 1 / (1 + squares[0] * v1 + squares[1] * v2)
        hat1, hat2 = n / p * squares @ (weight * o)
        resolvent = np.linalg.inv((lam + hat2) * np.eye(p) + hat1 * omega)
        fresh1, fresh2 = np.sum(resolvent * omega) / p, np.trace(resolvent) / p
        change = abs(fresh1 / v1 - 1) + abs(fresh2 / v2 - 1)
        v1, v2 = (v1 + fresh1) / 2, (v2 + fresh2) / 2
        if change < 1e-13:
            break

    # overlaps with the four directions
    gram = (functions * (weight * o)) @ functions.T
    projections = functions @ (weight * o * h)
    hat_zeta = n / p * np.sum(weight * o * mu1 * h1)
    overlap = directions.T @ resolvent @ directions
    inner, cross = overlap[:-1, :-1], overlap[:-1, -1]
    hats = np.linalg.solve(np.eye(len(inner)) + n / p * gram @ inner,
                           n / p * (projections - gram @ cross * hat_zeta))
    hats = np.append(hats, hat_zeta)
    *parameters, psi = overlap @ hats
    mean = np.array(parameters) @ functions

    # second moments
    square = resolvent @ resolvent
    jacobian = -np.array([[np.sum((resolvent @ omega) * (omega @ resolvent)), np.sum(square * omega)],
                          [np.sum(square * omega), np.trace(square)]]) / p
    averaged = directions @ hats
    fixed = np.array([averaged @ resolvent @ omega @ resolvent @ averaged, averaged @ square @ averaged])
    noise = (h - mean) ** 2 + rest + h1**2 + noise_var - 2 * mu1 * psi * h1
    coupling = n / p * (squares * (weight * o**2)) @ squares.T
    source = n / p * squares @ (weight * o**2 * noise)
    q = np.linalg.solve(np.eye(2) + jacobian @ coupling, fixed - jacobian @ source)

    error = noise + q @ squares
    train = weight @ (error * o**2)
    return {
        "test_error": weight @ error,
        "train_error": train,
        "ridge_objective": train + lam * p / n * q[1],
        "spike_error": weight @ (h - mean) ** 2,
        "orthogonal_error": weight @ ((h1 - psi * mu1) ** 2 + rest),
        "estimation_error": q @ squares @ weight - psi**2 * squares[0] @ weight,
        "variance": (q - fixed) @ squares @ weight,
        "m": parameters[0],
        "th": parameters[1],
        "chi": parameters[2] if row_norms else 0.0,
        "psi": psi,
        "q1": q[0],
        "q2": q[1],
        "V1": v1,
        "V2": v2,
    }
