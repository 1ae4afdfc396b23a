"""Parameters that the problems of this folder share: declared once, so that they have one wording and one range."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ParameterError
from ...parameters import parameter


def output_factor(function: str = "gamma <u, w> x") -> Any:
    """gamma of f(x) = `function`."""
    return parameter(f"factor of the output, f(x) = {function}; not 0", symbol=r"\gamma", default=1.0)


def output_rate() -> Any:
    """eta_u."""
    return parameter("learning rate of the output weights", symbol=r"\eta_u", low=0, default=1.0)


def input_rate() -> Any:
    """eta_w."""
    return parameter("learning rate of the input weights", symbol=r"\eta_w", low=0, default=1.0)


def second_moment() -> Any:
    """m2 of inputs on a line."""
    return parameter("second moment E x^2 of the inputs", symbol="m_2", above=0, default=1.0)


def target_coefficient() -> Any:
    """A on a line."""
    return parameter("best coefficient, A = E xy/E x^2", symbol="A")


def loss_factor(square: str = "(f(x) - y)^2") -> Any:
    """c of the loss (c/2) E `square`."""
    return parameter(f"factor c of the loss (c/2) E {square}: 1 for half the mean square, 2 for the mean square",
                     symbol="c", above=0, default=1.0)


def irreducible_loss(which: str) -> Any:
    """The mean square `which` does not depend on the weights."""
    return parameter(f"mean square that {which}", symbol=r"L_\infty", low=0, default=0.0)


def training_time() -> Any:
    """t."""
    return parameter("training time", symbol="t", low=0)


def step_size() -> Any:
    """h."""
    return parameter("step size, a factor of both rates", symbol="h", low=0)


def number_of_steps() -> Any:
    """n."""
    return parameter("number of steps that have been made", symbol="n", kind="size", low=0)


def require_training(problem: Any) -> None:
    """Raise `ParameterError` if gamma is 0 somewhere, or both rates are 0 everywhere."""
    if np.any(np.asarray(problem.cells.arrays["gamma"]) == 0):
        raise ParameterError("gamma", "must not be 0: the network would be zero for ever")
    if np.ndim(problem.eta_u) == np.ndim(problem.eta_w) == 0 and problem.eta_u == problem.eta_w == 0:
        raise ParameterError("eta_u", "and eta_w must not both be 0: nothing would be trained")


def require_equally_many(name: str, values: Any, other: str, others: Any) -> None:
    """Raise `ParameterError` if `values` has not as many entries as `others`."""
    if len(values) != len(others):
        raise ParameterError(name, f"must have as many entries as {other} ({len(others)}), got {len(values)}")
