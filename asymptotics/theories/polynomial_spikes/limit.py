"""Level "limit": eta = n^a as n -> infinity, where every spike is infinitely strong or absent.

Spike k carries the function

    P_k(kappa) = sum_m binom(k, m) sr^m E[sigma^(k)(xi) xi^m] H_{k-m}(kappa),   H_i(kappa) = E_xi (kappa + sqrt(r) xi)^i

with r = tau_r^2/tau^2 and sr = s/tau; eq. (15) of docs/theories/polynomial_spikes.md.  It diverges if
a > (k - 1)/(2k).  arXiv:2310.07891 has k = 1, 2 at r = sr = c*_0 = 0, P_k = kappa^k.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from ...solvers import triangular_rows
from .spikes import Spikes, solve_readouts
from .step import ROUNDING, Readouts, TargetMoments, clean_coefficients, limiting_norm_squared

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Spikes beyond this degree are left out.  That changes nothing for a < 8/17, and beyond only what is learned of these
# degrees (and of a constant that the features do not contain).  Coefficients of twice this degree enter where s != 0,
# and in double precision further ones would be noise.
MOST_SPIKES = 16
CRITICAL_WIDTH = 1e-12
RANK_TOLERANCE = 1e-10


class LimitingStep(NamedTuple):
    """Steps (T,) in the limit, where tau -> 0.

    Attributes
    ----------
    alignment : ndarray
        rho.
    residual_ratio : ndarray
        r = tau_r^2/tau^2; eq. (6).
    rescaling_ratio : ndarray
        sr = s/tau.
    """

    alignment: Array
    residual_ratio: Array
    rescaling_ratio: Array


def limiting_step(
    activation: Nonlinearity, target: TargetMoments, alpha0: Array, noise_var: Array, norm_squared: Array | None = None,
    alignment: Array | None = None,
) -> LimitingStep:
    """The steps at n0/d samples; eqs. (3), (4), (6).  |b|^2 and rho may be given instead of their limits."""
    _, c1, c2 = clean_coefficients(activation, 2)
    c0_star, c1_star = target.coefficients[:2]
    squared = limiting_norm_squared(target, alpha0, noise_var) if norm_squared is None else norm_squared
    norm = np.sqrt(squared)
    ratio = (target.second + noise_var) / alpha0 * activation.slope_variance() / (c1**2 * squared)
    return LimitingStep(
        c1_star / norm if alignment is None else alignment, ratio, math.sqrt(2) * c2 * c0_star / (c1 * norm)
    )


def is_critical(exponent: Array) -> NDArray[np.bool_]:
    """Whether a spike is at its threshold, a = (k - 1)/(2k) for some k = 1, 2, ...: there it has a finite strength.

    1 - 2 a is exact in floating point for a >= 1/4, and below only k = 1 (a = 0) and the exact k = 2 are at stake.
    """
    gap = 1 - 2 * exponent
    k = np.maximum(np.rint(1 / gap), 1.0)
    return np.abs(k * gap - 1) < CRITICAL_WIDTH


def spike_count(exponent: Array) -> Index:
    """l(a) = ceil(1/(1 - 2a)) - 1 for 0 < a < 1/2, and none for a <= 0; eq. (13).  Not for critical exponents."""
    positive = exponent > 0
    inverse = 1 / (1 - 2 * np.where(positive, exponent, 0.0))
    return np.where(positive, np.ceil(np.minimum(inverse, 1e9)) - 1, 0).astype(np.intp)


def spike_functions(activation: Nonlinearity, rescaling_ratio: Array, count: int, intercept: bool = False) -> Array:
    """P_k, k = 0..count, in units of H_i/sqrt(i!), as (T, i, k); eq. (15).

    Column 0 is what the features contain of a constant.  Numbers below the rounding error of the Hermite coefficients
    are zeros.
    """
    c = activation.hermite_coefficients(2 * count)
    size = math.sqrt(activation.second_moment())
    functions = np.zeros((rescaling_ratio.size, count + 1, count + 1))
    for k in range(count + 1):
        for m in range(k + 1):
            total, scale = 0.0, 0.0
            for j in range(m % 2, m + 1, 2):
                power = math.factorial(m) / (2 ** ((m - j) // 2) * math.factorial((m - j) // 2) * math.factorial(j))
                term = power * math.sqrt(math.factorial(k + j))  # <xi^m, h_j> sqrt((k + j)!/j!)
                total, scale = total + term * c[k + j], math.hypot(scale, term)
            if abs(total) > ROUNDING * size * scale:
                functions[:, k - m, k] = (
                    math.comb(k, m) * total * math.sqrt(math.factorial(k - m)) * rescaling_ratio**m
                )
    if intercept:
        functions[:, 0, 0] = 1.0
    return functions


def dual_functions(residual_ratio: Array, count: int) -> Array:
    """D_i, i = 0..count, with <D_i, H_j/sqrt(j!)> = delta_ij, by their Hermite coefficients, as (T, i, j).

    h_j = sum_m (-(1 + r))^m sqrt(j!/i!)/(2^m m!) H_i/sqrt(i!), i = j - 2m.
    """
    dual = np.zeros((residual_ratio.size, count + 1, count + 1))
    for j in range(count + 1):
        for m in range(j // 2 + 1):
            i = j - 2 * m
            factor = math.sqrt(math.factorial(j) / math.factorial(i)) / (2**m * math.factorial(m))
            dual[:, i, j] = factor * (-(1 + residual_ratio)) ** m
    return dual


def missing_functions(functions: Array, diverges: NDArray[np.bool_]) -> Array:
    """Coefficients u (T, N, i) of a basis of the null space of the columns k of P (T, i, k) with `diverges` (T, k).

    Gauss-Jordan elimination by columns; the pivot of a column is its entry of highest degree, so that polynomials of
    degree k stay where they are.  Rows of zeros stand for vectors that are spanned.
    """
    tables, size, _ = functions.shape
    here = np.arange(tables)
    reduced = np.zeros((size, tables, size))  # column k with a one at its pivot, zero at the pivots of the others
    pivots = np.zeros((size, tables), dtype=np.intp)
    free = np.ones((tables, size))
    for k in range(size):
        column = np.where(diverges[:, k, None], functions[:, :, k], 0.0)
        scale = np.max(np.abs(column), axis=1)
        column = column / np.where(scale > 0, scale, 1.0)[:, None]
        for j in range(k):
            column = column - column[here, pivots[j], None] * reduced[j]
        large = np.abs(column) > RANK_TOLERANCE
        pivot = size - 1 - np.argmax(large[:, ::-1], axis=1)
        present = np.any(large, axis=1)
        lead = np.where(present, column[here, pivot], 1.0)
        below = np.arange(size) <= pivot[:, None]
        column = np.where(present[:, None] & below, column / lead[:, None], 0.0)
        for j in range(k):
            reduced[j] -= reduced[j, here, pivot, None] * column
        reduced[k], pivots[k] = column, pivot
        free[here[present], pivot[present]] = 0.0
    null = free[:, :, None] * np.eye(size)
    for k in range(size):
        null[here, :, pivots[k]] -= free * reduced[k]
    return null


def limit_spikes(functions: Array, dual: Array, count: Index) -> Spikes:
    """The functions that no diverging spike spans, without any penalty; eq. (25).

    They are combinations of the D_i, which are orthonormalised from the highest degree down: alone in its degree, a D_i
    loses everything above it exactly, however steeply its coefficients grow.
    """
    size = functions.shape[1]
    missing = missing_functions(functions, np.arange(size) <= count[:, None]) @ dual
    largest = np.max(np.abs(missing), axis=2, keepdims=True)
    missing = missing / np.where(largest > 0, largest, 1.0)
    _, modes = triangular_rows(np.moveaxis(missing[:, ::-1], 0, -1))
    return Spikes(np.ascontiguousarray(np.transpose(modes, (2, 1, 0))), np.zeros((count.size, size)))


def solve_limit(
    activation: Nonlinearity,
    target: TargetMoments,
    steps: LimitingStep,
    exponent: Array,
    readouts: Readouts,
    names: Iterable[str],
    intercept: bool = False,
    degrees: int = 5,
) -> dict[str, Array]:
    """Observables of C cells at eta = n^exponent, among them "converged" and "residual".

    Parameters
    ----------
    activation, target
        The link function by its moments, with at least the coefficients c*_0, c*_1.
    steps : LimitingStep
        Steps (T,).
    exponent : ndarray (C,)
        a < 1/2, not critical.
    readouts : Readouts
        Cells (C,).
    names : iterable of str
        Among test_error, generalization_error, train_error, ridge_objective, overlaps.
    intercept : bool
        Whether the readout has an intercept; features with c_0 != 0 contain a constant anyway.
    degrees : int
        Length of the axis of the overlaps.
    """
    count = np.minimum(spike_count(exponent), MOST_SPIKES)
    pairs, table = np.unique(readouts.step * (MOST_SPIKES + 1) + count, return_inverse=True)
    step, own = np.divmod(pairs, MOST_SPIKES + 1)
    highest = max(int(np.max(own, initial=1)), 1)

    def spikes_of(tables: Index) -> Spikes:
        return limit_spikes(
            spike_functions(activation, steps.rescaling_ratio[step[tables]], highest, intercept),
            dual_functions(steps.residual_ratio[step[tables]], highest),
            own[tables],
        )

    return solve_readouts(
        spikes_of, table, steps.alignment[step], highest, activation, target, readouts, names, degrees
    )
