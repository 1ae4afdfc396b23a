"""`linear-network-loss`: a network with the weights of the problem, trained on its samples; and the protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from asymptotics import LinearNetworkLoss, Nonlinearity

from . import given_weights
from .given_weights import WrongTheories, rates_off, without_imbalance
from .linear_network import vectors_of, weights_of
from .networks import Array
from .protocols import Protocol
from .readout import one_network
from .training import followed, gradient_step, require_no_sizes, runge_kutta_step, trained

JUDGED = ("coefficient", "loss", "ntk", "cosine", "norm_u", "norm_w")
TIMES = (0.3, 1.0, 3.0, 10.0)
WIDTHS = (1, 3, 30)


class Training(NamedTuple):
    """f(x) = gamma <u, w> x on samples, with the loss c mean l(y f(x)) or c mean l(f(x) - y)."""

    gamma: float
    eta_u: float
    eta_w: float
    c: float
    x: Array
    y: Array
    loss: Nonlinearity
    margin: bool

    def argument(self, F: float) -> Array:
        """What l is a function of, for each sample."""
        return self.y * F * self.x if self.margin else F * self.x - self.y

    def descent(self, u: Array, w: Array) -> tuple[Array, Array]:
        """-eta_u dL/du and -eta_w dL/dw."""
        slopes = self.loss.derivative(self.argument(self.gamma * float(u @ w))) * (self.y if self.margin else 1.0)
        force = -self.c * self.gamma * float(np.mean(slopes * self.x))
        return self.eta_u * force * w, self.eta_w * force * u

    def rate(self, u: Array, w: Array) -> float:
        """What F moves by, relative to what changes the loss of the sample with the largest input."""
        largest = float(np.max(np.abs(self.x * self.y if self.margin else self.x)))
        du, dw = self.descent(u, w)
        size = float(np.linalg.norm(du) * np.linalg.norm(w) + np.linalg.norm(dw) * np.linalg.norm(u))
        F, step = self.gamma * float(u @ w), 0.05 / largest
        slopes = [float(np.mean(self.loss.derivative(self.argument(F + h)) * self.x * (self.y if self.margin else 1)))
                  for h in (-step, step)]
        curvature = self.c * abs(slopes[1] - slopes[0]) / (2 * step)
        return abs(self.gamma) * size * largest + curvature * self.measure(u, w)["ntk"]

    def measure(self, u: Array, w: Array) -> dict[str, float]:
        """`JUDGED` of the weights."""
        F, norm_u, norm_w = self.gamma * float(u @ w), float(np.linalg.norm(u)), float(np.linalg.norm(w))
        return {
            "coefficient": F,
            "loss": self.c * float(np.mean(self.loss(self.argument(F)))),
            "ntk": self.gamma**2 * float(self.eta_u * (w @ w) + self.eta_w * (u @ u)),
            "cosine": float(u @ w) / (norm_u * norm_w) if norm_u > 0 and norm_w > 0 else math.nan,
            "norm_u": norm_u,
            "norm_w": norm_w,
        }


def training_of(problem: LinearNetworkLoss) -> Training:
    """The training of one network; only `t` may vary."""
    cell, _ = one_network(problem, varying="t")
    return Training(cell["gamma"], cell["eta_u"], cell["eta_w"], cell["loss_factor"], np.asarray(problem.x),
                    np.asarray(problem.y), problem.loss_function, problem.argument == "margin")


def simulate(
    problem: LinearNetworkLoss, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """One network with the initial weights of the problem, trained by small Runge-Kutta steps.

    Parameters
    ----------
    problem : LinearNetworkLoss
        One network; only `t` may vary.  Of given overlaps: two hidden units that have them, in a random direction.
    sizes : mapping
        Must be empty.
    seed : int or numpy.random.SeedSequence
        Of that direction.

    Raises
    ------
    ParameterError
        If another parameter than `t` varies, there is a size, or the last t needs too many steps.
    """
    require_no_sizes(sizes)
    return followed(problem, training_of(problem), weights_of(problem, np.random.default_rng(seed)))


def integrate(problem: LinearNetworkLoss, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The given weights with sizes["d"] Runge-Kutta steps from one t to the next."""
    return trained(problem, training_of(problem), vectors_of(problem), sizes["d"], runge_kutta_step)


def descend(problem: LinearNetworkLoss, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The same by gradient descent."""
    return trained(problem, training_of(problem), vectors_of(problem), sizes["d"], gradient_step)


# ---- the protocol


def random_problem(p: int, number: int, loss: str, argument: str, noise: float) -> LinearNetworkLoss:
    """A network of p units with random weights and rates, on 20 samples; labels are signs for margins."""
    rng = np.random.default_rng(np.random.SeedSequence(2402, spawn_key=(p, number)))
    u, w = rng.standard_normal((2, p)) / math.sqrt(p)
    x = rng.standard_normal(20)
    y = x + noise * rng.standard_normal(20)
    gamma, eta_u, eta_w = np.exp(rng.uniform(-0.5, 0.5, 3))
    return LinearNetworkLoss(
        u=u, w=w, gamma=float(gamma * rng.choice((-1.0, 1.0))), eta_u=float(eta_u), eta_w=float(eta_w), x=x,
        y=np.sign(y) if argument == "margin" else y, loss_function=loss, argument=argument, t=TIMES)


LOSSES: dict[str, tuple[str, str, float]] = {
    "logistic": ("softplus(-x)", "margin", 0.5),
    "logistic, separable": ("softplus(-x)", "margin", 0.0),
    "exponential": ("exp(-x)", "margin", 0.5),
    "pseudo-Huber": ("sqrt(1 + x**2) - 1", "residual", 0.7),
    "square": ("x**2/2", "residual", 0.7),
}


def wrong_theories(problem: LinearNetworkLoss) -> WrongTheories:
    """Wrong theories of one network."""
    right = problem.solve(["norm_u", "norm_w"])
    wrong: WrongTheories = {
        "eta 10 % off": rates_off(problem),
        "imbalance of the layers dropped": {"ntk": without_imbalance(problem, right.norm_u, right.norm_w)},
    }
    if problem.loss_function.text != "x**2/2":
        square = "(1 - x)**2/2" if problem.argument == "margin" else "x**2/2"
        wrong["square loss"] = problem.replace(loss_function=square)
    return wrong


def protocol(size: str) -> Protocol:
    """Actual weights on samples, by Runge-Kutta steps and by gradient descent."""
    full = size == "full"
    problems = {f"{name}, p = {p}": random_problem(p, number, *given)
                for number, (name, given) in enumerate(LOSSES.items()) for p in (WIDTHS if full else WIDTHS[1:2])}
    steps = (50, 100, 200), (500, 1000, 2000)
    ways = given_weights.integrators(integrate, descend, steps, (1e-7, 3e-3), ("ntk", "loss"))
    first = next(iter(problems))
    return given_weights.protocol(
        f"linear-network-loss, {size}: networks trained on samples beside the quadrature", integrate,
        given_weights.settings(problems, JUDGED, wrong_theories, ways),
        laws=tuple((f"{first}{way.words}", "coefficient") for way in ways),
    )
