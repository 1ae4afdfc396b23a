"""The protocol of `linear-network-descent`: weights step by step, thresholds of the catapult, drift by label noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from asymptotics import LinearNetwork, LinearNetworkDescent

from . import given_weights
from .given_weights import WrongTheories, parameters_of
from .laws import INVERSE_SIZE, Within
from .linear_network import Training
from .linear_network_descent import DIVERGED, batch_step, simulate
from .linear_network_protocol import random_problem
from .networks import Array
from .protocols import Protocol, Setting
from .training import gradient_step

STATE = ("coefficient", "gap", "ntk", "cosine", "norm_u", "norm_w", "stability")
WIDTHS = (1, 2, 10, 100)
STRENGTHS = (0.2, 0.9, 1.7)  # h times the largest rate of the gap
STEPS = (1, 3, 10, 40, 200, 1000)
ROUNDING = 1e-12

P = 1000  # width at which the threshold is sought
THRESHOLDS = {1.5: (1.0, 0.0), 2.5: (1.0, 1.0), 3.5: (1.0, 1.0), 3.9: (1.0, 1.0), 4.2: (0.0, 1.0), 5.0: (0.0, 1.0)}
CATAPULT = ("stays bounded", "loss rose")

NOISE_VAR, BATCH, DRIFT_STEPS = 0.0025, 4, 4000  # Gam changes by a per cent


# ---- weights step by step


def trained(problem: LinearNetworkDescent, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The actual weights; sizes do not matter, weights are given."""
    return simulate(problem, {}, seed)


def descents(number: int) -> dict[str, LinearNetworkDescent]:
    """Random problems of each width, on the full sample, and some on batches."""
    found = {}
    for p in WIDTHS:
        for i in range(number):
            flow = random_problem(p, i)
            strength = STRENGTHS[(i + p) % len(STRENGTHS)]
            found[f"p = {p}, no. {i}, strength {strength}"] = descent_of(flow, strength)
    for name, changes in (("first layer frozen", {"eta_w": 0.0}), ("readout zero", {"u_scale": 0.0}),
                          ("small weights", {"u_scale": 0.05, "w_scale": 0.05})):
        found[name] = descent_of(random_problem(10, 100, **changes), 0.9)
    for i in range(number):
        rng = np.random.default_rng(np.random.SeedSequence(2401, spawn_key=(7, i)))
        x = rng.standard_normal(200)
        y = 0.8 * x + 0.5 * rng.standard_normal(200)
        u, w = rng.standard_normal((2, 10)) / math.sqrt(10)
        found[f"batches, no. {i}"] = LinearNetworkDescent.from_samples(
            x, y, batch_size=5, seed=i, u=u, w=w, step_size=0.1, steps=STEPS)
    return found


def descent_of(flow: LinearNetwork, strength: float) -> LinearNetworkDescent:
    """The same network, descending by steps of this size in units of the inverse rate of the gap at its largest."""
    kernels = flow.solve(["initial_ntk", "final_ntk"]).values
    rate = float(flow.loss_factor * flow.m2 * max(np.max(kernel) for kernel in kernels.values()))
    return LinearNetworkDescent(**parameters_of(flow, "t"), step_size=strength / rate, steps=STEPS)


def wrong_descents(problem: LinearNetworkDescent) -> WrongTheories:
    """Wrong theories of one network; on batches the flow of the full sample."""
    names = ("coefficient", "gap", "ntk", "norm_u", "norm_w")
    shared = parameters_of(problem, "step_size", "steps", "batch_m2", "batch_mxy")
    flow = LinearNetwork(**shared, t=problem.step_size * np.array(STEPS)).solve(names).values
    wrong: WrongTheories = {
        "step 10 % off": problem.replace(step_size=1.1 * problem.step_size),
        "flow at time n h": dict(flow),
    }
    if problem.batch_m2 is None and problem.eta_u * problem.eta_w > 0:
        wrong["terms of second order dropped"] = first_order(problem)
    return wrong


def first_order(problem: LinearNetworkDescent) -> dict[str, Array]:
    """The map of F and Theta without s^2: F' = F + h k r Theta, Theta' = Theta + h k kap^2 r F."""
    start = problem.replace(steps=0).solve(["coefficient", "ntk"])
    F, ntk, found = float(start.coefficient), float(start.ntk), []
    kap = 2 * abs(problem.gamma) * math.sqrt(problem.eta_u * problem.eta_w)
    step = problem.step_size * problem.loss_factor * problem.m2
    for n in range(1, STEPS[-1] + 1):
        push = step * (problem.target_coefficient - F)
        F, ntk = F + push * ntk, ntk + push * kap**2 * F
        if abs(F) > DIVERGED:
            F, ntk = math.copysign(DIVERGED, F), DIVERGED
        if n in STEPS:
            found.append((F, ntk))
    values = np.array(found)
    return {"coefficient": values[:, 0], "ntk": values[:, 1]}


# ---- thresholds


def simulate_catapult(
    problem: LinearNetworkDescent, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, float]:
    """A Gaussian network of width sizes["d"], whose first h c m2 Theta is that of the problem: does it diverge?"""
    p, rng = sizes["d"], np.random.default_rng(seed)
    u, w = rng.standard_normal((2, p))
    training = Training(p**-0.5, 1.0, 1.0, m2=1.0, A=0.0, c=1.0)
    h = float(problem.solve(["stability"]).stability) / training.ntk(u, w)
    first = largest = abs(training.gamma * float(u @ w))
    for _ in range(2000):
        u, w = batch_step(training, u, w, h, 1.0, 0.0)
        gap = abs(training.gamma * float(u @ w))
        largest = max(largest, gap)
        if not gap < DIVERGED or gap < 1e-9 * first:
            break
    return dict(zip(CATAPULT, (float(gap < DIVERGED), float(largest > first)), strict=True))


def _catapult_settings(networks: int) -> list[Setting]:
    settings = []
    for strength, (bounded, rises) in THRESHOLDS.items():
        problem = LinearNetworkDescent.from_overlaps(
            uu=float(P), ww=float(P), uw=0.0, gamma=P**-0.5, target_coefficient=0.0, step_size=strength / 2, steps=0)
        wrong: WrongTheories = {}
        if 2 < strength < 4:
            wrong["divergence from h c m2 Theta = 2"] = {"stays bounded": 0.0}
        if strength > 4:
            wrong["no divergence at any step"] = {"stays bounded": 1.0}
        settings.append(Setting(
            name=f"h c m2 Theta_0 = {strength}", problem=problem, judged=CATAPULT, wrong=wrong,
            values=dict(zip(CATAPULT, (bounded, rises), strict=True)), simulate=simulate_catapult, law=Within(0.01),
            networks={P: networks}))
    return settings


# ---- label noise


def simulate_drift(
    problem: LinearNetworkDescent, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, float]:
    """A Gaussian network at its minimum, then trained on batches with fresh label noise, sizes["d"] steps a unit time.

    Inputs are 1 and -1.

    Returns
    -------
    dict of str to float
        "drift" and "corrected drift" of ln(Gam^2), in units of the leading order and of the rate with fluctuations.
    """
    p, h, rng = len(problem.u), 1 / sizes["d"], np.random.default_rng(seed)
    training = Training(problem.gamma, problem.eta_u, problem.eta_w, 1.0, problem.target_coefficient, 1.0)
    u, w = rng.standard_normal((2, p)) / math.sqrt(p)
    while abs(training.A - training.gamma * float(u @ w)) > 1e-12:
        u, w = gradient_step(training, u, w, 0.1)
    stability, before = h * training.ntk(u, w), angle(training, u, w)
    inputs = rng.choice((-1.0, 1.0), (DRIFT_STEPS, BATCH))
    labels = training.A * inputs + math.sqrt(NOISE_VAR) * rng.standard_normal(inputs.shape)
    for m2, mxy in zip(np.mean(inputs**2, axis=1).tolist(), np.mean(inputs * labels, axis=1).tolist(), strict=True):
        u, w = batch_step(training, u, w, h, m2, mxy)
    slope = math.log(angle(training, u, w) / before) / (h * DRIFT_STEPS)
    leading = float(problem.replace(step_size=h).label_noise_drift(BATCH).rate)
    return {"drift": slope / leading, "corrected drift": slope / leading * (1 - stability / 2)}


def angle(training: Training, u: Array, w: Array) -> float:
    """Gam^2 of the weights, |p|^2 |q|^2."""
    p = math.sqrt(training.eta_w) * u + math.sqrt(training.eta_u) * w
    q = math.sqrt(training.eta_w) * u - math.sqrt(training.eta_u) * w
    return training.gamma**4 * float(p @ p) * float(q @ q)


def _drift_settings(networks: int) -> list[Setting]:
    rng = np.random.default_rng(np.random.SeedSequence(2401, spawn_key=(8,)))
    u, w = rng.standard_normal((2, 50)) / math.sqrt(50)
    problem = LinearNetworkDescent(u=u, w=w, gamma=1.0, eta_u=0.7, eta_w=1.2, target_coefficient=1.0,
                                   irreducible_loss=NOISE_VAR, step_size=0.02, steps=0)
    factors: WrongTheories = {
        "drift of Gam for that of Gam^2": {"drift": 0.5}, "drift twice as fast": {"drift": 2.0}}
    leading = 1 - 0.04 * float(problem.solve(["predicted_final_ntk"]).predicted_final_ntk) / 2
    return [
        Setting(name="label noise, small steps", problem=problem, judged=("drift",), values={"drift": 1.0},
                wrong=factors, simulate=simulate_drift, law=INVERSE_SIZE, networks={25: networks, 50: networks},
                precision={"drift": 0.04}),
        Setting(name="label noise, h = 0.04", problem=problem, judged=("corrected drift",),
                values={"corrected drift": 1.0}, wrong={"without the fluctuations of the gap": {
                    "corrected drift": leading}},
                simulate=simulate_drift, networks={25: networks}, precision={"corrected drift": 0.01}),
    ]


def protocol(size: str) -> Protocol:
    """Descent of actual weights, thresholds of wide networks, drift by label noise."""
    full = size == "full"
    settings = [
        Setting(name=name, problem=problem, judged=STATE, wrong=wrong_descents(problem), simulate=trained,
                law=Within(ROUNDING), networks={1: 1})
        for name, problem in descents(6 if full else 1).items()
    ]
    settings += _catapult_settings(24 if full else 6)
    settings += _drift_settings(400 if full else 60)
    return given_weights.protocol(
        f"linear-network-descent, {size}: weights trained by gradient descent beside the exact map", trained, settings,
        laws=(),
        remarks=(
            f"The map is exact: the given weights, step by step, must agree within {ROUNDING:g}, rounding of 1000 "
            "steps.",
            f"Wide networks: of width p = d = {P}, A = 0, in NTK parametrisation; the loss of all must rise from 2 on, "
            "and all must stay bounded below 4, and none above (2000 steps).",
            "Label noise: slopes of ln(Gam^2) of networks at their minimum, in units of the leading order, d steps a "
            "unit time, extrapolated to small steps; and with the fluctuations of the gap at one step size.",
        ),
    )
