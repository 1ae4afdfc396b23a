"""How the row norms of the bulk follow the data of the gradient step; docs/theories/giant_step.md, section 12.

|W_b,i|^2 = |P w|^2 + 2 w.P n + |n|^2, with P = I + k2 M and n = (eta/n0) sum_mu y_mu x_mu sbar(w.x_mu), sbar the part
of sigma' beyond its linear terms.  Its covariance with the row itself, and its variance, to leading order in 1/d.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...gaussian import Nonlinearity
from ...spectra.row_norms import NormDirection, NormedStepCurve, stack_normed, tabulate_norms, without_norms
from ...spectra.step_covariance import LabelMeasure
from .step_curve import distinct_steps, step_curve, step_measure

Array = NDArray[np.float64]


class SlopeMoments(NamedTuple):
    """Averages over z ~ N(0, 1) of sbar = sigma' - c_1 - sqrt2 c_2 z.

    `second`, `third` are E[sbar h_2], E[sbar h_3]; `power` E sbar^2, `cubic` E sbar^3, `spread` Var sbar^2, `pull`
    E[sbar sbar'], `curved` E[sbar^2 h_2], `lever` E[(z sbar)^2], `lever_cubic` E[z sbar^3].
    """

    second: float
    third: float
    power: float
    cubic: float
    spread: float
    pull: float
    curved: float
    lever: float
    lever_cubic: float


def slope_moments(activation: Nonlinearity) -> SlopeMoments:
    """By quadrature; exact zeros where parity makes them vanish."""
    z, weight = activation.standard_rule(0.5)
    with np.errstate(under="ignore"):
        slopes = activation.derivative(z)
        rest = slopes - weight @ slopes
        rest -= (weight @ (rest * z)) * z
        square = rest * rest
        h2, h3 = (z * z - 1) / math.sqrt(2), (z**3 - 3 * z) / math.sqrt(6)
        power = float(weight @ square)
        even, odd = activation.parity != 1, activation.parity != -1  # sigma' may have an even, an odd part
        return SlopeMoments(
            second=float(weight @ (rest * h2)) * even,
            third=float(weight @ (rest * h3)) * odd,
            power=power,
            cubic=float(weight @ (square * rest)) * even,
            spread=float(weight @ (square - power) ** 2),
            pull=float(weight @ (z * square)) / 2 * (even and odd),
            curved=float(weight @ (square * h2)),
            lever=float(weight @ (z * z * square)),
            lever_cubic=float(weight @ (z * square * rest)) * odd,
        )


def norm_direction(
    activation: Nonlinearity, measure: LabelMeasure, alpha0: float, eta: float, k2: float, tau2: float
) -> NormDirection:
    """Covariance of squared row norms with the rows, and their variance; eqs. (41)-(43).

    With a(y) = 1 + k2 E y + k2 y/alpha0 (so that x_mu.P x_mu/d = a(y_mu)) and a_0 = 1 + k2 E y,

    f = 2 sqrt2 eta sbar_2 y a + 2 (eta^2/alpha0) E[sbar sbar'] y^2,
    h = eta y ( sqrt2 sbar_2 (a^2 - a_0^2) + (4 eta/alpha0) E[sbar sbar'] y a + (eta/alpha0)^2 E[sbar^3] y^2 ).
    """
    s = slope_moments(activation)
    y, mean = measure.y, measure.mean
    a0 = 1 + k2 * mean
    shift = k2 * y / alpha0
    a, rise = a0 + shift, shift * (2 * a0 + shift)
    rate = eta / alpha0
    linear = 2 * math.sqrt(2) * eta * s.second * y * a + 2 * eta * rate * s.pull * y**2
    direct = eta * y * (math.sqrt(2) * s.second * rise + 4 * rate * s.pull * y * a + rate**2 * s.cubic * y**2)

    def average(values: Array) -> float:
        return float(measure.p0 @ values)

    # free cumulants of P: its moments give Var |P w|^2 and |P x|^2/d
    second, third, fourth = (k2**n * average(y**n) / alpha0 ** (n - 1) for n in (2, 3, 4))
    stretched = a0**2 + second
    power = 2 * (fourth + 4 * third * a0 + second**2 + 4 * second * a0**2)
    power += 4 * eta * rate * average(y**2 * (a**2 * s.lever + (stretched + rise - a**2) * s.power))
    power += eta * rate**3 * average(y**4) * s.spread + 2 * (eta * rate * measure.power * s.power) ** 2
    power += 4 * math.sqrt(6) * eta * s.third * average(y * a * rise)
    power += 2 * math.sqrt(2) * eta * rate * s.curved * average(y**2 * rise)
    power += 4 * eta * rate**2 * s.lever_cubic * average(y**3 * a)
    power += float(measure.p1 @ linear) ** 2
    return NormDirection(linear, direct, power)


@functools.lru_cache(maxsize=1024)
def normed_step_curve(
    activation: Nonlinearity, target: Nonlinearity, alpha0: float, eta: float, noise_var_step: float,
    refinement: int = 1, level: float = 1.0,
) -> NormedStepCurve:
    """Spectral functions of the bulk with its row norms, after one step from readout `level`/sqrt(p): one table."""
    curve = step_curve(activation, target, alpha0, eta, noise_var_step, refinement, level)
    step = step_measure(activation, target, alpha0, eta, noise_var_step, refinement, level)
    if step is None:
        return without_norms(curve)
    norms = norm_direction(activation, step.measure, alpha0, eta * level, step.k2, step.tau2)
    return tabulate_norms(curve, step.measure, alpha0, step.k2, step.tau2, norms, refinement)


def normed_step_curves(
    activation: Nonlinearity, target: Nonlinearity, alpha0: ArrayLike, eta: ArrayLike, noise_var_step: ArrayLike,
    refinement: int = 1, level: float = 1.0,
) -> NormedStepCurve:
    """One table for each of T steps, from parameters that broadcast to T values; equal steps are computed once."""
    return stack_normed(*distinct_steps(
        lambda alpha, rate, noise_var: normed_step_curve(
            activation, target, alpha, rate, noise_var, refinement, level),
        alpha0, eta, noise_var_step,
    ))
