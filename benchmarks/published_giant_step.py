"""The published algorithm for one giant gradient step, as the baseline of `benchmarks.giant_step`; arXiv:2402.04980.

Written afresh after the paper's public notebook, for p = d: one sampled weight matrix, inner Gaussian averages by
19-node Gauss-Hermite sums, adaptive quadrature over kappa of functions that are evaluated one number at a time, and
damped iteration of all order parameters together.  Symbols are those of docs/theories/giant_step.md, sections 3-8.
Nothing here is slowed down on purpose, and nothing is tabulated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad

from validation.networks import sphere_rows, unit_vector

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

INNER_NODES = 19
TOLERANCE = 1e-4


class Bulk(NamedTuple):
    """One matrix W: eigenvalues of W (I - v v^T) W^T, and d times the squared overlaps of W v and W zeta with the
    eigenvectors; zeta is orthogonal to v.  The products of the two overlaps are neglected."""

    eigenvalues: Array
    along_spike: Array
    along_rest: Array


class OrderParameters(NamedTuple):
    """Order parameters, in the order of the public notebook."""

    q1: float
    q2: float
    V1: float
    V2: float
    th: float
    psi: float
    m: float


START = OrderParameters(0.1, 0.2, 3.0, 3.0, 0.5, 0.5, 1.5)


class Solution(NamedTuple):
    """The answer at one alpha, and the number of sweeps that it took."""

    test_error: float
    parameters: OrderParameters
    sweeps: int


def sample_bulk(d: int, bulk_variance: float, rng: np.random.Generator) -> Bulk:
    """A d x d matrix with independent rows of squared norm `bulk_variance`, diagonalised."""
    weights = math.sqrt(bulk_variance) * sphere_rows(d, d, rng)
    v = unit_vector(d, rng)
    zeta = unit_vector(d, rng, orthogonal_to=v)
    spike = weights @ v
    eigenvalues, vectors = np.linalg.eigh(weights @ weights.T - np.outer(spike, spike))
    return Bulk(eigenvalues, d * (vectors.T @ spike) ** 2, d * (vectors.T @ (weights @ zeta)) ** 2)


class PublishedAlgorithm:
    """The equations for one activation, target and spike, solved one alpha at a time.

    Parameters
    ----------
    activation, target : callable
        Vectorised.
    strength, bulk_variance, alignment : float
        r, c and gamma.
    bulk : Bulk
    """

    def __init__(
        self,
        activation: Function,
        target: Function,
        strength: float,
        bulk_variance: float,
        alignment: float,
        bulk: Bulk,
    ) -> None:
        self.activation, self.target, self.bulk = activation, target, bulk
        self.strength, self.variance, self.alignment = strength, bulk_variance, alignment
        self.deviation, self.rest = math.sqrt(bulk_variance), math.sqrt(1 - alignment**2)
        self.nodes, weights = np.polynomial.hermite_e.hermegauss(INNER_NODES)
        self.weights = weights / math.sqrt(2 * math.pi)
        self.linear_weights = self.weights * self.nodes

    # ---- moments of the activation and of the target given kappa

    def mu0(self, kappa: float) -> float:
        """E sigma(t), t ~ N(r kappa, c)."""
        return float(self.weights @ self._features(kappa))

    def mu1(self, kappa: float) -> float:
        """E sigma'(t), by parts."""
        return float(self.linear_weights @ self._features(kappa)) / self.deviation

    def mu2_sq(self, kappa: float) -> float:
        """E sigma(t)^2 - mu0^2 - c mu1^2."""
        second = float(self.weights @ self._features(kappa) ** 2)
        return second - self.mu0(kappa) ** 2 - self.variance * self.mu1(kappa) ** 2

    def h(self, kappa: float) -> float:
        """E sigma_star(gamma kappa + rho tau)."""
        return float(self.weights @ self._labels(kappa))

    def h1(self, kappa: float) -> float:
        """E tau sigma_star(gamma kappa + rho tau)."""
        return float(self.linear_weights @ self._labels(kappa))

    def hh(self, kappa: float) -> float:
        """E sigma_star(gamma kappa + rho tau)^2."""
        return float(self.weights @ self._labels(kappa) ** 2)

    def _features(self, kappa: float) -> Array:
        return self.activation(self.strength * kappa + self.deviation * self.nodes)

    def _labels(self, kappa: float) -> Array:
        return self.target(self.alignment * kappa + self.rest * self.nodes)

    # ---- the iteration

    def solve(
        self,
        alpha: float,
        lam: float,
        noise_var: float = 0.0,
        start: OrderParameters = START,
        tolerance: float = TOLERANCE,
    ) -> Solution:
        """Average of old and new values until q1, q2, th, psi and m change by less than the tolerance."""
        old, sweeps, change = start, 0, math.inf
        while change >= tolerance:
            swept = self.sweep(old, alpha, lam, noise_var)
            new = OrderParameters(*((before + after) / 2 for before, after in zip(old, swept, strict=True)))
            change = max(abs(getattr(new, name) - getattr(old, name)) for name in ("q1", "q2", "th", "psi", "m"))
            old, sweeps = new, sweeps + 1
        return Solution(average(lambda kappa: self.conditional_error(kappa, old, noise_var)), old, sweeps)

    def sweep(self, old: OrderParameters, alpha: float, lam: float, noise_var: float) -> OrderParameters:
        """Every order parameter from the values of all of them."""

        def o(kappa: float) -> float:
            return 1 / (1 + self.mu1(kappa) ** 2 * old.V1 + self.mu2_sq(kappa) * old.V2)

        def weighted_error(kappa: float) -> float:
            return self.conditional_error(kappa, old, noise_var) * o(kappa) ** 2

        def unexplained(kappa: float) -> float:
            return self.h(kappa) - self.mean_prediction(kappa, old)

        q1_hat = alpha * average(lambda kappa: self.mu1(kappa) ** 2 * weighted_error(kappa))
        q2_hat = alpha * average(lambda kappa: self.mu2_sq(kappa) * weighted_error(kappa))
        v1_hat = alpha * average(lambda kappa: self.mu1(kappa) ** 2 * o(kappa))
        v2_hat = alpha * average(lambda kappa: self.mu2_sq(kappa) * o(kappa))
        th_hat = alpha * average(lambda kappa: kappa * self.mu1(kappa) * unexplained(kappa) * o(kappa))
        psi_hat = alpha * average(lambda kappa: self.h1(kappa) * self.mu1(kappa) * o(kappa))
        projection = average(
            lambda kappa: self.mu0(kappa) * (self.h(kappa) - old.th * kappa * self.mu1(kappa)) * o(kappa)
        )
        norm = average(lambda kappa: self.mu0(kappa) ** 2 * o(kappa))

        values, along_spike, along_rest = self.bulk
        shifted = lam + v1_hat * values + v2_hat
        numerator = q1_hat * values + q2_hat + th_hat**2 * along_spike + psi_hat**2 * along_rest
        return OrderParameters(
            q1=float(np.mean(values * numerator / shifted**2)),
            q2=float(np.mean(numerator / shifted**2)),
            V1=float(np.mean(values / shifted)),
            V2=float(np.mean(1 / shifted)),
            th=th_hat * float(np.mean(along_spike / shifted)),
            psi=psi_hat * float(np.mean(along_rest / shifted)),
            m=projection / norm,
        )

    def mean_prediction(self, kappa: float, at: OrderParameters) -> float:
        """fbar = m mu0 + th kappa mu1."""
        return at.m * self.mu0(kappa) + at.th * kappa * self.mu1(kappa)

    def conditional_error(self, kappa: float, at: OrderParameters, noise_var: float) -> float:
        """Test error given kappa."""
        prediction, mu1 = self.mean_prediction(kappa, at), self.mu1(kappa)
        target = self.hh(kappa) + noise_var - 2 * prediction * self.h(kappa) + prediction**2
        return target - 2 * mu1 * at.psi * self.h1(kappa) + mu1**2 * at.q1 + self.mu2_sq(kappa) * at.q2


def average(function: Callable[[float], float]) -> float:
    """E of a function of kappa ~ N(0, 1)."""
    return float(quad(lambda kappa: normal_density(kappa) * function(kappa), -math.inf, math.inf)[0])


def normal_density(kappa: float) -> float:
    """Density of N(0, 1)."""
    return math.exp(-kappa * kappa / 2) / math.sqrt(2 * math.pi)
