r"""High-precision reference for the isotropic spiked random features model.

Everything is computed with mpmath, from the definitions, by a route that shares nothing with the
library: explicit Marchenko-Pastur averages instead of a potential, a fixed-point equation in the
"hat" variables solved by a safeguarded Newton method with finite differences, direct high-precision
Gaussian integrals, and adaptive composite Gauss-Legendre quadrature over the spike direction that
verifies itself.

Model
-----
Rows of the weight matrix: spike ``r`` along a unit vector ``v`` plus an isotropic bulk of variance
``c``.  Target direction ``theta`` with ``<theta, v> = gamma``.  Given ``kappa = <v, x>`` the
features have conditional moments (``t ~ N(r kappa, c)``)

.. math:: \mu_0 = E\sigma(t),\ \mu_1 = E\sigma'(t),\
          \mu_2^2 = E\sigma(t)^2 - \mu_0^2 - c\mu_1^2,\ \nu = E\sigma''(t)/2 .

Readout: ``argmin sum_mu (y_mu - F_mu w / sqrt(p))^2 + lam |w|^2`` with ``n = alpha d`` samples and
``p = beta d`` features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from operator import mul

from mpmath import mp, mpf

from .gaussian_moments import (
    ACTIVATIONS,
    KINKED,
    PARITY,
    PERIODIC,
    Moments,
    fast,
    gauss_legendre,
    moment_function,
    polynomial_coefficients,
    precision,
    standard_average,
    sum_of_products,
    value_and_slope,
)

__all__ = [
    "ACTIVATIONS",
    "gradient_step",
    "marchenko_pastur",
    "marchenko_pastur_by_integration",
    "mei_montanari_error",
    "solve",
]

OBSERVABLES = (
    "test_error", "generalization_error", "train_error", "spike_error", "orthogonal_error",
    "estimation_error", "variance", "m", "th", "psi", "chi", "q1", "q2", "V1", "V2",
)  # fmt: skip


# --------------------------------------------------------------------------------------------------
# the gradient step
# --------------------------------------------------------------------------------------------------
def gradient_step(
    activation: str,
    target: str,
    alpha0,
    eta,
    noise_var_step=0,
    digits: int = 40,
) -> dict[str, mpf]:
    """Spike parameters produced by one giant gradient step with unit readout.

    Parameters
    ----------
    activation, target : str
        Names of nonlinearities; an activation with a jump is refused.
    alpha0, eta, noise_var_step : number
        First-step samples over input dimension, normalised learning rate, label noise.
    digits : int
        Correct digits wanted.

    Returns
    -------
    dict
        ``spike_strength``, ``bulk_variance`` and ``alignment``.
    """
    if activation == "sign":
        raise ValueError("the derivative of the activation must be square integrable")
    with precision(digits + 15):
        alpha0, eta, noise = mpf(alpha0), mpf(eta), mpf(noise_var_step)
        if eta == 0 or alpha0 == 0:
            return {"spike_strength": mpf(0), "bulk_variance": mpf(1), "alignment": mpf(0)}

        def average(name: str, weight: Callable[[mpf], mpf], parity: int) -> mpf:
            if PARITY[name] * parity == -1:
                return mpf(0)
            return standard_average(lambda z: value_and_slope(name, z)[0] * weight(z))

        c0 = average(activation, lambda z: 1, 1)
        c1 = average(activation, lambda z: z, -1)
        c2 = average(activation, lambda z: (z * z - 1) / mp.sqrt(2), 1)
        slope_square = standard_average(lambda z: value_and_slope(activation, z)[1] ** 2)
        t0 = average(target, lambda z: 1, 1)
        t1 = average(target, lambda z: z, -1)
        target_square = standard_average(lambda z: value_and_slope(target, z)[0] ** 2)

        roughness = slope_square - c1**2
        mean = t0 - c0
        square = target_square + noise - 2 * t0 * c0 + c0**2
        length = mp.sqrt(t1**2 + square / alpha0)
        bulk = (1 + mp.sqrt(2) * eta * c2 * mean) ** 2 + eta**2 * roughness * square / alpha0
        result = {
            "spike_strength": eta * c1 * length,
            "bulk_variance": bulk,
            "alignment": t1 / length,
        }
    with mp.workdps(digits):
        return {name: +value for name, value in result.items()}


# --------------------------------------------------------------------------------------------------
# Marchenko-Pastur averages
# --------------------------------------------------------------------------------------------------
def marchenko_pastur(v1h: mpf, z: mpf, c: mpf, beta: mpf) -> tuple[mpf, mpf, mpf, mpf, mpf]:
    """Averages over the bulk eigenvalues D of functions of ``S = z + v1h D``.

    Parameters
    ----------
    v1h, z : mpf
        Coefficient of D and shift; ``z > 0``, ``v1h >= 0``.
    c, beta : mpf
        Variance of the rows and ratio p/d.

    Returns
    -------
    tuple of mpf
        ``<D/S>, <1/S>, <D^2/S^2>, <D/S^2>, <1/S^2>``, where the second solves
        ``z c beta v1h V^2 + (z + c v1h (1 - beta)) V = 1`` and the rest follows by differentiation.
    """
    a, b = z * c * beta * v1h, z + c * v1h * (1 - beta)
    root = mp.sqrt(b * b + 4 * a)
    v2 = 2 / (b + root) if b >= 0 else (root - b) / (2 * a)
    y = c * beta * v1h * v2
    v1 = c * v2 / (1 + y)
    k22 = v2 * (1 + y) / root
    k12 = c * v2 * (z * beta * v2 + 1 - beta) / root
    k11 = c * (k12 + c * beta * v2**2) / (1 + y) ** 2
    return v1, v2, k11, k12, k22


def marchenko_pastur_by_integration(
    v1h: mpf, z: mpf, c: mpf, beta: mpf, nodes: int = 2000
) -> tuple[mpf, mpf, mpf, mpf, mpf]:
    """The same five averages as `marchenko_pastur`, by integrating the density.

    With ``D = c (1 + beta + 2 sqrt(beta) cos(phi))`` the density is ``2 c sin(phi)^2 / (pi D)`` on
    ``0 < phi < pi``, plus a mass ``1 - 1/beta`` at 0 when ``beta > 1``; the midpoint rule converges
    geometrically.
    """
    sums = [mpf(0)] * 5
    for i in range(nodes):
        phi = mp.pi * (i + mpf(1) / 2) / nodes
        d = c * (1 + beta + 2 * mp.sqrt(beta) * mp.cos(phi))
        weight = 2 * c * mp.sin(phi) ** 2 / (d * nodes)
        s = z + v1h * d
        for k, value in enumerate((d / s, 1 / s, (d / s) ** 2, d / s**2, 1 / s**2)):
            sums[k] += weight * value
    if beta > 1:
        sums[1] += (1 - 1 / beta) / z
        sums[4] += (1 - 1 / beta) / z**2
    return tuple(sums)


# --------------------------------------------------------------------------------------------------
# problem, quadrature over kappa
# --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Problem:
    activation: str
    target: str
    r: mpf
    c: mpf
    gamma: mpf
    alpha: mpf
    beta: mpf
    lam: mpf
    noise: mpf
    kdelta: mpf
    n: mpf | None

    def __post_init__(self):
        for name in (self.activation, self.target):
            if name not in PARITY:
                raise ValueError(f"unknown nonlinearity {name!r}")
        if min(self.alpha, self.beta, self.lam, self.c) <= 0:
            raise ValueError("alpha, beta, lam and bulk_variance must be positive")
        if abs(self.gamma) > 1 or self.noise < 0 or self.kdelta < 0:
            raise ValueError("|alignment| <= 1 and non-negative variances are required")

    @property
    def rho(self) -> mpf:
        return mp.sqrt((1 - self.gamma) * (1 + self.gamma))


_COLUMNS = ("kappa", "weight", "mu0", "mu1", "nu", "A", "B", "h", "h1", "hh")


@dataclass
class _Nodes:
    """Columns of numbers, one entry per node; A = mu1^2, B = mu2^2, hh without noise."""

    kappa: list = field(default_factory=list)
    weight: list = field(default_factory=list)
    mu0: list = field(default_factory=list)
    mu1: list = field(default_factory=list)
    nu: list = field(default_factory=list)
    A: list = field(default_factory=list)
    B: list = field(default_factory=list)
    h: list = field(default_factory=list)
    h1: list = field(default_factory=list)
    hh: list = field(default_factory=list)

    def extend(self, other: _Nodes) -> None:
        for name in _COLUMNS:
            getattr(self, name).extend(getattr(other, name))


def _feature_moments(problem: _Problem) -> Callable[[mpf], Moments]:
    """Moments of the activation; without a spike, zeros are made exact."""
    at = moment_function(problem.activation, problem.c, problem.kdelta > 0)
    if problem.r != 0:
        return at
    mean, slope, square, curve = at(mpf(0))
    noise = mpf(10) ** (-mp.dps) * square  # he_k with k > 2 and c = 1: no mean and no slope
    mean = mpf(0) if mean**2 < noise else mean
    slope = mpf(0) if problem.c * slope**2 < noise else slope
    return lambda m: (mean, slope, square, curve)


class _Quadrature:
    """Moments of one problem on Gauss-Legendre panels, at the current precision."""

    def __init__(self, problem: _Problem, order: int):
        self.problem, self.order = problem, order
        self.rule = gauss_legendre(order, mp.dps)
        self.panels: dict[tuple[float, float], _Nodes] = {}
        self.feature = _feature_moments(problem)
        self.teacher = moment_function(problem.target, problem.rho**2, False) if problem.rho > 0 else None

    def _target_moments(self, kappa: mpf) -> tuple[mpf, mpf, mpf]:
        mean = self.problem.gamma * kappa
        if self.teacher is None:
            value = value_and_slope(self.problem.target, mean)[0]
            return value, mpf(0), value * value
        h, slope, hh, _ = self.teacher(mean)
        return h, self.problem.rho * slope, hh

    def _panel(self, left: float, right: float) -> _Nodes:
        nodes, linear = _Nodes(), self.problem.activation == "linear"
        centre, half = (mpf(left) + mpf(right)) / 2, (mpf(right) - mpf(left)) / 2
        for x, w in self.rule:
            kappa = centre + half * x
            mu0, mu1, square, nu = self.feature(self.problem.r * kappa)
            spread = mpf(0) if linear else square - mu0**2 - self.problem.c * mu1**2
            row = (kappa, w * half * mp.npdf(kappa), mu0, mu1, nu, mu1**2, spread)
            for name, value in zip(_COLUMNS, (*row, *self._target_moments(kappa)), strict=True):
                getattr(nodes, name).append(fast(+value))
        return nodes

    def nodes(self, edges: Sequence[float]) -> _Nodes:
        result = _Nodes()
        for pair in pairwise(edges):
            if pair not in self.panels:
                self.panels[pair] = self._panel(*pair)
            result.extend(self.panels[pair])
        return result


def _graded_edges(finest: float, widest: float, reach: float) -> list[float]:
    """Edges on [-reach, reach], panels doubling away from 0 up to the widest."""
    right = [0.0]
    while right[-1] < reach:
        right.append(right[-1] + min(widest, max(finest, right[-1])))
    return [-x for x in right[:0:-1]] + right


def _initial_edges(problem: _Problem, reach: float) -> list[float]:
    r, s = abs(float(problem.r)), math.sqrt(float(problem.c))
    widest, finest = 2.0, 1.0
    if r > 0:
        finest = min(finest, min(s, 1.0) / r)
        if problem.activation in PERIODIC:
            widest = min(widest, 2 * math.pi / r)
    if problem.target in KINKED and problem.gamma != 0 and problem.rho > 0:
        finest = min(finest, float(problem.rho / abs(problem.gamma)))
    return _graded_edges(min(finest, widest), widest, reach)


def _magnitude(problem: _Problem, reach: float) -> float:
    """log10 of the largest value the two functions take."""
    largest = mpf(1)
    t = abs(problem.r) * reach + 10 * mp.sqrt(problem.c)
    for name, where in ((problem.activation, t), (problem.target, mpf(reach + 10))):
        largest = max(largest, abs(value_and_slope(name, where)[0]))
    return float(mp.log10(largest))


def _reach(problem: _Problem, digits: float) -> float:
    """Range of kappa beyond which the Gaussian weight beats every power of V in the integrands."""
    largest = mpf(10) ** (2 * _magnitude(problem, 8.0))
    large = mp.log(1 + largest / problem.lam)
    polynomial = max(len(polynomial_coefficients(f) or [0]) for f in (problem.activation, problem.target)) > 2
    margin = 25 if polynomial else 10
    return float(mp.sqrt(2 * (mp.ln(10) * digits + margin + 2 * large)))


# --------------------------------------------------------------------------------------------------
# self-consistent equations
# --------------------------------------------------------------------------------------------------
@dataclass
class _Hats:
    """log of the non-zero ones among (V1h, V2h), and the Jacobian last used."""

    logs: list[mpf]
    jacobian: mp.matrix | None = None


class _FixedPoint:
    """``log (alpha/beta) E[mu_A^2 / (1 + V(hats))] - log hats`` for the active components A."""

    def __init__(self, problem: _Problem, nodes: _Nodes):
        self.problem, self.nodes = problem, nodes
        columns = (nodes.A, nodes.B)
        self.active = [sum_of_products(nodes.weight, column) != 0 for column in columns]
        self.weighted = [
            list(map(mul, nodes.weight, column)) for column, on in zip(columns, self.active, strict=True) if on
        ]

    def hats(self, logs: Sequence[mpf]) -> tuple[mpf, mpf]:
        values = iter(logs)
        v1h, v2h = (mp.exp(next(values)) if on else mpf(0) for on in self.active)
        return v1h, v2h

    def law(self, logs: Sequence[mpf]) -> tuple[mpf, mpf, mpf, mpf, mpf]:
        v1h, v2h = self.hats(logs)
        return marchenko_pastur(v1h, self.problem.lam + v2h, self.problem.c, self.problem.beta)

    def damping(self, v1: mpf, v2: mpf) -> list:
        """1/(1+V) at the nodes."""
        a, b, one = fast(v1), fast(v2), fast(mpf(1))
        return [one / (one + a * x + b * y) for x, y in zip(self.nodes.A, self.nodes.B, strict=True)]

    def start(self) -> list[mpf]:
        ratio = self.problem.alpha / self.problem.beta
        return [mp.log(ratio * sum_of_products(column)) for column in self.weighted]

    def residual(self, logs: Sequence[mpf]) -> list[mpf]:
        v1, v2, *_ = self.law(logs)
        o = self.damping(v1, v2)
        ratio = self.problem.alpha / self.problem.beta
        return [mp.log(ratio * sum_of_products(column, o)) - x for column, x in zip(self.weighted, logs, strict=True)]

    def jacobian(self, logs: Sequence[mpf], residual: Sequence[mpf]) -> mp.matrix:
        step, size = mpf(10) ** (-mp.dps // 2), len(logs)
        result = mp.matrix(size, size)
        for j in range(size):
            moved = [x + (step if i == j else 0) for i, x in enumerate(logs)]
            for i, value in enumerate(self.residual(moved)):
                result[i, j] = (value - residual[i]) / step
        return result


def _norm(values: Sequence[mpf]) -> mpf:
    return max((abs(x) for x in values), default=mpf(0))


def _newton_step(
    system: _FixedPoint, logs: list[mpf], residual: list[mpf], jacobian: mp.matrix
) -> tuple[list[mpf], list[mpf]] | None:
    """A Newton step, halved at most twice; None if the residual does not shrink."""
    delta = mp.lu_solve(jacobian, -mp.matrix(residual))
    scale = min(mpf(1), 6 / max(_norm(list(delta)), mpf(1)))
    for _ in range(3):
        trial = [x + scale * d for x, d in zip(logs, delta, strict=True)]
        new = system.residual(trial)
        if _norm(new) < mpf("0.7") * _norm(residual):
            return trial, new
        scale /= 2
    return None


def _solve_hats(system: _FixedPoint, start: _Hats | None, tolerance: mpf) -> _Hats:
    """Safeguarded Newton on the fixed-point equation.

    The fixed-point map is monotone and sub-homogeneous in the hats, hence non-expansive in their
    logarithms (maximum norm), with one fixed point: a plain iteration is always safe and is used
    whenever a Newton step fails to reduce the residual.
    """
    logs = start.logs if start else system.start()
    jacobian = start.jacobian if start else None
    fresh = False
    residual = system.residual(logs)
    for _ in range(2000):
        if _norm(residual) < tolerance:
            return _Hats(logs, jacobian)
        if jacobian is None:
            jacobian, fresh = system.jacobian(logs, residual), True
        result = _newton_step(system, logs, residual, jacobian)
        if result is not None:
            fast_enough = _norm(result[1]) < mpf("1e-3") * _norm(residual)
            logs, residual = result
            if not fast_enough:
                jacobian = None
        elif fresh:
            for _ in range(3):
                logs = [x + y for x, y in zip(logs, residual, strict=True)]
                residual = system.residual(logs)
            jacobian = None
        else:
            jacobian = None
        fresh = False
    raise ArithmeticError("the self-consistent equations were not solved")


# --------------------------------------------------------------------------------------------------
# observables
# --------------------------------------------------------------------------------------------------
def _without_noise(x: mpf, scale: mpf) -> mpf:
    """Zero if x vanishes by symmetry, that is, up to rounding and quadrature."""
    return mpf(0) if abs(x) < mpf("1e-25") * scale else x


def _fit(problem: _Problem, nodes: _Nodes, o: list, v2: mpf) -> tuple[dict[str, mpf], list]:
    """Ridge fit of h in the basis (mu0, kappa mu1, nu): coefficients and fitted values."""
    basis: dict[str, tuple[list, mpf]] = {}
    if sum_of_products(nodes.weight, nodes.mu0, nodes.mu0) != 0:
        pen = mpf(0) if problem.n is None else 1 / (problem.n * v2)
        basis["m"] = (nodes.mu0, pen)
    if sum_of_products(nodes.weight, nodes.A) != 0:
        slope = list(map(mul, nodes.kappa, nodes.mu1))
        basis["th"] = (slope, 1 / (problem.alpha * problem.c * v2))
    free_constant = problem.r == 0 and problem.n is None and "m" in basis  # nu is a multiple of mu0
    if problem.kdelta > 0 and not free_constant:
        basis["chi"] = (nodes.nu, problem.beta / (problem.alpha * problem.kdelta * v2))
    names, weight = list(basis), list(map(mul, nodes.weight, o))
    gram, rhs = mp.matrix(len(names), len(names)), mp.matrix(len(names), 1)
    for i, a in enumerate(names):
        rhs[i] = sum_of_products(weight, nodes.h, basis[a][0])
        for j, b in enumerate(names):
            gram[i, j] = sum_of_products(weight, basis[a][0], basis[b][0])
        gram[i, i] += basis[a][1]
    scale = [1 / mp.sqrt(gram[i, i]) for i in range(len(names))]
    for i in range(len(names)):
        rhs[i] *= scale[i]
        for j in range(len(names)):
            gram[i, j] *= scale[i] * scale[j]
    solution = mp.lu_solve(gram, rhs)
    coefficients = dict.fromkeys(("m", "th", "chi"), mpf(0))
    fitted = [fast(mpf(0))] * len(o)
    size = mp.sqrt(sum_of_products(weight, nodes.h, nodes.h))
    for i, name in enumerate(names):
        coefficients[name] = _without_noise(solution[i], size) * scale[i]
        factor = fast(coefficients[name])
        fitted = [f + factor * x for f, x in zip(fitted, basis[name][0], strict=True)]
    return coefficients, fitted


def _observables(problem: _Problem, nodes: _Nodes, hats: _Hats) -> dict[str, mpf]:
    system = _FixedPoint(problem, nodes)
    v1, v2, k11, k12, k22 = system.law(hats.logs)
    o = system.damping(v1, v2)
    w = nodes.weight
    ratio, beta, c = problem.alpha / problem.beta, problem.beta, problem.c

    fit, fitted = _fit(problem, nodes, o, v2)
    weight = list(map(mul, w, o))
    size = mp.sqrt(sum_of_products(weight, nodes.A) * sum_of_products(weight, nodes.h1, nodes.h1))
    psih = ratio * _without_noise(sum_of_products(weight, nodes.mu1, nodes.h1), size)
    psi = beta * v1 * psih
    thh = fit["th"] / (beta * c * v2)
    source = [beta * psih**2, beta * c * thh**2]
    if problem.kdelta > 0:
        source[1] += fit["chi"] ** 2 / (problem.kdelta * v2**2)
    if problem.n is not None:
        p = problem.n * beta / problem.alpha
        source[1] += fit["m"] ** 2 / (p * v2**2)

    # unexplained variance at fixed kappa, before the fluctuations of the readout
    twice, noise = fast(2 * psi), fast(problem.noise)
    rest = [
        hh + noise - 2 * f * h + f * f - twice * mu1 * h1
        for hh, h, h1, f, mu1 in zip(nodes.hh, nodes.h, nodes.h1, fitted, nodes.mu1, strict=True)
    ]
    square = list(map(mul, w, map(mul, o, o)))
    drive = mp.matrix(
        [
            ratio * sum_of_products(square, nodes.A, rest) + source[0],
            ratio * sum_of_products(square, nodes.B, rest) + source[1],
        ]
    )
    cross = ratio * sum_of_products(square, nodes.A, nodes.B)
    coupling = mp.matrix(
        [
            [ratio * sum_of_products(square, nodes.A, nodes.A), cross],
            [cross, ratio * sum_of_products(square, nodes.B, nodes.B)],
        ]
    )
    kernel = mp.matrix([[k11, k12], [k12, k22]])
    q1, q2 = mp.lu_solve(mp.eye(2) - kernel * coupling, kernel * drive)
    q1s, q2s = kernel * mp.matrix(source)

    mean_a, mean_b = sum_of_products(w, nodes.A), sum_of_products(w, nodes.B)
    a, b = fast(q1), fast(q2)
    residual = [x + a * y + b * z for x, y, z in zip(rest, nodes.A, nodes.B, strict=True)]
    test = sum_of_products(w, residual)
    gap = [h - f for h, f in zip(nodes.h, fitted, strict=True)]
    spike = _without_noise(sum_of_products(w, gap, gap), sum_of_products(w, nodes.h, nodes.h))
    unseen = sum_of_products(w, [hh - h * h for hh, h in zip(nodes.hh, nodes.h, strict=True)])
    orthogonal = unseen - 2 * psi * sum_of_products(w, nodes.mu1, nodes.h1) + psi**2 * mean_a
    values = {
        "test_error": test,
        "generalization_error": test - problem.noise,
        "train_error": sum_of_products(square, residual),
        "spike_error": spike,
        "orthogonal_error": orthogonal,
        "estimation_error": mean_a * (q1 - psi**2) + mean_b * q2,
        "variance": mean_a * (q1 - q1s) + mean_b * (q2 - q2s),
        "q1": q1, "q2": q2, "V1": v1, "V2": v2, "psi": psi, **fit,
    }  # fmt: skip
    return {name: values[name] for name in OBSERVABLES}


# --------------------------------------------------------------------------------------------------
# adaptive panels
# --------------------------------------------------------------------------------------------------
def _integrands(problem: _Problem, v1: float, v2: float, panel: _Nodes) -> list[list[float]]:
    """The functions of kappa that must be integrated well, in double precision."""
    columns = [[] for _ in range(22)]
    noise = float(problem.noise)
    for row in zip(*(getattr(panel, name) for name in _COLUMNS), strict=True):
        kappa, _, mu0, mu1, nu, a, b, h, h1, hh = map(float, row)
        o, g = 1 / (1 + v1 * a + v2 * b), math.exp(-kappa * kappa / 2)
        s, hh, th = o * o * g, hh + noise, kappa * mu1
        values = (
            g * hh, g * h * h, g * a, g * b, g * mu1 * h1, g * o,
            g * o * a, g * o * b, g * o * mu0 * mu0, g * o * th * th, g * o * nu * nu,
            g * o * mu0 * h, g * o * th * h, g * o * mu1 * h1,
            s * a * a, s * a * b, s * b * b, s * a * hh, s * b * hh,
            s * b * mu0 * mu0, s * b * th * th, s * hh,
        )  # fmt: skip
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    return columns


@cache
def _tail_weights(order: int) -> tuple[list[float], list[float], list[float]]:
    """Quadrature weights, and weights that give the last two Legendre coefficients."""
    rule = gauss_legendre(order, 20)
    tails: list[list[float]] = [[], []]
    for x, w in rule:
        values = [mpf(1), x]
        for k in range(1, order - 1):
            values.append(((2 * k + 1) * x * values[-1] - k * values[-2]) / (k + 1))
        for tail, degree in zip(tails, (order - 1, order - 2), strict=True):
            tail.append(float(w * values[degree] * (2 * degree + 1) / 2))
    return [float(w) for _, w in rule], *tails


def _bad_panels(
    quadrature: _Quadrature, edges: Sequence[float], v1: float, v2: float, tolerance: float
) -> set[tuple[float, float]]:
    """Panels whose estimated contribution to the error of some integral is too large.

    Gauss-Legendre with n nodes integrates polynomials of degree 2n-1: if the Legendre coefficients
    decay geometrically the error is the square of the last one, relative to the first.
    """
    weights, last, before = _tail_weights(quadrature.order)
    totals, estimates = [0.0] * 22, []
    for left, right in pairwise(edges):
        panel = quadrature.panels[left, right]
        half, row = (right - left) / 2, []
        for k, column in enumerate(_integrands(quadrature.problem, v1, v2, panel)):
            totals[k] += half * abs(sum(map(mul, weights, column)))
            peak = max(map(abs, column))
            tail = max(abs(sum(map(mul, last, column))), abs(sum(map(mul, before, column))))
            row.append(half * tail * (tail / peak) if peak > 0 else 0.0)
        estimates.append(((left, right), row))
    return {pair for pair, row in estimates if any(x > tolerance * total for x, total in zip(row, totals, strict=True))}


def _split(edges: Sequence[float], bad: set[tuple[float, float]]) -> list[float]:
    result = list(edges[:1])
    for pair in pairwise(edges):
        if pair in bad:
            result.append((pair[0] + pair[1]) / 2)
        result.append(pair[1])
    return result


def _adapt(problem: _Problem, order: int, tolerance: float) -> tuple[list[float], _Nodes, _Hats]:
    """Refine the panels until none contributes more than `tolerance`; solve on the last ones."""
    quadrature = _Quadrature(problem, order)
    edges = _initial_edges(problem, _reach(problem, -math.log10(tolerance) + 2))
    hats = None
    for _ in range(40):
        nodes = quadrature.nodes(edges)
        system = _FixedPoint(problem, nodes)
        hats = _solve_hats(system, hats, mpf("1e-14"))
        v1, v2, *_ = system.law(hats.logs)
        bad = _bad_panels(quadrature, edges, float(v1), float(v2), tolerance)
        if not bad:
            return edges, nodes, hats
        edges = _split(edges, bad)
    raise ArithmeticError("the panels could not be refined enough")


def _wider(edges: Sequence[float]) -> list[float]:
    """The same panels and one or more on each side, 2 units of kappa in all."""
    width = edges[-1] - edges[-2]
    extra = max(1, min(math.ceil(2 / width), 4000))
    right = [edges[-1] + width * (i + 1) for i in range(extra)]
    return [-x for x in reversed(right)] + list(edges) + right


def _relative_change(before: dict[str, mpf], after: dict[str, mpf]) -> mpf:
    names = ("test_error", "train_error", "q1", "q2", "V1", "V2")
    return max(abs(before[k] - after[k]) / abs(after[k]) for k in names if after[k] != 0)


def solve(
    activation: str,
    target: str,
    spike_strength,
    bulk_variance,
    alignment,
    alpha,
    beta,
    lam,
    noise_var=0,
    row_norm_variance=0,
    n_finite=None,
    digits: int = 40,
    tolerance: float = 1e-15,
    report: dict | None = None,
) -> dict[str, mpf]:
    """Limit of the ridge readout of spiked random features with an isotropic bulk.

    Parameters
    ----------
    activation, target : str
        Members of `ACTIVATIONS`.
    spike_strength, bulk_variance, alignment : number
        r, c and gamma.
    alpha, beta, lam : number
        Samples and features per input dimension, ridge penalty (not divided by n).
    noise_var, row_norm_variance : number
        Variance of the label noise; p times the variance of the squared row norms.
    n_finite : int, optional
        Penalise the mean direction as it is at this number of samples (None: the limit).
    digits : int
        Digits of the algebra.  The quadrature is much better than `tolerance` but not tied to it.
    tolerance : float
        Largest accepted relative change of the errors, V and q between two quadratures (the second
        of higher order, on a wider range and with more digits).
    report : dict, optional
        Filled with the observed change and the numbers of nodes.

    Returns
    -------
    dict
        The observables named in `OBSERVABLES`.  m, th, psi, chi and spike_error below 1e-25 of their
        natural scale (zero by symmetry, or exponentially small) are returned as 0.
    """
    with mp.workdps(max(digits, 20) + 20):
        problem = _Problem(
            activation, target, mpf(spike_strength), mpf(bulk_variance), mpf(alignment),
            mpf(alpha), mpf(beta), mpf(lam), mpf(noise_var), mpf(row_norm_variance),
            None if n_finite is None else mpf(n_finite),
        )  # fmt: skip
        guard = 16 + max(0.0, -float(mp.log10(problem.lam))) + 2 * _magnitude(problem, 16.0)
    work = digits + math.ceil(guard)
    for panel_tolerance in (1e-22, 1e-26, 1e-30):
        with precision(work):
            edges, nodes, hats = _adapt(problem, 32, panel_tolerance)
            hats = _solve_hats(_FixedPoint(problem, nodes), hats, mpf(10) ** (-digits - 6))
            first = _observables(problem, nodes, hats)
            coarse = len(nodes.kappa)
        with precision(work + 12):
            nodes = _Quadrature(problem, 48).nodes(_wider(edges))
            hats = _solve_hats(_FixedPoint(problem, nodes), hats, mpf(10) ** (-digits - 6))
            second = _observables(problem, nodes, hats)
            change = _relative_change(first, second)
        if report is not None:
            report.update(change=float(change), nodes=(coarse, len(nodes.kappa)), digits=work)
        if change < tolerance:
            with mp.workdps(digits):
                return {name: +value for name, value in second.items()}
    raise ArithmeticError(f"the quadrature is not converged: relative change {float(change):.1e}")


# --------------------------------------------------------------------------------------------------
# plain random features
# --------------------------------------------------------------------------------------------------
def mei_montanari_error(activation: str, target: str, alpha, beta, lam, noise_var=0, digits: int = 40) -> mpf:
    """Test error of random features without a spike (r = 0, c = 1) by the Mei-Montanari formula.

    The constant of the target is learned for free if (and only if) the activation has a mean.
    """
    with precision(digits + 20):
        alpha, beta, lam, noise = map(mpf, (alpha, beta, lam, noise_var))

        def average(name: str, weight: Callable[[mpf], mpf]) -> mpf:
            return standard_average(lambda z: value_and_slope(name, z)[0] * weight(z))

        def square(name: str) -> mpf:
            return standard_average(lambda z: value_and_slope(name, z)[0] ** 2)

        c0, c1 = average(activation, lambda z: 1), average(activation, lambda z: z)
        t0, t1 = average(target, lambda z: 1), average(target, lambda z: z)
        rest = square(activation) - c0**2 - c1**2
        nonlinear = square(target) - t1**2
        if abs(c0) > mpf(10) ** (-digits):
            nonlinear -= t0**2
        u = mp.sqrt(beta * alpha * lam / alpha / rest)
        z = c1**2 / rest

        def equations(a: mpf, b: mpf) -> list[mpf]:
            return [
                a * (u + b + z * b / (1 + z * a * b)) - beta,
                b * (u + a + z * a / (1 + z * a * b)) - alpha,
            ]

        a, b = beta / (1 + u + alpha), alpha / (1 + u + beta)
        for _ in range(20000):  # damped iteration, then Newton
            new_a = beta / (u + b + z * b / (1 + z * a * b))
            new_b = alpha / (u + a + z * a / (1 + z * a * b))
            change = max(abs(new_a / a - 1), abs(new_b / b - 1))
            a, b = (a + new_a) / 2, (b + new_b) / 2
            if change < 1e-6:
                break
        a, b = mp.findroot(equations, (a, b), tol=mpf(10) ** (-2 * digits))
        x = -a * b
        e0 = (
            -(x**5) * z**3 + 3 * x**4 * z**2
            + (beta * alpha - alpha - beta + 1) * x**3 * z**3 - 2 * x**3 * z**2 - 3 * x**3 * z
            + (beta + alpha - 3 * beta * alpha + 1) * x**2 * z**2 + 2 * x**2 * z + x**2
            + 3 * beta * alpha * x * z - beta * alpha
        )  # fmt: skip
        e1 = alpha * x**3 * z**2 - alpha * x**2 * z + beta * alpha * x * z - beta * alpha
        e2 = (
            x**5 * z**3 - 3 * x**4 * z**2 + (beta - 1) * x**3 * z**3 + 2 * x**3 * z**2
            + 3 * x**3 * z - (beta + 1) * x**2 * z**2 - 2 * x**2 * z - x**2
        )  # fmt: skip
        result = t1**2 * e1 / e0 + (noise + nonlinear) * e2 / e0 + nonlinear + noise
    with mp.workdps(digits):
        return +result
