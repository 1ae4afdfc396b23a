"""Where a flow with weight decay ends, and how fast; equations (17) and (18).

Equations are numbered as in docs/theories/linear_network_decay.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..constants import Constants
from ..exact import Array
from ..observables import Units


class Limits(NamedTuple):
    """The limit t -> inf: F, the kernel, and the rate at which F tends to its limit."""

    coefficient: Array
    ntk: Array
    rate: Array


def soft_threshold(A: ArrayLike, threshold: ArrayLike) -> Array:
    """sign(A) max(|A| - threshold, 0)."""
    A = np.asarray(A, dtype=np.float64)
    return np.copysign(np.maximum(np.abs(A) - threshold, 0.0), A)


def limits(c: Constants, units: Units, mu: Array) -> Limits:
    """Equations (17) and (18); without decay those of the flow itself."""
    toward = np.where(c.A >= 0, c.bP, c.bQ)
    with np.errstate(over="ignore"):
        drive = c.k * (c.kap * np.abs(c.A))
        learns = (toward > 0) & (drive > 2 * mu)
        own = np.where(learns, drive - 2 * mu, 0.0)
        F = np.copysign(np.abs(c.A) * (own / np.where(learns, drive, 1.0)), c.A)
        rate = np.where(toward > 0, 2 * mu - drive, 2 * mu + drive)
        rate = np.where(learns, np.where(c.Gam > 0, np.minimum(own, 4 * mu), own), rate)
        rate = np.where(units.still & (c.F0 == 0), 0.0, rate)
    plain = mu == 0
    return Limits(
        np.where(plain, np.where(c.reachable, c.A, np.where(units.still, c.F0, 0.0)), F),
        np.where(plain, units.final_ntk, 2 * units.half_ntk * c.kap * np.abs(F)),
        np.where(plain, units.decay_rate, rate),
    )
