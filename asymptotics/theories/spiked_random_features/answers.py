"""Questions to a whole family of problems: the best step, the best split of the samples, what has been learned.

The problems of this folder delegate to these functions; a family is solved as one problem with trial axes in front.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...datasets import STATE, attributes_of, coordinates
from ...errors import ParameterError
from ...gaussian import Nonlinearity
from ...gaussian.hermite import hermite_functions
from ...gaussian.quadrature import normal_density
from ...search import best_errors, errors_of, in_blocks, like_cells, unlabelled, warn_at_ends
from ...solvers import minimise_shared, tiles
from .gradient_step import SpikeParameters, spike_parameters
from .kappa_rule import MOST_NODES, choose_rule, rule_nodes
from .problem import GiantStep, _RidgeReadout

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]
Step = TypeVar("Step", bound=GiantStep)

STEP_RANGE = 1e3  # steps between 1/this and this times the step that changes the weights by their own size
SPLIT_RANGE = 1e3  # ratios of the two sample sizes between 1/this and this
HERMITE_CLASS = 9  # of rules for products with Hermite polynomials, which decay like the root of the density
HERMITE_WORK = 1 << 21  # elements of one work array
LARGEST_DEGREE = 100


# ---- the best step


def optimal_step(problem: Step) -> Step:
    """See `GiantStep.optimal_step`."""
    base = problem.replace(eta=1.0, lam=1.0)
    cells = unlabelled(base)
    shared, (alpha0, _, noise_var) = cells._step()
    unit, power = _unit_step(cells, alpha0, noise_var), problem.activation.second_moment()

    def error(log_size: Array) -> Array:
        return in_blocks(
            lambda part: best_errors(cells.replace(eta=unit * np.exp(part)), power), log_size, base.cells.size
        )

    reach = math.log(STEP_RANGE)
    minima = minimise_shared(error, -reach, reach, base.shape, shared, scan=21)
    none = best_errors(cells.replace(eta=0.0), power) <= minima.value * (1 + 1e-12)
    eta = np.where(none, 0.0, unit * np.exp(minima.location))
    warn_at_ends(
        minima, ~none, "step is infinitesimal (as eta -> 0+ the mean direction stays free, while n samples need eta of "
        "order n^-1/2); eta", eta, "step is infinite; eta",
    )
    return base.replace(eta=like_cells(base, eta)).optimal_ridge()


def _unit_step(problem: GiantStep, alpha0: Array, noise_var: Array) -> Array:
    """The step that changes the weights by about their own size."""
    large = 1e8
    spikes = spike_parameters(problem.activation, problem.target, alpha0, np.array(large), noise_var)
    return large / np.sqrt(spikes.strength**2 + spikes.bulk_variance)


# ---- the best split of the samples


def optimal_split(problem: Step, budget: Any, ridge: str) -> Step:
    """See `GiantStep.optimal_split`."""
    if ridge not in ("given", "optimal"):
        raise ParameterError("ridge", f"must be one of given, optimal, got {ridge!r}")
    if problem.n_finite is not None:
        raise ParameterError("n_finite", "must be null: the sample size of the readout is not known before the split")
    optimise = ridge == "optimal"
    power = problem.activation.second_moment()
    errors: Callable[[GiantStep], Array] = (lambda part: best_errors(part, power)) if optimise else errors_of
    budget = problem.parameters["alpha"].canonical("budget", budget)
    base = problem.replace(alpha=budget, alpha0=0.0, **({"lam": 1.0} if optimise else {}))
    cells = unlabelled(base)
    total = cells.cells.arrays["alpha"]
    shared = np.broadcast_shapes(cells._step()[0], total.shape)

    def error(log_odds: Array) -> Array:
        def block(part: Array) -> Array:
            step, readout = _parts(total, part)
            return errors(cells.replace(alpha0=step, alpha=readout))

        return in_blocks(block, log_odds, base.cells.size)

    reach = math.log(SPLIT_RANGE)
    minima = minimise_shared(error, -reach, reach, base.shape, shared, scan=29, rounds=3)
    none = errors(cells) <= minima.value * (1 + 1e-12)
    step, readout = _parts(total, minima.location)
    step, readout = np.where(none, 0.0, step), np.where(none, total, readout)
    warn_at_ends(
        minima, ~none, "split leaves the step next to nothing; alpha0", step,
        "split leaves the readout next to nothing; alpha", readout,
    )
    best = base.replace(alpha0=like_cells(base, step), alpha=like_cells(base, readout))
    return best.optimal_ridge() if optimise else best


def _parts(total: Array, log_odds: Array) -> tuple[Array, Array]:
    """Two parts of a total whose ratio has this logarithm."""
    return total / (1 + np.exp(-log_odds)), total / (1 + np.exp(log_odds))


# ---- what has been learned


@np.errstate(under="ignore")  # high powers of a small alignment
def learned_components(problem: _RidgeReadout, degree: int) -> xr.Dataset:
    """See `learned_components` of the problems."""
    import xarray as xr

    if isinstance(degree, bool) or not isinstance(degree, int | np.integer) or not 0 <= degree <= LARGEST_DEGREE:
        raise ParameterError("degree", f"must be a whole number from 0 to {LARGEST_DEGREE}, got {degree!r:.40}")
    if "degree" in problem.dims:
        raise ParameterError("degree", "is the name of an axis of the problem; rename it")
    table_shape, spikes = problem._spikes()
    if spikes.bulk_variance.ndim > 1:
        raise ParameterError("readout_levels", "must be one level: the components of several are not implemented")
    prediction = problem.solve(["m", "th", "psi", "chi"])

    def of_cells(tables: Array) -> Array:
        """Rows (T, K) of the tables for every cell."""
        return tables.reshape(*table_shape, -1)

    def overlap(name: str) -> Array:
        return np.asarray(prediction.values[name])[..., None]

    mean, slope, curvature = (of_cells(table) for table in hermite_contents(problem.activation, spikes, degree + 1))
    k = np.arange(degree + 1.0)
    # kappa h_k = sqrt(k + 1) h_{k+1} + sqrt(k) h_{k-1}
    below = np.concatenate([np.zeros_like(slope[..., :1]), slope[..., :degree]], axis=-1)
    ridge_slope = np.sqrt(k + 1) * slope[..., 1:] + np.sqrt(k) * below
    coefficients = problem.target.hermite_coefficients(degree + 1)
    powers = of_cells(spikes.alignment[:, None] ** k)
    contents = {
        "target_spike": (powers * coefficients[:-1], "target along the spike", r"\gamma^k t_k"),
        "network_spike": (
            overlap("m") * mean[..., :-1] + overlap("th") * ridge_slope + overlap("chi") * curvature[..., :-1],
            "mean prediction along the spike", r"\mathbb{E}[\bar f h_k]",
        ),
        "target_orthogonal": (
            powers * of_cells(spikes.rho[:, None]) * np.sqrt(k + 1) * coefficients[1:],
            "target, linear across the spike", r"\sqrt{k+1}\,\gamma^k \rho\, t_{k+1}",
        ),
        "network_orthogonal": (
            overlap("psi") * slope[..., :-1], "mean prediction, linear across the spike",
            r"\psi\,\mathbb{E}[\mu_1 h_k]",
        ),
    }
    dims, shape = problem.dims, (*problem.shape, degree + 1)
    arrays: dict[str, tuple] = {
        name: ((*dims, "degree"), np.array(np.broadcast_to(values, shape)),
               {"long_name": words, "symbol": symbol, "units": "1"})
        for name, (values, words, symbol) in contents.items()
    }
    arrays["converged"] = (dims, prediction.converged, dict(STATE["converged"]))
    degrees = ("degree", np.arange(degree + 1, dtype=np.int32), {"long_name": "Hermite degree", "symbol": "k"})
    return xr.Dataset(arrays, {**coordinates(problem), "degree": degrees}, attributes_of(problem))


@np.errstate(under="ignore")
def hermite_contents(activation: Nonlinearity, spikes: SpikeParameters, degree: int) -> tuple[Array, Array, Array]:
    """E[mu0 h_k], E[mu1 h_k] and E[nu h_k], k = 0..degree, of T spikes: arrays (T, degree + 1).

    With s^2 = r^2 + c they are the Hermite coefficients of sigma(s w) times (r/s)^k, and so on; here by quadrature over
    kappa, on nodes that are as fine and reach as far as the Hermite polynomials need.
    """
    contents = np.full((3, spikes.strength.size, degree + 1), np.nan)
    # the target plays no part; its place is taken by the activation, so that no other width is resolved
    rule = choose_rule(activation, activation, spikes._replace(alignment=0 * spikes.strength), HERMITE_CLASS, 1)
    for kind in np.unique(rule.kind):
        mine = np.flatnonzero((rule.kind == kind) & (rule.nodes <= MOST_NODES))
        for tile in tiles(mine, rule.nodes, HERMITE_WORK // (degree + 1)):
            part = spikes.at(tile.tables)
            kappa, weight = rule_nodes(rule.at(tile.tables), activation, activation, part)
            moments = activation.moments(part.strength[:, None] * kappa, part.bulk_variance[:, None])
            density = np.sqrt(normal_density(kappa))
            functions = hermite_functions(np.ravel(kappa), degree).reshape(degree + 1, *kappa.shape)
            for content, moment in zip(contents, (moments.mu0, moments.mu1, moments.nu), strict=True):
                content[tile.tables] = np.einsum("tk,dtk->td", weight / density * moment, functions)
    if activation.parity:  # nodes may cover one half of the line only, with doubled weights
        odd = np.arange(degree + 1) % 2 == 1
        wrong = odd if activation.parity > 0 else ~odd
        contents[0, :, wrong] = contents[2, :, wrong] = contents[1, :, ~wrong] = 0.0
    return contents[0], contents[1], contents[2]
