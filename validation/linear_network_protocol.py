"""The protocol of `linear-network`: trajectories, slopes of the phase diagram, the mechanisms of a tanh network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from asymptotics import LinearNetwork, LinearNetworkScaling

from . import given_weights, tanh_network
from .given_weights import WrongTheories, rates_off, without_imbalance
from .laws import Exponent, Within
from .linear_network import Training, descend, integrate
from .protocols import Protocol, Setting
from .training import gradient_step

TRAJECTORY = ("coefficient", "gap", "ntk", "cosine", "norm_u", "norm_w")
TIMES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # in units of the inverse rate of the gap at its largest
WIDTHS = (1, 2, 10, 100)

PRESETS = ("ntk", "standard", "standard_small_rate", "xavier", "mean_field", "mup", "small_init", "unit_gaussian",
           "small_readout")
SLOPES = ("ln Theta_0", "ln(Theta_inf/Theta_0)", "ln |cos_inf|")
TOLERANCE = 0.05
TRAINED = 1e-9  # the gap at which training ends, in units of the target


# ---- trajectories


def random_problem(p: int, number: int, **changes: Any) -> LinearNetwork:
    """A network of p hidden units with random weights, rates, scales and target, at `TIMES`.

    Parameters
    ----------
    p, number : int
        The problem is a function of these.
    **changes
        Parameters that are not random; `u_scale` and `w_scale` multiply the weights, `overlap` u_i += overlap w_i.
    """
    rng = np.random.default_rng(np.random.SeedSequence(2401, spawn_key=(p, number)))
    factor = {name: changes.pop(name, default) for name, default in (("u_scale", 1), ("w_scale", 1), ("overlap", 0))}
    scale_u, scale_w = np.exp(rng.uniform(-0.7, 0.7, 2)) / math.sqrt(p)
    w = factor["w_scale"] * scale_w * rng.standard_normal(p)
    u = factor["u_scale"] * scale_u * rng.standard_normal(p) + factor["overlap"] * w
    gamma, eta_u, eta_w, m2, target = np.exp(rng.uniform(-1, 1, 5) * (0.7, 1.2, 1.2, 0.7, 0.7))
    signs = rng.choice((-1.0, 1.0), 2)
    drawn = {"gamma": signs[0] * gamma, "eta_u": eta_u, "eta_w": eta_w, "m2": m2,
             "target_coefficient": signs[1] * target, "loss_factor": 1 + number % 2}
    problem = LinearNetwork(u=tuple(u.tolist()), w=tuple(w.tolist()), t=0.0, **drawn | changes)
    kernels = problem.solve(["initial_ntk", "final_ntk"])
    rate = float(problem.loss_factor * problem.m2 * max(kernels.initial_ntk, kernels.final_ntk))
    return problem.replace(t=tuple(time / rate for time in TIMES))


def trajectories(number: int) -> dict[str, LinearNetwork]:
    """Random problems, `number` of each width, and special ones."""
    plain = {f"p = {p}, no. {i}": random_problem(p, i) for p in WIDTHS for i in range(number)}
    return plain | {
        "first layer frozen": random_problem(10, 100, eta_w=0.0),
        "readout frozen": random_problem(10, 101, eta_u=0.0),
        "readout zero": random_problem(10, 102, u_scale=0.0),
        "small weights": random_problem(10, 103, u_scale=0.05, w_scale=0.05),
        "aligned against the target": random_problem(
            10, 104, u_scale=0.1, overlap=1.0, gamma=1.0, eta_u=1.0, eta_w=1.0, target_coefficient=-0.7),
    }


def wrong_trajectories(problem: LinearNetwork) -> WrongTheories:
    """Wrong theories of one network; those that would be right for it are left out."""
    names = (*TRAJECTORY, "initial_ntk", "linearised_coefficient")
    right = problem.solve(names).values
    gamma, A = float(problem.gamma), float(problem.target_coefficient)
    wrong: WrongTheories = {
        "eta 10 % off": rates_off(problem),
        "imbalance of the layers dropped": {"ntk": without_imbalance(problem, right["norm_u"], right["norm_w"])},
    }
    if problem.eta_u * problem.eta_w > 0:
        wrong["kernel of the start"] = {"coefficient": right["linearised_coefficient"],
                                        "gap": A - right["linearised_coefficient"],
                                        "ntk": np.broadcast_to(right["initial_ntk"], problem.shape)}
    if abs(gamma) != 1:
        wrong["gamma^2 dropped in the ntk"] = {"ntk": right["ntk"] / gamma**2}
    return wrong


def _trajectory_settings(number: int, steps: tuple[int, int, int], descent: tuple[int, int, int]) -> list[Setting]:
    ways = given_weights.integrators(integrate, descend, (steps, descent), (1e-8, 2e-3), ("ntk", "norm_u", "norm_w"))
    return given_weights.settings(trajectories(number), TRAJECTORY, wrong_trajectories, ways)


# ---- slopes of the phase diagram


def simulate_phase(
    problem: LinearNetworkScaling, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, float]:
    """A Gaussian network of width sizes["d"] with the exponents of a problem, trained by gradient descent.

    The target is 1, and the steps are 0.05 in units of the inverse rate of the gap at its largest.

    Returns
    -------
    dict of str to float
        `SLOPES`, the logarithms of the kernel at the start, of its change, and of the final alignment.
    """
    p, rng = sizes["d"], np.random.default_rng(seed)
    exponents = {name: float(value) for name, value in problem.exponents.items()}
    gamma, var_u, var_w, eta_u, eta_w = (p ** -exponents[name] for name in ("c_gamma", "c_u", "c_w", "e_u", "e_w"))
    u, w = math.sqrt(var_u) * rng.standard_normal(p), math.sqrt(var_w) * rng.standard_normal(p)
    training = Training(gamma, eta_u, eta_w, m2=1.0, A=1.0, c=1.0)
    start, h = training.ntk(u, w), 0.05 / training.largest_rate(u, w)
    while abs(training.A - gamma * float(u @ w)) > TRAINED:
        u, w = gradient_step(training, u, w, h)
    end = training.measure(u, w)
    return dict(zip(SLOPES, (math.log(start), math.log(end["ntk"] / start), math.log(abs(end["cosine"]))), strict=True))


def slopes(problem: LinearNetworkScaling) -> dict[str, float]:
    """The exponents that the slopes tend to."""
    found = {name: float(value) for name, value in problem.solve(["x_theta0", "x_inf", "x_area"]).values.items()}
    values = (found["x_theta0"], found["x_inf"] - found["x_theta0"], min(0.0, -found["x_area"]))
    return dict(zip(SLOPES, values, strict=True))


def wrong_slopes(problem: LinearNetworkScaling) -> dict[str, Mapping[str, ArrayLike]]:
    """Wrong exponents of a parametrisation; those that would be right for it are left out."""
    right, given = slopes(problem), problem.exponents
    deviations = LinearNetworkScaling(**{name: 2 * value if name in ("c_u", "c_w") else value
                                         for name, value in given.items()})
    wrong = {
        "slopes: gamma^2 dropped in the ntk": {SLOPES[0]: right[SLOPES[0]] + 2 * float(given["c_gamma"])},
        "slopes: variances for standard deviations": slopes(deviations),
        "slopes: angle and kernel of the start": {SLOPES[1]: 0.0, SLOPES[2]: -0.5},
    }
    return {error: values for error, values in wrong.items() if any(values[name] != right[name] for name in values)}


def _phase_settings(widths: Mapping[int, int]) -> list[Setting]:
    problems = {name: LinearNetworkScaling(preset=name) for name in PRESETS}
    return [
        Setting(name=f"slopes, {name}", problem=problem, judged=SLOPES, values=slopes(problem),
                wrong=wrong_slopes(problem), simulate=simulate_phase, law=Exponent(TOLERANCE), networks=widths)
        for name, problem in problems.items()
    ]


# ---- tanh networks


def _tanh_settings(networks: int) -> list[Setting]:
    return [
        Setting(name=name, problem=tanh_network.linear(case), judged=tanh_network.DIRECTIONS,
                shown={"linear": (*tanh_network.SIZES, *tanh_network.KERNEL)}, values=tanh_network.linear_values(case),
                wrong={} if name == "tanh kernel" else {
                    "tanh: kernel of the start": dict.fromkeys(tanh_network.DIRECTIONS, 0.0)},
                simulate=tanh_network.simulate, law=Within(0.01), networks={case.p: networks})
        for name, case in tanh_network.CASES.items()
    ]


def protocol(size: str) -> Protocol:
    """Trajectories of actual weights, exponents measured at three widths, and directions of tanh networks."""
    full = size == "full"
    settings = [
        *_trajectory_settings(6 if full else 1, (50, 100, 200), (1000, 2000, 4000) if full else (500, 1000, 2000)),
        *_phase_settings(dict.fromkeys((100, 1000, 10000), 24 if full else 8)),
        *_tanh_settings(12 if full else 3),
    ]
    return given_weights.protocol(
        f"linear-network, {size}: trained networks beside the closed form", integrate, settings,
        laws=tuple((f"p = 10, no. 0{words}", name) for words in ("", given_weights.DESCENT)
                   for name in ("coefficient", "ntk")),
        remarks=(
            given_weights.REMARK,
            f"Slopes are exponents of the width p = d: of Theta_0, Theta_inf/Theta_0 and |cos_inf| from trained "
            f"networks.  An exponent is a limit of infinite width; at these widths the slope may be {TOLERANCE} off.",
            "tanh networks: the direction, -1, 0 or 1, in which |cos(u, W e_1)| and ln |u||W e_1| change by more than "
            f"{tanh_network.THRESHOLDS[0]} and {tanh_network.THRESHOLDS[1]} is judged, in every network.  Not judged: "
            "sizes, and the kernel, of which the linear theory does not know that units leave saturation where weights "
            "shrink.",
        ),
    )
