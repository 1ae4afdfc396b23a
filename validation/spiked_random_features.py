"""`spiked-random-features`: ridge readout of features with a given spike; its protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from asymptotics import SpikedRandomFeatures

from . import networks
from .giant_step import SPIKE, TRAINED, wrong_spikes
from .protocols import Protocol, Setting
from .readout import ERRORS, ORDER_PARAMETERS, RIDGES, blocks, by_neuron, fit, order_parameters, plan, shaped

_OBSERVABLES = ERRORS + ORDER_PARAMETERS


def simulate(
    problem: SpikedRandomFeatures, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """Ridge readout on one draw of the weights and of the samples.

    Parameters
    ----------
    problem : SpikedRandomFeatures
        One cell, or cells that differ in `lam` only: their readouts share the draw.
    sizes : mapping
        The input dimension "d" >= 2; p and n are `beta d` and `alpha d`, rounded, at least 1.  Optionally "test", the
        number of fresh points on which errors are measured.
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    dict of str to float or ndarray
        test_error, generalization_error, train_error, ridge_objective, m, th, psi, q1, q2, chi, in the shape of the
        cells and the axes of the readout levels.

    Raises
    ------
    ParameterError
        If another parameter than `lam` varies, or a size is not allowed.
    """
    network = plan(problem, sizes)
    cell = network.cell
    parts = blocks(problem, network.p)
    strengths = cell["spike_strength"] * by_neuron(problem.readout_levels, parts)
    variances = by_neuron(cell.get("bulk_variance", problem.bulk_variance), parts)
    weights_rng, data_rng, test_rng = networks.generators(seed, 3)

    spike = networks.unit_vector(network.d, weights_rng)
    rest = networks.unit_vector(network.d, weights_rng, orthogonal_to=spike)
    alignment = cell["alignment"]
    direction = alignment * spike + math.sqrt(1 - alignment**2) * rest
    weights = networks.spiked_weights(
        network.p, strengths, spike, variances, weights_rng, cell["row_norm_variance"]
    )

    X, y = networks.single_index_data(network.n, direction, problem.target, cell["noise_var"], data_rng)
    readouts, errors = fit(problem, network, weights, direction, X, y, test_rng)
    bulk = weights - strengths[:, None] * spike
    excess_norms = np.sum(bulk**2, axis=1) - variances
    chi = readouts @ excess_norms / math.sqrt(network.p)
    return shaped(problem, errors | order_parameters(readouts, bulk, spike, rest, parts) | {"chi": chi})


def protocol(size: str) -> Protocol:
    """Features sampled as the theory has them, for which it is exact: everything is judged."""
    settings = [*_after_a_step(), *_row_norms(), *_without_spike(), _jump()]
    if size == "quick":
        quick = ("relu/relu 2, 1.5", "tanh/sin 2, 3", "softplus/tanh 1, 4", "relu/sin Gaussian rows",
                 "random features tanh/sin")
        settings = [setting for setting in settings if setting.name in quick]
    return Protocol(
        title=f"spiked-random-features, {size}: ridge on sampled features beside the theory",
        simulate=simulate,
        settings=tuple(settings),
        networks={200: 800, 600: 400} if size == "full" else {80: 600, 240: 450},
        test_points=4000 if size == "full" else 3000,
        precision={"test_error": 0.01},
        laws=(("tanh/sin 20, 3", "test_error"), ("relu/relu 2, 1.5", "test_error")) if size == "full" else (),
        law_networks={50: 4000, 100: 2000, 200: 1000},
        remarks=(
            "Settings with two numbers have the spike strength, bulk variance and alignment that a step with this "
            "alpha0, eta has in the limit; erf stands for erf(x/sqrt(2)).",
        ),
    )


def _after_a_step() -> list[Setting]:
    """The parameters of the trained networks of `giant-step`."""
    settings = []
    for name, trained in TRAINED.items():
        common = {key: getattr(trained, key) for key in ("activation", "target", "alpha", "beta", "lam", "noise_var")}
        spike = {key: values[0] for key, values in trained.solve(SPIKE).values.items()}
        settings.append(Setting(
            name=name,
            problem=SpikedRandomFeatures(**common, **spike),
            judged=_OBSERVABLES,
            wrong={error: SpikedRandomFeatures(**common, **wrong) for error, wrong in wrong_spikes(trained).items()},
        ))
    return settings


def _row_norms() -> list[Setting]:
    """Normalised and Gaussian rows, where the second derivative of the activation matters."""
    settings = []
    for activation, target in (("relu", "sin"), ("he2", "he2"), ("he3", "tanh")):
        normalised = SpikedRandomFeatures(activation=activation, target=target, spike_strength=1, alignment=0.9,
                                          alpha=3, lam=RIDGES)
        gaussian = normalised.replace(row_norm_variance=2)
        settings += [
            Setting(name=f"{activation}/{target} normalised rows", problem=normalised, judged=_OBSERVABLES),
            Setting(name=f"{activation}/{target} Gaussian rows", problem=gaussian, judged=(*_OBSERVABLES, "chi"),
                    wrong={"chi = 0 for Gaussian rows": normalised}),
        ]
    return settings


def _without_spike() -> list[Setting]:
    settings = []
    for activation, target, beta in (("tanh", "sin", 1.0), ("relu", "relu", 0.5)):
        problem = SpikedRandomFeatures(activation=activation, target=target, spike_strength=0, alignment=0, alpha=2,
                                       beta=beta, lam=RIDGES, noise_var=0.1)
        settings.append(Setting(name=f"random features {activation}/{target}", problem=problem, judged=_OBSERVABLES))
    return settings


def _jump() -> Setting:
    """An activation that a network could not be trained with."""
    problem = SpikedRandomFeatures(activation="sign", target="tanh", spike_strength=2, bulk_variance=1.3, alignment=0.6,
                                   alpha=1.5, beta=0.7, lam=RIDGES, noise_var=0.1)
    return Setting(name="sign/tanh", problem=problem, judged=_OBSERVABLES)
