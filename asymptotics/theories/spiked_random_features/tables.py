"""Functions of kappa that all cells with the same (r, c, gamma) share: moments of activation and target on nodes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from ...spectra import Isotropic, RowCovariance
from .gradient_step import SpikeParameters
from .kappa_rule import KappaRule, rule_nodes

Array = NDArray[np.float64]


class Tables(NamedTuple):
    """Moments of T tables on K nodes; nodes along the last but one axis where there are columns.

    Attributes
    ----------
    weight : ndarray (T, K)
        Quadrature weights with the density of kappa.
    squares : ndarray (T, 2, K)
        mu1^2 and mu2^2.
    weighted_squares : ndarray (T, K, 3)
        Columns weight * (mu1^2, mu2^2, 1).
    weighted_products : ndarray (T, K, 3)
        Columns weight * (mu1^4, mu1^2 mu2^2, mu2^4).
    signal_columns : ndarray (T, K, F(F+1)/2 + F + 2)
        Columns weight * (products of basis functions, basis * h, mu1 h1, mu0^2).
    basis : ndarray (T, F, K)
        The functions (mu0, kappa mu1[, nu]) made orthonormal in this order; zero where dependent.
    triangle : ndarray (T, F, F)
        Upper triangle R with functions = R^T basis.
    mu1 : ndarray (T, K)
    h, h1, unlearnable : ndarray (T, K)
        E sigma_star, E[tau sigma_star] and the variance of sigma_star that is not linear in tau, given kappa.
    bulk_variance : ndarray (T,)
    activation_power : ndarray (T,)
        E sigma^2, the scale of everything quadratic in the features.
    covariance : RowCovariance
        Of the bulk of the weights.
    """

    weight: Array
    squares: Array
    weighted_squares: Array
    weighted_products: Array
    signal_columns: Array
    basis: Array
    triangle: Array
    mu1: Array
    h: Array
    h1: Array
    unlearnable: Array
    bulk_variance: Array
    activation_power: Array
    covariance: RowCovariance

    @property
    def mean_squares(self) -> Array:
        """E[mu1^2] and E[mu2^2], (T, 2)."""
        return np.sum(self.weighted_squares[..., :2], axis=1)

    @property
    def flat(self) -> NDArray[np.bool_]:
        """Tables (T,) with mu1 = 0: an even activation without spike, where x = 0."""
        return self.mean_squares[:, 0] * self.bulk_variance < 1e-28 * self.activation_power

    def largest_squares(self, activation: Nonlinearity) -> Array:
        """Maxima of mu1^2 and mu2^2 over kappa, (T, 2); those of polynomials are taken under the density."""
        squares = self.squares
        if activation.degree > 1:
            squares = squares * (self.weight / np.max(self.weight, axis=1, keepdims=True))[:, None]
        return np.max(squares, axis=2)

    def rows(self, index: NDArray[np.intp]) -> Tables:
        """Some of the tables."""
        arrays = {name: array[index] for name, array in self._asdict().items() if name != "covariance"}
        return Tables(**arrays, covariance=self.covariance.rows(index))


def build_tables(
    activation: Nonlinearity,
    target: Nonlinearity,
    spikes: SpikeParameters,
    rule: KappaRule,
    with_norms: bool,
    covariance: RowCovariance | None = None,
) -> Tables:
    """Tables for T spikes on rules of one kind; eqs. (7)-(9) of docs/theories/giant_step.md.

    `with_norms` adds the function nu, with which fluctuating row norms couple to the output.  The bulk is isotropic
    unless its `covariance` is given.
    """
    kappa, weight = rule_nodes(rule, activation, target, spikes)
    c, rho = spikes.bulk_variance[:, None], spikes.rho[:, None]
    mu0, mu1, mu2_sq, nu = activation.moments(spikes.strength[:, None] * kappa, c)
    learned = target.moments(spikes.alignment[:, None] * kappa, rho**2)

    h, h1 = learned.mu0, rho * learned.mu1
    mu1_sq = mu1 * mu1
    power = np.sum(weight * (mu0**2 + c * mu1_sq + mu2_sq), axis=1)
    functions = [mu0, kappa * mu1] + ([nu] if with_norms else [])
    basis, triangle = orthonormal(np.stack(functions, axis=1), weight, power)
    count = len(functions)
    products = [basis[:, i] * basis[:, j] for i in range(count) for j in range(i + 1)]
    projections = [basis[:, i] * h for i in range(count)]
    return Tables(
        weight=weight,
        squares=np.stack([mu1_sq, mu2_sq], axis=1),
        weighted_squares=_columns(weight, [mu1_sq, mu2_sq, np.ones_like(mu1_sq)]),
        weighted_products=_columns(weight, [mu1_sq * mu1_sq, mu1_sq * mu2_sq, mu2_sq * mu2_sq]),
        signal_columns=_columns(weight, [*products, *projections, mu1 * h1, mu0 * mu0]),
        basis=basis,
        triangle=triangle,
        mu1=mu1,
        h=h,
        h1=h1,
        unlearnable=learned.mu2_sq,
        bulk_variance=spikes.bulk_variance,
        activation_power=power,
        covariance=Isotropic(spikes.bulk_variance) if covariance is None else covariance,
    )


def signal_averages(columns: Array, count: int) -> tuple[Array, Array, Array, Array]:
    """Averages over `signal_columns` (M, ...) of F = `count` basis functions, by name.

    E[o b b^T] (F, F, ...), E[o b h] (F, ...), E[o mu1 h1] and E[o mu0^2].
    """
    gram = np.empty((count, count, *columns.shape[1:]))
    pairs = [(i, j) for i in range(count) for j in range(i + 1)]
    for (i, j), column in zip(pairs, columns, strict=False):
        gram[i, j] = gram[j, i] = column
    return gram, columns[len(pairs):len(pairs) + count], columns[-2], columns[-1]


def orthonormal(functions: Array, weight: Array, power: Array) -> tuple[Array, Array]:
    """Gram-Schmidt (twice) of functions (T, F, K) under the weight: basis (T, F, K) and triangle R (T, F, F).

    A function that vanishes, or depends on those before it, gives a zero function and a zero on the diagonal: the mean
    mu0 of an odd activation without spike; kappa mu1 of a linear one.
    """
    count = functions.shape[1]
    basis = np.zeros_like(functions)
    triangle = np.zeros((functions.shape[0], count, count))
    for i in range(count):
        rest = functions[:, i].copy()
        size = np.sqrt(np.sum(weight * rest * rest, axis=1))
        for _ in range(2):
            for j in range(i):
                overlap = np.sum(weight * basis[:, j] * rest, axis=1)
                triangle[:, j, i] += overlap
                rest -= overlap[:, None] * basis[:, j]
        norm = np.sqrt(np.sum(weight * rest * rest, axis=1))
        present = norm > 1e-12 * (np.sqrt(power) if i == 0 else size)
        triangle[:, i, i] = np.where(present, norm, 0.0)
        basis[:, i] = rest / np.where(present, norm, 1.0)[:, None] * present[:, None]
    return basis, triangle


def _columns(weight: Array, functions: list[Array]) -> Array:
    return np.ascontiguousarray(np.stack([weight * function for function in functions], axis=-1))
