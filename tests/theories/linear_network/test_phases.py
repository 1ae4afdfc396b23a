"""Self-averaged networks of finite width: the published cells, many digits, actual weights, limits, bad input."""

from __future__ import annotations

import math
import warnings
from typing import Any

import mpmath
import numpy as np
import pytest

import asymptotics as asy
from asymptotics import AccuracyWarning, LinearNetworkPhases, LinearNetworkScaling, ParameterError
from asymptotics.theories.linear_network.mechanisms import order_parameters

NUMBERS = ("initial_ntk", "final_ntk", "decay_rate", "ntk_ratio", "initial_cosine", "final_cosine", "rescaling",
           "feature_learning_strength")
UNIT = {"p": 100, "var_u": 0.3, "var_w": 0.8, "gamma": 0.2, "eta_u": 2.0, "eta_w": 0.7, "target_coefficient": 1.5}

# p, c_gamma, c_u, c_w, e_u, e_w, Theta_0, Theta_inf/Theta_0, cos_inf
CELLS = [
    (100, 0.5, 0, 0, 0, 0, 2, 1.004987562, 0.09950371902),
    (100, 0, 1, 1, 0, 0, 2, 1.414213562, 0.7071067812),
    (100, 0, 1, 0, 1, 1, 1.01, 1.00019604, 0.09950371902),
    (100, 0, 2, 2, 0, 0, 0.02, 100.0049999, 0.9999500037),
    (1000, 1, 0, 0, -1, -1, 2, 1.414213562, 0.7071067812),
    (1000, 0, 2, 0, 1, 1, 1.000001, 1.000002, 0.7071067812),
]


def reference(p: Any, var_u: Any, var_w: Any, correlation: Any = 0, gamma: Any = 1, eta_u: Any = 1, eta_w: Any = 1,
              m2: Any = 1, target_coefficient: Any = 1, loss_factor: Any = 1) -> dict[str, Any]:
    """From P, Q and the area, with 60 digits."""
    with mpmath.workdps(60):
        p, var_u, var_w, rho, gamma, eta_u, eta_w, m2, A, c = (mpmath.mpf(float(value)) for value in (
            p, var_u, var_w, correlation, gamma, eta_u, eta_w, m2, target_coefficient, loss_factor))
        a, b = eta_w * var_u, eta_u * var_w
        cross = 2 * rho * mpmath.sqrt(a * b)
        P, Q = (gamma**2 * p * (a + b + sign * cross) for sign in (1, -1))
        kappa, start = 2 * abs(gamma) * mpmath.sqrt(eta_u * eta_w), (P + Q) / 2
        end = mpmath.sqrt((kappa * A) ** 2 + P * Q)
        uu, ww, uw = p * var_u, p * var_w, p * rho * mpmath.sqrt(var_u * var_w)
        area = abs(gamma) * mpmath.sqrt(uu * ww - uw**2)
        norms = abs(gamma) * mpmath.sqrt(uu * ww)
        found = {
            "initial_ntk": start, "final_ntk": end, "decay_rate": c * m2 * end, "ntk_ratio": end / start,
            "initial_cosine": uw / mpmath.sqrt(uu * ww),
            "final_cosine": mpmath.sign(gamma) * A / mpmath.sqrt(A**2 + area**2),
            "rescaling": mpmath.sqrt(A**2 + area**2) / norms,
            "feature_learning_strength": kappa * abs(A) / mpmath.sqrt(P * Q),
        }
        return {name: float(value) for name, value in found.items()}


# ---- numbers


@pytest.mark.parametrize("cell", CELLS)
def test_published_cells(cell: tuple) -> None:
    p, *exponents, first, ratio, cosine = cell
    named = dict(zip(("c_gamma", "c_u", "c_w", "e_u", "e_w"), exponents, strict=True))
    scaling = LinearNetworkScaling(p=p, **named)
    for answer in (scaling.solve(), scaling.at_width().solve(), scaling.replace(p=None).at_width(p).solve()):
        assert answer.initial_ntk == pytest.approx(first, rel=1e-13)
        assert answer.ntk_ratio == pytest.approx(ratio, rel=1e-9)
        assert answer.final_cosine == pytest.approx(cosine, rel=1e-9)
        assert answer.final_ntk == pytest.approx(first * ratio, rel=1e-9)


@pytest.mark.parametrize("decades", [1, 3, 30])
def test_random_cells_against_many_digits(decades: float) -> None:
    rng = np.random.default_rng(11)

    def scales(count: int = 200) -> np.ndarray:
        return 10.0 ** rng.uniform(-decades, decades, count)

    cells = {
        "p": rng.integers(2, 10**6, 200), "var_u": scales(), "var_w": scales(),
        "correlation": np.where(rng.random(200) < 0.3, 0.0, np.tanh(rng.normal(0, 2, 200))),
        "gamma": scales() * rng.choice([-1, 1], 200), "eta_u": scales(), "eta_w": scales(), "m2": scales(),
        "loss_factor": scales(), "target_coefficient": scales() * rng.choice([-1, 1], 200),
    }
    answer = LinearNetworkPhases(**cells).solve()
    for index in range(200):
        expected = reference(**{name: values[index] for name, values in cells.items()})
        for name in NUMBERS:
            assert getattr(answer, name)[index] == pytest.approx(expected[name], rel=2e-13, abs=0), name
    np.testing.assert_array_equal(answer.alignment_change,
                                  np.abs(answer.final_cosine) - np.abs(answer.initial_cosine))


def test_extreme_scales_and_moderate_ones_side_by_side() -> None:
    """A cell whose squares overflow changes the path of its whole tile, not its neighbours."""
    gamma = np.array([1e-200, 1e-3, 0.2, 1e100])
    together = LinearNetworkPhases(**{**UNIT, "gamma": gamma}).solve()
    for index, value in enumerate(gamma):
        alone = LinearNetworkPhases(**{**UNIT, "gamma": value}).solve()
        expected = reference(**{**UNIT, "gamma": value})
        for name in NUMBERS:
            assert getattr(together, name)[index] == pytest.approx(getattr(alone, name), rel=1e-14)
            assert getattr(alone, name) == pytest.approx(expected[name], rel=2e-13)


def test_numbers_out_of_range_fail_their_cell() -> None:
    with pytest.warns(AccuracyWarning, match="1 of 2 cells"):
        answer = LinearNetworkPhases(**{**UNIT, "gamma": [1e170, 0.2], "m2": 1e3}).solve()
    assert answer.converged.tolist() == [False, True]
    assert np.isnan(answer.final_ntk[0])
    assert answer.mechanism[0] == ""
    with pytest.warns(AccuracyWarning, match="1 of 2 cells"):
        answer = LinearNetworkScaling(c_gamma=[1, 200], c_u=0, c_w=0, e_u=0, e_w=0, p=10**6).solve()
    assert answer.converged.tolist() == [True, False]


def test_a_layer_at_zero_is_the_limit() -> None:
    zero, tiny = (LinearNetworkPhases(**{**UNIT, "var_u": [value, 0.3]}).solve() for value in (0.0, 1e-280))
    for name in NUMBERS:
        if name != "rescaling":
            np.testing.assert_allclose(getattr(zero, name), getattr(tiny, name), rtol=1e-12)
    assert zero.rescaling[0] == np.inf
    assert zero.final_cosine[0] == 1
    assert zero.converged.all()


def test_a_layer_that_is_not_trained_has_a_fixed_kernel() -> None:
    answer = LinearNetworkPhases(**{**UNIT, "eta_w": 0.0}).solve()
    assert answer.ntk_ratio == 1
    assert answer.feature_learning_strength == 0
    assert answer.final_cosine == pytest.approx(reference(**{**UNIT, "eta_w": 0.0})["final_cosine"], rel=1e-13)
    assert answer.mechanism == "alignment"


def test_where_nothing_is_trained_nothing_is_defined() -> None:
    for changes in ({"var_u": [0.0, 0.3], "var_w": [0.0, 0.8]}, {"eta_u": [0.0, 2.0], "eta_w": [0.0, 0.7]}):
        answer = LinearNetworkPhases(**{**UNIT, **changes}).solve()
        assert answer.converged.all()
        assert np.isnan(answer.ntk_ratio[0])
        assert answer.mechanism.tolist() == ["", "alignment"]
    answer = LinearNetworkScaling(c_p=[0, 1], c_gamma=0, c_u=0, c_w=0, e_u=0, e_w=0, p=100).solve()
    assert answer.converged.all()
    assert np.isnan(answer.ntk_ratio[0])
    assert answer.mechanism[0] == ""
    assert answer.kernel_label.tolist() == ["feature_order_one", "kernel"]


def test_a_target_of_zero_is_reached_by_disalignment() -> None:
    answer = LinearNetworkPhases(**{**UNIT, "target_coefficient": 0.0, "correlation": 0.6}).solve()
    assert answer.final_cosine == 0
    assert answer.feature_learning_strength == 0
    assert answer.mechanism == "disalignment"


def test_signs_of_target_and_output_factor() -> None:
    for gamma, target in ((-0.2, 1.5), (0.2, -1.5)):
        changes = {"gamma": gamma, "target_coefficient": target, "correlation": 0.3}
        answer = LinearNetworkPhases(**{**UNIT, **changes}).solve()
        assert answer.final_cosine < 0 < answer.initial_cosine
    assert answer.alignment_change == -answer.final_cosine - 0.3


@pytest.mark.parametrize("correlated", [False, True])
def test_exponents_and_hyper_parameters_agree(correlated: bool) -> None:
    rng = np.random.default_rng(5)
    names = ("c_gamma", "c_u", "c_w", "e_u", "e_w")
    rho = 0.4 if correlated else None
    scaling = LinearNetworkScaling(
        **{name: rng.integers(-4, 5, 300) / 4 for name in names}, c_p=rng.choice([0.5, 1.0, 2.0], 300),
        p=rng.integers(2, 10**5, 300), correlated=correlated, correlation=rho, target_coefficient=-2.0, threshold=0.1)
    one, other = scaling.solve(), scaling.at_width().solve()
    for name in set(NUMBERS) - {"decay_rate"}:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)
    np.testing.assert_array_equal(one.mechanism, other.mechanism)


def test_exponents_are_the_slopes_of_the_finite_networks() -> None:
    rows = np.random.default_rng(9).integers(-4, 5, (5, 100)) / 4
    named = dict(zip(("c_gamma", "c_u", "c_w", "e_u", "e_w"), rows, strict=True))
    limit = LinearNetworkScaling(**named).solve()
    low, high = (LinearNetworkScaling(**named, p=p).solve() for p in (10**11, 10**12))
    for name, exponent in (("initial_ntk", limit.x_theta0), ("final_ntk", limit.x_inf),
                           ("feature_learning_strength", limit.x_chi),
                           ("ntk_ratio", np.maximum(limit.x_chi, 0)), ("final_cosine", -np.maximum(limit.x_area, 0)),
                           ("rescaling", np.maximum(-limit.x_area, 0))):
        slope = np.log10(getattr(high, name) / getattr(low, name))
        np.testing.assert_allclose(slope, exponent, atol=0.01)


def test_networks_with_actual_weights() -> None:
    """Invariants of Gaussian weights, and from them the order parameters, up to fluctuations."""
    rng = np.random.default_rng(2)
    p, draws = 4000, 40
    for rho, eta_u in ((0.0, 1.0), (0.7, 1.0), (0.7, 30.0)):
        var_u, var_w, gamma, eta_w, A = 0.5, 2.0, 1 / p, 1.0, 0.8
        z = rng.standard_normal((2, draws, p))
        u, w = math.sqrt(var_u) * z[0], math.sqrt(var_w) * (rho * z[0] + math.sqrt(1 - rho**2) * z[1])
        uu, ww, uw = (np.sum(x * y, axis=1) for x, y in ((u, u), (w, w), (u, w)))
        kappa = 2 * gamma * math.sqrt(eta_u * eta_w)
        area = gamma * np.sqrt(uu * ww - uw**2)
        imbalance = gamma**2 * (eta_w * uu - eta_u * ww) / kappa
        found = order_parameters(gamma * uw, A, area, imbalance)
        answer = LinearNetworkPhases(p=p, var_u=var_u, var_w=var_w, correlation=rho, gamma=gamma, eta_u=eta_u,
                                     eta_w=eta_w, target_coefficient=A).solve()
        tolerance = 4 / math.sqrt(p)
        # at rho = 0 the angle of a single network is of order 1/sqrt(p)
        assert np.mean(found.alignment_change) == pytest.approx(answer.alignment_change, abs=tolerance)
        assert np.mean(found.ln_rescaling) == pytest.approx(math.log(answer.rescaling), abs=tolerance)
        assert np.mean(found.ln_ntk_ratio) == pytest.approx(math.log(answer.ntk_ratio), abs=tolerance)


TRAINED = {  # c_gamma, c_u, c_w, e_u, e_w, correlation
    "kernel": (0.5, 0, 0, 0, 0, 0.0),
    "order one": (1, 0, 0, -1, -1, 0.0),
    "alignment at a fixed kernel": (0, 2, 0, 1, 1, 0.0),
    "disalignment": (0.5, 0, 0, 0, 0, 0.6),
    "disalignment at a fixed kernel": (0, 1, 0, -1, 0.5, 0.6),
    "saddle": (0.5, 1, 1, 0.5, 0.5, 0.3),
}


@pytest.mark.parametrize("case", TRAINED)
def test_trained_networks(case: str) -> None:
    """Small steps of gradient descent on the weights themselves, until the target is fitted."""
    *exponents, rho = TRAINED[case]
    named = dict(zip(("c_gamma", "c_u", "c_w", "e_u", "e_w"), exponents, strict=True))
    scaling = LinearNetworkScaling(**named, p=4000, correlated=rho != 0, correlation=rho or None).trainable()
    problem, answer = scaling.at_width(), scaling.solve()
    rng = np.random.default_rng(7)
    u, w = rng.standard_normal((2, 4000))
    u, w = math.sqrt(problem.var_u) * u, math.sqrt(problem.var_w) * (rho * u + math.sqrt(1 - rho**2) * w)
    gamma, eta_u, eta_w = problem.gamma, problem.eta_u, problem.eta_w
    step, first = 0.02 / answer.final_ntk, 0.0

    def state() -> tuple[float, float, float]:
        norms = np.linalg.norm(u) * np.linalg.norm(w)
        return gamma**2 * (eta_u * w @ w + eta_w * u @ u), u @ w / norms, norms

    first, start, norms = state()
    for _ in range(3000):
        gap = 1.0 - gamma * u @ w
        if abs(gap) < 1e-6:
            break
        u, w = u + step * gamma * eta_u * gap * w, w + step * gamma * eta_w * gap * u
    last, end, final_norms = state()
    assert abs(gap) < 1e-6
    assert last / first == pytest.approx(answer.ntk_ratio, rel=0.06)
    assert abs(end) - abs(start) == pytest.approx(answer.alignment_change, abs=0.06)
    assert final_norms / norms == pytest.approx(answer.rescaling, rel=0.06)
    fixed = abs(answer.ntk_ratio - 1) < 0.06
    assert fixed == (case == "kernel" or "fixed" in case)
    assert (answer.alignment_change < -0.3) == case.startswith("disalignment")
    assert (answer.alignment_change > 0.3) == (case.split()[0] in ("order", "alignment", "saddle"))


@pytest.mark.skipif(not hasattr(asy, "LinearNetwork"), reason="needs the trajectories")
def test_exact_trajectories_start_and_end_there() -> None:
    rng = np.random.default_rng(0)

    def scales() -> np.ndarray:
        return 10.0 ** rng.uniform(-3, 3, 500)

    common = {"gamma": scales() * rng.choice([-1, 1], 500), "eta_u": scales(), "eta_w": scales(), "m2": scales(),
              "loss_factor": scales(), "target_coefficient": scales() * rng.choice([-1, 1], 500)}
    problem = LinearNetworkPhases(p=rng.integers(2, 10**6, 500), var_u=scales(), var_w=scales(),
                                  correlation=rng.uniform(-0.95, 0.95, 500), **common)
    answer = problem.solve()
    late = 60 / answer.decay_rate * (1 + 20 * np.log1p(answer.ntk_ratio))
    start, end = (asy.LinearNetwork.from_overlaps(**problem.overlaps(), t=t, **common).solve() for t in (0.0, late))
    for found, expected in (
        (answer.initial_ntk, start.ntk), (answer.initial_cosine, start.cosine), (answer.final_ntk, start.final_ntk),
        (answer.decay_rate, start.decay_rate), (answer.ntk_ratio, end.ntk / start.ntk),
        (answer.final_cosine, end.cosine),
        (answer.rescaling, end.norm_u * end.norm_w / (start.norm_u * start.norm_w)),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_xavier_with_its_factor_two() -> None:
    answer = LinearNetworkScaling(preset="xavier").at_width([100, 10**4], var_u=2.0, var_w=2.0).solve()
    np.testing.assert_allclose(answer.ntk_ratio, math.sqrt(5) / 2, rtol=1e-13)


# ---- mechanisms


def test_regions_of_the_mechanisms() -> None:
    base = {"p": 1000, "gamma": 1e-3, "var_u": 1.0, "var_w": 1.0, "eta_u": 1e3, "eta_w": 1e3}
    for rho, A, region in ((0.0, 0.02, "kernel"), (0.0, 1.0, "alignment"), (0.6, 0.1, "disalignment"),
                           (0.999, 3.0, "rescaling"), (0.99, 0.8, "rescaling"), (0.6, 0.6, "kernel")):
        answer = LinearNetworkPhases(**base, correlation=rho, target_coefficient=A).solve()
        assert answer.mechanism == region, (rho, A)
    # in unbalanced layers the kernel stays while they align
    answer = LinearNetworkPhases(**{**base, "eta_u": 1e7, "eta_w": 0.1}, target_coefficient=1.0).solve()
    assert answer.mechanism == "alignment"
    assert answer.ntk_ratio == pytest.approx(1, abs=1e-6)


def test_thresholds() -> None:
    base = {"p": 1000, "gamma": 1e-3, "var_u": 1.0, "var_w": 1.0, "target_coefficient": 0.5}
    change = LinearNetworkPhases(**base).solve().alignment_change
    answer = LinearNetworkPhases(**base, threshold=[0.99 * change, 1.01 * change]).solve()
    assert answer.mechanism.tolist() == ["alignment", "kernel"]
    assert LinearNetworkPhases(**base, threshold=0.6).solve().mechanism == "kernel"


# ---- questions


@pytest.mark.parametrize("rho", [0.0, -0.8])
@pytest.mark.parametrize("gamma", [0.2, -0.2])
def test_the_output_factor_of_a_strength(rho: float, gamma: float) -> None:
    problem = LinearNetworkPhases(**{**UNIT, "gamma": gamma, "correlation": rho, "var_u": [1e-120, 0.3, 1e80]})
    chi = np.array([[1e-3], [1.0], [40.0]])
    solved = problem.with_strength(chi)
    assert np.all(np.sign(solved.gamma) == np.sign(gamma))
    np.testing.assert_allclose(solved.solve().feature_learning_strength, np.broadcast_to(chi, (3, 3)), rtol=1e-12)
    zero = LinearNetworkPhases(**{**UNIT, "var_u": 0.0}).with_strength(2.0)
    assert zero.solve().feature_learning_strength == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.8])
@pytest.mark.parametrize("lead", ["readout", "first_layer"])
def test_the_rates_of_a_strength(rho: float, lead: str) -> None:
    problem = LinearNetworkPhases(**{**UNIT, "correlation": rho, "p": 10})
    largest = problem.target_coefficient / (0.2 * 10 * math.sqrt(0.3 * 0.8 * (1 - rho**2)))
    chi = largest * np.array([1e-6, 0.1, 0.9999, 1 - 1e-12])
    solved = problem.with_strength(chi, by="rates", lead=lead)
    np.testing.assert_allclose(solved.solve().feature_learning_strength, chi, rtol=1e-11)
    np.testing.assert_allclose(solved.eta_u * solved.eta_w, 1.4, rtol=1e-12)
    readout, first = solved.eta_u * 0.8, solved.eta_w * 0.3
    assert np.all(readout >= first if lead == "readout" else first >= readout)
    with pytest.warns(AccuracyWarning, match="in 1 cells no rates reach this strength"):
        balanced = problem.with_strength([0.5 * largest, 2 * largest], by="rates")
    assert balanced.solve().feature_learning_strength[1] == pytest.approx(largest, rel=1e-12)


def test_labelled_questions() -> None:
    import xarray as xr

    problem = LinearNetworkPhases(**UNIT | asy.grid(var_u=[0.1, 0.2]) | {"gamma": 1.0})
    chi = xr.DataArray([0.5, 1.0, 2.0], dims="chi")
    solved = problem.with_strength(chi)
    assert solved.dims == ("var_u", "chi")
    assert solved.solve().to_dataset().feature_learning_strength.values.tolist() == [
        pytest.approx([0.5, 1.0, 2.0])] * 2
    with pytest.raises(ParameterError, match=r"eta_u: must not be an axis here"):
        LinearNetworkPhases(**{**UNIT, **asy.grid(eta_u=[1.0, 2.0])}).with_strength(0.01, by="rates")


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, {"chi": -1}, "chi: must be > 0"),
        ({}, {"chi": 0}, "chi: must be > 0"),
        ({}, {"chi": 1, "by": "eta_u"}, "by: must be one of gamma, rates"),
        ({}, {"chi": 1, "by": "rates", "lead": "u"}, "lead: must be one of readout, first_layer"),
        ({"target_coefficient": 0.0}, {"chi": 1}, "target_coefficient: must not be 0"),
        ({"eta_w": 0.0}, {"chi": 1}, "eta_w: must not be 0"),
        ({"var_w": 0.0}, {"chi": 0.1, "by": "rates"}, "var_w: must not be 0"),
        ({"var_u": 0.0, "var_w": 0.0}, {"chi": 0.1}, "var_u: must not be 0 with var_w"),
        ({"gamma": [-1.0, 1.0]}, {"chi": 0.1}, "gamma: must have one sign"),
        ({"target_coefficient": 1e300}, {"chi": 1e-300}, "chi: asks for a gamma outside"),
        ({"target_coefficient": 1e300}, {"chi": 1e-300, "by": "rates"}, "chi: asks for rates outside"),
    ],
)
def test_questions_without_an_answer(changes: dict, arguments: dict, message: str) -> None:
    with pytest.raises(ParameterError, match="^" + message):
        LinearNetworkPhases(**{**UNIT, **changes}).with_strength(**arguments)


def test_overlaps_are_means() -> None:
    found = LinearNetworkPhases(**{**UNIT, "correlation": [0.0, -0.5]}).overlaps()
    assert found["uu"] == pytest.approx(30)
    assert found["ww"] == pytest.approx(80)
    np.testing.assert_allclose(found["uw"], [0.0, -0.5 * math.sqrt(30 * 80)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"p": 1}, "p: must be >= 2"),
        ({"p": 2.5}, "p: must be a whole number"),
        ({"gamma": 0.0}, "gamma: must not be 0"),
        ({"gamma": [1.0, 0.0]}, "gamma: must not be 0"),
        ({"correlation": 1.0}, "correlation: must be < 1"),
        ({"correlation": -1.0}, "correlation: must be > -1"),
        ({"var_u": -1.0}, "var_u: must be >= 0"),
        ({"eta_w": float("inf")}, "eta_w: must be a finite number"),
        ({"m2": 0.0}, "m2: must be > 0"),
        ({"loss_factor": 0.0}, "loss_factor: must be > 0"),
        ({"threshold": 1.0}, "threshold: must be < 1"),
    ],
)
def test_bad_input_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ParameterError, match="^" + message):
        LinearNetworkPhases(**{**UNIT, **changes})


def test_any_tiling_has_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    from asymptotics.theories.linear_network import phase_solution

    problem = LinearNetworkScaling(p=300, c_w=0, e_u=0, e_w=0, **asy.grid(c_gamma=np.linspace(-1, 2, 40),
                                                                        c_u=np.linspace(-1, 3, 50)))
    whole = problem.solve()
    monkeypatch.setattr(phase_solution, "TILE", 7)
    tiled = problem.solve()
    for name in whole.values:
        np.testing.assert_allclose(tiled.values[name], whole.values[name], rtol=1e-13, atol=1e-15)


def test_empty_grids() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = LinearNetworkPhases(**{**UNIT, "gamma": []}).solve()
    assert answer.ntk_ratio.shape == (0,)
    assert answer.mechanism.shape == (0,)
