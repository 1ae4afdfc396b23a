"""Quadrature over the readout z and over kappa, dense where the functions of a step are narrow; section 10.

Trapezoid rules in u, where u(x) = sum_f asinh((x - c_f)/w_f): near the centre c_f nodes are as dense as the width w_f
asks for, and away from it their distance grows with that from the centre.  All functions are analytic in strips of u
whose width does not depend on the step, so the number of nodes grows like the logarithm of the step only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...gaussian.quadrature import normal_density
from ...solvers import increasing_root
from .step import Step

Array = NDArray[np.float64]
Index = NDArray[np.intp]

HALF_RANGE = 8.6  # the normal density is 3e-17 there
STEP = 0.125  # in u: twelve digits
WIDTH = 1.25
KAPPA = 0.5
COUNTS = 4  # numbers of nodes are multiples of this, so that steps share them


def readout_centres(steps: Step) -> tuple[Array, Array]:
    """Centres and widths (T, 2) in z: zero, and the zeros of v^2 = (1 + s z)^2 + tau_r^2 z^2 in the complex plane.

    The latter are where the rescaling of rows has turned them to zero but for the residual.  Only the second centre
    that is needed is finite.
    """
    s, tau_r = steps.rescaling, np.abs(steps.tau_r)
    square = np.maximum(s**2 + tau_r**2, 1e-300)
    place, width = -s / square, np.maximum(tau_r / square, 1e-8)
    scale = np.maximum.reduce([np.ones_like(s), np.abs(steps.tau), tau_r, np.abs(s)])
    first = WIDTH / scale
    needed = (s != 0) & (np.abs(place) < HALF_RANGE) & (width < 4.4 * STEP * np.hypot(first, place))
    centres = np.stack([np.zeros_like(s), np.where(needed, place, np.inf)], axis=1)
    return centres, np.stack([first, width], axis=1)


def kappa_centres(steps: Step) -> tuple[Array, Array]:
    """The same in kappa: zero, with the least v(z)/(tau |z|), over which neurons of weight above 1e-12 vary."""
    z = np.linspace(-7.4, 7.4, 297)
    variance = (1 + steps.rescaling[:, None] * z) ** 2 + (steps.tau_r[:, None] * z) ** 2
    steepness = np.max(np.abs(steps.tau[:, None] * z) / np.sqrt(variance + 1e-16), axis=1)
    none = np.ones_like(steepness)
    centres = np.stack([np.zeros_like(steepness), np.inf * none], axis=1)
    return centres, np.stack([WIDTH / np.maximum(1.0, KAPPA * steepness), none], axis=1)


def node_counts(centres: Array, widths: Array, refinement: int) -> Index:
    """Numbers of nodes (T,), even."""
    needed = np.sum(_images(np.full(len(centres), HALF_RANGE), centres, widths)
                    - _images(np.full(len(centres), -HALF_RANGE), centres, widths), axis=1) / (STEP / refinement)
    return (COUNTS * np.ceil((needed + 1) / COUNTS)).astype(np.intp)


def graded_nodes(centres: Array, widths: Array, count: int) -> tuple[Array, Array]:
    """Nodes and weights (T, count) for N(0, 1); symmetric to the last bit if there is the centre zero only."""
    ends = np.full(len(centres), HALF_RANGE)
    low, high = (np.sum(_images(end, centres, widths), axis=1)[:, None] for end in (-ends, ends))
    u = 0.5 * (low + high) + 0.5 * (high - low) * ((2 * np.arange(count) - (count - 1)) / (count - 1))
    nodes = widths[:, :1] * np.sinh(u)
    several = np.isfinite(centres[:, 1])
    if np.any(several):
        nodes[several] = _inverse(u[several], centres[several], widths[several])
    nearness = 1 / np.hypot(nodes[..., None] - _finite(centres)[:, None], widths[:, None])
    slope = np.sum(np.where(np.isfinite(centres)[:, None], nearness, 0.0), axis=-1)
    weights = normal_density(nodes) / slope
    return nodes, weights / np.sum(weights, axis=1, keepdims=True)


def _finite(centres: Array) -> Array:
    return np.where(np.isfinite(centres), centres, 0.0)


def _images(x: Array, centres: Array, widths: Array) -> Array:
    """asinh((x - c_f)/w_f), (T, F) for x (T,); zero for centres that are not used."""
    return np.where(np.isfinite(centres), np.arcsinh((x[:, None] - _finite(centres)) / widths), 0.0)


def _inverse(u: Array, centres: Array, widths: Array) -> Array:
    """x (T, K) with u(x) = u."""
    def excess(x: Array) -> tuple[Array, Array]:
        offset = x[..., None] - centres[:, None]
        return (np.sum(np.arcsinh(offset / widths[:, None]), axis=-1) - u,
                np.sum(1 / np.hypot(offset, widths[:, None]), axis=-1))

    reach = HALF_RANGE * (1 + 1e-9)
    return increasing_root(excess, np.full(u.shape, -reach), np.full(u.shape, reach)).root
