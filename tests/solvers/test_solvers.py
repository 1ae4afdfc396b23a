"""The batched solvers on problems with known answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymptotics.solvers import increasing_root, minimise_scalar, newton, solve_2x2, solve_spd, tiles

FIXED = settings(max_examples=100, deadline=None, derandomize=True)


def softplus_well(a, b, p, q):
    """Convex potential log(1 + e^(x - a)) + log(1 + e^(y - b)) + log(1 + e^(x + y)) - p x - q y, Newton-wise."""

    def evaluate(point, rows):
        x, y = point
        s1, s2, s3 = (1 / (1 + np.exp(-np.clip(u, -500, 500))) for u in (x - a[rows], y - b[rows], x + y))
        gradient = np.stack([s1 + s3 - p[rows], s2 + s3 - q[rows]])
        d1, d2, d3 = s1 * (1 - s1), s2 * (1 - s2), s3 * (1 - s3)
        return gradient, np.stack([np.stack([d1 + d3, d3]), np.stack([d3, d2 + d3])]) + 1e-300, gradient

    return evaluate


def test_newton_converges_everywhere_and_cells_do_not_feel_each_other():
    rng = np.random.default_rng(0)
    shape = (300, 2)
    a, b = rng.uniform(-20, 20, (2, *shape))
    p, q = rng.uniform(0.05, 0.95, (2, *shape))
    evaluate = softplus_well(a, b, p, q)
    start = rng.uniform(-5, 5, (2, *shape))
    result = newton(evaluate, start)
    assert result.converged.all()
    gradient = evaluate(result.point, np.arange(300))[0]
    assert np.abs(gradient).max() < 1e-12
    for row in (0, 17, 299):
        alone = newton(softplus_well(*(v[row:row + 1] for v in (a, b, p, q))), start[:, row:row + 1])
        np.testing.assert_array_equal(alone.point[:, 0], result.point[:, row])
        np.testing.assert_array_equal(alone.iterations[0], result.iterations[row])


def test_newton_reports_what_has_no_minimum():
    one = np.ones((3, 1))
    result = newton(softplus_well(0 * one, 0 * one, np.array([[0.5], [2.5], [0.7]]), 0.5 * one), np.zeros((2, 3, 1)),
                    max_evaluations=60)
    assert result.converged[:, 0].tolist() == [True, False, True]


def test_newton_survives_evaluations_that_are_not_finite():
    def evaluate(point, rows):
        value = np.where(np.abs(point) > 3, np.nan, np.arctan(point))
        slope = 1 / (1 + point**2)
        matrix = np.zeros((2, 2, *point.shape[1:]))
        matrix[0, 0], matrix[1, 1] = slope
        return value, matrix, value

    result = newton(evaluate, np.full((2, 1, 1), -2.5), longest_step=50.0)  # the first step lands at +6
    assert result.converged.all() and np.abs(result.point).max() < 1e-12


@FIXED
@given(
    st.integers(-30000, 30000).map(lambda i: i / 1000), st.floats(0.1, 10), st.sampled_from(["cubic", "exp", "arctan"])
)
@np.errstate(under="ignore")
def test_increasing_root(root, slope, kind):
    functions = {
        "cubic": lambda x: (slope * (x - root) ** 3, 3 * slope * (x - root) ** 2),
        "exp": lambda x: (np.exp(np.clip(slope * (x - root), -600, 600)) - 1,
                          slope * np.exp(np.clip(slope * (x - root), -600, 600))),
        "arctan": lambda x: (np.arctan(slope * (x - root)), slope / (1 + (slope * (x - root)) ** 2)),
    }
    result = increasing_root(functions[kind], np.full(3, -40.0), np.array([40.0, 31.0, 1e3]))
    assert result.converged.all()
    np.testing.assert_allclose(result.root, root, atol=1e-4 if kind == "cubic" else 1e-12)


def test_increasing_root_refuses_a_wrong_bracket():
    result = increasing_root(lambda x: (x - 5.0, np.ones_like(x)), np.array([0.0, 0.0]), np.array([4.0, 6.0]))
    assert result.converged.tolist() == [False, True]
    assert np.isnan(result.residual[0])


def test_small_linear_systems():
    rng = np.random.default_rng(2)
    matrices = rng.normal(size=(2, 2, 50))
    matrices[0, 0, :5] = 0.0
    right = rng.normal(size=(2, 50))
    np.testing.assert_allclose(np.einsum("ijn,jn->in", matrices, solve_2x2(matrices, right)), right, rtol=1e-9)
    for k in (1, 2, 3, 4):
        root = rng.normal(size=(k, k, 50))
        spd = np.einsum("ikn,jkn->ijn", root, root) + 0.1 * np.eye(k)[..., None]
        right = rng.normal(size=(k, 50))
        np.testing.assert_allclose(np.einsum("ijn,jn->in", spd, solve_spd(spd, right)), right, rtol=1e-8, atol=1e-10)
    indefinite = np.array([[1.0, 2.0], [2.0, 1.0]])[..., None]
    assert np.isnan(solve_spd(indefinite, np.ones((2, 1)))).all()


def test_minimise_scalar():
    centres = np.array([-3.0, 0.123456789, 2.5, 10.0])
    result = minimise_scalar(lambda x: np.cosh(np.minimum(np.abs(x - centres), 20)), -4.0, 4.0, (4,))
    np.testing.assert_allclose(result.location[:3], centres[:3], atol=2e-7)
    assert result.at_high.tolist() == [False, False, False, True]
    two_wells = minimise_scalar(lambda x: np.minimum((x + 2) ** 2, (x - 2) ** 2 - 0.01), -4.0, 4.0, ())
    assert two_wells.location == pytest.approx(2.0, abs=1e-7)
    level = minimise_scalar(lambda x: np.exp(-10 * (x + 4)), -4.0, 4.0, ())
    assert level.at_high and level.location == 4.0


@FIXED
@given(st.lists(st.integers(0, 6), min_size=1, max_size=200), st.integers(1, 5000))
def test_tiles_cover_every_cell_with_its_table(labels, budget):
    labels = np.array(labels)
    nodes = np.array([10, 11, 40, 200, 35, 10, 1000])
    seen = np.zeros(labels.size, dtype=int)
    for tile in tiles(labels, nodes, budget):
        assert np.all(labels[tile.cells] == tile.tables[:, None])
        size = tile.cells.size * nodes[tile.tables].max()
        assert size <= budget or tile.cells.shape[1] == 1
        seen[np.unique(tile.cells)] += 1
    assert np.all(seen == 1)
