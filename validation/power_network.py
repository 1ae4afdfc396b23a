"""`power-network`: a network of quadratic units with the weights of the problem, trained; and the protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from asymptotics import PowerNetwork

from . import given_weights
from .given_weights import WrongTheories, rates_off
from .linear_network import vectors_of
from .networks import Array
from .protocols import Protocol
from .readout import one_network
from .training import followed, gradient_step, require_no_sizes, runge_kutta_step, trained

JUDGED = ("coefficient", "gap", "ntk", "norm_u", "norm_w")
TIMES = (0.3, 1.0, 3.0, 10.0)
WIDTHS = (1, 4, 40)


class Training(NamedTuple):
    """f(x) = gamma sum_i u_i (w_i x)^2 and its loss (c/2) [m4 (F - A)^2 + irreducible]."""

    gamma: float
    eta_u: float
    eta_w: float
    m4: float
    A: float
    c: float
    irreducible: float = 0.0

    def descent(self, u: Array, w: Array) -> tuple[Array, Array]:
        """-eta_u dL/du and -eta_w dL/dw."""
        slope = self.c * self.m4 * self.gamma * (self.A - self.gamma * float(u @ w**2))
        return self.eta_u * slope * w**2, 2 * self.eta_w * slope * u * w

    def rate(self, u: Array, w: Array) -> float:
        """The rates of the gap and of the weights."""
        force = abs(self.c * self.m4 * self.gamma * (self.A - self.gamma * float(u @ w**2)))
        own = force * float(np.max(2 * self.eta_w * np.abs(u) + math.sqrt(2 * self.eta_u * self.eta_w) * np.abs(w)))
        return self.c * self.m4 * self.measure(u, w)["ntk"] + own

    def measure(self, u: Array, w: Array) -> dict[str, float]:
        """`JUDGED` of the weights, and the losses."""
        F = self.gamma * float(u @ w**2)
        excess = 0.5 * self.c * self.m4 * (self.A - F) ** 2
        return {
            "coefficient": F,
            "gap": self.A - F,
            "excess_loss": excess,
            "loss": excess + 0.5 * self.c * self.irreducible,
            "ntk": self.gamma**2 * float(np.sum(self.eta_u * w**4 + 4 * self.eta_w * u**2 * w**2)),
            "norm_u": float(np.linalg.norm(u)),
            "norm_w": float(np.linalg.norm(w)),
        }


def training_of(problem: PowerNetwork) -> Training:
    """The training of one network; only `t` may vary."""
    cell, _ = one_network(problem, varying="t")
    names = ("gamma", "eta_u", "eta_w", "m4", "target_coefficient", "loss_factor", "irreducible_loss")
    return Training(*(cell[name] for name in names))


def simulate(problem: PowerNetwork, sizes: Mapping[str, int], seed: int | np.random.SeedSequence) -> dict[str, Any]:
    """The weights of the problem, trained by small Runge-Kutta steps; nothing is left to chance.

    Raises
    ------
    ParameterError
        If another parameter than `t` varies, there is a size, or the last t needs too many steps.
    """
    require_no_sizes(sizes)
    return followed(problem, training_of(problem), vectors_of(problem))


def integrate(problem: PowerNetwork, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The weights with sizes["d"] Runge-Kutta steps from one t to the next."""
    return trained(problem, training_of(problem), vectors_of(problem), sizes["d"], runge_kutta_step)


def descend(problem: PowerNetwork, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The same by gradient descent."""
    return trained(problem, training_of(problem), vectors_of(problem), sizes["d"], gradient_step)


# ---- the protocol


def random_problem(p: int, number: int, **changes: Any) -> PowerNetwork:
    """A network of p units with random weights, rates and target."""
    rng = np.random.default_rng(np.random.SeedSequence(2403, spawn_key=(p, number)))
    u, w = 0.8 * rng.standard_normal((2, p)) * p ** (-1 / 3)
    gamma, eta_u, eta_w, m4 = np.exp(rng.uniform(-0.4, 0.4, 4))
    given = {"u": u, "w": w, "gamma": float(gamma * rng.choice((-1.0, 1.0))), "eta_u": float(eta_u),
             "eta_w": float(eta_w), "m4": float(m4), "target_coefficient": float(rng.choice((-1.0, 1.0)))}
    return PowerNetwork(**given | {"t": TIMES} | changes)


def wrong_theories(problem: PowerNetwork) -> WrongTheories:
    """Wrong theories of one network."""
    weights = problem.weights()
    u, w = weights.u.values, weights.w.values
    half = problem.gamma**2 * np.sum(problem.eta_u * w**4 + 2 * problem.eta_w * u**2 * w**2, axis=-1)
    return {
        "eta 10 % off": rates_off(problem),
        "E x^2 squared for E x^4": problem.replace(m4=problem.m4 / 3),
        "half the kernel of w": {"ntk": half},
    }


def protocol(size: str) -> Protocol:
    """Actual weights, by Runge-Kutta steps and by gradient descent."""
    full = size == "full"
    problems = {f"p = {p}, no. {i}": random_problem(p, i) for p in WIDTHS for i in range(4 if full else 1)}
    problems["target out of reach"] = random_problem(4, 10, u=[0.9, 0.8, 0.7, 1.0], w=[0.3, -0.5, 0.4, 0.2], gamma=1.0,
                                                     eta_u=1.0, eta_w=1.0, target_coefficient=-1.0)
    problems["u crosses zero"] = random_problem(3, 11, u=[-0.2, -0.1, -0.3], w=[0.9, 0.8, -0.7], gamma=1.0,
                                                target_coefficient=1.0)
    steps = (100, 200, 400), (1000, 2000, 4000)
    ways = given_weights.integrators(integrate, descend, steps, (1e-6, 5e-3), ("norm_u",))
    return given_weights.protocol(
        f"power-network, {size}: trained networks beside the closed form", integrate,
        given_weights.settings(problems, JUDGED, wrong_theories, ways),
        laws=tuple((f"p = 4, no. 0{way.words}", "coefficient") for way in ways),
    )
