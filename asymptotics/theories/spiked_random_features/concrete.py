"""What can be asked of one concrete W: `ConcreteFeatures`, its constructor from W, and the solution of its cells."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import AccuracyWarning, ParameterError
from ...gaussian import Nonlinearity
from ...parameters import parameter
from .concrete_equations import (
    Bulk,
    Readouts,
    accuracy,
    averages_at,
    bulk_hessian,
    bulk_of,
    curve_at,
    mean_readout,
    solve_bulk,
)
from .gradient_step import SpikeParameters
from .kappa_rule import MOST_NODES, choose_rule, level_class
from .prediction import ReadoutPrediction, SpikedRandomFeaturesPrediction
from .problem import _RidgeReadout
from .ridgeless import (
    AT_THRESHOLD,
    DEGENERATE,
    DIVERGENT,
    NO_LIMIT,
    RIDGELESS,
    RIDGELESS_CHECK,
    ROUNDING,
    SETTLED,
    SLOWEST_DIVERGENCE,
    VANISHING,
)
from .solution import RESIDUAL_LIMIT, ROUNDING_LIMIT, Workspace
from .tables import Tables, build_tables, signal_averages

Array = NDArray[np.float64]
Index = NDArray[np.intp]

WORK_SIZE = 1 << 17  # elements of one work array


class ConcreteFeatures(_RidgeReadout):
    """Ridge readout on the features sigma(W x) of one given first layer W, for the target direction theta.

    With F = sigma(X W^T) (n x p), the readout minimises

        sum_mu (y_mu - F_mu . w/sqrt(p))^2 + lam |w|^2

    over w, and predicts f(x) = sigma(W x) . w/sqrt(p); y = target(<theta, x>) + noise, x ~ N(0, I_d), |theta| = 1.
    Averages over training sets and fresh points for this W, up to corrections that vanish as it grows.  W enters by its
    spike, W = r 1 v^T + W_b with v along W^T 1, the spectrum of W_p = W_b (I - v v^T), and overlaps of W_b v, W_b zeta
    and the row norms of W_p with its left singular vectors, where theta = alignment v + sqrt(1 - alignment^2) zeta.
    `concrete_features` finds them.
    """

    slug: ClassVar[str] = "concrete-features"
    title: ClassVar[str] = "Ridge on the features of given weights"
    source: ClassVar[str] = "arXiv:2402.04980; docs/theories/giant_step.md, section 14"
    prediction: ClassVar[type[ReadoutPrediction]] = SpikedRandomFeaturesPrediction

    eigenvalues: Any = parameter("eigenvalues of W_p W_p^T", symbol="D", kind="vector", low=0)
    spike_overlaps: Any = parameter("overlaps of W_b v with its eigenvectors", symbol="a", kind="vector")
    target_overlaps: Any = parameter("overlaps of W_b zeta with its eigenvectors", symbol="b", kind="vector")
    norm_overlaps: Any = parameter(
        "overlaps of the squared row norms of W_p, less their mean, with its eigenvectors; null to leave them out",
        symbol=r"\delta", kind="vector", default=None,
    )
    spike_strength: Any = parameter("mean r of W v", symbol="r")
    alignment: Any = parameter("overlap gamma = <v, theta>", symbol=r"\gamma", low=-1, high=1)
    beta: Any = parameter("hidden units per input dimension, p/d", symbol=r"\beta", above=0)
    n_finite: Any = parameter(
        "sample size in the penalty of the mean direction; null for n = alpha p/beta", symbol="n", kind="size", low=1,
        default=None,
    )

    def _validate(self) -> None:
        super()._validate()
        for name in ("spike_strength", "alignment", "beta"):
            if self.cells.arrays[name].size != 1:
                raise ParameterError(name, "must be one number: it belongs to the weights")
        if not np.any(self.eigenvalues > 0):
            raise ParameterError("eigenvalues", "must not all be zero")
        for name in ("spike_overlaps", "target_overlaps", "norm_overlaps"):
            overlaps = getattr(self, name)
            if overlaps is not None and overlaps.size != self.eigenvalues.size:
                raise ParameterError(name, f"must have as many elements as the eigenvalues, {self.eigenvalues.size}, "
                                           f"got {overlaps.size}")
        if np.any(self.target_overlaps[self.eigenvalues == 0]):
            raise ParameterError("target_overlaps", "must be zero where the eigenvalue is zero")
        seen = float(np.sum(self._bulk.seen**2))
        if seen > 1 + 1e-6:
            raise ParameterError("target_overlaps", f"must have sum b^2/D <= 1, got {seen:.6g}")

    @property
    def _bulk(self) -> Bulk:
        return bulk_of(self.eigenvalues, self.spike_overlaps, self.norm_overlaps, self.target_overlaps)

    def _spikes(self) -> tuple[tuple[int, ...], SpikeParameters]:
        strength, alignment = (self.cells.arrays[name].reshape(1) for name in ("spike_strength", "alignment"))
        spike = SpikeParameters(strength * 1.0, np.array([self._bulk.variance]), alignment * 1.0)
        return (1,) * len(self.shape), spike

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        arrays = {name: np.broadcast_to(array, self.shape).reshape(-1).astype(np.float64)
                  for name, array in self.cells.arrays.items()}
        bulk, load = self._bulk, arrays["alpha"] / arrays["beta"]
        cells = Readouts(load, arrays["lam"], arrays["noise_var"], arrays.get("n_finite", load * bulk.units))
        _, spike = self._spikes()

        def solve(cells: Readouts) -> dict[str, Any]:
            return solve_readouts(self.activation, self.target, spike, bulk, cells, refinement)

        rank = np.count_nonzero(bulk.eigenvalues) / bulk.units if self.activation.affine else 1.0
        solved, singular = solve_with_limits(solve, cells, self.activation.second_moment(), rank)
        for count, words in singular:
            warnings.warn(f"{count} of {cells.lam.size} cells {words}", AccuracyWarning, stacklevel=4)
        answer: dict[str, Any] = {name: solved[name].reshape(self.shape) for name in solved}
        answer["best_linear_error"] = self._best_linear_error(self.cells.arrays["noise_var"])
        return answer


def concrete_features(
    W: ArrayLike, theta: ArrayLike, *, row_norms: bool = True, n: Any = None, **parameters: Any
) -> ConcreteFeatures:
    """The problem of a ridge readout on the features of a first layer W; one eigen-decomposition, O(p^3).

    Parameters
    ----------
    W : array_like, shape (p, d)
        The weights, one row per hidden unit.
    theta : array_like, shape (d,)
        Direction of the target, of norm 1.
    row_norms : bool
        Whether the fluctuations of the row norms are kept.
    n : int or array_like, optional
        Samples of the readout; instead of `alpha` = n/d.
    **parameters
        activation, target, alpha, lam, noise_var.

    Raises
    ------
    ParameterError
        If W is not a finite matrix with a bulk, or theta not a unit vector of its input space.
    """
    weights, direction = _finite("W", W, ("p", "d")), _finite("theta", theta, ("d",))
    p, d = weights.shape
    if direction.size != d:
        raise ParameterError("theta", f"must have as many elements as W has columns, {d}, got {direction.size}")
    norm = float(np.linalg.norm(direction))
    if not abs(norm - 1) < 1e-6:
        raise ParameterError("theta", f"must have norm 1 (the target is a function of <theta, x>), got norm {norm:.6g}")
    direction = direction / norm
    for name in ("beta", "eigenvalues", "spike_strength", "alignment", "spike_overlaps", "target_overlaps",
                 "norm_overlaps"):
        if name in parameters:
            raise ParameterError(name, "is set by the weights; leave it out")
    if n is not None:
        if "alpha" in parameters:
            raise ParameterError("alpha", "is set by n; give one of them")
        sizes = np.asarray(n)
        if sizes.dtype.kind not in "iuf" or np.any(sizes != np.floor(sizes)) or np.any(sizes < 1):
            raise ParameterError("n", f"must be a whole number >= 1, got {n!r:.40}")
        parameters["alpha"] = (sizes if isinstance(n, list | tuple) else n) / d
    total = np.sum(weights, axis=0)
    length = float(np.linalg.norm(total))
    spike = total / length if length > 0 else direction  # without mean no direction is special
    spike = -spike if spike @ direction < 0 else spike
    alignment = min(float(spike @ direction), 1.0)
    rest = direction - alignment * spike
    rho = float(np.linalg.norm(rest))
    rest = rest / rho if rho > 1e-12 else np.zeros(d)

    along = weights @ spike
    bulk = weights - along[:, None] * spike
    norms = np.sum(bulk**2, axis=1)
    if np.mean(norms) <= 1e-24 * np.sum(weights**2) / p:
        raise ParameterError("W", "must have rows that differ from each other in direction: they have no bulk")
    eigenvalues, vectors = np.linalg.eigh(bulk @ bulk.T)
    present = eigenvalues > p * np.finfo(np.float64).eps * eigenvalues[-1]
    strength = float(np.mean(along))
    return ConcreteFeatures(
        eigenvalues=np.where(present, eigenvalues, 0.0),
        spike_overlaps=vectors.T @ (along - strength),
        target_overlaps=np.where(present, vectors.T @ (bulk @ rest), 0.0),
        norm_overlaps=vectors.T @ (norms - np.mean(norms)) if row_norms else None,
        spike_strength=strength,
        alignment=alignment if rho > 1e-12 else 1.0,
        beta=p / d,
        **parameters,
    )


def _finite(name: str, values: ArrayLike, axes: tuple[str, ...]) -> Array:
    """A float64 array of finite numbers with these axes."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise ParameterError(name, "must not be a ragged list") from None
    if array.dtype.kind not in "iuf" or array.ndim != len(axes) or not array.size:
        raise ParameterError(name, f"must be an array ({', '.join(axes)}) of numbers, got shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ParameterError(name, "must be finite numbers")
    return array.astype(np.float64)


def solve_with_limits(
    solve: Callable[[Readouts], dict[str, Any]], cells: Readouts, power: float, rank: float
) -> tuple[dict[str, Any], list[tuple[int, str]]]:
    """`solve` with the limit lam -> 0+ where lam = 0, and in how many cells the test error is infinite, and why.

    As in `ridgeless`, by a second look at a still smaller ridge.  `rank` is that of the features per hidden unit: 1
    unless the activation is affine; above it the null space of affine features makes V2 infinite.
    """
    bare = cells.lam == 0
    pinned = bare & (np.abs(cells.load / rank - 1) < 1e-14)  # n = p up to rounding
    below = bare & ~pinned & (cells.load < rank)
    above = bare & ~(pinned | below) & (rank < 1)
    lam = np.where(below, RIDGELESS * power, np.where(above, DEGENERATE * power, cells.lam))
    solved = solve(cells._replace(lam=lam, pinned=pinned))
    divergent = np.zeros(bare.shape, dtype=bool)
    if np.any(below):
        index = np.flatnonzero(below)
        checked = solve(cells.at(index)._replace(lam=np.full(index.size, RIDGELESS_CHECK * power)))
        here, there = solved["generalization_error"][index], checked["generalization_error"]
        grows, settles = there > SLOWEST_DIVERGENCE * here, np.abs(there - here) <= SETTLED * here
        divergent[index] = grows
        solved["converged"][index] &= checked["converged"] & (grows | settles)
        for name in set(checked) - {*DIVERGENT, *VANISHING, "V1", "V2", "residual", "converged"}:
            here = solved[name][index]
            solved[name][index] = np.where(np.isclose(here, checked[name], SETTLED, ROUNDING), here, np.nan)
    threshold = pinned & ~(np.abs(solved["generalization_error"]) < 1e20)
    limits = dict.fromkeys(DIVERGENT, (threshold | divergent, np.inf))
    limits |= dict.fromkeys(VANISHING, (pinned | below, 0.0))
    limits |= {"V1": (pinned | below, np.inf), "V2": (pinned | below | above, np.inf)}
    for name, (where, value) in limits.items():
        solved[name][where] = value
    counts = [(threshold, AT_THRESHOLD), (divergent, NO_LIMIT)]
    return solved, [(int(np.count_nonzero(where)), words) for where, words in counts if np.any(where)]


def solve_readouts(
    activation: Nonlinearity, target: Nonlinearity, spike: SpikeParameters, bulk: Bulk, cells: Readouts, refinement: int
) -> dict[str, Any]:
    """Observables of C cells as arrays (C,), among them "converged" and "residual".

    Quadrature over kappa as in `solution.solve_cells`: nodes for a small V first, then those that its own V asks for.
    """
    count = cells.lam.size
    names = (*SpikedRandomFeaturesPrediction.observables, "residual")
    outputs: dict[str, Any] = {name: np.full(count, np.nan) for name in names}
    outputs["converged"] = np.zeros(count, dtype=bool)
    points, pending = np.zeros((2, count)), np.zeros(count, dtype=np.intp)
    work = Workspace(4)
    current, remaining = 0, np.arange(count)
    while remaining.size:
        rule = choose_rule(activation, target, spike, current, refinement)
        if rule.nodes[0] > MOST_NODES:
            break
        tables = build_tables(activation, target, spike, rule, len(bulk.directions) == 3)
        chosen = remaining[pending[remaining] == current]
        size = max(1, WORK_SIZE // max(tables.weight.size, bulk.units))
        for index in np.split(chosen, range(size, chosen.size, size)):
            part = cells.at(index)
            points[:, index], converged = solve_bulk(tables, bulk, part, points[:, index] if current else None, work)
            pending[index] = np.maximum(needed_class(activation, tables, bulk, points[:, index], work), current)
            done = pending[index] == current
            values = evaluate(tables, bulk, part.at(done), points[:, index[done]], work)
            values["converged"] &= converged[done]
            for name, array in values.items():
                outputs[name][index[done]] = array
        remaining = remaining[pending[remaining] > current]
        current = int(np.min(pending[remaining], initial=1 << 30))
    return outputs


def needed_class(activation: Nonlinearity, tables: Tables, bulk: Bulk, points: Array, work: Workspace) -> Index:
    """Class of the rule for Lambda = log(1 + V1 max mu1^2 + V2 max mu2^2), polynomials under the density."""
    (largest,) = tables.largest_squares(activation)
    v2 = np.exp(points[1])
    curve, _ = curve_at(bulk, np.exp(points[0]), work)
    return level_class(np.log1p(v2 * (curve.t * largest[0] + largest[1])))


def evaluate(tables: Tables, bulk: Bulk, cells: Readouts, points: Array, work: Workspace) -> dict[str, Any]:
    """Everything that is linear given (V1, V2), for C cells; eqs. (W9)-(W15)."""
    w, v2 = np.exp(points)
    curve, resolvent = curve_at(bulk, w, work)
    resolvent *= (v2 / curve.inverse_scale)[:, None]
    inverse_z = v2 * (1 + w) / (w * curve.inverse_scale)
    v1, load, lam = v2 * curve.t, cells.load, cells.lam
    averages, o = averages_at(tables, v1, v2, work)
    squared_columns = np.matmul(work.array(3, o.shape), tables.weighted_squares[0])
    squared = averages._replace(first=squared_columns[:, 0], second=squared_columns[:, 1])
    hessian = bulk_hessian(squared, curve, v2, load, lam)

    gram, projections, mu1_h1, mu0_power = signal_averages(
        np.matmul(o, tables.signal_columns[0]).T, tables.basis.shape[1]
    )
    signal = mean_readout(
        bulk, resolvent, inverse_z, gram, projections, tables.triangle[0], mu1_h1, load, cells.samples
    )

    # conditional error before estimation, N' = (h - fbar)^2 + (h1 - psi mu1)^2 + unlearnable + noise
    weight = tables.weight[0]
    spike = (tables.h - signal.coefficients.T @ tables.basis[0]) ** 2
    orthogonal = (tables.h1 - signal.psi[:, None] * tables.mu1) ** 2 + tables.unlearnable
    spike_error, orthogonal_error = spike @ weight, orthogonal @ weight
    weighted = np.matmul((spike + orthogonal + cells.noise_var[:, None]) * work.array(3, o.shape),
                         tables.weighted_squares[0]).T
    first, second = hessian.solve(
        load * v1 * (weighted[0] + squared.first_first * signal.q1 + squared.first_second * signal.q2),
        load * v2 * (weighted[1] + squared.first_second * signal.q1 + squared.second_second * signal.q2),
    )
    q1_variable, q2_variable = v1 * first, v2 * second
    mu1_power, mu2_power = tables.mean_squares[0]
    q1, q2 = signal.q1 + q1_variable, signal.q2 + q2_variable
    estimation, variance = mu1_power * q1 + mu2_power * q2, mu1_power * q1_variable + mu2_power * q2_variable
    generalization = spike_error + orthogonal_error + estimation
    train = weighted[2] + squared.first * q1 + squared.second * q2
    m, th, *chi = signal.overlaps
    residual, rounding = accuracy(averages, hessian, curve, v2, load, lam, bool(tables.flat[0]), cells.held)
    converged = np.isfinite(generalization) & (residual <= RESIDUAL_LIMIT) & (rounding <= ROUNDING_LIMIT)
    return {
        "test_error": generalization + cells.noise_var,
        "generalization_error": generalization,
        "train_error": train,
        "ridge_objective": train + lam / load * q2,
        "spike_error": spike_error,
        "orthogonal_error": orthogonal_error,
        "estimation_error": estimation,
        "variance": variance,
        "bias": spike_error + orthogonal_error + mu1_power * signal.q1 + mu2_power * signal.q2,
        "m": m,
        "th": th,
        "chi": chi[0] if chi else np.zeros_like(th),
        "psi": signal.psi,
        "q1": q1 + signal.psi**2,
        "q2": q2,
        "V1": v1,
        "V2": v2,
        "n_crossover": 1 / (inverse_z * mu0_power) if tables.triangle[0, 0, 0] > 0 else np.full(w.shape, np.inf),
        "residual": residual,
        "converged": converged,
    }
