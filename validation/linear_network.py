"""`linear-network`: one network with the weights of the problem, trained by small steps on its 2p actual weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from asymptotics import LinearNetwork, LinearNetworkLoss, ParameterError, Problem

from .networks import Array
from .readout import one_network, shaped

STEP = 0.01  # largest step of gradient descent, in units of the inverse rate of the gap
LARGEST_NUMBER_OF_STEPS = 1_000_000

OBSERVABLES = ("coefficient", "gap", "excess_loss", "loss", "ntk", "cosine", "norm_u", "norm_w", "standard_ntk")


class Training(NamedTuple):
    """f(x) = gamma <u, w> x and its loss (c/2) [m2 (gamma <u, w> - A)^2 + irreducible]."""

    gamma: float
    eta_u: float
    eta_w: float
    m2: float
    A: float
    c: float
    irreducible: float = 0.0

    def descent(self, u: Array, w: Array) -> tuple[Array, Array]:
        """-eta_u dL/du and -eta_w dL/dw."""
        slope = self.c * self.m2 * self.gamma * (self.A - self.gamma * (u @ w))
        return self.eta_u * slope * w, self.eta_w * slope * u

    def ntk(self, u: Array, w: Array) -> float:
        """gamma^2 (eta_u |w|^2 + eta_w |u|^2)."""
        return self.gamma**2 * float(self.eta_u * (w @ w) + self.eta_w * (u @ u))

    def largest_rate(self, u: Array, w: Array) -> float:
        """The largest c m2 ntk on the way from these weights: at the start or at the end."""
        p = math.sqrt(self.eta_w) * u + math.sqrt(self.eta_u) * w
        q = math.sqrt(self.eta_w) * u - math.sqrt(self.eta_u) * w
        angle = self.gamma**2 * float(np.linalg.norm(p) * np.linalg.norm(q))
        end = math.hypot(2 * self.gamma * math.sqrt(self.eta_u * self.eta_w) * self.A, angle)
        return self.c * self.m2 * max(self.ntk(u, w), end)

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


Step = Callable[[Training, Array, Array, float], tuple[Array, Array]]


def gradient_step(training: Training, u: Array, w: Array, h: float) -> tuple[Array, Array]:
    """One step of gradient descent."""
    du, dw = training.descent(u, w)
    return u + h * du, w + h * dw


def runge_kutta_step(training: Training, u: Array, w: Array, h: float) -> tuple[Array, Array]:
    """One classical Runge-Kutta step along the gradient flow."""
    du1, dw1 = training.descent(u, w)
    du2, dw2 = training.descent(u + 0.5 * h * du1, w + 0.5 * h * dw1)
    du3, dw3 = training.descent(u + 0.5 * h * du2, w + 0.5 * h * dw2)
    du4, dw4 = training.descent(u + h * du3, w + h * dw3)
    return u + h / 6 * (du1 + 2 * (du2 + du3) + du4), w + h / 6 * (dw1 + 2 * (dw2 + dw3) + dw4)


def simulate(
    problem: LinearNetwork, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """One network with the initial weights of the problem, trained by gradient descent.

    Steps h are at most `STEP`/(c m2 ntk).  What they change to first order is removed by a second run with h/2: values
    are 2 value(h/2) - value(h).

    Parameters
    ----------
    problem : LinearNetwork
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
    for name in sizes:
        raise ParameterError(name, "is not a size of a linear network: its width is that of u and w")
    training, (u, w) = of_problem(problem), weights_of(problem, np.random.default_rng(seed))
    intervals = np.diff(times_of(problem)[0], prepend=0.0)
    rate = training.largest_rate(u, w)
    if not math.isfinite(rate) or rate * np.sum(intervals) > STEP * LARGEST_NUMBER_OF_STEPS:
        raise ParameterError("t", f"needs more than {LARGEST_NUMBER_OF_STEPS} steps of gradient descent")
    steps = np.ceil(rate * intervals / STEP).astype(int)
    coarse, fine = (_run(problem, training, u, w, gradient_step, factor * steps) for factor in (1, 2))
    return shaped(problem, {name: 2 * fine[name] - coarse[name] for name in OBSERVABLES})


def descend(problem: LinearNetwork, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The given weights of a problem trained by gradient descent, with sizes["d"] steps from one t to the next."""
    return _integrate(problem, sizes["d"], gradient_step)


def integrate(problem: LinearNetwork, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The same by Runge-Kutta steps of fourth order."""
    return _integrate(problem, sizes["d"], runge_kutta_step)


def _integrate(problem: LinearNetwork, steps: int, step: Step) -> dict[str, Any]:
    u, w = np.asarray(problem.u, dtype=np.float64), np.asarray(problem.w, dtype=np.float64)
    intervals = np.diff(times_of(problem)[0], prepend=0.0)
    counts = np.where(intervals > 0, steps, 0)
    return shaped(problem, _run(problem, of_problem(problem), u, w, step, counts))


def _run(
    problem: LinearNetwork, training: Training, u: Array, w: Array, step: Step, counts: Array
) -> dict[str, Array]:
    """Observables of all cells, flat, with `counts` steps from one time to the next."""
    times, places = times_of(problem)
    measured = []
    for interval, count in zip(np.diff(times, prepend=0.0).tolist(), counts.tolist(), strict=True):
        for _ in range(count):
            u, w = step(training, u, w, interval / count)
        measured.append(training.measure(u, w))
    return {name: np.array([values[name] for values in measured])[places] for name in OBSERVABLES}


def times_of(problem: Problem) -> tuple[Array, Any]:
    """Different times, increasing, and which of them belongs to each cell, flat."""
    times, places = np.unique(np.broadcast_to(problem.cells.arrays["t"], problem.shape), return_inverse=True)
    return times.astype(np.float64), places.ravel()


def of_problem(problem: LinearNetwork) -> Training:
    """The training of one network.

    Raises
    ------
    ParameterError
        If another parameter than `t` varies.
    """
    cell, _ = one_network(problem, varying="t")
    names = ("gamma", "eta_u", "eta_w", "m2", "target_coefficient", "loss_factor", "irreducible_loss")
    return Training(*(cell[name] for name in names))


def weights_of(problem: LinearNetwork | LinearNetworkLoss, rng: np.random.Generator) -> tuple[Array, Array]:
    """The weights of a problem, or two pairs in a random direction with its overlaps.

    Raises
    ------
    ParameterError
        If no weights have the overlaps.
    """
    if problem.u is not None:
        return np.array(problem.u, dtype=np.float64), np.array(problem.w, dtype=np.float64)
    uu, ww, uw = (float(problem.cells.arrays[name].item()) for name in ("uu", "ww", "uw"))
    along = uw / math.sqrt(ww) if ww > 0 else 0.0
    across = uu - along**2
    if across < -1e-12 * uu or (ww == 0 and uw != 0):
        raise ParameterError("uw", "is too large: there are no such weights")
    angle = rng.uniform(0, 2 * math.pi)
    first = np.array([math.cos(angle), math.sin(angle)])
    second = np.array([-first[1], first[0]])
    return along * first + math.sqrt(max(across, 0.0)) * second, math.sqrt(ww) * first
