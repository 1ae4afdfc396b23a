"""Linear networks with many inputs and outputs from their actual weights, and the matrix Riccati equation in mpmath."""

from __future__ import annotations

import math

import mpmath
import numpy as np
from scipy.integrate import solve_ivp


def integrate(u, W, target, times, covariance, gamma=1.0, eta_u=1.0, eta_w=1.0, c=1.0):
    """Weights of f(x) = gamma u^T W x at increasing times by DOP853, restarted at each: list of (u, W)."""
    p, D = W.shape

    def velocity(_, state):
        u, W = state[:p], state[p:].reshape(p, D)
        force = c * gamma * covariance @ (target - gamma * W.T @ u)
        return np.concatenate([eta_u * (W @ force), (eta_w * np.outer(u, force)).ravel()])

    return [(state[:p], state[p:].reshape(p, D)) for state in _follow(velocity, np.concatenate([u, W.ravel()]), times)]


def descent(u, W, target, steps, size, covariance, gamma=1.0, eta_u=1.0, eta_w=1.0, c=1.0):
    """Weights after so many steps of gradient descent of this size."""
    for _ in range(steps):
        force = size * c * gamma * covariance @ (target - gamma * W.T @ u)
        u, W = u + eta_u * (W @ force), W + eta_w * np.outer(u, force)
    return u, W


def observables(u, W, target, covariance, gamma=1.0, eta_u=1.0, eta_w=1.0, c=1.0):
    """What the theory answers, from the weights and the definitions."""
    beta = gamma * W.T @ u
    gap = target - beta
    # gradients of f(x) and f(x') with respect to all weights, x and x' being the unit vectors
    to_u = gamma * math.sqrt(eta_u) * W
    to_w = gamma * math.sqrt(eta_w) * np.einsum("i,jk->ijk", u, np.eye(len(target)))
    kernel = to_u.T @ to_u + np.einsum("ijk,ijl->kl", to_w, to_w)
    return {
        "coefficients": beta, "excess_loss": 0.5 * c * gap @ covariance @ gap, "gap_norm": np.linalg.norm(gap),
        "norm_u": np.linalg.norm(u), "norm_W": np.linalg.norm(W), "ntk_trace": np.trace(kernel @ covariance),
        "ntk_along_target": target @ covariance @ kernel @ covariance @ target / (target @ covariance @ target),
    }


def integrate_layers(W1, W2, S, times, m2=1.0, rate=1.0):
    """W1 and W2 of f(x) = W2 W1 x at increasing times by DOP853: list of (W1, W2)."""
    cut = W1.size

    def velocity(_, state):
        first, second = state[:cut].reshape(W1.shape), state[cut:].reshape(W2.shape)
        force = rate * (S - m2 * second @ first)
        return np.concatenate([(second.T @ force).ravel(), (force @ first.T).ravel()])

    start = np.concatenate([W1.ravel(), W2.ravel()])
    return [(state[:cut].reshape(W1.shape), state[cut:].reshape(W2.shape)) for state in _follow(velocity, start, times)]


def _follow(velocity, state, times):
    states, now = [], 0.0
    for time in times:
        if time > now:
            with np.errstate(all="ignore"):
                state = solve_ivp(velocity, (now, time), state, method="DOP853", rtol=1e-13, atol=1e-16).y[:, -1]
        states.append(state)
        now = time
    return states


def riccati(W1, W2, S, lam, time):
    """Q Q^T = [[W1^T W1, (W2 W1)^T], [W2 W1, W2 W2^T]] at one time from matrix exponentials in many digits."""
    D, O, H = W1.shape[1], W2.shape[0], W1.shape[0]  # noqa: E741
    growth = 2 * (abs(lam) + float(np.linalg.norm(S, 2))) * time / math.log(10)
    with mpmath.workdps(60 + int(growth)):
        F = mpmath.zeros(D + O)
        for i in range(D):
            F[i, i] = -mpmath.mpf(lam) / 2
        for i in range(O):
            F[D + i, D + i] = mpmath.mpf(lam) / 2
            for j in range(D):
                F[D + i, j] = F[j, D + i] = mpmath.mpf(float(S[i, j]))
        rates, vectors = mpmath.eigsy(F)
        t = mpmath.mpf(time)
        start = vectors.T * mpmath.matrix(np.concatenate([W1.T, W2]).tolist())
        tiny = mpmath.mpf(10) ** -40
        spread = mpmath.diag([mpmath.expm1(2 * f * t) / (2 * f) if abs(f) * t > tiny else t for f in rates])
        grown = vectors * mpmath.diag([mpmath.exp(f * t) for f in rates]) * start
        inner = mpmath.eye(H) + start.T * spread * start
        return np.array((grown * mpmath.inverse(inner) * grown.T).tolist(), dtype=float)
