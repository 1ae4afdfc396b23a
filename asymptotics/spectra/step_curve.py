"""Tables of the spectral functions of a step covariance over all x, evaluated for many cells at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .chebyshev import evaluate_series, half_line_nodes, half_line_point, series_coefficients, series_derivative
from .marchenko_pastur import Overlaps, SpectralCurve, symmetric
from .step_covariance import LabelMeasure, SpectralSamples, resolvent_matrix, spectral_samples

Array = NDArray[np.float64]

ORDERS = (36, 54, 81, 120, 180, 270, 405, 608, 911)
TAIL_TARGET = 2e-15
TAIL_ROUNDING = 1e-12  # a tail below that does not shrink with the order is rounding
COEFFICIENT_ROUNDING = 3e-16  # coefficients below are noise, which the derivative would magnify
ACCEPTED_ERROR = 1e-10  # of tails and residuals, beyond which a table has not converged
SMALLEST_SCALE = 1.5  # of the map in x, in units of c
SPREAD_PROBE = 1e4  # omega/c at which the spread of the spectrum is looked at
_TRACE, _VV, _ZZ, _MIXED = range(4)  # rows of a table
_ROWS = 4


class StepCurve:
    """Spectral functions of T covariances C, as Chebyshev series on 0 <= x <= infinity.

    They are tabulated as the number S(x) for which a multiple of the identity would have the same resolvent at x,
    t = S/(1 + x S) and 1 - x t = 1/(1 + x S): S = c if C = c I, S -> c as x -> 0 and, if the spectrum of C stays
    away from zero, S has a limit as x -> infinity; eqs. (36)-(40).

    Attributes
    ----------
    mean : ndarray (T,)
        c = tr C/d.
    scale : ndarray (T,)
        That of the map of x.
    fall : ndarray (T,)
        S ~ x^{-fall} far out: 0, or 1/2 if the spectrum of C reaches zero.
    tail, residual : ndarray (T,)
        The largest of the last three coefficients, in units of the largest or of 1; the residual of the equations.
    """

    def __init__(
        self, coefficients: Array, mean: Array, scale: Array, fall: Array, tail: Array, residual: Array
    ) -> None:
        # (M, 8, T): log (1 + c x)^fall S/c for trace, vv and zz, and (1 + c x) g_vz/c; then their derivatives
        self._coefficients = coefficients
        self.mean, self.scale, self.fall, self.tail, self.residual = mean, scale, fall, tail, residual

    @property
    def _columns(self) -> tuple[Array, ...]:
        return self.mean, self.scale, self.fall, self.tail, self.residual

    @classmethod
    def isotropic(cls, c: ArrayLike) -> StepCurve:
        """C = c I."""
        mean = np.atleast_1d(np.asarray(c, dtype=np.float64))
        zero = np.zeros(mean.shape)
        return cls(np.zeros((1, 2 * _ROWS, mean.size)), mean, mean, zero, zero, zero)

    @classmethod
    def stack(cls, curves: Sequence[StepCurve]) -> StepCurve:
        """All tables of several curves, in order."""
        order = max(curve.order for curve in curves)
        padded = [np.pad(curve._coefficients, ((0, order - curve.order), (0, 0), (0, 0))) for curve in curves]
        joined = (np.concatenate(column) for column in zip(*(curve._columns for curve in curves), strict=True))
        return cls(np.concatenate(padded, axis=2), *joined)

    def rows(self, index: NDArray[np.intp]) -> StepCurve:
        """Some of the tables."""
        return StepCurve(self._coefficients[:, :, index], *(column[index] for column in self._columns))

    @property
    def order(self) -> int:
        """M, the number of coefficients of the longest series."""
        return len(self._coefficients)

    @property
    def directions(self) -> int:
        """Spike and rest of the target."""
        return 2

    @property
    def converged(self) -> NDArray[np.bool_]:
        """(T,) whether series and nodes are accurate."""
        return np.maximum(self.tail, self.residual) <= ACCEPTED_ERROR

    def spectrum(self, x: Array) -> SpectralCurve:
        """t(x) and what Newton needs of it, at x of shape (T, C)."""
        (strength,), (descent,), _, _ = self._strengths([_TRACE], x)
        deficit = 1 / (1 + x * strength)
        t = strength * deficit
        # -dlog t/dx is a sum of nonnegative terms
        steepness = (strength + descent) * deficit
        left = 1 - x * descent
        return SpectralCurve(t, -x * steepness, deficit, left * deficit, t * left / (strength + descent))

    def overlaps(self, x: Array) -> Overlaps:
        """g = Gc + x Gc e_v e_v^T Gc/(1 - x Gc_vv), Gc = <., C (1 + x C)^{-1} .>, at x of shape (T, C); (37)-(38)."""
        (vv, zz), (vv_descent, zz_descent), mixed, mixed_descent = self._strengths([_VV, _ZZ, _MIXED], x)
        c = self.mean[:, None]
        small, deficit = 1 / (1 + c * x), 1 / (1 + x * zz)
        with np.errstate(under="ignore"):
            g_vz, g_zz, change = c * small * mixed, zz * deficit, c * small * mixed_descent
            return Overlaps(
                symmetric(vv, g_vz, g_zz),
                symmetric((1 - x * vv_descent) * vv, small * g_vz - x * change, (1 - x * zz_descent) * deficit * g_zz),
                symmetric(vv - x * g_vz**2, g_vz * deficit, g_zz * deficit),
                symmetric(
                    vv_descent * vv - g_vz**2, change + (c * small - g_zz) * g_vz, zz_descent * deficit * g_zz
                ),
            )

    def _strengths(self, rows: list[int], x: Array) -> tuple[Array, Array, Array, Array]:
        """S and -dlog S/dx (n, T, C) of the logarithmic rows; value and -d/dx (T, C) of the last row."""
        c, fall = self.mean[:, None], self.fall[:, None]
        u, slope = half_line_point(x, self.scale[:, None])
        both = evaluate_series(self._coefficients[:, rows + [_ROWS + row for row in rows]], u)
        with np.errstate(under="ignore"):
            values, descents = both[:len(rows)], slope * both[len(rows):]
        logarithmic = [row for row in rows if row != _MIXED]
        count = len(logarithmic)
        small = 1 / (1 + c * x)
        strengths = c * small**fall * np.exp(values[:count])
        # nonnegative, but for rounding: S never rises
        falling = np.maximum(descents[:count] + fall * c * small, 0.0)
        return strengths, falling, values[-1], descents[-1]


def tabulate(measure: LabelMeasure, alpha0: float, k2: float, tau2: float, refinement: int = 1) -> StepCurve:
    """The curve (one table) of C = (I + k2 M)^2 + tau2 B; `refinement` multiplies the number of nodes."""
    c = (1 + k2 * measure.mean) ** 2 + (tau2 + k2**2 / alpha0) * measure.power
    scale = c * max(SMALLEST_SCALE, 0.5 * _spread(measure, alpha0, k2, tau2, c))
    order, previous = ORDERS[0], np.inf
    while True:
        omega = half_line_nodes(refinement * order, scale)
        samples = spectral_samples(measure, omega, alpha0, k2, tau2)
        fall = _fall(samples, omega) if tau2 == 0 else 0.0
        coefficients = series_coefficients(_tabulated(samples, omega, c, fall))
        size = np.abs(coefficients)
        size /= np.maximum(1.0, np.max(size, axis=1, keepdims=True))
        tail = float(np.max(size[:, -3:]))
        if tail <= TAIL_TARGET or order == ORDERS[-1] or 0.5 * previous <= tail <= TAIL_ROUNDING:
            break
        previous = tail
        needed = order * np.log(TAIL_TARGET) / np.log(min(tail, 0.5))  # if the decay stays geometric
        order = next((n for n in ORDERS if n > order and n >= needed), ORDERS[-1])
    coefficients[size < COEFFICIENT_ROUNDING] = 0.0
    kept = 1 + int(np.max(np.nonzero(np.any(coefficients, axis=0)), initial=0))
    coefficients = coefficients[:, :kept]
    both = np.concatenate([coefficients, series_derivative(coefficients)]).T[:, :, None]
    residual = float(np.max(samples.residual))
    return StepCurve(np.ascontiguousarray(both), *(np.array([value]) for value in (c, scale, fall, tail, residual)))


def _spread(measure: LabelMeasure, alpha0: float, k2: float, tau2: float, c: float) -> float:
    """About (tr C^2/d)/c^2: S(1/omega) = c - (tr C^2/d - c^2)/omega + ..."""
    omega = SPREAD_PROBE * c
    trace = resolvent_matrix(measure, np.array([omega]), alpha0, k2, tau2).g[0]
    return 1 + SPREAD_PROBE * max(0.0, (c + omega - 1 / trace) / c)


def _fall(samples: SpectralSamples, omega: Array) -> float:
    """1/2 if tr (C + omega)^{-1} grows like omega^{-1/2} at the smallest omega, 0 if it has a limit."""
    trace = samples.empty[-2:] / omega[-2:]
    return 0.5 if np.log(trace[1] / trace[0]) > 0.25 * np.log(omega[-2] / omega[-1]) else 0.0


def _tabulated(samples: SpectralSamples, omega: Array, c: float, fall: float) -> Array:
    """The four functions (4, M) at the nodes, from the formulas in which nothing cancels."""
    filled, empty = samples.filled_overlaps, samples.empty_overlaps
    mixed = np.where(omega < c, -empty[1], filled[1]) / empty[0]
    strengths = np.stack([
        omega * samples.filled / samples.empty,
        omega * filled[0] / empty[0],
        omega * (filled[2] + empty[0] * mixed**2) * empty[0] / samples.determinant,
    ])
    growth = 1 + c / omega
    return np.concatenate([np.log(strengths / c * growth**fall), [omega * mixed * growth / c]])
