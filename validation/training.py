"""Training of given weights, two arrays, by small steps of gradient descent or of Runge-Kutta, whatever the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from asymptotics import ParameterError, Problem

from .networks import Array
from .readout import shaped

STEP = 0.01  # largest step of gradient descent, in units of the inverse rate of the gap
LARGEST_NUMBER_OF_STEPS = 1_000_000

Weights = tuple[Array, Array]


class Trainable(Protocol):
    """A network of two layers of weights with its loss."""

    def descent(self, u: Array, w: Array, /) -> Weights:
        """Minus the gradients of the loss, times the rates of the layers."""


class Measurable(Trainable, Protocol):
    """One that says what is observed."""

    def measure(self, u: Array, w: Array, /) -> Mapping[str, Any]:
        """Observables of the weights."""


class Paced(Measurable, Protocol):
    """One that says how fast it moves."""

    def rate(self, u: Array, w: Array, /) -> float:
        """The rate at which the weights or the gap change: steps are small parts of its inverse."""


Step = Callable[[Trainable, Array, Array, float], Weights]


def gradient_step(network: Trainable, u: Array, w: Array, h: float) -> Weights:
    """One step of gradient descent."""
    du, dw = network.descent(u, w)
    return u + h * du, w + h * dw


def runge_kutta_step(network: Trainable, u: Array, w: Array, h: float) -> Weights:
    """One classical Runge-Kutta step along the gradient flow."""
    du1, dw1 = network.descent(u, w)
    du2, dw2 = network.descent(u + 0.5 * h * du1, w + 0.5 * h * dw1)
    du3, dw3 = network.descent(u + 0.5 * h * du2, w + 0.5 * h * dw2)
    du4, dw4 = network.descent(u + h * du3, w + h * dw3)
    return u + h / 6 * (du1 + 2 * (du2 + du3) + du4), w + h / 6 * (dw1 + 2 * (dw2 + dw3) + dw4)


def trained(problem: Problem, network: Measurable, weights: Weights, steps: int, step: Step) -> dict[str, Any]:
    """Observables with so many steps from one t to the next."""
    counts = np.where(intervals_of(problem) > 0, steps, 0)
    return shaped(problem, trained_by(problem, network, weights, counts, step))


def trained_by(problem: Problem, network: Measurable, weights: Weights, counts: Array, step: Step) -> dict[str, Array]:
    """Observables of all cells, flat, with `counts` steps from one t to the next."""
    measured = []
    for interval, count in zip(intervals_of(problem).tolist(), counts.tolist(), strict=True):
        for _ in range(count):
            weights = step(network, *weights, interval / count)
        measured.append(network.measure(*weights))
    return at_cells(problem, measured)


def followed(problem: Problem, network: Paced, weights: Weights) -> dict[str, Any]:
    """Observables by Runge-Kutta steps that are as small as the weights of the moment need.

    Raises
    ------
    ParameterError
        If that takes too many steps.
    """
    measured, steps, now = [], 0, 0.0
    for time in instants_of(problem)[0].tolist():
        while now < time:
            rate = network.rate(*weights)
            steps += 1
            if steps > LARGEST_NUMBER_OF_STEPS:
                rate = math.inf
            require_few_steps(rate, 0.0)
            h = min(5 * STEP / rate if rate > 0 else math.inf, time - now)
            weights = runge_kutta_step(network, *weights, h)
            now = time if h == time - now else now + h
        measured.append(network.measure(*weights))
    return shaped(problem, at_cells(problem, measured))


def extrapolated(run: Callable[[int], Mapping[str, Array]]) -> dict[str, Array]:
    """What `run(1)` and `run(2)`, with steps half as long, tend to: 2 fine - coarse removes the first order."""
    coarse, fine = run(1), run(2)
    return {name: 2 * fine[name] - coarse[name] for name in coarse}


# ---- times and cells


def instants_of(problem: Problem, name: str = "t") -> tuple[Array, Any]:
    """Different values of a parameter, increasing, and which of them belongs to each cell, flat."""
    instants, places = np.unique(np.broadcast_to(problem.cells.arrays[name], problem.shape), return_inverse=True)
    return instants.astype(np.float64), places.ravel()


def intervals_of(problem: Problem, name: str = "t") -> Array:
    """From 0 to the first of `instants_of`, and from one to the next."""
    return np.diff(instants_of(problem, name)[0], prepend=0.0)


def at_cells(problem: Problem, measured: Sequence[Mapping[str, Any]], name: str = "t") -> dict[str, Array]:
    """Observables of all cells, flat, from those at each of `instants_of`."""
    places = instants_of(problem, name)[1]
    return {observable: np.array([values[observable] for values in measured])[places] for observable in measured[0]}


# ---- what cannot be simulated


def require_no_sizes(sizes: Mapping[str, int]) -> None:
    """Raise `ParameterError` for any size: the width is that of the weights."""
    for name in sizes:
        raise ParameterError(name, "is not a size of a network of given weights: its width is theirs")


def require_few_steps(rate: float, time: float, step: float = STEP) -> None:
    """Raise `ParameterError` if steps of this size, in units of 1/rate, are too many, or the rate is not finite."""
    if not math.isfinite(rate) or rate * time > step * LARGEST_NUMBER_OF_STEPS:
        raise ParameterError("t", f"needs more than {LARGEST_NUMBER_OF_STEPS} steps")


def require_few(steps: float) -> None:
    """Raise `ParameterError` if a problem asks for too many steps of its own."""
    if steps > LARGEST_NUMBER_OF_STEPS:
        raise ParameterError("steps", f"must be <= {LARGEST_NUMBER_OF_STEPS} to be simulated, got {steps:.0f}")
