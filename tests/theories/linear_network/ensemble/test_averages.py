"""Averages beside published rows, exact moments and slow integration (tests/reference/linear_network_ensemble.py).

The box: p in {1, 2, 3, 5, 8, 20, 100, 1000}; variances (times sqrt p), gamma, rates, m2, loss factor and target over
two decades, both signs of gamma and of the target, and none; correlations in (-0.95, 0.95); t from 10^-3 to 10^1.2 of
1/(c m2 E Theta_inf).
"""

import math

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import LinearNetwork, LinearNetworkEnsemble
from tests.reference import linear_network_ensemble as reference

from .problems import MEANS, ROWS, WITHOUT_ANGLE, cell, ensemble, random_problem, values

TOLERANCE = 1e-10


def compare(found, expected, given, tolerance=TOLERANCE):
    """Relative, or in units of the target for the coefficient; all of these are positive otherwise."""
    for name, value in expected.items():
        scale = abs(given["target_coefficient"]) if name == "mean_coefficient" else 0.0
        assert abs(found[name] - value) <= tolerance * max(abs(value), scale), (name, found[name], value, given)


@pytest.mark.parametrize(("given", "expected"), ROWS)
def test_reference_rows(given, expected):
    """To all the digits they are given with."""
    for name, value in zip(MEANS, expected, strict=True):
        assert values(given, MEANS)[name] == pytest.approx(value, rel=1.2e-11), name


@pytest.mark.parametrize(("given", "loss", "digits"), [
    (dict(p=2, var_u=0.5, var_w=0.5), 4.43740411857e-06, 2e-12),
    (dict(p=3, var_u=1e-4, var_w=1e-4, t=8.0), 3.102564e-5, 2e-7),
    (dict(p=10, var_u=0.1, var_w=0.1), 4.486242e-12, 2e-7),
])
def test_losses_that_come_from_rare_networks(given, loss, digits):
    found = values({"t": 6.0, "target_coefficient": 1.0, **given}, ["mean_excess_loss"])
    assert found["mean_excess_loss"] == pytest.approx(loss, rel=digits)


@pytest.mark.parametrize(("p", "correlation", "cosine"), [(2, -0.4, -0.3208543125846), (3, 0.6, 0.5301976180692)])
def test_initial_cosines(p, correlation, cosine):
    assert reference.initial_cosine(p, correlation) == pytest.approx(cosine, rel=1e-13)
    for changes in ({}, {"eta_w": 0.01}, {"var_u": 1e-3}):
        found = ensemble(p=p, correlation=correlation, t=0.0, **changes).solve().mean_cosine
        assert found == pytest.approx(cosine, abs=1e-12), changes


def test_references_agree():
    """Trapezoid rule and Gauss quadrature, and the numbers of both."""
    given = ROWS[2][0] | {"p": 60, "t": 0.05}
    one, two = reference.Trapezoid(cell(given)).answers(), reference.gauss(cell(given))
    for name in WITHOUT_ANGLE:
        assert one[name] == pytest.approx(two[name], rel=1e-12), name
    finer = reference.Trapezoid(cell(given), 1.5).answers()
    assert finer == pytest.approx(one, rel=1e-12)
    assert reference.cosine(cell(given)) == pytest.approx(two["mean_cosine"], rel=1e-11)


def in_box(p, seeds):
    for seed in seeds:
        yield random_problem(np.random.default_rng((p, seed)), p)


@pytest.mark.parametrize("p", [1, 2, 3, 5, 8, 20, 100])
def test_random_problems(p):
    for given in in_box(p, range(6)):
        compare(values(given, WITHOUT_ANGLE), reference.Trapezoid(cell(given)).answers(), given)


def test_random_problems_of_width_1000():
    """Where quadrature of two orders agrees."""
    compared = 0
    for given in in_box(1000, range(8)):
        coarse, fine = (reference.gauss(cell(given), order) for order in (20, 28))
        known = {name: value for name, value in fine.items() if abs(coarse[name] - value) < 1e-11 * abs(value)}
        compare(values(given, tuple(known)), known, given)
        compared += len(known)
    assert compared > 20


@pytest.mark.slow
@pytest.mark.parametrize("p", [1, 2, 3, 4, 5, 8, 20, 50, 100])
def test_many_random_problems(p):
    for given in in_box(p, range(1000, 1100)):
        compare(values(given, WITHOUT_ANGLE), reference.Trapezoid(cell(given)).answers(), given)


@pytest.mark.parametrize(("p", "seed"), [(2, 100), (2, 3), (3, 101), (4, 1), (5, 100), (8, 103), (20, 103)])
def test_random_cosines(p, seed):
    given = random_problem(np.random.default_rng((p, seed)), p)
    found, expected = values(given, ["mean_cosine"])["mean_cosine"], reference.cosine(cell(given), 0.1)
    assert found == pytest.approx(expected, abs=1e-8 if p == 2 else TOLERANCE)


def test_a_cosine_whose_zero_is_steep():
    """The network of width 3 in which F = 0 passes the density fastest."""
    given = random_problem(np.random.default_rng((3, 100)), 3)
    expected = reference.cosine(cell(given), 0.07, rows=3)
    assert values(given, ["mean_cosine"])["mean_cosine"] == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("p", [2, 3, 4, 5, 8, 20])
def test_many_random_cosines(p):
    for seed in range(40):
        given = random_problem(np.random.default_rng((p, seed)), p)
        expected = reference.cosine(cell(given), 0.06, rows=4)
        found = values(given, ["mean_cosine"])["mean_cosine"]
        assert found == pytest.approx(expected, abs=1e-8 if p == 2 else TOLERANCE), seed


@pytest.mark.parametrize("p", [1, 2, 5, 30, 150, 10**4, 10**6])
def test_exact_moments_at_the_start(p):
    for seed in range(4):
        given = random_problem(np.random.default_rng((p, seed)), p) | {"t": 0.0}
        expected = reference.moments(cell(given))
        square = expected.pop("square_final_ntk")
        compare(values(given, tuple(expected)), expected, given, 1e-11)
        law = LinearNetworkEnsemble(**given).final_ntk()
        assert law.mean() ** 2 + law.std() ** 2 == pytest.approx(square, rel=1e-11)


def test_halved_steps():
    for given in (*in_box(3, range(3)), *in_box(20, range(3)), ROWS[3][0]):
        assert max(asy.check(LinearNetworkEnsemble(**given)).values()) < TOLERANCE


def test_monte_carlo():
    """Means and standard deviations over 2e5 networks, z below 4."""
    count = 200_000
    for p, changes in ((2, {}), (7, {"gamma": -1.5, "target_coefficient": -0.7}), (4, {"eta_u": 0.0, "gamma": -1.0}),
                       (1, {})):
        given = dict(p=p, var_u=0.4, var_w=0.3, correlation=-0.5, target_coefficient=1.0, t=0.8, eta_w=0.5) | changes
        drawn = reference.observables(cell(given), *reference.triples(cell(given), count, p))
        found = values(given, (*MEANS, "sd_coefficient", "sd_ntk"))
        for name in ("coefficient", "ntk", "excess_loss", "cosine", "final_ntk"):
            z = (np.mean(drawn[name]) - found[f"mean_{name}"]) / (np.std(drawn[name]) / math.sqrt(count))
            assert abs(z) < 4, (name, z, given)
        for name in ("coefficient", "ntk"):
            squares = (drawn[name] - found[f"mean_{name}"]) ** 2
            z = (np.mean(squares) - found[f"sd_{name}"] ** 2) / (np.std(squares) / math.sqrt(count))
            assert abs(z) < 4, (name, z, given)


def test_wide_networks_are_the_one_of_the_mean_overlaps():
    """Up to a part 1/p."""
    off = []
    for p in (10**3, 10**4):
        given = dict(p=p, var_u=0.4 / p, var_w=0.3 / p, correlation=0.3, eta_u=0.5, target_coefficient=-1.0)
        t = np.array([0.0, 0.5, 2.0, 5.0])
        found = LinearNetworkEnsemble(**given, t=t).solve()
        one = LinearNetwork.from_overlaps(
            uu=0.4, ww=0.3, uw=0.3 * math.sqrt(0.12), eta_u=0.5, target_coefficient=-1.0, t=t).solve()
        off.append([np.max(np.abs(found.values[f"mean_{name}"] - one.values[name]))
                    for name in ("coefficient", "ntk", "excess_loss", "cosine", "final_ntk")])
    ratio = np.array(off[0]) / np.array(off[1])
    assert np.max(off[1]) < 1e-3 and np.allclose(ratio, 10, rtol=0.05)


def test_a_rate_that_vanishes():
    """The two-dimensional rule tends to the closed forms, linearly."""
    names = (*WITHOUT_ANGLE, "mean_cosine")
    for layer in ("eta_u", "eta_w"):
        still = values(STILL | {layer: 0.0}, names)
        off = []
        for rate in (1e-4, 1e-5):
            near = values(STILL | {layer: rate}, WITHOUT_ANGLE)
            off.append([abs(near[name] - still[name]) for name in WITHOUT_ANGLE])
        assert np.max(off[1]) < 1e-3 and np.min(np.array(off[0]) / off[1]) > 4, (layer, off)
        near = values(STILL | {layer: 1e-3}, ["mean_cosine"])
        assert near["mean_cosine"] == pytest.approx(still["mean_cosine"], abs=1e-2)


STILL = dict(p=3, var_u=0.4, var_w=0.3, correlation=0.2, gamma=-0.8, target_coefficient=-1.0, t=0.4)


def test_closed_forms_beside_gauss_quadrature():
    for p in (1, 2, 5, 40):
        for layer, rho in (("eta_u", 0.6), ("eta_w", -0.3), ("eta_w", 0.0)):
            given = dict(p=p, var_u=0.2 / p, var_w=0.3 / p, correlation=rho, gamma=-1.3, m2=0.7, loss_factor=2.0,
                         target_coefficient=-0.8, t=0.3) | {layer: 0.0}
            expected = reference.gauss(cell(given), 40)
            del expected["mean_cosine"]
            compare(values(given, tuple(expected)), expected, given)


SYMMETRIES = {
    "layers": lambda g: g | {"var_u": g["var_w"], "var_w": g["var_u"], "eta_u": g["eta_w"], "eta_w": g["eta_u"]},
    "gamma": lambda g: g | {"gamma": -g["gamma"], "correlation": -g["correlation"]},
    "target": lambda g: g | {"target_coefficient": -g["target_coefficient"], "correlation": -g["correlation"]},
    "scale": lambda g: g | {"var_u": 9 * g["var_u"], "gamma": g["gamma"] / 3, "eta_u": 9 * g["eta_u"]},
    "time": lambda g: g | {"m2": 3 * g["m2"], "t": g["t"] / 3},
}


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_symmetries(symmetry):
    names = (*WITHOUT_ANGLE, "mean_cosine")
    for p in (2, 7):
        given = random_problem(np.random.default_rng(p), p, targets=(1,))
        one, two = values(given, names), values(SYMMETRIES[symmetry](given), names)
        signs = {"gamma": {"mean_cosine": -1}, "target": {"mean_cosine": -1, "mean_coefficient": -1}}.get(symmetry, {})
        for name in names:
            factor = 3.0 if (symmetry, name) == ("time", "mean_excess_loss") else signs.get(name, 1)
            assert two[name] == pytest.approx(factor * one[name], rel=1e-9 if "cos" in name else 1e-11), (name, p)
