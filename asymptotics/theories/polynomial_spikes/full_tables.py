"""Functions of the readout z and of kappa that all readouts on one step share; eqs. (27), (28)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from .step import Step

Array = NDArray[np.float64]


class Tables(NamedTuple):
    """T steps on I nodes z and J nodes kappa, in S sectors of functions of kappa.

    Without row rescaling everything is invariant under (z, kappa) -> (-z, -kappa).  Even and odd functions of kappa
    then separate into two sectors, on the nodes z, kappa > 0 with doubled weights; otherwise there is one sector.

    Attributes
    ----------
    z_weight, kappa, kappa_weight : ndarray (T, I), (T, J), (T, J)
        Quadrature for N(0, 1); weights add up to 1.
    noise : ndarray (T, I, J)
        N, the variance of sigma given (z, kappa) that is not linear in xi; the mean over the sectors.
    mean, slope, tilted, curvature : ndarray (T, S, I, J)
        G, A v, kappa A v and q2.
    target_mean, target_slope : ndarray (T, S, J)
        E y and E[t y] given kappa.
    unlearnable : ndarray (T, J)
        Variance of the noiseless label given kappa that is not linear in t; the mean over the sectors.
    alignment : ndarray (T,)
        rho.
    """

    z_weight: Array
    kappa: Array
    kappa_weight: Array
    noise: Array
    mean: Array
    slope: Array
    tilted: Array
    curvature: Array
    target_mean: Array
    target_slope: Array
    unlearnable: Array
    alignment: Array

    @property
    def sectors(self) -> int:
        """1, or 2 for even and odd functions of kappa."""
        return self.mean.shape[1]


def build_tables(
    activation: Nonlinearity, target: Nonlinearity, steps: Step, z_rule: tuple[Array, Array],
    kappa_rule: tuple[Array, Array], variance: Array | None = None,
) -> Tables:
    """Tables of steps that all rescale rows, or all do not.

    Parameters
    ----------
    activation, target : Nonlinearity
    steps : Step
    z_rule, kappa_rule : tuple of ndarray
        Nodes and weights (T, I) and (T, J); any law of the readout can be given.
    variance : ndarray (T, I), optional
        v^2 of the neurons, instead of that of the steps.
    """
    (z, z_weight), (kappa, kappa_weight) = z_rule, kappa_rule
    if variance is None:
        variance = (1 + steps.rescaling[:, None] * z) ** 2 + (steps.tau_r[:, None] * z) ** 2
    halved = not np.any(steps.rescaling) and np.array_equal(z, -z[:, ::-1]) and np.array_equal(
        variance, variance[:, ::-1])
    if halved:
        middle = z.shape[1] // 2
        z, z_weight, variance = z[:, middle:], 2 * z_weight[:, middle:], variance[:, middle:]
    argument = steps.tau[:, None, None] * z[:, :, None] * kappa[:, None]
    moments = activation.moments(argument, variance[:, :, None])
    deviation = np.sqrt(variance)[:, :, None]
    slope = deviation * moments.mu1
    rho = steps.alignment[:, None]
    rest = np.maximum(1 - rho**2, 0.0)
    given = target.moments(rho * kappa, rest)
    sectors = _even_and_odd if halved else _together
    half = kappa.shape[1] // 2 if halved else 0
    return Tables(
        z_weight,
        kappa[:, half:],
        kappa_weight[:, half:] * (2 if halved else 1),
        sectors(moments.mu2_sq)[:, 0],
        sectors(moments.mu0),
        sectors(slope),
        sectors(kappa[:, None] * slope),
        sectors(variance[:, :, None] * moments.nu),
        sectors(given.mu0),
        sectors(np.sqrt(rest) * given.mu1),
        sectors(given.mu2_sq)[:, 0],
        steps.alignment,
    )


def _together(values: Array) -> Array:
    return values[:, None]


def _even_and_odd(values: Array) -> Array:
    """Even and odd parts in the last variable (kappa, symmetric nodes), at its positive nodes."""
    half = values.shape[-1] // 2
    positive, negative = values[..., half:], values[..., half - 1::-1]
    return np.stack([0.5 * (positive + negative), 0.5 * (positive - negative)], axis=1)
