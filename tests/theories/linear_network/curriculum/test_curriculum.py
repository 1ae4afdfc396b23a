"""`LinearNetworkCurriculum`: the weights in many digits from switch to switch, DOP853, restarts, input."""

import mpmath
import numpy as np
import pytest

import asymptotics as asy
from asymptotics import LinearNetwork, LinearNetworkCurriculum, ParameterError
from tests.reference import linear_network as reference
from tests.reference.linear_network_extensions import curriculum as exact
from tests.theories.linear_network.problems import CASES, KINDS, arguments, random_problem

NAMES = {"coefficient": "F", "gap": "r", "ntk": "ntk", "cosine": "cosine", "norm_u": "norm_u", "norm_w": "norm_w"}
WEIGHTS = {name: CASES["A"][name] for name in ("u", "w")}


def sequence(**changes):
    return LinearNetworkCurriculum(**{**WEIGHTS, "targets": [1.0, -2.0, 0.5], "switch_times": [1.0, 4.0], "t": 2.0,
                                      **changes})


def draw(rng, kind):
    """A random network, two to four targets of both signs, durations around the inverse rate."""
    given = random_problem(rng, kind)
    first = given.pop("target_coefficient")
    start = LinearNetwork(**given, target_coefficient=first, t=0.0).solve()
    rate = float(start.decay_rate) or float(start.initial_ntk) * given["m2"] * given["loss_factor"]
    number = int(rng.integers(2, 5))
    signs = rng.choice([-1.0, 1.0, 1.0, 0.0], number - 1)
    targets = [first, *(signs * np.exp(rng.uniform(-1, 1, number - 1)) * (abs(first) or 1.0)).tolist()]
    times = np.cumsum(10 ** rng.uniform(-1.5, 1.0, number) / rate)
    return given, [float(A) for A in targets], times[:-1], times


@pytest.mark.parametrize("kind", KINDS)
def test_random_sequences(kind):
    """Against the weights in many digits, in units of the scale where F or the angle passes through zero."""
    for seed in range(6):
        rng = np.random.default_rng((seed, KINDS.index(kind)))
        given, targets, switches, times = draw(rng, kind)
        solution = LinearNetworkCurriculum(**given, targets=targets, switch_times=switches, t=times).solve()
        assert solution.converged.all() and np.max(solution.residual) < 1e-14
        names = arguments(given | {"target_coefficient": 0.0})
        names.pop("A")
        largest = max(map(abs, targets))
        for i, t in enumerate(times):
            expected = exact(targets=targets, starts=[0.0, *switches.tolist()], t=float(t), **names)
            scale = largest + abs(float(expected["F0"]))
            for name, key in NAMES.items():
                value = float(expected[key])
                own = {"coefficient": scale, "gap": scale}.get(name, abs(value))
                if name == "cosine" and not np.isnan(value):
                    own = max(1e-3, abs(value))
                found = float(solution.values[name][i])
                assert found == pytest.approx(value, rel=0, abs=2e-12 * own, nan_ok=True), (kind, seed, name, i)


def test_integrated_weights():
    """DOP853 on the 2p weights, from switch to switch."""
    rng = np.random.default_rng(4)
    for kind in ("generic", "no target", "w is frozen", "aligned"):
        given, targets, switches, times = draw(rng, kind)
        names = arguments(given | {"target_coefficient": 0.0})
        names.pop("A")
        u, w, start = names.pop("u"), names.pop("w"), 0.0
        for A, t in zip(targets, times, strict=True):
            paths = reference.integrate(u, w, A, [t - start], **names)
            u, w, start = paths[0][0], paths[1][0], t
            found = LinearNetworkCurriculum(**given, targets=targets, switch_times=switches, t=t * (1 - 1e-15)).solve()
            scale = max(map(abs, targets)) + abs(given["gamma"] * (given["u"] @ given["w"]))
            assert found.coefficient == pytest.approx(given["gamma"] * (u @ w), abs=1e-9 * scale)
            assert found.norm_u == pytest.approx(np.linalg.norm(u), rel=1e-9)
            assert found.norm_w == pytest.approx(np.linalg.norm(w), rel=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_one_target_is_the_plain_problem(name):
    """To the last bit; and so, but for rounding, is a sequence of the same target."""
    given = dict(CASES[name])
    A, t = given.pop("target_coefficient"), np.array([0.0, 0.4, 3.0, 40.0])
    plain = LinearNetwork(**given, target_coefficient=A, t=t).solve()
    one = LinearNetworkCurriculum(**given, targets=[A], t=t).solve()
    same = LinearNetworkCurriculum(**given, targets=[A] * 4, switch_times=[0.1, 1.0, 20.0], t=t).solve()
    for observable in one.values.keys() - {"target"}:
        assert np.array_equal(one.values[observable], plain.values[observable]), observable
        # the gap keeps its relative accuracy through switches that change nothing
        assert same.values[observable] == pytest.approx(plain.values[observable], rel=1e-12, abs=0), observable


def test_continuous_at_a_switch():
    """The state is; gap and loss are those of the new target."""
    eps = 1e-13
    solution = sequence(t=[1 - eps, 1.0, 1 + eps]).solve()
    for name in ("coefficient", "ntk", "cosine", "norm_u", "norm_w"):
        assert solution.values[name] == pytest.approx(np.full(3, solution.values[name][1]), rel=1e-11)
    assert solution.target.tolist() == [1.0, -2.0, -2.0]
    assert solution.gap == pytest.approx(solution.target - solution.coefficient, rel=1e-14)
    assert solution.loss == pytest.approx(0.5 * solution.gap**2, rel=1e-14)


def test_reversal_through_the_saddle():
    """Aligned weights that shrink towards a target behind them come back, after any time; then in the other order."""
    w = np.array([1.0, 2.0])
    for wait in (1.0, 50.0, 100.0, 300.0):
        problem = LinearNetworkCurriculum(u=w, w=w, targets=[-1.0, 2.0], switch_times=[wait],
                                          t=wait * np.array([0.5, 1.0, 1.25, 1.5, 2.0]))
        solution = problem.solve()
        assert solution.converged.all()
        # F = 5/(6 e^{2t} - 5) before the switch
        left = mpmath.mpf(5) / (6 * mpmath.exp(2 * mpmath.mpf(wait)) - 5)
        assert float(solution.coefficient[1] / left - 1) == pytest.approx(0, abs=2e-13)
        for t, F in zip(problem.t[2:], solution.coefficient[2:], strict=True):
            decayed = mpmath.exp(-4 * mpmath.mpf(float(t) - wait))
            assert float(F / (2 * left / (left + (2 - left) * decayed)) - 1) == pytest.approx(0, abs=1e-12)
        assert solution.cosine == pytest.approx(np.ones(5))
    lost = LinearNetworkCurriculum(u=w, w=w, targets=[-1.0, 2.0], switch_times=[1e4], t=2e4)
    with pytest.warns(asy.AccuracyWarning, match="did not converge"):
        assert not lost.solve().converged
    # almost aligned: the network crosses, is sent back, and crosses again
    given = dict(u=[1.0, 2.0], w=[1.0, 2.0 + 1e-9], targets=[-1.0, 1.0, -1.0], switch_times=[30.0, 60.0])
    t = np.linspace(0.1, 90, 31)
    solution = LinearNetworkCurriculum(**given, t=t).solve()
    for i in range(0, 31, 3):
        expected = exact(given["u"], given["w"], given["targets"], [0.0, 30.0, 60.0], float(t[i]))
        assert solution.coefficient[i] == pytest.approx(float(expected["F"]), abs=1e-11)
        assert solution.ntk[i] == pytest.approx(float(expected["ntk"]), rel=1e-11)


def test_cells_and_times_in_any_layout():
    rng = np.random.default_rng(1)
    gamma, t = np.array([0.3, -1.0, 2.0]), np.concatenate([rng.uniform(0, 8, 20), [1.0, 4.0, 0.0]])
    whole = sequence(gamma=gamma[:, None], t=t).solve()
    turned = sequence(gamma=gamma, t=t[:, None]).solve()
    paired = sequence(gamma=gamma, t=t[:3]).solve()
    for name, values in whole.values.items():
        np.testing.assert_allclose(turned.values[name].T, values, rtol=1e-14, err_msg=name)
        np.testing.assert_allclose(paired.values[name], values[range(3), range(3)], rtol=1e-14, err_msg=name)
        for i, j in ((0, 0), (2, 11), (1, 20), (1, 22)):
            alone = sequence(gamma=gamma[i], t=t[j]).solve()
            assert alone.values[name] == pytest.approx(values[i, j], rel=1e-14, nan_ok=True)
    data = sequence(**asy.grid(t=[0.5, 2.0, 8.0], eta_u=[0.5, 1.0])).solve().to_dataset()
    assert data.coefficient.dims == ("t", "eta_u")
    assert data.target.values[:, 0].tolist() == [1.0, -2.0, 0.5]
    overlaps = LinearNetworkCurriculum.from_overlaps(uu=0.3, ww=0.61, uw=0.01, targets=[1.0, -2.0, 0.5],
                                                     switch_times=[1.0, 4.0], t=t)
    assert overlaps.solve().coefficient == pytest.approx(sequence(t=t).solve().coefficient, rel=1e-12)


def test_saddle_stays():
    solution = LinearNetworkCurriculum(u=[0.0], w=[0.0], targets=[1.0, -1.0], switch_times=[1.0], t=[0.5, 2.0]).solve()
    assert (solution.coefficient == 0).all() and (solution.norm_w == 0).all() and solution.converged.all()
    assert solution.gap == pytest.approx([1.0, -1.0], rel=1e-15)


@pytest.mark.parametrize(("changes", "name", "words"), [
    ({"targets": []}, "targets", "list of numbers"),
    ({"targets": 1.0}, "targets", "list of numbers"),
    ({"targets": [1.0, np.nan, 2.0]}, "targets", "finite"),
    ({"targets": [1.0]}, "switch_times", "one entry less than targets"),
    ({"switch_times": None}, "switch_times", r"one entry less than targets \(2\), got 0"),
    ({"switch_times": [4.0, 1.0]}, "switch_times", "must be increasing"),
    ({"switch_times": [1.0, 1.0]}, "switch_times", "must be increasing"),
    ({"switch_times": [-1.0, 1.0]}, "switch_times", "must be >= 0"),
    ({"t": -1.0}, "t", "must be >= 0"),
    ({"m2": 0.0}, "m2", "must be > 0"),
    ({"gamma": 0.0}, "gamma", "must not be 0"),
    ({"target_coefficient": 1.0}, "target_coefficient", "not a known parameter"),
])
def test_bad_input(changes, name, words):
    with pytest.raises(ParameterError, match=words) as caught:
        sequence(**changes)
    assert caught.value.name == name


def test_a_switch_at_once():
    """The first target is never seen."""
    late = LinearNetwork(**WEIGHTS, target_coefficient=-2.0, t=[0.0, 1.0]).solve()
    solution = LinearNetworkCurriculum(**WEIGHTS, targets=[1.0, -2.0], switch_times=[0.0], t=[0.0, 1.0]).solve()
    assert solution.coefficient == pytest.approx(late.coefficient, rel=1e-14)
    assert solution.gap == pytest.approx(late.gap, rel=1e-14)
