"""Random problems against 60 digits and more, from the weights (tests/reference/linear_network.py).

Two boxes, those of the flow: parameters within a factor 10 of one, and scales between 1e-100 and 1e100; degenerate ones
among both.  Steps from 0.01 to 4.5 in units of the first or last rate.  Large steps amplify every rounding: errors are
in units of 1 + condition number, which is measured with the reference.
"""

import mpmath
import numpy as np
import pytest

from asymptotics import LinearNetworkDescent
from tests.reference.linear_network import descend_exactly

from ..problems import KINDS, arguments, extreme_problem, random_problem
from .problems import unit_step

TOLERANCE = 2e-13
CHANGE = mpmath.mpf(10) ** -20
LARGEST = 1e280


def errors(given, h, counts):
    """The largest error of every observable, relative to its value (or natural scale) and 1 + condition number."""
    solution = LinearNetworkDescent(**given, step_size=h, steps=counts).solve()
    assert solution.converged.all()
    finite = np.isfinite(solution.ntk)
    # in units of the largest kernel so far: a step may take nearly all of it away, and leave its rounding
    lost = np.maximum.accumulate(solution.ntk[finite]) / np.maximum(solution.ntk[finite], 1e-300)
    assert np.max(solution.residual[finite] / np.maximum(lost, 1)) < 1e-12
    own = arguments(given)
    exact = descend_exactly(**own, steps=counts, size=h)
    with mpmath.workdps(60):
        others = [
            descend_exactly(**{**own, "u": [mpmath.mpf(x) * (1 + CHANGE) for x in own["u"]]}, steps=counts, size=h),
            descend_exactly(**{**own, "m2": mpmath.mpf(own["m2"]) * (1 + CHANGE)}, steps=counts, size=h),
        ]
    found, A, gamma = {}, abs(given["target_coefficient"]), abs(given["gamma"])
    start = abs(exact[0]["coefficient"])
    for place, state in enumerate(exact):
        if max(state["ntk"], state["excess_loss"], state["standard_ntk"], abs(state["coefficient"])) > LARGEST:
            continue
        product = gamma * state["norm_u"] * state["norm_w"]
        for name, expected in state.items():
            value = float(solution.values[name][place])
            if mpmath.isnan(expected):
                assert np.isnan(value)
                continue
            scale = abs(expected)
            if name == "coefficient":
                scale = max(scale, min(start, A))
            elif name == "cosine" and product:
                scale = max(scale, min(1, A / product))
            unresolved = name in ("gap", "excess_loss") and abs(state["gap"]) < 1e-50 * max(A, start)
            if scale < 1e-150 or unresolved:
                assert abs(value) < 1e-148 or (unresolved and abs(value) < 1e-48 * max(A, start))
                continue
            with mpmath.workdps(60):
                condition = max(abs(other[place][name] - expected) for other in others) / (CHANGE * scale)
                error = abs(value - expected) / scale / (1 + condition)
            found[name] = max(found.get(name, 0.0), float(error))
    return found


def run(draw, seeds, count, counts):
    worst = {}
    for kind in KINDS:
        for seed in range(seeds, seeds + count):
            rng = np.random.default_rng((seed, KINDS.index(kind)))
            given = draw(rng, kind)
            h = float(10 ** rng.uniform(-2, 0.65)) * unit_step(given)
            for name, value in errors(given, h, counts).items():
                assert value <= TOLERANCE, (name, kind, seed, value)
                worst[name] = max(worst.get(name, 0.0), value)
    return worst


@pytest.mark.parametrize(("draw", "counts"), [
    (random_problem, [0, 1, 2, 3, 7, 20, 64, 65, 130]), (extreme_problem, [0, 1, 2, 3, 7, 20])])
def test_random_problems(draw, counts):
    worst = run(draw, 0, 8, counts)
    assert set(worst) >= {"coefficient", "gap", "ntk", "cosine", "norm_u", "norm_w", "sharpness", "stability"}


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "counts"), [
    (random_problem, [0, 1, 2, 3, 7, 20, 64, 65, 200]), (extreme_problem, [0, 1, 2, 3, 7, 20])])
def test_many_random_problems(draw, counts):
    run(draw, 1000, 200, counts)
