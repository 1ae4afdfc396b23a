"""Chebyshev series on the half line 0 <= x <= infinity.

Functions of a bounded nonnegative matrix C such as tr C (1 + x C)^{-1} are analytic in x but for the negative axis,
where their singularities sit at -1/lambda.  At x = infinity they are analytic in 1/x or, if the spectrum reaches zero,
in 1/sqrt(x).  The map

    u = (3 - R)/(1 + R),    R = sqrt(1 + 4 s x),    1/x = s (1 + u)^2/(2 (1 - u))

is analytic in x at x = 0 (u = 1) and in 1/sqrt(x) at infinity (u = -1): one short series serves all x, and so does its
derivative with respect to x; eq. (39) of docs/theories/giant_step.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def half_line_nodes(count: int, scale: float) -> Array:
    """1/x at the Chebyshev points of u, (count,), from the largest to the smallest."""
    half_angle = np.pi * (2 * np.arange(count) + 1) / (4 * count)
    return scale * np.cos(half_angle) ** 4 / np.sin(half_angle) ** 2


def half_line_point(x: Array, scale: Array) -> tuple[Array, Array]:
    """u(x) and -du/dx = 8 s/(R (1 + R)^2), which is zero where it is too small for a float."""
    root = np.sqrt(1 + 4 * scale * x)
    with np.errstate(under="ignore"):
        return (3 - root) / (1 + root), 8 * scale / root / (1 + root) / (1 + root)


def series_coefficients(samples: Array) -> Array:
    """Chebyshev coefficients (..., M) of values (..., M) at the points of `half_line_nodes`."""
    count = samples.shape[-1]
    # k (2 j + 1) modulo a period, so that the cosines of large arguments are as accurate as the others
    phase = np.outer(2 * np.arange(count) + 1, np.arange(count)) % (4 * count)
    coefficients = samples @ np.cos(phase * (np.pi / (2 * count))) * (2 / count)
    coefficients[..., 0] *= 0.5
    return coefficients


def series_derivative(coefficients: Array) -> Array:
    """Coefficients (..., M) of the derivative with respect to u, the last one zero."""
    derivative = np.zeros_like(coefficients)
    count = coefficients.shape[-1]
    for k in range(count - 2, -1, -1):
        derivative[..., k] = 2 * (k + 1) * coefficients[..., k + 1]
        if k + 2 < count:
            derivative[..., k] += derivative[..., k + 2]
    derivative[..., 0] *= 0.5
    return derivative


def evaluate_series(coefficients: Array, u: Array) -> Array:
    """Clenshaw's recurrence for several series of T tables at once.

    Parameters
    ----------
    coefficients : ndarray (M, S, T)
    u : ndarray (T, C)

    Returns
    -------
    ndarray (S, T, C)
    """
    shape = (coefficients.shape[1], *u.shape)
    twice = 2 * u
    now, before, work = np.zeros(shape), np.zeros(shape), np.empty(shape)
    for row in coefficients[:0:-1, :, :, None]:
        np.multiply(twice, now, out=work)
        work -= before
        work += row
        now, before, work = work, now, before
    np.multiply(u, now, out=work)
    work -= before
    work += coefficients[0, :, :, None]
    return work
