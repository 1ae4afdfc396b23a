"""`linear-network-inputs`, its descent, and `balanced-linear-network`: all actual weights, trained step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from asymptotics import BalancedLinearNetwork, LinearNetworkInputs, LinearNetworkInputsDescent, ParameterError

from .networks import Array
from .readout import one_network, shaped

STEP = 0.1  # largest Runge-Kutta step, in units of the inverse of the largest rate
LARGEST_NUMBER_OF_STEPS = 1_000_000

Weights = tuple[Array, Array]
Velocity = Callable[[Array, Array], Weights]


class Training(NamedTuple):
    """f(x) = gamma u^T W x, and what it is trained on."""

    gamma: float
    eta_u: float
    eta_w: float
    c: float
    covariance: Array
    target: Array
    irreducible: float

    def velocity(self, u: Array, W: Array) -> Weights:
        """-eta_u dL/du and -eta_w dL/dW."""
        force = self.c * self.gamma * self.covariance @ (self.target - self.gamma * W.T @ u)
        return self.eta_u * (W @ force), self.eta_w * np.outer(u, force)

    def rate(self, u: Array, W: Array) -> float:
        """A bound of the rates at which these weights are trained, now and in the end."""
        kernel = self.gamma**2 * float(self.eta_w * (u @ u) + self.eta_u * np.sum(W**2))
        reach = 2 * abs(self.gamma) * math.sqrt(self.eta_u * self.eta_w) * float(np.linalg.norm(self.target))
        return self.c * float(np.linalg.norm(self.covariance, 2)) * (kernel + reach)

    def measure(self, u: Array, W: Array) -> dict[str, Any]:
        """Observables of the weights; the kernel from the gradients of f."""
        beta = self.gamma * W.T @ u
        gap, lengths = self.target - beta, float(np.linalg.norm(beta) * np.linalg.norm(self.target))
        kernel = self.gamma**2 * (self.eta_u * W.T @ W + self.eta_w * (u @ u) * np.eye(len(beta)))
        labels = self.covariance @ self.target
        power, excess = float(labels @ self.target), 0.5 * self.c * float(gap @ self.covariance @ gap)
        return {
            "coefficients": beta,
            "excess_loss": excess,
            "loss": excess + 0.5 * self.c * self.irreducible,
            "gap_norm": float(np.linalg.norm(gap)),
            "alignment": float(beta @ self.target) / lengths if lengths > 0 else math.nan,
            "norm_u": float(np.linalg.norm(u)),
            "norm_W": float(np.linalg.norm(W)),
            "ntk_trace": float(np.sum(kernel * self.covariance)),
            "ntk_along_target": float(labels @ kernel @ labels) / power if power > 0 else math.nan,
        }


class LayerTraining(NamedTuple):
    """f(x) = W2 W1 x on whitened inputs."""

    S: Array
    m2: float
    c: float
    eta: float

    def velocity(self, W1: Array, W2: Array) -> Weights:
        """-eta dL/dW1 and -eta dL/dW2."""
        force = self.c * self.eta * (self.S - self.m2 * W2 @ W1)
        return W2.T @ force, force @ W1.T

    def measure(self, W1: Array, W2: Array) -> dict[str, Any]:
        """Observables of the weights."""
        product = W2 @ W1
        left, _, right = np.linalg.svd(self.S, full_matrices=False)
        distance = float(np.linalg.norm(self.S / self.m2 - product))
        return {
            "singular_values": np.linalg.svd(product, compute_uv=False),
            "mode_coefficients": np.einsum("ok,od,kd->k", left, product, right),
            "distance": distance,
            "excess_loss": 0.5 * self.c * self.m2 * distance**2,
            "norm_1": float(np.linalg.norm(W1)),
            "norm_2": float(np.linalg.norm(W2)),
        }


def runge_kutta_step(velocity: Velocity, first: Array, second: Array, h: float) -> Weights:
    """One classical Runge-Kutta step."""
    a1, b1 = velocity(first, second)
    a2, b2 = velocity(first + 0.5 * h * a1, second + 0.5 * h * b1)
    a3, b3 = velocity(first + 0.5 * h * a2, second + 0.5 * h * b2)
    a4, b4 = velocity(first + h * a3, second + h * b3)
    return first + h / 6 * (a1 + 2 * (a2 + a3) + a4), second + h / 6 * (b1 + 2 * (b2 + b3) + b4)


def simulate(
    problem: LinearNetworkInputs | LinearNetworkInputsDescent, sizes: Mapping[str, int],
    seed: int | np.random.SeedSequence | None = None,
) -> dict[str, Any]:
    """The network of a problem, trained by Runge-Kutta steps along the flow or by its steps of gradient descent.

    Parameters
    ----------
    problem : LinearNetworkInputs or LinearNetworkInputsDescent
        One network; only `t` (`steps`) may vary.
    sizes : mapping
        Must be empty: the width is that of the weights.
    seed
        Given weights leave nothing to chance.

    Raises
    ------
    ParameterError
        If another parameter varies, there is a size, or too many steps are needed.
    """
    for name in sizes:
        raise ParameterError(name, "is not a size of a linear network: its width is that of u and W")
    if isinstance(problem, LinearNetworkInputsDescent):
        return descend(problem, sizes)
    training = of_problem(problem, "t")
    times, _ = _instants(problem, "t")
    rate = training.rate(problem.u, problem.W)
    if not math.isfinite(rate) or rate * times[-1] > STEP * LARGEST_NUMBER_OF_STEPS:
        raise ParameterError("t", f"needs more than {LARGEST_NUMBER_OF_STEPS} steps")
    counts = np.ceil(rate * np.diff(times, prepend=0.0) / STEP).astype(int)
    return _follow(problem, training, (problem.u, problem.W), counts)


def integrate(problem: LinearNetworkInputs, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The weights of a problem by sizes["d"] Runge-Kutta steps from one t to the next."""
    return _follow(problem, of_problem(problem, "t"), (problem.u, problem.W), _counts(problem, sizes["d"]))


def integrate_layers(problem: BalancedLinearNetwork, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The layers of a problem by sizes["d"] Runge-Kutta steps from one t to the next."""
    cell, _ = one_network(problem, varying="t")
    training = LayerTraining(problem.correlation, cell["m2"], cell["loss_factor"], cell["eta"])
    return _follow(problem, training, (problem.W1, problem.W2), _counts(problem, sizes["d"]))


def descend(
    problem: LinearNetworkInputsDescent, sizes: Mapping[str, int], seed: Any = None
) -> dict[str, Any]:
    """The weights of a problem by its own steps of gradient descent."""
    training = of_problem(problem, "steps")
    counts, places = _instants(problem, "steps")
    if counts[-1] > LARGEST_NUMBER_OF_STEPS:
        raise ParameterError("steps", f"must be at most {LARGEST_NUMBER_OF_STEPS} to be simulated")
    h, u, W = float(problem.cells.arrays["step_size"].item()), problem.u, problem.W
    measured = []
    for count in np.diff(counts, prepend=0).astype(int).tolist():
        for _ in range(count):
            du, dW = training.velocity(u, W)
            u, W = u + h * du, W + h * dW
        measured.append(training.measure(u, W))
    return _shaped(problem, measured, places)


def of_problem(problem: LinearNetworkInputs | LinearNetworkInputsDescent, varying: str) -> Training:
    """The training of one network.

    Raises
    ------
    ParameterError
        If another parameter than `varying` varies.
    """
    cell, _ = one_network(problem, varying=varying)
    D = problem.W.shape[1]
    covariance = cell["m2"] * (np.eye(D) if problem.covariance is None else problem.covariance)
    return Training(cell["gamma"], cell["eta_u"], cell["eta_w"], cell["loss_factor"], covariance, problem.target,
                    cell["irreducible_loss"])


def _counts(problem: LinearNetworkInputs | BalancedLinearNetwork, steps: int) -> Array:
    return np.where(np.diff(_instants(problem, "t")[0], prepend=0.0) > 0, steps, 0)


def _follow(
    problem: LinearNetworkInputs | BalancedLinearNetwork, training: Training | LayerTraining, weights: Weights,
    counts: Array,
) -> dict[str, Any]:
    """Observables of all cells, with `counts` steps from one time to the next."""
    times, places = _instants(problem, "t")
    measured = []
    for interval, count in zip(np.diff(times, prepend=0.0).tolist(), counts.tolist(), strict=True):
        for _ in range(count):
            weights = runge_kutta_step(training.velocity, *weights, interval / count)
        measured.append(training.measure(*weights))
    return _shaped(problem, measured, places)


def _instants(problem: Any, name: str) -> tuple[Array, Any]:
    """Different times, increasing, and which of them belongs to each cell, flat."""
    instants, places = np.unique(np.broadcast_to(problem.cells.arrays[name], problem.shape), return_inverse=True)
    return instants.astype(np.float64), places.ravel()


def _shaped(problem: Any, measured: list[dict[str, Any]], places: Any) -> dict[str, Any]:
    return shaped(problem, {name: np.array([values[name] for values in measured])[places] for name in measured[0]})
