"""The spectrum after the step, level "finite_rank": bulk edge, outliers and left singular vectors of F/sqrt(n).

Above the bulk the resolvent continues to e < 0, and G = -g r_w > 0.  An eigenvalue theta(e) is an outlier if one of

    -g L^T diag(r) L = G [ Lambda + (Mt - 1) q q^T ]    (in the modes of K = L L^T, q = Lambda^(1/2) U^T e_1)

is equal to 1.  The eigenvalues decrease with theta, and how many exceed a number is told by signs alone.  Section 7 of
docs/theories/polynomial_spikes.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from ...spectra.random_features import Functionals, RandomFeatures, above_edge, continued, eigenvalue
from .finite_rank import KernelTables, distinct, finite_rank_spikes
from .spikes import TABLES_AT_ONCE, Spikes, random_features
from .step import Readouts, Step

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

OUTLIERS = 8
POSITIONS = 90.0  # the edge of the bulk is within them for p/n from 1e-15 to 1e30
BISECTIONS = 66
RESIDUAL_LIMIT = 1e-9
WEAKEST = -80.0  # log of the smallest margin


class Spectrum(NamedTuple):
    """Singular values of F/sqrt(n) for C feature matrices, c_0 included.

    Attributes
    ----------
    bulk_edge : ndarray (C,)
        Largest singular value of the bulk.
    singular_values : ndarray (C, OUTLIERS)
        Those beyond the edge, strongest first; NaN after the last.
    margins : ndarray (C, OUTLIERS)
        Spikes are outside the bulk where this exceeds 1, and proportional to K: eigenvalues of -g L^T diag(r) L at the
        edge.
    positions : ndarray (C, OUTLIERS)
        Where the outliers are in the continuation of the resolvent; NaN after the last.
    residual : ndarray (C,)
        Of the equation of the edge.
    """

    bulk_edge: Array
    singular_values: Array
    margins: Array
    positions: Array
    residual: Array


def spectrum(features: RandomFeatures, spikes: Spikes) -> Spectrum:
    """Edge and outliers of C feature matrices; eqs. (21), (22)."""
    wide = RandomFeatures(*(values[:, None] for values in features))
    ones = np.ones((features.p.size, OUTLIERS))
    number = np.arange(OUTLIERS)
    edge = _edge(wide)
    at_edge = continued(wide, edge)

    largest = np.max(spikes.strengths, axis=1, keepdims=True)
    bound = np.maximum(np.log1p(-at_edge.coupling * at_edge.linear * largest), WEAKEST + 1)
    margins = _boundary(lambda level: count_above(spikes, at_edge, np.exp(level)) > number, WEAKEST * ones,
                        bound * ones)
    margins = np.where(margins > WEAKEST + 1e-9, np.exp(margins), 0.0)
    outside = margins > 1

    # M <= 4 and Mt <= 1 + sqrt(beta) at positive positions: beyond this one even the strongest spike is too weak
    beyond = np.maximum(np.log1p(4 * largest / wide.linear), edge + 1)
    positions = _boundary(lambda place: count_above(spikes, continued(wide, place), ones) > number, edge * ones,
                          beyond * ones)
    values = np.sqrt(eigenvalue(wide, continued(wide, positions)))
    return Spectrum(
        np.sqrt(eigenvalue(wide, at_edge))[:, 0], np.where(outside, values, np.nan), margins,
        np.where(outside, positions, np.nan), np.abs(above_edge(wide, at_edge))[:, 0],
    )


def bulk_edge(features: RandomFeatures) -> Array:
    """Largest singular value (C,) of the bulk; eq. (21)."""
    return np.sqrt(eigenvalue(features, continued(features, _edge(features))))


def _edge(features: RandomFeatures) -> Array:
    """Where the continuation of the resolvent reaches the bulk."""
    reach = np.full(features.p.shape, POSITIONS)
    return _boundary(lambda place: above_edge(features, continued(features, place)) < 0, -reach, reach)


def count_above(spikes: Spikes, at: Functionals, level: Array) -> NDArray[np.intp]:
    """How many eigenvalues of G [Lambda + (Mt - 1) q q^T] exceed levels (C, M), by Sylvester's law of inertia."""
    pull = -at.coupling / level
    linear = spikes.modes[:, 1]
    scaled = pull[..., None] * spikes.strengths[:, None]
    shifted = scaled - 1
    shifted = np.where(shifted == 0, np.finfo(np.float64).eps, shifted)
    secular = 1 - at.linear_learned * np.einsum("cmr,cr->cm", scaled / shifted, linear**2)
    return np.count_nonzero(shifted > 0, axis=-1) + (secular < 0)


def left_vectors(features: RandomFeatures, spikes: Spikes, positions: Array, degrees: int) -> Array:
    """Cosines (C, OUTLIERS, degrees) of left singular vectors with h_k(kappa), the largest one positive; eq. (23).

    NaN after the last outlier.  With a function sum_k f_k h_k(kappa), |f| = 1, the cosine is that sum over cosines.
    """
    wide = RandomFeatures(*(values[:, None] for values in features))
    present = np.isfinite(positions)
    at = continued(wide, np.where(present, positions, 0.0))
    pull, rise = -at.coupling, -at.linear_learned  # G, Mt - 1
    linear = spikes.modes[:, 1]
    q = (np.sqrt(spikes.strengths) * linear)[:, None]

    # null vector q_k/(G Lambda_k - 1); the component with the smallest divisor from the secular equation
    divisor = pull[..., None] * spikes.strengths[:, None] - 1
    nearest = np.argmin(np.abs(divisor), axis=-1)[..., None]
    others = np.arange(divisor.shape[-1]) != nearest
    quotient = np.where(others, q / np.where(others, divisor, 1.0), 0.0)
    q = np.broadcast_to(q, quotient.shape)
    own = -(1 / pull + rise * np.einsum("cmr,cmr->cm", quotient, q))
    at_nearest = rise[..., None] * np.take_along_axis(q, nearest, axis=-1)
    null = np.where(others, at_nearest * quotient, own[..., None])

    vector = np.einsum("ckr,cmr->cmk", spikes.modes, np.sqrt(spikes.strengths)[:, None] * null)
    power = np.einsum("cmk,cmk->cm", vector, vector)  # of q_k/r_k
    along = vector[..., 1].copy()
    vector[..., 1] *= at.linear
    white = power - along**2
    norm = white + at.linear_test_ratio * along**2
    norm += at.coupling_test_ratio / pull * (white + at.linear * along**2)
    vector *= np.sqrt(np.where(present, above_edge(wide, at), 0.0) / np.where(present, norm, 1.0))[..., None]
    highest = np.argmax(np.abs(vector), axis=-1)[..., None]
    vector *= np.sign(np.take_along_axis(vector, highest, axis=-1))
    shown = np.zeros((*positions.shape, degrees))
    kept = min(degrees, vector.shape[-1] - 1)
    shown[..., :kept] = vector[..., :kept]
    return np.where(present[..., None], shown, np.nan)


def solve_spectrum(
    activation: Nonlinearity, steps: Step, readouts: Readouts, degrees: int = 0, refinement: int = 1
) -> dict[str, Array]:
    """Spectra of C cells; the ridge plays no part, and every distinct feature matrix is treated once.

    Returns
    -------
    dict of str to ndarray
        bulk_edge (C,), singular_values and spike_margins (C, OUTLIERS), see `Spectrum`; with `degrees`
        spike_vectors (C, OUTLIERS, degrees), see `left_vectors`; residual and converged (C,).
    """
    tables = KernelTables(activation, steps, readouts, refinement)
    first, matrix = distinct(tables.table.astype(np.float64), readouts.n)
    features, own = random_features(activation, readouts).at(first), tables.table[first]
    solved: list[dict[str, NDArray[Any]]] = []
    for start in range(0, first.size, TABLES_AT_ONCE):
        used, position = np.unique(own[start:start + TABLES_AT_ONCE], return_inverse=True)
        spikes = finite_rank_spikes(tables.factor(used)).at(position)
        part = features.at(slice(start, start + TABLES_AT_ONCE))
        found = spectrum(part, spikes)
        solved.append({
            "bulk_edge": found.bulk_edge,
            "singular_values": found.singular_values,
            "spike_margins": found.margins,
            "residual": found.residual,
            "converged": found.residual < RESIDUAL_LIMIT,
        })
        if degrees:
            solved[-1]["spike_vectors"] = left_vectors(part, spikes, found.positions, degrees)
    return {name: np.concatenate([part[name] for part in solved])[matrix] for name in solved[0]}


def solve_edge(activation: Nonlinearity, readouts: Readouts) -> Array:
    """bulk_edge (C,), which is that before the step."""
    first, matrix = distinct(readouts.p, readouts.d, readouts.n)
    return bulk_edge(random_features(activation, readouts).at(first))[matrix]


def _boundary(below: Callable[[Array], Mask], low: Array, high: Array) -> Array:
    """Where a statement that is true at low and false at high stops being true, by bisection."""
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        held = below(middle)
        low, high = np.where(held, middle, low), np.where(held, high, middle)
    return 0.5 * (low + high)


# ---- the first layer, at a constant step


class FirstLayerSpike(NamedTuple):
    """Top singular value of W after the step, and squared cosines of its singular vectors.

    Attributes
    ----------
    singular_value : ndarray
        1 + sqrt(p/d), the edge of the bulk, below the threshold.
    left : ndarray
        With the initial readout a.
    right : ndarray
        With the learned direction X^T y.
    teacher : ndarray
        Of the right vector with theta.
    """

    singular_value: Array
    left: Array
    right: Array
    teacher: Array


def first_layer_spike(size: Array, alignment: Array, beta: Array) -> FirstLayerSpike:
    """The spike eta c_1 |b| in W, beta = p/d; eq. (24)."""
    root = np.sqrt(beta)
    square = size**2
    outside = square > root
    square = np.where(outside, square, root)
    excess = (square - root) * (square + root) / square
    right = excess / (square + 1)
    return FirstLayerSpike(
        np.where(outside, np.sqrt((1 + square) * (beta + square) / square), 1 + root),
        excess / (square + beta), right, right * alignment**2,
    )
