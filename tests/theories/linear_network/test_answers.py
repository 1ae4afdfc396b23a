"""Times, inflections, weights, Hessian, stable steps."""

import numpy as np
import pytest
import xarray as xr

import asymptotics as asy
from asymptotics import LinearNetwork, ParameterError
from tests.reference import linear_network as reference

from .problems import CASES, KINDS, arguments, case, extreme_problem, random_problem

TIMES = {
    "A": (0.63881479008498, 6.8403823378727), "B": (0.46598406019956, 3.6505715684439),
    "C": (0.36536384946169, 9.7601772437135), "D": (4.3105064319027, 7.7643838176436),
    "E": (0.66620375288909, 6.7287156020621),
}


# ---- times


@pytest.mark.parametrize("name", TIMES)
def test_tabulated_times(name):
    assert case(name).time_to([0.5, 1e-6]).tolist() == pytest.approx(TIMES[name], rel=2e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_times_are_the_inverse(kind):
    """No. 11, for the three kinds of level, where the level determines the time."""
    for seed in range(8):
        rng = np.random.default_rng((seed, KINDS.index(kind)))
        given = random_problem(rng, kind, 1.0)
        problem = LinearNetwork(t=0.0, **given)
        rate = float(problem.solve().decay_rate) or 1.0
        t = np.geomspace(1e-6, 20, 40) / rate
        solution = problem.replace(t=t).solve()
        F, A, r0 = solution.coefficient, given["target_coefficient"], float(problem.solve().gap)
        by_fraction = problem.time_to(np.minimum(solution.gap / r0, 1.0))
        by_coefficient, by_loss = problem.time_to(coefficient=F), problem.time_to(loss=solution.loss)
        speed = given["loss_factor"] * given["m2"] * solution.ntk * np.abs(solution.gap)
        for found, value in ((by_fraction, solution.gap), (by_loss, solution.gap), (by_coefficient, F)):
            # what a rounding of the level is in time
            slack = 4e-16 * (np.abs(value) + (abs(A) if found is by_coefficient else 0)) / speed
            if found is by_coefficient:
                slack = slack * np.where(np.abs(solution.gap) > 1e-3 * abs(r0), 1, np.inf)
            resolved = (slack < 0.1 * t) & (solution.gap != r0)
            assert np.sum(resolved) > 5 or found is by_coefficient
            assert (np.abs(found - t) <= 1e-13 * t + 3 * slack)[resolved].all(), (seed, kind)


@pytest.mark.parametrize("draw", [random_problem, extreme_problem])
def test_times_in_fifty_digits(draw):
    for kind in KINDS:
        if "frozen" in kind:
            continue
        for seed in range(6):
            rng = np.random.default_rng((seed, KINDS.index(kind)))
            given = draw(rng, kind)
            if LinearNetwork(t=0.0, **given).solve().final_ntk == 0 and given["target_coefficient"] != 0:
                continue  # out of reach
            left = np.array([1 - 1e-12, 0.999, 0.5, 0.1, 1e-6, 1e-12])
            found = LinearNetwork(t=0.0, **given).time_to(left)
            with np.errstate(all="ignore"):
                expected = [reference.time_at(**arguments(given), left=float(x)) for x in left]
            for x, exact in zip(found, expected, strict=True):
                assert float(abs(x - exact) / exact) < 1e-13, (kind, seed)


def test_times_without_rate():
    """Kernels alone (one rate is zero) and levels at both ends."""
    problem = case("A", eta_w=0.0)
    left = np.array([1.0, 0.5, 1e-9, 0.0])
    Gam = np.dot(CASES["A"]["w"], CASES["A"]["w"])
    assert problem.time_to(left).tolist() == pytest.approx([0.0, np.log(2) / Gam, np.log(1e9) / Gam, np.inf])
    assert problem.time_to(coefficient=[-0.5, 1.0, 1.5]).tolist() == [np.inf, np.inf, np.inf]
    floor = case("A", irreducible_loss=0.4)
    assert floor.time_to(loss=[0.1, 0.2, 10.0]).tolist() == [np.inf, np.inf, 0.0]
    assert floor.time_to(loss=0.3) == pytest.approx(float(case("A").time_to(loss=0.1)), rel=1e-13)


def test_shapes_and_labels_of_times():
    problem = case("A", t=np.linspace(0, 1, 7))
    assert np.ndim(problem.time_to(0.5)) == 0 and problem.time_to([0.5, 0.1]).shape == (2,)
    assert case("A", m2=[[1.0], [2.0]], t=np.linspace(0, 1, 7)).time_to([0.5, 0.1, 0.01]).shape == (2, 3)
    labelled = case("A", **asy.grid(m2=[1.0, 2.0], t=[1.0, 2.0]))
    times = labelled.time_to(0.5)
    assert isinstance(times, xr.DataArray) and times.dims == ("m2",) and times.m2.values.tolist() == [1, 2]
    levels = xr.DataArray([0.5, 0.1, 0.0], dims="level", coords={"level": [1, 2, 3]})
    times = labelled.time_to(levels)
    assert times.dims == ("m2", "level")
    assert times.values[:, 0] == pytest.approx(TIMES["A"][0] / np.array([1, 2]), rel=1e-13)


@pytest.mark.parametrize(("levels", "name", "words"), [
    ({}, "fraction", "one of them"),
    ({"fraction": 0.5, "loss": 0.1}, "loss", "one of them"),
    ({"fraction": 1.5}, "fraction", "must be <= 1"),
    ({"fraction": -0.1}, "fraction", "must be >= 0"),
    ({"loss": -1.0}, "loss", "must be >= 0"),
    ({"coefficient": np.nan}, "coefficient", "finite"),
    ({"coefficient": "half"}, "coefficient", "a number"),
])
def test_bad_levels(levels, name, words):
    with pytest.raises(ParameterError, match=words) as caught:
        case("A").time_to(**levels)
    assert caught.value.name == name


# ---- inflections


def test_inflection_points():
    """Sigmoidal iff kap|A|/Gam > 2 sqrt(2), where the slope has its extrema."""
    for A, ratio in ((2.0, 2.82), (2.0, 2.84), (-1.0, 10.0), (0.5, 1e3)):
        Gam = 2 * abs(A) / ratio
        F0 = -3 * A
        kernel = np.hypot(2 * F0, Gam)  # kap = 2: balanced layers with this kernel
        problem = LinearNetwork.from_overlaps(uu=kernel / 2, ww=kernel / 2, uw=F0, target_coefficient=A, t=0.0)
        points = problem.inflection_points()
        F = np.linspace(F0, A, 200_001)[1:-1]
        slope = np.abs(A - F) * np.hypot(2 * F, Gam)
        inside = np.nonzero(np.diff(np.sign(np.diff(slope))))[0] + 1
        if ratio < 2 * np.sqrt(2):
            assert inside.size == 0 and np.isnan(points.coefficient).all() and np.isnan(points.time).all()
            continue
        assert points.coefficient.values == pytest.approx(F[inside], abs=abs(A) * 5e-5)
        found = problem.replace(t=points.time.values).solve().coefficient
        assert found == pytest.approx(points.coefficient.values, rel=1e-10, abs=1e-10 * abs(A))
    assert np.isnan(case("A", eta_u=0.0).inflection_points().coefficient).all()


# ---- weights


@pytest.mark.parametrize("kind", KINDS)
def test_weights(kind):
    """All weights of random problems, against those of the reference."""
    for draw, seed in ((random_problem, 1), (random_problem, 2), (extreme_problem, 3)):
        rng = np.random.default_rng((seed, KINDS.index(kind)))
        given = draw(rng, kind)
        problem = LinearNetwork(t=0.0, **given)
        rate = float(problem.solve().decay_rate) or 1.0
        t = np.array([0.0, 1e-12, 0.01, 0.5, 3.0, 50.0]) / rate
        found = problem.replace(t=t).weights()
        for i, time in enumerate(t):
            exact = reference.exact(**arguments(given), t=float(time))
            for name in ("u", "w"):
                value = [float(x) for x in exact[name]]
                scale = np.linalg.norm(value)
                if kind not in ("aligned", "opposed"):  # where all weights move together
                    scale = max(scale, np.linalg.norm(given[name]))
                assert found[name].values[i] == pytest.approx(value, rel=1e-12, abs=1e-12 * scale), (kind, seed, time)
        assert found.u.values[0] == pytest.approx(given["u"], rel=1e-15)
        assert found.w.values[0] == pytest.approx(given["w"], rel=1e-15)


def test_weights_on_a_grid():
    problem = LinearNetwork(**CASES["A"], **asy.grid(gamma=[0.5, -1.0], t=[0.0, 1.0, 4.0]))
    found, solution = problem.weights(), problem.solve().to_dataset()
    assert found.u.dims == ("gamma", "t", "neuron")
    assert ((found.u * found.w).sum("neuron") * found.gamma).values == pytest.approx(solution.coefficient.values)
    assert np.sqrt((found.w**2).sum("neuron")).values == pytest.approx(solution.norm_w.values)
    products = found.u.values[..., 0] * found.w.values[..., 1] - found.u.values[..., 1] * found.w.values[..., 0]
    assert products == pytest.approx(np.full((2, 3), products[0, 0]))
    with pytest.raises(ParameterError, match="overlaps do not determine"):
        LinearNetwork.from_overlaps(uu=1.0, ww=1.0, uw=0.0, target_coefficient=1.0, t=1.0).weights()
    with pytest.raises(ParameterError, match="rename it"):
        case("A", t=xr.DataArray([1.0, 2.0], dims="neuron")).weights()


# ---- curvature


@pytest.mark.parametrize("name", CASES)
def test_hessian_spectrum(name):
    """Dense matrices of the weights at that time."""
    problem = case(name, t=[0.0, 0.3, 1.5, 30.0])
    spectrum, weights, solution = problem.hessian_spectrum(), problem.weights(), problem.solve()
    many = spectrum.multiplicity.values.astype(int)
    for i in range(4):
        given = {**arguments(CASES[name]), "u": weights.u.values[i], "w": weights.w.values[i]}
        expected = reference.hessian(**given)
        found = np.sort(np.repeat(spectrum.eigenvalue.values[i], many))
        assert found == pytest.approx(expected, abs=1e-14 * np.max(np.abs(expected)))
        assert solution.sharpness[i] == pytest.approx(expected[-1], rel=1e-13)
        assert solution.sharpness[i] == pytest.approx(spectrum.eigenvalue.values[i, 0], rel=1e-15)
    assert solution.sharpness[3] == pytest.approx(solution.decay_rate[3], rel=1e-12)


def test_hessian_of_given_overlaps():
    overlaps = dict(uu=0.3, ww=0.61, uw=0.01, target_coefficient=1.0, t=1.0)
    spectrum = LinearNetwork.from_overlaps(**overlaps).hessian_spectrum()
    assert np.isnan(spectrum.multiplicity.values).tolist() == [False, True, True, False]
    exact = case("A").hessian_spectrum().eigenvalue.values
    assert spectrum.eigenvalue.values == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_largest_stable_step(name):
    """Gradient descent from near the end stays below it, leaves above it."""
    problem = case(name)
    step, rate = float(problem.largest_stable_step()), float(problem.solve().decay_rate)
    assert step == pytest.approx(2 / rate, rel=1e-15)
    near = problem.replace(t=float(problem.time_to(1e-6)))
    end = near.weights()
    for factor, stays in ((0.98, True), (1.02, False)):
        given = {**arguments(CASES[name]), "u": end.u.values, "w": end.w.values}
        u, w = reference.descent(**given, steps=200, size=factor * step)
        gap = abs(CASES[name]["target_coefficient"] - CASES[name].get("gamma", 1.0) * (u @ w))
        assert (gap < abs(near.solve().gap)) == stays


def test_largest_stable_step_towards_a_target_out_of_reach():
    """F tends to zero, where the curvature is that of a saddle: 4/(c m2 kap|A|)."""
    problem = LinearNetwork(u=[0.05, 0.05], w=[0.05, 0.05], target_coefficient=-1.5, t=0.0)
    step = float(problem.largest_stable_step())
    assert step == 4 / (2 * 1.5)
    for factor, stays in ((0.98, True), (1.02, False)):
        u, w = reference.descent(u=[0.05, 0.05], w=[0.05, 0.05], A=-1.5, steps=30, size=factor * step)
        assert (u @ w < 0.005) == stays
    assert case("A", **asy.grid(m2=[1.0, 2.0], t=[1.0])).largest_stable_step().dims == ("m2",)
