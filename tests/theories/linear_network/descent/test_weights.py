"""Against the actual 2p weights, step by step in float64, over thousands of steps."""

import numpy as np
import pytest

from asymptotics import LinearNetwork, LinearNetworkDescent
from tests.reference.linear_network import descent

from ..problems import CASES, KINDS, arguments, random_problem
from .problems import case, unit_step


def of_weights(u, w, given):
    gamma, k = given.get("gamma", 1.0), given.get("m2", 1.0) * given.get("loss_factor", 1.0)
    F = gamma * (u @ w)
    return {
        "coefficient": F, "norm_u": np.linalg.norm(u), "norm_w": np.linalg.norm(w),
        "ntk": gamma**2 * (given.get("eta_u", 1.0) * (w @ w) + given.get("eta_w", 1.0) * (u @ u)),
        "cosine": u @ w / (np.linalg.norm(u) * np.linalg.norm(w)),
        "excess_loss": 0.5 * k * (given["target_coefficient"] - F) ** 2,
        "standard_ntk": gamma**2 * (u @ u + w @ w),
    }


def test_reference_row():
    """50 steps of 0.2 of case A, and the numbers that are stored for it."""
    solution = case("A", step_size=0.2, steps=50).solve()
    assert solution.coefficient == pytest.approx(0.999999999996883, rel=1e-15)
    assert solution.ntk == pytest.approx(2.1617678448997, rel=1e-13)
    assert solution.cosine == pytest.approx(0.9330045306681889, rel=1e-14)
    assert solution.gap == pytest.approx(3.117e-12, rel=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_thousands_of_steps(name):
    given, counts = {**CASES[name]}, [1, 10, 300, 1200, 4800]
    h = 0.3 * unit_step({"gamma": 1.0, "eta_u": 1.0, "eta_w": 1.0, "m2": 1.0, "loss_factor": 1.0, **given})
    solution = case(name, step_size=h, steps=counts).solve()
    for place, steps in enumerate(counts):
        u, w = descent(**arguments(given), steps=steps, size=h)
        for observable, expected in of_weights(u, w, given).items():
            slack = 1e-12 if observable == "cosine" else 1e-300
            if observable == "excess_loss":
                slack = 1e-25  # of a gap that is a difference of numbers of order one
            assert solution.values[observable][place] == pytest.approx(expected, rel=1e-12, abs=slack), observable


@pytest.mark.parametrize("kind", KINDS)
def test_hundreds_of_steps_of_random_problems(kind):
    for seed in range(4):
        given = random_problem(np.random.default_rng((seed, KINDS.index(kind))), kind)
        if kind == "unbalanced":
            given["u"] = given["u"] / np.linalg.norm(given["u"])
        h = 0.6 * unit_step(given)
        solution = LinearNetworkDescent(**given, step_size=h, steps=700).solve()
        u, w = descent(**arguments(given), steps=700, size=h)
        expected = of_weights(u, w, given)
        scale = abs(given["gamma"]) * expected["norm_u"] * expected["norm_w"] + abs(given["target_coefficient"])
        for observable in ("ntk", "norm_u", "norm_w", "standard_ntk"):
            assert solution.values[observable] == pytest.approx(expected[observable], rel=1e-11, abs=1e-150), seed
        assert solution.coefficient == pytest.approx(expected["coefficient"], rel=1e-11, abs=1e-12 * scale)


@pytest.mark.parametrize("name", "ABCE")
def test_small_steps_are_the_flow(name):
    """At O(h): the error halves with the step."""
    t = 1.5
    flow = LinearNetwork(**CASES[name], t=t).solve()
    steps = np.array([1000, 2000, 4000])
    found = case(name, step_size=t / steps, steps=steps).solve()
    for observable in ("coefficient", "ntk", "norm_u", "norm_w", "cosine"):
        error = np.abs(found.values[observable] - flow.values[observable])
        if np.max(error) > 1e-10:
            assert error[:-1] / error[1:] == pytest.approx([2, 2], rel=0.02), observable
            assert error[-1] < 1e-2


def test_large_steps_flip_the_area():
    """|s| > 1: the products p_i q_j change their sign, and with them the imbalance of the layers."""
    given = dict(u=[0.9, 0.1], w=[0.2, -0.3], target_coefficient=-1.5)
    for steps in range(1, 6):
        solution = LinearNetworkDescent(**given, step_size=1.4, steps=steps).solve()
        u, w = descent(given["u"], given["w"], -1.5, steps, 1.4)
        expected = of_weights(u, w, given)
        for observable, value in expected.items():
            assert solution.values[observable] == pytest.approx(value, rel=1e-12), (observable, steps)
        if steps == 1:
            assert (u @ u > w @ w) != (given["u"][0] ** 2 + 0.01 > 0.13)
