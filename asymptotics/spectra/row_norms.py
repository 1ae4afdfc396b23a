"""Row norms of the weights after one gradient step, as a third direction beside spike and target.

The squared norms |W_b,i|^2 of the rows of the bulk fluctuate like 1/sqrt(d), and follow the rows: given the data of
the step, E[(|W_b,i|^2 - c) W_b,i] = s/d with s = P g_f + g_h, P = I + k2 M, g_f = X^T f(y)/n0.  The part of the norms
that is linear in the rows is W_b C^{-1} s, the rest is independent of them.  Section 12 of docs/theories/giant_step.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .chebyshev import evaluate_series, half_line_nodes, half_line_point, series_coefficients, series_derivative
from .marchenko_pastur import Overlaps, SpectralCurve, bordered
from .step_covariance import LabelMeasure, matrix_averages
from .step_curve import ACCEPTED_ERROR, COEFFICIENT_ROUNDING, ORDERS, TAIL_ROUNDING, TAIL_TARGET, StepCurve

Array = NDArray[np.float64]

WORK_SIZE = 1 << 22  # nodes in omega and in the labels at a time


class NormDirection(NamedTuple):
    """How row norms depend on the data of the step.

    Attributes
    ----------
    linear, direct : ndarray (K,)
        f and h at the labels of the measure.
    power : float
        d Var |W_b,i|^2.
    """

    linear: Array
    direct: Array
    power: float


def norm_samples(
    measure: LabelMeasure, omega: Array, alpha0: float, k2: float, tau2: float, norms: NormDirection
) -> Array:
    """Entries g_(v, norms), g_(zeta, norms), g_(norms, norms) of the resolvent at omega: (3, O); eqs. (44)-(46).

    With R = (C + omega)^{-1}:  R_vs/R_vv,  omega (R_zeta,s - R_zeta,v R_vs/R_vv)  and  power - R_ss + R_vs^2/R_vv.
    """
    block = matrix_averages(measure, np.asarray(omega, dtype=np.float64), alpha0, k2, tau2)
    label, f, h = measure.y, norms.linear, norms.direct
    theta = {name: block.with_theta(function) for name, function in (("y", label), ("f", f), ("h", h))}

    def between(one: str, first: Array, two: str, second: Array) -> Array:
        return block.between(first, second, theta[one], theta[two])

    theta_s = theta["f"].joint[0, 1] + theta["h"].joint[0, 0]
    g_s = between("y", label, "f", f)[0, 1] + between("y", label, "h", h)[0, 0]
    length = measure.p0 @ (f * f) / alpha0 + (measure.p1 @ f) ** 2  # |g_f|^2
    ss = length + between("f", f, "f", f)[1, 1] + 2 * between("h", h, "f", f)[0, 1] + between("h", h, "h", h)[0, 0]

    noise, signal = np.sqrt(measure.power / alpha0), measure.signal
    norm = np.hypot(signal, noise)
    gamma, rho = signal / norm, noise / norm
    n_s = (g_s - signal * theta_s) / noise
    v_s, zeta_s = gamma * theta_s + rho * n_s, rho * theta_s - gamma * n_s
    gg, theta_g, theta_theta = between("y", label, "y", label)[0, 0], theta["y"].joint[0, 0], block.theta[0, 0]
    vv = gg / norm**2
    zeta_v = (theta_g / norm - gamma * vv) / rho if rho > 0 else 0 * theta_theta
    return np.stack([v_s / vv, omega * (zeta_s - zeta_v * v_s / vv), norms.power - ss + v_s**2 / vv])


class NormedStepCurve:
    """A `StepCurve` whose overlaps have the row norms as a third direction.

    Attributes
    ----------
    curve : StepCurve
    """

    def __init__(self, curve: StepCurve, coefficients: Array, tail: Array) -> None:
        # (M, 6, T): g_(v, norms), (1 + c x) g_(zeta, norms), g_(norms, norms); then their derivatives
        self.curve = curve
        self._coefficients = coefficients
        self._tail = tail

    @property
    def directions(self) -> int:
        """Spike, rest of the target, row norms."""
        return 3

    @property
    def converged(self) -> NDArray[np.bool_]:
        """(T,) whether series and nodes are accurate."""
        return self.curve.converged & (self._tail <= ACCEPTED_ERROR)

    def rows(self, index: NDArray[np.intp]) -> NormedStepCurve:
        """Some of the tables."""
        return NormedStepCurve(self.curve.rows(index), self._coefficients[:, :, index], self._tail[index])

    def spectrum(self, x: Array) -> SpectralCurve:
        """t(x) and what Newton needs of it, at x of shape (T, C)."""
        return self.curve.spectrum(x)

    def overlaps(self, x: Array) -> Overlaps:
        """Matrices in the directions (v, zeta, norms), at x of shape (T, C)."""
        inner = self.curve.overlaps(x)
        c = self.curve.mean[:, None]
        u, slope = half_line_point(x, self.curve.scale[:, None])
        values = evaluate_series(self._coefficients, u)
        with np.errstate(under="ignore"):
            vd, zd, dd = values[:3]
            change = -slope * values[3:]  # d/dx
            small = 1 / (1 + c * x)
            zd = small * zd
            zd_change = small * (change[1] - c * zd)
            border = np.stack([vd, zd, dd])
            changes = np.stack([change[0], zd_change, change[2]])
            zeta = np.stack([inner.resolvent[0, 1], inner.resolvent[1, 1], zd]) * zd
            remaining = border + x * changes
            remaining[1] = small * (zd + x * change[1])
            return Overlaps(*(
                bordered(part, edge) for part, edge in zip(
                    inner, (border, remaining, border - x * zeta, -changes - zeta), strict=True)
            ))


def tabulate_norms(
    curve: StepCurve, measure: LabelMeasure, alpha0: float, k2: float, tau2: float, norms: NormDirection,
    refinement: int = 1,
) -> NormedStepCurve:
    """The table of the row norms beside that of the covariance (one table)."""
    c, scale = float(curve.mean[0]), float(curve.scale[0])
    previous = np.inf
    for order in ORDERS:
        omega = half_line_nodes(refinement * order, scale)
        parts = np.array_split(omega, 1 + omega.size * measure.y.size // WORK_SIZE)
        samples = np.concatenate([norm_samples(measure, part, alpha0, k2, tau2, norms) for part in parts], axis=1)
        samples[1] *= 1 + c / omega
        coefficients = series_coefficients(samples)
        # by Cauchy and Schwarz: an entry that is small beside them needs no digits of its own
        natural = np.sqrt([c * norms.power, c * norms.power, norms.power**2])
        tail = float(np.max(np.abs(coefficients[:, -3:]) / natural[:, None]))
        if tail <= TAIL_TARGET or 0.5 * previous <= tail <= TAIL_ROUNDING:
            break
        previous = tail
    # what is below the tail is rounding, which the derivative would magnify
    coefficients[np.abs(coefficients) < max(tail, COEFFICIENT_ROUNDING) * natural[:, None]] = 0.0
    kept = 1 + int(np.max(np.nonzero(np.any(coefficients, axis=0)), initial=0))
    coefficients = coefficients[:, :kept]
    both = np.concatenate([coefficients, series_derivative(coefficients)]).T[:, :, None]
    return NormedStepCurve(curve, np.ascontiguousarray(both), np.array([tail]))


def without_norms(curve: StepCurve) -> NormedStepCurve:
    """Row norms that do not fluctuate."""
    return NormedStepCurve(curve, np.zeros((1, 6, curve.mean.size)), np.zeros(curve.mean.size))


def stack_normed(curves: list[NormedStepCurve], table: NDArray[np.intp]) -> NormedStepCurve:
    """Tables of several curves, as many and in the order that `table` says."""
    order = max(len(curve._coefficients) for curve in curves)
    padded = [np.pad(curve._coefficients, ((0, order - len(curve._coefficients)), (0, 0), (0, 0))) for curve in curves]
    tails = np.concatenate([curve._tail for curve in curves])
    joined = StepCurve.stack([curve.curve for curve in curves])
    return NormedStepCurve(joined, np.concatenate(padded, axis=2), tails).rows(table)
