"""Functions of kappa that all cells with the same (r, c_1..c_G, gamma) share, for G readout levels."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from .gradient_step import SpikeParameters
from .group_equations import packing, with_multiplicity
from .kappa_rule import KappaRule, activation_width, choose_rule, rule_nodes
from .tables import orthonormal

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# singular values of normalised functions, relative to the largest, that count as zero: where coefficients are divided
# by them (1e-11 in the Gram matrix), and where they are not
DEPENDENT, NEGLIGIBLE = math.sqrt(1e-11), 1e-14
# norm of kappa mu1g without the means, relative to before, that counts as zero
PARALLEL = 1e-12


class GroupTables(NamedTuple):
    """Moments of T tables on K nodes; A = J + G features phi = (e_i e_j for i <= j, mu2g^2), J = G(G+1)/2.

    e_i is an orthonormal basis of the slopes, mu1g = sum_i slopes[i, g] e_i: slopes of similar levels are nearly equal,
    and what only their combinations determine must not be a difference of large numbers.  It is triangular, fastest
    groups first: far out only the slow ones are left, there nothing else enters.

    Attributes
    ----------
    weight : ndarray (T, K)
        Quadrature weights with the density of kappa.
    features : ndarray (T, A, K)
        phi, the products of different groups doubled: V = y . features.
    weighted_features : ndarray (T, A + 1, K)
        weight * phi, and the weight.
    weighted_products : ndarray (T, A(A+1)/2, K)
        weight * phi_A phi_B, A <= B.
    basis : ndarray (T, 2G, K)
        An orthonormal basis b of the mean functions mu0g, then of what kappa mu1g add; zero where dependent.
    triangle : ndarray (T, 2G, 2G)
        R with (mu0g, kappa mu1g) = R^T b.
    recover : ndarray (T, G, G)
        From coefficients of the first half of b to the smallest ones of mu0g.
    signal : ndarray (T, G(2G+1) + 3G, K)
        weight * (products of b, b * h, e_i h1).
    mean_products : ndarray (T, J, K)
        weight * mu0g mu0h.
    slope_basis : ndarray (T, G, K)
        e_i; zero where slopes are dependent.
    slopes : ndarray (T, G, G)
    h, h1, unlearnable : ndarray (T, K)
        As in `Tables`.
    rank : ndarray of int (T,)
        How many mean functions are independent.
    condition : ndarray (T,)
        Ratio of the extreme eigenvalues of the Gram matrix E[mu0g mu0h] of mean functions of norm 1, leaving out those
        that are zero to rounding; above 1e11 directions are missing in the limit.
    bulk_variance : ndarray (T, G)
    """

    weight: Array
    features: Array
    weighted_features: Array
    weighted_products: Array
    basis: Array
    triangle: Array
    recover: Array
    signal: Array
    mean_products: Array
    slope_basis: Array
    slopes: Array
    h: Array
    h1: Array
    unlearnable: Array
    rank: Index
    condition: Array
    bulk_variance: Array

    def rows(self, index: Index) -> GroupTables:
        """Some of the tables."""
        return GroupTables(*(array[index] for array in self))  # type: ignore[arg-type]

    @property
    def mean_features(self) -> Array:
        """E phi, (A, T, 1)."""
        return np.sum(self.weighted_features[:, :-1], axis=2).T[..., None]


def narrowest_spike(activation: Nonlinearity, spikes: SpikeParameters, levels: Array) -> SpikeParameters:
    """One spike per table that varies as fast in kappa as the fastest group: a rule for it resolves all of them.

    `spikes` has one strength r per table, groups have r u_g; bulk variances are (T, G).
    """
    c = spikes.bulk_variance
    groups = SpikeParameters(spikes.strength[:, None] * levels, c, spikes.alignment[:, None])
    width = np.min(activation_width(activation, groups), axis=1)
    smallest = np.min(c, axis=1)
    alone = SpikeParameters(np.ones_like(width), smallest, spikes.alignment)
    return SpikeParameters(activation_width(activation, alone) / width, smallest, spikes.alignment)


def choose_group_rule(
    activation: Nonlinearity, target: Nonlinearity, spikes: SpikeParameters, levels: Array, level_class: int,
    refinement: int,
) -> KappaRule:
    """The rule with the fewest nodes among those that resolve all groups."""
    return choose_rule(activation, target, narrowest_spike(activation, spikes, levels), level_class, refinement)


def build_group_tables(
    activation: Nonlinearity, target: Nonlinearity, spikes: SpikeParameters, levels: Array, rule: KappaRule,
    with_sizes: bool,
) -> GroupTables:
    """Tables for T spikes on rules of one kind; eqs. (7)-(9) and (G1) of docs/theories/giant_step.md.

    `with_sizes` prepares for a finite sample size, whose penalties decide about nearly dependent mean functions.
    """
    kappa, weight = rule_nodes(rule, activation, target, narrowest_spike(activation, spikes, levels))
    c, rho = spikes.bulk_variance, spikes.rho[:, None]
    strengths = spikes.strength[:, None] * levels
    mu0, mu1, mu2_sq, _ = activation.moments(strengths[..., None] * kappa[:, None], c[..., None])
    learned = target.moments(spikes.alignment[:, None] * kappa, rho**2)
    h, h1 = learned.mu0, rho * learned.mu1

    p = packing(len(levels))
    w = weight[:, None]
    power = np.sum(w * (mu0**2 + c[..., None] * mu1**2 + mu2_sq), axis=2)
    order = np.argsort(-np.abs(strengths) / np.sqrt(c), axis=1)
    e, triangle_e = orthonormal(np.take_along_axis(mu1, order[..., None], axis=1), weight, np.sum(power, axis=1))
    slopes = np.take_along_axis(triangle_e, np.argsort(order, axis=1)[:, None], axis=2)
    phi = np.concatenate([e[:, p.first] * e[:, p.second], mu2_sq], axis=1)
    # the limit is fitted in the mean directions that can be told apart, a finite sample size has penalties for all
    means = span(mu0, weight, 1e-12 * np.sqrt(power), NEGLIGIBLE if with_sizes else DEPENDENT)
    overlaps, rest = without(kappa[:, None] * mu1, means.basis, weight)
    others = span(rest, weight, PARALLEL * np.sqrt(np.sum(w * (kappa[:, None] * mu1) ** 2, axis=2)), NEGLIGIBLE)
    basis = np.concatenate([means.basis, others.basis], axis=1)
    none = np.zeros_like(overlaps)
    triangle = np.block([[means.combine, overlaps], [none, others.combine]])
    rank = np.count_nonzero(means.sizes > DEPENDENT * means.sizes[:, :1], axis=1)
    return GroupTables(
        weight=weight,
        features=np.ascontiguousarray(np.swapaxes(with_multiplicity(np.swapaxes(phi, 0, 1)), 0, 1)),
        weighted_features=np.concatenate([w * phi, w], axis=1),
        weighted_products=w * _products(phi),
        basis=basis,
        triangle=triangle,
        recover=means.recover,
        signal=w * np.concatenate([_products(basis), basis * h[:, None], e * h1[:, None]], axis=1),
        mean_products=w * _products(mu0),
        slope_basis=e,
        slopes=slopes,
        h=h,
        h1=h1,
        unlearnable=learned.mu2_sq,
        rank=rank,
        condition=_condition(means.sizes),
        bulk_variance=c,
    )


class Span(NamedTuple):
    """An orthonormal basis of the span of G functions, for each of T tables.

    Attributes
    ----------
    basis : ndarray (T, G, K)
        Missing functions, which come last, are zero.
    combine : ndarray (T, G, G)
        function_g = sum_i combine[i, g] basis_i.
    recover : ndarray (T, G, G)
        From coefficients of the basis to the smallest ones of the functions.
    sizes : ndarray (T, G)
        Singular values of the functions made of norm 1, largest first.
    """

    basis: Array
    combine: Array
    recover: Array
    sizes: Array


def span(functions: Array, weight: Array, smallest: Array, threshold: float) -> Span:
    """Basis of functions (T, G, K) under the weight (T, K), by singular values.

    Functions of norm <= `smallest` (T, G) count as zero, and so do directions whose singular value among functions of
    norm 1 is below `threshold` of the largest: they are dependent (u and -u of an odd activation, equal levels), or
    would need coefficients that no network has.
    """
    norm = np.sqrt(np.sum(weight[:, None] * functions**2, axis=2))
    present = norm > smallest
    scale = np.where(present, 1 / np.where(present, norm, 1.0), 0.0)
    normalised = np.sqrt(weight)[:, None] * functions * scale[..., None]
    _, sizes, right = np.linalg.svd(np.swapaxes(normalised, 1, 2), full_matrices=False)
    kept = (sizes > threshold * sizes[:, :1]) & (sizes > 0)
    divided = np.where(kept, 1 / np.where(kept, sizes, 1.0), 0.0)
    recover = scale[..., None] * np.swapaxes(right, 1, 2) * divided[:, None]
    return Span(
        basis=np.matmul(np.swapaxes(recover, 1, 2), functions),
        combine=np.where(kept, sizes, 0.0)[..., None] * right * np.where(present, norm, 0.0)[:, None],
        recover=recover,
        sizes=sizes,
    )


def without(functions: Array, basis: Array, weight: Array) -> tuple[Array, Array]:
    """Overlaps (T, B, G) of functions (T, G, K) with an orthonormal basis (T, B, K), and what is left of them."""
    overlaps = np.zeros((basis.shape[0], basis.shape[1], functions.shape[1]))
    for _ in range(2):  # twice is enough
        more = np.matmul(weight[:, None] * basis, np.swapaxes(functions, 1, 2))
        functions = functions - np.matmul(np.swapaxes(more, 1, 2), basis)
        overlaps += more
    return overlaps, functions


def _condition(sizes: Array) -> Array:
    """Condition number (T,) of the Gram matrix from singular values (T, G), zeros to rounding left out."""
    smallest = np.min(np.where(sizes > NEGLIGIBLE * sizes[:, :1], sizes, np.inf), axis=1)
    known = np.isfinite(smallest)
    return np.where(known, sizes[:, 0] / np.where(known, smallest, 1.0), 1.0) ** 2


def pair_index(count: int) -> Index:
    """Where the product of functions i and j is stored in `_products`, (count, count)."""
    index = np.empty((count, count), dtype=np.intp)
    first, second = np.triu_indices(count)
    index[first, second] = index[second, first] = np.arange(len(first))
    return index


def _products(functions: Array) -> Array:
    """Products (T, F(F+1)/2, K) of functions (T, F, K)."""
    first, second = np.triu_indices(functions.shape[1])
    return functions[:, first] * functions[:, second]
