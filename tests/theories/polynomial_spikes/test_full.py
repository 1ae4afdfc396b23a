"""Level "full": published digits, symmetries, the potential, and the readout groups as an independent theory."""

import math

import numpy as np
import pytest

import asymptotics as asy
from asymptotics.theories.polynomial_spikes import full, rules
from asymptotics.theories.polynomial_spikes.finite_rank import solve_finite_rank
from asymptotics.theories.polynomial_spikes.full_solution import solve_full
from asymptotics.theories.polynomial_spikes.full_tables import build_tables
from asymptotics.theories.polynomial_spikes.step import Readouts, Step, direction_norm_squared, step_of, target_moments

COEFFICIENTS = (0.2, 0.8, 0.5, 0.25)
CUBIC = asy.nonlinearity("0.2 + 0.8*he1(x) + 0.5*he2(x) + 0.25*he3(x)")
CENTRED_RELU, SHIFTED_TANH, QUADRATIC = "relu(x) - 1/sqrt(2*pi)", "tanh(1.5*x + 0.8)", "x + 0.5*(x**2 - 1)"

# activation, eta, lam: ridge_objective, test_error, train_error, learned fractions; d, p, n, n0 = 500, 400, 600, 750
ROWS = [
    (CENTRED_RELU, 10, 0.1, 0.335244687413, 0.871351340287, 0.252863372146,
     (0.937394032, 0.625421615, 0.115969995, 0)),
    (CENTRED_RELU, 25, 0.1, 0.301456291780, 0.877385145290, 0.231778812301,
     (1.211066080, 0.637073952, 0.167847295, 0)),
    (SHIFTED_TANH, 8, 0.3, 0.438292060293, 0.771154927583, 0.332323558688,
     (0.965666653, 0.605110768, 0.016301273, -0.037185736)),
    (QUADRATIC, 6, 0.3, 0.290803257664, 0.993437674217, 0.226315045352,
     (1.142334800, 0.600919556, 0.146115660, 0)),
]


def step(tau, tau_r=0.0, rescaling=0.0, alignment=0.7):
    return Step(*(np.atleast_1d(np.asarray(x, dtype=float)) for x in (1.0, alignment, tau, tau_r, rescaling)))


def readouts(d=500, p=400, n=600, lam=0.1, noise_var=0.1, index=0):
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, dtype=float)) for x in (index, d, p, n, lam, noise_var)))
    return Readouts(arrays[0].astype(int), *arrays[1:])


def made(activation, target, eta, d=500, p=400, n0=750, noise_var=0.1):
    moments = target_moments(target, 1)
    sizes = [np.array([float(x)]) for x in (d, p, n0, eta, noise_var)]
    norm_squared = direction_norm_squared(moments, sizes[0], sizes[2], sizes[4])
    return step_of(asy.nonlinearity(activation), moments, *sizes, norm_squared)


def solved(activation, target, steps, cells, degrees=4, refinement=1, intercept=False):
    return solve_full(asy.nonlinearity(activation), target, steps, cells, degrees, refinement, intercept)


def tables_of(activation, target, steps, refinement=1):
    nodes = [rules.graded_nodes(*centres(steps), int(rules.node_counts(*centres(steps), refinement)[0]))
             for centres in (rules.readout_centres, rules.kappa_centres)]
    return build_tables(asy.nonlinearity(activation), target, steps, *nodes)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}, {row[1]}")
def test_reference_rows(row):
    activation, eta, lam, objective, test, train, fractions = row
    answer = solved(activation, CUBIC, made(activation, CUBIC, eta), readouts(lam=lam))
    assert answer["converged"].all() and answer["residual"] < 1e-14
    for name, value in (("ridge_objective", objective), ("test_error", test), ("train_error", train)):
        assert answer[name][0] == pytest.approx(value, abs=1e-12), name
    assert answer["overlaps"][0] / COEFFICIENTS == pytest.approx(fractions, abs=1e-9)
    assert answer["generalization_error"][0] == pytest.approx(test - 0.1, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_finer_quadrature_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    activation = (CENTRED_RELU, SHIFTED_TANH, QUADRATIC, "tanh", "softplus", "erf(x/sqrt(2))")[seed % 6]
    steps = step(10 ** rng.uniform(-2, 0.5), 10 ** rng.uniform(-2, 0.5), rng.choice([0.0, rng.uniform(-0.5, 0.5)]),
                 rng.uniform(0.2, 0.99))
    cells = readouts(*(round(10 ** rng.uniform(2, 4)) for _ in range(3)), lam=10 ** rng.uniform(-8, 1))
    coarse, fine = (solved(activation, CUBIC, steps, cells, refinement=r) for r in (1, 2))
    for name in ("test_error", "ridge_objective", "train_error", "overlaps"):
        scale = np.max(np.abs(fine[name])) if name == "overlaps" else fine[name] + 1e-3
        assert np.max(np.abs(coarse[name] - fine[name]) / scale) < 2e-10, name


@pytest.fixture(autouse=True)
def as_in_solve():
    with np.errstate(under="ignore"):
        yield


@pytest.mark.parametrize(("tau", "tau_r", "rescaling"), [
    (0.3, 0.2, 0.0), (0.0, 0.0, 0.0), (20.0, 9.0, 0.0), (0.5, 0.3, 0.1), (0.5, 0.01, 0.3), (1.0, 0.02, -0.8),
])
def test_rules_integrate_against_the_normal_density(tau, tau_r, rescaling):
    steps = step(tau, tau_r, rescaling)
    for centres in (rules.readout_centres, rules.kappa_centres):
        count = int(rules.node_counts(*centres(steps), 1)[0])
        nodes, weights = rules.graded_nodes(*centres(steps), count)
        assert count % 2 == 0 and (np.diff(nodes) > 0).all()
        moments = [float(np.sum(weights * nodes**k)) for k in range(7)]
        assert moments == pytest.approx([1, 0, 1, 0, 3, 0, 15], abs=1e-11)
        assert np.sum(weights * np.cos(nodes)) == pytest.approx(math.exp(-0.5), abs=1e-12)
        if rescaling == 0:
            assert (nodes == -nodes[:, ::-1]).all() and (weights == weights[:, ::-1]).all()
    if tau_r < 0.1 < abs(rescaling):  # where rows are rescaled to almost zero nodes are dense
        nodes, _ = rules.graded_nodes(*rules.readout_centres(steps), 200)
        place, width = -1 / rescaling, tau_r / rescaling**2
        near = nodes[np.abs(nodes - place) < 2 * width]
        assert near.size > 10


# activation, target, z, tau, v^2, rho, alpha, beta, noise_var, test_error, train_error at d = 1000
DISCRETE = [
    ("relu", "tanh", (1, -1), 1.2, (1, 1), 0.7, 2, 1, 0.05, 0.251009237738, 0.095387362704),
    ("tanh", "sin", (0.5, 2), 1, (1, 1.5), 0.8, 1.5, 1, 0, 0.135040064509, 0.045929226030),
    ("relu", "tanh", (1,), 0.8, (1.1,), 0.7, 2, 0.8, 0.05, 0.380465812151, 0.198926189007),
    ("tanh", "sin", (1,), 1.13405550928, (1.01897320046,), 0.971854444487, 0.2, 1, 0, 0.049040253842, 0.012458917811),
]


def discrete(row, d, lam=0.1, radial=False):
    """A readout with a discrete law: level "full" with its own nodes."""
    activation, target, z, tau, variance, rho, alpha, beta, noise_var = row[:9]
    steps = step(tau, alignment=rho)
    law = np.array([z], dtype=float), np.full((1, len(z)), 1 / len(z))
    kappa = rules.graded_nodes(*rules.kappa_centres(steps), 64)
    tables = build_tables(asy.nonlinearity(activation), asy.nonlinearity(target), steps, law, kappa,
                          np.array([variance], dtype=float))
    cells = readouts(d, beta * d, alpha * d, lam, noise_var)
    start = np.zeros((1, tables.z_weight.shape[1] + tables.kappa.shape[1]))
    return full.observables(tables, cells, full.solve_potential(tables, cells, start), 2, radial=radial)


@pytest.mark.parametrize("row", DISCRETE, ids=lambda row: f"{row[0]}/{row[1]} {row[2]}")
def test_discrete_readouts_are_readout_groups(row):
    answer = discrete(row, 1000)
    # the tabulated values with tanh, whose inner average needs fine steps, are right to 7e-10 only
    digits = 1e-9 if row[0] == "tanh" else 2e-12
    assert answer["test_error"][0] == pytest.approx(row[9], abs=digits)
    assert answer["train_error"][0] == pytest.approx(row[10], abs=digits)
    activation, target, z, tau, variance, rho, alpha, beta, noise_var = row[:9]
    groups = asy.SpikedRandomFeatures(
        activation=activation, target=target, spike_strength=tau, bulk_variance=variance if len(z) > 1 else variance[0],
        alignment=rho, alpha=alpha, beta=beta, lam=0.1, noise_var=noise_var, readout_levels=z,
        readout_fractions=[1 / len(z)] * len(z), n_finite=1000 * alpha,
    ).solve(["test_error", "train_error"])
    assert answer["test_error"][0] == pytest.approx(groups.test_error, rel=1e-11)
    assert answer["train_error"][0] == pytest.approx(groups.train_error, rel=1e-10)
    # the mean directions cost nothing in the limit, which is approached as 1/d
    limit = groups.problem.replace(n_finite=None).solve(["test_error"]).test_error
    far, farther = (discrete(row, d)["test_error"][0] - limit for d in (1e6, 1e7))
    assert abs(farther) < 1e-5 * limit and far == pytest.approx(10 * farther, rel=1e-2)


@pytest.mark.parametrize("activation", [CENTRED_RELU, "tanh", SHIFTED_TANH])
def test_without_rescaling_parity_halves_the_work(activation):
    target = asy.nonlinearity("0.3 + 0.8*he1(x) + 0.5*he2(x)")
    cells = readouts(lam=[1e-3, 0.1, 2.0])
    halved = tables_of(activation, target, step(0.6, 0.3))
    assert halved.sectors == 2
    whole = tables_of(activation, target, step(0.6, 0.3, 1e-300))  # a rescaling that changes nothing
    assert whole.sectors == 1 and whole.kappa.shape[1] == 2 * halved.kappa.shape[1]
    answers = []
    for tables in (halved, whole):
        start = np.zeros((3, tables.z_weight.shape[1] + tables.kappa.shape[1]))
        answers.append(full.observables(tables, cells, full.solve_potential(tables, cells, start), 5))
    for name, one in answers[0].items():
        assert one == pytest.approx(answers[1][name], rel=1e-12, abs=1e-13), name


@pytest.mark.parametrize("rescaling", [0.0, 0.2])
def test_the_potential_is_convex_and_has_this_gradient(rescaling):
    tables = tables_of(SHIFTED_TANH, CUBIC, step(0.7, 0.3, rescaling))
    cells = readouts()
    neurons = tables.z_weight.shape[1]
    root = np.sqrt(np.concatenate([tables.z_weight, tables.kappa_weight], axis=1))[0]

    def psi(point):
        a, b = point[:neurons], point[neurons:]
        gz, e = np.exp(a), np.exp(b)
        w, wk = tables.z_weight[0], tables.kappa_weight[0]
        beta, load = 400 / 500, 600 / 400
        total = w @ (gz - a) + wk @ (0.1 * e - load * b) + (w * gz) @ tables.noise[0] @ (wk * e)
        for slope in tables.slope[0]:
            T = np.sqrt(beta * w * gz)[:, None] * slope * np.sqrt(wk * e)
            total += np.linalg.slogdet(np.eye(neurons) + T @ T.T)[1] / beta
        return total

    rng = np.random.default_rng(0)
    for _ in range(5):
        point, direction = rng.normal(size=(2, root.size))
        gradient, hessian = full.potential(tables, cells, point[None])
        along = gradient[0] * root @ direction
        values = np.array([psi(point + t * direction) for t in (-1e-4, 0, 1e-4)])
        assert (values[2] - values[0]) / 2e-4 == pytest.approx(along, rel=1e-6, abs=1e-9)
        bent = (root * direction) @ hessian[0] @ (root * direction)
        assert bent > 0
        slopes = [full.potential(tables, cells, (point + t * direction)[None])[0][0] * root @ direction
                  for t in (-1e-4, 1e-4)]
        assert (slopes[1] - slopes[0]) / 2e-4 == pytest.approx(bent, rel=1e-5)
        assert psi(point) <= 0.5 * (psi(point + direction) + psi(point - direction))


def test_train_error_is_a_derivative_in_the_ridge():
    steps = made(SHIFTED_TANH, CUBIC, 8)
    h = 1e-4
    lam = 0.3 * (1 + h * np.array([-2, -1, 0, 1, 2]))
    objective = solved(SHIFTED_TANH, CUBIC, steps, readouts(lam=lam))["ridge_objective"]
    slope = (objective[0] - 8 * objective[1] + 8 * objective[3] - objective[4]) / (12 * h * 0.3)
    train = solved(SHIFTED_TANH, CUBIC, steps, readouts(lam=0.3))["train_error"][0]
    assert train == pytest.approx(objective[2] - 0.3 * slope, rel=1e-9)


def test_symmetries():
    steps, cells = step(0.6, 0.3, 0.15), readouts()
    answer = solved(CENTRED_RELU, CUBIC, steps, cells)
    mirrored = solved(CENTRED_RELU, CUBIC, step(-0.6, 0.3, -0.15), cells)  # z -> -z
    flipped = solved(CENTRED_RELU, asy.nonlinearity("0.2 - 0.8*he1(x) + 0.5*he2(x) - 0.25*he3(x)"),
                     step(0.6, 0.3, 0.15, -0.7), cells)  # theta -> -theta
    for name in ("test_error", "ridge_objective", "train_error"):
        assert mirrored[name] == pytest.approx(answer[name], rel=1e-12)
        assert flipped[name] == pytest.approx(answer[name], rel=1e-12)
    assert flipped["overlaps"] == pytest.approx(answer["overlaps"] * [1, -1, 1, -1], abs=1e-12)


def test_large_and_small_ridges():
    steps = made(CENTRED_RELU, CUBIC, 10)
    second = CUBIC.second_moment() + 0.1
    large = solved(CENTRED_RELU, CUBIC, steps, readouts(lam=1e10))
    for name in ("test_error", "ridge_objective", "train_error"):
        assert large[name][0] == pytest.approx(second, rel=1e-6)
    lam = np.geomspace(1e-12, 1e-8, 5)
    for n in (300, 600):  # both sides of n = p
        small = solved(CENTRED_RELU, CUBIC, steps, readouts(n=n, lam=lam))
        assert small["converged"].all() and np.max(small["residual"]) < 1e-13
        assert small["test_error"] == pytest.approx(small["test_error"][0], rel=1e-6)
    peak = solved(CENTRED_RELU, CUBIC, steps, readouts(n=400, lam=lam))["test_error"]
    assert peak[:-1] / peak[1:] == pytest.approx(math.sqrt(10), rel=1e-2)


def test_noise_is_linear_at_a_fixed_step():
    steps = step(0.6, 0.3, 0.15)
    answer = solved(CENTRED_RELU, CUBIC, steps, readouts(noise_var=[0.0, 0.1, 0.2]))
    for name in ("test_error", "ridge_objective", "train_error"):
        assert np.diff(answer[name], 2) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("level", ["full", "finite_rank"])
def test_an_intercept_is_the_best_shift_of_the_labels(level):
    steps, cells = step(0.6, 0.3, 0.15), readouts()
    activation = asy.nonlinearity(SHIFTED_TANH)

    def answer(shift, intercept=False):
        target = asy.nonlinearity(f"{0.2 - shift!r} + 0.8*he1(x) + 0.5*he2(x) + 0.25*he3(x)")
        if level == "full":
            return solve_full(activation, target, steps, cells, 4, 1, intercept)
        names = ("ridge_objective", "test_error", "train_error", "overlaps")
        return solve_finite_rank(activation, target_moments(target, 24), steps, cells, names, 1, intercept, 4)

    objective = np.array([float(answer(shift)["ridge_objective"][0]) for shift in (-1.0, 0.0, 1.0)])
    best = 0.5 * (objective[0] - objective[2]) / (objective[0] - 2 * objective[1] + objective[2])
    assert abs(best) > 0.01
    fitted, shifted = answer(0.0, intercept=True), answer(float(best))
    for name in ("ridge_objective", "test_error", "train_error"):
        assert fitted[name] == pytest.approx(shifted[name], rel=1e-9), name
    assert fitted["overlaps"][0] == pytest.approx(shifted["overlaps"][0] + [best, 0, 0, 0], abs=1e-9)
