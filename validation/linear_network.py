"""`linear-network`: one network with the weights of the problem, trained by small steps on its 2p actual weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from asymptotics import LinearNetwork, LinearNetworkDecay, ParameterError, PowerNetwork
from asymptotics.theories.linear_network.network import InitialisedNetwork

from .networks import Array
from .readout import one_network, shaped
from .training import (
    STEP,
    Weights,
    extrapolated,
    gradient_step,
    intervals_of,
    require_few_steps,
    require_no_sizes,
    runge_kutta_step,
    trained,
    trained_by,
)

OBSERVABLES = ("coefficient", "gap", "excess_loss", "loss", "ntk", "cosine", "norm_u", "norm_w", "standard_ntk")


class Training(NamedTuple):
    """f(x) = gamma <u, w> x, its loss (c/2) [m2 (gamma <u, w> - A)^2 + irreducible], and the decay of its weights."""

    gamma: float
    eta_u: float
    eta_w: float
    m2: float
    A: float
    c: float
    irreducible: float = 0.0
    decay: float = 0.0

    def descent(self, u: Array, w: Array) -> tuple[Array, Array]:
        """-eta_u dL/du - decay u and -eta_w dL/dw - decay w."""
        slope = self.c * self.m2 * self.gamma * (self.A - self.gamma * (u @ w))
        if self.decay == 0:
            return self.eta_u * slope * w, self.eta_w * slope * u
        return self.eta_u * slope * w - self.decay * u, self.eta_w * slope * u - self.decay * w

    def ntk(self, u: Array, w: Array) -> float:
        """gamma^2 (eta_u |w|^2 + eta_w |u|^2)."""
        return self.gamma**2 * float(self.eta_u * (w @ w) + self.eta_w * (u @ u))

    def largest_rate(self, u: Array, w: Array) -> float:
        """The largest c m2 ntk + 2 decay on the way from these weights: at the start or at the end without decay."""
        p = math.sqrt(self.eta_w) * u + math.sqrt(self.eta_u) * w
        q = math.sqrt(self.eta_w) * u - math.sqrt(self.eta_u) * w
        angle = self.gamma**2 * float(np.linalg.norm(p) * np.linalg.norm(q))
        end = math.hypot(2 * self.gamma * math.sqrt(self.eta_u * self.eta_w) * self.A, angle)
        return self.c * self.m2 * max(self.ntk(u, w), end) + 2 * self.decay

    def measure(self, u: Array, w: Array) -> dict[str, float]:
        """`OBSERVABLES` of the weights."""
        F, norm_u, norm_w = self.gamma * float(u @ w), float(np.linalg.norm(u)), float(np.linalg.norm(w))
        excess = 0.5 * self.c * self.m2 * (self.A - F) ** 2
        return {
            "coefficient": F,
            "gap": self.A - F,
            "excess_loss": excess,
            "loss": excess + 0.5 * self.c * self.irreducible,
            "ntk": self.ntk(u, w),
            "cosine": float(u @ w) / (norm_u * norm_w) if norm_u > 0 and norm_w > 0 else math.nan,
            "norm_u": norm_u,
            "norm_w": norm_w,
            "standard_ntk": self.gamma**2 * (norm_u**2 + norm_w**2),
        }


def simulate(
    problem: LinearNetwork | LinearNetworkDecay, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """One network with the initial weights of the problem, trained by gradient descent.

    Steps h are at most `STEP`/(c m2 ntk).  What they change to first order is removed by a second run with h/2: values
    are 2 value(h/2) - value(h).

    Parameters
    ----------
    problem : LinearNetwork or LinearNetworkDecay
        One network; only `t` may vary.  Of given overlaps: two hidden units that have them, in a random direction.
    sizes : mapping
        Must be empty: the width is that of the weights.
    seed : int or numpy.random.SeedSequence
        Of that direction; given weights leave nothing to chance.

    Returns
    -------
    dict of str to float or ndarray
        `OBSERVABLES`, in the shape of the cells.

    Raises
    ------
    ParameterError
        If another parameter than `t` varies, there is a size, no weights have the overlaps, or the last t needs too
        many steps.
    """
    require_no_sizes(sizes)
    training, weights = of_problem(problem), weights_of(problem, np.random.default_rng(seed))
    intervals, rate = intervals_of(problem), training.largest_rate(*weights)
    require_few_steps(rate, float(np.sum(intervals)))
    steps = np.ceil(rate * intervals / STEP).astype(int)
    return shaped(problem, extrapolated(
        lambda factor: trained_by(problem, training, weights, factor * steps, gradient_step)))


def descend(problem: LinearNetwork | LinearNetworkDecay, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The given weights of a problem trained by gradient descent, with sizes["d"] steps from one t to the next."""
    return trained(problem, of_problem(problem), vectors_of(problem), sizes["d"], gradient_step)


def integrate(
    problem: LinearNetwork | LinearNetworkDecay, sizes: Mapping[str, int], seed: Any = None
) -> dict[str, Any]:
    """The same by Runge-Kutta steps of fourth order."""
    return trained(problem, of_problem(problem), vectors_of(problem), sizes["d"], runge_kutta_step)


def of_problem(problem: LinearNetwork | LinearNetworkDecay) -> Training:
    """The training of one network.

    Raises
    ------
    ParameterError
        If another parameter than `t` varies.
    """
    cell, _ = one_network(problem, varying="t")
    return training_of(cell)


def training_of(cell: Mapping[str, float]) -> Training:
    """The training of one cell."""
    names = ("gamma", "eta_u", "eta_w", "m2", "target_coefficient", "loss_factor", "irreducible_loss")
    return Training(*(cell[name] for name in names))._replace(decay=cell.get("weight_decay", 0.0))


def vectors_of(problem: InitialisedNetwork | PowerNetwork) -> Weights:
    """Copies of the vectors u and w of a problem."""
    return np.array(problem.u, dtype=np.float64), np.array(problem.w, dtype=np.float64)


def weights_of(problem: InitialisedNetwork, rng: np.random.Generator) -> Weights:
    """The weights of a problem, or two pairs in a random direction with its overlaps.

    Raises
    ------
    ParameterError
        If no weights have the overlaps.
    """
    if problem.u is not None:
        return vectors_of(problem)
    uu, ww, uw = (float(problem.cells.arrays[name].item()) for name in ("uu", "ww", "uw"))
    along = uw / math.sqrt(ww) if ww > 0 else 0.0
    across = uu - along**2
    if across < -1e-12 * uu or (ww == 0 and uw != 0):
        raise ParameterError("uw", "is too large: there are no such weights")
    angle = rng.uniform(0, 2 * math.pi)
    first = np.array([math.cos(angle), math.sin(angle)])
    second = np.array([-first[1], first[0]])
    return along * first + math.sqrt(max(across, 0.0)) * second, math.sqrt(ww) * first
