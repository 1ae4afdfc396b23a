"""The law of W W^T for rows of covariance C/d as a curve x -> t(x) = tr C (1 + x C)^{-1}/d."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class SpectralCurve(NamedTuple):
    """The curve t(x) and what Newton needs of it, without cancellation; eq. (10) of docs/theories/giant_step.md.

    Attributes
    ----------
    t : ndarray
    elasticity : ndarray
        e = d log t/d log x, in (-1, 0].
    deficit : ndarray
        1 - x t.
    stiffness : ndarray
        -x t (1 + e)/e, second derivative of the Legendre transform of int t in log t.
    """

    t: Array
    elasticity: Array
    deficit: Array
    stiffness: Array


def isotropic_curve(x: Array, c: Array) -> SpectralCurve:
    """C = c I (Marchenko-Pastur): t = c/(1 + c x)."""
    deficit = 1 / (1 + c * x)
    t = c * deficit
    return SpectralCurve(t, -x * t, deficit, deficit)
