"""Problems that several test files share."""

import math

import numpy as np

from asymptotics import LinearNetworkDescent

from ..problems import CASES


def case(name, **changes):
    return LinearNetworkDescent(**{"steps": 10, "step_size": 0.1, **CASES[name], **changes})


def unit_step(given):
    """A step that is one in units of the larger of the first rate of the gap and of c m2 kap|A|."""
    start = LinearNetworkDescent(**given, step_size=0.0, steps=0).solve(["initial_ntk"])
    kap = 2 * abs(given["gamma"]) * math.sqrt(given["eta_u"]) * math.sqrt(given["eta_w"])
    rate = max(float(start.initial_ntk), kap * abs(given["target_coefficient"]))
    return 1 / (given["m2"] * given["loss_factor"] * rate)


def wide(p, seed=0, **changes):
    """A network of width p in NTK parametrisation, and its first rate of the gap; A = 0."""
    u, w = np.random.default_rng(seed).normal(size=(2, p))
    given = {"u": u, "w": w, "gamma": p**-0.5, "target_coefficient": 0.0, "step_size": 0.1, "steps": 0, **changes}
    return LinearNetworkDescent(**given), float(u @ u + w @ w) / p
