"""Solving many cells: tiles of cells that share tables, Newton for (V1, V2), then everything that is linear in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from ...solvers import newton, tiles
from ...spectra import RowCovariance, SpectralCurve
from .equations import (
    BulkAverages,
    bulk_equations,
    bulk_hessian,
    bulk_start,
    mean_norms,
    rounding_error,
    second_moments,
    signal_parameters,
    unspent,
)
from .gradient_step import SpikeParameters
from .kappa_rule import MOST_NODES, KappaRule, choose_rule, level_class
from .tables import Tables, build_tables, signal_averages

Array = NDArray[np.float64]
Index = NDArray[np.intp]

WORK_SIZE = 1 << 18  # elements of one work array: two megabytes, about a cache
LOG_TINY_X = -600.0  # log x where E mu1^2 = 0 and x = 0
RESIDUAL_LIMIT = 1e-9
ROUNDING_LIMIT = 1e-6  # of V1 and V2; cells that are conditioned worse are not converged


class CellValues(NamedTuple):
    """Parameters of N cells; `table` is the position of their (r, c, gamma).

    `pinned` cells sit at the interpolation threshold without ridge: V is infinite, only its direction is solved for.
    """

    table: Index
    alpha: Array
    beta: Array
    lam: Array
    noise_var: Array
    pinned: NDArray[np.bool_] | None = None
    norm_variance: Array | None = None
    n_finite: Array | None = None

    @property
    def held(self) -> NDArray[np.bool_]:
        """`pinned`, false everywhere if it was not given."""
        return np.zeros(self.alpha.shape, dtype=bool) if self.pinned is None else self.pinned

    def at(self, index: Index) -> CellValues:
        """The cells at these positions."""
        return CellValues(*(None if values is None else values[index] for values in self))  # type: ignore[arg-type]


class Workspace:
    """Work arrays of one tile, allocated once."""

    def __init__(self, count: int = 3) -> None:
        self._buffers = [np.empty(WORK_SIZE) for _ in range(count)]

    def array(self, number: int, shape: tuple[int, ...]) -> Array:
        size = math.prod(shape)
        if self._buffers[number].size < size:
            self._buffers[number] = np.empty(size)
        return self._buffers[number][:size].reshape(shape)


def solve_cells(
    activation: Nonlinearity,
    target: Nonlinearity,
    spikes: SpikeParameters,
    cells: CellValues,
    names: Iterable[str],
    refinement: int = 1,
    covariance: RowCovariance | None = None,
) -> dict[str, Array]:
    """Observables of N cells as arrays (N,), among them "converged" and "residual".

    The bulks of the tables are isotropic unless their row `covariance` is given.

    Every cell is solved on nodes for a small V first; its own V then tells which rule it needs, and it is solved again
    on that one, from where it is.
    """
    count = cells.alpha.size
    outputs = {name: np.full(count, np.nan) for name in {*names, "residual", "rounding", "generalization_error"}}
    log_point = np.zeros((2, count))
    converged = np.zeros(count, dtype=bool)
    pending = np.zeros(count, dtype=np.intp)  # class of the rule that a cell needs
    work = Workspace()
    with_norms = cells.norm_variance is not None or (covariance is not None and covariance.directions > 2)

    current = 0
    everything = np.arange(count)
    while everything.size:
        chosen = everything[pending[everything] == current]
        rule = choose_rule(activation, target, spikes, current, refinement)
        for used, index in rule_tiles(rule, cells, chosen):
            bulks = None if covariance is None else covariance.rows(used)
            tables = build_tables(activation, target, spikes.at(used), rule.at(used), with_norms, bulks)
            part = cells.at(index)
            start = log_point[:, index] if current else None
            points, done = solve_bulk(tables, part, start, work)
            log_point[:, index], converged[index] = points, done
            needed = level_class(_level(activation, tables, points))
            pending[index] = np.maximum(needed, current)
            if np.any(needed <= current):
                solved = evaluate_observables(tables, part, points, work)
                for name, values in outputs.items():
                    values[index] = solved[name]
        everything = everything[pending[everything] > current]
        current = int(np.min(pending[everything], initial=1 << 30))
    solved_for = np.isfinite(outputs["generalization_error"]) & (outputs["residual"] <= RESIDUAL_LIMIT)
    outputs["converged"] = converged & solved_for & (outputs.pop("rounding") <= ROUNDING_LIMIT)
    return outputs


def rule_tiles(rule: KappaRule, cells: CellValues, chosen: Index) -> Iterator[tuple[Index, Index]]:
    """Tables (T,), of one kind of rule, and cells (T, C) of every tile of the chosen cells.

    Cells whose rule would be too large are left out (they stay NaN).
    """
    table_of_cell = cells.table[chosen]
    feasible = rule.nodes <= MOST_NODES
    for kind in np.unique(rule.kind[table_of_cell]):
        mine = chosen[(rule.kind[table_of_cell] == kind) & feasible[table_of_cell]]
        for tile in tiles(cells.table[mine], rule.nodes, WORK_SIZE):
            yield tile.tables, mine[tile.cells]


def _level(activation: Nonlinearity, tables: Tables, points: Array) -> Array:
    """Lambda = log(1 + V1 max mu1^2 + V2 max mu2^2); the maxima of polynomials are taken under the density."""
    largest = tables.largest_squares(activation)
    x, v2 = np.exp(points)
    v1 = v2 * tables.covariance.spectrum(x).t
    return np.log1p(v1 * largest[:, :1] + v2 * largest[:, 1:])


def resolvent(tables: Tables, v1: Array, v2: Array, work: Workspace) -> Array:
    """o = 1/(1 + mu1^2 V1 + mu2^2 V2) at the nodes, (T, C, K), in work array 0."""
    o = work.array(0, (*v1.shape, tables.weight.shape[1]))
    np.matmul(np.stack([v1, v2], axis=-1), tables.squares, out=o)
    o += 1
    return np.reciprocal(o, out=o)


def solve_bulk(
    tables: Tables, cells: CellValues, start: Array | None, work: Workspace
) -> tuple[Array, NDArray[np.bool_]]:
    """(log x, log V2) of the cells (T, C) of a tile, as (2, T, C), and whether Newton converged."""
    shape = cells.alpha.shape
    shared = shape[0] == 1  # one table: cells are rows and leave the batch one by one
    c = tables.bulk_variance[:, None]
    flat, pinned = np.broadcast_to(tables.flat[:, None], shape), cells.held
    if start is None:
        with np.errstate(divide="ignore"):
            start = np.log(bulk_start(tables.mean_squares.T[..., None], cells.alpha, cells.lam, c))
        start[0] = np.where(flat, LOG_TINY_X, start[0])
        start[1] = np.where(pinned, np.log(1e100), start[1])
    some_frozen = bool(np.any(flat) or np.any(pinned))
    data: list[NDArray[Any]] = [flat, pinned, cells.alpha, cells.beta, cells.lam]
    if shared:
        data = [values.T for values in data]
        start = np.swapaxes(start, 1, 2)

    def evaluate(point: Array, rows: Index) -> tuple[Array, Array, Array]:
        everything = len(rows) == len(data[0])
        is_flat, is_pinned, alpha, beta, lam = data if everything else [values[rows] for values in data]
        mine = tables if shared or len(rows) == shape[0] else tables.rows(rows)
        x, v2 = np.exp(point)
        curve = mine.covariance.spectrum(x)
        averages = _averages(mine, v2 * curve.t, v2, work, shared)
        equations, jacobian, gradient = bulk_equations(averages, x, v2, curve, alpha, beta, lam)
        for number, frozen in enumerate((is_flat, is_pinned) if some_frozen else ()):
            if np.any(frozen):
                equations[number] = np.where(frozen, 0.0, equations[number])
                gradient[number] = np.where(frozen, 0.0, gradient[number])
                jacobian[number, number] = np.where(frozen, 1.0, jacobian[number, number])
                jacobian[number, 1 - number] = np.where(frozen, 0.0, jacobian[number, 1 - number])
        return equations, jacobian, gradient

    result = newton(evaluate, start)
    if shared:
        return np.swapaxes(result.point, 1, 2), result.converged.T
    return result.point, result.converged


def _averages(tables: Tables, v1: Array, v2: Array, work: Workspace, shared: bool) -> BulkAverages:
    """E[o mu_A^2] and E[o^2 mu_A^2 mu_B^2]; with a shared table the cells are rows (R, 1)."""
    o = resolvent(tables, v1.T, v2.T, work) if shared else resolvent(tables, v1, v2, work)
    first = np.matmul(o, tables.weighted_squares)
    np.multiply(o, o, out=o)
    second = np.matmul(o, tables.weighted_products)
    columns = [first[..., 0], first[..., 1], second[..., 0], second[..., 1], second[..., 2]]
    return BulkAverages(*(column.T for column in columns) if shared else columns)


def evaluate_observables(tables: Tables, cells: CellValues, points: Array, work: Workspace) -> dict[str, Array]:
    """Everything that is linear given (V1, V2), for the cells (T, C) of a tile; eqs. (17)-(27)."""
    alpha, beta = cells.alpha, cells.beta
    x, v2 = np.exp(points)
    curve, overlaps = tables.covariance.spectrum(x), tables.covariance.overlaps(x)
    v1 = v2 * curve.t
    ridge = beta * cells.lam * v2
    mean_squares = tables.mean_squares[:, None, :]

    o = resolvent(tables, v1, v2, work)
    first = np.matmul(o, tables.weighted_squares)
    columns = np.moveaxis(np.matmul(o, tables.signal_columns), -1, 0)
    np.multiply(o, o, out=o)
    second = np.matmul(o, tables.weighted_squares)
    products = np.matmul(o, tables.weighted_products)
    averages = BulkAverages(first[..., 0], first[..., 1], products[..., 0], products[..., 1], products[..., 2])
    squared = averages._replace(first=second[..., 0], second=second[..., 1])
    residual = _residual(averages, x, v2, curve, cells, tables)
    hessian = bulk_hessian(squared, v1, v2, curve, alpha, ridge)
    rounding = rounding_error(hessian, x, curve, beta, ridge)

    # signal
    count = tables.basis.shape[1]
    gram, projections, mu1_h1, mu0_power = signal_averages(columns, count)
    if cells.norm_variance is not None:
        overlaps = overlaps.with_independent(cells.norm_variance / beta)
    signal = signal_parameters(
        gram, projections, tables.triangle, overlaps, alpha * v2, alpha * v2 * mu1_h1,
        None if cells.n_finite is None else cells.n_finite * v2,
    )

    # conditional error before estimation, N' = (h - fbar)^2 + (h1 - psi mu1)^2 + unlearnable
    shape = o.shape
    error = work.array(1, shape)
    np.matmul(np.moveaxis(signal.coefficients, 0, -1), tables.basis, out=error)
    np.subtract(tables.h[:, None], error, out=error)
    np.multiply(error, error, out=error)
    spike_error = _mean(error, tables)
    orthogonal = work.array(2, shape)
    np.multiply(signal.psi[..., None], tables.mu1[:, None], out=orthogonal)
    np.subtract(tables.h1[:, None], orthogonal, out=orthogonal)
    np.multiply(orthogonal, orthogonal, out=orthogonal)
    orthogonal += tables.unlearnable[:, None]
    orthogonal_error = _mean(orthogonal, tables)
    error += orthogonal
    np.multiply(error, o, out=error)
    weighted = np.matmul(error, tables.weighted_squares) + cells.noise_var[..., None] * second

    # estimation
    mean_first, mean_second = mean_norms(
        signal.loads, v2, curve, overlaps, unspent(squared, v1, v2, alpha, ridge)
    )
    if cells.n_finite is not None:  # the mean direction, which does not pass through the bulk
        isolated = alpha * signal.m**2 / (cells.n_finite * v2)
        mean_first, mean_second = mean_first + curve.slack * isolated, mean_second + isolated
    moments = second_moments(
        squared, hessian, v1, v2, curve, alpha, ridge, weighted[..., 0], weighted[..., 1],
        mean_first, mean_second,
    )
    estimation = mean_squares[..., 0] * moments.q1 + mean_squares[..., 1] * moments.q2
    variance = mean_squares[..., 0] * moments.q1_variable + mean_squares[..., 1] * moments.q2_variable
    of_mean = mean_squares[..., 0] * moments.q1_mean + mean_squares[..., 1] * moments.q2_mean
    generalization = spike_error + orthogonal_error + estimation
    train = weighted[..., 2] + moments.q1 * second[..., 0] + moments.q2 * second[..., 1]
    overlap = v2 * mu0_power
    return {
        "test_error": generalization + cells.noise_var,
        "generalization_error": generalization,
        "train_error": train,
        "ridge_objective": train + cells.lam * beta / alpha * moments.q2,
        "spike_error": spike_error,
        "orthogonal_error": orthogonal_error,
        "estimation_error": estimation,
        "variance": variance,
        "bias": spike_error + orthogonal_error + of_mean,
        "m": signal.m,
        "th": signal.th,
        "chi": signal.chi,
        "psi": signal.psi,
        "q1": moments.q1 + signal.psi**2,
        "q2": moments.q2,
        "V1": v1,
        "V2": v2,
        "n_crossover": np.where(
            tables.triangle[:, 0, 0, None] > 0, 1 / np.where(overlap > 0, overlap, 1.0), np.inf
        ),
        "residual": residual,
        "rounding": np.where(cells.held, 0.0, rounding),
    }


def _mean(values: Array, tables: Tables) -> Array:
    return np.matmul(values, tables.weight[..., None])[..., 0]


def _residual(
    averages: BulkAverages, x: Array, v2: Array, curve: SpectralCurve, cells: CellValues, tables: Tables
) -> Array:
    """Residual of the two equations, each relative to its largest term."""
    equations, _, _ = bulk_equations(averages, x, v2, curve, cells.alpha, cells.beta, cells.lam)
    first = np.where(tables.flat[:, None], 0.0, np.abs(equations[0]))
    second = np.where(cells.held, 0.0, np.abs(equations[1]) / cells.beta)
    return np.maximum(first, second)
