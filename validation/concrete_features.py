"""`concrete-features`: predictions from the first layer of each simulated network; their protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from asymptotics import GiantStep, SpikedRandomFeatures

from . import networks
from .giant_step import TRAINED, trained
from .protocols import Protocol, Setting
from .readout import ERRORS, ORDER_PARAMETERS, order_parameters, shaped

OBSERVABLES = ERRORS + ORDER_PARAMETERS


def simulate(problem: GiantStep, sizes: Mapping[str, int], seed: int | np.random.SeedSequence) -> dict[str, Any]:
    """One trained network, paired with the prediction for its own first layer W.

    Each value is simulation - prediction(W) + limit, where `limit` is the theory of `problem`.  Whatever W makes of a
    network cancels; what is left must extrapolate to the limit if the predictions are right.

    Parameters
    ----------
    problem : GiantStep
        One cell, or cells that differ in `lam` only, with one readout level.
    sizes : mapping
        As in `giant_step.simulate`.
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    dict of str to float or ndarray
        test_error, train_error, m, th, psi, q1, q2, in the shape of the cells.

    Raises
    ------
    ParameterError
        If another parameter than `lam` varies, or a size is not allowed.
    """
    network, layer, readouts, errors = trained(problem, sizes, seed)
    concrete = SpikedRandomFeatures.from_weights(
        layer.weights, layer.direction, activation=problem.activation, target=problem.target, n=network.n,
        lam=network.lam, noise_var=network.cell["noise_var"],
    )
    predicted, limit = concrete.solve(OBSERVABLES).values, problem.solve(OBSERVABLES).values

    spike, rest = _directions(layer.weights, layer.direction)
    bulk = layer.weights - np.mean(layer.weights @ spike) * spike
    measured = shaped(problem, errors | order_parameters(readouts, bulk, spike, rest))
    return {name: measured[name] - np.reshape(predicted[name], problem.shape) + limit[name] for name in OBSERVABLES}


def _directions(weights: networks.Array, direction: networks.Array) -> tuple[networks.Array, networks.Array]:
    """The direction of the mean row, on the side of the target, and that of the rest of the target."""
    spike = np.sum(weights, axis=0)
    spike *= np.sign(spike @ direction) / np.linalg.norm(spike)
    rest = direction - (spike @ direction) * spike
    return spike, rest / np.linalg.norm(rest)


def protocol(size: str) -> Protocol:
    """Trained networks, each beside the prediction for its own weights."""
    settings = [
        Setting(name=name, problem=problem, judged=OBSERVABLES, wrong={
            "eta 10 % off": problem.replace(eta=1.1 * problem.eta), **_dropped(problem, size)})
        for name, problem in TRAINED.items()
    ]
    if size == "quick":
        settings = [setting for setting in settings if setting.name in ("relu/relu 2, 1.5", "softplus/tanh 1, 4")]
    return Protocol(
        title=f"concrete-features, {size}: trained networks beside predictions from their own first layer",
        simulate=simulate,
        settings=tuple(settings),
        networks={200: 500, 600: 240} if size == "full" else {80: 300, 240: 150},
        test_points=4000,
        precision={"test_error": 0.01},
        remarks=(
            "Settings are activation/target alpha0, eta of the step; erf stands for erf(x/sqrt(2)).",
            "A simulated value is simulation - prediction from the weights + theory, the mean over pairs; theory is "
            "the limit for these steps (full_step).  The wrong theories are limits of wrong predictions.",
        ),
    )


def _dropped(problem: GiantStep, size: str) -> dict[str, GiantStep]:
    """What predictions from weights without the correlations of the bulk, or without row norms, would converge to."""
    wrong = {"isotropic bulk": problem.replace(model="isotropic")}
    if size == "full":  # seen with enough networks only
        wrong["row norms dropped"] = problem.replace(model="exact_step")
    return wrong
