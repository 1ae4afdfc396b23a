"""Networks of `polynomial-spikes` paired with the prediction for their own sizes, direction and samples.

d, p, n, n0 and the learning rate are parameters of this theory, which has finite-size terms of its own.  Compared at
growing sizes are networks and predictions with the same tau, tau_r and s; what is left between the two must vanish as
1/d.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from asymptotics import AccuracyWarning, PolynomialSpikes

from . import networks
from .polynomial_spikes import Trained, Training, measured, plan_of, readout, trained
from .readout import Plan, one_network, shaped, whole

ERRORS = ("test_error", "train_error", "ridge_objective")
STEP = ("tau", "tau_r", "row_rescaling")
FIRST_LAYER = ("first_layer_singular_value", "first_layer_alignment", "first_layer_readout_alignment")
OBSERVABLES = (*ERRORS, "overlaps", *STEP, "singular_values", "spike_vectors", *FIRST_LAYER)
RATIOS = ("singular_values", "first_layer_singular_value")  # grow with the size


def resized(problem: PolynomialSpikes, d: int) -> PolynomialSpikes:
    """The problem at another input dimension: the same ratios of the sizes, the same tau, tau_r and s (eta ~ sqrt(p)).

    Parameters
    ----------
    problem : PolynomialSpikes
        One network.
    d : int
    """
    cell, _ = one_network(problem)
    sizes = {name: whole(cell[name] * d / cell["d"]) for name in ("p", "n", "n0")}
    return problem.replace(d=d, **sizes, eta=cell["eta"] * math.sqrt(sizes["p"] / cell["p"]))


def simulate(
    problem: PolynomialSpikes, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """One network of the problem resized to sizes["d"], paired with predictions.

    The prediction is that for its direction b = X^T y/n0.  Errors and overlaps are also paired with those that the same
    network has before the step: samples that happen to be easy are easy for both, and cancel.  With `size` and `before`
    for predictions at this size, and `theory` for that of the problem, a value is

        errors                      theory * (trained/size) / (untrained/before)
        singular values             theory * trained/size
        overlaps                    theory + (trained - size) - (untrained - before)
        everything else             theory + trained - size

    Parameters
    ----------
    problem : PolynomialSpikes
        One cell, or cells that differ in `lam` only.
    sizes : mapping
        The input dimension "d", and optionally "test", the number of fresh points.
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    dict of str to float or ndarray
        `OBSERVABLES`, in the shape of the cells and trailing axes; NaN where a prediction is not defined.
    """
    return paired(problem, sizes, seed, trained)


def simulate_isotropic(
    problem: PolynomialSpikes, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """The same with the residual of the step replaced by an isotropic one of its size, as level "full" has it."""
    return paired(problem, sizes, seed, isotropic)


def isotropic(problem: PolynomialSpikes, plan: Plan, rngs: Sequence[np.random.Generator]) -> Trained:
    """Weights (1 + s z_i) w_i + tau z_i b/|b| + tau_r z_i g_i, with directions g_i that are independent of everything.

    Parameters
    ----------
    problem : PolynomialSpikes
    plan : Plan
    rngs : sequence of numpy.random.Generator
        Of the weights, the samples of the step, the samples of the readout, and the residual.
    """
    before = problem.replace(eta=0)
    network = trained(before, plan_of(before, {}), rngs)
    step = solved(problem.replace(direction_norm_squared=network.norm_squared), STEP)
    tau, tau_r, rescaling = (float(np.ravel(value)[0]) for value in step.values())
    z = math.sqrt(plan.p) * network.initial[:, None]
    residual = networks.sphere_rows(plan.p, plan.d, rngs[3])
    direction = network.learned / math.sqrt(network.norm_squared)
    weights = (1 + rescaling * z) * network.weights + z * (tau * direction + tau_r * residual)
    return network._replace(weights=weights, F=networks.features(weights, problem.activation, network.X))


def paired(
    problem: PolynomialSpikes, sizes: Mapping[str, int], seed: int | np.random.SeedSequence, training: Training
) -> dict[str, Any]:
    """See `simulate`; the networks are made by `training`."""
    here = resized(problem, sizes["d"])
    before = here.replace(eta=0)
    after, network = measured(here, sizes, seed, training)
    untrained = _untrained(before, sizes, seed)
    theory, known = _solved_once(problem, OBSERVABLES), _solved_once(before, (*ERRORS, "overlaps"))
    size = solved(
        here.replace(direction_norm_squared=network.norm_squared, direction_alignment=network.alignment), OBSERVABLES
    )
    values = {name: theory[name] * after[name] / size[name] if name in (*ERRORS, *RATIOS)
              else theory[name] + after[name] - size[name] for name in OBSERVABLES}
    for name in ERRORS:
        values[name] /= untrained[name] / known[name]
    values["overlaps"] -= untrained["overlaps"] - known["overlaps"]
    return values


def solved(problem: PolynomialSpikes, observables: Sequence[str]) -> dict[str, Any]:
    """The prediction, without the warning that a large step raises at every network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        return dict(problem.solve(observables).values)


@functools.lru_cache(maxsize=64)
def _solved_once(problem: PolynomialSpikes, observables: tuple[str, ...]) -> Mapping[str, Any]:
    return MappingProxyType(solved(problem, observables))


def _untrained(
    problem: PolynomialSpikes, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """Errors and overlaps of the network before the step, on the same samples and fresh points."""
    plan = plan_of(problem, sizes)
    *rngs, test_rng = networks.generators(seed, 4)
    return shaped(problem, readout(problem, plan, trained(problem, plan, rngs), test_rng))
