"""The Hessian of the loss along the trajectory, and steps that descend; equation (17)."""

from __future__ import annotations

import numpy as np

from .constants import Constants
from .exact import Array
from .trajectory import State


def hessian_eigenvalues(c: Constants, state: State) -> tuple[Array, Array, Array, Array]:
    """Largest (once), upper and lower bulk (p - 1 times each), smallest (once) eigenvalue.

    In coordinates u/sqrt(eta_u), w/sqrt(eta_w).
    """
    Theta = 0.5 * state.double
    pull = c.kap * state.r
    total = Theta + np.hypot(c.kap * (state.F - state.r), c.Gam)
    # Theta - sqrt(...) without cancellation
    lower = pull / np.where(total > 0, total, 1.0) * (c.kap * (2 * state.F - state.r))
    bulk = 0.5 * c.k * np.abs(pull)
    return 0.5 * c.k * total, bulk, -bulk, 0.5 * c.k * lower


def largest_stable_step(c: Constants) -> Array:
    """The step of gradient descent below which the end of the trajectory is stable; inf where nothing moves in the end.

    2/(c m2 Th_inf), and 4/(c m2 kap|A|) where the target is not reachable and F tends to zero.
    """
    still = ((c.bP == 0) & (c.bQ == 0)) | (c.rate == 0)
    with np.errstate(over="ignore"):
        steps = np.where(c.reachable, 2.0, 4.0) / np.where(still, 1.0, c.rate)
    return np.where(still, np.inf, steps)
