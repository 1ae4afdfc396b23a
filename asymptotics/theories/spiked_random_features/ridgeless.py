"""Cells without ridge: the limit lam -> 0+, finite or not; section 9 of docs/theories/giant_step.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from .solution import CellValues

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Below the threshold: solved at the first multiple of E sigma^2, and believed if the second changes nothing.  Power
# laws that converge grow by less than log(1e-120)/log(1e-100) = 1.2 from one to the other, those that diverge by more.
RIDGELESS, RIDGELESS_CHECK, SLOWEST_DIVERGENCE = 1e-100, 1e-120, 1.199
SETTLED, ROUNDING = 1e-11, 1e-13
# at the threshold, for solvers that do not pin: believed if it diverges from one to the other
THRESHOLD, THRESHOLD_CHECK = 1e-16, 1e-18
# affine activations: corrections are of the order of the square root
DEGENERATE = 1e-30

DIVERGENT = ("test_error", "generalization_error", "estimation_error", "variance", "q1", "q2")
VANISHING = ("train_error", "ridge_objective")
# what is said of such cells
AT_THRESHOLD = "sit at the interpolation threshold without ridge; their test error is infinite"
NO_LIMIT = "have no ridge and a test error that diverges as lam -> 0"
_RIDGE_ONLY = (*VANISHING, "V1", "V2")


class Limits(NamedTuple):
    """Observables of N cells (N,), and where the test error is infinite: at the threshold, or by a power law."""

    observables: dict[str, Array]
    at_threshold: Mask
    divergent: Mask


def solve_with_limits(
    solve: Callable[[CellValues], dict[str, Array]],
    activation: Nonlinearity,
    cells: CellValues,
    names: list[str],
    pins: bool = True,
) -> Limits:
    """What `solve` finds, with the limit lam -> 0+ in the cells where lam = 0.

    Above the threshold alpha = beta nothing is special.  Below it V ~ 1/lam.  At it V ~ lam^(-1/2), and only its
    direction is solved for if `solve` can (`pins`).  Affine activations have features of rank min(p, d): for beta >= 1
    only V2 diverges.
    """
    ridgeless = cells.lam == 0
    if not np.any(ridgeless):
        nowhere = np.zeros(ridgeless.shape, dtype=bool)
        return Limits(solve(cells), nowhere, nowhere)
    power = activation.second_moment()
    rank = np.minimum(cells.beta, 1.0) if activation.affine else cells.beta
    below = ridgeless & (cells.alpha < rank)
    pinned = ridgeless & (cells.alpha == rank)
    degenerate = ridgeless & (cells.alpha > rank) & (cells.beta >= 1.0) & activation.affine
    lam = np.where(below, RIDGELESS * power, np.where(degenerate, DEGENERATE * power, cells.lam))
    lam = np.where(pinned & (not pins), THRESHOLD * power, lam)
    solved = solve(cells._replace(lam=lam, pinned=pinned if pins else None))

    divergent = np.zeros(ridgeless.shape, dtype=bool)
    approached = below | (pinned & (not pins))
    if np.any(approached):
        index = np.flatnonzero(approached)
        checked = solve(cells.at(index)._replace(
            lam=power * np.where(below[index], RIDGELESS_CHECK, THRESHOLD_CHECK)
        ))
        growth = checked["generalization_error"] / solved["generalization_error"][index]
        divergent[index] = growth > SLOWEST_DIVERGENCE
        resolved = np.isfinite(growth) & (divergent[index] | (np.abs(growth - 1) < SETTLED))
        solved["converged"][index] = (solved["converged"][index] > 0) & (checked["converged"] > 0) & resolved
        for name in set(names) - set(_RIDGE_ONLY) - set(DIVERGENT):
            here, there = solved[name][index], checked[name]
            change = np.subtract(there, here, out=np.zeros_like(here), where=there != here)  # both may be infinite
            settled = np.abs(change) <= SETTLED * np.abs(there) + ROUNDING
            solved[name][index] = np.where(settled, here, np.nan)
    # at the threshold V2 = 1e100 stands for infinity; only a noiseless target that is learned exactly stays finite
    at_threshold = pinned & (~(np.abs(solved["generalization_error"]) < 1e20) if pins else divergent)
    divergent &= below
    for name in names:
        if name in DIVERGENT:
            _diverge(solved[name], at_threshold | divergent)
        if name in VANISHING:
            solved[name][pinned | below] = 0.0
    for name, where in (
        ("V1", pinned | below), ("V2", pinned | below | degenerate), ("q2", degenerate & (cells.beta == 1.0)),
    ):
        if name in names:
            _diverge(solved[name], where)
    return Limits(solved, at_threshold, divergent)


def _diverge(values: Array, where: Mask) -> None:
    """Infinities of the sign that the values have (overlaps of two groups may be negative)."""
    values[where] = np.where(values[where] < 0, -np.inf, np.inf)
