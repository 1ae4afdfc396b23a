"""Density of the eigenvalues of deep random features; section 4 of docs/theories/structured_features.md."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .layers import Chain

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

DISTANCE = 1e-9  # of the points from the real axis, in units of the largest
FARTHEST = 30.0
STEPS = 60
_NEWTON = 40
_CLOSE = 1e-13


def layer_density(chain: Chain, d: float, x: Array) -> Array:
    """rho(x) = |Im (p_L - D_L)/(t p_L)|/pi at t = -x - i0, by continuation from far away; eq. (20).

    For all x at once: kappa_L(kappa_0) = t is followed along t = -x - i y with y from 30 times the largest point down,
    by Euler steps that Newton corrects.
    """
    scale = max(float(np.max(x)), float(chain.mean_traces()[-1]))
    distances = scale * np.geomspace(FARTHEST, DISTANCE, STEPS)
    target = -x - 1j * distances[0]
    kappa = target
    for layer in range(chain.depth, 0, -1):
        below = d if layer == 1 else chain.widths[layer - 2]
        kappa = below * (chain.noises[layer - 1] + kappa) / (chain.slopes[layer - 1] * chain.widths[layer - 1])
    for distance in distances:
        fresh = -x - 1j * distance
        kappa = kappa + (fresh - target) / _climb(chain, d, kappa)[1]
        target = fresh
        for _ in range(_NEWTON):
            top, slope, _ = _climb(chain, d, kappa)
            step = (top - target) / slope
            kappa = kappa - step
            if np.all(np.abs(step) <= _CLOSE * np.abs(kappa)):
                break
    _, _, filled = _climb(chain, d, kappa)
    width = chain.widths[-1]
    return np.asarray(np.abs(np.imag((width - filled) / target)) / (np.pi * width))


def _climb(chain: Chain, d: float, kappa: Complex) -> tuple[Complex, Complex, Complex]:
    """kappa_L, its derivative with respect to kappa_0, and D_L at complex kappa_0; eq. (14)."""
    inverse = 1 / (chain.eigenvalues + kappa[:, None])
    weights = chain.eigenvalues * chain.shares * d
    filled, fall = inverse @ weights, -(inverse**2 @ weights)
    slope = np.ones_like(kappa)
    for layer in range(1, chain.depth + 1):
        share = chain.slopes[layer - 1] / (d if layer == 1 else chain.widths[layer - 2])
        room, noise = chain.widths[layer - 1] - filled, chain.noises[layer - 1]
        up, up_slope = share * kappa * room - noise, share * (slope * room - kappa * fall)
        filled, fall = filled + noise / (share * kappa), fall - noise * slope / (share * kappa * kappa)
        kappa, slope = up, up_slope
    return kappa, slope, filled
