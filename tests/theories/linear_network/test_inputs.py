"""Inputs in many dimensions: actual weights, identities, limits, corners."""

import math

import mpmath
import numpy as np
import pytest

import asymptotics as asy
from asymptotics import AccuracyWarning, LinearNetwork, LinearNetworkInputs, LinearNetworkInputsDescent
from asymptotics.theories.linear_network.inputs.collocation import table
from tests.reference.linear_network import exact
from tests.reference.linear_network_inputs import descent, integrate, observables

from .problems import CASES, random_problem

KINDS = ("generic", "whitened", "singular", "u is frozen", "W is frozen", "one neuron", "no readout", "small")
TIMES = np.concatenate([[0.0], np.geomspace(0.05, 30, 12)])
CASE = dict(u=[0.5, -0.2, 0.1], W=[[0.3, 0.1], [0.4, -0.5], [-0.6, 0.2]], target=[1.0, -0.5],
            covariance=[[2.0, 0.3], [0.3, 0.5]])


def random_case(rng, kind):
    """Weights, a covariance, a target, and numbers."""
    p, D = (1 if kind == "one neuron" else int(rng.integers(1, 8))), int(rng.integers(1, 6))
    scale = 10 ** (-4 if kind == "small" else rng.uniform(-1.5, 0.3))
    u, W = scale * rng.normal(size=p), scale * rng.normal(size=(p, D))
    root = rng.normal(size=(D, D)) / math.sqrt(D)
    if kind == "singular":
        root[:, D // 2:] = 0
        root[0, 0] = 1
    numbers = dict(gamma=rng.choice([-1, 1]) * 10 ** rng.uniform(-0.3, 0.3), eta_u=10 ** rng.uniform(-0.5, 0.5),
                   eta_w=10 ** rng.uniform(-0.5, 0.5), loss_factor=rng.choice([1.0, 2.0]))
    numbers = {name: float(value) for name, value in numbers.items()}
    if kind == "u is frozen":
        numbers["eta_u"] = 0.0
    if kind == "W is frozen":
        numbers["eta_w"] = 0.0
    covariance = np.eye(D) if kind == "whitened" else root @ root.T
    return (0 * u if kind == "no readout" else u), W, covariance, rng.normal(size=D), numbers


def arguments(numbers):
    return {("c" if name == "loss_factor" else name): value for name, value in numbers.items()}


def deviations(solution, weights, target, covariance, numbers):
    """Largest error of each observable, relative to its largest value (coefficients: to the target)."""
    rows = [observables(*pair, target, covariance, **arguments(numbers)) for pair in weights]
    found = {}
    for name in rows[0]:
        expected = np.array([row[name] for row in rows])
        size = np.linalg.norm(target) if name == "coefficients" else np.max(np.abs(expected))
        found[name] = np.max(np.abs(solution.values[name] - expected)) / size
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_flow_of_all_weights(kind):
    for seed in range(4):
        u, W, covariance, target, numbers = random_case(np.random.default_rng((seed, KINDS.index(kind))), kind)
        solution = LinearNetworkInputs(u=u, W=W, covariance=covariance, target=target, t=TIMES, **numbers).solve()
        assert solution.converged.all() and np.max(solution.residual) < 1e-12
        weights = integrate(u, W, target, TIMES, covariance, **arguments(numbers))
        worst = deviations(solution, weights, target, covariance, numbers)
        assert max(worst.values()) < 2e-12, (kind, seed, worst)


@pytest.mark.parametrize("kind", KINDS)
def test_descent_of_all_weights(kind):
    """The map is exact: also where the steps are too large for the flow."""
    for seed in range(3):
        u, W, covariance, target, numbers = random_case(np.random.default_rng((seed, 50 + KINDS.index(kind))), kind)
        counts = [0, 1, 2, 10, 100]
        size = 0.3 / (np.linalg.norm(covariance) * (1 + np.sum(W**2) + np.linalg.norm(target)) * 4)
        solution = LinearNetworkInputsDescent(u=u, W=W, covariance=covariance, target=target, step_size=size,
                                              steps=counts, **numbers).solve()
        weights = [descent(u, W, target, count, size, covariance, **arguments(numbers)) for count in counts]
        worst = deviations(solution, weights, target, covariance, numbers)
        assert max(worst.values()) < 1e-13, (kind, seed, worst)


def test_a_wide_network_over_thousands_of_steps():
    rng = np.random.default_rng(0)
    u, W = rng.normal(size=200) / math.sqrt(200), rng.normal(size=(200, 4)) / math.sqrt(200)
    covariance, target = np.diag([2.0, 1.0, 0.5, 0.1]), np.array([1.0, -1.0, 0.5, 0.2])
    solution = LinearNetworkInputsDescent(u=u, W=W, covariance=covariance, target=target, step_size=0.05,
                                          steps=[10, 300, 3000]).solve()
    weights = [descent(u, W, target, steps, 0.05, covariance) for steps in (10, 300, 3000)]
    assert max(deviations(solution, weights, target, covariance, {}).values()) < 5e-14


# ---- identities


@pytest.mark.parametrize("name", ["A", "B", "E"])
def test_one_input_is_the_network_on_a_line(name):
    given = CASES[name]
    line = LinearNetwork(**given, t=TIMES).solve()
    m2 = given.get("m2", 1.0)
    others = {key: value for key, value in given.items() if key not in ("u", "w", "target_coefficient")}
    found = LinearNetworkInputs(u=given["u"], W=np.array(given["w"])[:, None], target=[given["target_coefficient"]],
                                t=TIMES, **others).solve()
    assert found.coefficients[:, 0] == pytest.approx(line.coefficient, abs=1e-12)
    assert found.gap_norm == pytest.approx(np.abs(line.gap), rel=1e-11)
    assert found.excess_loss == pytest.approx(line.excess_loss, rel=1e-11)
    for observable, expected in (("norm_u", line.norm_u), ("norm_W", line.norm_w), ("ntk_trace", m2 * line.ntk),
                                 ("ntk_along_target", m2 * line.ntk)):
        assert found.values[observable] == pytest.approx(expected, rel=1e-12), observable


def test_small_weights_at_a_saddle_against_many_digits():
    u, w = (1e-4, 2e-4, -1e-4), (3e-4, 1e-4, 2e-4)
    t = [1.0, 3.0, 4.0, 5.0, 6.0, 12.0]
    found = LinearNetworkInputs(u=u, W=np.array(w)[:, None], target=[2.0], t=t).solve()
    for i, time in enumerate(t):
        expected = exact(u, w, 2.0, time)
        assert abs(found.coefficients[i, 0] - expected["F"]) < 1e-11 * abs(expected["F"]), time
        assert abs(found.gap_norm[i] - abs(expected["r"])) < 1e-11 * abs(expected["r"]), time


def test_inputs_on_a_line():
    """x = s n: the network on a line with w_i = <W_i, n>; what is orthogonal to n does not move."""
    rng = np.random.default_rng(3)
    u, W, n = rng.normal(size=6), rng.normal(size=(6, 3)), np.array([2.0, -1.0, 2.0]) / 3
    target = np.array([0.4, 0.3, -0.2])
    found = LinearNetworkInputs(u=u, W=W, covariance=np.outer(n, n), target=target, t=TIMES, gamma=0.6, m2=1.4).solve()
    line = LinearNetwork(u=u, w=W @ n, gamma=0.6, m2=1.4, target_coefficient=target @ n, t=TIMES).solve()
    assert found.coefficients @ n == pytest.approx(line.coefficient, abs=1e-12)
    assert found.excess_loss == pytest.approx(line.excess_loss, rel=1e-9, abs=1e-14)
    assert found.norm_u == pytest.approx(line.norm_u, rel=1e-12)
    assert found.ntk_trace == pytest.approx(1.4 * line.ntk, rel=1e-12)


def test_rotations_of_inputs_and_hidden_units():
    rng = np.random.default_rng(4)
    u, W, covariance, target, numbers = random_case(rng, "generic")
    p, D = W.shape
    inputs, hidden = (np.linalg.qr(rng.normal(size=(size, size)))[0] for size in (D, p))
    plain = LinearNetworkInputs(u=u, W=W, covariance=covariance, target=target, t=TIMES, **numbers).solve()
    turned = LinearNetworkInputs(u=hidden @ u, W=hidden @ W @ inputs.T, covariance=inputs @ covariance @ inputs.T,
                                 target=inputs @ target, t=TIMES, **numbers).solve()
    assert turned.coefficients @ inputs == pytest.approx(plain.coefficients, abs=1e-12)
    for name in set(plain.values) - {"coefficients"}:
        scale = np.max(np.abs(plain.values[name]))
        assert turned.values[name] == pytest.approx(plain.values[name], abs=1e-11 * scale), name


def test_alignment():
    u, W, covariance, target, numbers = random_case(np.random.default_rng(6), "generic")
    found = LinearNetworkInputs(u=u, W=W, covariance=covariance, target=target, t=TIMES, **numbers).solve()
    lengths = np.linalg.norm(found.coefficients, axis=1) * np.linalg.norm(target)
    assert found.alignment == pytest.approx(found.coefficients @ target / lengths, abs=1e-14)


def test_restart_and_units_of_time():
    u, W, covariance, target, numbers = random_case(np.random.default_rng(5), "generic")
    problem = LinearNetworkInputs(u=u, W=W, covariance=covariance, target=target, t=3.0, **numbers)
    (weights,) = integrate(u, W, target, [1.2], covariance, **arguments(numbers))
    again = problem.replace(u=weights[0], W=weights[1], t=1.8).solve()
    assert again.coefficients == pytest.approx(problem.solve().coefficients, abs=1e-11)
    faster = problem.replace(m2=2.0, t=1.5).solve()
    assert faster.coefficients == pytest.approx(problem.solve().coefficients, abs=1e-12)


def test_descent_tends_to_the_flow_and_its_loss_falls():
    flow = LinearNetworkInputs(**CASE, t=2.0).solve()
    gaps = [np.linalg.norm(LinearNetworkInputsDescent(**CASE, step_size=2.0 / k, steps=k).solve().coefficients
                           - flow.coefficients) for k in (200, 400, 800)]
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.02) and gaps[1] / gaps[2] == pytest.approx(2, rel=0.01)
    losses = LinearNetworkInputs(**CASE, t=np.linspace(0, 30, 500)).solve().excess_loss
    assert (np.diff(losses) <= 0).all()


def test_infinite_width():
    """Whitened inputs: along the target the theory on a line, across it O(sqrt(D/p))."""
    D, t = 5, np.linspace(0, 6, 61)
    along, across = [], []
    for p in (50, 800, 12800):
        rng = np.random.default_rng(p)
        u, W = rng.normal(size=p) / math.sqrt(p), rng.normal(size=(p, D)) / math.sqrt(p)
        target = np.eye(D)[0]
        found = LinearNetworkInputs(u=u, W=W, target=target, t=t).solve()
        line = LinearNetwork(u=u, w=W[:, 0], target_coefficient=1.0, t=t).solve()
        along.append(np.max(np.abs(found.coefficients[:, 0] - line.coefficient)))
        across.append(np.max(np.linalg.norm(found.coefficients[:, 1:], axis=1)) / math.sqrt(D / p))
    assert along[0] < 0.05 and along[1] < 5e-3 and along[2] < 3e-4
    assert min(across) > 0.3 and max(across) < 2


# ---- corners


@pytest.mark.parametrize("condition", [1e4, 1e8])
def test_stiff_covariances_and_late_times(condition):
    """Learning goes on for the condition number times as long; steps follow what still moves."""
    rng = np.random.default_rng(1)
    u, W = rng.normal(size=50) / 7, rng.normal(size=(50, 3)) / 7
    spectrum = np.array([1.0, condition**-0.5, 1 / condition])
    problem = LinearNetworkInputs(u=u, W=W, covariance=np.diag(spectrum), target=[1.0, 1.0, 1.0],
                                  t=np.geomspace(1e-3, 30 * condition, 40))
    solution = problem.solve()
    assert solution.converged.all() and max(asy.check(problem).values()) < 1e-12
    late = LinearNetworkInputs(u=u, W=W, covariance=np.diag(spectrum), target=[1.0, 1.0, 1.0], t=1e300).solve()
    assert late.coefficients == pytest.approx(1.0, abs=1e-14) and late.gap_norm < 1e-140


def test_slow_modes_obey_their_own_equation():
    """At the end gap' = -c Theta Sx gap with a constant kernel: rates are the eigenvalues of Theta Sx."""
    problem = LinearNetworkInputs(**CASE, t=[60.0, 61.0])
    found = problem.solve()
    theta = problem.kernel()["kernel"].values[0]
    slow = np.min(np.linalg.eigvals(theta @ np.array(CASE["covariance"])).real)
    assert np.log(found.gap_norm[0] / found.gap_norm[1]) == pytest.approx(slow, rel=1e-9)


def test_zero_weights_and_reached_targets():
    still = LinearNetworkInputs(u=[0.0, 0.0], W=np.zeros((2, 3)), target=[1.0, 2.0, 3.0], t=[0.0, 1e9]).solve()
    assert (still.coefficients == 0).all() and (still.ntk_trace == 0).all() and np.isnan(still.alignment).all()
    there = LinearNetworkInputs(u=[1.0], W=[[1.0, 2.0]], target=[1.0, 2.0], t=[0.0, 5.0, 1e300]).solve()
    assert (there.gap_norm == 0).all() and (there.norm_u == 1).all() and there.alignment == pytest.approx(1)
    nothing = LinearNetworkInputs(u=[1.0], W=[[1.0, 2.0]], target=[0.0, 0.0], t=1.0).solve()
    assert np.isnan(nothing.alignment) and np.isnan(nothing.ntk_along_target) and nothing.converged


def test_scales():
    """(u, W, gamma, rates) -> (k u, W, gamma/k, k^2 eta_u) leaves the function as it is, for any k."""
    plain = LinearNetworkInputs(**CASE, t=TIMES).solve()
    for k in (1e-60, 1e-8, 1e8, 1e60):
        scaled = LinearNetworkInputs(**CASE | {"u": k * np.array(CASE["u"])}, gamma=1 / k, eta_u=k**2, t=TIMES).solve()
        assert scaled.coefficients == pytest.approx(plain.coefficients, abs=1e-12)
        assert scaled.norm_u == pytest.approx(k * plain.norm_u, rel=1e-12)


def test_large_weights():
    """A lazy network: products of order k^2 that cancel, a target of order one."""
    u, W = np.array([0.4, -0.3, 0.2]), np.array([[0.3, 0.1], [0.2, 0.5], [-0.3, 0.6]])
    for k in (1e3, 1e6):
        found = LinearNetworkInputs(u=k * u, W=k * W, target=[1.0, -1.0], t=[1e-8, 1.0, 100.0]).solve()
        assert found.converged.all()
        assert found.coefficients[1:] == pytest.approx(np.array([[1.0, -1.0]] * 2), abs=1e-14)


def test_weights_against_the_target_leave_the_saddle_late_or_not_at_all():
    """u = w and a negative target: F decays as it should, and then nothing pushes it across; or 1e-4 does."""
    w = np.array([0.6, -0.3])
    problem = LinearNetworkInputs(u=w, W=w[:, None], target=[-1.0], t=np.linspace(0, 12, 7))
    line = LinearNetwork(u=w, w=w, target_coefficient=-1.0, t=np.linspace(0, 12, 7)).solve()
    assert problem.solve().coefficients[:, 0] == pytest.approx(line.coefficient, abs=1e-10)
    u = w * (1 + 1e-4 * np.array([1.0, -1.0]))
    crossing = problem.replace(u=u, t=np.linspace(0, 40, 9)).solve()
    line = LinearNetwork(u=u, w=w, target_coefficient=-1.0, t=np.linspace(0, 40, 9)).solve()
    assert crossing.coefficients[:, 0] == pytest.approx(line.coefficient, abs=1e-10)
    assert crossing.residual[-1] > 1e-13  # and it says that digits were lost


@pytest.mark.filterwarnings("ignore::asymptotics.AccuracyWarning")
@pytest.mark.parametrize("kind", ["aligned", "opposed", "almost aligned", "balanced up to rounding", "no target"])
def test_cells_that_converge_are_right(kind):
    """Near saddles, where digits are lost: against the network on a line, whose invariants have all digits."""
    for seed in (1, 4, 8, 13):
        given = random_problem(np.random.default_rng((seed, 3)), kind)
        rate = max(float(LinearNetwork(**given, t=0.0).solve().decay_rate), 1e-3)
        t = np.concatenate([[0.0], np.geomspace(1e-2, 100, 10) / rate])
        line = LinearNetwork(**given, t=t).solve()
        others = {name: value for name, value in given.items() if name not in ("u", "w", "target_coefficient")}
        found = LinearNetworkInputs(u=given["u"], W=np.array(given["w"])[:, None], t=t,
                                    target=[given["target_coefficient"]], **others).solve()
        scale = max(abs(given["target_coefficient"]), abs(line.coefficient[0]))
        error = np.abs(found.coefficients[:, 0] - line.coefficient) / scale
        assert (error[found.converged] < 1e-10).all(), (kind, seed)
        assert found.converged[:4].all()


def test_what_float64_cannot_decide_does_not_converge():
    """Layers 1e-15 from parallel, against the target: when they cross is beyond the digits of their overlaps."""
    w = np.array([0.6, -0.3])
    problem = LinearNetworkInputs(u=w * (1 + 1e-15 * np.array([1.0, -1.0])), W=w[:, None], target=[-1.0],
                                  t=[0.1, 1.0, 200.0])
    with pytest.warns(AccuracyWarning, match="1 of 3 cells did not converge"):
        assert problem.solve().converged.tolist() == [True, True, False]


def test_descent_that_diverges_does_not_converge():
    problem = LinearNetworkInputsDescent(**CASE, step_size=[0.1, 5.0], steps=500)
    with pytest.warns(AccuracyWarning, match="1 of 2 cells did not converge"):
        found = problem.solve()
    assert found.converged.tolist() == [True, False] and np.isnan(found.coefficients[1]).all()


@pytest.mark.parametrize("stages", [4, 12, 16])
def test_collocation(stages):
    """Integrals of polynomials, their coefficients and values are exact; the last node is the end of the step."""
    nodes = table(stages)
    assert nodes.nodes[-1] == 1 and (nodes.nodes > 0).all()
    x = np.linspace(0, 1, 7)
    for power in range(stages):
        expected = nodes.nodes ** (power + 1) / (power + 1)
        assert nodes.integrals @ nodes.nodes**power == pytest.approx(expected, abs=1e-14)
        values = np.concatenate([[0.0**power], nodes.nodes**power])
        assert nodes.interpolation(x) @ values == pytest.approx(x**power, abs=1e-13)
    legendre = np.polynomial.legendre.legval(2 * nodes.nodes - 1, [0] * (stages - 1) + [1])
    assert nodes.spectrum @ legendre == pytest.approx([0] * (stages - 1) + [1], abs=1e-12)
    shifted = [2 * mpmath.mpf(x) - 1 for x in nodes.nodes]
    assert max(abs(mpmath.legendre(stages, x) - mpmath.legendre(stages - 1, x)) for x in shifted) < 1e-12
