"""The protocol of `linear-network-inputs`: all weights of scalar and balanced networks beside the theory."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from asymptotics import (
    BalancedLinearNetwork,
    LinearNetworkInputs,
    LinearNetworkInputsDescent,
    balanced_weights,
)
from asymptotics.theories.linear_network.balanced.modes import modes_of
from asymptotics.theories.linear_network.balanced.riccati import products
from asymptotics.theories.linear_network.balanced.solution import observe

from . import given_weights
from .given_weights import WrongTheories, parameters_of, rates_off
from .laws import StepSize, Within
from .linear_network_inputs import descend, integrate, integrate_layers
from .protocols import Protocol, Setting

SCALAR = ("coefficients", "gap_norm", "norm_u", "norm_W", "ntk_trace", "ntk_along_target")
LAYERS = ("singular_values", "mode_coefficients", "gap_norm", "norm_W1", "norm_W2")
TIMES = (0.3, 1.0, 2.0, 4.0, 8.0)
SPECTRUM = (2.0, 0.7, 0.3, 0.1)  # of the inputs
SHAPES = ((3, 3, 3, 0.0), (2, 4, 3, 0.0), (5, 3, 2, 0.0), (2, 3, 4, 0.8), (3, 4, 2, -0.6), (1, 3, 2, 0.3))
EXACT = 1e-11  # rounding of thousands of steps


def random_problem(p: int, number: int, rank: int = 4) -> LinearNetworkInputs:
    """A network of p hidden units and four inputs, `rank` of which vary, with random weights, rates and target."""
    rng = np.random.default_rng(np.random.SeedSequence(2409, spawn_key=(p, number)))
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    covariance = (turn * np.where(np.arange(4) < rank, SPECTRUM, 0.0)) @ turn.T
    u, W = rng.standard_normal(p) / math.sqrt(p), rng.standard_normal((p, 4)) / math.sqrt(p)
    gamma, eta_u, eta_w = np.exp(rng.uniform(-0.5, 0.5, 3)).tolist()
    return LinearNetworkInputs(u=u, W=W, covariance=0.5 * (covariance + covariance.T), target=rng.standard_normal(4),
                               gamma=gamma * rng.choice((-1, 1)), eta_u=eta_u, eta_w=eta_w,
                               loss_factor=1 + number % 2, t=TIMES)


def wrong_scalar(problem: LinearNetworkInputs) -> WrongTheories:
    """Wrong theories of one flow."""
    return {
        "isotropic inputs": problem.replace(covariance=None, m2=float(np.trace(problem.covariance)) / 4),
        "eta 10 % off": rates_off(problem),
        "rates exchanged": problem.replace(eta_u=problem.eta_w, eta_w=problem.eta_u),
    }


def _flows(number: int, steps: Mapping[int, int]) -> list[Setting]:
    problems = {f"p = {p}, no. {i}": random_problem(p, i) for p in (1, 3, 50) for i in range(number)}
    problems["singular covariance"] = random_problem(5, 100, rank=2)
    return [Setting(name=name, problem=problem, judged=SCALAR, wrong=wrong_scalar(problem), law=StepSize(4),
                    networks=steps, precision=dict.fromkeys(("norm_u", "norm_W", "ntk_trace"), 1e-7))
            for name, problem in problems.items()]


def _descents(number: int) -> list[Setting]:
    settings = []
    for p in (1, 50):
        for i in range(number):
            flow, h = random_problem(p, 200 + i), 0.02
            steps = [10, 100, 2000]
            problem = LinearNetworkInputsDescent(
                step_size=h, steps=steps, **parameters_of(flow, "t"))
            wrong: WrongTheories = {
                "step size 10 % off": problem.replace(step_size=1.1 * h),
                "flow in the place of descent": flow.replace(t=h * np.array(steps)).solve(SCALAR).values,
            }
            settings.append(Setting(name=f"p = {p}, no. {i}, gradient descent", problem=problem, judged=SCALAR,
                                    wrong=wrong, simulate=descend, law=Within(EXACT), networks={1: 1}))
    return settings


def balanced(shape: tuple[int, int, int, float], number: int) -> BalancedLinearNetwork:
    """A balanced network of these hidden units, inputs, outputs and lam with a random correlation."""
    hidden, inputs, outputs, lam = shape
    rng = np.random.default_rng(np.random.SeedSequence(2022, spawn_key=(hidden, inputs, outputs, number)))
    W1, W2 = balanced_weights(hidden, inputs, outputs, lam, 0.3, seed=number)
    return BalancedLinearNetwork(W1=W1, W2=W2, correlation=rng.standard_normal((outputs, inputs)), m2=0.8, eta=0.5,
                                 loss_factor=1 + number % 2, t=TIMES)


def wrong_layers(problem: BalancedLinearNetwork) -> WrongTheories:
    """Wrong theories of one balanced network."""
    wrong: WrongTheories = {
        "eta 10 % off": problem.replace(eta=1.1 * problem.eta),
        "m2 dropped": problem.replace(m2=1.0),
    }
    if problem.lam:
        modes = modes_of(problem.W1, problem.W2, problem.correlation)._replace(lam=0.0)
        m2, c = np.full(len(TIMES), problem.m2), np.full(len(TIMES), problem.loss_factor)
        with np.errstate(under="ignore"):
            found = products(modes, m2, problem.loss_factor * problem.eta * problem.m2 * np.array(TIMES))
            wrong["lam dropped"] = observe(modes, found, m2, c, set(LAYERS))
    return wrong


def _layers(number: int, steps: Mapping[int, int]) -> list[Setting]:
    problems = {f"{h} hidden, {i} to {o}, lam = {lam:g}, no. {n}": balanced((h, i, o, lam), n)
                for h, i, o, lam in SHAPES for n in range(number)}
    return [Setting(name=name, problem=problem, judged=LAYERS, wrong=wrong_layers(problem), simulate=integrate_layers,
                    law=StepSize(4), networks=steps, precision=dict.fromkeys(("norm_W1", "norm_W2"), 1e-7))
            for name, problem in problems.items()]


def protocol(size: str) -> Protocol:
    """Flow and descent of all weights, one output and several."""
    number, steps = (6, dict.fromkeys((100, 200, 400), 1)) if size == "full" else (1, dict.fromkeys((50, 100, 200), 1))
    return given_weights.protocol(
        f"linear-network-inputs, {size}: trained networks beside the theory", integrate,
        (*_flows(number, steps), *_descents(number), *_layers(number, steps)),
        laws=(("p = 3, no. 0", "ntk_trace"), ("3 hidden, 3 to 3, lam = 0, no. 0", "norm_W1")),
        remarks=(
            "The theory is exact: given weights leave nothing to chance.  The error of a simulated value is that of "
            "its integrator (Runge-Kutta of order 4) or the rounding of its steps (gradient descent), and a row fails "
            "if it is further from the theory: |z| > 1.",
        ),
    )
