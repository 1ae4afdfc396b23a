"""The covariance C = (I + k2 M)^2 + tau2 B of the weights after one gradient step, as spectral functions.

M = X^T diag(y) X/n0 and B = X^T diag(y^2) X/n0 for n0 = alpha0 d inputs X ~ N(0, I_d) whose labels y depend on
s = <theta, x> and on noise; v is the direction of g = X^T y/n0.  Section 11 of docs/theories/giant_step.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PICARD_SWEEPS = 6
MOST_STEPS = 60
LONGEST_STEP = 0.5  # relative
STEP_TOLERANCE = 1e-9  # a Newton step this short leaves rounding errors only
ACCEPTED_RESIDUAL = 1e-10
CONTINUATION_RATIO = 2.0


class LabelMeasure(NamedTuple):
    """The joint law of label y and s = <theta, x> on K nodes: E[f(y) s^k] = sum f(y) p_k.

    Attributes
    ----------
    y, p0, p1, p2 : ndarray (K,)
    """

    y: Array
    p0: Array
    p1: Array
    p2: Array

    @property
    def mean(self) -> float:
        """E y."""
        return float(self.p0 @ self.y)

    @property
    def power(self) -> float:
        """E y^2."""
        return float(self.p0 @ self.y**2)

    @property
    def signal(self) -> float:
        """E[y s] = <theta, g>."""
        return float(self.p1 @ self.y)


class Resolvent(NamedTuple):
    """Normalised traces of the blocks of the linearised resolvent, (O,) each, at O values of omega; eq. (29).

    With P = I + k2 M and R = (C + omega)^{-1}: g = tr R/d, q = tr R P/d, h = 1 - tr P R P/d.  `residual` is that of the
    equations relative to their terms.
    """

    g: Array
    q: Array
    h: Array
    residual: Array


class _Averages(NamedTuple):
    """E of the entries of N_y = [[A, B], [B, -C]] and of their products, (O,) each; eq. (30)."""

    a: Array
    b: Array
    c: Array
    aa: Array
    ab: Array
    bb: Array
    bc: Array
    cc: Array
    ac: Array


def resolvent_matrix(measure: LabelMeasure, omega: Array, alpha0: float, k2: float, tau2: float) -> Resolvent:
    """Solve eqs. (31) for (g, q, h) at all omega (O,) > 0 by Newton's method; by one monotone equation if k2 = 0."""
    omega = np.asarray(omega, dtype=np.float64)
    if k2 == 0:
        return _scalar_resolvent(measure, omega, alpha0, tau2)
    a, b = omega + tau2 * measure.power, 1 + k2 * measure.mean
    g = 1 / (a + b * b)
    start = np.stack([g, b * g, a * g])
    point, residual = _newton(measure, omega, alpha0, k2, tau2, start)
    for i in np.argsort(-omega):
        if not residual[i] <= ACCEPTED_RESIDUAL:
            point[:, i], residual[i] = _continued(measure, omega, i, alpha0, k2, tau2, point, residual)
    return Resolvent(point[0], point[1], point[2], residual)


def _scalar_resolvent(measure: LabelMeasure, omega: Array, alpha0: float, tau2: float) -> Resolvent:
    """k2 = 0, so q = g and h = 1 - g:  g (omega + 1) + E[n g/(1 + n g/alpha0)] = 1, n = tau2 y^2.

    The left-hand side is increasing and concave in g: Newton from below never overshoots.
    """
    n = tau2 * measure.y**2
    g = 1 / (omega + 1 + tau2 * measure.power)
    for _ in range(MOST_STEPS):
        inverse = 1 / (1 + np.multiply.outer(g, n / alpha0))
        spread = inverse @ (measure.p0 * n)
        residual = 1 - g * (omega + 1 + spread)
        step = residual / (omega + 1 + (inverse * inverse) @ (measure.p0 * n))
        g = g + step
        if np.all(np.abs(step) <= STEP_TOLERANCE * g):
            break
    spread = (1 / (1 + np.multiply.outer(g, n / alpha0))) @ (measure.p0 * n)
    return Resolvent(g, g, g * (omega + spread), np.abs(1 - g * (omega + 1 + spread)))


def _averages(measure: LabelMeasure, point: Array, alpha0: float, k2: float, tau2: float) -> _Averages:
    """At points (g, q, h) of shape (3, O)."""
    g, q, h = point
    y, weight = measure.y, measure.p0
    tq, _, w, inverse = _denominators(y, g, q, h, alpha0, k2, tau2)
    squared = inverse * inverse
    columns = weight * y * y
    y1w, y2 = (w * inverse) @ (weight * y), inverse @ columns
    fourth = squared @ (columns * y * y)
    third = (w * squared) @ (columns * y)
    second = (w * w * squared) @ columns
    kappa = (g / alpha0) * k2**2
    return _Averages(
        tq * y2, k2 * y1w, kappa * y2, tq**2 * fourth, tq * k2 * third, k2**2 * second,
        k2 * kappa * third, kappa**2 * fourth, tq * kappa * fourth,
    )


def _denominators(
    y: Array, g: Array, q: Array, h: Array, alpha0: float, k2: float, tau2: float
) -> tuple[Array, Array, Array, Array]:
    """tau_q (O,); w - 1, w and 1/D (O, K); eq. (30)."""
    tq = tau2 + k2**2 * h / alpha0
    shift = np.multiply.outer(k2 * q / alpha0, y)
    w = 1 + shift
    return tq, shift, w, 1 / (w * w + np.multiply.outer(g * tq / alpha0, y * y))


def _newton(
    measure: LabelMeasure, omega: Array, alpha0: float, k2: float, tau2: float, start: Array
) -> tuple[Array, Array]:
    """Points (3, O) and residuals (O,)."""
    point = start.copy()
    for _ in range(PICARD_SWEEPS):
        means = _averages(measure, point, alpha0, k2, tau2)
        a, b, c = omega + means.a, 1 + means.b, 1 + means.c
        target = np.stack([c, b, a]) / (a * c + b * b)
        point = 0.5 * (point + target)
    running = np.arange(omega.size)
    for _ in range(MOST_STEPS):
        g, q, h = point[:, running]
        means = _averages(measure, point[:, running], alpha0, k2, tau2)
        delta = g * h + q * q
        a, b, c = h / delta, q / delta, g / delta
        scales = np.stack([g, np.sqrt(delta), h])
        equations = _equations(omega[running], point[:, running], means)
        # d(K - E N) = -(K dG K - E[N dG N]/alpha0) for K = G^-1 = [[a, b], [b, -c]] and dG = [[dg, dq], [dq, -dh]]
        aa, ab, bb = a * a - means.aa / alpha0, a * b - means.ab / alpha0, b * b - means.bb / alpha0
        ac, bc, cc = a * c - means.ac / alpha0, b * c - means.bc / alpha0, c * c - means.cc / alpha0
        jacobian = np.array([[aa, 2 * ab, -bb], [ab, bb - ac, bc], [-bb, 2 * bc, cc]]) * scales[:, None] * scales
        step = -np.linalg.solve(np.moveaxis(jacobian, -1, 0), equations.T[..., None])[..., 0].T
        size = np.max(np.abs(step), axis=0)
        step *= LONGEST_STEP / np.maximum(size, LONGEST_STEP)
        point[:, running] += step * scales
        running = running[~(size <= STEP_TOLERANCE)]
        if not running.size:
            break
    means = _averages(measure, point, alpha0, k2, tau2)
    return point, np.max(np.abs(_equations(omega, point, means)), axis=0)


def _equations(omega: Array, point: Array, means: _Averages) -> Array:
    """Eqs. (31), each multiplied by its unknown (q by sqrt(g h + q^2)), so that 1 is large."""
    g, q, h = point
    delta = g * h + q * q
    return np.stack([
        g * (omega + means.a) - g * h / delta,
        np.sqrt(delta) * (1 + means.b) - q / np.sqrt(delta),
        h * (1 + means.c) - g * h / delta,
    ])


def _continued(
    measure: LabelMeasure, omega: Array, i: int, alpha0: float, k2: float, tau2: float, point: Array, residual: Array
) -> tuple[Array, float]:
    """Solution at omega[i], followed from the nearest larger omega with a solution, or from infinity."""
    solved = (omega > omega[i]) & (residual <= ACCEPTED_RESIDUAL)
    if np.any(solved):
        nearest = int(np.argmin(np.where(solved, omega, np.inf)))
        begin, start = omega[nearest], point[:, nearest]
    else:
        begin = 1e3 * (omega[i] + tau2 * measure.power + (1 + k2 * measure.mean) ** 2)
        start = np.array([1 / begin, (1 + k2 * measure.mean) / begin, 1.0])
    count = max(1, int(np.ceil(np.log(begin / omega[i]) / np.log(CONTINUATION_RATIO))))
    trial, error = start[:, None], np.full(1, np.inf)
    for value in np.geomspace(begin, omega[i], count + 1)[1:]:
        trial, error = _newton(measure, np.array([value]), alpha0, k2, tau2, trial)
    return trial[:, 0], float(error[0])


class SpectralSamples(NamedTuple):
    """What C is at O values of omega, with both of two complements free of cancellation; eqs. (32)-(35).

    R = (C + omega)^{-1}; overlaps are with v = g/|g| and zeta, the direction of theta - <theta, v> v.

    Attributes
    ----------
    filled, empty : ndarray (O,)
        1 - omega T = x t(x) at x = 1/omega, and omega T, with T = tr R/d.
    filled_overlaps, empty_overlaps : ndarray (3, O)
        Entries vv, v zeta, zeta zeta of 1 - omega R and of omega R.
    determinant : ndarray (O,)
        That of the 2 x 2 matrix omega R of overlaps.
    residual : ndarray (O,)
    """

    filled: Array
    empty: Array
    filled_overlaps: Array
    empty_overlaps: Array
    determinant: Array
    residual: Array


def spectral_samples(measure: LabelMeasure, omega: Array, alpha0: float, k2: float, tau2: float) -> SpectralSamples:
    """Trace and overlaps of the resolvent of C at omega (O,) > 0; requires E y^2 > 0.

    Overlaps are those with theta and with the rest of g, n = (g - t_1 theta)/f, f^2 = E y^2/alpha0, rotated: nothing is
    divided by sqrt(1 - gamma^2).
    """
    omega = np.asarray(omega, dtype=np.float64)
    g, q, h, residual = resolvent_matrix(measure, omega, alpha0, k2, tau2)
    y, power, signal = measure.y, measure.power, measure.signal
    tq, shift, w, inverse = _denominators(y, g, q, h, alpha0, k2, tau2)
    squared = y * y
    share, kappa = g / alpha0, (g / alpha0) * k2**2

    def trace_terms(weight: Array) -> tuple[Array, Array, Array]:
        """E A, 1 + E B and 1 + E C."""
        second = inverse @ (weight * squared)
        return tq * second, 1 + k2 * ((w * inverse) @ (weight * y)), 1 + kappa * second

    a, b, c = trace_terms(measure.p0)
    filled = g * (a + b * b / c)

    a, b, c = trace_terms(measure.p2)
    slope = b / c
    g_theta = 1 / (omega + a + b * slope)
    theta_filled = g_theta * (a + b * slope)

    # E[y s (1 - w/D)] and (g/alpha0) k2 E[y^2 s/D]
    excess = np.multiply.outer(share * tq, squared) + w * shift
    p1 = (excess * inverse) @ (measure.p1 * y)
    p2 = share * k2 * (inverse @ (measure.p1 * squared))
    along = p1 + slope * p2
    noise = np.sqrt(power / alpha0)  # f
    excess += shift  # D - 1
    own = inverse @ (measure.p0 * squared)
    rest = (share * own - p2 * p2 / c) / noise**2  # the Schur complement R_nn - R_theta,n^2/R_theta,theta
    noise_filled = (
        filled
        + omega * g * ((excess * inverse) @ (measure.p0 * squared)) / power
        + omega * (p2 * p2 / c - g_theta * along**2) / noise**2
    )
    mixed = omega * g_theta * along / noise

    norm = np.hypot(signal, noise)
    gamma, rho = signal / norm, noise / norm
    vv = omega * (g_theta * (gamma - along / norm) ** 2 + rho**2 * rest)
    noise_empty = omega * (rest + g_theta * (along / noise) ** 2)
    theta_empty = omega * g_theta
    filled_overlaps = _rotated(theta_filled, mixed, noise_filled, gamma, rho)
    empty_overlaps = _rotated(theta_empty, -mixed, noise_empty, gamma, rho)
    empty_overlaps[0] = vv
    return SpectralSamples(
        filled, omega * g, filled_overlaps, empty_overlaps, omega**2 * g_theta * rest, residual
    )


def _rotated(theta: Array, mixed: Array, noise: Array, gamma: float, rho: float) -> Array:
    """Entries in the basis v = gamma theta + rho n, zeta = rho theta - gamma n of a symmetric matrix in (theta, n)."""
    return np.stack([
        gamma**2 * theta + 2 * gamma * rho * mixed + rho**2 * noise,
        gamma * rho * (theta - noise) + (rho**2 - gamma**2) * mixed,
        rho**2 * theta - 2 * gamma * rho * mixed + gamma**2 * noise,
    ])


class WithTheta(NamedTuple):
    """For one function f of the label (2, 2, O): E[f s (1 + N G/alpha0)^{-1}], and G_theta times it, <theta, . g_f>."""

    single: Array
    joint: Array


class MatrixAverages(NamedTuple):
    """Overlaps of the 2 x 2 blocks of [[omega + tau2 B, P], [P, -1]]^{-1} with vectors g_f = X^T f(y)/n0; eq. (34).

    The blocks are R, R P and P R P - 1 with R = (C + omega)^{-1}.

    Attributes
    ----------
    resolvent : ndarray (2, 2, O)
        G/alpha0.
    theta : ndarray (2, 2, O)
        <theta, . theta>.
    kernel : ndarray (2, 2, O, K)
        (1 + N G/alpha0)^{-1} at the labels.
    measure : LabelMeasure
    """

    resolvent: Array
    theta: Array
    kernel: Array
    measure: LabelMeasure

    def with_theta(self, function: Array) -> WithTheta:
        """Overlaps of theta with g_f for the values (K,) of f."""
        single = self.kernel @ (self.measure.p1 * function)
        return WithTheta(single, _product(self.theta, single))

    def between(self, one: Array, two: Array, first: WithTheta, second: WithTheta) -> Array:
        """Overlaps (2, 2, O) of g_f and g_h."""
        own = _product(self.resolvent, self.kernel @ (self.measure.p0 * one * two))
        return own + _product(np.swapaxes(first.single, 0, 1), second.joint)


def matrix_averages(measure: LabelMeasure, omega: Array, alpha0: float, k2: float, tau2: float) -> MatrixAverages:
    """What overlaps with any g_f are made of, at omega (O,) > 0."""
    g, q, h, _ = resolvent_matrix(measure, omega, alpha0, k2, tau2)
    tq, _, w, inverse = _denominators(measure.y, g, q, h, alpha0, k2, tau2)
    second = inverse * measure.y**2
    a, b = tq[:, None] * second, k2 * w * inverse * measure.y
    c = (g * k2**2 / alpha0)[:, None] * second
    resolvent = np.array([[g, q], [q, -h]]) / alpha0
    (gg, gq), (_, gh) = resolvent[..., None]
    kernel = np.array([[1 - (a * gg + b * gq), -(a * gq + b * gh)], [-(b * gg - c * gq), 1 - (b * gq - c * gh)]])
    theta_a, theta_b, theta_c = omega + a @ measure.p2, 1 + b @ measure.p2, 1 + c @ measure.p2
    theta = np.array([[theta_c, theta_b], [theta_b, -theta_a]]) / (theta_a * theta_c + theta_b**2)
    return MatrixAverages(resolvent, theta, kernel, measure)


def _product(one: Array, two: Array) -> Array:
    """Matrix products (2, 2, O)."""
    return np.einsum("ijo,jko->iko", one, two)
