"""Networks with many inputs and outputs beside the theory; integrators; theories that must be rejected."""

import math

import numpy as np
import pytest

from asymptotics import LinearNetworkInputs, LinearNetworkInputsDescent, ParameterError
from validation import linear_network_inputs
from validation.engine import run
from validation.judgement import against, judge
from validation.linear_network_inputs_protocol import SCALAR, protocol, random_problem, wrong_scalar

CASE = dict(u=[0.5, -0.2, 0.1], W=[[0.3, 0.1], [0.4, -0.5], [-0.6, 0.2]], target=[1.0, -0.5],
            covariance=[[2.0, 0.3], [0.3, 0.5]], gamma=-0.8, irreducible_loss=0.2)


@pytest.fixture(scope="module")
def quick():
    return run(protocol("quick"))


def test_quick_passes_and_rejects_every_wrong_theory(quick):
    assert quick.passed, str(quick)
    assert quick.judgement.outcome == "passed" and len(quick.controls) == 7
    assert all(row.bounded for row in quick.judged)
    assert np.allclose([law.exponent for law in quick.laws], -4, atol=0.1)


def test_every_network_alone_rejects_every_wrong_theory(quick):
    """Not only together; also rates that are 0.01 % off."""
    for setting in protocol("quick").settings:
        rows = [row for row in quick.judged if row.setting == setting.name]
        assert rows and judge(rows).outcome == "passed"
    for name, problem in (("p = 3, no. 0", random_problem(3, 0)), ("p = 50, no. 0", random_problem(50, 0))):
        rows = [row for row in quick.judged if row.setting == name and "[" not in row.observable]
        off = problem.replace(eta_u=1.0001 * problem.eta_u, eta_w=1.0001 * problem.eta_w)
        for error, theory in {**wrong_scalar(problem), "0.01 % off": off}.items():
            values = theory.solve([observable for observable in SCALAR if observable != "coefficients"]).values
            assert judge(against(rows, values)).outcome == "failed", (name, error)


def test_protocol_is_complete():
    small, full = ([setting.name for setting in protocol(size).settings] for size in ("quick", "full"))
    assert len(set(full)) == len(full) and set(small) < set(full)
    problems = [random_problem(p, i) for p in (1, 3, 50) for i in range(6)]
    assert {math.copysign(1, problem.gamma) for problem in problems} == {-1, 1}


@pytest.mark.parametrize("problem", [
    LinearNetworkInputs(**CASE, t=[0.0, 3.0, 0.5]), LinearNetworkInputs(**CASE, t=1.5),
    LinearNetworkInputsDescent(**CASE, step_size=0.05, steps=[0, 7, 300]),
    LinearNetworkInputs(u=[1.0], W=[[0.2, 0.3]], target=[0.5, 1.0], t=2.0, eta_u=0.0),
], ids=["flow", "one time", "descent", "frozen"])
def test_simulator_agrees_with_the_theory(problem):
    values, theory = linear_network_inputs.simulate(problem, {}), problem.solve()
    assert set(values) == set(theory.values)
    for name, expected in theory.values.items():
        assert np.shape(values[name]) == np.shape(expected)
        assert values[name] == pytest.approx(expected, abs=1e-6), name


@pytest.mark.parametrize(("changes", "sizes", "words"), [
    ({}, {"d": 10}, "d: is not a size"),
    ({"eta_u": [0.5, 1.0]}, {}, "eta_u: must be one value"),
    ({"t": 1e9}, {}, "t: needs more than"),
])
def test_bad_simulations(changes, sizes, words):
    with pytest.raises(ParameterError, match=words):
        linear_network_inputs.simulate(LinearNetworkInputs(**{**CASE, "t": 1.0, **changes}), sizes)
    with pytest.raises(ParameterError, match="steps: must be <="):
        linear_network_inputs.simulate(LinearNetworkInputsDescent(**CASE, step_size=1e-3, steps=10**7), {})
