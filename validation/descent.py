"""Training of given weights (u, w) by small steps of gradient descent or of Runge-Kutta, whatever the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from asymptotics import ParameterError, Problem

from .linear_network import LARGEST_NUMBER_OF_STEPS, STEP, times_of
from .networks import Array
from .readout import shaped


class Trainable(Protocol):
    """A network of weights u, w with its loss."""

    def descent(self, u: Array, w: Array) -> tuple[Array, Array]:
        """-eta_u dL/du and -eta_w dL/dw."""

    def measure(self, u: Array, w: Array) -> dict[str, float]:
        """What is observed."""

    def rate(self, u: Array, w: Array) -> float:
        """The rate at which the weights or the gap change: steps are small parts of its inverse."""


def gradient_step(network: Trainable, u: Array, w: Array, h: float) -> tuple[Array, Array]:
    """One step of gradient descent."""
    du, dw = network.descent(u, w)
    return u + h * du, w + h * dw


def runge_kutta_step(network: Trainable, u: Array, w: Array, h: float) -> tuple[Array, Array]:
    """One classical Runge-Kutta step along the gradient flow."""
    du1, dw1 = network.descent(u, w)
    du2, dw2 = network.descent(u + 0.5 * h * du1, w + 0.5 * h * dw1)
    du3, dw3 = network.descent(u + 0.5 * h * du2, w + 0.5 * h * dw2)
    du4, dw4 = network.descent(u + h * du3, w + h * dw3)
    return u + h / 6 * (du1 + 2 * (du2 + du3) + du4), w + h / 6 * (dw1 + 2 * (dw2 + dw3) + dw4)


def trained(problem: Problem, network: Trainable, u: Array, w: Array, sizes: Mapping[str, int], order: int
            ) -> dict[str, Any]:
    """Observables with sizes["d"] steps from one t to the next: gradient descent (order 1) or Runge-Kutta (order 4)."""
    step = gradient_step if order == 1 else runge_kutta_step
    times, places = times_of(problem)
    measured = []
    for interval in np.diff(times, prepend=0.0).tolist():
        for _ in range(sizes["d"] if interval else 0):
            u, w = step(network, u, w, interval / sizes["d"])
        measured.append(network.measure(u, w))
    return shaped(problem, {name: np.array([values[name] for values in measured])[places] for name in measured[0]})


def followed(problem: Problem, network: Trainable, u: Array, w: Array) -> dict[str, Any]:
    """Observables by Runge-Kutta steps that are as small as the weights of the moment need.

    Raises
    ------
    ParameterError
        If that takes too many steps.
    """
    times, places = times_of(problem)
    measured, steps, now = [], 0, 0.0
    for time in times.tolist():
        while now < time:
            rate = network.rate(u, w)
            steps += 1
            if steps > LARGEST_NUMBER_OF_STEPS or not math.isfinite(rate):
                raise ParameterError("t", f"needs more than {LARGEST_NUMBER_OF_STEPS} steps")
            h = min(5 * STEP / rate if rate > 0 else math.inf, time - now)
            u, w = runge_kutta_step(network, u, w, h)
            now = time if h == time - now else now + h
        measured.append(network.measure(u, w))
    return shaped(problem, {name: np.array([values[name] for values in measured])[places] for name in measured[0]})
