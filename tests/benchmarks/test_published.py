"""The published algorithm solves the equations that the library solves, and the benchmark that compares them runs."""

import json

import numpy as np
import pytest

from asymptotics.gaussian import names
from benchmarks import giant_step
from benchmarks.published_giant_step import Bulk, PublishedAlgorithm, sample_bulk

ALPHA = 0.9


@pytest.fixture(scope="module")
def limit():
    return giant_step.problem(giant_step.CURVE, ALPHA, giant_step.LAM).solve()


def limiting_bulk(size, variance):
    """Quantiles of the spectrum at p = d, where roots of eigenvalues follow the quarter-circle law; mean overlaps."""
    root = np.linspace(0, 2, 200_001)
    distribution = (root * np.sqrt(4 - root**2) / 2 + 2 * np.arcsin(root / 2)) / np.pi
    eigenvalues = variance * np.interp((np.arange(size) + 0.5) / size, distribution, root) ** 2
    return Bulk(eigenvalues, np.full(size, variance), eigenvalues)


def test_without_sampling_it_converges_to_the_limit(limit):
    """With the limiting spectrum in place of one matrix, only the tolerance is between the two."""
    algorithm = giant_step.published_algorithm(10)
    algorithm.bulk = limiting_bulk(4000, float(limit.bulk_variance))
    solution = algorithm.solve(ALPHA, giant_step.LAM, tolerance=1e-7)
    assert solution.test_error == pytest.approx(limit.test_error, rel=1e-5)
    for name, value in solution.parameters._asdict().items():
        assert value == pytest.approx(getattr(limit, name), rel=1e-5), name


def test_with_noise_too():
    noisy = giant_step.problem(giant_step.CURVE, ALPHA, giant_step.LAM).replace(noise_var=0.2, noise_var_step=0).solve()
    algorithm = giant_step.published_algorithm(10)
    algorithm.bulk = limiting_bulk(4000, float(noisy.bulk_variance))
    solution = algorithm.solve(ALPHA, giant_step.LAM, noise_var=0.2, tolerance=1e-6)
    assert solution.test_error == pytest.approx(noisy.test_error, rel=1e-4)


@np.errstate(under="ignore")
def test_stored_outputs_of_the_public_notebook_lack_an_order_parameter(limit):
    """theory.ipynb stores 0.043118 at alpha = 0.9: its equations with its variance and th = 0."""
    c1 = names.nonlinearity("tanh").hermite_coefficients(1)[1]
    r, c, gamma = (float(value) for value in (limit.spike_strength, limit.bulk_variance, limit.alignment))
    bulk = limiting_bulk(1500, 1 + (c - 1) * c1**2)
    with_th, without = (
        PublishedAlgorithm(np.tanh, np.sin, r, 1 + (c - 1) * c1**2, gamma, part).solve(
            ALPHA, giant_step.LAM, tolerance=1e-6).test_error
        for part in (bulk, bulk._replace(along_spike=0 * bulk.along_spike))
    )
    assert without == pytest.approx(0.043118, rel=2e-3)
    assert with_th < 0.985 * 0.043118


def test_sampled_matrices_scatter_around_the_limit(limit):
    """At d = 200 the test error of one matrix scatters by 3 % (like 1/sqrt(d)): 1.5 % for the mean of four."""
    algorithms = [giant_step.published_algorithm(200, seed) for seed in range(4)]
    solutions = [algorithm.solve(ALPHA, giant_step.LAM) for algorithm in algorithms]
    assert np.mean([solution.test_error for solution in solutions]) == pytest.approx(limit.test_error, rel=0.06)
    assert np.mean([solution.parameters.V1 for solution in solutions]) == pytest.approx(limit.V1, rel=0.02)
    assert np.mean([solution.parameters.m for solution in solutions]) == pytest.approx(limit.m, rel=0.01)


def test_sampled_bulk_is_one_matrix():
    """Rows of squared norm c: the trace is c d less what lies along v; overlaps are those with orthonormal vectors."""
    d, variance = 50, 1.3
    bulk = sample_bulk(d, variance, np.random.default_rng(0))
    spike = np.sum(bulk.along_spike) / d
    assert np.sum(bulk.eigenvalues) + spike == pytest.approx(variance * d)
    assert spike == pytest.approx(variance, rel=1.0)
    assert np.min(bulk.eigenvalues) == pytest.approx(0, abs=1e-12)  # v is projected out


def test_inner_moments_are_those_of_the_library():
    """To the accuracy of 19 nodes, which is about 1e-4 for tanh and complete for sin."""
    algorithm = PublishedAlgorithm(np.tanh, np.sin, 1.1, 1.02, 0.9, Bulk(*np.ones((3, 1))))
    activation, target = names.nonlinearity("tanh"), names.nonlinearity("sin")
    for kappa in (-2.0, 0.3):
        mu0, mu1, mu2_sq, _ = activation.moments(1.1 * kappa, 1.02)
        moments = algorithm.mu0(kappa), algorithm.mu1(kappa), algorithm.mu2_sq(kappa)
        np.testing.assert_allclose(moments, (mu0, mu1, mu2_sq), atol=1e-4)
        learned = target.moments(0.9 * kappa, 1 - 0.9**2)
        slope = algorithm.rest * learned.mu1
        square = learned.mu0**2 + slope**2 + learned.mu2_sq
        moments = algorithm.h(kappa), algorithm.h1(kappa), algorithm.hh(kappa)
        np.testing.assert_allclose(moments, (learned.mu0, slope, square), rtol=1e-12)


def test_benchmark_runs_and_prints_tables(monkeypatch, tmp_path, capsys):
    for name, value in (("ALPHAS", (0.2,)), ("SHAPES", ((1, 1), (2, 3))), ("MEMORY_SHAPES", ((2, 3),)),
                        ("FRESH_PROCESSES", 1)):
        monkeypatch.setattr(giant_step, name, value)
    giant_step.main(["--d", "20", "--repeats", "1", "--json", str(tmp_path / "timings.json")])
    tables = capsys.readouterr().out.split("\n\n")
    assert len(tables) == 7
    for table in tables[1:]:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    timings = json.loads((tmp_path / "timings.json").read_text())
    assert timings["curve"]["values"] == pytest.approx([0.0484829019195])
    assert [len(grid["seconds"]) for grid in timings["grids"]] == [1] * 8
    assert timings["memory"][0]["peak"] >= timings["memory"][0]["before"] > 10 * giant_step.MEGABYTE
    for lines in timings["profiles"].values():
        assert 0.9 < sum(line["share"] for line in lines) <= 1 + 1e-12


def test_every_solve_is_timed_from_nothing():
    giant_step.solve_curve()
    assert names._from_text.cache_info().currsize
    giant_step.clear_caches()
    assert not names._from_text.cache_info().currsize
