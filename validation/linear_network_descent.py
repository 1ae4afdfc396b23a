"""`linear-network-descent`: actual weights trained by gradient descent, on the full sample or on batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from asymptotics import LinearNetworkDescent

from .linear_network import OBSERVABLES as STATE
from .linear_network import Training, training_of, weights_of
from .networks import Array
from .readout import one_network, shaped
from .training import Weights, at_cells, require_few, require_no_sizes

DIVERGED = 1e60  # weights whose loss is still in range

OBSERVABLES = (*STATE, "stability")


def simulate(
    problem: LinearNetworkDescent, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """One network with the initial weights of the problem, trained by the steps of the problem.

    Parameters
    ----------
    problem : LinearNetworkDescent
        One network; only `steps` may vary.  Of given overlaps: two hidden units that have them, in a random direction.
    sizes : mapping
        Must be empty: the width is that of the weights.
    seed : int or numpy.random.SeedSequence
        Of that direction; given weights leave nothing to chance.

    Returns
    -------
    dict of str to float or ndarray
        `OBSERVABLES`, in the shape of the cells; NaN after the weights have exceeded 1e60.

    Raises
    ------
    ParameterError
        If another parameter than `steps` varies, there is a size, no weights have the overlaps, or there are too many
        steps.
    """
    require_no_sizes(sizes)
    cell, counts = one_network(problem, varying="steps")
    last = int(np.max(counts, initial=0))
    require_few(last)
    training, h = training_of(cell), cell["step_size"]
    u, w = weights_of(problem, np.random.default_rng(seed))
    wanted, measured = set(counts.tolist()), []
    for step in range(last + 1):
        if step in wanted:
            measured.append(measure(training, u, w, h))
        if step < last:
            m2, mxy = ((training.m2, training.m2 * training.A) if problem.batch_m2 is None
                       else (problem.batch_m2[step], problem.batch_mxy[step]))
            u, w = batch_step(training, u, w, h, m2, mxy)
    return shaped(problem, at_cells(problem, measured, "steps"))


def batch_step(training: Training, u: Array, w: Array, h: float, m2: float, mxy: float) -> Weights:
    """One step down the loss of samples with these means of x^2 and x y; diverged weights stay where they are."""
    if not max(np.max(np.abs(u)), np.max(np.abs(w))) < DIVERGED:
        return u, w
    gamma = training.gamma
    with np.errstate(over="ignore", invalid="ignore"):
        slope = h * training.c * gamma * (mxy - m2 * gamma * float(u @ w))
        return u + training.eta_u * slope * w, w + training.eta_w * slope * u


def measure(training: Training, u: Array, w: Array, h: float) -> dict[str, float]:
    """`OBSERVABLES` of the weights; NaN if they have diverged."""
    if not max(np.max(np.abs(u)), np.max(np.abs(w))) < DIVERGED:
        return dict.fromkeys(OBSERVABLES, math.nan)
    with np.errstate(over="ignore"):
        values = training.measure(u, w)
    return values | {"stability": h * training.c * training.m2 * values["ntk"]}
