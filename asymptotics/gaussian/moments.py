"""Gaussian moments of one function by quadrature: the general path, for functions without closed forms."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple, Protocol

import numpy as np

from ..errors import AccuracyWarning
from .quadrature import GAUSSIAN_RANGE, Array, graded_edges, normal_density, panel_rule, trapezoid_rule

_CHUNK = 1 << 20
_LONGEST_TRAPEZOID = 400


class Moments(NamedTuple):
    """Coefficients of the conditional Gaussian equivalent of sigma(t), t ~ N(mean, variance); eq. (7) of
    docs/theories/giant_step.md.

    mu0 = E sigma, mu1 = E sigma', mu2_sq = E (sigma - mu0 - mu1 (t - mean))^2, nu = E sigma'' / 2.
    """

    mu0: Array
    mu1: Array
    mu2_sq: Array
    nu: Array


class Integrable(Protocol):
    """What the quadrature needs to know of a function."""

    def value(self, x: Array) -> Array: ...

    def slope(self, x: Array) -> Array:
        """The derivative, without the jumps."""

    @property
    def jumps(self) -> tuple[tuple[float, float], ...]:
        """(location, height) of the jumps."""

    @property
    def features(self) -> tuple[tuple[float, float], ...]:
        """(location, length scale) of the places where the function bends; scale 0 for kinks and jumps."""

    def trapezoid_step(self, deviation: float) -> float | None:
        """Step in z that integrates f(mean + deviation z) to double precision; 0 for none, None if not known."""


def integrate_moments(function: Integrable, mean: Array, variance: Array) -> Moments:
    """Moments at arrays of (mean, variance > 0) by the rule that suits the function.

    Trapezoid in z = (t - mean)/deviation where the function is analytic in a wide enough strip, otherwise panels
    graded towards its features; if nothing is known of it, both with halved steps until nothing changes.
    """
    mean, variance = np.broadcast_arrays(mean, variance)
    shape = mean.shape
    m, s = np.ravel(mean).astype(np.float64), np.sqrt(np.ravel(variance).astype(np.float64))
    if not m.size:
        return Moments(*(np.zeros(shape) for _ in range(4)))
    step = function.trapezoid_step(float(np.max(s)))
    if step is None:
        moments = _settled(function, m, s)
    elif step and 2 * GAUSSIAN_RANGE / step <= _LONGEST_TRAPEZOID:
        moments = _by_trapezoid(function, m, s, step)
    else:
        moments = _by_panels(function, m, s, 1.0)
    return Moments(*(moment.reshape(shape) for moment in moments))


def _by_trapezoid(function: Integrable, m: Array, s: Array, step: float) -> Moments:
    z, weight = trapezoid_rule(GAUSSIAN_RANGE, step)
    weight = weight * normal_density(z)
    weight /= np.sum(weight)
    return _in_chunks(function, m, s, z.size, lambda mean, deviation: (z, weight))


def _by_panels(function: Integrable, m: Array, s: Array, width: float) -> Moments:
    places = np.array([place for place, _ in function.features])
    scales = np.array([scale for _, scale in function.features])

    def rule(mean: Array, deviation: Array) -> tuple[Array, Array]:
        centres = (places - mean[:, None]) / deviation[:, None]
        full = np.full(mean.shape, GAUSSIAN_RANGE)
        edges = graded_edges(-full, full, width, centres, scales / deviation[:, None])
        z, weight = panel_rule(edges)
        return z, weight * normal_density(z)

    size = rule(m[:1], np.min(s, keepdims=True))[0].shape[-1]
    return _in_chunks(function, m, s, size, rule)


def _in_chunks(function: Integrable, m: Array, s: Array, nodes: int, rule) -> Moments:  # type: ignore[no-untyped-def]
    rows = max(1, _CHUNK // nodes)
    parts = [
        _moments_of(function, m[start:start + rows], s[start:start + rows], *rule(m[start:start + rows],
                                                                                   s[start:start + rows]))
        for start in range(0, m.size, rows)
    ]
    return Moments(*(np.concatenate(moment) for moment in zip(*parts, strict=True)))


def _moments_of(function: Integrable, m: Array, s: Array, z: Array, weight: Array) -> Moments:
    m, s = m[:, None], s[:, None]
    t = m + s * z
    values, slopes = function.value(t), function.slope(t)
    mu0 = np.sum(weight * values, axis=-1)
    mu1 = np.sum(weight * slopes, axis=-1)
    nu = 0.5 * np.sum(weight * z * slopes, axis=-1) / s[:, 0]
    for place, height in function.jumps:
        at = (place - m[:, 0]) / s[:, 0]
        density = height * normal_density(at) / s[:, 0]
        mu1 = mu1 + density
        nu = nu + 0.5 * density * at / s[:, 0]
    # a sum of squares: no cancellation, whatever 1/lam multiplies it
    mu2_sq = np.sum(weight * (values - mu0[:, None] - mu1[:, None] * (s * z)) ** 2, axis=-1)
    return Moments(mu0, mu1, mu2_sq, nu)


def _settled(function: Integrable, m: Array, s: Array) -> Moments:
    """Halve the step until the moments agree to 1e-13; kinks are edges of panels from the start."""
    smooth = not function.features
    attempts = [_by_trapezoid(function, m, s, 0.4)] if smooth else [_by_panels(function, m, s, 1.0)]
    for halvings in range(1, 8):
        fine = _by_trapezoid(function, m, s, 0.4 / 2**halvings) if smooth else _by_panels(function, m, s, 0.5**halvings)
        coarse = attempts.pop()
        scale = np.sqrt(fine.mu0**2 + s**2 * fine.mu1**2 + fine.mu2_sq)
        scale = np.where(scale > 0, scale, 1.0)
        differences = (fine.mu0 - coarse.mu0, s * (fine.mu1 - coarse.mu1), (fine.mu2_sq - coarse.mu2_sq) / scale)
        change = max(float(np.max(np.abs(difference) / scale)) for difference in differences)
        if change <= 1e-13:
            return fine
        attempts.append(fine)
    warnings.warn(
        f"the Gaussian moments of {function} change by a relative {change:.1e} when the step is halved; declare its kinks",
        AccuracyWarning,
        stacklevel=2,
    )
    return attempts.pop()
