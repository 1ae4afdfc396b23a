"""Where descent ends, to first order in the step size; equation (8) of docs/theories/linear_network_descent.md."""

from __future__ import annotations

import numpy as np

from ..constants import Constants
from ..exact import Array


def predicted_final_kernel(c: Constants, rate: Array) -> Array:
    """sqrt((kap A)^2 + Gam_inf^2), Gam_inf^2 = Gam^2 exp(-(H/2) squared_path(c)), in the units of the constants."""
    with np.errstate(over="ignore"):
        shrinking = np.exp(-np.minimum(0.25 * rate * squared_path(c), 1e3))
    return np.where(c.reachable, np.hypot(c.kap * c.A, c.Gam * shrinking), 0.0)


def squared_path(c: Constants) -> Array:
    """kap^2 c m2 int_0^inf r^2 dt of the flow, = kap A (asinh a - asinh b) - (Th_inf - Th_0), a, b = kap(A, F0)/Gam.

    With d = asinh a - asinh b it is kap A (d - sinh d) + Th_inf (cosh d - 1), where that does not cancel.
    """
    target, start, Th0 = c.kap * c.A, c.kap * c.F0, 0.5 * (c.bP + c.bQ)
    below = target * Th0 + start * c.Th
    same = target * start > 0
    # sinh d without the difference, if a and b have one sign
    sinh = np.divide(c.kap * c.r0 * (target + start), below, out=np.zeros(below.shape), where=same & (below != 0))
    Gam = np.where(c.Gam > 0, c.Gam, 1.0)
    with np.errstate(over="ignore"):
        apart = np.arcsinh(target / Gam) - np.arcsinh(start / Gam)
    d = np.where(same, np.arcsinh(sinh), apart)
    near = np.abs(d) < 1
    small = np.where(near, d, 0.0)
    close = target * _less_sinh(small) + c.Th * (2 * np.sinh(0.5 * small) ** 2)
    far = target * d - (c.Th - Th0)
    return np.where((c.Gam > 0) & c.in_range, np.where(near, close, far), 0.0)


def _less_sinh(d: Array) -> Array:
    """d - sinh d for |d| <= 1, by its series."""
    square = d * d
    total = np.zeros(d.shape)
    for n in (15, 13, 11, 9, 7, 5, 3):
        total = (1 + total) * square / (n * (n - 1))
    return -d * total
