"""Level "finite_rank": the step as spikes of finite strength on the random features before it, for tau^2 << 1.

Section 6 of docs/theories/polynomial_spikes.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from ...gaussian.dilation import dilated_coefficients
from .rules import graded_nodes, node_counts, readout_centres
from .spikes import Spikes, solve_readouts
from .step import Readouts, Step, TargetMoments

Array = NDArray[np.float64]
Index = NDArray[np.intp]

DEGREE, HIGHEST_DEGREE = 24, 120  # of the spike functions that are kept: these, and for large steps up to those


def spike_factor(
    activation: Nonlinearity,
    steps: Step,
    p: Array,
    d: Array,
    degree: int = DEGREE,
    rule: tuple[Array, Array] | None = None,
    refinement: int = 1,
) -> Array:
    """L (T, degree + 2, Z) with K = L L^T = p E_z[gamma gamma^T]; eqs. (16), (17).

    Rows j = 0..degree are h_j(kappa), gamma_j(z) = (tau z/V)^j E[sigma(V xi) h_j(xi)]; the last one is the radial
    direction of the data, gamma_zeta(z) = E[sigma(V xi) h_2(xi)]/sqrt(d).  V is the deviation of the preactivations of
    a neuron with initial readout z.  In this form small tau cancels nothing.
    """
    centres = readout_centres(steps)
    z, weight = graded_nodes(*centres, int(np.max(node_counts(*centres, refinement)))) if rule is None else rule
    tau, residual, s = (values[:, None] for values in (steps.tau, steps.tau_r, steps.rescaling))
    deviation = np.sqrt((1 + s * z) ** 2 + (tau**2 + residual**2) * z**2)
    coefficients = dilated_coefficients(activation, deviation, degree, refinement)
    factor = np.empty((steps.tau.size, degree + 2, z.shape[-1]))
    scale = np.sqrt(p[:, None] * weight)
    factor[:, -1] = scale * coefficients[..., 2] / np.sqrt(d)[:, None]
    ratio = tau * z / deviation
    for j in range(degree + 1):
        factor[:, j] = scale * coefficients[..., j]
        scale = scale * ratio
    return factor


def finite_rank_spikes(factor: Array, intercept: bool = False) -> Spikes:
    """The spikes from the singular vectors of L, which keep twice the digits of K.

    An intercept removes the constant: its row of K is infinite.
    """
    if not intercept:
        return _decomposed(factor)
    spikes = _decomposed(factor[:, 1:])
    return Spikes(np.concatenate([np.zeros_like(spikes.modes[:, :1]), spikes.modes], axis=1), spikes.strengths)


def _decomposed(factor: Array) -> Spikes:
    missing = factor.shape[1] - factor.shape[2]
    if missing > 0:  # modes of strength zero count, too
        factor = np.concatenate([factor, np.zeros((*factor.shape[:2], missing))], axis=2)
    modes, singular, _ = np.linalg.svd(factor, full_matrices=False)
    return Spikes(modes, singular**2)


def distinct(*columns: Array) -> tuple[Index, Index]:
    """Positions of the distinct rows among columns (C,), and which of them each row is."""
    order = np.lexsort(columns)
    changes = [column[order[1:]] != column[order[:-1]] for column in columns]
    fresh = np.concatenate([np.ones(min(order.size, 1), dtype=bool), np.any(changes, axis=0)])
    inverse = np.empty(order.size, dtype=np.intp)
    inverse[order] = np.cumsum(fresh) - 1
    return order[fresh], inverse


class KernelTables:
    """The spikes of the distinct (step, p, d) among cells, made when they are asked for.

    Attributes
    ----------
    table : ndarray of int (C,)
        The table of each cell.
    step : ndarray of int (T,)
        The step of each table.
    """

    def __init__(self, activation: Nonlinearity, steps: Step, readouts: Readouts, refinement: int = 1) -> None:
        self.activation, self.steps, self.refinement = activation, steps, refinement
        first, self.table = distinct(readouts.step.astype(np.float64), readouts.p, readouts.d)
        self.step, self.p, self.d = readouts.step[first], readouts.p[first], readouts.d[first]

    @property
    def degree(self) -> int:
        """Highest degree of the tables.

        Degree j has the power (tau z/V)^2j, which is to be below 1e-13 at z = 3.
        """
        spread = (1 + 3 * self.steps.rescaling) ** 2 + 9 * self.steps.tau_r**2
        decay = np.log1p(spread / np.maximum(9 * self.steps.tau**2, 1e-300))
        needed = DEGREE * math.ceil(30 / max(float(np.min(decay, initial=2.0)), 0.25) / DEGREE)
        return min(max(needed, DEGREE), HIGHEST_DEGREE) * (1 + self.refinement) // 2

    def factor(self, tables: Index) -> Array:
        """L of some tables."""
        steps, p, d = self.steps.at(self.step[tables]), self.p[tables], self.d[tables]
        return spike_factor(self.activation, steps, p, d, self.degree, refinement=self.refinement)


def solve_finite_rank(
    activation: Nonlinearity,
    target: TargetMoments,
    steps: Step,
    readouts: Readouts,
    names: Iterable[str],
    refinement: int = 1,
    intercept: bool = False,
    degrees: int = 5,
) -> dict[str, Array]:
    """Observables of C cells, among them "converged" and "residual".

    Parameters
    ----------
    activation, target
        The link function by its moments; what lies beyond its coefficients, or beyond degree 24, is not learned.
    steps : Step
        Steps (T,).
    readouts : Readouts
        Cells (C,).
    names : iterable of str
        Among test_error, generalization_error, train_error, ridge_objective, overlaps.
    refinement : int
        Multiplies the nodes of the quadratures, and raises the highest degree.
    intercept : bool
        Whether the readout has an intercept.
    degrees : int
        Length of the axis of the overlaps.
    """
    tables = KernelTables(activation, steps, readouts, refinement)
    return solve_readouts(
        lambda index: finite_rank_spikes(tables.factor(index), intercept), tables.table, steps.alignment[tables.step],
        tables.degree, activation, target, readouts, names, degrees,
    )
