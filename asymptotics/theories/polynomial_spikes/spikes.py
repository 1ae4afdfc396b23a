"""What a ridge readout makes of spikes in its features: errors and overlaps at levels "limit" and "finite_rank".

Both levels add a part of finite rank to random features, K = U Lambda U^T in the Hermite polynomials of kappa.  At
level "limit" the strengths Lambda are infinite or zero, at level "finite_rank" they are numbers.  Sections 6 and 8 of
docs/theories/polynomial_spikes.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from ...spectra.random_features import RandomFeatures, Resolvent, resolvent
from .step import Readouts, TargetMoments

Array = NDArray[np.float64]
Index = NDArray[np.intp]

TABLES_AT_ONCE = 256
CELLS_AT_ONCE = 2048


class Spikes(NamedTuple):
    """Spikes of T feature matrices.

    Attributes
    ----------
    modes : ndarray (T, K, R)
        Orthonormal functions of kappa by their Hermite coefficients, K >= 2 (rows of other directions may follow those
        of the degrees).  Functions that no mode contains are fitted at no cost.
    strengths : ndarray (T, R)
        Eigenvalues Lambda of the kernel K, >= 0.
    """

    modes: Array
    strengths: Array

    def at(self, index: Index) -> Spikes:
        """Some of them."""
        return Spikes(self.modes[index], self.strengths[index])


class Teacher(NamedTuple):
    """The target seen from T directions.

    Attributes
    ----------
    components : ndarray (T, K)
        y_k = c*_k rho^k, its components along h_k(kappa).
    orthogonal : ndarray (T,)
        c*_1^2 (1 - rho^2), the power of what is linear and orthogonal to kappa.
    hidden : ndarray (T,)
        c*_1 (1 - rho^2), its overlap with h_1(<theta, x>).
    rest : ndarray (T,)
        All that is neither: no readout learns it, without the noise.
    alignment : ndarray (T,)
        rho.
    """

    components: Array
    orthogonal: Array
    hidden: Array
    rest: Array
    alignment: Array

    def at(self, index: Index) -> Teacher:
        """Some of them."""
        return Teacher(*(values[index] for values in self))


def teacher(target: TargetMoments, alignment: Array, degree: int, rows: int) -> Teacher:
    """The target with the degrees up to `degree` resolved, in vectors of length `rows`; eq. (18)."""
    coefficients = np.zeros(degree + 1)
    given = target.coefficients[: degree + 1]
    coefficients[: given.size] = given
    powers = alignment[:, None] ** np.arange(degree + 1)
    components = np.zeros((alignment.size, rows))
    components[:, : degree + 1] = coefficients * powers
    lost = coefficients**2 * (1 - powers**2)
    orthogonal, hidden = lost[:, 1].copy(), coefficients[1] * (1 - alignment**2)
    lost[:, 1] = 0.0
    beyond = max(target.second - float(np.sum(coefficients**2)), 0.0)
    return Teacher(components, orthogonal, hidden, beyond + np.sum(lost, axis=1), alignment)


def random_features(activation: Nonlinearity, readouts: Readouts) -> RandomFeatures:
    """The features before the step."""
    moments = activation.standard_moments
    ones = np.ones(readouts.lam.shape)
    return RandomFeatures(float(moments.mu1) ** 2 * ones, float(moments.mu2_sq) * ones, readouts.p, readouts.n,
                          readouts.d)


def solve_readouts(
    spikes_of: Callable[[Index], Spikes],
    table: Index,
    alignment: Array,
    degree: int,
    activation: Nonlinearity,
    target: TargetMoments,
    readouts: Readouts,
    names: Iterable[str],
    degrees: int,
) -> dict[str, Array]:
    """Observables of C cells, among them "converged" and "residual".

    Parameters
    ----------
    spikes_of : callable
        The spikes of some tables; called once for each.
    table : ndarray of int (C,)
        The table of each cell.
    alignment : ndarray (T,)
        rho of each table.
    degree : int
        Highest degree among the rows of the modes.
    activation, target, readouts
        The features, the labels and the cells (C,).
    names : iterable of str
        Among test_error, generalization_error, train_error, ridge_objective, overlaps.
    degrees : int
        Length of the axis of the overlaps.
    """
    names = set(names) | {"residual", "converged"}
    count = table.size
    outputs: dict[str, NDArray[Any]] = {
        name: np.empty((count, degrees) if name == "overlaps" else count) for name in names
    }
    features = random_features(activation, readouts)
    order = np.argsort(table, kind="stable")
    ends = np.searchsorted(table[order], np.arange(0, alignment.size + TABLES_AT_ONCE, TABLES_AT_ONCE))
    for number in range(len(ends) - 1):
        first = number * TABLES_AT_ONCE
        tables = np.arange(first, min(first + TABLES_AT_ONCE, alignment.size))
        spikes = spikes_of(tables)
        seen = teacher(target, alignment[tables], degree, spikes.modes.shape[1])
        for start in range(ends[number], ends[number + 1], CELLS_AT_ONCE):
            index = order[start:min(start + CELLS_AT_ONCE, ends[number + 1])]
            own = table[index] - first
            bulk = resolvent(features.at(index), readouts.lam[index])
            shown = min(degrees, degree + 1) if "overlaps" in names else 0
            solved = _observables(spikes, seen, own, bulk, readouts.noise_var[index], shown)
            if shown:
                overlaps = np.zeros((index.size, degrees))
                overlaps[:, :shown] = solved["overlaps"]
                solved["overlaps"] = overlaps
            for name, values in outputs.items():
                values[index] = solved[name]
    return outputs | {"converged": outputs["converged"] > 0}


def _observables(
    spikes: Spikes, seen: Teacher, table: Index, bulk: Resolvent, noise_var: Array, degrees: int
) -> dict[str, Array]:
    """Errors and overlaps of cells; eqs. (18)-(20), (25), (26).

    The readout leaves res = (1 + g K diag(r))^{-1} y of the target.  As diag(r) = r_w (1 - (1 - Mt) e_1 e_1^T), in the
    modes K is diagonal up to a part of rank one and everything is a sum over modes; the errors are sums of squares.
    """
    along = np.einsum("tkr,tk->tr", spikes.modes, seen.components)[table]
    linear = spikes.modes[:, 1][table]
    strengths = spikes.strengths[table]
    share, learned = bulk.linear_share, bulk.linear_learned
    damping = 1 / (1 + bulk.coupling[:, None] * strengths)
    damped = damping * linear
    linear_left = np.einsum("cr,cr->c", damped, along)
    linear_left /= share + learned * np.einsum("cr,cr->c", damped, linear)
    left = damping * (along - (learned * linear_left)[:, None] * linear)  # diag(r/r_w) res, by modes
    energy = np.einsum("cr,cr,cr->c", strengths, left, left)
    white = np.maximum(np.einsum("cr,cr->c", left, left) - (share * linear_left) ** 2, 0.0)

    white = white + seen.rest[table] + noise_var
    straight = linear_left**2 + seen.orthogonal[table]
    on_training = white + share * straight + bulk.coupling * energy
    fresh = white + bulk.linear_test_ratio * straight + bulk.coupling_test_ratio * energy
    test = np.where(fresh > 0, bulk.test_weight, 0.0) * fresh
    interpolates = bulk.train_weight == 0  # and the test error may be infinite
    optimism = np.where(interpolates, 0.0, bulk.train_weight**2 * np.where(interpolates, 0.0, bulk.test_weight))
    solved = {
        "test_error": test,
        "generalization_error": test - noise_var,
        "ridge_objective": bulk.train_weight * on_training,
        "train_error": optimism * fresh,
        "residual": bulk.residual,
        "converged": bulk.converged.astype(np.float64),
    }
    if degrees:
        learnt = seen.components[table, :degrees] - np.einsum("ckr,cr->ck", spikes.modes[:, :degrees][table], left)
        learnt *= seen.alignment[table, None] ** np.arange(degrees)
        if degrees > 1:
            straight_learnt = seen.components[table, 1] - share * linear_left
            learnt[:, 1] = seen.alignment[table] * straight_learnt + seen.hidden[table] * learned
        solved["overlaps"] = learnt
    return solved
