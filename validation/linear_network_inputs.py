"""`linear-network-inputs`, its descent, and `balanced-linear-network`: all actual weights, trained step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from asymptotics import BalancedLinearNetwork, LinearNetworkInputs, LinearNetworkInputsDescent

from .networks import Array
from .readout import one_network, shaped
from .training import (
    Weights,
    at_cells,
    gradient_step,
    instants_of,
    intervals_of,
    require_few,
    require_few_steps,
    require_no_sizes,
    runge_kutta_step,
    trained,
    trained_by,
)

STEP = 0.1  # largest Runge-Kutta step, in units of the inverse of the largest rate


class Training(NamedTuple):
    """f(x) = gamma u^T W x, and what it is trained on."""

    gamma: float
    eta_u: float
    eta_w: float
    c: float
    covariance: Array
    target: Array
    irreducible: float

    def descent(self, u: Array, W: Array) -> Weights:
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

    def descent(self, W1: Array, W2: Array) -> Weights:
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
            "gap_norm": distance,
            "excess_loss": 0.5 * self.c * self.m2 * distance**2,
            "norm_W1": float(np.linalg.norm(W1)),
            "norm_W2": float(np.linalg.norm(W2)),
        }


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
    require_no_sizes(sizes)
    if isinstance(problem, LinearNetworkInputsDescent):
        return descend(problem, sizes)
    training, weights = of_problem(problem, "t"), (problem.u, problem.W)
    intervals, rate = intervals_of(problem), training.rate(*weights)
    require_few_steps(rate, float(np.sum(intervals)), STEP)
    counts = np.ceil(rate * intervals / STEP).astype(int)
    return shaped(problem, trained_by(problem, training, weights, counts, runge_kutta_step))


def integrate(problem: LinearNetworkInputs, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The weights of a problem by sizes["d"] Runge-Kutta steps from one t to the next."""
    return trained(problem, of_problem(problem, "t"), (problem.u, problem.W), sizes["d"], runge_kutta_step)


def integrate_layers(problem: BalancedLinearNetwork, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The layers of a problem by sizes["d"] Runge-Kutta steps from one t to the next."""
    cell, _ = one_network(problem, varying="t")
    training = LayerTraining(problem.correlation, cell["m2"], cell["loss_factor"], cell["eta"])
    return trained(problem, training, (problem.W1, problem.W2), sizes["d"], runge_kutta_step)


def descend(
    problem: LinearNetworkInputsDescent, sizes: Mapping[str, int], seed: Any = None
) -> dict[str, Any]:
    """The weights of a problem by its own steps of gradient descent."""
    training = of_problem(problem, "steps")
    require_few(instants_of(problem, "steps")[0][-1])
    h, weights = float(problem.cells.arrays["step_size"].item()), (problem.u, problem.W)
    measured = []
    for count in intervals_of(problem, "steps").astype(int).tolist():
        for _ in range(count):
            weights = gradient_step(training, *weights, h)
        measured.append(training.measure(*weights))
    return shaped(problem, at_cells(problem, measured, "steps"))


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
