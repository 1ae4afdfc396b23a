"""`linear-network-decay` and `linear-network-curriculum`: actual weights that decay, or whose target changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from asymptotics import LinearNetworkCurriculum, LinearNetworkDecay, ParameterError, Problem

from .laws import StepSize
from .linear_network import (
    LARGEST_NUMBER_OF_STEPS,
    OBSERVABLES,
    STEP,
    Step,
    Training,
    descend,
    gradient_step,
    integrate,
    runge_kutta_step,
    simulate,
    times_of,
    weights_of,
)
from .linear_network_protocol import random_problem
from .networks import Array
from .protocols import Protocol, Setting
from .readout import one_network, shaped

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
    for name in sizes:
        raise ParameterError(name, "is not a size of a linear network: its width is that of u and w")
    u, w = weights_of(problem, np.random.default_rng(seed))
    stages = _stages(problem)
    rate = _largest_rate(stages, u, w)
    last = float(np.max(times_of(problem)[0], initial=0.0))
    if not math.isfinite(rate) or rate * last > STEP * LARGEST_NUMBER_OF_STEPS:
        raise ParameterError("t", f"needs more than {LARGEST_NUMBER_OF_STEPS} steps of gradient descent")

    def steps(factor: int) -> Callable[[float], int]:
        return lambda length: factor * math.ceil(rate * length / STEP)

    coarse, fine = (_follow(problem, u, w, gradient_step, steps(factor)) for factor in (1, 2))
    return shaped(problem, {name: 2 * fine[name] - coarse[name] for name in OBSERVABLES})


def descend_curriculum(problem: LinearNetworkCurriculum, sizes: Mapping[str, int], seed: Any = None) -> dict[str, Any]:
    """The given weights by gradient descent, with sizes["d"] steps from one time or switch to the next."""
    return _with_steps(problem, sizes["d"], gradient_step)


def integrate_curriculum(
    problem: LinearNetworkCurriculum, sizes: Mapping[str, int], seed: Any = None
) -> dict[str, Any]:
    """The same by Runge-Kutta steps of fourth order."""
    return _with_steps(problem, sizes["d"], runge_kutta_step)


def _with_steps(problem: LinearNetworkCurriculum, steps: int, step: Step) -> dict[str, Any]:
    u, w = np.asarray(problem.u, dtype=np.float64), np.asarray(problem.w, dtype=np.float64)
    return shaped(problem, _follow(problem, u, w, step, lambda length: steps))


def _follow(
    problem: LinearNetworkCurriculum, u: Array, w: Array, step: Step, count: Callable[[float], int]
) -> dict[str, Array]:
    """Observables of all cells, flat, with `count` steps on each interval between times and switches."""
    times, places = times_of(problem)
    stages, now, measured = _stages(problem), 0.0, []
    for t in times.tolist():
        for start, training in stages:
            end = min([t, *(other for other, _ in stages if other > start)])
            if end > now:
                steps = count(end - now)
                for _ in range(steps):
                    u, w = step(training, u, w, (end - now) / steps)
                now = end
        measured.append(next(training for start, training in reversed(stages) if start <= t).measure(u, w))
    return {name: np.array([values[name] for values in measured])[places] for name in OBSERVABLES}


def _stages(problem: LinearNetworkCurriculum) -> list[tuple[float, Training]]:
    """When each target begins, and the training on it."""
    cell, _ = one_network(problem, varying="t")
    return [
        (start, Training(cell["gamma"], cell["eta_u"], cell["eta_w"], cell["m2"], target, cell["loss_factor"],
                         cell["irreducible_loss"]))
        for start, target in zip(problem.starts, problem.targets.tolist(), strict=True)
    ]


def _largest_rate(stages: list[tuple[float, Training]], u: Array, w: Array) -> float:
    return max(training.largest_rate(u, w) for _, training in stages)


# ---- weight decay


def decaying(p: int, number: int, strength: float, **changes: Any) -> LinearNetworkDecay:
    """`random_problem` with weight decay, in units of its largest rate."""
    plain = random_problem(p, number, **changes)
    rate = 16.0 / float(plain.t[-1])
    given = {name: getattr(plain, name) for name in plain.parameters if getattr(plain, name) is not None}
    return LinearNetworkDecay(**given, weight_decay=strength * rate)


def wrong_decays(problem: LinearNetworkDecay) -> dict[str, Problem | Mapping[str, ArrayLike]]:
    """Wrong theories of one network."""
    right = problem.solve(("coefficient",)).values
    start = problem.replace(t=0.0).solve(("coefficient", "norm_u", "norm_w")).values
    gamma = abs(float(problem.gamma))
    area = (start["norm_u"] * start["norm_w"]) ** 2 - (start["coefficient"] / gamma) ** 2
    wrong: dict[str, Problem | Mapping[str, ArrayLike]] = {
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
    steps, descent = COUNTS[size]
    return [
        Setting(name=f"{name}{words}", problem=problem, judged=JUDGED,
                wrong={f"{error}{words}": theory for error, theory in wrong_decays(problem).items()},
                simulate=run, law=StepSize(order), networks=dict.fromkeys(counts, 1), precision={})
        for words, run, order, counts in (("", integrate, 4, steps), (", gradient descent", descend, 1, descent))
        for name, problem in decay_problems(size).items()
    ]


# ---- one target after another


def changing(p: int, number: int, factors: tuple[float, ...], **changes: Any) -> LinearNetworkCurriculum:
    """`random_problem` whose target is multiplied by these factors, one after another, for equal times."""
    plain = random_problem(p, number, **changes)
    period = float(plain.t[-1]) / 8  # two inverse rates
    given = {name: getattr(plain, name) for name in plain.parameters
             if name != "target_coefficient" and getattr(plain, name) is not None}
    given["t"] = tuple((0.5 + 0.5 * i) * period for i in range(2 * len(factors)))
    return LinearNetworkCurriculum(
        **given, targets=[factor * plain.target_coefficient for factor in factors],
        switch_times=[period * (i + 1) for i in range(len(factors) - 1)],
    )


def wrong_curricula(problem: LinearNetworkCurriculum) -> dict[str, Problem | Mapping[str, ArrayLike]]:
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
    steps, descent = COUNTS[size]
    return [
        Setting(name=f"{name}{words}", problem=problem, judged=JUDGED,
                wrong={f"{error}{words}": theory for error, theory in wrong_curricula(problem).items()},
                simulate=run, law=StepSize(order), networks=dict.fromkeys(counts, 1), precision={})
        for words, run, order, counts in (
            ("", integrate_curriculum, 4, steps), (", gradient descent", descend_curriculum, 1, descent))
        for name, problem in curriculum_problems(size).items()
    ]


# ---- protocols

REMARK = ("The theory is exact for gradient flow from given weights: nothing is left to chance.  The error of a "
          "simulated value is that of its integrator (Runge-Kutta of order 4, or gradient descent), and a row fails "
          "if it is further from the theory: |z| > 1.")


def decay_protocol(size: str) -> Protocol:
    """Trajectories of actual weights that decay."""
    return _protocol("linear-network-decay", size, decay_settings(size), integrate)


def curriculum_protocol(size: str) -> Protocol:
    """Trajectories of actual weights whose target changes."""
    return _protocol("linear-network-curriculum", size, curriculum_settings(size), integrate_curriculum)


def _protocol(slug: str, size: str, settings: list[Setting], run: Callable) -> Protocol:
    names = (settings[0].name, settings[len(settings) // 2].name)
    return Protocol(
        title=f"{slug}, {size}: trained networks beside the closed form", simulate=run, settings=tuple(settings),
        networks={}, test_points=0, precision={}, laws=tuple((name, "ntk") for name in names), remarks=(REMARK,),
    )
