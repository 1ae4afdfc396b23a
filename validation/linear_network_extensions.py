"""`linear-network-decay` and `linear-network-curriculum`: actual weights that decay, or whose target changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from asymptotics import LinearNetworkCurriculum, LinearNetworkDecay

from . import given_weights
from .given_weights import WrongTheories, parameters_of
from .linear_network import Training, descend, integrate, simulate, training_of, vectors_of, weights_of
from .linear_network_protocol import random_problem
from .networks import Array
from .protocols import Protocol, Setting, Simulator
from .readout import one_network, shaped
from .training import (
    STEP,
    Step,
    at_cells,
    extrapolated,
    gradient_step,
    instants_of,
    require_few_steps,
    require_no_sizes,
    runge_kutta_step,
)

JUDGED = ("coefficient", "gap", "ntk", "cosine", "norm_u", "norm_w")
COUNTS = {"quick": ((40, 80, 160), (400, 800, 1600)), "full": ((80, 160, 320), (1000, 2000, 4000))}
DECAYS = (0.02, 0.2, 1.0)  # in units of the largest rate of the flow; the last two forget the target


# ---- simulators


def simulate_decay(
    problem: LinearNetworkDecay, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """One network trained by gradient descent with weight decay; as `linear_network.simulate`, with the same errors."""
    return simulate(problem, sizes, seed)


def simulate_curriculum(
    problem: LinearNetworkCurriculum, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """One network trained by gradient descent on one target after another.

    Steps and extrapolation are those of `linear_network.simulate`, and so are the parameters and errors.

    Returns
    -------
    dict of str to float or ndarray
        `OBSERVABLES`, in the shape of the cells.
    """
    require_no_sizes(sizes)
    u, w = weights_of(problem, np.random.default_rng(seed))
    stages = _stages(problem)
    rate = max(training.largest_rate(u, w) for _, training in stages)
    require_few_steps(rate, float(np.max(instants_of(problem)[0], initial=0.0)))
    return shaped(problem, extrapolated(lambda factor: _follow(
        problem, u, w, gradient_step, lambda length: factor * math.ceil(rate * length / STEP))))


def descend_curriculum(problem: LinearNetworkCurriculum, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The given weights by gradient descent, with sizes["d"] steps from one time or switch to the next."""
    return _with_steps(problem, sizes["d"], gradient_step)


def integrate_curriculum(
    problem: LinearNetworkCurriculum, sizes: Mapping[str, int], seed: Any = None
) -> dict[str, Any]:
    """The same by Runge-Kutta steps of fourth order."""
    return _with_steps(problem, sizes["d"], runge_kutta_step)


def _with_steps(problem: LinearNetworkCurriculum, steps: int, step: Step) -> dict[str, Any]:
    return shaped(problem, _follow(problem, *vectors_of(problem), step, lambda length: steps))


def _follow(
    problem: LinearNetworkCurriculum, u: Array, w: Array, step: Step, count: Callable[[float], int]
) -> dict[str, Array]:
    """Observables of all cells, flat, with `count` steps on each interval between times and switches."""
    stages, now, measured = _stages(problem), 0.0, []
    for t in instants_of(problem)[0].tolist():
        for start, training in stages:
            end = min([t, *(other for other, _ in stages if other > start)])
            if end > now:
                steps = count(end - now)
                for _ in range(steps):
                    u, w = step(training, u, w, (end - now) / steps)
                now = end
        measured.append(next(training for start, training in reversed(stages) if start <= t).measure(u, w))
    return at_cells(problem, measured)


def _stages(problem: LinearNetworkCurriculum) -> list[tuple[float, Training]]:
    """When each target begins, and the training on it."""
    cell, _ = one_network(problem, varying="t")
    return [(start, training_of(cell | {"target_coefficient": target}))
            for start, target in zip(problem.starts, problem.targets.tolist(), strict=True)]


# ---- weight decay


def decaying(p: int, number: int, strength: float, **changes: Any) -> LinearNetworkDecay:
    """`random_problem` with weight decay, in units of its largest rate."""
    plain = random_problem(p, number, **changes)
    rate = 16.0 / float(plain.t[-1])
    return LinearNetworkDecay(**parameters_of(plain), weight_decay=strength * rate)


def wrong_decays(problem: LinearNetworkDecay) -> WrongTheories:
    """Wrong theories of one network."""
    right = problem.solve(("coefficient",)).values
    start = problem.replace(t=0.0).solve(("coefficient", "norm_u", "norm_w")).values
    gamma = abs(float(problem.gamma))
    area = (start["norm_u"] * start["norm_w"]) ** 2 - (start["coefficient"] / gamma) ** 2
    wrong: WrongTheories = {
        "mu 10 % off": problem.replace(weight_decay=1.1 * problem.weight_decay),
        "no decay": problem.replace(weight_decay=0.0),
    }
    if area > 1e-6 * (start["norm_u"] * start["norm_w"]) ** 2:
        F = right["coefficient"]
        wrong["area conserved"] = {"cosine": F / np.hypot(F, gamma * math.sqrt(area)) * np.sign(problem.gamma)}
    return wrong


def decay_problems(size: str) -> dict[str, LinearNetworkDecay]:
    """Random problems of three widths with three decays, and special ones."""
    number = 2 if size == "full" else 1
    plain = {f"decay, p = {p}, no. {i}, mu = {strength:g}": decaying(p, i, strength)
             for p in (1, 2, 20) for i in range(number) for strength in DECAYS}
    return plain | {
        "decay, first layer frozen": decaying(5, 100, 0.1, eta_w=0.0),
        "decay, readout zero": decaying(5, 102, 0.1, u_scale=0.0),
        "decay, against the target": decaying(5, 104, 0.05, u_scale=0.1, overlap=1.0, gamma=1.0, eta_u=1.0, eta_w=1.0,
                                              target_coefficient=-0.7),
    }


def decay_settings(size: str) -> list[Setting]:
    """Weights that decay, by both integrators."""
    ways = given_weights.integrators(integrate, descend, COUNTS[size])
    return given_weights.settings(decay_problems(size), JUDGED, wrong_decays, ways)


# ---- one target after another


def changing(p: int, number: int, factors: tuple[float, ...], **changes: Any) -> LinearNetworkCurriculum:
    """`random_problem` whose target is multiplied by these factors, one after another, for equal times."""
    plain = random_problem(p, number, **changes)
    period = float(plain.t[-1]) / 8  # two inverse rates
    return LinearNetworkCurriculum(
        **parameters_of(plain, "target_coefficient", "t"),
        targets=[factor * plain.target_coefficient for factor in factors],
        t=tuple((0.5 + 0.5 * i) * period for i in range(2 * len(factors))),
        switch_times=[period * (i + 1) for i in range(len(factors) - 1)],
    )


def wrong_curricula(problem: LinearNetworkCurriculum) -> WrongTheories:
    """Wrong theories of one network."""
    return {
        "targets swapped": problem.replace(targets=problem.targets[::-1]),
        "switches 10 % late": problem.replace(switch_times=1.1 * problem.switch_times),
        "last target from the start": problem.replace(targets=np.full(len(problem.targets), problem.targets[-1])),
    }


def curriculum_problems(size: str) -> dict[str, LinearNetworkCurriculum]:
    """Reversals, steps and a target that vanishes."""
    number = 3 if size == "full" else 1
    plain = {f"{words}, p = {p}, no. {i}": changing(p, i, factors)
             for p in (1, 2, 20) for i in range(number)
             for words, factors in (("reversal", (1.0, -1.0)), ("steps", (0.25, 0.5, 1.0)), ("forgotten", (1.0, 0.0)))}
    return plain | {
        "reversal, readout frozen": changing(5, 101, (1.0, -0.5), eta_u=0.0),
        "reversal of aligned weights": changing(5, 104, (-1.0, 1.0, -0.5), u_scale=0.1, overlap=1.0, gamma=1.0,
                                                eta_u=1.0, eta_w=1.0, target_coefficient=0.7),
    }


def curriculum_settings(size: str) -> list[Setting]:
    """Weights whose target changes, by both integrators."""
    ways = given_weights.integrators(integrate_curriculum, descend_curriculum, COUNTS[size])
    return given_weights.settings(curriculum_problems(size), JUDGED, wrong_curricula, ways)


# ---- protocols

def decay_protocol(size: str) -> Protocol:
    """Trajectories of actual weights that decay."""
    return _protocol("linear-network-decay", size, decay_settings(size), integrate)


def curriculum_protocol(size: str) -> Protocol:
    """Trajectories of actual weights whose target changes."""
    return _protocol("linear-network-curriculum", size, curriculum_settings(size), integrate_curriculum)


def _protocol(slug: str, size: str, settings: list[Setting], run: Simulator) -> Protocol:
    names = (settings[0].name, settings[len(settings) // 2].name)
    return given_weights.protocol(f"{slug}, {size}: trained networks beside the closed form", run, settings,
                                  laws=tuple((name, "ntk") for name in names))
