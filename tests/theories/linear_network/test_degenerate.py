"""Degenerate networks: saddles, targets out of reach, frozen layers, one neuron; all exact."""

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import AccuracyWarning, LinearNetwork

T = np.array([0.0, 1e-9, 0.1, 1.0, 5.0, 40.0, 800.0, 1e6])


def solve(**given):
    given = {"u": [1.0, 0.5], "w": [1.0, 0.5], "target_coefficient": 1.0, "t": T, **given}
    return LinearNetwork(**given).solve()


@pytest.mark.parametrize("A", [-1.0, 0.0, 2.0])
def test_saddle(A):
    """All weights zero: nothing ever moves, and there is no angle."""
    solution = solve(u=[0.0, 0.0], w=[0.0, 0.0], target_coefficient=A)
    for name in ("coefficient", "ntk", "norm_u", "norm_w", "final_ntk", "decay_rate", "initial_ntk", "standard_ntk"):
        assert (solution.values[name] == 0).all(), name
    assert solution.gap == pytest.approx(np.full(T.size, A), rel=1e-15)
    assert np.isnan(solution.cosine).all() and solution.converged.all()
    problem = LinearNetwork(u=[0.0], w=[0.0], target_coefficient=A, t=1.0)
    assert problem.time_to(0.5) == (np.inf if A else 0) and problem.time_to(1.0) == 0
    assert problem.time_to(coefficient=0.0) == 0 and problem.time_to(coefficient=0.1) == np.inf
    assert problem.largest_stable_step() == np.inf


def test_aligned_and_balanced():
    """Q = 0, A > 0: the logistic curve; the angle stays, the kernel is kap F."""
    solution = solve(target_coefficient=2.0)
    kap, F0, A = 2.0, 1.25, 2.0
    expected = A * F0 / (F0 + (A - F0) * np.exp(-kap * A * T[:6]))
    assert solution.coefficient[:6] == pytest.approx(expected, rel=1e-15)
    assert solution.coefficient[6:] == pytest.approx(A, rel=1e-15)
    assert solution.ntk == pytest.approx(kap * solution.coefficient, rel=1e-15)
    assert (solution.cosine == 1).all()
    assert solution.norm_u == pytest.approx(np.sqrt(solution.coefficient), rel=1e-15)
    assert solution.gap[5] == pytest.approx((A - F0) / F0 * A * np.exp(-kap * A * 40), rel=1e-13)


def test_target_out_of_reach():
    """Q = 0, A < 0: F decays to zero, the loss to (c/2) m2 A^2; no. 19."""
    solution = solve(target_coefficient=-1.0, irreducible_loss=0.5)
    F0, rate = 1.25, 2.0
    expected = F0 / ((1 + F0) * np.exp(rate * T[:6]) - F0)
    assert solution.coefficient[:6] == pytest.approx(expected, rel=1e-13)
    assert (solution.coefficient[6:] == 0).all() and (solution.ntk[6:] == 0).all()
    assert (solution.final_ntk == 0).all() and (solution.decay_rate == rate).all()
    assert (solution.cosine == 1).all()
    assert solution.loss[-1] == pytest.approx(0.5 * (1 + 0.5), rel=1e-15)
    far = solve(target_coefficient=-1.0, t=500.0)  # F = 1e-434 there
    assert far.norm_u == far.norm_w == pytest.approx(np.sqrt(F0 / (1 + F0)) * np.exp(-500.0), rel=1e-12, abs=0)
    problem = LinearNetwork(u=[1.0], w=[1.0], target_coefficient=-1.0, t=1.0)
    assert problem.time_to(coefficient=[0.5, 0.0, -0.1]).tolist()[1:] == [np.inf, np.inf]
    assert problem.time_to(coefficient=0.5) == pytest.approx(np.log(3 / 2) / 2, rel=1e-15)
    assert problem.largest_stable_step() == 2.0


def test_mirror_image():
    """P = 0: (A, F, u) -> (-A, -F, -u)."""
    for A in (-1.0, 0.0, 0.7):
        solution, mirror = solve(target_coefficient=A), solve(u=[-1.0, -0.5], target_coefficient=-A)
        for name in ("coefficient", "gap", "cosine"):
            assert (solution.values[name] == -mirror.values[name]).all()
        for name in ("ntk", "norm_u", "norm_w", "final_ntk", "decay_rate", "log_gap"):
            assert (solution.values[name] == mirror.values[name]).all()


def test_algebraic_decay():
    """A = 0 and Q = 0: F = F0/(1 + kap F0 t), no rate."""
    solution = solve(target_coefficient=0.0)
    assert solution.coefficient == pytest.approx(1.25 / (1 + 2 * 1.25 * T), rel=1e-15)
    assert (solution.decay_rate == 0).all() and (solution.final_ntk == 0).all()
    problem = LinearNetwork(u=[1.0, 0.5], w=[1.0, 0.5], target_coefficient=0.0, t=0.0)
    assert problem.time_to([1.0, 0.5, 1e-6, 0.0]).tolist() == pytest.approx([0, 0.4, 0.4 * (1e6 - 1), np.inf])
    assert problem.largest_stable_step() == np.inf


def test_no_target_but_a_kernel():
    solution = solve(u=[1.0, 0.0], w=[0.0, 1.0], target_coefficient=0.0)
    assert (solution.coefficient == 0).all() and solution.ntk == pytest.approx(np.full(T.size, 2.0), rel=1e-15)
    assert solution.final_ntk == pytest.approx(solution.ntk, rel=1e-15) and (solution.cosine == 0).all()


def test_stationary():
    solution = solve(target_coefficient=1.25)
    assert (solution.gap == 0).all() and (solution.log_gap == -np.inf).all()
    assert solution.coefficient == pytest.approx(np.full(T.size, 1.25), rel=1e-15)
    assert solution.ntk == pytest.approx(np.full(T.size, 2.5), rel=1e-15)
    problem = LinearNetwork(u=[1.0, 0.5], w=[1.0, 0.5], target_coefficient=1.25, t=0.0)
    assert problem.time_to([0.0, 0.3]).tolist() == [0, 0]
    assert problem.time_to(coefficient=[1.25, 1.0]).tolist() == [0, np.inf]


@pytest.mark.parametrize("layer", ["u", "w"])
def test_frozen_layer_at_zero(layer):
    """The layer that does not learn is zero: neither does the other."""
    given = {"u": [1.0, 0.5], "w": [2.0, 3.0], layer: [0.0, 0.0], f"eta_{layer}": 0.0}
    solution = solve(**given)
    assert (solution.ntk == 0).all() and (solution.coefficient == 0).all() and np.isnan(solution.cosine).all()
    assert solution.norm_u == pytest.approx(np.full(T.size, np.linalg.norm(given["u"])), rel=1e-15)
    assert solution.norm_w == pytest.approx(np.full(T.size, np.linalg.norm(given["w"])), rel=1e-15)


@pytest.mark.parametrize("layer", ["u", "w"])
def test_one_layer_at_zero(layer):
    """It grows from the other."""
    solution = solve(**{"u": [1.0, 0.5], "w": [2.0, 3.0], layer: [0.0, 0.0]})
    other = np.linalg.norm([2.0, 3.0] if layer == "u" else [1.0, 0.5])
    assert np.isnan(solution.cosine[0])
    assert solution.cosine[1:] == pytest.approx(np.ones(T.size - 1), rel=1e-15)
    growing = solution.norm_u if layer == "u" else solution.norm_w
    assert growing[0] == 0 and growing[1] == pytest.approx(1e-9 * other, rel=1e-8)


def test_one_neuron():
    """p = 1: no area, the cosine is a sign and changes where F does."""
    solution = solve(u=[0.8], w=[-0.5], gamma=1.3, target_coefficient=1.0, t=np.linspace(0, 3, 50))
    assert (np.abs(solution.cosine) == 1).all() and (np.sign(solution.coefficient) == solution.cosine).all()
    assert solution.cosine[0] == -1 and solution.cosine[-1] == 1
    assert np.min(solution.ntk) >= 1.3**2 * (0.64 - 0.25) * (1 - 1e-15)


def test_almost_degenerate_networks_wait_at_the_saddle():
    """A distance eps from Q = 0 costs a time ln(1/eps^2)/Lam."""
    times = []
    for eps in (1e-5, 1e-10, 1e-100, 1e-140):
        problem = LinearNetwork(u=[1.0, eps], w=[1.0, 0.0], target_coefficient=-1.0, t=0.0)
        times.append(float(problem.time_to(coefficient=-0.5)))
    assert np.diff(times) == pytest.approx(np.log(10) * np.diff([5, 10, 100, 140]), rel=1e-9)
    with pytest.warns(AccuracyWarning, match="did not converge"):
        lost = LinearNetwork(u=[1.0, 1e-160], w=[1.0, 0.0], target_coefficient=-1.0, t=1.0).solve()
    assert not lost.converged and np.isnan(lost.coefficient)
    # where the lost invariant does not decide anything the cell stands
    assert LinearNetwork(u=[1.0, 1e-160], w=[1.0, 0.0], target_coefficient=1.0, t=1.0).solve().converged


def test_out_of_range():
    """Each in its own cell; the others stand."""
    with pytest.warns(AccuracyWarning, match="3 of 5 cells did not converge"):
        solution = LinearNetwork(u=[1e100], w=[1e80], gamma=[1.0, 1e60, 1e-200, 1e200, 1.0], t=1.0,
                                 target_coefficient=[1.0, 1.0, 1.0, 1.0, 1e305]).solve(["ntk", "coefficient"])
    assert solution.converged.tolist() == [True, False, True, False, False]
    assert np.isnan(solution.ntk[1]) and np.isfinite(solution.coefficient[[0, 2]]).all()


def test_both_rates_zero_in_a_cell_of_a_grid():
    """Nothing is trained there; as numbers of a single problem they are refused."""
    rates = asy.grid(eta_u=[0.0, 1.0], eta_w=[0.0, 1.0])
    solution = solve(t=3.0, w=[1.0, -0.5], **rates)
    assert solution.converged.all()
    assert solution.coefficient[0, 0] == 0.75 and solution.gap[0, 0] == 0.25 and solution.ntk[0, 0] == 0
    assert solution.norm_u[0, 0] == pytest.approx(1.25**0.5) and solution.cosine[0, 0] == pytest.approx(0.6)
    assert (solution.gap[1] < 0.25).all() and (solution.gap[:, 1] < 0.25).all()
