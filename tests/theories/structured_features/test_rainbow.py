"""RainbowNetwork against nested bisection in many digits, sampled matrices, other theories and closed forms."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import AccuracyWarning, FeatureRidge, ParameterError, RainbowNetwork
from asymptotics.spectra.layers import Chain, chain_at, solve_chain
from asymptotics.spectra.random_features import RandomFeatures, resolvent
from tests.reference import structured_features as reference

TANH = {"activations": ["tanh"], "widths": [700], "d": 500, "label_second_moment": 1.1}
ERF = {"activations": ["erf(x/sqrt(2))"] * 2, "widths": [600, 400], "d": 500, "label_second_moment": 1.05}
RELU = {"activations": ["relu"], "widths": [600], "d": 400, "label_second_moment": 1.2}
ROWS: list[tuple[dict[str, Any], dict[str, float]]] = [
    (TANH | {"n": 600, "lam": 6}, {
        "effective_ridge": 0.052625657657595824, "df1": 485.98717304326215, "df2": 381.15454183176143,
        "test_error": 0.6993841513695643, "train_error": 0.025253449798574273}),
    (ERF | {"n": 700, "lam": 0.7}, {
        "effective_ridge": 0.0021355665860267633, "df1": 372.2181342505668, "df2": 349.7159996698028,
        "test_error": 0.7998288347350366, "train_error": 0.1753762674538974}),
    (RELU | {"n": 300, "lam": 3}, {
        "effective_ridge": 0.25070807459943706, "df1": 288.0338915896778, "df2": 161.99544384727758,
        "test_error": 1.3387678986519913}),
]
SHAPES: dict[str, tuple[list[float], list[float], list[int], list[float], list[float]]] = {  # a, b, widths, s, t
    "one layer": ([0.4], [0.03], [70], [1.0], [1.0]),
    "two layers": ([0.4, 0.5], [0.03, 0.02], [60, 40], [1.0], [1.0]),
    "narrow in the middle": ([0.4, 0.5, 0.6], [0.03, 0.02, 0.01], [60, 10, 70], [1.0], [1.0]),
    "five layers": ([0.4, 0.5, 0.6, 0.7, 0.3], [0.03, 0.02, 0.01, 0.1, 1e-6], [60, 50, 70, 55, 45], [1.0], [1.0]),
    "linear": ([1.0, 0.5], [0.0, 0.0], [60, 70], [1.0], [1.0]),
    "linear and narrow": ([1.0, 0.5], [0.0, 0.0], [30, 70], [1.0], [1.0]),
    "linear last": ([0.4, 0.5], [0.03, 0.0], [60, 40], [1.0], [1.0]),
    "linear first": ([0.4, 0.5], [0.0, 0.02], [40, 60], [1.0], [1.0]),
    "structured": ([0.4, 0.5], [0.03, 0.02], [60, 40], [2.0, 0.5, 1e-3], [0.3, 0.6, 0.1]),
}


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_reference_rows(row: int) -> None:
    given, wanted = ROWS[row]
    found = RainbowNetwork(**given).solve()
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=2e-14)


def chain_of(name: str) -> Chain:
    a, b, widths, s, t = SHAPES[name]
    return Chain(np.array(s), np.full(len(s), 1 / len(s)), np.array(t), np.array(a), np.array(b),
                 np.array(widths, dtype=np.float64))


def problem_of(name: str, chain: Chain, monkeypatch: pytest.MonkeyPatch, **cells: Any) -> RainbowNetwork:
    """A problem whose layers have these coefficients."""
    monkeypatch.setattr(RainbowNetwork, "chain", chain)
    return RainbowNetwork(activations=["tanh"] * chain.depth, widths=[int(p) for p in chain.widths], d=48,
                          label_second_moment=1.3, **cells)


@pytest.mark.parametrize("name", SHAPES)
def test_any_architecture_in_many_digits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = chain_of(name)
    rank = float(solve_chain(chain, np.array([48.0]), np.ones(1), np.ones(1)).rank[0])
    cells = [(20.0, 1e-14), (0.6 * rank, 10.0), (rank - 1e-3, 1e-6), (rank, 1e-14), (rank + 1e-3, 1e-6),
             (1.7 * rank, 1e-14), (1e5, 0.1), (30.0, 1e4)]
    problem = problem_of(name, chain, monkeypatch, n=np.array([n for n, _ in cells]),
                         lam=np.array([lam for _, lam in cells]))
    found = problem.solve()
    assert np.all(found.converged)
    for place, (n, lam) in enumerate(cells):
        wanted = reference.chain(chain.eigenvalues, 48 * chain.shares, chain.signal, chain.slopes, chain.noises,
                                 [int(p) for p in chain.widths], 1.3, n, lam, digits=44)
        for observable, value in wanted.items():
            if value is not None:
                np.testing.assert_allclose(found.values[observable][place], float(value), rtol=1e-11,
                                           err_msg=f"{observable} {n} {lam}")


@pytest.mark.slow
@pytest.mark.parametrize(("n", "lam"), [(20.0, 0.1), (70.0, 1e-6)])
def test_structured_rows_in_many_digits(n: float, lam: float, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = np.array([[1.0, 1.0, 1.0], [0.3, 1.0, 5.0]])
    chain = chain_of("two layers")._replace(columns=columns)
    found = problem_of("two layers", chain, monkeypatch, n=n, lam=lam).solve()
    wanted = reference.chain([1.0], [48.0], [1.0], chain.slopes, chain.noises, [60, 40], 1.3, n, lam, digits=28,
                             columns=columns)
    for observable, value in wanted.items():
        if value is not None:
            np.testing.assert_allclose(found.values[observable], float(value), rtol=1e-8, err_msg=observable)


def test_structured_rows_of_sampled_matrices() -> None:
    rng = np.random.default_rng(6)
    d, widths = 500, [600, 550, 450]
    c = np.geomspace(0.05, 4, 550)
    scales = [1.0, rng.permutation(np.geomspace(0.2, 3, 600)), rng.permutation(c)]
    weights = [rng.normal(size=(p, q)) * np.sqrt(scale) / np.sqrt(q)
               for p, q, scale in zip(widths, [d, *widths], scales, strict=False)]
    theta = rng.normal(size=d)
    theta /= np.linalg.norm(theta)
    lam = np.array([0.1, 5.0])
    own = RainbowNetwork.from_weights(weights, ["tanh"] * 3, theta, noise_var=0.1, n=400, lam=lam).solve()
    columns = np.stack([np.ones(600), np.geomspace(0.2, 3, 600), np.geomspace(0.05, 4, 600)])
    limit = RainbowNetwork(activations=["tanh"] * 3, widths=widths, d=d, n=400, lam=lam, label_second_moment=1.1,
                           column_eigenvalues=columns)
    found, plain = limit.solve(), limit.replace(column_eigenvalues=None).solve()
    for name in ("effective_ridge", "df1", "df2"):
        np.testing.assert_allclose(found.values[name], own.values[name], rtol=0.02)
        assert np.all(np.abs(plain.values[name] / own.values[name] - 1) > 0.005)
    rest = found.test_error - found.bias - found.variance
    np.testing.assert_allclose(rest, rest[0], rtol=1e-9)
    alike = limit.replace(column_eigenvalues=np.ones((3, 2))).solve()
    np.testing.assert_array_equal(alike.test_error, plain.test_error)
    with pytest.raises(ParameterError, match="column_eigenvalues: must be 1 in the first row"):
        limit.replace(column_eigenvalues=2 * np.ones((3, 2)))
    with pytest.raises(ParameterError, match="column_eigenvalues: must have a row for each of 3 layers, got 2"):
        limit.replace(column_eigenvalues=np.ones((2, 2)))


@pytest.mark.parametrize("name", SHAPES)
def test_no_ridge_is_the_limit_of_a_small_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = chain_of(name)
    rank = float(solve_chain(chain, np.array([48.0]), np.ones(1), np.ones(1)).rank[0])
    n = np.array([0.5 * rank, 1.5 * rank, 10 * rank])
    bare, small = (problem_of(name, chain, monkeypatch, n=n, lam=lam).solve() for lam in (0.0, 1e-16))
    for observable, values in bare.values.items():
        np.testing.assert_allclose(values, small.values[observable], rtol=1e-8, atol=1e-8, err_msg=observable)
    np.testing.assert_array_equal(bare.effective_ridge[1:], 0)
    np.testing.assert_array_equal(bare.df1[1:], rank)
    np.testing.assert_allclose(bare.bias[1:], 0, atol=1e-300)
    with pytest.warns(AccuracyWarning, match="diverges in 1 cells"):
        assert problem_of(name, chain, monkeypatch, n=rank, lam=0.0).solve().test_error == np.inf


def test_errors_add_up() -> None:
    problem = RainbowNetwork(**ERF, **asy.grid(n=np.geomspace(20, 3000, 12), lam=np.geomspace(1e-9, 100, 11)))
    found = problem.solve()
    rest = found.test_error - found.bias - found.variance
    np.testing.assert_allclose(rest, rest[0, 0], rtol=1e-11)
    np.testing.assert_allclose(found.test_error, rest + found.bias_fixed_design + found.variance_noise, rtol=1e-11)
    n, lam = problem.n.values[:, None], problem.lam.values
    np.testing.assert_allclose(n * found.ridge_objective, n * found.train_error + lam * found.weight_norm, rtol=1e-11)
    np.testing.assert_array_equal(found.effective_ridges[..., -1], found.effective_ridge)
    assert np.all(np.diff(found.effective_ridges, axis=-1) < 0)


def test_one_linear_layer_of_large_width_is_the_input_itself() -> None:
    s, t, shares = np.array([2.0, 0.5]), np.array([0.6, 0.4]), np.array([30.0, 70.0])
    n, lam = np.array([40.0, 150.0]), 3.0
    inputs = FeatureRidge(eigenvalues=s, multiplicities=shares, target_weights=s * t, residual_variance=0.2, n=n,
                          lam=lam).solve()
    wide = RainbowNetwork(activations=["linear"], widths=[10**12], d=100, n=n, lam=lam * 10**12 / 100,
                          label_second_moment=1.2, input_eigenvalues=s, input_multiplicities=shares,
                          input_target_weights=s * t).solve()
    np.testing.assert_allclose(wide.test_error, inputs.test_error, rtol=1e-9)
    np.testing.assert_allclose(wide.df1, inputs.df1, rtol=1e-9)


def test_one_layer_is_the_random_features_of_the_other_theories() -> None:
    rng = np.random.default_rng(0)
    moments = asy.nonlinearity("tanh").standard_moments
    p, n, d, lam = rng.integers(50, 900, 40), rng.integers(50, 900, 40), rng.integers(50, 900, 40), 10.0 ** rng.uniform(
        -6, 2, 40)
    features = RandomFeatures(np.full(40, float(moments.mu1**2)), np.full(40, float(moments.mu2_sq)), p * 1.0, n * 1.0,
                              d * 1.0)
    other = resolvent(features, lam / p)
    for index in range(40):
        own = RainbowNetwork(activations=["tanh"], widths=[int(p[index])], d=int(d[index]), n=int(n[index]),
                             lam=lam[index], label_second_moment=1.0).solve()
        np.testing.assert_allclose(own.effective_ridge * other.r_w[index] / n[index], 1 / n[index], rtol=1e-12)


def test_sampled_matrices() -> None:
    """The chain against the exact covariance of given weights, and that against itself through from_weights."""
    rng = np.random.default_rng(1)
    widths, d = [750, 650, 450], 600
    weights = [rng.normal(size=(p, q)) / np.sqrt(q) for p, q in zip(widths, [d, *widths], strict=False)]
    theta = rng.normal(size=d)
    theta /= np.linalg.norm(theta)
    own = RainbowNetwork.from_weights(weights, ["tanh"] * 3, theta, noise_var=0.1, n=300.0, lam=np.array([0.05, 5.0]))
    limit = RainbowNetwork(activations=["tanh"] * 3, widths=widths, d=d, n=300, lam=np.array([0.05, 5.0]),
                           label_second_moment=1.1)
    found, wanted = own.solve(), limit.solve()
    for name in ("effective_ridge", "df1", "df2"):
        np.testing.assert_allclose(found.values[name], wanted.values[name], rtol=0.01)
    # one target of the many that the limit averages over: errors scatter by 1/sqrt(d)
    np.testing.assert_allclose(found.test_error, wanted.test_error, rtol=0.05)
    # the same eigenvalues under the density of the limit
    edges = np.quantile(own.eigenvalues, [0.1, 0.3, 0.5, 0.7, 0.9])
    for low, high, mass in zip(edges, edges[1:], [0.2] * 4, strict=False):
        nodes, halves = np.polynomial.legendre.leggauss(40)
        x = 0.5 * (low + high) + 0.5 * (high - low) * nodes
        assert abs(0.5 * (high - low) * (limit.isel(lam=0).density(x) @ halves) - mass) < 0.02


def test_a_linear_layer_has_the_density_of_marchenko_and_pastur() -> None:
    x = np.linspace(0.12, 2.8, 50)
    found = RainbowNetwork(activations=["linear"], widths=[400], d=800, n=1, lam=1, label_second_moment=2).density(x)
    low, high = (1 - 0.5**0.5) ** 2, (1 + 0.5**0.5) ** 2
    np.testing.assert_allclose(found, np.sqrt((high - x) * (x - low)) / (np.pi * x), rtol=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_mass_of_the_density(depth: int) -> None:
    widths = [700, 500, 600]
    problem = RainbowNetwork(activations=["tanh"] * depth, widths=widths[:depth], d=400, n=1, lam=1,
                             label_second_moment=2)
    atom = problem.chain.noises[-1]
    log_x = np.linspace(np.log(1e-4), np.log(20), 20001)
    x = np.exp(log_x)
    density = np.where(np.abs(x / atom - 1) > 1e-2, problem.density(x) * x, 0.0)
    step = log_x[1] - log_x[0]
    mass = min(1, [400, *widths][depth - 1] / widths[depth - 1])
    np.testing.assert_allclose(np.sum(density) * step, mass, atol=6e-4)
    mean = np.sum(density * x) * step + (1 - mass) * atom
    np.testing.assert_allclose(mean, problem.chain.mean_traces()[-1], rtol=1e-3)


def test_a_target_on_the_last_features() -> None:
    """The chain with theta on its own features is a FeatureRidge on their density."""
    problem = RainbowNetwork(activations=["tanh"] * 2, widths=[70, 50], d=40, label_second_moment=0.9,
                             target_layer="features", signal=2.0, **asy.grid(n=[30.0, 80.0], lam=[0.1, 3.0]))
    found = problem.solve()
    log_x = np.linspace(np.log(1e-4), np.log(50), 40001)
    x = np.exp(log_x)
    weights = 50 * problem.density(x) * x * (log_x[1] - log_x[0])
    noise = 0.9 - 2 * problem.chain.mean_traces()[-1]
    own = FeatureRidge(eigenvalues=x, multiplicities=np.maximum(weights, 1e-300),
                       target_weights=2 / 50 * weights * x**2, residual_variance=noise, n=problem.n,
                       lam=problem.lam).solve()
    for name in ("effective_ridge", "test_error", "train_error", "ridge_objective", "weight_norm", "bias"):
        np.testing.assert_allclose(found.values[name], own.values[name], rtol=1e-3, err_msg=name)


def test_the_chain_at_a_given_ridge() -> None:
    chain = chain_of("narrow in the middle")
    d, n, lam = np.full(30, 48.0), np.geomspace(3, 300, 30), np.geomspace(1e-9, 10, 30)
    solved = solve_chain(chain, d, n, lam).state
    again = chain_at(chain, d, solved.kappa).state
    for one, other in zip(solved, again, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_the_best_ridge() -> None:
    problem = RainbowNetwork(**TANH, **asy.grid(n=[100.0, 700.0, 2000.0]), lam=1.0)
    best = problem.optimal_ridge()
    errors = best.solve().test_error
    for factor in (0.9, 1.1):
        assert np.all(best.replace(lam=best.lam * factor).solve().test_error > errors)


def test_grids_over_the_input_dimension() -> None:
    grid = RainbowNetwork(**{**TANH, **asy.grid(d=[200, 500, 900], n=[100.0, 700.0])}, lam=1.0).solve()
    for place, d in enumerate([200, 500, 900]):
        cell = RainbowNetwork(**{**TANH, "d": d}, n=np.array([100.0, 700.0]), lam=1.0).solve()
        np.testing.assert_allclose(grid.test_error[place], cell.test_error, rtol=1e-13)


def test_empty_grids() -> None:
    for axes in ({"n": [], "lam": 1.0}, {"n": 3.0, "lam": []}):
        empty = RainbowNetwork(**TANH, **axes)
        assert empty.solve().effective_ridges.shape == (0, 2)
        assert empty.isel(**{empty.dims[0]: slice(0, 0)}).solve().test_error.shape == (0,)
    assert RainbowNetwork(**TANH, n=[], lam=1.0).optimal_ridge().shape == (0,)


def test_large_ridges_keep_their_relative_accuracy() -> None:
    """df2 of order kappa^-2, where df1 is of order kappa^-1."""
    problem = RainbowNetwork(**ERF, n=100.0, lam=np.array([1e3, 1e9, 1e30]))
    found = problem.solve()
    chain = problem.chain
    first = chain.mean_traces()[-1] * chain.widths[-1] / found.effective_ridge
    np.testing.assert_allclose(found.df1[1:], first[1:], rtol=1e-6)
    scaled = found.df2 * found.effective_ridge**2
    np.testing.assert_allclose(scaled[2], scaled[1], rtol=1e-6)


# ---- given weights


def test_neurons_have_moments_of_their_own() -> None:
    """Against the covariance of features measured on samples, relu with biases in two layers."""
    rng = np.random.default_rng(2)
    weights = [rng.normal(size=(30, 40)) / np.sqrt(40), rng.normal(size=(20, 30)) / np.sqrt(30)]
    biases = [0.3 * rng.normal(size=30), 0.3 * rng.normal(size=20)]
    theta = rng.normal(size=40) / np.sqrt(40)
    problem = RainbowNetwork.from_weights(weights, ["relu", "relu"], theta, biases=biases, noise_var=0.1, n=100, lam=1)
    x = rng.normal(size=(400000, 40))
    features = x
    for matrix, bias in zip(weights, biases, strict=True):
        features = np.maximum(features @ matrix.T + bias, 0)
    covariance = features.T @ features / len(x)
    np.testing.assert_allclose(np.sum(problem.eigenvalues), np.trace(covariance), rtol=0.02)
    np.testing.assert_allclose(np.sort(problem.eigenvalues)[-5:], np.linalg.eigvalsh(covariance)[-5:], rtol=0.1)
    measured = features.T @ (x @ theta) / len(x)
    np.testing.assert_allclose(np.sum(problem.target_weights), measured @ measured, rtol=0.05)


def test_an_intercept_takes_the_mean_away() -> None:
    rng = np.random.default_rng(3)
    weights, theta = [rng.normal(size=(60, 50)) / np.sqrt(50)], np.ones(50) / np.sqrt(50)
    plain, centred = (RainbowNetwork.from_weights(weights, ["relu"], theta, intercept=intercept, n=100, lam=1)
                      for intercept in (False, True))
    assert np.max(plain.eigenvalues) > 5 > np.max(centred.eigenvalues)
    np.testing.assert_allclose(np.sum(plain.eigenvalues) - np.sum(centred.eigenvalues), 60 / (2 * np.pi), rtol=0.05)


def test_a_single_index_target() -> None:
    rng = np.random.default_rng(4)
    weights, theta = [rng.normal(size=(60, 50)) / np.sqrt(50)], rng.normal(size=50)
    given = RainbowNetwork.from_weights(weights, ["tanh"], theta, link="sin", noise_var=0.1, n=100, lam=1)
    linear = RainbowNetwork.from_weights(weights, ["tanh"], theta * np.exp(-0.5) / np.linalg.norm(theta),
                                         noise_var=0.1 + 0.5 * (1 - np.exp(-2)) - np.exp(-1), n=100, lam=1)
    np.testing.assert_allclose(given.solve().test_error, linear.solve().test_error, rtol=1e-9)


def test_a_spike_is_warned_of() -> None:
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(60, 50)) / np.sqrt(50)
    spiked = matrix + 20 * np.outer(rng.normal(size=60), rng.normal(size=50)) / np.sqrt(60 * 50)
    theta = np.ones(50) / np.sqrt(50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RainbowNetwork.from_weights([matrix], ["tanh"], theta, n=100, lam=1)
        with pytest.raises(AccuracyWarning, match="the weights have a spike"):
            RainbowNetwork.from_weights([spiked], ["tanh"], theta, n=100, lam=1)


# ---- bad input


@pytest.mark.parametrize(("changes", "message"), [
    ({"widths": [600, 400]}, "widths: must have as many elements as there are activations, 1, got 2"),
    ({"widths": [0]}, "widths: must be >= 1, got 0"),
    ({"activations": []}, "activations: must be a list of names"),
    ({"activations": ["relu", "tanh"], "widths": [3, 3]}, r"activations\[0\]: must have mean 0 at its variance 1"),
    ({"activations": ["x**2 - 1"]}, r"activations\[0\]: must have a linear part"),
    ({"label_second_moment": 0.5}, "label_second_moment: must be >= 1, the second moment of the linear target"),
    ({"input_eigenvalues": [1.0]}, "input_target_weights: must be given with input_eigenvalues and target_l"),
    ({"input_target_weights": [1.0]}, "input_target_weights: must be given with input_eigenvalues only"),
    ({"input_eigenvalues": [1.0], "input_target_weights": [1.0], "input_multiplicities": [7.0]},
     "d: must be the sum of input_multiplicities, 7, got 500"),
])
def test_bad_input(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=f"^{message}"):
        RainbowNetwork(**(TANH | {"n": 10, "lam": 1} | changes))


@pytest.mark.parametrize(("weights", "options", "message"), [
    ([], {}, "weights: must be a list of matrices"),
    ([[[1.0, np.nan]]], {}, r"weights\[0\]: must be finite numbers"),
    ([np.ones((3, 2)), np.ones((3, 2))], {}, r"weights\[1\]: must have as many columns as weights\[0\] has rows, 3"),
    ([np.ones((3, 3))], {}, "target: must have as many elements as the first weights have columns, 3, got 2"),
    ([np.ones((3, 2))], {"activations": "tanh"}, "activations: must be a list of 1 activations"),
    ([np.ones((3, 2))], {"noise_var": -1}, "noise_var: must be a finite number >= 0, got -1"),
    ([np.ones((3, 2))], {"biases": 1}, "biases: must be a list of 1 vectors"),
    ([np.ones((3, 2))], {"link": "nonsense("}, "link: "),
    ([np.ones((3, 2))], {"intercept": np.ones(2)}, "intercept: must be true or false"),
    ([np.zeros((3, 2))], {}, r"weights\[0\]: must not all be zero"),
    ([np.ones((3, 2))], {"biases": [np.ones(2)]}, r"biases\[0\]: must have 3 elements, got 2"),
])
def test_bad_weights(weights: Any, options: dict[str, Any], message: str) -> None:
    given = {"activations": ["tanh"] * max(1, len(weights)), "target": [1.0, 0.0], "n": 10, "lam": 1} | options
    with pytest.raises(ParameterError, match=f"^{message}"):
        RainbowNetwork.from_weights(weights, **given)


def test_sound_with_all_warnings_as_errors() -> None:
    with np.errstate(all="raise", under="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", AccuracyWarning)
        for given in (TANH, ERF, RELU, {**TANH, "activations": ["linear"]},
                      {**TANH, "activations": ["linear"], "widths": [500]}):
            found = RainbowNetwork(**given, n=np.array([[1e-3], [50.0], [400.0], [500.0], [700.0], [1e9]]),
                                   lam=np.array([0, 1e-100, 1e-9, 1.0, 1e100])).solve()
            assert np.all(found.converged)
