"""Questions to a family of problems: which value of a parameter gives the smallest test error.

A family is solved as one problem with trial axes in front.  Theories delegate their `optimal_...` methods to these.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import AccuracyWarning
from .problem import Problem
from .solvers import Minima, minimise_scalar

Array = NDArray[np.float64]
P = TypeVar("P", bound=Problem)

RIDGE_RANGE = 1e9  # ridges between 1/this and this times the power of the features
RIDGE_SCAN, RIDGE_ROUNDS = 49, 2  # errors at the best ridge to 1e-12, its place to 1e-6
TRIALS = 1 << 20  # cells solved at once
TRIAL = "ridge_trial"


def errors_of(problem: Problem) -> Array:
    """Test errors, without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        return np.asarray(problem.solve(["test_error"]).test_error)


def optimal_ridge(problem: P, power: float) -> P:
    """The same problem with `lam` replaced, in every cell, by the one that minimises the test error.

    A scan over log lam brackets the global minimum, which Chebyshev interpolation then refines; a given `lam` is
    ignored, and its axes are dropped if no other parameter has them.

    Parameters
    ----------
    problem : Problem
        With a cell parameter `lam` and the observable `test_error`.
    power : float
        E sigma^2, the scale of ridges.

    Warns
    -----
    AccuracyWarning
        If the best ridge is infinite in some cells (there a large one stands for it).
    """
    base = problem.replace(lam=1.0)

    def error(log_lam: Array) -> Array:
        trial = base.replace(lam=like_cells(base, np.exp(log_lam), TRIAL))
        values = errors_of(trial)
        return np.moveaxis(values, trial.dims.index(TRIAL), 0) if TRIAL in trial.dims else values

    reach, middle = math.log(RIDGE_RANGE), math.log(power)
    minima = minimise_scalar(error, middle - reach, middle + reach, base.shape)
    lam = np.exp(minima.location)
    lam = np.where(minima.at_low & (errors_of(base.replace(lam=0.0)) <= minima.value), 0.0, lam)
    if np.any(minima.at_high):
        warnings.warn(
            f"in {np.count_nonzero(minima.at_high)} cells the best ridge is infinite; "
            f"lam = {np.exp(middle + reach):.0e} stands for it", AccuracyWarning, stacklevel=3,
        )
    return base.replace(lam=like_cells(base, lam))


def best_errors(problem: Problem, power: float) -> Array:
    """Test errors at the best ridge of every cell; infinite where there is none.  The axes must not be labelled."""
    reach, middle = math.log(RIDGE_RANGE), math.log(power)
    values = minimise_scalar(
        lambda log_lam: errors_of(problem.replace(lam=np.exp(log_lam))), middle - reach, middle + reach,
        problem.shape, scan=RIDGE_SCAN, rounds=RIDGE_ROUNDS,
    ).value
    return np.where(np.isnan(values), np.inf, values)


def unlabelled(problem: P) -> P:
    """The same cells without labels: trial axes go in front, as in NumPy."""
    return problem.replace(**problem.cells.arrays)


def like_cells(problem: Problem, values: NDArray[Any], *leading: str) -> Any:
    """An array over leading axes and all cells of a problem, labelled if the problem is."""
    if not problem.cells.labelled:
        return values
    import xarray as xr

    return xr.DataArray(values, dims=(*leading, *problem.dims), coords=dict(problem.cells.labels))


def in_blocks(errors: Callable[[Array], Array], trials: Array, cells: int, each: int = RIDGE_SCAN) -> Array:
    """Errors at trial points (M, ...), not too many at once; a trial of a cell solves `each` cells."""
    length = max(1, TRIALS // (each * max(cells, 1)))
    return np.concatenate([errors(trials[start:start + length]) for start in range(0, len(trials), length)])


def warn_at_ends(
    minima: Minima, counts: NDArray[np.bool_], low: str, at_low: Array, high: str, at_high: Array | None = None
) -> None:
    """Say in how many cells the best is at an end of the range that was tried, and what stands for it."""
    for where, words, values in (
        (minima.at_low & counts, low, at_low),
        (minima.at_high & counts, high, at_low if at_high is None else at_high),
    ):
        if np.any(where):
            shown = np.broadcast_to(values, where.shape)[where]
            warnings.warn(
                f"in {np.count_nonzero(where)} cells the best {words} = {np.median(shown):.1e} stands for it",
                AccuracyWarning, stacklevel=4,
            )
