r"""Slow reference for the exact limit after one gradient step, with and without fluctuating row norms.

The equations as they are derived (docs/theories/giant_step.md, sections 2-8, 11, 12), in the "hat" variables, plain
double precision.  Nothing is shared with the library: the resolvent of the covariance is a 2 x 2 matrix equation,
solved at the one place where it is needed, with explicit matrix inverses and a fine rule in (s, eps); moments are
Gauss-Legendre sums split at kinks; overlaps are 2 x 2 matrix products; every derivative is a complex step; the signal
is one linear system in (m, th, psi, chi).

Run from the repository root to draw random problems and store their solutions::

    python -m tests.reference.giant_step [--count 10]
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import erf, expit

from .readout_groups import density, panels

FILE = Path(__file__).with_name("giant_step.json")
SEED = 20250611
RANGE = 9.6  # of standard Gaussians
STEP = 1e-30  # of derivatives
ORDER = 14  # nodes of a panel
MODELS = ("exact_step", "full_step")


class Function(NamedTuple):
    """A nonlinearity, its derivative and its kinks."""

    value: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    kinks: tuple[float, ...] = ()


FUNCTIONS = {
    "tanh": Function(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "relu": Function(lambda x: np.maximum(x, 0.0), lambda x: (x > 0) * 1.0, (0.0,)),
    "erf(x/sqrt(2))": Function(lambda x: erf(x / math.sqrt(2)), lambda x: 2 * density(x)),
    "sin": Function(np.sin, np.cos),
    "softplus": Function(lambda x: np.logaddexp(0.0, x), expit),
    "x+0.5*(x**2-1)": Function(lambda x: x + 0.5 * (x**2 - 1), lambda x: 1 + x),
    "tanh(x+0.7)": Function(lambda x: np.tanh(x + 0.7), lambda x: 1 - np.tanh(x + 0.7) ** 2),
    "cos": Function(np.cos, lambda x: -np.sin(x)),
    "he2": Function(lambda x: (x**2 - 1) / math.sqrt(2), lambda x: math.sqrt(2) * x),
    "he3": Function(lambda x: (x**3 - 3 * x) / math.sqrt(6), lambda x: 3 * (x**2 - 1) / math.sqrt(6)),
}
DRAWN = ("erf(x/sqrt(2))", "relu", "sin", "softplus", "tanh", "tanh(x+0.7)", "x+0.5*(x**2-1)")


def gaussian_rule(width: float, kinks: tuple[float, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Panels of at most `width` under the standard normal density."""
    edges = np.linspace(-RANGE, RANGE, math.ceil(2 * RANGE / width) + 1)
    x, weight = panels(np.union1d(edges, kinks), ORDER)
    return x, weight * density(x)


def conditional_moments(function: Function, mean: np.ndarray, variance: float, width: float) -> np.ndarray:
    """E f, E f', E f''/2 and E (f - E f - E f' (t - mean))^2 at t ~ N(mean, variance): (4, K)."""
    deviation = math.sqrt(variance)
    base = np.linspace(-RANGE, RANGE, math.ceil(2 * RANGE * max(1.0, deviation) / width) + 1)
    result = []
    for part in np.array_split(mean, max(1, mean.size * base.size // 20000)):
        edges = np.broadcast_to(base, (part.size, base.size))
        places = [np.clip((kink - part) / deviation, -RANGE, RANGE)[:, None] for kink in function.kinks]
        z, weight = panels(np.sort(np.concatenate([edges, *places], axis=1), axis=1), ORDER)
        weight = weight * density(z)
        values = function.value(part[:, None] + deviation * z)
        mu0 = np.sum(weight * values, axis=1)
        mu1 = np.sum(weight * z * values, axis=1) / deviation
        nu = np.sum(weight * (z * z - 1) * (values - mu0[:, None]), axis=1) / (2 * variance)
        rest = values - mu0[:, None] - deviation * mu1[:, None] * z
        result.append([mu0, mu1, nu, np.sum(weight * rest**2, axis=1)])
    return np.concatenate(result, axis=1)


# ---- stacks of 2 x 2 matrices (2, 2, K)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrix products."""
    return (a[:, :, None] * b[None]).sum(axis=1)


def inverse(a: np.ndarray) -> np.ndarray:
    """Matrix inverses."""
    determinant = a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
    return np.array([[a[1, 1], -a[0, 1]], [-a[1, 0], a[0, 0]]]) / determinant


class Step:
    """Spike, bulk and the matrix equation of the covariance after one step."""

    def __init__(
        self, activation: str, target: str, alpha0: float, eta: float, noise_var_step: float, fineness: float = 1.0
    ) -> None:
        self.activation, self.target = FUNCTIONS[activation], FUNCTIONS[target]
        self.alpha0, self.eta, self.noise = alpha0, eta, noise_var_step
        z, weight = gaussian_rule(0.2 / fineness, self.activation.kinks)
        slopes = self.activation.slope(z)
        c0, self.c1 = weight @ self.activation.value(z), weight @ slopes
        c2 = weight @ (slopes * z) / math.sqrt(2)
        s2 = weight @ (slopes - self.c1) ** 2
        self.z, self.weight_z, self.rest = z, weight, slopes - self.c1 - math.sqrt(2) * c2 * z
        self.k2 = math.sqrt(2) * eta * c2
        self.tau2 = eta**2 * (weight @ self.rest**2) / alpha0
        self.s, self.y, self.weight = self.labels(c0, fineness)

        s, weight = gaussian_rule(0.1 / fineness, self.target.kinks)
        values = self.target.value(s)
        self.t1 = weight @ (values * s)
        mean, power = weight @ values - c0, weight @ (values - c0) ** 2 + noise_var_step
        self.mean, self.power = mean, power
        self.length = math.sqrt(self.t1**2 + power / alpha0)
        self.r = eta * self.c1 * self.length
        self.gamma = self.t1 / self.length
        self.rho = math.sqrt(power / alpha0) / self.length
        self.c = (1 + math.sqrt(2) * eta * c2 * mean) ** 2 + eta**2 * s2 * power / alpha0

    def labels(self, c0: float, fineness: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """s, y and weights: one dimension without noise, else two; few samples bring poles near the labels."""
        fineness /= min(1.0, 10 * self.alpha0)
        if self.noise == 0:
            s, weight = gaussian_rule(0.1 / fineness, self.target.kinks)
            return s, self.target.value(s) - c0, weight
        s, weight = gaussian_rule(0.45 / fineness, self.target.kinks)
        eps, second = gaussian_rule(0.9 / fineness)
        y = self.target.value(s)[:, None] + math.sqrt(self.noise) * eps - c0
        weight = weight[:, None] * second
        kept = weight > 1e-21
        return np.broadcast_to(s[:, None], y.shape)[kept], y[kept], weight[kept]

    @cached_property
    def vertex(self) -> np.ndarray:
        """N(y)."""
        return np.array([[self.tau2 * self.y**2, self.k2 * self.y], [self.k2 * self.y, 0 * self.y]])

    def bare(self, omega: complex) -> np.ndarray:
        """L_0."""
        return np.array([[omega, 1.0], [1.0, -1.0]])

    def left(self, matrix: np.ndarray) -> np.ndarray:
        """(1 + N G/alpha0)^{-1}."""
        return inverse(np.eye(2)[..., None] + product(self.vertex, matrix[..., None] / self.alpha0))

    def dressed(self, matrix: np.ndarray) -> np.ndarray:
        """N (1 + G N/alpha0)^{-1}."""
        return product(
            self.vertex, inverse(np.eye(2)[..., None] + product(matrix[..., None] / self.alpha0, self.vertex))
        )

    def iterate(self, matrix: np.ndarray, omega: complex) -> np.ndarray:
        """Right-hand side of G = (L_0 + E[N (1 + G N/alpha0)^{-1}])^{-1}."""
        return inverse(self.bare(omega) + self.dressed(matrix) @ self.weight)

    def start(self, omega: float) -> np.ndarray:
        """G to a few digits, by damped iteration."""
        matrix = inverse(self.bare(omega))
        for _ in range(3000):
            change = self.iterate(matrix, omega) - matrix
            matrix = matrix + 0.5 * change
            if np.max(np.abs(change)) < 1e-5 * np.max(np.abs(matrix)):
                break
        return matrix

    # ---- overlaps

    def theta_block(self, matrix: np.ndarray, omega: complex) -> np.ndarray:
        return inverse(self.bare(omega) + self.dressed(matrix) @ (self.weight * self.s**2))

    def resolvent(self, matrix: np.ndarray, omega: complex) -> np.ndarray:
        """R in the directions (v, zeta)."""
        theta, left, y = self.theta_block(matrix, omega), self.left(matrix), self.y
        b = left @ (self.weight * y * self.s)
        own = product(matrix[..., None] / self.alpha0, left) @ (self.weight * y**2)
        gg = (own + b.T @ theta @ b)[0, 0] / self.length**2
        tv = (theta @ b)[0, 0] / self.length
        vz = (tv - self.gamma * gg) / self.rho
        zz = (theta[0, 0] - 2 * self.gamma * tv + self.gamma**2 * gg) / self.rho**2
        return np.array([[gg, vz], [vz, zz]])

    @cached_property
    def norms(self) -> tuple[np.ndarray, np.ndarray, float]:
        """f and h at the labels, and kappa."""
        z, w, rest, alpha0, eta, k2, y = self.z, self.weight_z, self.rest, self.alpha0, self.eta, self.k2, self.y

        def slope(values: np.ndarray) -> float:
            return w @ values

        def label(values: np.ndarray) -> float:
            return self.weight @ values

        a0 = 1 + k2 * self.mean
        a = a0 + k2 * y / alpha0
        delta = a**2 - a0**2
        h2, h3 = (z**2 - 1) / math.sqrt(2), (z**3 - 3 * z) / math.sqrt(6)
        s2, s3, square = slope(rest * h2), slope(rest * h3), slope(rest**2)
        pull = slope(z * rest**2) / 2  # E[sbar sbar'], by parts
        f = 2 * math.sqrt(2) * eta * s2 * y * a + 2 * eta**2 / alpha0 * pull * y**2
        h = eta * y * (
            math.sqrt(2) * s2 * delta + 4 * eta / alpha0 * pull * y * a + (eta / alpha0) ** 2 * slope(rest**3) * y**2
        )
        y2, y3, y4 = (label(y**n) for n in (2, 3, 4))
        m2 = a0**2 + k2**2 * y2 / alpha0
        power = 2 * (k2**4 * y4 / alpha0**3 + 4 * a0 * k2**3 * y3 / alpha0**2
                     + (k2**2 * y2 / alpha0) ** 2 + 4 * a0**2 * k2**2 * y2 / alpha0)
        power += 4 * eta**2 / alpha0 * label(y**2 * (a**2 * slope((z * rest) ** 2) + (m2 + delta - a**2) * square))
        power += eta**4 / alpha0**3 * y4 * (slope(rest**4) - square**2)
        power += 2 * (eta**2 * y2 * square / alpha0) ** 2
        power += 4 * math.sqrt(6) * eta * s3 * label(y * a * delta)
        power += 2 * math.sqrt(2) * eta**2 / alpha0 * slope(rest**2 * h2) * label(y**2 * delta)
        power += 4 * eta**3 / alpha0**2 * slope(z * rest**3) * label(y**3 * a)
        power += label(f * self.s) ** 2
        return f, h, power

    def norm_overlaps(self, matrix: np.ndarray, omega: complex) -> tuple[complex, complex, complex]:
        """R_vs, R_zeta,s and R_ss."""
        f, h, _ = self.norms
        theta, left = self.theta_block(matrix, omega), self.left(matrix)
        inner = product(matrix[..., None] / self.alpha0, left)

        def u(values: np.ndarray) -> np.ndarray:
            return left @ (self.weight * values * self.s)

        def between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
            return inner @ (self.weight * one * other) + u(one).T @ theta @ u(other)

        theta_s = (theta @ u(f))[0, 1] + (theta @ u(h))[0, 0]
        v_s = (between(self.y, f)[0, 1] + between(self.y, h)[0, 0]) / self.length
        square = self.weight @ f**2 / self.alpha0 + (self.weight @ (f * self.s)) ** 2
        ss = square + between(f, f)[1, 1] + 2 * between(h, f)[0, 1] + between(h, h)[0, 0]
        return v_s, (theta_s - self.gamma * v_s) / self.rho, ss

    def covariance_overlaps(self, matrix: np.ndarray, omega: complex, full: bool) -> np.ndarray:
        """<., C (1 + C/omega)^{-1} .> in (v, zeta) [and the row norms, W_b C^{-1} s + independent rest]."""
        inner = omega * (np.eye(2) - omega * self.resolvent(matrix, omega))
        if not full:
            return inner
        v_s, z_s, ss = self.norm_overlaps(matrix, omega)
        edge = omega * np.array([v_s, z_s])
        return np.block([[inner, edge[:, None]], [edge[None], np.array([[self.norms[2] - ss]])]])


class Bulk(NamedTuple):
    """V1, V2, G and omega at given hats."""

    v1: complex
    v2: complex
    matrix: np.ndarray
    omega: complex


class Reference:
    """One problem; `solve` returns its observables."""

    def __init__(
        self, *, activation: str, target: str, alpha0: float, eta: float, alpha: float, lam: float, beta: float = 1.0,
        noise_var: float = 0.0, noise_var_step: float | None = None, fineness: float = 1.0,
    ) -> None:
        step_noise = noise_var if noise_var_step is None else noise_var_step
        self.step = step = Step(activation, target, alpha0, eta, step_noise, fineness)
        self.beta, self.lam, self.noise, self.ratio = beta, lam, noise_var, alpha / beta
        width = min(1.0, math.sqrt(step.c) / max(abs(step.r), 1e-9), 2 * step.rho / max(abs(step.gamma), 1e-9))
        self.kappa, self.weight = gaussian_rule(0.4 * width / fineness)
        self.mu0, self.mu1, self.nu, self.mu2 = conditional_moments(
            step.activation, step.r * self.kappa, step.c, 0.8 / fineness
        )
        self.h, slope, _, rest = conditional_moments(
            step.target, step.gamma * self.kappa, step.rho**2, 0.8 / fineness
        )
        self.h1 = step.rho * slope
        self.hh = self.h**2 + self.h1**2 + rest + noise_var
        self.phi = np.array([self.mu1**2, self.mu2])
        self.state = np.zeros(4)  # g, q, h and x, last found
        self.slope_inverse = np.eye(4)

    # ---- the bulk at hats (V1h, z)

    def bulk_equations(self, state: np.ndarray, hats: np.ndarray) -> np.ndarray:
        g, q, h, x = state
        matrix = np.array([[g, q], [q, -h]])
        change = self.step.iterate(matrix, 1 / x) - matrix
        trace = 1 - g / x  # x t(x)
        return np.array([
            change[0, 0], change[0, 1], -change[1, 1], x * hats[1] / (self.beta * hats[0]) - 1 + trace / self.beta
        ])

    def settle(self, hats: np.ndarray) -> None:
        """Newton's method for G and x at real hats."""
        for _ in range(60):
            columns = []
            for i in range(4):
                moved = self.state.astype(complex)
                moved[i] += 1j * STEP
                columns.append(self.bulk_equations(moved, hats).imag / STEP)
            self.slope_inverse = np.linalg.inv(np.array(columns).T)
            step = -self.slope_inverse @ self.bulk_equations(self.state, hats)
            size = np.max(np.abs(step[[0, 2, 3]] / self.state[[0, 2, 3]]))
            self.state = self.state + step * min(1.0, 0.5 / max(size, 1e-300))
            if size < 1e-13:
                return
        raise ArithmeticError(f"the matrix equation is not solved: {size:.1e}")

    def bulk(self, hats: np.ndarray) -> Bulk:
        """At hats within an infinitesimal step of those settled."""
        state = self.state.astype(hats.dtype)
        for _ in range(3):
            state = state - self.slope_inverse @ self.bulk_equations(state, hats)
        g, q, h, x = state
        v2 = x / (self.beta * hats[0])
        return Bulk(v2 * (1 - g / x) / x, v2, np.array([[g, q], [q, -h]]), 1 / x)

    def derivative(self, function: Callable[[np.ndarray], np.ndarray], hats: np.ndarray) -> np.ndarray:
        """d function/d hats, hats last."""
        columns = []
        for i in range(2):
            moved = hats.astype(complex)
            moved[i] += 1j * STEP
            columns.append(np.asarray(function(moved)).imag / STEP)
        return np.stack(columns, axis=-1)

    def conjugate(self, hats: np.ndarray) -> np.ndarray:
        bulk = self.bulk(hats)
        return np.array([bulk.v1, bulk.v2])

    def update(self, v: np.ndarray) -> np.ndarray:
        """(alpha/beta) E[phi/(1 + V)], plus lam in the second."""
        return self.ratio * self.phi @ (self.weight / (1 + v @ self.phi)) + np.array([0.0, self.lam])

    def fixed_point(self) -> np.ndarray:
        v2 = 1 / (1 + self.lam)
        hats = self.update(np.array([self.step.c * v2 / 2, v2]))
        x = self.beta * v2 * hats[0]
        matrix = self.step.start(1 / x)
        self.state = np.array([matrix[0, 0], matrix[0, 1], -matrix[1, 1], x])
        for _ in range(500):
            self.settle(hats)
            fresh = self.update(self.conjugate(hats))
            close = np.max(np.abs(fresh / hats - 1)) < 0.02
            hats = 0.5 * (hats + fresh)
            if close:
                break
        for _ in range(40):
            self.settle(hats)
            fresh = self.update(self.conjugate(hats))
            slope = self.derivative(lambda x: self.update(self.conjugate(x)), hats)
            step = np.linalg.solve(np.eye(2) - slope, fresh - hats)
            size = np.max(np.abs(step / hats))
            hats = hats + step * min(1.0, 0.5 / max(size, 1e-300))
            if size < 1e-13:
                self.settle(hats)
                return hats
        raise ArithmeticError(f"the fixed point is not reached: {size:.1e}")

    # ---- observables

    def overlaps(self, hats: np.ndarray, full: bool) -> np.ndarray:
        """Gamma in (v, zeta[, row norms]); v is excluded from the bulk."""
        bulk = self.bulk(hats)
        x = 1 / bulk.omega
        inner = self.step.covariance_overlaps(bulk.matrix, bulk.omega, full)
        along = inner[0]
        return self.beta * bulk.v2 * (inner + x * along[:, None] * along / (1 - x * inner[0, 0]))

    def solve(self) -> dict[str, dict[str, float]]:
        """Observables by model."""
        hats = self.fixed_point()
        return {model: self.observables(hats, model == "full_step") for model in MODELS}

    def observables(self, hats: np.ndarray, full: bool) -> dict[str, float]:
        v = self.conjugate(hats)
        o, w = 1 / (1 + v @ self.phi), self.weight
        gamma = self.overlaps(hats, full)
        # unknowns (m, th, psi[, chi]): E[o mu0 (h - fbar)] = 0 and (th, psi, chi) = Gamma hat
        zero = 0 * self.mu0
        functions = np.array([self.mu0, self.kappa * self.mu1, zero, self.nu][: 3 + full])
        gram, right = self.ratio * (functions * (w * o)) @ functions.T, self.ratio * functions @ (w * o * self.h)
        right[2] = self.ratio * self.mu1 @ (w * o * self.h1)
        spread = np.eye(3 + full)
        spread[1:, 1:] = gamma
        system = np.diag([0.0] + [1.0] * (2 + full)) + spread @ gram
        overlaps = np.linalg.solve(system, spread @ right)
        hat = (right - gram @ overlaps)[1:]
        m, th, psi, chi = [*overlaps, 0.0][:4]
        fbar = overlaps @ functions
        error = self.hh - 2 * fbar * self.h + fbar**2 - 2 * self.mu1 * psi * self.h1

        slope = self.derivative(lambda x: self.overlaps(x, full), hats)
        sig = -np.einsum("i,j,ija->a", hat, hat, slope)
        j = self.derivative(self.conjugate, hats)
        squared = w * o**2
        load = self.ratio * self.phi @ (squared * error)
        coupling = self.ratio * (self.phi * squared) @ self.phi.T
        q = np.linalg.solve(np.eye(2) + j.T @ coupling, sig - j.T @ load)
        total = error + q @ self.phi
        return {
            "spike_strength": self.step.r, "bulk_variance": self.step.c, "alignment": self.step.gamma,
            "test_error": w @ total, "train_error": squared @ total,
            "spike_error": w @ (self.h - fbar) ** 2, "variance": w @ ((q - sig) @ self.phi),
            "m": m, "th": th, "psi": psi, "chi": chi, "q1": q[0], "q2": q[1], "V1": v[0], "V2": v[1],
        }


def solve(**parameters: Any) -> dict[str, dict[str, float]]:
    """Observables of one problem by model; see `Reference` for the parameters."""
    with np.errstate(under="ignore"):
        return Reference(**parameters).solve()


# --------------------------------------------------------------------------------------------------
# random problems
# --------------------------------------------------------------------------------------------------
def draws(count: int, seed: int = SEED) -> list[dict[str, Any]]:
    """Random problems; every nonlinearity comes up as activation."""
    rng = random.Random(seed)

    def log_uniform(low: float, high: float) -> float:
        return math.exp(rng.uniform(math.log(low), math.log(high)))

    names, result = [], []
    while len(result) < count:
        if not names:
            names = list(DRAWN)
            rng.shuffle(names)
        result.append({
            "activation": names.pop(), "target": rng.choice(DRAWN),
            "alpha0": log_uniform(0.3, 20.0), "eta": log_uniform(0.3, 4.0), "alpha": log_uniform(0.3, 4.0),
            "beta": log_uniform(0.4, 2.0), "lam": log_uniform(0.01, 1.0), "noise_var": 0.2 * (len(result) % 2),
        })
    return result


def main() -> None:
    """Solve the random problems and store them, with the change under a finer quadrature."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=10)
    entries = []
    for problem in draws(parser.parse_args().count):
        solution, finer = (solve(**problem, fineness=fineness) for fineness in (1.0, 1.4))
        change = max(
            abs(finer[model][name] - value) / max(abs(value), 1e-3)
            for model in MODELS for name, value in solution[model].items()
        )
        print(problem, f"{change:.1e}", flush=True)
        entries.append({"parameters": problem, "observables": finer, "change": change})
        FILE.write_text(json.dumps(entries, indent=1) + "\n")


if __name__ == "__main__":
    main()
