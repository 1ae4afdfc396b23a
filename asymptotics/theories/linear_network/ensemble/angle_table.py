"""The mean of xi/sqrt(xi^2 + x^2) over a random x > 0, as a table in ln|xi|; eq. (13)."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

REACH = 20.0  # the mean is 0 below e^-REACH of the smallest usual x, and +-1 beyond e^REACH
DEGREE = 15  # of the interpolation on panels of ln|xi| of length one


class AngleTable:
    """E xi/sqrt(xi^2 + x^2) for several laws of x.

    The mean is analytic in ln|xi| within a strip of half-width pi/2, whatever the law of x: panels of length one and
    polynomials of degree 15 give it to twelve digits.

    Parameters
    ----------
    log_size : ndarray (Y,)
        ln x at the nodes of a rule, not above ln of one or so.
    weights : ndarray (S, Y)
        Of the nodes; the sum of each row is 1.
    smallest : float
        ln of the smallest x that has a weight worth speaking of in some row.
    """

    def __init__(self, log_size: Array, weights: Array, smallest: float) -> None:
        self._low = smallest - REACH
        panels = math.ceil(REACH - self._low)
        u = self._low + np.arange(panels)[:, None] + 0.5 * (1 + _chebyshev_points())
        cosine = 1 / np.sqrt(1 + np.exp(np.minimum(2 * (log_size - u[..., None]), 600.0)))
        values = np.einsum("sy,pny->spn", weights, cosine, optimize=True)
        self._panels, self._laws = panels, len(weights)
        self._coefficients = np.moveaxis(values @ _to_coefficients().T, -1, 0).reshape(DEGREE + 1, -1)

    def given(self, xi: Array) -> Array:
        """The means at xi (S, D), a row for each law; any number of rows for one law."""
        u = np.log(np.maximum(np.abs(xi), 1e-300))
        u -= self._low
        panel = np.clip(np.floor(u), 0, self._panels - 1)
        row = np.arange(self._laws)[:, None] * self._panels if self._laws > 1 else 0
        where = (panel + row).astype(np.intp)
        x = 2 * (u - panel) - 1
        twice, before, here = 2 * x, np.zeros(1), np.zeros(1)
        for coefficients in self._coefficients[:0:-1]:
            before, here = here, coefficients[where] + twice * here - before
        found = self._coefficients[0][where] + x * here - before
        found = np.where(u > self._panels, 1.0, np.where(u < 0, 0.0, found))
        return np.copysign(found, xi)


def _chebyshev_points() -> Array:
    return np.cos(np.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1))


@functools.lru_cache(maxsize=1)
def _to_coefficients() -> Array:
    """Chebyshev coefficients from values at the Chebyshev points."""
    angles = np.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1)
    matrix = 2 / (DEGREE + 1) * np.cos(np.arange(DEGREE + 1)[:, None] * angles)
    matrix[0] *= 0.5
    return matrix
