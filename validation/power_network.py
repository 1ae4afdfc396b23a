"""`power-network`: a network of quadratic units with the weights of the problem, trained; and the protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from asymptotics import ParameterError, PowerNetwork, Problem

from .descent import followed, trained
from .laws import StepSize
from .networks import Array
from .protocols import Protocol, Setting
from .readout import one_network

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
    for name in sizes:
        raise ParameterError(name, "is not a size of a network of given weights")
    return followed(problem, training_of(problem), np.array(problem.u), np.array(problem.w))


def integrate(problem: PowerNetwork, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The weights with sizes["d"] Runge-Kutta steps from one t to the next."""
    return trained(problem, training_of(problem), np.array(problem.u), np.array(problem.w), sizes, order=4)


def descend(problem: PowerNetwork, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The same by gradient descent."""
    return trained(problem, training_of(problem), np.array(problem.u), np.array(problem.w), sizes, order=1)


# ---- the protocol


def random_problem(p: int, number: int, **changes: Any) -> PowerNetwork:
    """A network of p units with random weights, rates and target."""
    rng = np.random.default_rng(np.random.SeedSequence(2403, spawn_key=(p, number)))
    u, w = 0.8 * rng.standard_normal((2, p)) * p ** (-1 / 3)
    gamma, eta_u, eta_w, m4 = np.exp(rng.uniform(-0.4, 0.4, 4))
    given = {"u": u, "w": w, "gamma": float(gamma * rng.choice((-1.0, 1.0))), "eta_u": float(eta_u),
             "eta_w": float(eta_w), "m4": float(m4), "target_coefficient": float(rng.choice((-1.0, 1.0)))}
    return PowerNetwork(**given | {"t": TIMES} | changes)


def wrong_theories(problem: PowerNetwork) -> dict[str, Problem | Mapping[str, ArrayLike]]:
    """Wrong theories of one network."""
    weights = problem.weights()
    u, w = weights.u.values, weights.w.values
    half = problem.gamma**2 * np.sum(problem.eta_u * w**4 + 2 * problem.eta_w * u**2 * w**2, axis=-1)
    return {
        "eta 10 % off": problem.replace(eta_u=1.1 * problem.eta_u, eta_w=1.1 * problem.eta_w),
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
    settings = [
        Setting(name=f"{name}{words}", problem=problem, judged=JUDGED, simulate=simulate_with, law=law,
                wrong={f"{error}{words}": theory for error, theory in wrong_theories(problem).items()},
                networks=dict.fromkeys(steps, 1), precision={"norm_u": precision})
        for words, simulate_with, law, steps, precision in (
            ("", integrate, StepSize(4), (100, 200, 400), 1e-6),
            (", gradient descent", descend, StepSize(1), (1000, 2000, 4000), 5e-3),
        )
        for name, problem in problems.items()
    ]
    return Protocol(
        title=f"power-network, {size}: trained networks beside the closed form",
        simulate=integrate,
        settings=tuple(settings),
        networks={},
        test_points=0,
        precision={},
        laws=tuple((f"p = 4, no. 0{words}", "coefficient") for words in ("", ", gradient descent")),
        remarks=(
            "The theory is exact for gradient flow: given weights leave nothing to chance.  The error of a simulated "
            "value is that of its integrator, and a row fails if it is further from the theory: |z| > 1.",
        ),
    )
