"""Questions to a family of problems: the best step, the best split of the samples, thresholds, the phase table.

`PolynomialSpikes` delegates to these functions; a family is solved as one problem with trial axes in front.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...datasets import attributes_of, coordinates
from ...errors import AccuracyWarning, ParameterError
from ...search import best_errors, errors_of, in_blocks, like_cells, unlabelled, warn_at_ends
from ...solvers import minimise_shared
from .limit import is_critical, spike_count
from .solution import DEGREE, steps_of
from .step import target_moments

if TYPE_CHECKING:
    import xarray as xr

    from .problem import PolynomialSpikes

P = TypeVar("P", bound="PolynomialSpikes")
Array = NDArray[np.float64]

SMALLEST_STEP, LARGEST_STEP = 1e-3, 30.0  # tau^2 + tau_r^2 + s^2 between the squares of these
SPLIT_SCAN, SPLIT_POINTS = 33, 9
CROSSING_SCAN, CROSSING_STEPS = 81, 16
LARGEST_CROSSING = 1e3  # in tau


# ---- the best step and the best split


def optimal_step(problem: P, ridge: str) -> P:
    """See `PolynomialSpikes.optimal_step`."""
    optimise = _optimises(problem, ridge)
    base = problem.replace(eta=1.0, **({"lam": 1.0} if optimise else {}))
    cells = unlabelled(base)
    power = problem.activation.second_moment()
    unit = _unit_step(cells)

    def error(log_size: Array) -> Array:
        def block(part: Array) -> Array:
            trial = cells.replace(eta=unit * np.exp(part))
            return best_errors(trial, power) if optimise else errors_of(trial)

        return in_blocks(block, log_size, base.cells.size, each=49 if optimise else 1)

    minima = minimise_shared(
        error, math.log(SMALLEST_STEP), math.log(LARGEST_STEP), base.shape, unit.shape, scan=33, rounds=3
    )
    still = cells.replace(eta=0.0)
    none = (best_errors(still, power) if optimise else errors_of(still)) <= minima.value * (1 + 1e-12)
    eta = np.where(none, 0.0, unit * np.exp(minima.location))
    warn_at_ends(minima, ~none, "step is infinitesimal; eta", eta, "step is infinite; eta")
    best = base.replace(eta=like_cells(base, eta))
    return best.optimal_ridge() if optimise else best


def optimal_split(problem: P, budget: Any, ridge: str) -> P:
    """See `PolynomialSpikes.optimal_split`."""
    optimise = _optimises(problem, ridge)
    budget = problem.parameters["n"].canonical("budget", budget)
    base = problem.replace(n=budget, n0=1, **({"lam": 1.0} if optimise else {}))
    cells = unlabelled(base)
    total = np.broadcast_to(cells.cells.arrays["n"], base.shape)
    if np.any(total < 2):
        raise ParameterError("budget", f"must be >= 2, one for the step and one for the readout, got {total.min()}")
    power = problem.activation.second_moment()

    def error(step: Array) -> Array:
        def block(part: Array) -> Array:
            trial = cells.replace(n0=part, n=total - part)
            return best_errors(trial, power) if optimise else errors_of(trial)

        return in_blocks(block, step, base.cells.size, each=49 if optimise else 1)

    step = _smallest_integer(error, np.ones_like(total), total - 1)
    best = base.replace(n0=like_cells(base, step), n=like_cells(base, total - step))
    return best.optimal_ridge() if optimise else best


def _optimises(problem: PolynomialSpikes, ridge: str) -> bool:
    """Whether the ridge is optimised; refuses what cannot be asked."""
    if ridge not in ("given", "optimal"):
        raise ParameterError("ridge", f"must be one of given, optimal, got {ridge!r}")
    if problem.level == "limit":
        raise ParameterError("level", "must be full or finite_rank: the limit depends on the exponent of the step only")
    return ridge == "optimal"


def _unit_step(cells: PolynomialSpikes) -> Array:
    """The learning rate that changes the preactivations by about their own size; 1 along axes where it is the same."""
    steps, position = steps_of(cells, target_moments(cells.link, DEGREE))
    return (1 / np.sqrt(steps.tau**2 + steps.tau_r**2 + steps.rescaling**2))[position]


def _smallest_integer(error: Any, low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers in [low, high] of the smallest error: a scan of ratios, then brackets that shrink to single integers."""
    odds = np.exp(np.linspace(-1, 1, SPLIT_SCAN) * np.log(np.max(high) + 1.0)).reshape(-1, *(1,) * low.ndim)
    trials = np.clip(np.rint((low + high) * odds / (1 + odds)), low, high).astype(np.int64)
    while True:
        values = error(trials)
        best = np.argmin(np.where(np.isnan(values), np.inf, values), axis=0)[None]
        found, left, right = (
            np.take_along_axis(trials, np.clip(best + shift, 0, len(trials) - 1), axis=0)[0] for shift in (0, -1, 1)
        )
        if np.all(right - left <= 2):
            return found
        shares = np.linspace(0, 1, SPLIT_POINTS).reshape(-1, *(1,) * low.ndim)
        trials = np.rint(left + (right - left) * shares).astype(np.int64)
        # the best so far stays among the trials
        nearest = np.argmin(np.abs(trials - found), axis=0)[None]
        np.put_along_axis(trials, nearest, found[None], axis=0)
        trials = np.sort(trials, axis=0)


# ---- thresholds and phases


def edge_crossings(problem: PolynomialSpikes) -> xr.Dataset:
    """See `PolynomialSpikes.edge_crossings`."""
    _optimises(problem, "given")
    base = problem.replace(eta=1.0, lam=1.0, level="finite_rank")
    cells = unlabelled(base)
    unit = _unit_step(cells)

    def margins(log_eta: Array) -> Array:
        """log of the spikes over their thresholds, (M, ..., OUTLIERS), at learning rates (M, ...)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            ratio = cells.replace(eta=np.exp(log_eta)).solve(["threshold_ratio"]).threshold_ratio
        return np.log(np.maximum(ratio, 1e-300))

    reach = math.log(LARGEST_CROSSING)
    grid = np.linspace(-reach, reach, CROSSING_SCAN)
    start = np.broadcast_to(np.log(unit), base.shape)
    scan = margins(start + grid.reshape(-1, *(1,) * start.ndim))
    outside = scan > 0
    first = np.argmax(outside, axis=0)
    found = outside.any(axis=0) & (first > 0)
    low, high = (start[..., None] + grid[np.maximum(first + shift, 0)] for shift in (-1, 0))
    below, above = (np.take_along_axis(scan, np.maximum(first + shift, 0)[None], axis=0)[0] for shift in (-1, 0))
    for _ in range(CROSSING_STEPS):
        # the false position, with the value at an end that stays halved (the Illinois rule)
        share = np.where(found, -below / np.where(above > below, above - below, 1.0), 0.5)
        middle = low + np.clip(share, 0.0, 1.0) * (high - low)
        own = np.diagonal(margins(np.moveaxis(middle, -1, 0)), axis1=0, axis2=-1)
        right = own > 0
        below, above = np.where(right, 0.5 * below, own), np.where(right, own, 0.5 * above)
        low, high = np.where(right, low, middle), np.where(right, middle, high)
    eta = np.where(found, np.exp(middle), np.nan)
    always = outside[0]
    eta = np.where(always, 0.0, eta)
    tau = np.asarray(cells.solve(["tau"]).tau)[..., None] * eta
    return _dataset(base, {
        "eta": (eta, ("outlier",), "learning rate at which the spike leaves the bulk; 0 if it is outside before the "
                "step, NaN if it does not leave it", r"\eta_j"),
        "tau": (tau, ("outlier",), "size of the rank-one part of that step per neuron", r"\tau_j"),
    })


def phase_table(problem: PolynomialSpikes, exponents: ArrayLike) -> xr.Dataset:
    """See `PolynomialSpikes.phase_table`."""
    import xarray as xr

    declared = problem.parameters["step_exponent"]
    a = np.atleast_1d(declared.canonical("exponents", np.asarray(exponents)))
    if a.ndim != 1:
        raise ParameterError("exponents", f"must be a list of numbers, got {a.ndim} axes")
    if "step_exponent" in problem.dims:
        raise ParameterError("step_exponent", "is the name of an axis of the problem; rename it")
    level = "full" if problem.level == "limit" else problem.level
    base = problem.replace(eta=1.0, step_exponent=None, level=level)
    if np.unique(a).size < a.size:
        raise ParameterError("exponents", "must differ from each other")
    axis = xr.DataArray(a, dims=("step_exponent",), coords={"step_exponent": a})
    named = base.replace(**{name: base.cells.label(array) for name, array in base.cells.arrays.items()})
    finite = named.replace(eta=base.cells.label(base.cells.arrays["n"]).astype(np.float64)**axis)
    regular = axis[~is_critical(a)]  # at a threshold the limit is not defined
    limit = named.replace(eta=None, level="limit", step_exponent=regular)
    names = ["learned_fraction", "test_error"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        at_sizes = finite.solve([*names, "tau", "threshold_ratio"]).to_dataset()
        at_limit = limit.solve(names).to_dataset()
    spikes = regular.copy(data=spike_count(regular.values))
    at_limit = at_limit.reindex(step_exponent=a)
    table = xr.Dataset({
        "learned_fraction": at_sizes["learned_fraction"],
        "learned_fraction_limit": at_limit["learned_fraction"],
        "test_error": at_sizes["test_error"],
        "test_error_limit": at_limit["test_error"],
        "outliers": (at_sizes["threshold_ratio"] > 1).sum("outlier"),
        "spikes": spikes.reindex(step_exponent=a, fill_value=-1),
        "eta": finite.eta,
        "tau": at_sizes["tau"],
        "converged": at_sizes["converged"],
    })
    table["outliers"].attrs.update(long_name="singular values outside the bulk at these sizes")
    table["spikes"].attrs.update(long_name="diverging spikes as n -> infinity; -1 at a threshold")
    table["eta"].attrs.update(long_name="learning rate n^step_exponent", symbol=r"\eta")
    table["step_exponent"].attrs.update(long_name=declared.meaning, symbol="a")
    table.attrs = dict(at_sizes.attrs)
    return table


def _dataset(problem: PolynomialSpikes, variables: dict[str, tuple[Array, tuple[str, ...], str, str]]) -> xr.Dataset:
    import xarray as xr

    return xr.Dataset(
        {name: ((*problem.dims, *dims), values, {"long_name": words, "symbol": symbol, "units": "1"})
         for name, (values, dims, words, symbol) in variables.items()},
        coords=coordinates(problem), attrs=attributes_of(problem),
    )
