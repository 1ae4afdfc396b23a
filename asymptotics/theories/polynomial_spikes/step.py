"""What one step makes of the first layer: its direction, and the law of the preactivations of its neurons."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity

Array = NDArray[np.float64]

ROUNDING = 1e-14  # of Hermite coefficients, relative to the norm


class Step(NamedTuple):
    """Steps (T,): on a fresh x neuron i sees tau z_i kappa + v_i xi, v_i^2 = (1 + s z_i)^2 + tau_r^2 z_i^2; eq. (5).

    kappa = <b, x>/|b| and xi are independent standard Gaussians, z_i = sqrt(p) a_i the initial readout.

    Attributes
    ----------
    norm_squared : ndarray
        |b|^2, b = X^T y/n0.
    alignment : ndarray
        rho = <b, theta>/|b|.
    tau, tau_r, rescaling : ndarray
        Rank-one part, full-rank residual, and rescaling s of the rows of the initial weights.
    """

    norm_squared: Array
    alignment: Array
    tau: Array
    tau_r: Array
    rescaling: Array

    def at(self, index: NDArray[np.intp]) -> Step:
        """Some of the steps."""
        return Step(*(values[index] for values in self))

    @property
    def residual_ratio(self) -> Array:
        """r = tau_r^2/tau^2; eq. (6)."""
        return (self.tau_r / self.tau) ** 2


class TargetMoments(NamedTuple):
    """Moments of the link function sigma_star at z ~ N(0, 1).

    coefficients : ndarray (D,), E[sigma_star h_k]; second : E sigma_star^2; weighted : E[sigma_star^2 z^2].
    """

    coefficients: Array
    second: float
    weighted: float


def clean_coefficients(function: Nonlinearity, degree: int) -> Array:
    """Hermite coefficients up to a degree; those below rounding are zeros."""
    coefficients = function.hermite_coefficients(degree)
    return np.where(np.abs(coefficients) > ROUNDING * math.sqrt(function.second_moment()), coefficients, 0.0)


def target_moments(target: Nonlinearity, degree: int) -> TargetMoments:
    """The moments, with clean coefficients up to a degree."""
    second, coefficients = target.second_moment(), clean_coefficients(target, degree)
    z, weight = target.standard_rule(0.5)
    with np.errstate(under="ignore"):
        weighted = float(np.sum(weight * (z * target.value(z)) ** 2))
    return TargetMoments(coefficients, second, weighted)


def direction_norm_squared(target: TargetMoments, d: Array, n0: Array, noise_var: Array) -> Array:
    """E |X^T y/n0|^2, exact at any size; eq. (3)."""
    second = target.second + noise_var
    return ((d - 1) * second + target.weighted + noise_var) / n0 + (1 - 1 / n0) * target.coefficients[1] ** 2


def limiting_norm_squared(target: TargetMoments, alpha0: Array, noise_var: Array) -> Array:
    """c*_1^2 + E y^2/alpha0, the same as d, n0 -> infinity; eq. (3)."""
    return target.coefficients[1] ** 2 + (target.second + noise_var) / alpha0


def step_of(
    activation: Nonlinearity, target: TargetMoments, d: Array, p: Array, n0: Array, eta: Array, noise_var: Array,
    norm_squared: Array, alignment: Array | None = None,
) -> Step:
    """The step at a learning rate; eqs. (4), (5)."""
    _, c1, c2 = clean_coefficients(activation, 2)
    c0_star, c1_star = target.coefficients[:2]
    norm = np.sqrt(norm_squared)
    return Step(
        norm_squared,
        c1_star / norm if alignment is None else alignment,
        eta * c1 * norm / np.sqrt(p),
        eta * np.sqrt(d / n0 * (target.second + noise_var) * activation.slope_variance() / p),
        eta * math.sqrt(2) * c2 * c0_star / np.sqrt(p),
    )


class Readouts(NamedTuple):
    """Cells (C,): the readouts, each on the features of one step.

    Attributes
    ----------
    step : ndarray of int
        Position of its step.
    d, p, n : ndarray
        Input dimension, hidden units, samples of the readout, as floats.
    lam, noise_var : ndarray
        Penalty of sum (y - F w/sqrt(p))^2 + lam |w|^2, and variance of the label noise.
    """

    step: NDArray[np.intp]
    d: Array
    p: Array
    n: Array
    lam: Array
    noise_var: Array

    def at(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Readouts:
        """Some of the cells."""
        return Readouts(self.step[index], *(values[index] for values in self[1:]))
