"""Where descent goes: thresholds of the catapult, labels, and the first-order prediction of the end."""

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import AccuracyWarning, LinearNetworkDescent, ParameterError
from asymptotics.datasets import spell
from asymptotics.plots import category_map
from tests.reference.linear_network import descent

from ..problems import CASES
from .problems import case, wide


def test_catapult_thresholds():
    """Width 1000, A = 0: h c m2 Theta_0 below 2, between 2 and 4, above 4."""
    base, rate = wide(1000)
    network = base.replace(step_size=np.array([1.5, 2.5, 3.5, 3.9, 4.1]) / rate)
    found = network.outcome()
    assert spell(found.outcome).values.tolist() == ["converges", "catapult", "catapult", "catapult", "diverges"]
    assert found.peak_loss_ratio.values[0] == 1 and np.all(found.peak_loss_ratio.values[1:4] > 10)
    assert np.all(found.final_stability.values[:4] < 2) and np.isinf(found.final_stability.values[4])
    assert found.final_ntk.values[1] < 0.7 * rate
    assert found.final_ntk.values[:4] * network.step_size[:4] == pytest.approx(found.final_stability.values[:4])


@pytest.mark.parametrize("target", [0.0, 3.0])
def test_outcome_is_that_of_the_weights(target):
    """Every label, count, peak and end, from the actual weights of ten units."""
    base, rate = wide(10, seed=3, target_coefficient=target)
    steps = np.linspace(0.2, 4.6, 23) / rate
    found = base.replace(step_size=steps).outcome(max_steps=400, tolerance=1e-5)
    words = spell(found.outcome).values
    assert len(set(words)) >= 3
    for place, h in enumerate(steps):
        u, w = np.array(base.u), np.array(base.w)
        gaps = []
        for _ in range(401):
            gaps.append(abs(target - base.gamma * (u @ w)))
            with np.errstate(over="ignore", invalid="ignore"):
                u, w = descent(u, w, target, 1, h, gamma=base.gamma)
            if gaps[-1] > 1e100:
                break
        diverges, low = gaps[-1] > 1e100, gaps[-1] <= 1e-5 * gaps[0]
        if diverges:
            assert words[place] == "diverges" and np.isinf(found.peak_loss_ratio.values[place])
            continue
        ntk = base.gamma**2 * (u @ u + w @ w)
        expected = "undecided" if not low else "catapult" if max(gaps) > gaps[0] else "converges"
        assert words[place] == expected, h * rate
        if low:
            above = np.flatnonzero(np.array(gaps) > 1e-5 * gaps[0])
            assert found.steps_to_tolerance.values[place] == above[-1] + 1
            assert found.final_ntk.values[place] == pytest.approx(ntk, rel=1e-9)
            assert found.peak_loss_ratio.values[place] == pytest.approx((max(gaps) / gaps[0]) ** 2, rel=1e-9)
        else:
            assert np.isinf(found.steps_to_tolerance.values[place])


def test_degenerate_outcomes():
    one = dict(u=[1.0, 0.5], w=[1.0, 0.5], step_size=0.1, steps=0)

    def label(**changes):
        found = LinearNetworkDescent(**{**one, "target_coefficient": 1.0, **changes}).outcome()
        return str(spell(found.outcome).values)

    assert label(u=[0.0, 0.0], w=[0.0, 0.0]) == "saddle"  # nothing moves
    assert label(target_coefficient=-1.0) == "saddle"  # u = w, out of reach
    assert label(target_coefficient=1.25) == "converges"  # at the target from the start
    assert label(step_size=0.0) == label(step_size=1e-300) == "undecided"
    assert label(step_size=1.1) == "undecided"  # h kap |A| > 2: no minimum is stable, a cycle
    assert label(eta_w=0.0, target_coefficient=5.0) == "converges"
    assert label(eta_w=0.0, target_coefficient=5.0, step_size=2.0) == "diverges"
    frozen = LinearNetworkDescent(**{**one, "eta_w": 0.0, "step_size": 1e-5}, target_coefficient=3.0)
    steps = float(frozen.outcome(tolerance=1e-3).steps_to_tolerance)
    assert steps == np.ceil(np.log(1e-3) / np.log(1 - 1e-5 * 1.25)) > 1e5  # beyond max_steps: a geometric series
    gap = frozen.replace(steps=[int(steps) - 1, int(steps)]).solve().gap / 1.75
    assert gap[0] > 1e-3 >= gap[1]


def test_labelled_outcome(tmp_path):
    problem = case("A", steps=[0, 5], irreducible_loss=0.1).replace(
        **asy.grid(step_size=[0.1, 0.5, 3.0], target_coefficient=[0.5, 1.0]), steps=3)
    found = problem.outcome()
    assert found.outcome.dims == ("step_size", "target_coefficient") and found.attrs["theory"] == problem.slug
    assert found.outcome.attrs["flag_meanings"].split()[:3] == ["converges", "catapult", "diverges"]
    found.to_netcdf(tmp_path / "outcome.nc", engine="scipy")
    cells = [problem.sample(np.array([i])).outcome() for i in range(6)]
    for name in found:
        assert np.ravel(found[name].values).tolist() == pytest.approx(
            [float(cell[name].values[0]) for cell in cells], rel=1e-13, nan_ok=True), name
    assert category_map(found, "outcome").get_xlabel()


def test_bad_questions():
    problem = case("A")
    for arguments, name in (
        (dict(max_steps=-1), "max_steps"), (dict(max_steps=2.5), "max_steps"), (dict(tolerance=0), "tolerance"),
        (dict(tolerance=1), "tolerance"), (dict(tolerance="small"), "tolerance"),
    ):
        with pytest.raises(ParameterError) as caught:
            problem.outcome(**arguments)
        assert caught.value.name == name
    with pytest.raises(ParameterError, match="batch_m2"):
        case("A", batch_m2=[1.0] * 10, batch_mxy=[1.0] * 10).outcome()
    impossible = LinearNetworkDescent.from_overlaps(uu=1.0, ww=1.0, uw=[0.5, 2.0], target_coefficient=1.0,
                                                    step_size=0.1, steps=3)
    with pytest.warns(AccuracyWarning, match="1 of 2 cells") as caught:
        found = impossible.outcome()
        impossible.largest_stable_step()
        impossible.label_noise_drift(1)
    assert [warning.filename for warning in caught] == [__file__] * 3
    assert found.outcome.values.tolist() == [0, -1] and np.isnan(found.final_ntk.values[1])


# ---- the end


@pytest.mark.parametrize("name", CASES)
def test_predicted_final_ntk(name):
    """To first order in h: the error of Theta is O(h^2)."""
    small = 1e-6 if name == "D" else 0.02
    h = np.array([1.0, 0.5, 0.25]) * (0.04 if name == "D" else small)
    end = case(name, step_size=h, steps=10**7).solve()
    shift = end.ntk - end.predicted_final_ntk
    if name == "D":  # the flattest minimum already
        assert end.predicted_final_ntk == pytest.approx(4, rel=1e-12) and np.max(np.abs(shift)) < 1e-6
        return
    assert shift[:-1] / shift[1:] == pytest.approx([4, 4], rel=0.05)
    flow = asy.LinearNetwork(**CASES[name], t=0.0).solve()
    assert np.all(end.ntk < flow.final_ntk) and np.all(np.abs(shift) < 0.05 * (flow.final_ntk - end.ntk))


def test_first_order_slope():
    """d ln(Gam^2)/dh of case A: -(1/2)[2 (asinh a - asinh b) - (Theta_inf - Theta_0)] = -0.86338760."""
    Gam0 = np.sqrt(0.91**2 - 0.02**2)
    expected = -0.5 * (2 * (np.arcsinh(2 / Gam0) - np.arcsinh(0.02 / Gam0)) - (np.hypot(2, Gam0) - 0.91))
    h = np.array([0.025, 0.0125])
    end = case("A", step_size=h, steps=10**6).solve()
    slopes = np.log((end.ntk**2 - 4) / Gam0**2) / h
    assert expected == pytest.approx(-0.8633876048, rel=1e-9)
    assert 2 * slopes[1] - slopes[0] == pytest.approx(expected, rel=3e-4)


def test_predicted_final_ntk_where_it_cancels():
    """From close to the target, of small and large Gam, and of both signs, against many digits."""
    import mpmath

    for A, gap in ((1.0, 1e-6), (1.0, 0.3), (-2.0, 1e-9), (0.7, -5.0), (1.0, 1.5)):
        for imbalance in (1e-3, 1.0, 1e4):
            F0 = A - gap
            problem = LinearNetworkDescent.from_overlaps(
                uu=imbalance + abs(F0), ww=(F0**2 + 1e-4) / (imbalance + abs(F0)), uw=F0, target_coefficient=A,
                step_size=0.3, steps=0)
            found = problem.solve()
            with mpmath.workdps(60):
                uu, ww, uw, h = (mpmath.mpf(float(x)) for x in (problem.uu, problem.ww, problem.uw, 0.3))
                Gam = mpmath.sqrt((uu + ww) ** 2 - 4 * uw**2)
                target, start = 2 * mpmath.mpf(A), 2 * uw
                path = target * (mpmath.asinh(target / Gam) - mpmath.asinh(start / Gam)) - (
                    mpmath.hypot(target, Gam) - (uu + ww))
                expected = mpmath.hypot(target, Gam * mpmath.exp(-h * path / 4))
            assert found.predicted_final_ntk == pytest.approx(float(expected), rel=1e-13), (A, gap, imbalance)


def test_largest_stable_step():
    for name in "ABCE":
        network = case(name)
        flow = asy.LinearNetwork(**CASES[name], t=0.0)
        assert network.largest_stable_step() == pytest.approx(flow.largest_stable_step(), rel=1e-14)
    labelled = case("A", **asy.grid(step_size=[0.1, 0.2], gamma=[1.0, 2.0])).largest_stable_step()
    assert labelled.dims == ("gamma",) and labelled.shape == (2,)
