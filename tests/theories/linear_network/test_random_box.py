"""Random problems against 50 digits and more, from the weights (tests/reference/linear_network.py).

Two boxes: parameters within a factor 10 of one, and scales of weights, gamma, rates and target between 1e-100 and
1e100; degenerate ones among both; times from 1e-3 to 1e3 of the last stage, and from 1e-12 to 1e12.
"""

import mpmath
import numpy as np
import pytest

from asymptotics import LinearNetwork
from tests.reference.linear_network import UNDERFLOWN, exact

from .problems import KINDS, arguments, extreme_problem, random_problem

TOLERANCE = 1e-12
SMALLEST = 1e-290  # in the last decades before the underflow digits are lost


def errors(given, t):
    """Relative errors of one solution, in units of the natural scale where F or the cosine passes through zero."""
    solution = LinearNetwork(**given, t=t).solve()
    assert solution.converged
    expected = exact(**arguments(given), t=t)
    gamma, k = abs(mpmath.mpf(given["gamma"])), mpmath.mpf(given["m2"]) * mpmath.mpf(given["loss_factor"])
    crossing = min(abs(expected["F0"]), abs(mpmath.mpf(given["target_coefficient"])))
    product = gamma * expected["norm_u"] * expected["norm_w"]
    kernel = gamma**2 * (expected["norm_u"] ** 2 + expected["norm_w"] ** 2)
    wanted = {
        "coefficient": (expected["F"], crossing), "gap": (expected["r"], 0), "ntk": (expected["ntk"], 0),
        "norm_u": (expected["norm_u"], 0), "norm_w": (expected["norm_w"], 0),
        "excess_loss": (k * expected["r"] ** 2 / 2, 0), "standard_ntk": (kernel, 0),
        "cosine": (expected["cosine"], crossing / product if product else 0),
    }
    if expected["rate"] * t >= UNDERFLOWN and given["target_coefficient"] == 0:
        del wanted["cosine"]  # the reference has rounded F
    found = {name: error(float(solution.values[name]), *pair) for name, pair in wanted.items()}
    if expected["r"] and expected["rate"] * t < UNDERFLOWN:
        found["log_gap"] = error(float(solution.log_gap), mpmath.log(abs(expected["r"])), 1)
    found["residual"] = float(solution.residual)
    return found


def error(value, expected, scale):
    if mpmath.isnan(expected):
        return 0.0 if np.isnan(value) else np.inf
    if abs(expected) > 1e300:
        return 0.0 if value == np.inf or abs(value) > 1e299 else np.inf
    scale = max(abs(expected), scale)
    return 0.0 if scale < SMALLEST and abs(value) < 2 * SMALLEST else float(abs(mpmath.mpf(value) - expected) / scale)


def draw_time(rng, given):
    """Around the last stage, or anywhere; and the largest Lam t."""
    rate = float(LinearNetwork(**given, t=0.0).solve().decay_rate)
    if rate > 0 and rng.random() < 0.7:
        return float(10 ** rng.uniform(-3, 3) / rate)
    return float(10 ** rng.uniform(-12, 12))


def run(draw, seeds, count):
    worst = {}
    for kind in KINDS:
        for seed in range(seeds, seeds + count):
            rng = np.random.default_rng((seed, KINDS.index(kind)))
            given = draw(rng, kind)
            for name, value in errors(given, draw_time(rng, given)).items():
                assert value <= TOLERANCE, (name, kind, seed, value)
                worst[name] = max(worst.get(name, 0.0), value)
    return worst


@pytest.mark.parametrize("draw", [random_problem, extreme_problem])
def test_random_problems(draw):
    worst = run(draw, 0, 12)
    assert set(worst) >= {"coefficient", "gap", "ntk", "cosine", "norm_u", "norm_w"}


@pytest.mark.slow
@pytest.mark.parametrize("draw", [random_problem, extreme_problem])
def test_many_random_problems(draw):
    run(draw, 1000, 300)
