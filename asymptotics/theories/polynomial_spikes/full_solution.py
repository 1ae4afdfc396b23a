"""All cells of a problem at level "full": readouts on one step share its tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from ...solvers import one_blas_thread
from ...spectra.random_features import resolvent
from .full import observables, solve_potential
from .full_tables import Tables, build_tables
from .rules import graded_nodes, kappa_centres, node_counts, readout_centres
from .spikes import random_features
from .step import Readouts, Step

Array = NDArray[np.float64]
Index = NDArray[np.intp]

TILE_WORK = 1 << 15  # entries of one matrix of all cells of a tile: inside the cache
TABLE_WORK = 1 << 18  # nodes of all tables that exist at once
MOST_NODES = 700  # in one variable; steps that need more are not converged
RESIDUAL_LIMIT = 1e-9
CENTRES = (readout_centres, kappa_centres)


@one_blas_thread
def solve_full(
    activation: Nonlinearity, target: Nonlinearity, steps: Step, readouts: Readouts, degrees: int, refinement: int,
    intercept: bool,
) -> dict[str, Array]:
    """Observables of C cells with lam > 0, or lam = 0 and n < p, among them "residual" and "converged".

    Parameters
    ----------
    activation, target : Nonlinearity
    steps : Step
    readouts : Readouts
    degrees : int
        Number of overlaps.
    refinement : int
        Divides the quadrature steps.
    intercept : bool
        Whether the readout has an intercept without penalty.
    """
    cells = readouts.lam.size
    outputs: dict[str, Array] = {}
    residual, converged = np.full(cells, np.nan), np.zeros(cells, dtype=bool)
    for chosen, nodes in _groups(steps, refinement):
        part = steps.at(chosen)
        z_rule, kappa_rule = (graded_nodes(*centres(part), int(count))
                              for centres, count in zip(CENTRES, nodes, strict=True))
        tables = build_tables(activation, target, part, z_rule, kappa_rule)
        local = np.full(steps.tau.size, -1)
        local[chosen] = np.arange(chosen.size)
        own = np.flatnonzero(local[readouts.step] >= 0)
        own = own[np.argsort(readouts.step[own], kind="stable")]
        size = max(1, TILE_WORK // (tables.slope.shape[2] * tables.slope.shape[3] * tables.sectors))
        for index in np.split(own, range(size, own.size, size)):
            tile = readouts.at(index)._replace(step=local[readouts.step[index]])
            solution = solve_potential(tables, tile, _before_the_step(activation, tables, tile))
            residual[index] = solution.residual
            values = observables(tables, tile, solution, degrees, intercept)
            finite = np.isfinite(values["test_error"])
            converged[index] = solution.converged & (solution.residual <= RESIDUAL_LIMIT) & finite
            for name, array in values.items():
                outputs.setdefault(name, np.full((cells, *array.shape[1:]), np.nan))[index] = array
    return outputs | {"residual": residual, "converged": converged}


def _before_the_step(activation: Nonlinearity, tables: Tables, readouts: Readouts) -> Array:
    """log Gz and log e (C, I + J) at tau = 0, where both are constant."""
    bulk = resolvent(random_features(activation, readouts), readouts.lam)
    constants = np.log(np.stack([bulk.coupling / bulk.r_w, bulk.r_w], axis=1))
    return np.repeat(constants, [tables.z_weight.shape[1], tables.kappa.shape[1]], axis=1)


def _groups(steps: Step, refinement: int) -> Iterator[tuple[Index, Index]]:
    """Steps that share numbers of nodes (2,) and symmetry; not too many at once."""
    counts = np.stack([node_counts(*centres(steps), refinement) for centres in CENTRES], axis=1)
    allowed = np.max(counts, axis=1) <= MOST_NODES * refinement
    keys = np.column_stack([counts, steps.rescaling != 0])
    for key in np.unique(keys[allowed], axis=0):
        members = np.flatnonzero(allowed & np.all(keys == key, axis=1))
        size = max(1, TABLE_WORK // int(key[0] * key[1]))
        for chosen in np.split(members, range(size, members.size, size)):
            yield chosen, key[:2]
