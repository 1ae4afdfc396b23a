"""Random problems against 40 digits, from the weights (tests/reference/linear_network_extensions.py).

Parameters within a factor 10 of one, degenerate ones among them; rates of decay from 1e-8 to 100 and times from 1e-6 to
1000, both in units of the rate of the flow; and scales of the weights and the rates up to 1e+-12.
"""

import mpmath
import numpy as np
import pytest

from asymptotics import LinearNetworkDecay
from tests.reference.linear_network_extensions import decayed
from tests.theories.linear_network.problems import KINDS, arguments, random_problem

TOLERANCE = 1e-11  # found: 1e-13, norms that come from a quotient 1e-12
SMALLEST = 1e-280


def errors(given, mu, t):
    """Errors of one solution, relative to the value or its natural scale."""
    solution = LinearNetworkDecay(**given, weight_decay=mu, t=t).solve()
    assert solution.converged
    expected = decayed(**arguments(given), t=t, mu=mu)
    A, gamma = abs(mpmath.mpf(given["target_coefficient"])), abs(mpmath.mpf(given["gamma"]))
    passing = 2 * gamma * mpmath.sqrt(mpmath.mpf(given["eta_u"])) * mpmath.sqrt(mpmath.mpf(given["eta_w"]))
    # the digits of F are those of the larger of its two parts, or of where it comes from and goes to
    own = min(expected["ntk"] / passing, abs(expected["F0"]) + A) if passing else abs(expected["F0"]) + A
    product = gamma * expected["norm_u"] * expected["norm_w"]
    wanted = {
        "coefficient": (expected["F"], own), "gap": (expected["r"], max(A, own)), "ntk": (expected["ntk"], 0),
        "norm_u": (expected["norm_u"], 0), "norm_w": (expected["norm_w"], 0),
        "cosine": (expected["cosine"], own / product if product else 0),
    }
    found = {name: error(float(solution.values[name]), *pair) for name, pair in wanted.items()}
    if abs(expected["F"]) < SMALLEST and product < SMALLEST:
        for name in ("cosine", "norm_u", "norm_w"):  # about to underflow
            found.pop(name)
    return found | {"residual": float(solution.residual)}


def error(value, expected, scale):
    if mpmath.isnan(expected):
        return 0.0 if np.isnan(value) else np.inf
    scale = max(abs(expected), scale)
    return 0.0 if scale < SMALLEST and abs(value) < 2 * SMALLEST else float(abs(mpmath.mpf(value) - expected) / scale)


def draw(rng, kind, powers):
    """A problem, its rate of decay and a time."""
    given = random_problem(rng, kind)
    if kind in ("generic", "no target", "almost aligned"):
        for name in ("u", "w", "eta_u", "eta_w") if kind == "generic" else ("gamma",):
            given[name] = given[name] * 10.0 ** rng.uniform(-powers, powers)
    start = LinearNetworkDecay(**given, weight_decay=0.0, t=0.0).solve()
    kap = 2 * abs(given["gamma"]) * (given["eta_u"] * given["eta_w"]) ** 0.5
    drive = kap * abs(given["target_coefficient"]) + 2 * float(start.initial_ntk)
    rate = given["loss_factor"] * given["m2"] * drive
    return given, rate * 10 ** rng.uniform(-8, 2), 10 ** rng.uniform(-6, 2.5) / rate


def run(seeds, count, powers):
    worst = {}
    for kind in KINDS:
        for seed in range(seeds, seeds + count):
            rng = np.random.default_rng((seed, KINDS.index(kind)))
            for name, value in errors(*draw(rng, kind, powers)).items():
                assert value <= TOLERANCE, (name, kind, seed, value)
                worst[name] = max(worst.get(name, 0.0), value)
    return worst


@pytest.mark.parametrize("powers", [0, 12])
def test_random_problems(powers):
    assert set(run(0, 6, powers)) >= {"coefficient", "gap", "ntk", "cosine", "norm_u", "norm_w"}


@pytest.mark.slow
@pytest.mark.parametrize("powers", [0, 12])
def test_many_random_problems(powers):
    run(1000, 150, powers)
