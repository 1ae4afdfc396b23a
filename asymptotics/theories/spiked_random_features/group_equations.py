"""The self-consistent equations for several readout levels; section 13 of docs/theories/giant_step.md.

Groups g = 1..G of neurons with resolvent diagonals rho_g and a symmetric G x G matrix Q = L L^T.  Slopes are expressed
in an orthonormal basis, mu1g = sum_i R_ig e_i; with N = R L, mu1^T Q mu1 = |N^T e|^2.  Symmetric matrices and the
features phi = (e_i e_j for i <= j, mu2g^2) are packed: see `Packing`.  Shapes: components first, then the cells (T, C),
C cells of each of T tables.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...solvers import solve_spd

Array = NDArray[np.float64]
Index = NDArray[np.intp]


class Packing(NamedTuple):
    """Symmetric G x G matrices as J = G(G+1)/2 numbers, the entries (first, second) of the upper triangle.

    Attributes
    ----------
    first, second : ndarray of int (J,)
    multiplicity : ndarray (J,)
        1 on the diagonal, 2 off it.
    position : ndarray of int (G, G)
        Where an entry is stored.
    anticommutator : ndarray (J, J, J)
        tr(B_j B_k + B_k B_j) S/2 = sum_l anticommutator[j, k, l] S_l, B_j the symmetric unit matrices.
    """

    first: Index
    second: Index
    multiplicity: Array
    position: Index
    anticommutator: Array


@functools.cache
def packing(groups: int) -> Packing:
    """The packing of G x G matrices; its arrays are read-only."""
    first, second = np.triu_indices(groups)
    count = len(first)
    position = np.empty((groups, groups), dtype=np.intp)
    position[first, second] = position[second, first] = np.arange(count)
    units = np.zeros((count, groups, groups))
    units[np.arange(count), first, second] = units[np.arange(count), second, first] = 1.0
    products = np.einsum("jab,kbc->jkac", units, units)
    products = 0.5 * (products + np.swapaxes(products, 0, 1))
    symmetric = 0.5 * (products + np.swapaxes(products, 2, 3))
    multiplicity = np.where(first == second, 1.0, 2.0)
    answer = Packing(first, second, multiplicity, position, symmetric[:, :, first, second] * multiplicity)
    for array in answer:
        array.setflags(write=False)
    return answer


def with_multiplicity(packed: Array) -> Array:
    """Components (J + G, ...) times how often they occur: 2 for the off-diagonal entries of matrices."""
    groups = round((np.sqrt(9 + 8 * len(packed)) - 3) / 2)
    mult = np.concatenate([packing(groups).multiplicity, np.ones(groups)])
    return packed * mult.reshape(-1, *(1,) * (packed.ndim - 1))


class GroupPoint(NamedTuple):
    """A point of the manifold: factor L (G, G, T, C) with Q = L L^T, log rho (G, T, C)."""

    factor: Array
    log_rho: Array

    def q(self) -> Array:
        """Q, (G, G, T, C)."""
        return congruent(self.factor)

    def moved(self, step: Array, fraction: Array | float = 1.0) -> GroupPoint:
        """The point s along a geodesic, Q = L exp(s E) L^T and log rho + s l, for a packed step (E, l)."""
        p = packing(len(self.log_rho))
        count = len(p.first)
        scaled = step * fraction
        return GroupPoint(
            np.einsum("ab...,bc...->ac...", self.factor, _exponential(0.5 * scaled[:count][p.position])),
            self.log_rho + scaled[count:],
        )

    def take(self, keep: Index, axis: int) -> GroupPoint:
        """Some tables (axis -2) or some cells (axis -1)."""
        return GroupPoint(np.take(self.factor, keep, axis), np.take(self.log_rho, keep, axis))


def _exponential(x: Array) -> Array:
    """exp of symmetric matrices (G, G, ...) of norm <= 2 to 1e-4, exactly to second order, positive definite always.

    An even Taylor polynomial has no real zero, so nothing larger can leave the cone either.
    """
    identity = np.eye(len(x)).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))
    x = 0.125 * x
    result = identity + 0.25 * x
    for order in (3, 2, 1):
        result = identity + np.einsum("ab...,bc...->ac...", x, result) / order
    for _ in range(3):
        result = np.einsum("ab...,bc...->ac...", result, result)
    return result


class GroupScales(NamedTuple):
    """Parameters and R: pi_g (G, 1, 1), c_g (G, T, 1), R (G, G, T, 1), alpha, beta, lam (T, C)."""

    fractions: Array
    variances: Array
    slopes: Array
    alpha: Array
    beta: Array
    lam: Array

    def filled(self, rho: Array) -> Array:
        """P_g = beta pi_g c_g rho_g, (G, T, C)."""
        return self.beta * self.fractions * self.variances * rho

    def projected(self, factor: Array) -> Array:
        """N = R L, (G, G, T, C)."""
        return np.einsum("ig...,ga...->ia...", self.slopes, factor)


def weights_of_features(point: GroupPoint, scales: GroupScales) -> Array:
    """y = (N N^T/beta, pi_g rho_g), packed, with V = sum_A mult_A y_A phi_A; (J + G, T, C); eq. (G2)."""
    p = packing(len(point.log_rho))
    matrix = congruent(scales.projected(point.factor))
    return np.concatenate([matrix[p.first, p.second] / scales.beta, scales.fractions * np.exp(point.log_rho)])


def congruent(factor: Array, inner: Array | None = None) -> Array:
    """F F^T or F S F^T for matrices (G, G, ...)."""
    right = factor if inner is None else np.einsum("ac...,cd...->ad...", factor, inner)
    return np.einsum("ac...,bc...->ab...", right, factor)


def group_start(powers: Array, moments: Array, scales: GroupScales) -> GroupPoint:
    """A start that scales as the solution does; eq. (G7).

    rho_g = 1/(lam + E[mu2g^2 + c_g mu1g^2]); K from the averages E[o mu1g mu1h] with V = sum_g pi_g rho_g times the
    same power; Q = (1/P + K)^-1.

    Parameters
    ----------
    powers : ndarray (G, T, 1)
        E[mu2g^2 + c_g mu1g^2].
    moments : ndarray (J + G, T, C)
        E[o phi] at that V.
    """
    groups = len(powers)
    p = packing(groups)
    rho = 1 / (scales.lam + powers)
    root = np.sqrt(scales.filled(rho))
    k = scales.alpha / scales.beta * congruent(
        np.swapaxes(scales.slopes, 0, 1), moments[: len(p.first)][p.position]
    )
    inverse = root[:, None] * k * root[None, :]
    inverse[np.arange(groups), np.arange(groups)] += 1.0
    lower = np.linalg.cholesky(np.moveaxis(inverse, (0, 1), (-2, -1)))
    upper = np.swapaxes(np.linalg.inv(lower), -2, -1)
    return GroupPoint(root[:, None] * np.moveaxis(upper, (-2, -1), (0, 1)), np.log(rho))


def group_potential(
    point: GroupPoint, mu1: Array, mu2_sq: Array, weight: Array, variances: Array, fractions: Array, alpha: float,
    beta: float, lam: float,
) -> float:
    """Geodesically convex potential whose minimiser is (Q, rho), for one cell; eq. (G4).

    Phi = alpha E log(1 + V) - log det Q + tr(P^-1 Q) + log det P - beta sum_g pi_g (log rho_g - lam rho_g).

    point : L (G, G), log rho (G,).  mu1, mu2_sq : (G, K), on nodes with weights (K,).
    """
    factor, log_rho = point
    rho = np.exp(log_rho)
    filled = beta * fractions * variances * rho
    v = fractions * rho @ mu2_sq + np.sum((factor.T @ mu1) ** 2, axis=0) / beta
    _, log_det = np.linalg.slogdet(factor)
    return float(
        alpha * weight @ np.log1p(v) - 2 * log_det + np.sum(factor**2 / filled[:, None]) + np.sum(np.log(filled))
        - beta * fractions @ log_rho + beta * lam * fractions @ rho
    )


class GroupEquations(NamedTuple):
    """Gradient (U, T, C) and Hessian (U, U, T, C) of the potential in (E, log rho), U = J + G; eqs. (G5)-(G6)."""

    gradient: Array
    hessian: Array


def group_equations(point: GroupPoint, first: Array, second: Array, scales: GroupScales) -> GroupEquations:
    """Gradient and Hessian of the potential along Q = L exp(sE) L^T, log rho + s l.

    Parameters
    ----------
    first : ndarray (J + G, T, C)
        E[o phi_A].
    second : ndarray (J + G, J + G, T, C)
        E[o^2 phi_A phi_B].
    """
    factor, groups = point.factor, len(point.log_rho)
    p = packing(groups)
    count, diagonal = len(p.first), np.arange(groups)
    mult = p.multiplicity.reshape(-1, 1, 1)
    rho = np.exp(point.log_rho)
    share, filled = scales.fractions * rho, scales.filled(rho)
    ratio = scales.alpha / scales.beta
    change = feature_change(scales.projected(factor))

    # (alpha/beta) M + W, packed
    pull = ratio * np.einsum("jk...,k...->j...", change, first[:count])
    pull += np.einsum("gj...,g...->j...", factor[:, p.first] * factor[:, p.second], 1 / filled)
    occupied = np.sum(factor * factor, axis=1) / filled  # Q_gg/P_g
    learned = scales.alpha * share * first[count:]
    ridge = scales.beta * scales.lam * share

    gradient = np.empty_like(first)
    gradient[:count] = mult * pull
    gradient[p.position[diagonal, diagonal]] -= 1.0
    gradient[count:] = learned + (1 - occupied) - scales.beta * scales.fractions + ridge

    hessian = np.empty_like(second)
    shape = pull.shape
    hessian[:count, :count] = np.matmul(
        p.anticommutator.reshape(count * count, count), pull.reshape(count, -1)
    ).reshape(count, *shape)
    bend = np.einsum("jk...,kl...->jl...", change, second[:count, :count])
    bend = np.einsum("jl...,kl...->jk...", bend, change)
    hessian[:count, :count] -= (ratio / scales.beta) * (mult * mult[:, None]) * bend
    mixed = np.einsum("jk...,kg...->jg...", change, second[:count, count:]) * (ratio * share)
    mixed += np.swapaxes(factor[:, p.first] * factor[:, p.second], 0, 1) / filled
    hessian[:count, count:] = -mult[:, None] * mixed
    hessian[count:, :count] = np.swapaxes(hessian[:count, count:], 0, 1)
    hessian[count:, count:] = -scales.alpha * second[count:, count:] * share * share[:, None]
    hessian[count + diagonal, count + diagonal] += learned + occupied + ridge
    return GroupEquations(gradient, hessian)


def feature_change(projected: Array) -> Array:
    """From e_i e_k to f_j = (N^T e)_a (N^T e)_b: matrices (J, J, T, C) on packed products."""
    p = packing(len(projected))
    left, right = projected[:, p.first], projected[:, p.second]  # N_ia, N_ib: (G, J, T, C)
    one = left[p.first] * right[p.second]  # N_ia N_kb at [(i, k), j]
    other = left[p.second] * right[p.first]
    same = (p.first == p.second).reshape(-1, 1, 1, 1)
    return np.swapaxes(np.where(same, one, one + other), 0, 1)


def group_residual(gradient: Array, scales: GroupScales) -> Array:
    """Largest relative violation (T, C): of the equations for Q against 1, of those for rho_g against beta pi_g."""
    groups = len(scales.fractions)
    mult = packing(groups).multiplicity.reshape(-1, 1, 1)
    matrix = np.abs(gradient[:-groups]) / mult
    diagonal = np.abs(gradient[-groups:]) / (scales.beta * scales.fractions)
    return np.maximum(np.max(matrix, axis=0), np.max(diagonal, axis=0))


def group_rounding(hessian: Array, scales: GroupScales) -> Array:
    """Relative error (T, C) of Q and rho from rounding the equations: eps H^-1 times their largest terms."""
    groups = len(scales.fractions)
    largest = np.zeros(hessian.shape[1:])
    largest[np.diagonal(packing(groups).position)] = 1.0
    largest[-groups:] = 1.0 + scales.beta * scales.fractions
    return np.finfo(np.float64).eps * np.max(np.abs(solve_spd(hessian, largest)), axis=0)
