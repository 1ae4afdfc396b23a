"""`giant-step`: a two-layer network, one step on its first layer, ridge regression of its readout; its protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from asymptotics import GiantStep, Problem

from . import networks
from .networks import Array
from .protocols import Protocol, Setting
from .readout import (
    ERRORS,
    ORDER_PARAMETERS,
    RIDGES,
    Plan,
    blocks,
    by_neuron,
    fit,
    order_parameters,
    plan,
    shaped,
    whole,
)

SPIKE = ("spike_strength", "bulk_variance", "alignment")


def _trained(activation: str, target: str, alpha0: float, eta: float, beta: float, alpha: float,
             noise_var_step: float, noise_var: float) -> GiantStep:
    return GiantStep(activation=activation, target=target, alpha0=alpha0, eta=eta, beta=beta, alpha=alpha, lam=RIDGES,
                     noise_var_step=noise_var_step, noise_var=noise_var, model="full_step")


def _levels(activation: str, target: str, levels: tuple[float, float], alpha0: float, eta: float) -> GiantStep:
    """Two groups of neurons, of which the bulk is known only as isotropic."""
    return GiantStep(activation=activation, target=target, alpha0=alpha0, eta=eta, alpha=2, lam=RIDGES, noise_var=0.05,
                     readout_levels=levels, readout_fractions=(0.5, 0.5), model="isotropic")


_ERF = "erf(x/sqrt(2))"

TRAINED = {
    "erf/erf .5, 4": _trained(_ERF, _ERF, 0.5, 4, 1, 2, 0, 0.1),
    "relu/erf .5, 3": _trained("relu", _ERF, 0.5, 3, 1, 2, 0, 0),
    "relu/relu 2, 1.5": _trained("relu", "relu", 2, 1.5, 1, 2, 0, 0.05),
    "tanh/relu 1, 2": _trained("tanh", "relu", 1, 2, 1, 2, 0, 0),
    "tanh/sin 2, 3": _trained("tanh", "sin", 2, 3, 1, 1.5, 0, 0),
    "erf/erf 1, 2": _trained(_ERF, _ERF, 1, 2, 0.5, 1.5, 0.3, 0.1),
    "sin/tanh 4, 2": _trained("sin", "tanh", 4, 2, 1.5, 0.8, 0.2, 0.2),
    "relu/sin .5, 2": _trained("relu", "sin", 0.5, 2, 1, 0.5, 0, 0),
    "softplus/tanh 1, 4": _trained("softplus", "tanh", 1, 4, 0.8, 1.5, 0.1, 0.1),
    "tanh/sin 20, 3": _trained("tanh", "sin", 20, 3, 1, 3, 0, 0),
}

LEVELS = {
    "relu/tanh 2, 1.5 levels 1, -1": _levels("relu", "tanh", (1.0, -1.0), 2, 1.5),
    "tanh/sin 4, 2 levels .5, 2": _levels("tanh", "sin", (0.5, 2.0), 4, 2),
}

UNTRAINED = {
    "linear/sin 4, 1": _trained("linear", "sin", 4, 1, 1, 3, 0.05, 0.05),
    "no step tanh/sin": _trained("tanh", "sin", 4, 0, 1, 2, 0.1, 0.1),
}


def simulate(problem: GiantStep, sizes: Mapping[str, int], seed: int | np.random.SeedSequence) -> dict[str, Any]:
    """One network, trained as in docs/theories/giant_step.md, section 1.

    Parameters
    ----------
    problem : GiantStep
        One cell, or cells that differ in `lam` only: their readouts share the network.  `model` and `n_finite` concern
        the theory only.
    sizes : mapping
        The input dimension "d" >= 2; p, n and n0 are `beta d`, `alpha d` and `alpha0 d`, rounded, at least 1 (no step
        is made at alpha0 = 0).  Optionally "test", the number of fresh points on which errors are measured.
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    dict of str to float or ndarray
        test_error, generalization_error, train_error, ridge_objective, m, th, psi, q1, q2, and spike_strength,
        bulk_variance, alignment of the trained weights, in the shape of the cells and the axes of the readout levels.

    Raises
    ------
    ParameterError
        If another parameter than `lam` varies, or a size is not allowed.
    """
    network, layer, readouts, errors = trained(problem, sizes, seed)
    parts = blocks(problem, network.p)
    variances = np.array([np.mean(np.sum(layer.bulk[part] ** 2, axis=1)) for part in parts])
    measured = {
        "spike_strength": layer.strength,
        "bulk_variance": variances if len(parts) > 1 else variances[0],
        "alignment": layer.alignment,
    }
    return shaped(problem, errors | order_parameters(readouts, layer.bulk, layer.spike, layer.rest, parts) | measured)


class FirstLayer(NamedTuple):
    """The weights W after the step, cut into spike and bulk.

    Attributes
    ----------
    weights, bulk : ndarray, shape (p, d)
    direction, spike, rest : ndarray, shape (d,)
        theta, the direction v of the step, and the unit vector of theta without its component along v.
    strength, alignment : float
        r and <v, theta>.
    """

    weights: Array
    bulk: Array
    direction: Array
    spike: Array
    rest: Array
    strength: float
    alignment: float


def trained(
    problem: GiantStep, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> tuple[Plan, FirstLayer, Array, dict[str, Array]]:
    """A network: its sizes, its first layer after the step, its readouts (ridges, p) and their errors."""
    network = plan(problem, sizes)
    weights_rng, step_rng, data_rng, test_rng = networks.generators(seed, 4)
    layer = first_layer(problem, network, weights_rng, step_rng)
    X, y = networks.single_index_data(network.n, layer.direction, problem.target, network.cell["noise_var"], data_rng)
    return network, layer, *fit(problem, network, layer.weights, layer.direction, X, y, test_rng)


def first_layer(
    problem: GiantStep, plan: Plan, weights_rng: np.random.Generator, step_rng: np.random.Generator
) -> FirstLayer:
    """A first layer that made the step of the problem."""
    cell, d, p = plan.cell, plan.d, plan.p
    parts = blocks(problem, p)
    levels = by_neuron(problem.readout_levels, parts)
    form = levels[:, None] if len(parts) > 1 else np.ones((p, 1))  # of the spike: its strength contains a single level

    direction = networks.unit_vector(d, weights_rng)
    weights = networks.sphere_rows(p, d, weights_rng)
    # without a step there is no spike, and any direction orthogonal to the target's stands for it
    spike, strength, alignment = networks.unit_vector(d, weights_rng, orthogonal_to=direction), 0.0, 0.0
    if cell["alpha0"] > 0 and cell["eta"] > 0 and np.any(levels != 0):
        n0 = whole(cell["alpha0"] * d)
        noise_var_step = cell.get("noise_var_step", cell["noise_var"])
        X, y = networks.single_index_data(n0, direction, problem.target, noise_var_step, step_rng)
        readout = levels / math.sqrt(p)
        gradient = (y - networks.network(weights, readout, problem.activation, X)) @ X
        weights = networks.gradient_step(weights, readout, problem.activation, X, y, cell["eta"])
        spike = gradient / np.linalg.norm(gradient)
        strength = float(np.mean(form[:, 0] * (weights @ spike)) / np.mean(form**2))
        alignment = float(spike @ direction)
    rest = direction - alignment * spike
    return FirstLayer(
        weights, weights - strength * form * spike, direction, spike, rest / np.linalg.norm(rest), strength, alignment
    )


def wrong_spikes(problem: GiantStep) -> dict[str, dict[str, float]]:
    """Spike parameters by errors that the protocols must notice, where the error makes a difference.

    A learning rate that is 10 % off; the published bulk variance 1 + eta^2 s_2 E[sigma_star^2]/alpha0; labels that are
    not centred by the initial output of the network (those of an activation whose mean is subtracted).
    """
    right = _spike(problem)
    sigma, mean = problem.activation, float(problem.activation.hermite_coefficients(0)[0])
    eta, alpha0 = problem.eta, problem.alpha0
    published = 1 + eta**2 * sigma.slope_variance() * problem.target.second_moment() / alpha0
    wrong = {"eta 10 % off": _spike(problem.replace(eta=1.1 * eta))}
    if not math.isclose(published, right["bulk_variance"], rel_tol=1e-9):
        wrong["published bulk variance"] = right | {"bulk_variance": published}
    if mean != 0:
        expression = f"{sigma}(x)" if str(sigma).isidentifier() else str(sigma)
        wrong["centring dropped"] = _spike(problem.replace(activation=f"{expression} - {mean!r}"))
    return wrong


def _spike(problem: GiantStep) -> dict[str, float]:
    values = problem.solve(SPIKE).values
    return {name: float(np.ravel(value)[0]) for name, value in values.items()}


def protocol(size: str) -> Protocol:
    """Trained networks: spike, bulk, errors and order parameters in the complete limit; simpler models beside it."""
    observables = SPIKE + ERRORS + ORDER_PARAMETERS
    settings = [
        Setting(name=name, problem=problem, judged=observables, beside=_simpler(problem), wrong=_wrong(problem, size))
        for name, problem in TRAINED.items()
    ]
    settings += [Setting(name=name, problem=problem, judged=ERRORS + ORDER_PARAMETERS)
                 for name, problem in UNTRAINED.items()]
    settings += [Setting(name=name, problem=problem, judged=SPIKE, shown={"isotropic, levels": ERRORS},
                         wrong={"eta 10 % off": problem.replace(eta=1.1 * problem.eta)})
                 for name, problem in LEVELS.items()]
    if size == "quick":
        quick = ("relu/relu 2, 1.5", "erf/erf 1, 2", "softplus/tanh 1, 4", "no step tanh/sin",
                 "relu/tanh 2, 1.5 levels 1, -1")
        settings = [setting for setting in settings if setting.name in quick]
    return Protocol(
        title=f"giant-step, {size}: trained two-layer networks beside the limit with row norms (full_step)",
        simulate=simulate,
        settings=tuple(settings),
        networks={200: 800, 600: 300} if size == "full" else {80: 600, 240: 350},
        test_points=4000,
        precision={"test_error": 0.01},
        laws=(("tanh/sin 2, 3", "bulk_variance"), ("softplus/tanh 1, 4", "bulk_variance")) if size == "full" else (),
        law_networks={50: 4000, 100: 2000, 200: 1000},
        remarks=(
            "Settings are activation/target alpha0, eta; erf stands for erf(x/sqrt(2)).",
            "Not judged: the models that leave something out.  exact_step leaves out the fluctuations of row norms; "
            "isotropic also that the bulk is anisotropic and correlated with the spike and the target "
            "(docs/theories/giant_step.md).  With several levels of the readout the spikes and bulk variances are "
            "judged; the errors are known for isotropic bulks only.",
        ),
    )


def _simpler(problem: GiantStep) -> dict[str, GiantStep]:
    return {model: problem.replace(model=model) for model in ("exact_step", "isotropic")}


def _wrong(problem: GiantStep, size: str) -> dict[str, Problem | dict[str, np.ndarray]]:
    """Wrong theories of a trained network: of its spike and bulk, and of everything."""
    theories: dict[str, Problem | dict[str, np.ndarray]] = {
        error: {key: np.full(problem.shape, value) for key, value in spike.items()}
        for error, spike in wrong_spikes(problem).items()
    }
    theories["eta 10 % off"] = problem.replace(eta=1.1 * problem.eta)
    if size == "full":  # seen with enough networks only
        theories["row norms dropped"] = problem.replace(model="exact_step")
    return theories
