"""The independent reference of polynomial spikes against tabulated numbers, and against itself."""

import json
import math

import numpy as np
import pytest
from mpmath import mp, mpf

from tests.reference.polynomial_spikes import (
    FILE,
    FUNCTIONS,
    RANGE,
    Bulk,
    Full,
    Kernel,
    Readouts,
    Spiked,
    Step,
    Teacher,
    density,
    draws,
    first_layer_spike,
    gaussian_readouts,
    moments,
    number_of_spikes,
    solve,
    spike_factor,
    spike_functions,
    take_step,
)
from tests.reference.readout_groups import Reference as Groups

CENTRED = "relu(x) - 1/sqrt(2*pi)"
TANH = "tanh(1.5*x + 0.8)"
BENT = "x + 0.5*(x**2 - 1)"
SIZES = dict(d=500, p=400, n=600, n0=750, target_coefficients=(0.2, 0.8, 0.5, 0.25), noise_var=0.1)
PENALTY = mpf(2) / 30  # lam_bar of lam = 0.1
RHO = mpf("0.6")


@pytest.fixture(autouse=True)
def _quiet_underflow():
    with np.errstate(under="ignore"):
        yield


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(40):
        yield


def close(value, expected, digits):
    """Equal to so many significant digits, as printed."""
    return float(value) == pytest.approx(expected, rel=0.6 * 10.0 ** (1 - digits) if expected else 0, abs=1e-15)


def relu_bulk():
    """The first row of the bulk table."""
    return Bulk(mpf(1) / 4, mpf(1) / 4 - 1 / (2 * mp.pi), 500, 400, 600)


# ---- bulk


@pytest.mark.parametrize(("lam", "linear", "rest", "p", "n", "d", "expected"), [
    ("0.1", 0.25, None, 400, 600, 500, (8.23495516918, 5.37251190279, -99.3643234097, -56.2394743256)),
    ("1e-6", 1, 0.5, 400, 600, 500, (500001.864197, 286422.170731, -7.50000000019e11, -4.29631211067e11)),
    ("1e-3", 1, 0.5, 600, 600, 500, (31.9249949114, 14.3609217892, -16310.6812484, -7164.74617442)),
    ("2", 0.5, "0.3", 2000, 500, 1000, (0.0922339368271, 0.0849151313097, -0.00875404320638, -0.00745990983877)),
])
def test_bulk(lam, linear, rest, p, n, d, expected):
    bulk = Bulk(mpf(linear), mpf(1) / 4 - 1 / (2 * mp.pi) if rest is None else mpf(rest), d, p, n)
    lam_bar = mpf(lam) * p / n
    at = bulk.resolvent(lam_bar)
    slopes = [mp.diff(lambda x: bulk.resolvent(x).white, lam_bar), mp.diff(lambda x: bulk.resolvent(x).linear, lam_bar)]
    for value, row in zip((at.white, at.linear, *slopes), expected, strict=True):
        assert close(value, row, 12)
    if rest is None:
        assert close(at.feature, 0.3234955169, 10)


def test_bulk_by_integrating_the_marchenko_pastur_density():
    bulk = relu_bulk()
    at, beta = bulk.resolvent(PENALTY), mpf("0.8")
    counts = 400
    white = feature = linear = mpf(0)
    for i in range(counts):
        angle = mp.pi * (i + mpf(1) / 2) / counts
        row = 1 + beta + 2 * mp.sqrt(beta) * mp.cos(angle)  # eigenvalues of W W^T
        weight = 2 * mp.sin(angle) ** 2 / (row * counts)
        power = bulk.rest + bulk.linear * row
        white += weight * power / (1 + at.white * power)
        feature += weight / (1 + at.white * power)
        linear += weight / (1 + row * bulk.linear * at.white / (1 + at.white * bulk.rest))
    assert abs(PENALTY * at.white + bulk.q * at.white * white - 1) < mpf("1e-30")
    assert abs(feature / at.feature - 1) < mpf("1e-30")
    assert abs(at.white * (1 - beta * (1 - linear)) / at.linear - 1) < mpf("1e-30")


# ---- limit


def limit(spikes, coefficients, ratio="0", constant=False, rescaling="0"):
    """Errors with infinite spikes; any activation with c_1, c_2, c_3, ... not zero has these without constant."""
    with mp.workdps(130):
        sigma = moments(CENTRED if max(spikes, default=0) < 3 else TANH)
        functions = spike_functions(sigma, max(spikes, default=0), mpf(ratio), mpf(rescaling), 5)
        chosen = [functions[k] for k in spikes] + [[mpf(1)] + [mpf(0)] * 4] * constant
        given = [mpf(c) for c in coefficients] + [mpf(0)]
        second = mp.fsum(c * c for c in given) + mpf("0.1")
        kernel = Kernel.from_spikes(chosen, 5, mpf("1e50"))
        spiked = Spiked(relu_bulk(), kernel, given, second, RHO)
        errors = spiked.errors(mpf(2) / 30)
        return errors["ridge_objective"], errors["test_error"], errors["train_error"]


QUADRATIC, CUBIC = ("0", ".8", ".6", "0"), (".3", ".8", ".6", ".3")


@pytest.mark.parametrize(("arguments", "expected", "digits"), [
    (dict(spikes=(), coefficients=QUADRATIC), (0.4817657997, 1.2047699008), 10),
    (dict(spikes=(1,), coefficients=QUADRATIC), (0.3992440169, 1.0136960532), 10),
    (dict(spikes=(1, 2), coefficients=QUADRATIC), (0.3821680138, 0.9681213085), 10),
    (dict(spikes=(1, 2), coefficients=QUADRATIC, ratio=".4"), (0.3863076509, 0.9791697314), 10),
    (dict(spikes=(1, 2), coefficients=QUADRATIC, ratio=".4", constant=True), (0.3736300123, 0.9453339361), 10),
    (dict(spikes=(), coefficients=CUBIC), (0.5805852617, 1.4685126363), 10),
    (dict(spikes=(1, 2, 3), coefficients=CUBIC, ratio=".4"), (0.4227933397, 1.0765476686), 10),
    (dict(spikes=(1, 2, 3), coefficients=CUBIC, ratio=".4", constant=True), (0.4207344829, 1.0710527133), 10),
    (dict(spikes=(1,), coefficients=CUBIC, ratio=".4", rescaling=".25"), (0.47024113, 1.20274410), 8),
    (dict(spikes=(1,), coefficients=CUBIC, ratio=".4"), (0.49806348, 1.27743879), 8),
    (dict(spikes=(1, 2), coefficients=CUBIC, ratio=".4", rescaling=".25"), (0.42306441, 1.07727086), 8),
])
def test_limit(arguments, expected, digits):
    objective, test, train = limit(**arguments)
    assert close(objective, expected[0], digits)
    assert close(test, expected[1], digits)
    weight = PENALTY * relu_bulk().resolvent(PENALTY).white
    assert close(train, float(weight**2 * test), 15)


def test_number_of_spikes():
    assert [number_of_spikes(a) for a in (-0.1, 0.1, 0.26, 0.34, 0.39, 0.44)] == [0, 1, 2, 3, 4, 8]


@pytest.mark.parametrize(("activation", "count"), [(CENTRED, 1), (CENTRED, 3), (TANH, 3), ("erf(x/sqrt(2))", 3)])
def test_limit_of_finite_rank(activation, count):
    """A small step with its features scaled so that spike `count` is of size 1/eps: linear in eps."""
    ratio, rescaling, sigma = mpf("0.4"), mpf("0.25"), moments(activation)
    given = [mpf(c) for c in CUBIC] + [mpf(0)] * 9
    second = mp.fsum(c * c for c in given) + mpf("0.1")

    def errors(kernel):
        spiked = Spiked(relu_bulk(), kernel, given, second, RHO)
        return [float(spiked.errors(PENALTY)[name]) for name in ("ridge_objective", "test_error")]

    def finite(eps):
        step = Step(mpf(1), RHO, mpf(eps), eps * mp.sqrt(ratio), rescaling * eps)
        p = eps ** -(2 * count + 1)
        return np.array(errors(Kernel.from_factor(spike_factor(activation, step, 1.25 * p, p, 12))))

    spikes = spike_functions(sigma, count, ratio, rescaling, 13)
    with mp.workdps(130):
        expected = errors(Kernel.from_spikes(spikes if sigma.coefficients[0] != 0 else spikes[1:], 13, mpf("1e50")))
    steps = [1e-3, 2e-3, 4e-3] if count == 1 else [4e-3, 8e-3, 16e-3]
    one, two, four = (finite(eps) for eps in steps)
    extrapolated = (8 * one - 6 * two + four) / 3
    assert np.all(np.abs(one / expected - 1) < 0.05)
    assert np.all(np.abs(extrapolated / expected - 1) < 2e-4)
    if (activation, count) == (CENTRED, 1):
        assert [round(float(finite(eps)[0]), 5) for eps in (0.03, 0.01)] == [0.47543, 0.47205]
        assert [round(float(x), 5) for x in (finite(0.003)[0], one[0])] == [0.47079, 0.47043]


# ---- the step, finite rank and full


def test_step():
    link = Teacher(None, SIZES["target_coefficients"]).moments
    sizes = {name: SIZES[name] for name in ("d", "p", "n0", "noise_var")}
    for activation, eta, expected in (
        (CENTRED, 10, (0.2929060769, 0.2133561186, 0.03989422804)),
        (CENTRED, 25, (0.7322651922, 0.5333902964, 0.0997355701)),
        (TANH, 8, (0.2899617158, 0.1795020142, -0.01995833517)),
        (BENT, 6, (0.3514872923, 0.2560273423, 0.06)),
    ):
        step = take_step(moments(activation), link, eta=eta, **sizes)
        assert close(step.norm_squared, 1.372703518, 10) and close(step.alignment, 0.6828127368, 10)
        for value, row in zip((step.tau, step.tau_r, step.rescaling), expected, strict=True):
            assert close(value, row, 9)
    sigma = moments(TANH)
    expected = 0.35470701, 0.61871735, -0.17640843, -0.14913562, 0.10892639
    assert all(close(c, row, 8) for c, row in zip(sigma.coefficients, expected, strict=False))
    assert close(sigma.second - sigma.coefficients[0] ** 2 - sigma.coefficients[1] ** 2, 0.078893542, 8)


FINITE_RANK = [
    (CENTRED, 10, 0.1, (0.3405727971, 0.8517710312), 1.26988831, (3.07337939, 1.37046050)),
    (CENTRED, 25, 0.1, (0.3265593709, 0.8260082897), 1.26988831, (7.39576009, 4.63612510)),
    (TANH, 8, 0.3, (0.4315442315, 0.7693911855), 1.52110134, (6.91510592, 3.45985865)),
    (BENT, 6, 0.3, (0.3057372351, 0.9328926640), 2.60956114, (7.39651126, 4.77292557)),
]


@pytest.mark.parametrize(("activation", "eta", "lam", "errors", "edge", "values"), FINITE_RANK)
def test_finite_rank(activation, eta, lam, errors, edge, values):
    result = solve(activation=activation, eta=eta, lam=lam, level="finite_rank", degree=16, **SIZES)
    assert close(result["ridge_objective"], errors[0], 10) and close(result["test_error"], errors[1], 10)
    assert close(result["bulk_edge"], edge, 9)
    assert len(result["singular_values"]) == len(values)
    assert all(close(one, two, 9) for one, two in zip(result["singular_values"], values, strict=True))


def spiked(activation, eta, n, degree=16):
    """Finite rank, of the first row but for the activation, the learning rate and n."""
    link = Teacher(None, SIZES["target_coefficients"], degree + 1).moments
    sizes = {name: SIZES[name] for name in ("d", "p", "n0", "noise_var")}
    step, sigma = take_step(moments(activation), link, eta=eta, **sizes), moments(activation)
    rest = sigma.second - sigma.coefficients[0] ** 2 - sigma.coefficients[1] ** 2
    bulk = Bulk(sigma.coefficients[1] ** 2, rest, SIZES["d"], SIZES["p"], n)
    kernel = Kernel.from_factor(spike_factor(activation, step, SIZES["d"], SIZES["p"], degree))
    return Spiked(bulk, kernel, link.coefficients[: degree + 1], link.second + mpf("0.1"), step.alignment), step


def test_composition_of_the_spikes():
    system, _ = spiked(CENTRED, 10, 600)
    expected = [(0.009218, 0.951005, 0.000017, 0.0), (0.332208, 0.003055, 0.234461, 0.0)]
    for e, row in zip(system.outliers(), expected, strict=True):
        found = [float(x) for x in system.composition(e, 17)]
        assert found[:4] == pytest.approx(row, abs=6e-7)
        assert sum(found) < 1


def test_finite_rank_on_a_grid_in_kappa():
    """No Hermite polynomials of kappa: the conditional means themselves, and plain linear algebra."""
    activation, eta, lam = TANH, 30.0, 0.3
    system, step = spiked(activation, eta, SIZES["n"], degree=100)
    lam_bar = mpf(lam) * SIZES["p"] / SIZES["n"]
    at = system.bulk.resolvent(lam_bar)
    readouts = gaussian_readouts(step, 160)
    full = Full(
        activation=activation, teacher=Teacher(None, SIZES["target_coefficients"]), rho=float(step.alignment),
        readouts=readouts, d=500, p=400, n=600, lam=lam, noise_var=0.1, kappas=160, width=0.4,
    )
    root = np.sqrt(full.wk)
    pull = np.hypot(readouts.pull, readouts.deviation)
    radial = Full.preactivation_moments  # E f (xi^2 - 1)/2 with the whole preactivation in xi
    curve = np.array([radial(FUNCTIONS[activation], np.zeros(1), v, 0.4)[2, 0] for v in pull]) * math.sqrt(2 / 500)
    factor = np.sqrt(400 * readouts.weight)[:, None] * np.hstack([full.mean * root, curve[:, None]])
    straight = np.append(full.kappa * root, 0.0)
    e, r, g = (float(x) for x in at)
    matrix = np.eye(straight.size) / e + (1 / r - 1 / e) * np.outer(straight, straight) + g * factor.T @ factor
    y = np.append(full.y * root, 0.0)
    along = y @ np.linalg.solve(matrix, y)
    rho, c = float(step.alignment), SIZES["target_coefficients"]
    beyond = float(system.second) - c[1] ** 2 - (y @ y - (y @ straight) ** 2)
    energy = along + r * c[1] ** 2 * (1 - rho**2) + e * beyond
    assert energy == pytest.approx(float(system.energy(at)), rel=1e-11)
    assert energy != pytest.approx(float(spiked(activation, eta, SIZES["n"], degree=24)[0].energy(at)), rel=1e-9)


FULL = [
    (CENTRED, 10, 0.1, (0.335244687413, 0.871351340287, 0.252863372146),
     (0.937394032, 0.625421615, 0.115969995, 0.0)),
    (CENTRED, 25, 0.1, (0.301456291780, 0.877385145290, 0.231778812301),
     (1.211066080, 0.637073952, 0.167847295, 0.0)),
    (TANH, 8, 0.3, (0.438292060293, 0.771154927583, 0.332323558688),
     (0.965666653, 0.605110768, 0.016301273, -0.037185736)),
    (BENT, 6, 0.3, (0.290803257664, 0.993437674217, 0.226315045352),
     (1.142334800, 0.600919556, 0.146115660, 0.0)),
]


@pytest.mark.parametrize(("activation", "eta", "lam", "errors", "fractions"), FULL)
def test_full(activation, eta, lam, errors, fractions):
    result = solve(activation=activation, eta=eta, lam=lam, **SIZES)
    for name, row in zip(("ridge_objective", "test_error", "train_error"), errors, strict=True):
        assert close(result[name], row, 12)
    for value, fraction, c in zip(result["overlaps"], fractions, SIZES["target_coefficients"], strict=False):
        assert value / c == pytest.approx(fraction, abs=6e-10)


# A table by a coarser rule has .135040064509, .045929226030 and .049040253842, .012458917811 in rows two and four;
# the equations for readout groups confirm the numbers here.
DISCRETE = [
    ("relu", "tanh", (1.0, -1.0), 1.2, (1.0, 1.0), 0.7, 2.0, 1.0, 0.05, (0.251009237737, 0.095387362704), 0.250826805),
    ("tanh", "sin", (0.5, 2.0), 1.0, (1.0, 1.5), 0.8, 1.5, 1.0, 0.0, (0.135040065221, 0.045929225678), 0.134833678),
    ("relu", "tanh", (1.0,), 0.8, (1.1,), 0.7, 2.0, 0.8, 0.05, (0.380465812151, 0.198926189007), 0.380441121),
    ("tanh", "sin", (1.0,), 1.13405550928, (1.01897320046,), 0.971854444487, 0.2, 1.0, 0.0,
     (0.049040253822, 0.012458917834), 0.048482903),
]


@pytest.mark.parametrize("row", DISCRETE)
def test_discrete_readouts(row):
    activation, target, z, tau, variance, rho, alpha, beta, noise, expected, wide = row
    readouts = Readouts(np.full(len(z), 1 / len(z)), tau * np.array(z), np.sqrt(variance))

    def errors(d):
        found = Full(
            activation=activation, teacher=Teacher(target), rho=rho, readouts=readouts, d=d, p=beta * d, n=alpha * d,
            lam=0.1, noise_var=noise, radial=False, kappas=160, width=0.4,
        ).errors()
        return found["test_error"], found["train_error"]

    found = errors(1000)
    assert all(close(one, two, 11) for one, two in zip(found, expected, strict=True))
    assert errors(1e9)[0] == pytest.approx(wide, abs=1.2e-9)
    groups = Groups(
        activation=activation, target=target, r=tau, c=variance, gamma=rho, levels=z,
        fractions=[1 / len(z)] * len(z), alpha=alpha, beta=beta, lam=0.1, noise_var=noise, n_finite=1000 * alpha,
    ).solve()
    assert found == pytest.approx((groups["test_error"], groups["train_error"]), rel=1e-12)


def test_full_at_a_small_step_is_finite_rank():
    """The levels differ by O(tau^2) at fixed p tau^2."""
    differences = []
    for tau in (0.02, 0.04):
        scale = (0.2 / tau) ** 2
        sizes = {name: round(scale * SIZES[name]) for name in ("d", "p", "n", "n0")}
        both = [
            solve(**{**SIZES, **sizes}, activation=CENTRED, lam=0.1, eta=10 * 0.2 / 0.2929, level=level)
            for level in ("full", "finite_rank")
        ]
        differences.append([both[0][name] / both[1][name] - 1 for name in ("ridge_objective", "test_error")])
    assert np.all(np.abs(differences[0]) < 1e-3)
    assert np.array(differences[1]) / np.array(differences[0]) == pytest.approx(4.0, rel=0.1)


# ---- the first layer


def test_spike_of_the_first_layer():
    value, left, right = first_layer_spike(3 * 0.5 * math.sqrt(1.36), 500, 400)
    assert close(value, 2.26305941, 9) and close(left, 0.72501609, 8)
    assert right * 0.68**2 == pytest.approx(0.31873279, abs=6e-9)


# ---- what is stored


def test_the_stored_problems_are_the_drawn_ones():
    stored = json.loads(FILE.read_text())
    assert [entry["parameters"] for entry in stored] == draws(len(stored))
    assert len(stored) >= 40
    for entry in stored:
        assert max(entry["accuracy"].values()) < 1e-12
    again = stored[3]
    fresh = solve(**again["parameters"])
    for name, value in again["observables"].items():
        assert fresh[name] == pytest.approx(value, rel=1e-11, abs=1e-13)


def test_quadrature_covers_the_gaussian():
    x = np.linspace(-RANGE, RANGE, 160)
    assert np.sum(density(x)) * (x[1] - x[0]) == pytest.approx(1.0, rel=1e-15)
