"""From one gradient step to the parameters of the spiked random features; docs/theories/giant_step.md, section 2."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity

Array = NDArray[np.float64]

ONE = np.ones(1)


class SpikeParameters(NamedTuple):
    """Spike strength r, bulk variance c and alignment gamma = <v, theta>, of T tables or of one shape.

    With several readout levels c has a last axis over them, and the strengths are r u_g.
    """

    strength: Array
    bulk_variance: Array
    alignment: Array

    @property
    def rho(self) -> Array:
        """sqrt(1 - gamma^2), without cancellation."""
        return np.sqrt((1 - self.alignment) * (1 + self.alignment))

    def at(self, index: NDArray[np.intp]) -> SpikeParameters:
        """Those of some tables."""
        return SpikeParameters(self.strength[index], self.bulk_variance[index], self.alignment[index])


def spike_parameters(
    activation: Nonlinearity, target: Nonlinearity, alpha0: Array, eta: Array, noise_var_step: Array,
    levels: Array = ONE, fractions: Array = ONE,
) -> SpikeParameters:
    """Spike and bulk of W after one step from unit-norm rows and readout u_i/sqrt(p); eqs. (3)-(6), arXiv:2402.04980.

    r = eta c_1 nb,  gamma = t_1/nb,  c_g = (1 + sqrt2 eta u_g c_2 E y)^2 + (eta u_g)^2 s_2 E y^2/alpha0,
    nb^2 = t_1^2 + E y^2/alpha0,  with y = sigma_star + noise - c_0 sum_g pi_g u_g and s_2 = Var sigma'.
    One level u is a part of the strength, r u; several are not.
    """
    c0, c1, c2 = first_coefficients(activation)
    t0, t1, _ = first_coefficients(target)
    alpha0, eta, noise_var_step = np.broadcast_arrays(alpha0, eta, noise_var_step)
    rates = eta[..., None] * levels
    stepped = (alpha0 > 0) & np.any(rates != 0, axis=-1)
    mean = t0 - fractions @ levels * c0
    power = target.second_moment() - t0**2 + mean**2 + noise_var_step  # E y^2
    fluctuation = power / np.where(stepped, alpha0, 1.0)
    norm = np.sqrt(t1**2 + fluctuation)
    informed = stepped & (norm > 0)
    strength = np.where(informed, (rates[..., 0] if len(levels) == 1 else eta) * c1 * norm, 0.0)
    alignment = np.where(informed, np.clip(t1 / np.where(norm > 0, norm, 1.0), -1.0, 1.0), 0.0)
    bulk = (1 + math.sqrt(2) * rates * c2 * mean) ** 2 + rates**2 * activation.slope_variance() * fluctuation[..., None]
    bulk = np.where(stepped[..., None], bulk, 1.0)
    return SpikeParameters(strength, bulk[..., 0] if len(levels) == 1 else bulk, alignment)


def first_coefficients(function: Nonlinearity) -> tuple[float, float, float]:
    """Hermite coefficients c_0, c_1, c_2 (orthonormal); exact zeros where parity makes them vanish."""
    moments = function.standard_moments
    c0, c1, c2 = float(moments.mu0), float(moments.mu1), math.sqrt(2) * float(moments.nu)
    if function.parity == -1:
        return 0.0, c1, 0.0
    if function.parity == 1:
        return c0, 0.0, c2
    return c0, c1, c2
