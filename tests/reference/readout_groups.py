"""Slow reference for spiked random features with several readout levels.

The fixed-point equations in the "hat" variables K (G x G) and z (G) as they are derived, not the potential; plain
double precision.  Moments are Gauss-Legendre sums over the preactivation, split at kinks; averages over the spike
direction are Gauss-Legendre panels; the equations are iterated with damping, then by Newton's method; every derivative
is a complex step; the signal is one dense least-squares problem.  Nothing is shared with the library.

Model
-----
Neurons of group g (a fraction ``pi_g``) have rows ``r u_g v^T + sqrt(c_g/d) (isotropic)``.  Features given
``kappa = <v, x>``: ``mu0_g + mu1_g (bulk) + mu2_g (noise)``, moments at N(r u_g kappa, c_g).  Ridge readout
``argmin sum_mu (y_mu - F_mu w/sqrt(p))^2 + lam |w|^2``, n = alpha d, p = beta d.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

RANGE = 10.5
STEP = 1e-30

FUNCTIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], tuple[float, ...]]] = {
    "tanh": (np.tanh, ()),
    "sin": (np.sin, ()),
    "cos": (np.cos, ()),
    "relu": (lambda x: np.maximum(x, 0.0), (0.0,)),
    "abs": (np.abs, (0.0,)),
    "softplus": (lambda x: np.logaddexp(0.0, x), ()),
    "he2": (lambda x: (x**2 - 1) / math.sqrt(2), ()),
    "he3": (lambda x: (x**3 - 3 * x) / math.sqrt(6), ()),
    "erf(x/sqrt(2))": (np.vectorize(lambda x: math.erf(x / math.sqrt(2)), otypes=[float]), ()),
}


def panels(edges: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on panels with edges (..., E)."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    half = 0.5 * np.diff(edges, axis=-1)[..., None]
    middle = (0.5 * (edges[..., 1:] + edges[..., :-1]))[..., None]
    shape = (*edges.shape[:-1], -1)
    return (middle + half * nodes).reshape(shape), (half * weights).reshape(shape)


def density(x: np.ndarray) -> np.ndarray:
    with np.errstate(under="ignore"):
        return np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def moments(name: str, mean: np.ndarray, variance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E f, E f', E (f - E f - E f' (t - mean))^2 at t ~ N(mean, variance), for means (K,)."""
    function, kinks = FUNCTIONS[name]
    deviation = math.sqrt(variance)
    base = np.broadcast_to(np.linspace(-RANGE, RANGE, 43), (len(mean), 43))
    places = [np.clip((kink - mean) / deviation, -RANGE, RANGE)[:, None] for kink in kinks]
    z, weight = panels(np.sort(np.concatenate([base, *places], axis=1), axis=1), 16)
    weight = weight * density(z)
    values = function(mean[:, None] + deviation * z)
    mu0 = np.sum(weight * values, axis=1)
    mu1 = np.sum(weight * z * values, axis=1) / deviation
    rest = values - mu0[:, None] - deviation * mu1[:, None] * z
    return mu0, mu1, np.sum(weight * rest**2, axis=1)


class Reference:
    """One problem; `solve` returns its observables."""

    def __init__(
        self, *, activation: str, target: str, r: float, c: Any, gamma: float, levels: Any, fractions: Any,
        alpha: float, beta: float, lam: float, noise_var: float = 0.0, n_finite: float | None = None,
    ) -> None:
        self.c, self.pi, levels = (np.asarray(x, dtype=float) for x in (c, fractions, levels))
        self.alpha, self.beta, self.lam, self.noise, self.n = alpha, beta, lam, noise_var, n_finite
        self.groups = len(levels)
        self.ratio = alpha / beta
        width = min([1.0, *(math.sqrt(v) / max(abs(r * u), 1e-9) for u, v in zip(levels, self.c, strict=True))])
        count = math.ceil(2 * RANGE / (0.4 * width)) + 1
        self.kappa, weight = panels(np.linspace(-RANGE, RANGE, count), 12)
        self.weight = weight * density(self.kappa)
        table = [moments(activation, r * u * self.kappa, v) for u, v in zip(levels, self.c, strict=True)]
        self.mu0, self.mu1, self.mu2 = (np.array(part) for part in zip(*table, strict=True))
        rho = math.sqrt(1 - gamma**2)
        self.h, slope, self.rest = moments(target, gamma * self.kappa, rho**2)
        self.h1 = rho * slope
        self.pairs = [(i, j) for i in range(self.groups) for j in range(i, self.groups)]
        self.mult = np.array([1.0 if i == j else 2.0 for i, j in self.pairs] + [1.0] * self.groups)
        self.phi = np.array([self.mu1[i] * self.mu1[j] for i, j in self.pairs] + list(self.mu2))

    # ---- the fixed point

    def unpack(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k = np.zeros((self.groups, self.groups), dtype=x.dtype)
        for value, (i, j) in zip(x, self.pairs, strict=False):
            k[i, j] = k[j, i] = value
        return k, x[len(self.pairs):]

    def resolvents(self, x: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """rho_g and Q at hats x, by damped iteration."""
        k, z = self.unpack(x)
        rho = start.astype(x.dtype)
        identity = np.eye(self.groups)
        for _ in range(20000):
            p = np.diag(self.beta * self.pi * self.c * rho)
            fresh = 1 / (z + self.c * np.diag(np.linalg.solve(identity + k @ p, k)))
            change = fresh - rho
            rho = 0.5 * (rho + fresh)
            small = np.abs(change.real) <= 4e-16 * np.abs(rho.real)
            if np.all(small) and np.all(np.abs(change.imag) <= 1e-15 * np.abs(rho.imag) + 1e-14 * STEP * np.abs(rho)):
                break
        p = np.diag(self.beta * self.pi * self.c * rho)
        return rho, p @ np.linalg.inv(identity + k @ p)

    def conjugate(self, x: np.ndarray, start: np.ndarray) -> np.ndarray:
        """y = (Q_gh/beta, pi_g rho_g)."""
        rho, q = self.resolvents(x, start)
        return np.array([q[i, j] / self.beta for i, j in self.pairs] + list(self.pi * rho))

    def hats(self, y: np.ndarray) -> np.ndarray:
        """(alpha/beta) E[phi_A/(1 + V)], plus lam in the last ones."""
        v = (self.mult * y) @ self.phi
        x = self.ratio * self.phi @ (self.weight / (1 + v))
        x[len(self.pairs):] += self.lam
        return x

    def jacobian(self, function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
        columns = []
        for i in range(len(x)):
            moved = x.astype(complex)
            moved[i] += 1j * STEP
            columns.append(function(moved).imag / STEP)
        return np.array(columns).T

    def fixed_point(self) -> tuple[np.ndarray, np.ndarray]:
        power = self.mu2 @ self.weight + self.c * (self.mu1**2 @ self.weight)
        rho = 1 / (self.lam + power)
        x = self.hats(np.array([self.pi[i] * self.c[i] * rho[i] * (i == j) for i, j in self.pairs]
                               + list(self.pi * rho)))
        for _ in range(60):
            rho = self.resolvents(x, rho)[0]
            x = 0.5 * (x + self.hats(self.conjugate(x, rho)))

        def equations(x: np.ndarray) -> np.ndarray:
            return self.hats(self.conjugate(x, rho)) - x

        for _ in range(50):
            step = np.linalg.solve(self.jacobian(equations, x), -equations(x))
            change = np.max(np.abs(step) / np.maximum(np.abs(x), 1e-3 * np.max(np.abs(x))))
            x = x + step * (1.0 if change < 0.5 else 0.5 / change)
            if change < 1e-14:
                break
        return x, self.resolvents(x, rho)[0]

    # ---- observables

    def signal(self, o: np.ndarray, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """m and th by least squares, penalties as further rows."""
        root = np.sqrt(self.weight * o)
        functions = np.concatenate([self.mu0, self.kappa * self.mu1])
        penalty = np.concatenate([
            np.zeros(self.groups) if self.n is None else 1 / (self.n * self.pi * rho),
            1 / (self.alpha * self.c * self.pi * rho),
        ])
        rows = np.concatenate([(functions * root).T, np.diag(np.sqrt(penalty))])
        scale = np.linalg.norm(rows, axis=0)
        scale[scale == 0] = 1.0
        right = np.concatenate([self.h * root, np.zeros(len(penalty))])
        solution = np.linalg.lstsq(rows / scale, right, rcond=1e-13)[0] / scale
        return solution[: self.groups], solution[self.groups:]

    def solve(self) -> dict[str, Any]:
        x, rho = self.fixed_point()
        q_matrix = self.resolvents(x, rho)[1]
        y = self.conjugate(x, rho)
        o = 1 / (1 + (self.mult * y) @ self.phi)
        m, th = self.signal(o, rho)
        psi_hat = self.ratio * (self.mu1 * o * self.h1) @ self.weight
        psi = q_matrix @ psi_hat
        th_hat = th / (self.beta * self.pi * self.c * rho)
        p = None if self.n is None else self.n * self.beta / self.alpha
        m_hat = None if p is None else m / (p * self.pi * rho)

        def readout_norm(x: np.ndarray) -> np.ndarray:
            rho_x, q_x = self.resolvents(x, rho)
            total = np.sum(th_hat**2 * self.beta * self.pi * self.c * rho_x) + psi_hat @ q_x @ psi_hat
            if p is not None:
                total = total + np.sum(p * self.pi * rho_x * m_hat**2)
            return np.array([total])

        slope = -self.jacobian(readout_norm, x)[0] / self.mult
        j = self.jacobian(lambda x: self.conjugate(x, rho), x)
        fbar = m @ self.mu0 + self.kappa * (th @ self.mu1)
        error = (self.h - fbar) ** 2 + self.rest + self.h1**2 + self.noise - 2 * (psi @ self.mu1) * self.h1
        squared = self.weight * o**2
        load = self.ratio * self.phi @ (squared * error)
        coupling = self.ratio * (self.phi * squared) @ (self.phi * self.mult[:, None]).T
        q = np.linalg.solve(np.eye(len(x)) + j @ coupling, slope - j @ load)
        estimation = (self.mult * q) @ self.phi
        test = self.weight @ (error + estimation)
        residual = self.h1 - psi @ self.mu1
        return {
            "test_error": test,
            "generalization_error": test - self.noise,
            "train_error": squared @ (error + estimation),
            "ridge_objective": squared @ (error + estimation) + self.lam / self.ratio * np.sum(q[len(self.pairs):]),
            "spike_error": self.weight @ (self.h - fbar) ** 2,
            "orthogonal_error": self.weight @ (residual**2 + self.rest),
            "estimation_error": self.weight @ (estimation - (psi @ self.mu1) ** 2),
            "variance": self.weight @ ((self.mult * (q - slope)) @ self.phi),
            "m": m, "th": th, "psi": psi,
            "q1": self.unpack(q)[0], "q2": q[len(self.pairs):],
            "V1": q_matrix / self.beta, "V2": self.pi * rho,
            "jacobian": j, "multiplicity": self.mult,
        }


def solve(**parameters: Any) -> dict[str, Any]:
    """Observables of one problem; see `Reference` for the parameters.  Also J = dy/dx and the multiplicities."""
    return Reference(**parameters).solve()
