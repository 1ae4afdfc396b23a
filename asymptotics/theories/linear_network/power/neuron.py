"""One hidden unit u (w x)^2 in the common time tau: closed forms; equations (4) - (7).

All are for tau >= 0, in which u does not decrease; the mirror image (u, tau) -> (-u, -tau) gives the other direction.

Equations are numbered as in docs/theories/linear_network_power.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from ..constants import Mask
from ..exact import Array, Pair, sum_and_difference, two_product

LONGEST = 350.0  # e^-(2 * LONGEST) is about the smallest number
SMALLEST = 1e-290


class Neurons(NamedTuple):
    """Hidden units, arrays (..., p).

    Attributes
    ----------
    u, w : ndarray
    eta_u, twice_eta_w : ndarray (..., 1)
    discriminant : ndarray
        Delta = 2 eta_w (2 eta_w u^2 - eta_u w^2), which is conserved.
    """

    u: Array
    w: Array
    eta_u: Array
    twice_eta_w: Array
    discriminant: Array

    def part(self, index: Any) -> Self:
        """Some of the cells."""
        return type(self)(*(array[index] for array in self))

    @property
    def growth(self) -> Array:
        """alpha = 2 eta_w u."""
        return self.twice_eta_w * self.u

    @property
    def force(self) -> Array:
        """du/dtau = eta_u w^2."""
        return self.eta_u * self.w**2

    @property
    def pull(self) -> Array:
        """sqrt(beta), beta = 2 eta_w eta_u w^2."""
        return np.sqrt(self.twice_eta_w) * np.sqrt(self.eta_u) * np.abs(self.w)

    @property
    def drift(self) -> Array:
        """d(u w^2)/dtau = w^2 (4 eta_w u^2 + eta_u w^2)."""
        return self.w**2 * (2 * self.growth * self.u + self.force)

    @property
    def mirrored(self) -> Self:
        """u -> -u: the same units backward in tau."""
        return self._replace(u=-self.u)


def neurons(u: Array, w: Array, eta_u: Array, eta_w: Array) -> Neurons:
    """Hidden units of cells: u (K, p), w (p,) and the rates (K,)."""
    eta_u, twice, w = eta_u[:, None], 2 * eta_w[:, None], np.broadcast_to(w, u.shape)
    # its sign decides whether u may cross zero: the difference is rounded once
    _, invariant = sum_and_difference(Pair(twice, np.zeros(twice.shape)), two_product(u, u), two_product(w, w), eta_u)
    return Neurons(u, w, eta_u, twice, twice * invariant)


class Moved(NamedTuple):
    """Where the units are after a time tau.

    Attributes
    ----------
    shrunk : ndarray
        psi: w(tau) = w/psi.
    rise : ndarray
        u(tau) - u.
    gain : ndarray
        u w^2 at tau minus u w^2 at the start.
    """

    shrunk: Array
    rise: Array
    gain: Array


def moved(n: Neurons, tau: Array, to_explosion: Array | None = None) -> Moved:
    """Equations (4) and (5).

    Parameters
    ----------
    n : Neurons
    tau : ndarray
    to_explosion : ndarray, optional
        The time that is left until w diverges, where it does: gives psi its digits where it is small.
    """
    root, growth, pull = np.sqrt(np.abs(n.discriminant)), n.growth, n.pull
    bends = n.discriminant >= 0
    x = np.minimum(root * tau, LONGEST)
    integral = _sine(root, x, tau, bends)  # S
    total = np.abs(growth) + root
    slow = np.copysign(pull**2 / np.where(total > 0, total, 1.0), growth)  # alpha -+ sqrt(Delta)
    exponential = -np.expm1(np.where(growth > 0, -x, x))
    lost = np.where(bends, exponential + slow * integral, 2 * np.sin(0.5 * x) ** 2 + growth * integral)  # 1 - psi
    psi = 1 - lost
    if to_explosion is not None:
        near = (psi < 0.5) & np.isfinite(to_explosion)
        left = np.where(near, to_explosion, 0.0)
        psi = np.where(near, pull * _sine(root, np.minimum(root * left, LONGEST), left, bends), psi)
        lost = np.where(near, 1 - psi, lost)
    psi = np.maximum(psi, SMALLEST)
    w: Array = n.w / psi
    with np.errstate(over="ignore", invalid="ignore"):  # beyond an explosion, where nobody asks
        rise = n.force * integral / psi
        return Moved(psi, rise, w * w * (n.u * lost * (1 + psi) + rise))


def _sine(root: Array, x: Array, tau: Array, bends: Mask) -> Array:
    """sinh(root tau)/root, or sin."""
    small = x < 1e-8
    return np.where(small, tau, np.where(bends, np.sinh(x), np.sin(x)) / np.where(small, 1.0, root))


def explosion(n: Neurons) -> Array:
    """The tau at which w diverges, infinite if it never does; equation (6)."""
    root, growth, pull = np.sqrt(np.abs(n.discriminant)), n.growth, n.pull
    bends = n.discriminant >= 0
    explodes = (pull > 0) & (~bends | (growth > 0))
    straight = explodes & (root < 1e-8 * growth)
    scale = np.where(explodes & ~straight, root, 1.0)
    below = np.where(explodes, pull, 1.0)
    time = np.where(bends, np.arcsinh(np.where(bends, root, 0.0) / below), np.arctan2(root, growth)) / scale
    return np.where(straight, 1 / np.where(straight, growth, 1.0), np.where(explodes, time, np.inf))
