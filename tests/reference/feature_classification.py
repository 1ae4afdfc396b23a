"""Convex classification by its definitions: explicit proximal points, adaptive quadrature, both labels, MINPACK."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.integrate import quad, quad_vec
from scipy.optimize import brentq, root


class Cell(NamedTuple):
    loss: str
    labels: str
    s: np.ndarray
    c: np.ndarray
    rho: float
    n: float
    lam: float


def prox(loss: str, y: int, omega: float, v: float) -> float:
    """argmin_x (x - omega)^2/(2 V) + ell(y, x)."""
    if loss == "square":
        return (omega + v * y) / (1 + v)
    if y < 0:
        return -prox(loss, 1, -omega, v)
    if loss == "hinge":
        return omega if omega >= 1 else omega + v if omega <= 1 - v else 1.0
    x = brentq(lambda x: x - omega - v * _sigmoid(-x), omega - 1e-9, omega + v + 1e-9, xtol=1e-15, rtol=1e-15)
    for _ in range(2):
        x -= (x - omega - v * _sigmoid(-x)) / (1 + v * _sigmoid(x) * _sigmoid(-x))
    return x


def value(loss: str, y: int, x: float) -> float:
    """ell(y, x)."""
    if loss == "square":
        return 0.5 * (y - x) ** 2
    return max(0.0, 1 - y * x) if loss == "hinge" else float(np.logaddexp(0.0, -y * x))


def force(loss: str, y: int, omega: float, v: float) -> tuple[float, float, float]:
    """f, df/domega and the loss at the proximal point."""
    x = prox(loss, y, omega, v)
    if loss == "square":
        return (y - omega) / (1 + v), -1 / (1 + v), value(loss, y, x)
    if loss == "hinge":
        inside = 1 - v < y * omega < 1
        at_kink = 0.0 if y * x >= 1 else value(loss, y, x)
        return (y if y * omega <= 1 - v else (y - omega) / v if inside else 0.0), (-1 / v if inside else 0.0), at_kink
    curvature = _sigmoid(x) * _sigmoid(-x)
    return y * _sigmoid(-y * x), -curvature / (1 + v * curvature), value(loss, y, x)


def label_law(labels: str, mean: float, v: float) -> tuple[float, float]:
    """P(y = 1 | omega) and its derivative with the mean of nu, nu ~ N(mean, v)."""
    if labels == "logit":
        g = np.arange(-9.0, 9.0, 0.02)
        weights = np.exp(-0.5 * g**2) * 0.02 / math.sqrt(2 * math.pi)
        at = 0.5 + 0.5 * np.tanh(0.5 * (mean + math.sqrt(v) * g))
        return float(weights @ at), float(weights @ (at * (1 - at)))
    width = math.sqrt(v + (1.0 if labels == "probit" else 0.0))
    z = mean / width
    return 0.5 * math.erfc(-z / math.sqrt(2)), math.exp(-0.5 * z * z) / (width * math.sqrt(2 * math.pi))


@np.errstate(under="ignore")
def averages(cell: Cell, v: float, q: float, m: float) -> np.ndarray:
    """hatV, hatq, hatm and the training loss."""
    variance = cell.rho - m * m / q

    def integrand(omega: float) -> np.ndarray:
        density = math.exp(-0.5 * omega * omega / q) / math.sqrt(2 * math.pi * q)
        up, slope = label_law(cell.labels, m * omega / q, variance)
        total = np.zeros(4)
        for y, probability, change in ((1, up, slope), (-1, 1 - up, -slope)):
            f, df, loss = force(cell.loss, y, omega, v)
            total += density * np.array([-df * probability, f * f * probability, change * f, loss * probability])
        return total

    scale, width = math.sqrt(q), math.sqrt(q) * math.sqrt(variance + 0.01) * math.sqrt(q) / max(m, 1e-3)
    points = {sign * k * unit for sign in (-1, 1) for k in (0, 0.7, 2, 4, 7) for unit in (scale, width)}
    points |= {1.0, -1.0, 1 - v, v - 1, 4.0, -4.0}
    end = 9.0 * scale
    inside = sorted(point for point in points if -end < point < end)
    found, _ = quad_vec(integrand, -end, end, epsabs=1e-13, epsrel=1e-12, points=inside, limit=4000)
    return found * np.array([cell.n, cell.n, cell.n, 1.0])


def update(cell: Cell, v: float, q: float, m: float) -> tuple[float, float, float]:
    """The right-hand sides of the three self-consistent equations."""
    hat_v, hat_q, hat_m, _ = averages(cell, v, q, m)
    below = cell.lam + hat_v * cell.s
    return (
        float(np.sum(cell.s / below)),
        float(hat_m**2 * np.sum(cell.c * cell.s / below**2) + hat_q * np.sum(cell.s**2 / below**2)),
        float(hat_m * np.sum(cell.c / below)),
    )


def solve(cell: Cell, steps: int = 8) -> dict[str, float]:
    """V, q, m, the errors and the training loss of one cell."""
    v = q = min(1.0, float(np.sum(cell.s)) / cell.lam)
    m = 0.3 * math.sqrt(q * cell.rho)
    for _ in range(steps):
        v, q, m = update(cell, v, q, m)

    def unpacked(u: np.ndarray) -> tuple[float, float, float]:
        return math.exp(u[0]), math.exp(u[1]), math.tanh(u[2]) * math.sqrt(cell.rho * math.exp(u[1]))

    def equations(u: np.ndarray) -> np.ndarray:
        return packed(*update(cell, *unpacked(u))) - u

    def packed(v: float, q: float, m: float) -> np.ndarray:
        return np.array([math.log(v), math.log(q), math.atanh(m / math.sqrt(cell.rho * q))])

    found = root(equations, packed(v, q, m), method="hybr", options={"xtol": 1e-13, "eps": 1e-10})
    # a MINPACK step beyond rounding is reported as a failure to improve: what counts is the equations themselves
    assert np.max(np.abs(equations(found.x))) < 1e-11, found.message
    v, q, m = unpacked(found.x)
    return {
        "V": v, "q": q, "m": m, "classification_error": math.acos(m / math.sqrt(cell.rho * q)) / math.pi,
        "noisy_label_error": noisy_label_error(cell.labels, cell.rho, q, m),
        "train_loss": float(averages(cell, v, q, m)[3]),
    }


def noisy_label_error(labels: str, rho: float, q: float, m: float) -> float:
    """P(y w.phi < 0) for (nu, w.phi) ~ N(0, [[rho, m], [m, q]])."""
    if labels == "sign":
        return math.acos(m / math.sqrt(rho * q)) / math.pi
    law = _probit if labels == "probit" else _sigmoid
    rest = math.sqrt(q - m * m / rho)

    def integrand(nu: float) -> float:
        density = math.exp(-0.5 * nu * nu / rho) / math.sqrt(2 * math.pi * rho)
        return 2 * density * law(nu) * 0.5 * math.erfc(m / rho * nu / rest / math.sqrt(2))

    return _whole_line(integrand, math.sqrt(rho))


def square_by_ridge(cell: Cell) -> dict[str, float]:
    """The square loss: ridge regression on +-1 labels, by bisection."""
    def law(nu: float) -> float:
        return {"sign": float(nu > 0), "probit": _probit(nu), "logit": _sigmoid(nu)}[cell.labels]

    slope = _whole_line(
        lambda nu: (2 * law(nu) - 1) * nu / cell.rho * math.exp(-0.5 * nu * nu / cell.rho)
        / math.sqrt(2 * math.pi * cell.rho), math.sqrt(cell.rho))  # E[y nu]/rho
    s, c = cell.s, slope**2 * cell.c
    log_kappa = brentq(
        lambda u: math.exp(u) * (cell.n - np.sum(s / (s + math.exp(u)))) - cell.lam,
        math.log(cell.lam / cell.n), math.log((cell.lam + np.sum(s)) / cell.n) + 1, xtol=1e-15, rtol=1e-15,
    )
    kappa = math.exp(log_kappa)
    df2 = np.sum((s / (s + kappa)) ** 2)
    error = (np.sum(c / s * (kappa / (s + kappa)) ** 2) + 1 - np.sum(c / s)) / (1 - df2 / cell.n)
    m = slope * np.sum(cell.c / (s + kappa))
    q = error - 1 + 2 * slope * m
    return {
        "V": kappa / cell.lam * np.sum(s / (s + kappa)), "q": q, "m": m, "effective_ridge": kappa,
        "classification_error": math.acos(m / math.sqrt(cell.rho * q)) / math.pi,
        "train_loss": 0.5 * (cell.lam / (cell.n * kappa)) ** 2 * error,
    }


def _whole_line(integrand: Callable[[float], float], scale: float) -> float:
    edges = [-12 * scale, -3 * scale, 0.0, 3 * scale, 12 * scale]
    return sum(quad(integrand, a, b, epsabs=1e-14, epsrel=1e-12, limit=400)[0]
               for a, b in itertools.pairwise(edges))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _probit(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))
