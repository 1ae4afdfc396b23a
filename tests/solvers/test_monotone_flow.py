"""Monotone flows against closed forms: plateaus, both directions, late times, ends that are never reached."""

import mpmath
import numpy as np
import pytest

from asymptotics.solvers.monotone_flow import Course, follow


def flow_of(velocity, course, start, until_time, until=np.inf):
    """Follow dx/dt = velocity(x, end - x, flows)."""

    def pace(y, flows):
        done, left = course.part((flows, None)).at(y)
        v = velocity(start[flows][:, None] + done, left, flows)
        ends = course.ends[flows][:, None]
        return np.where(ends, left, course.unit[flows][:, None]) / v

    return follow(pace, until_time, until)


def logistic(x0, t):
    with mpmath.workdps(60):
        x0, t = mpmath.mpf(float(x0)), mpmath.mpf(float(t))
        left = (1 - x0) / (1 - x0 + x0 * mpmath.exp(t))
        return x0 * mpmath.expm1(t) * left, left


def test_logistic_curves_keep_relative_digits_at_both_ends():
    x0 = np.array([1e-6, 1e-3, 0.5, 0.9, 1 - 2.0**-30])
    course = Course(1 - x0, np.ones(5))
    t = np.concatenate([[0.0, 1e-200, 1e-15], np.geomspace(1e-5, 600, 25)])
    with np.errstate(all="raise", under="ignore"):
        flow = flow_of(lambda x, left, _: x * left, course, x0, np.full(5, 600.0))
        flows = np.arange(5)[:, None]
        y = flow.progress(t, flows)
        done, left = course.part((slice(None), None)).at(y)
        assert flow.converged.all() and np.max(flow.residual) < 1e-12
        assert flow.time(y, flows) == pytest.approx(np.broadcast_to(t, y.shape), rel=1e-13, abs=0)
    for i, j in np.ndindex(y.shape):
        expected_done, expected_left = logistic(x0[i], t[j])
        assert done[i, j] == pytest.approx(float(expected_done), rel=1e-13, abs=0)
        assert left[i, j] == pytest.approx(float(expected_left), rel=1e-15 * (10 + t[j]), abs=0)


def test_downwards_and_for_ever():
    """dx/dt = -e^x from x = 0: x = -ln(1 + t); dx/dt = e^-x: x = ln(1 + t)."""
    for sign in (-1.0, 1.0):
        course = Course(np.array([sign * np.inf]), np.array([sign]))
        flow = flow_of(lambda x, left, _, sign=sign: sign * np.exp(-sign * x), course, np.zeros(1), [1e250])
        t = np.array([0.0, 1e-12, 1e-3, 1.0, 1e6, 1e100, 1e250])
        done, left = course.at(flow.progress(t, 0))
        assert sign * done == pytest.approx(np.log1p(t), rel=1e-13, abs=0) and (left == sign * np.inf).all()


def test_algebraic_approach():
    """dx/dt = -x^3 from 1: x = 1/sqrt(1 + 2t)."""
    course = Course(np.array([-1.0]), np.array([-1.0]))
    flow = flow_of(lambda x, left, _: left**3, course, np.ones(1), [1e100])
    t = np.array([1e-9, 1.0, 1e6, 1e50, 1e100])
    _, left = course.at(flow.progress(t, 0))
    assert -left == pytest.approx(1 / np.sqrt(1 + 2 * t), rel=1e-12)


def test_plateau():
    """v = x^2 + h^2 is tiny over a long time: t = (atan(x/h) - atan(x0/h))/h."""
    h, x0 = 10.0 ** -np.arange(1, 7), np.full(6, -1.0)
    course = Course(np.full(6, np.inf), np.ones(6))
    flow = flow_of(lambda x, left, flows: x * x + h[flows][:, None] ** 2, course, x0, np.full(6, np.inf), 2.0)
    x = np.array([-0.5, 0.0, 0.5, 1.0])
    found = flow.time(x + 1, np.arange(6)[:, None])
    expected = (np.arctan(x / h[:, None]) - np.arctan(-1 / h[:, None])) / h[:, None]
    assert found[:, 1:] == pytest.approx(expected[:, 1:], rel=1e-9)
    assert found[:3] == pytest.approx(expected[:3], rel=1e-11)


def test_course():
    course = Course(np.array([2.0, -1e-300, 0.0, np.inf]), np.array([1.0, 1.0, 1.0, 0.5]))
    y = np.array([[0.0], [1e-20], [0.3], [50.0]])
    done, left = course.at(y)
    assert done[1, 0] == 2e-20 and left[3, 0] == 2 * np.exp(-50.0) and done[2, 3] == 0.15
    back = course.progress(done, left)
    assert back[:, [0, 3]] == pytest.approx(np.broadcast_to(y, (4, 2)), rel=1e-15)
    assert course.progress(np.full(4, 2.0), np.array([0.0, 0.0, 0.0, np.inf]))[0] == np.inf


def test_what_cannot_be_followed():
    """A pace that is not a positive number from y = 1 on; t = 0; nothing to follow."""
    flow = follow(lambda y, flows: np.where(y < 1, 1.0, np.nan), np.array([0.5, 3.0, 0.0]))
    assert flow.converged.tolist() == [True, False, True]
    assert flow.progress([0.25, 2.0, 0.0], [0, 1, 2])[0] == 0.25
    assert np.isnan(flow.progress(2.0, 1)) and flow.progress(0.0, 2) == 0
    nothing = follow(lambda y, flows: np.ones(y.shape), np.zeros(2))
    assert nothing.converged.all() and (nothing.progress([0.0, 0.0], [0, 1]) == 0).all()
    assert np.isnan(nothing.time(1.0, 0)) and follow(lambda y, flows: y, np.zeros(0)).converged.size == 0


def test_noise_of_the_pace_is_told():
    """It is accepted, and it is the residual."""
    noise = 1e-11

    def pace(y, flows):
        return 1 + noise * np.sin(1e9 * y)

    flow = follow(pace, [5.0])
    assert flow.converged.all() and 1e-13 < flow.residual[0] < 1e-10
    assert flow.progress(3.0, 0) == pytest.approx(3.0, rel=1e-10)


@pytest.mark.parametrize("count", [1, 300])
def test_many_flows_of_different_lengths(count):
    """Linear flows dx/dt = rate (1 - x): panels are kept apart."""
    rate = np.geomspace(1e-3, 1e3, count)
    flow = follow(lambda y, flows: np.broadcast_to(1 / rate[flows][:, None], y.shape), np.full(count, 7.0))
    t = np.linspace(0, 7, 11)
    assert flow.progress(t, np.arange(count)[:, None]) == pytest.approx(rate[:, None] * t, rel=1e-14)
