"""The network of `linear-network` with tanh units and inputs in R^D: how far the three mechanisms go beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from asymptotics import LinearNetwork, ParameterError

from . import networks
from .networks import Array

SAMPLES = 300
STEP, STEPS = 0.1, 400  # of gradient descent; the step in units of the inverse rate of the linear network
THRESHOLDS = (0.2, 0.1)  # changes of |cos|, and of ln |u||w|, that count

DIRECTIONS = ("direction of the angle", "direction of the norms")
SIZES = ("|cosine| at the end", "|u||w|, end/start")
KERNEL = ("ntk along the target, end/start", "trace of the ntk, end/start")


class Case(NamedTuple):
    """f(x) = gamma sum_i u_i tanh(w_i . x), x in R^D, with the target A x_1.

    Attributes
    ----------
    p, D : int
    gamma, sd_u, sd_w, correlation : float
        Of the initial weights: standard deviations, and the correlation of u_i with the first entry of w_i.
    A : float
    rate : float
        Of both layers.
    """

    p: int
    D: int
    gamma: float
    sd_u: float
    sd_w: float
    correlation: float
    A: float
    rate: float


CASES = {
    "tanh kernel": Case(1000, 5, 1000**-0.5, 1, 0.4, 0, 0.5, 1),
    "tanh alignment": Case(1000, 5, 1e-3, 0.4, 0.4, 0, 0.5, 1000),
    "tanh disalignment": Case(200, 1, 5e-3, 2.3, 0.6, 0.7, 0.2, 200),
    "tanh rescaling up": Case(200, 1, 5e-3, 0.4, 0.4, 0.99, 0.6, 200),
    "tanh rescaling down": Case(200, 1, 5e-3, 1, 0.6, 0.99, 0.2, 200),
}


def linear(case: Case) -> LinearNetwork:
    """The linear network on the line of the target, with the expected overlaps, long after training."""
    return LinearNetwork.from_overlaps(
        uu=case.p * case.sd_u**2, ww=case.p * case.sd_w**2, uw=case.p * case.correlation * case.sd_u * case.sd_w,
        gamma=case.gamma, eta_u=case.rate, eta_w=case.rate, target_coefficient=case.A, t=(0.0, 1e3),
    )


def linear_values(case: Case) -> dict[str, float]:
    """What the linear network says of everything that `simulate` measures."""
    values = linear(case).solve(["cosine", "norm_u", "norm_w", "ntk"]).values
    return _changes(values["cosine"], values["norm_u"] * values["norm_w"]) | dict.fromkeys(
        KERNEL, float(values["ntk"][1] / values["ntk"][0]))


def simulate(problem: LinearNetwork, sizes: Mapping[str, int], seed: int | np.random.SeedSequence) -> dict[str, float]:
    """One tanh network of the case that a problem of `linear` belongs to, trained by gradient descent.

    The loss is the mean of (f(x) - y)^2/2 over `SAMPLES` whitened Gaussian inputs.

    Returns
    -------
    dict of str to float
        `DIRECTIONS`: -1, 0 or 1, the sign of the change of |cos(u, W e_1)|, and of ln |u||W e_1|, 0 below `THRESHOLDS`;
        `SIZES`, and `KERNEL`, the empirical kernel on the training inputs.
    """
    case = case_of(problem)
    weights_rng, data_rng = networks.generators(seed, 2)
    u = weights_rng.standard_normal(case.p)
    W = weights_rng.standard_normal((case.p, case.D))
    W[:, 0] = case.correlation * u + math.sqrt(1 - case.correlation**2) * W[:, 0]
    u, W = case.sd_u * u, case.sd_w * W
    X = whitened(SAMPLES, case.D, data_rng)
    y = case.A * X[:, 0]
    h = STEP / float(np.max(linear(case).solve(["ntk"]).values["ntk"]))
    start = _state(case, u, W, X)
    for _ in range(STEPS):
        hidden = np.tanh(X @ W.T)
        gap = y - case.gamma * (hidden @ u)
        du = gap @ hidden
        np.multiply(hidden, hidden, out=hidden)
        np.subtract(1.0, hidden, out=hidden)
        dW = u[:, None] * ((hidden * gap[:, None]).T @ X)
        u, W = (weights + h * case.rate * case.gamma / SAMPLES * change for weights, change in ((u, du), (W, dW)))
    end = _state(case, u, W, X)
    changes = _changes(*(np.array([first, last]) for first, last in zip(start[:2], end[:2], strict=True)))
    return changes | {name: last / first for name, first, last in zip(KERNEL, start[2:], end[2:], strict=True)}


def case_of(problem: LinearNetwork) -> Case:
    """The case whose linear network a problem is.

    Raises
    ------
    ParameterError
        If there is none.
    """
    for case in CASES.values():
        if linear(case) == problem:
            return case
    raise ParameterError("problem", "must be the linear network of one of the tanh cases")


def whitened(n: int, D: int, rng: np.random.Generator) -> Array:
    """Gaussian inputs (n, D) whose second moments are exactly the identity."""
    X = rng.standard_normal((n, D))
    return np.asarray(np.linalg.solve(np.linalg.cholesky(X.T @ X / n), X.T).T)


def _state(case: Case, u: Array, W: Array, X: Array) -> tuple[float, float, float, float]:
    """cos(u, W e_1), |u||W e_1|, kernel along the target, and its trace; both rate-weighted."""
    hidden = np.tanh(X @ W.T)
    slopes = u * (1 - hidden**2)
    first = X[:, 0]
    along = np.sum((first @ hidden) ** 2) + np.sum(((slopes * first[:, None]).T @ X) ** 2)
    trace = np.sum(hidden**2) + np.sum(np.sum(slopes**2, axis=1) * np.sum(X**2, axis=1))
    product = float(np.linalg.norm(u) * np.linalg.norm(W[:, 0]))
    return float(u @ W[:, 0]) / product, product, float(along), float(trace)


def _changes(cosine: Any, product: Any) -> dict[str, float]:
    """Directions and sizes from the start and the end."""
    angle, norms = abs(cosine[1]) - abs(cosine[0]), math.log(product[1] / product[0])
    directions = {name: float(np.sign(change)) if abs(change) > least else 0.0
                  for name, change, least in zip(DIRECTIONS, (angle, norms), THRESHOLDS, strict=True)}
    return directions | dict(zip(SIZES, (float(abs(cosine[1])), math.exp(norms)), strict=True))
