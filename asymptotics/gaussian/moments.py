"""Gaussian moments of one function by quadrature: the general path, for functions without closed forms."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from ..errors import AccuracyWarning
from .quadrature import GAUSSIAN_RANGE, Array, bisected, graded_edges, normal_density, panel_rule, trapezoid_rule

_CHUNK = 1 << 16  # values at a time: half a megabyte, inside the cache
_LONGEST_TRAPEZOID = 400
_MOST_HALVINGS = 7

Rule = Callable[[Array, Array], tuple[Array, Array]]  # nodes and weights in z at (mean, deviation)


class Moments(NamedTuple):
    """Coefficients of the conditional Gaussian equivalent of sigma(t), t ~ N(mean, variance); eq. (8) of
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
    def degree(self) -> int:
        """It grows at most like |x|**degree."""

    @property
    def ripple(self) -> float:
        """The shortest length over which it varies away from its features."""

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
    # wide distributions need fine steps in z: those of similar width share one
    octave = np.floor(2 * np.log2(s)).astype(np.intp) if function.trapezoid_step(1.0) else np.zeros(m.size, np.intp)
    if np.all(octave == octave[0]):
        moments = _alike(function, m, s)
    else:
        moments = Moments(*np.empty((4, m.size)))
        for own in np.unique(octave):
            where = octave == own
            for values, part in zip(moments, _alike(function, m[where], s[where]), strict=True):
                values[where] = part
    return Moments(*(moment.reshape(shape) for moment in moments))


def _alike(function: Integrable, m: Array, s: Array) -> Moments:
    """Moments at means and deviations by one kind of rule."""
    half_range = GAUSSIAN_RANGE if function.degree <= 2 else _half_range(function, m, s)
    step = function.trapezoid_step(float(np.max(s)))
    if step is None:
        return _settled(function, m, s, half_range)
    if step and 2 * half_range / step <= _LONGEST_TRAPEZOID:
        return _by_trapezoid(function, m, s, half_range, step)
    return _by_panels(function, m, s, half_range, function.ripple)


def _half_range(function: Integrable, m: Array, s: Array) -> float:
    """Range of z outside which sigma^2 phi is negligible, for a function that grows."""
    z = np.linspace(-8 * GAUSSIAN_RANGE, 8 * GAUSSIAN_RANGE, 353)
    means = np.array([np.min(m), np.clip(0.0, np.min(m), np.max(m)), np.max(m)])
    with np.errstate(all="ignore"):
        size = np.abs(function.value(means[:, None] + np.max(s) * z))
        logarithm = 2 * np.log(np.where(np.isfinite(size), size, 0.0)) - 0.5 * z * z
    negligible = logarithm < np.max(logarithm, axis=-1, keepdims=True) - 76
    return max(GAUSSIAN_RANGE, float(np.max(np.abs(z) * ~negligible)) + 0.5)


def _by_trapezoid(function: Integrable, m: Array, s: Array, half_range: float, step: float) -> Moments:
    z, weight = trapezoid_rule(half_range, step)
    weight = weight * normal_density(z)
    weight /= np.sum(weight)
    return _in_chunks(function, m, s, z.size, lambda mean, deviation: (z, weight))


def _by_panels(
    function: Integrable, m: Array, s: Array, half_range: float, ripple: float = np.inf, bisections: int = 0
) -> Moments:
    places = np.array([place for place, _ in function.features])
    scales = np.array([scale for _, scale in function.features])

    def rule(mean: Array, deviation: Array) -> tuple[Array, Array]:
        centres = (places - mean[:, None]) / deviation[:, None]
        width = np.minimum(1.0, 6 * ripple / deviation)  # 16 nodes for at most two periods of the square of a wave
        full = np.full(mean.shape, half_range)
        edges = graded_edges(-full, full, width, centres, scales / deviation[:, None])
        for _ in range(bisections):
            edges = bisected(edges)
        z, weight = panel_rule(edges)
        return z, weight * normal_density(z)

    extremes = np.array([np.min(s), np.max(s)])
    size = rule(np.zeros(2), extremes)[0].shape[-1]
    return _in_chunks(function, m, s, size, rule)


def _in_chunks(function: Integrable, m: Array, s: Array, nodes: int, rule: Rule) -> Moments:
    rows = max(1, _CHUNK // nodes)
    parts = []
    for start in range(0, m.size, rows):
        mean, deviation = m[start:start + rows], s[start:start + rows]
        parts.append(_moments_of(function, mean, deviation, *rule(mean, deviation)))
    return Moments(*(np.concatenate(moment) for moment in zip(*parts, strict=True)))


def _moments_of(function: Integrable, m: Array, s: Array, z: Array, weight: Array) -> Moments:
    m, s = m[:, None], s[:, None]
    linear = s * z
    t = m + linear
    values, slopes = function.value(t), function.slope(t)
    mu0, mu1 = _mean(values, weight), _mean(slopes, weight)
    nu = 0.5 * _mean(slopes, weight * z) / s[:, 0]
    for place, height in function.jumps:
        at = (place - m[:, 0]) / s[:, 0]
        density = height * normal_density(at) / s[:, 0]
        mu1 = mu1 + density
        nu = nu + 0.5 * density * at / s[:, 0]
    # a sum of squares: no cancellation, whatever 1/lam multiplies it
    residual = values - mu0[:, None]
    linear *= mu1[:, None]
    residual -= linear
    residual *= residual
    mu2_sq = _mean(residual, weight)
    return Moments(mu0, mu1, mu2_sq, nu)


def _mean(values: Array, weight: Array) -> Array:
    """Weighted sums over the last axis; the weights are shared (Z,) or one set a row (N, Z)."""
    return values @ weight if weight.ndim == 1 else np.einsum("ij,ij->i", values, weight)


def _settled(function: Integrable, m: Array, s: Array, half_range: float) -> Moments:
    """Halve every step until the moments agree to 1e-13; kinks are edges of panels from the start."""

    step = 0.4 * min(1.0, 2 * function.ripple / float(np.max(s)))

    def attempt(halvings: int) -> Moments:
        if function.features:
            return _by_panels(function, m, s, half_range, bisections=halvings)
        return _by_trapezoid(function, m, s, half_range, step / 2**halvings)

    with np.errstate(over="ignore", invalid="ignore"):  # moments too large for floats are infinite or NaN
        coarse = attempt(0)
        for halvings in range(1, _MOST_HALVINGS + 1):
            fine = attempt(halvings)
            scale = np.sqrt(fine.mu0**2 + s**2 * fine.mu1**2 + fine.mu2_sq)
            scale = np.where(scale > 0, scale, 1.0)
            # mu2_sq, of which 1/lam makes much, has to be right by itself, down to the rounding of its terms
            own = np.abs(fine.mu2_sq - coarse.mu2_sq) / np.maximum(1e4 * fine.mu2_sq, 1e-13 * scale**2)
            differences = (fine.mu0 - coarse.mu0, s * (fine.mu1 - coarse.mu1), (fine.mu2_sq - coarse.mu2_sq) / scale)
            change = max(float(np.max(np.abs(difference) / scale)) for difference in differences)
            change = max(change, float(np.max(own)))
            if change <= 1e-13:
                return fine
            coarse = fine
    warnings.warn(
        f"the Gaussian moments of {function} change by a relative {change:.1e} when the step is halved: "
        "if it is a callable, declare its kinks: asymptotics.nonlinearity(f, kinks=(...))",
        AccuracyWarning,
        stacklevel=2,
    )
    return coarse
