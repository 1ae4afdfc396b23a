"""Cells without ridge: the limit lam -> 0+, finite or not; section 9 of docs/theories/giant_step.md."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from ...spectra import RowCovariance
from .gradient_step import SpikeParameters
from .solution import CellValues, solve_cells

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Below the threshold: solved at the first multiple of E sigma^2, and believed if the second changes nothing.  Power
# laws that converge grow by less than log(1e-120)/log(1e-100) = 1.2 from one to the other, those that diverge by more.
RIDGELESS, RIDGELESS_CHECK, SLOWEST_DIVERGENCE = 1e-100, 1e-120, 1.199
SETTLED, ROUNDING = 1e-11, 1e-13
# affine activations: corrections are of the order of the square root
DEGENERATE = 1e-30

_DIVERGENT = ("test_error", "generalization_error", "estimation_error", "variance", "q1", "q2")
_LIMITS = {"V1": np.inf, "V2": np.inf, "train_error": 0.0, "ridge_objective": 0.0}


class Limits(NamedTuple):
    """Observables of N cells (N,), and where the test error is infinite: at the threshold, or by a power law."""

    observables: dict[str, Array]
    at_threshold: Mask
    divergent: Mask


def solve_with_limits(
    activation: Nonlinearity,
    target: Nonlinearity,
    spikes: SpikeParameters,
    cells: CellValues,
    names: list[str],
    refinement: int,
    covariance: RowCovariance | None = None,
) -> Limits:
    """`solve_cells`, with the limit lam -> 0+ in the cells where lam = 0.

    Above the threshold alpha = beta nothing is special.  Below it V ~ 1/lam.  At it V ~ lam^(-1/2), and only its
    direction is solved for.  Affine activations have features of rank min(p, d): for beta >= 1 only V2 diverges.
    """
    ridgeless = cells.lam == 0
    if not np.any(ridgeless):
        nowhere = np.zeros(ridgeless.shape, dtype=bool)
        return Limits(solve_cells(activation, target, spikes, cells, names, refinement, covariance), nowhere, nowhere)
    power = activation.second_moment()
    rank = np.minimum(cells.beta, 1.0) if activation.affine else cells.beta
    below = ridgeless & (cells.alpha < rank)
    pinned = ridgeless & (cells.alpha == rank)
    degenerate = ridgeless & (cells.alpha > rank) & (cells.beta >= 1.0) & activation.affine
    lam = np.where(below, RIDGELESS * power, np.where(degenerate, DEGENERATE * power, cells.lam))
    nearly = cells._replace(lam=lam, pinned=pinned)
    solved = solve_cells(activation, target, spikes, nearly, names, refinement, covariance)

    divergent = np.zeros(ridgeless.shape, dtype=bool)
    if np.any(below):
        index = np.flatnonzero(below)
        closer = cells.at(index)._replace(lam=np.full(index.size, RIDGELESS_CHECK * power))
        checked = solve_cells(activation, target, spikes, closer, names, refinement, covariance)
        growth = checked["generalization_error"] / solved["generalization_error"][index]
        divergent[index] = growth > SLOWEST_DIVERGENCE
        resolved = np.isfinite(growth) & (divergent[index] | (np.abs(growth - 1) < SETTLED))
        solved["converged"][index] = (solved["converged"][index] > 0) & (checked["converged"] > 0) & resolved
        for name in set(names) - set(_LIMITS) - set(_DIVERGENT):
            here, there = solved[name][index], checked[name]
            settled = np.abs(here - there) <= SETTLED * np.abs(there) + ROUNDING
            solved[name][index] = np.where(settled | (here == there), here, np.nan)
    # at the threshold V2 = 1e100 stands for infinity; only a noiseless target that is learned exactly stays finite
    at_threshold = pinned & ~(np.abs(solved["generalization_error"]) < 1e20)
    for name in names:
        if name in _DIVERGENT:
            solved[name][at_threshold | divergent] = np.inf
        if name in _LIMITS:
            solved[name][pinned | below] = _LIMITS[name]
    for name, where in (("V2", degenerate), ("q2", degenerate & (cells.beta == 1.0))):
        if name in names:
            solved[name][where] = np.inf
    return Limits(solved, at_threshold, divergent)
