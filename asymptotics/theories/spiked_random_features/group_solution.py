"""Solving many cells with several readout levels: as `solution`, with Newton's method for (Q, rho)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from .gradient_step import SpikeParameters
from .group_equations import (
    GroupEquations,
    GroupPoint,
    GroupScales,
    group_equations,
    group_residual,
    group_rounding,
    group_start,
    packing,
    weights_of_features,
    with_multiplicity,
)
from .group_newton import group_newton
from .group_readout import crossover_size, fixed_norms, group_signal, mean_moments, variable_moments
from .group_tables import GroupTables, build_group_tables, choose_group_rule, pair_index
from .kappa_rule import level_class
from .solution import RESIDUAL_LIMIT, ROUNDING_LIMIT, CellValues, Workspace, rule_tiles

Array = NDArray[np.float64]
Index = NDArray[np.intp]

VECTORS = ("m", "th", "psi", "q2", "V2")  # trailing axis group
MATRICES = ("q1", "V1")  # two trailing axes group
_ALWAYS = ("residual", "rounding", "condition", "generalization_error")


class Levels(NamedTuple):
    """Readout levels u_g and the fractions pi_g of neurons that have them, (G,)."""

    values: Array
    fractions: Array


def solve_group_cells(
    activation: Nonlinearity,
    target: Nonlinearity,
    spikes: SpikeParameters,
    levels: Array,
    fractions: Array,
    cells: CellValues,
    names: Iterable[str],
    refinement: int = 1,
) -> dict[str, Array]:
    """Observables of N cells with G readout levels.

    Parameters
    ----------
    activation, target : Nonlinearity
    spikes : SpikeParameters
        Strengths r (T,), those of the groups being r u_g; bulk variances c_g (T, G); alignments (T,).
    levels, fractions : ndarray (G,)
        u_g and pi_g > 0, which add up to 1.
    cells : CellValues
        Without norm fluctuations; cells without ridge need alpha > beta.
    names : iterable of str
    refinement : int
        Divides all quadrature steps.

    Returns
    -------
    dict of ndarray
        The observables asked for, (N,), those of groups (N, G) or (N, G, G), and always "converged", "residual" and
        "condition" (N,).  NaN where a cell has not converged is left to the caller.
    """
    groups, count = len(levels), cells.alpha.size
    shapes = {**dict.fromkeys(VECTORS, (count, groups)), **dict.fromkeys(MATRICES, (count, groups, groups))}
    wanted = {*names, *_ALWAYS}
    outputs = {name: np.full(shapes.get(name, (count,)), np.nan) for name in wanted}
    points = GroupPoint(np.zeros((groups, groups, count)), np.zeros((groups, count)))
    converged = np.zeros(count, dtype=bool)
    pending = np.zeros(count, dtype=np.intp)  # class of the rule that a cell needs
    work = Workspace()
    readout = Levels(np.asarray(levels, dtype=np.float64), np.asarray(fractions, dtype=np.float64))

    current, rest = 0, np.arange(count)
    with np.errstate(under="ignore"):
        while rest.size:
            chosen = rest[pending[rest] == current]
            rule = choose_group_rule(activation, target, spikes, readout.values, current, refinement)
            for used, index in rule_tiles(rule, cells, chosen):
                tables = build_group_tables(
                    activation, target, spikes.at(used), readout.values, rule.at(used), cells.n_finite is not None
                )
                part = cells.at(index)
                scales = _scales(tables, readout, part)
                start = GroupPoint(points.factor[:, :, index], points.log_rho[:, index]) if current else None
                point, converged[index] = solve_groups(tables, scales, start, work)
                points.factor[:, :, index], points.log_rho[:, index] = point
                needed = level_class(_level(activation, tables, point, scales))
                pending[index] = np.maximum(needed, current)
                if np.any(needed <= current):
                    solved = evaluate_groups(tables, part, scales, point, wanted, work)
                    for name, values in outputs.items():
                        values[index] = solved[name]
            rest = rest[pending[rest] > current]
            current = int(np.min(pending[rest], initial=1 << 30))
    solved_for = np.isfinite(outputs["generalization_error"]) & (outputs["residual"] <= RESIDUAL_LIMIT)
    outputs["converged"] = converged & solved_for & (outputs.pop("rounding") <= ROUNDING_LIMIT)
    return outputs


def _scales(tables: GroupTables, readout: Levels, cells: CellValues) -> GroupScales:
    fractions = readout.fractions[:, None, None]
    slopes = np.moveaxis(tables.slopes, 0, -1)[..., None]
    return GroupScales(fractions, tables.bulk_variance.T[..., None], slopes, cells.alpha, cells.beta, cells.lam)


def _level(activation: Nonlinearity, tables: GroupTables, point: GroupPoint, scales: GroupScales) -> Array:
    """Lambda = log(1 + sum_A y_A max phi_A), squares only; maxima of polynomials are taken under the density."""
    groups = len(point.log_rho)
    squares = np.concatenate([np.diagonal(packing(groups).position), np.arange(-groups, 0)])
    features = tables.features[:, squares]
    if activation.degree > 1:
        features = features * (tables.weight / np.max(tables.weight, axis=1, keepdims=True))[:, None]
    largest = np.max(features, axis=2).T[..., None]
    return np.log1p(np.sum(largest * weights_of_features(point, scales)[squares], axis=0))


def resolvent(tables: GroupTables, y: Array, work: Workspace) -> Array:
    """o = 1/(1 + V) at the nodes, (T, C, K), in work array 0."""
    o = work.array(0, (*y.shape[1:], tables.weight.shape[1]))
    np.matmul(np.moveaxis(y, 0, -1), tables.features, out=o)
    o += 1
    return np.reciprocal(o, out=o)


def _average(columns: Array, o: Array) -> Array:
    """Averages (M, T, C) of weighted functions (T, M, K) times o (T, C, K)."""
    return np.moveaxis(np.matmul(columns, np.swapaxes(o, 1, 2)), 1, 0)


def _symmetric(packed: Array, count: int) -> Array:
    """Averages of products of `count` functions, (count, count, T, C)."""
    return packed[pair_index(count)]


def solve_groups(
    tables: GroupTables, scales: GroupScales, start: GroupPoint | None, work: Workspace
) -> tuple[GroupPoint, NDArray[np.bool_]]:
    """(Q, rho) of the cells (T, C) of a tile, and whether Newton's method converged."""
    shared = scales.alpha.shape[0] == 1  # one table: cells leave the batch one by one, otherwise tables do
    if start is None:
        start = _start(tables, scales, work)

    def evaluate(point: GroupPoint, rows: Index) -> GroupEquations:
        everything = len(rows) == scales.alpha.shape[-1 if shared else 0]
        mine, own = (tables, scales) if everything else _rows(tables, scales, rows, shared)
        first, second = _averages(mine, weights_of_features(point, own), work)
        return group_equations(point, first, second, own)

    result = group_newton(evaluate, start, -1 if shared else -2)
    return result.point, result.converged


def _start(tables: GroupTables, scales: GroupScales, work: Workspace) -> GroupPoint:
    groups = len(scales.fractions)
    p = packing(groups)
    slope_powers = np.sum(scales.slopes**2, axis=0)  # E mu1g^2
    powers = tables.mean_features[len(p.first):] + scales.variances * slope_powers
    share = scales.fractions / (scales.lam + powers)
    matrix = np.einsum("ig...,g...,jg...->ij...", scales.slopes, scales.variances * share, scales.slopes)
    y = np.concatenate([matrix[p.first, p.second], share])
    return group_start(powers, _average(tables.weighted_features[:, :-1], resolvent(tables, y, work)), scales)


def _rows(
    tables: GroupTables, scales: GroupScales, rows: Index, shared: bool
) -> tuple[GroupTables, GroupScales]:
    """Some cells of one table, or some tables with all their cells."""
    cells = [values[:, rows] if shared else values[rows] for values in (scales.alpha, scales.beta, scales.lam)]
    if shared:
        return tables, GroupScales(scales.fractions, scales.variances, scales.slopes, *cells)
    by_table = scales.variances[:, rows], scales.slopes[:, :, rows]
    return tables.rows(rows), GroupScales(scales.fractions, *by_table, *cells)


def _averages(tables: GroupTables, y: Array, work: Workspace) -> tuple[Array, Array]:
    """E[o phi_A] (A, T, C) and E[o^2 phi_A phi_B] (A, A, T, C)."""
    o = resolvent(tables, y, work)
    first = _average(tables.weighted_features[:, :-1], o)
    np.multiply(o, o, out=o)
    return first, _symmetric(_average(tables.weighted_products, o), len(y))


def evaluate_groups(
    tables: GroupTables, cells: CellValues, scales: GroupScales, point: GroupPoint, names: set[str], work: Workspace
) -> dict[str, Array]:
    """Everything that is linear given (Q, rho), for the cells (T, C) of a tile; eqs. (G8)-(G17)."""
    groups = len(point.log_rho)
    y = weights_of_features(point, scales)
    p = packing(groups)

    o = resolvent(tables, y, work)
    first = _average(tables.weighted_features[:, :-1], o)
    columns = _average(tables.signal, o)
    crossover = None
    if "n_crossover" in names:
        crossover = crossover_size(_average(tables.mean_products, o), point, scales, tables.rank)
    np.multiply(o, o, out=o)
    squared = _average(tables.weighted_features, o)
    second = _symmetric(_average(tables.weighted_products, o), len(y))
    equations = group_equations(point, first, second, scales)

    pairs = len(columns) - 3 * groups
    signal = group_signal(
        _symmetric(columns[:pairs], 2 * groups), columns[pairs:-groups], columns[-groups:], point, scales,
        np.moveaxis(tables.triangle, 0, -1)[..., None], np.moveaxis(tables.recover, 0, -1)[..., None],
        cells.n_finite,
    )
    spike_error, orthogonal_error, weighted = _conditional_errors(
        tables, signal.coefficients, np.einsum("ig...,g...->i...", scales.slopes, signal.psi), o, work
    )
    weighted += cells.noise_var * squared  # noise in N'

    mean = mean_moments(point, first, fixed_norms(signal, point, scales, cells.n_finite), scales)
    variable = variable_moments(point, equations.hessian, weighted[:-1], second, mean, scales)
    projected = scales.projected(point.factor)
    seen = [with_multiplicity(part.packed(projected, point, scales)) for part in (mean, variable)]
    of_mean, variance = (np.sum(tables.mean_features * part, axis=0) for part in seen)
    generalization = spike_error + orthogonal_error + of_mean + variance
    train = weighted[-1] + np.sum((seen[0] + seen[1]) * squared[:-1], axis=0)
    q = mean.packed(point.factor, point, scales) + variable.packed(point.factor, point, scales)
    q2 = q[len(p.first):]
    solved = {
        "test_error": generalization + cells.noise_var,
        "generalization_error": generalization,
        "train_error": train,
        "ridge_objective": train + cells.lam * cells.beta / cells.alpha * np.sum(q2, axis=0),
        "spike_error": spike_error,
        "orthogonal_error": orthogonal_error,
        "estimation_error": of_mean + variance,
        "variance": variance,
        "bias": spike_error + orthogonal_error + of_mean,
        "m": np.moveaxis(signal.m, 0, -1),
        "th": np.moveaxis(signal.th, 0, -1),
        "psi": np.moveaxis(signal.psi, 0, -1),
        "q1": np.moveaxis(q[p.position] + signal.psi * signal.psi[:, None], (0, 1), (-2, -1)),
        "q2": np.moveaxis(q2, 0, -1),
        "V1": np.moveaxis(point.q() / cells.beta, (0, 1), (-2, -1)),
        "V2": np.moveaxis(y[len(p.first):], 0, -1),
        "residual": group_residual(equations.gradient, scales),
        "rounding": group_rounding(equations.hessian, scales),
        "condition": np.broadcast_to(tables.condition[:, None], cells.alpha.shape),
    }
    return solved if crossover is None else {**solved, "n_crossover": crossover}


def _conditional_errors(
    tables: GroupTables, coefficients: Array, psi: Array, squared_resolvent: Array, work: Workspace
) -> tuple[Array, Array, Array]:
    """Averages of (h - fbar)^2 and of the rest of N' without noise; averages (A + 1, T, C) of o^2 (phi, 1) N'."""
    shape = squared_resolvent.shape
    weight = tables.weight[..., None]
    error, rest = work.array(1, shape), work.array(2, shape)
    np.matmul(np.moveaxis(coefficients, 0, -1), tables.basis, out=error)
    np.subtract(tables.h[:, None], error, out=error)
    np.multiply(error, error, out=error)
    spike_error = np.matmul(error, weight)[..., 0]
    np.matmul(np.moveaxis(psi, 0, -1), tables.slope_basis, out=rest)
    np.subtract(tables.h1[:, None], rest, out=rest)
    np.multiply(rest, rest, out=rest)
    rest += tables.unlearnable[:, None]
    orthogonal_error = np.matmul(rest, weight)[..., 0]
    error += rest
    np.multiply(error, squared_resolvent, out=error)
    return spike_error, orthogonal_error, _average(tables.weighted_features, error)
