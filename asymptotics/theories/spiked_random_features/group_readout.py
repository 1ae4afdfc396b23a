"""What is linear given (Q, rho), for several readout levels: signal and second moments; section 13 of
docs/theories/giant_step.md.  Shapes as in `group_equations`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...solvers import solve_spd
from .group_equations import GroupPoint, GroupScales, congruent, feature_change, packing, with_multiplicity

Array = NDArray[np.float64]
Index = NDArray[np.intp]


class GroupSignal(NamedTuple):
    """Coefficients of fbar = sum_g m_g mu0g + kappa sum_g th_g mu1g, and psi; eqs. (G8)-(G10).

    `coefficients` (2G, T, C) are those of the orthonormal basis; m, th, psi are (G, T, C).
    """

    coefficients: Array
    m: Array
    th: Array
    psi: Array


def group_signal(
    gram: Array,
    projections: Array,
    slope_h1: Array,
    point: GroupPoint,
    scales: GroupScales,
    triangle: Array,
    recover: Array,
    n_finite: Array | None,
) -> GroupSignal:
    """Ridge fit of h in the functions mu0g and kappa mu1g; eqs. (G8)-(G10).

    In an orthonormal basis b, where functions = R^T b and fbar = b . c, coefficients p = (m, th) with the penalties 1/D
    give c = R p = Gamma s with |s|^2 as the penalty, R D R^T = Gamma Gamma^T from a QR decomposition of (R D^1/2)^T:

        (1 + Gamma^T E[o b b^T] Gamma) s = Gamma^T E[o h b],

    which is regular however dependent the functions are.  In the limit m is free: the coefficients of the mean
    functions' basis have no penalty, and only the part of kappa mu1g that is orthogonal to all mu0g has one.

    Parameters
    ----------
    gram : ndarray (2G, 2G, T, C)
    projections : ndarray (2G, T, C)
    slope_h1 : ndarray (G, T, C)
        E[o e_i h1].
    triangle : ndarray (2G, 2G, T, 1)
        R, of blocks [[means, overlaps], [0, rest]]; rows of missing functions are zero.
    recover : ndarray (G, G, T, 1)
        The pseudo-inverse of the first block.
    n_finite : ndarray (T, C), optional
    """
    groups = len(point.log_rho)
    share = scales.fractions * np.exp(point.log_rho)
    prior = scales.alpha * scales.variances * share
    if n_finite is not None:
        prior = np.concatenate([n_finite * share, prior])
    root = np.sqrt(prior)
    count = len(prior)
    orthogonal, gamma = _lower(triangle[-count:, -count:] * root)

    change = np.zeros_like(gram)  # c = change @ (free coefficients, s)
    change[-count:, -count:] = gamma
    if count == groups:
        diagonal = np.arange(groups)
        change[diagonal, diagonal] = np.any(triangle[:groups, :groups] != 0, axis=1)
    matrix = np.einsum("ia...,ij...,jb...->ab...", change, gram, change, optimize=["einsum_path", (0, 1), (0, 1)])
    diagonal = np.arange(2 * groups)
    penalties = np.ones(change.shape[1:])
    penalties[:-count] = change[diagonal, diagonal][:-count] == 0  # missing functions, whose coefficients are zero
    matrix[diagonal, diagonal] += penalties
    solution = solve_spd(matrix, np.einsum("ia...,i...->a...", change, projections))
    coefficients = np.einsum("ia...,a...->i...", change, solution)

    p = root * np.einsum("ka...,a...->k...", orthogonal, solution[-count:])
    m, th = p[:-groups], p[-groups:]
    if n_finite is None:
        rest = coefficients[:groups] - np.einsum("ik...,k...->i...", triangle[:groups, groups:], th)
        m = np.einsum("gi...,i...->g...", recover, rest)
    inner = np.einsum("ia...,i...->a...", scales.projected(point.factor), slope_h1)
    psi = scales.alpha / scales.beta * np.einsum("ga...,a...->g...", point.factor, inner)
    return GroupSignal(coefficients, m, th, psi)


def _lower(matrix: Array) -> tuple[Array, Array]:
    """O and lower triangular Gamma with A = Gamma O^T for matrices (k, k, T, C)."""
    orthogonal, upper = np.linalg.qr(np.moveaxis(matrix, (0, 1), (-1, -2)))
    return np.moveaxis(orthogonal, (-2, -1), (0, 1)), np.moveaxis(upper, (-2, -1), (1, 0))


def fixed_norms(signal: GroupSignal, point: GroupPoint, scales: GroupScales, n_finite: Array | None) -> Array:
    """What the norms of the readout contain without varying with the data, G_g (G, T, C); eq. (G12)."""
    share = scales.fractions * np.exp(point.log_rho)
    fixed = (signal.th**2 + signal.psi**2) / (scales.variances * share)
    return fixed if n_finite is None else fixed + scales.alpha * signal.m**2 / (n_finite * share)


class GroupMoments(NamedTuple):
    """Second moments as rates: (q1 - psi psi^T) = L E L^T/beta, q2 = pi rho l; E (G, G, T, C), l (G, T, C)."""

    bulk: Array
    diagonal: Array

    def packed(self, factor: Array, point: GroupPoint, scales: GroupScales) -> Array:
        """(F E F^T/beta, q2), (J + G, T, C): for F = L the moments, for F = N those that multiply the features."""
        p = packing(len(factor))
        matrix = congruent(factor, self.bulk)[p.first, p.second]
        return np.concatenate([matrix / scales.beta, scales.fractions * np.exp(point.log_rho) * self.diagonal])


def mean_moments(point: GroupPoint, first: Array, fixed: Array, scales: GroupScales) -> GroupMoments:
    """Rates of the readout averaged over second training sets; eq. (G14).

    With X = P^-1/2 L and Y = X X^T: E = L^T diag(l/P) L and S l = G, where
    S = diag(alpha pi rho E[o mu2^2] + beta lam pi rho + (alpha/beta) (X M X^T)_gg) + graph Laplacian of Y_gh^2
    has a nonnegative inverse; nothing cancels.
    """
    groups = len(point.log_rho)
    p = packing(groups)
    rho = np.exp(point.log_rho)
    share, filled = scales.fractions * rho, scales.filled(rho)
    half = point.factor / np.sqrt(filled)[:, None]
    moments = np.einsum("jk...,k...->j...", feature_change(scales.projected(point.factor)), first[: len(p.first)])
    emptied = np.sum(half * np.einsum("ga...,ab...->gb...", half, moments[p.position]), axis=1)
    squares = congruent(half) ** 2
    matrix = -squares
    diagonal = np.arange(groups)
    matrix[diagonal, diagonal] = (
        np.sum(squares, axis=0) - squares[diagonal, diagonal] + scales.alpha / scales.beta * emptied
        + share * (scales.alpha * first[len(p.first):] + scales.beta * scales.lam)
    )
    rates = solve_spd(matrix, fixed)
    return GroupMoments(np.einsum("ga...,g...,gb...->ab...", point.factor, rates / filled, point.factor), rates)


def variable_moments(
    point: GroupPoint, hessian: Array, errors: Array, second: Array, mean: GroupMoments, scales: GroupScales
) -> GroupMoments:
    """Rates of what varies with the second training set: one solve with the Hessian; eqs. (G13), (G15).

    Parameters
    ----------
    errors : ndarray (J + G, T, C)
        E[o^2 phi_A N'], N' the conditional error before estimation.
    second : ndarray (J + G, J + G, T, C)
        E[o^2 phi_A phi_B].
    mean : GroupMoments
        From `mean_moments`.
    """
    p = packing(len(point.log_rho))
    count = len(p.first)
    mult = p.multiplicity.reshape(-1, 1, 1)
    share = scales.fractions * np.exp(point.log_rho)
    projected = scales.projected(point.factor)
    averaged = with_multiplicity(mean.packed(projected, point, scales))
    seen = errors + np.einsum("ab...,b...->a...", second, averaged)
    right = np.concatenate([
        scales.alpha / scales.beta * mult * np.einsum("jk...,k...->j...", feature_change(projected), seen[:count]),
        scales.alpha * share * seen[count:],
    ])
    rates = solve_spd(hessian, right)
    return GroupMoments(rates[:count][p.position], rates[count:])


def crossover_size(mean_products: Array, point: GroupPoint, scales: GroupScales, rank: Index) -> Array:
    """Sample size (T, C) above which all mean directions are learned at no cost; infinite if there are none; eq. (G16).

    The finite-n penalties of m_g, 1/(n pi_g rho_g), equal the smallest eigenvalue of the Gram matrix E[o mu0g mu0h] in
    units where they are 1: n = 1/min eig of sqrt(pi rho) E[o mu0 mu0^T] sqrt(pi rho), among the `rank` (T,) largest.
    """
    groups = len(point.log_rho)
    root = np.sqrt(scales.fractions * np.exp(point.log_rho))
    matrix = mean_products[packing(groups).position] * root * root[:, None]
    eigenvalues = np.linalg.eigvalsh(np.moveaxis(matrix, (0, 1), (-2, -1)))
    position = np.broadcast_to(np.minimum(groups - rank, groups - 1)[:, None, None], (*eigenvalues.shape[:2], 1))
    smallest = np.take_along_axis(eigenvalues, position, axis=-1)[..., 0]
    known = (smallest > 0) & (rank[:, None] > 0)
    return np.where(known, 1 / np.where(known, smallest, 1.0), np.inf)
