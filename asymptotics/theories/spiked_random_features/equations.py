"""The self-consistent equations of the spiked random features; docs/theories/giant_step.md, arXiv:2402.04980.

Shapes: cells are (T, C), C cells of each of T tables; averages over kappa come from `averages`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...solvers import solve_spd
from ...spectra import SpectralCurve

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
    """Coefficients of the mean prediction at fixed kappa, fbar = m mu0 + th kappa mu1 (+ chi nu), and psi.

    `coefficients` (F, T, C) are those of the orthonormal basis; chi is zero without norm fluctuations.
    """

    coefficients: Array
    m: Array
    th: Array
    chi: Array
    psi: Array


def signal_parameters(
    gram: Array, projections: Array, triangle: Array, variances: list[Array | None], psi: Array
) -> Signal:
    """Ridge fit of h in the functions (mu0, kappa mu1[, nu]); eqs. (18)-(19).

    (E[o b b^T] + P) c = E[o h b] in the orthonormal basis b of `Tables`, where functions = R^T b, c = R p, and
    P = (R D R^T)^-1 for prior variances D of p = (m, th[, chi]), the inverse penalties.  No variance (None) leaves the
    function free, a dependent function has R_ii = 0; neither is a division by a small number.

    Parameters
    ----------
    gram : ndarray (F, F, T, C)
    projections : ndarray (F, T, C)
    triangle : ndarray (T, F, F)
    variances : list
        Of m (None in the limit n -> infinity), th[, chi]: arrays (T, C).
    psi : ndarray (T, C)
    """
    count = len(projections)
    cells = psi.shape
    r = np.moveaxis(triangle, 0, -1)[..., None]
    present = np.stack([r[i, i] > 0 for i in range(count)])
    free = variances[0] is None
    prior = [np.zeros(cells) if variance is None else variance for variance in variances]
    penalised = list(range(1 if free else 0, count))
    covariance = np.zeros((count, count, *cells))
    for i in penalised:
        for j in penalised:
            covariance[i, j] = sum((r[i, k] * prior[k] * r[j, k] for k in penalised), np.zeros(cells))
        # a missing function keeps only its own coefficient, which decouples and is zero
        covariance[i, i] = np.where(present[i], covariance[i, i], 1.0)
    for i in range(count):
        for j in range(count):
            if i != j:
                covariance[i, j] = np.where(present[i] & present[j], covariance[i, j], 0.0)
    block = covariance[penalised][:, penalised]
    precision = np.zeros_like(gram)
    for position, i in enumerate(penalised):
        unit = np.zeros((len(penalised), *cells))
        unit[position] = 1.0
        precision[penalised, i] = solve_spd(block, unit)

    matrix = gram + precision
    for i in range(count):
        matrix[i, i] = np.where(present[i], matrix[i, i], 1.0)
    coefficients = solve_spd(matrix, np.where(present, projections, 0.0))

    dual = np.sum(precision * coefficients[None], axis=1)
    p = [np.zeros(cells) for _ in range(3)]
    for k in penalised:
        p[k] = prior[k] * sum((np.where(present[i], r[i, k] * dual[i], 0.0) for i in penalised), np.zeros(cells))
    if free:
        rest = coefficients[0] - sum((r[0, k] * p[k] for k in penalised), np.zeros(cells))
        p[0] = np.where(present[0], rest / np.where(present[0], r[0, 0], 1.0), 0.0)
    return Signal(coefficients, p[0], p[1], p[2], psi)


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
    fixed: Array,
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
    fixed : ndarray
        The part of the readout norm that does not vary with the data, (th^2 + psi^2)/(c V2) + ...
    """
    # averaged over training sets: [[1, -R], [-R, 2 R + beta - 1]] q = (0, fixed), whose determinant is a sum too
    xt = 1 - curve.deficit
    first_equation = alpha * v2 * (squared.second + v1 * squared.first_second + v2 * squared.second_second)
    mean2 = fixed / (first_equation + ridge + xt * curve.deficit)
    mean1 = curve.stiffness * mean2

    variable1, variable2 = hessian.solve(
        alpha * v1 * (residual_first + v1 * squared.first_first * mean1 + v2 * squared.first_second * mean2),
        alpha * v2 * (residual_second + v1 * squared.first_second * mean1 + v2 * squared.second_second * mean2),
    )
    return SecondMoments(v1 * mean1, v2 * mean2, v1 * variable1, v2 * variable2)
