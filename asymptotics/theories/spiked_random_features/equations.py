"""The self-consistent equations of the spiked random features; docs/theories/giant_step.md, arXiv:2402.04980.

Shapes: cells are (T, C), C cells of each of T tables; averages over kappa come from `averages`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...solvers import back_substitution, cholesky, solve_spd, triangular_rows
from ...spectra import Overlaps, SpectralCurve

Array = NDArray[np.float64]


class BulkAverages(NamedTuple):
    """Averages over kappa with o = 1/(1 + V): E[o mu_A^2] and E[o^2 mu_A^2 mu_B^2]."""

    first: Array
    second: Array
    first_first: Array
    first_second: Array
    second_second: Array


def bulk_potential(
    log_v: Array, mu1_sq: Array, mu2_sq: Array, weight: Array, alpha: float, beta: float, lam: float, c: float
) -> tuple[float, Array, Array]:
    """Convex potential whose minimiser is (V1, V2); eq. (12) of docs/theories/giant_step.md.

    Phi = alpha E log(1 + mu1^2 V1 + mu2^2 V2) - log V1 + V1/(c V2) - (beta - 1) log V2 + beta lam V2.

    log_v : (2,) log V1, log V2.  Returns value, gradient (2,), Hessian (2, 2) for one cell.
    """
    v1, v2 = np.exp(log_v)
    total = 1 + mu1_sq * v1 + mu2_sq * v2
    ratio = v1 / (c * v2)
    a, b = mu1_sq * v1 / total, mu2_sq * v2 / total
    value = alpha * weight @ np.log(total) - log_v[0] + ratio - (beta - 1) * log_v[1] + beta * lam * v2
    gradient = np.array([
        alpha * weight @ a - 1 + ratio,
        alpha * weight @ b - ratio - (beta - 1) + beta * lam * v2,
    ])
    cross = -alpha * weight @ (a * b) - ratio
    hessian = np.array([
        [alpha * weight @ (a - a * a) + ratio, cross],
        [cross, alpha * weight @ (b - b * b) + ratio + beta * lam * v2],
    ])
    return float(value), gradient, hessian


def bulk_start(
    mean_squares: Array, alpha: Array, lam: Array, c: Array
) -> tuple[Array, Array]:
    """A start (x, V2) that scales as the solution does; eq. (16)."""
    power = mean_squares[1] + c * mean_squares[0]
    v2 = 1 / (lam + power)
    return alpha * v2 * mean_squares[0] / (1 + v2 * power), v2


def bulk_equations(
    averages: BulkAverages, x: Array, v2: Array, curve: SpectralCurve, alpha: Array, beta: Array, lam: Array
) -> tuple[Array, Array, Array]:
    """Equations for (x, V2), Newton matrix and gradient of the potential in (log x, log V2); eqs. (13)-(15).

    h1 = alpha V2 E[mu1^2 o]/x - 1,
    g2 = alpha V2 E[mu2^2 o] - (beta - x t) + beta lam V2,    V1 = V2 t(x).

    (x t h1, g2) is the gradient of the potential in (log V1, log V2), where it is convex; the matrix is its Hessian
    there applied to steps of (log x, log V2), the first row divided by x t.  So every Newton step descends, and neither
    a large nor a small ridge cancels anything.
    """
    v1 = v2 * curve.t
    xt = x * curve.t
    ridge = beta * lam * v2
    h1 = alpha * v2 * averages.first / x - 1
    g2 = alpha * v2 * averages.second - unfilled(xt, curve.deficit, beta) + ridge
    coupling = alpha * v1 * v2 * averages.first_second + curve.stiffness
    # alpha E[o^2 mu_A^2] V_A, nonnegative
    a = alpha * v1 * averages.first - alpha * v1 * (v1 * averages.first_first + v2 * averages.first_second)
    b = alpha * v2 * averages.second - alpha * v2 * (v1 * averages.first_second + v2 * averages.second_second)
    a, b = np.maximum(a, 0.0), np.maximum(b, 0.0)
    equations, gradient, jacobian = np.empty((2, *x.shape)), np.empty((2, *x.shape)), np.empty((2, 2, *x.shape))
    equations[0], equations[1] = h1, g2
    gradient[0], gradient[1] = curve.elasticity * xt * h1, g2 + xt * h1
    jacobian[0, 0], jacobian[0, 1] = (a + coupling) * curve.elasticity / xt, a / xt
    jacobian[1, 0], jacobian[1, 1] = -coupling * curve.elasticity, b + ridge
    return equations, jacobian, gradient


def unfilled(xt: Array, deficit: Array, beta: Array) -> Array:
    """beta - x t from xt and its complement, without cancellation at beta = 1 or for small beta."""
    return np.where(xt < 0.5, beta - xt, (beta - 1) + deficit)


class Hessian(NamedTuple):
    """Hessian [[a + y, -y], [-y, b + y]] of the potential in (log V1, log V2), with a, b, y >= 0; eq. (14).

    Matrix and inverse are made of nonnegative terms: nothing cancels, at n = p or at lam -> 0.
    """

    a: Array
    b: Array
    y: Array

    def solve(self, first: Array, second: Array) -> tuple[Array, Array]:
        """Solution for a right-hand side; infinite where the matrix is singular."""
        determinant = self.a * self.b + self.y * (self.a + self.b)
        regular = determinant > 0
        divisor = np.where(regular, determinant, 1.0)
        solutions = (self.b + self.y) * first + self.y * second, self.y * first + (self.a + self.y) * second
        one, two = (np.where(regular, solution / divisor, np.inf) for solution in solutions)
        return one, two


def bulk_hessian(
    squared: BulkAverages, v1: Array, v2: Array, curve: SpectralCurve, alpha: Array, ridge: Array
) -> Hessian:
    """a = alpha V1 E[o^2 mu1^2],  b = alpha V2 E[o^2 mu2^2] + beta lam V2,  y = alpha V1 V2 E[o^2 mu1^2 mu2^2] + R.

    `squared` has E[o^2 mu_A^2] in the places of E[o mu_A^2]; `ridge` is beta lam V2.
    """
    return Hessian(
        alpha * v1 * squared.first,
        alpha * v2 * squared.second + ridge,
        alpha * v1 * v2 * squared.first_second + curve.stiffness,
    )


def rounding_error(hessian: Hessian, x: Array, curve: SpectralCurve, beta: Array, ridge: Array) -> Array:
    """Relative error of V1 and V2 from rounding the two equations: H^-1 times eps times their largest terms.

    Large where the solution is ill-conditioned: at alpha = beta, H ~ sqrt(lam).
    """
    xt = x * curve.t
    largest = np.minimum(beta + xt, np.abs(beta - 1) + curve.deficit) + ridge
    return np.finfo(np.float64).eps * np.maximum(*hessian.solve(xt, largest))


class Signal(NamedTuple):
    """The mean prediction at fixed kappa, fbar = m mu0 + th kappa mu1 (+ chi nu), and what carries it.

    `coefficients` (F, T, C) are those of the orthonormal basis; chi is zero without norm fluctuations.  `loads`
    (D, T, C) are y with (th, psi[, chi]) = g y.
    """

    coefficients: Array
    m: Array
    th: Array
    psi: Array
    chi: Array
    loads: Array


def signal_parameters(
    gram: Array, projections: Array, triangle: Array, overlaps: Overlaps, scale: Array, source: Array,
    mean_variance: Array | None,
) -> Signal:
    """Ridge fit of h in the functions (mu0, kappa mu1[, nu]); eqs. (18)-(19).

    With functions = R^T b in the orthonormal basis b of `Tables`, fbar = c b, c = R p for p = (m, th[, chi]), minimise
    E[o (h - fbar)^2] under a Gaussian prior of p: (th[, chi]) has the covariance alpha V2 g and the mean y_zeta g_zeta,
    m is free, or has a variance of its own.  The prior is used through its square root, never inverted: functions may
    vanish or depend on each other, variances be zero.

    Parameters
    ----------
    gram : ndarray (F, F, T, C)
        E[o b b^T].
    projections : ndarray (F, T, C)
        E[o h b].
    triangle : ndarray (T, F, F)
        R.
    overlaps : Overlaps
        g.
    scale : ndarray (T, C)
        alpha V2.
    source : ndarray (T, C)
        y_zeta = alpha V2 E[o mu1 h1].
    mean_variance : ndarray (T, C), optional
        Of m, n V2; None in the limit n -> infinity.
    """
    count, cells = len(projections), source.shape
    r = np.moveaxis(triangle, 0, -1)[..., None]
    g = overlaps.resolvent
    seen = [0, *range(2, len(g))]  # v[, norms] among the directions
    root = cholesky(g[np.ix_(seen, seen)])
    prior_mean = np.stack([g[i, 1] * source for i in seen])

    # p = p0 + L s with standard normal s; rows of R L made triangular, so that nothing is ill-conditioned
    free = mean_variance is None
    present = r[0, 0] > 0
    factor = np.zeros((count, count, *cells))
    factor[1:, 1:] = np.sqrt(scale) * root
    if mean_variance is not None:
        factor[0, 0] = np.sqrt(mean_variance)
    rows = np.stack([sum((r[i, k] * factor[k] for k in range(i, count)), np.zeros((count, *cells)))
                     for i in range(count)])
    if free:
        rows[0] = 0.0
    design, rotation = triangular_rows(rows)
    if free:  # the first basis function itself
        design[0, 0] = np.where(present, 1.0, 0.0)
        rotation[0] = 0.0
    offset = np.stack([sum((r[i, k] * prior_mean[k - 1] for k in range(max(i, 1), count)), np.zeros(cells))
                       for i in range(count)])
    if free:
        offset[0] = 0.0
    matrix = _congruent(design, gram)
    for i in range(count):
        matrix[i, i] += np.where(present, 0.0, 1.0) if free and i == 0 else 1.0
    shifted = projections - np.sum(gram * offset, axis=1)
    s = solve_spd(matrix, np.sum(design * shifted[:, None], axis=0))
    coefficients = offset + np.sum(design * s, axis=1)

    standard = np.sum(rotation * s[:, None], axis=0)
    p = np.sum(factor * standard, axis=1)
    p[1:] += prior_mean
    if free:
        rest = coefficients[0] - sum((r[0, k] * p[k] for k in range(1, count)), np.zeros(cells))
        p[0] = np.where(present, rest / np.where(present, r[0, 0], 1.0), 0.0)

    loads = np.zeros((len(g), *cells))
    loads[seen] = np.sqrt(scale) * back_substitution(root, standard[1:])
    loads[1] = source
    chi = p[2] if count > 2 else np.zeros(cells)
    return Signal(coefficients, p[0], p[1], np.sum(g[1] * loads, axis=0), chi, loads)


def _congruent(design: Array, gram: Array) -> Array:
    """D^T G D of matrices (F, F, ...)."""
    half = np.sum(gram[:, :, None] * design[None], axis=1)
    return np.sum(design[:, :, None] * half[:, None], axis=0)


def mean_norms(
    loads: Array, v2: Array, curve: SpectralCurve, overlaps: Overlaps, unspent: Array
) -> tuple[Array, Array]:
    """(q1 - psi^2)/V1 and q2/V2 of the readout averaged over training sets, times D = beta + x t e; eqs. (22)-(23).

    ( (1 + e) y rest y + (beta - x t) y hidden y/t )/V2  and  y remaining y/V2:  all terms are nonnegative.

    Parameters
    ----------
    loads : ndarray (D, T, C)
        y.
    v2 : ndarray (T, C)
    curve : SpectralCurve
    overlaps : Overlaps
    unspent : ndarray (T, C)
        beta - x t, without cancellation.
    """
    first = curve.slack * _form(overlaps.rest, loads) + unspent / curve.t * _form(overlaps.hidden, loads)
    return first / v2, _form(overlaps.remaining, loads) / v2


def _form(matrix: Array, vector: Array) -> Array:
    """Quadratic form of a symmetric matrix (D, D, ...)."""
    return np.sum(vector * np.sum(matrix * vector, axis=1), axis=0)


def unspent(squared: BulkAverages, v1: Array, v2: Array, alpha: Array, ridge: Array) -> Array:
    """beta - x t = alpha V2 E[o mu2^2] + beta lam V2 from averages of o^2, o = o^2 (1 + V)."""
    return alpha * v2 * (squared.second + v1 * squared.first_second + v2 * squared.second_second) + ridge


class SecondMoments(NamedTuple):
    """q1' = q1 - psi^2 and q2: of the readout averaged over second training sets, and what varies with them."""

    q1_mean: Array
    q2_mean: Array
    q1_variable: Array
    q2_variable: Array

    @property
    def q1(self) -> Array:
        return self.q1_mean + self.q1_variable

    @property
    def q2(self) -> Array:
        return self.q2_mean + self.q2_variable


def second_moments(
    squared: BulkAverages,
    hessian: Hessian,
    v1: Array,
    v2: Array,
    curve: SpectralCurve,
    alpha: Array,
    ridge: Array,
    residual_first: Array,
    residual_second: Array,
    mean_first: Array,
    mean_second: Array,
) -> SecondMoments:
    """Second moments of the readout, by one solve with the Hessian of the potential; eqs. (20)-(23).

    In units (V1, V2) and after subtracting psi^2 from q1, the right-hand sides too are made of positive terms only.

    Parameters
    ----------
    squared : BulkAverages
        With E[o^2 mu_A^2] in the places of E[o mu_A^2].
    hessian : Hessian
    ridge : ndarray
        beta lam V2.
    residual_first, residual_second : ndarray
        E[o^2 mu_A^2 N'], N' the conditional error before estimation.
    mean_first, mean_second : ndarray
        (q1', q2) of the readout averaged over training sets, in units of V1 and V2 and times D: see `bulk_readout`.
    """
    # D = beta + x t e as a sum
    total = unspent(squared, v1, v2, alpha, ridge) + (1 - curve.deficit) * curve.slack
    mean1, mean2 = mean_first / total, mean_second / total

    variable1, variable2 = hessian.solve(
        alpha * v1 * (residual_first + v1 * squared.first_first * mean1 + v2 * squared.first_second * mean2),
        alpha * v2 * (residual_second + v1 * squared.first_second * mean1 + v2 * squared.second_second * mean2),
    )
    return SecondMoments(v1 * mean1, v2 * mean2, v1 * variable1, v2 * variable2)
