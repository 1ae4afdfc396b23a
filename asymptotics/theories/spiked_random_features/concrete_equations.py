"""The self-consistent equations of the readout of one concrete W; section 14 of docs/theories/giant_step.md.

The spectrum of the bulk takes the place of its limit.  Only the samples per hidden unit n/p = alpha/beta, called `load`
here, and the ridge enter, so all equations are those of the limit divided by beta.  Shapes: C cells, p hidden units, K
nodes in kappa; components come first, (2, C).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...solvers import newton
from .equations import BulkAverages
from .solution import Workspace
from .tables import Tables

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

BOUND = 330.0  # of |log w/c| and |log V2|: squares of the resolvent stay finite


class Bulk(NamedTuple):
    """What the equations see of the bulk W_p of p hidden units, in the basis of left singular vectors of W_p.

    Attributes
    ----------
    variance : float
        c, the mean of the eigenvalues D of W_p W_p^T.
    eigenvalues : ndarray (p,)
        D/c.
    columns : ndarray (p, 4)
        1, D/c, (D/c)^2 and (D/c - 1)^2, divided by p: for means over the spectrum.
    directions : ndarray (F, p)
        Overlaps of W_b v, of the excess row norms (unless they are left out) and, last, of W_b zeta.
    seen : ndarray (p,)
        Overlaps of zeta with the right singular vectors; 1 - |seen|^2 of it the rows do not see.
    """

    variance: float
    eigenvalues: Array
    columns: Array
    directions: Array
    seen: Array

    @property
    def units(self) -> int:
        """p."""
        return self.eigenvalues.size


def bulk_of(eigenvalues: Array, spike_overlaps: Array, norm_overlaps: Array | None, target_overlaps: Array) -> Bulk:
    """The bulk with eigenvalues D and the overlaps a, delta, b; eq. (W2)."""
    c = float(np.mean(eigenvalues))
    scaled = eigenvalues / c
    columns = np.stack([np.ones_like(scaled), scaled, scaled**2, (scaled - 1) ** 2], axis=-1) / scaled.size
    directions = [spike_overlaps, *([] if norm_overlaps is None else [norm_overlaps]), target_overlaps]
    present = eigenvalues > 0
    seen = np.where(present, target_overlaps, 0.0) / np.sqrt(np.where(present, eigenvalues, 1.0))
    return Bulk(c, scaled, columns, np.stack(directions), seen)


class Curve(NamedTuple):
    """Means over the spectrum at w = z/V1h, each of which keeps its relative accuracy; eqs. (W4), (W6).

    Attributes
    ----------
    t : ndarray (C,)
        V1/V2 = mean D/(D + w) / mean 1/(D + w).
    filled, unfilled : ndarray (C,)
        mean D/(D + w) and mean w/(D + w), which add up to 1.
    exchange : ndarray (C,)
        mean w D/(D + w)^2.
    flexibility : ndarray (C,)
        e/exchange with e = d log t/d log w >= 0; 0 for orthogonal rows of equal norm.
    inverse_scale : ndarray (C,)
        (c + w) mean 1/(D + w), which relates V2 to 1/V1h.
    """

    t: Array
    filled: Array
    unfilled: Array
    exchange: Array
    flexibility: Array
    inverse_scale: Array

    @property
    def elasticity(self) -> Array:
        return self.exchange * self.flexibility


def spectral_curve(bulk: Bulk, w: Array, squared: Array) -> Curve:
    """The curve at w/c (C,), from the squares (C, p) of (1 + w/c)/(D/c + w/c): all sums are of positive terms.

    With n_j = mean D^j/(D + w)^2 the elasticity is a variance of D, n_2 - n_1^2/n_0, formed around 0 or around the mean
    of D, whichever cancels less.
    """
    n0, n1, n2, centred = np.matmul(squared, bulk.columns).T
    mean = n1 / n0
    shift = n0 * (mean - 1) ** 2
    spread = np.where(shift * n2 <= n1 * mean * centred, centred - shift, n2 - n1 * mean)
    m0, m1 = (n1 + w * n0) / (1 + w), (n2 + w * n1) / (1 + w)
    return Curve(
        t=bulk.variance * m1 / m0,
        filled=m1 / (1 + w),
        unfilled=w * m0 / (1 + w),
        exchange=w * n1 / (1 + w) ** 2,
        flexibility=np.maximum(spread, 0.0) / m1 * (n0 / m0) / n1,
        inverse_scale=m0,
    )


def bulk_start(mean_squares: Array, c: float, load: Array, lam: Array) -> Array:
    """(log w/c, log V2), (2, C), that scale as the solution does; eq. (W8)."""
    power = mean_squares[1] + c * mean_squares[0]
    v2 = 1 / (lam + power)
    share = load / (1 + v2 * power)
    return np.log(np.stack([(lam + share * mean_squares[1]) / (share * c * mean_squares[0]), v2]))


def bulk_equations(
    averages: BulkAverages, curve: Curve, v2: Array, load: Array, lam: Array
) -> tuple[Array, Array, Array]:
    """Equations (2, C), Newton matrix (2, 2, C) and gradient (2, C) in (log w, log V2); eqs. (W5) and (W7).

    h1 = load V1 E[mu1^2 o]/filled - 1,    g2 = load V2 E[mu2^2 o] - unfilled + lam V2.

    As in the limit, (filled h1, g2) is the gradient of a convex potential in (log V1, log V2), and the matrix is its
    Hessian there applied to steps of (log w, log V2), where d log V1 = d log V2 + e d log w.
    """
    v1 = v2 * curve.t
    ridge = lam * v2
    h1 = load * v1 * averages.first / curve.filled - 1
    g2 = load * v2 * averages.second - curve.unfilled + ridge
    cross = load * v1 * v2 * averages.first_second
    a = load * v1 * (averages.first - v1 * averages.first_first - v2 * averages.first_second)
    b = load * v2 * (averages.second - v1 * averages.first_second - v2 * averages.second_second)
    a, b = np.maximum(a, 0.0), np.maximum(b, 0.0)
    e = curve.elasticity
    jacobian = np.array([
        [((a + cross) * e + curve.exchange) / curve.filled, a / curve.filled],
        [-cross * e - curve.exchange, b + ridge],
    ])
    return np.array([h1, g2]), jacobian, np.array([e * curve.filled * h1, g2 + curve.filled * h1])


class Hessian(NamedTuple):
    """Hessian [[a + y, -y], [-y, b + y]] in (log V1, log V2), y = cross + 1/flexibility; eq. (W13)."""

    a: Array
    b: Array
    cross: Array
    flexibility: Array

    def solve(self, first: Array, second: Array) -> tuple[Array, Array]:
        """Solution for a right-hand side, a sum of positive terms; infinite where the matrix is singular."""
        f = self.flexibility
        y = 1 + f * self.cross
        determinant = self.a * self.b * f + y * (self.a + self.b)
        regular = determinant > 0
        divisor = np.where(regular, determinant, 1.0)
        solutions = (self.b * f + y) * first + y * second, y * first + (self.a * f + y) * second
        one, two = (np.where(regular, solution / divisor, np.inf) for solution in solutions)
        return one, two


def bulk_hessian(squared: BulkAverages, curve: Curve, v2: Array, load: Array, lam: Array) -> Hessian:
    """`squared` has E[o^2 mu_A^2] in the places of E[o mu_A^2]."""
    v1 = v2 * curve.t
    return Hessian(
        load * v1 * squared.first,
        load * v2 * squared.second + lam * v2,
        load * v1 * v2 * squared.first_second,
        curve.flexibility,
    )


class Signal(NamedTuple):
    """The mean readout: its overlaps, and what of its norm does not vary with the data.

    Attributes
    ----------
    coefficients : ndarray (F, C)
        Of the mean prediction in the orthonormal basis of `Tables`.
    overlaps : ndarray (F, C)
        m, th[, chi]: its coefficients of the functions mu0, kappa mu1[, nu] themselves.
    psi : ndarray (C,)
    q1, q2 : ndarray (C,)
        q1 - psi^2 and q2 of the readout averaged over training sets.
    """

    coefficients: Array
    overlaps: Array
    psi: Array
    q1: Array
    q2: Array


def mean_readout(
    bulk: Bulk,
    resolvent: Array,
    inverse_z: Array,
    gram: Array,
    projections: Array,
    triangle: Array,
    mu1_h1: Array,
    load: Array,
    samples: Array,
) -> Signal:
    """Overlaps p = (m, th[, chi]) of the mean readout, Gamma hat, hat = load E[o f (h - fbar)]; eqs. (W9)-(W12).

    In an orthonormal basis e, with functions f = R^T e, the dual vector s = E[o e (h - fbar)] solves

        (I + G R P R^T) s = E[o e h] - G R p_0,     G = E[o e e^T],  P = load Gamma,  p_0 = Gamma_b hat_b,

    and p = p_0 + P R^T s: however free a direction (P -> infinity) or dependent the functions (R_ii = 0).  The vector 1
    is in the kernel of W_p^T, so that m is coupled to nothing and its entry of P is n/z.

    Parameters
    ----------
    bulk : Bulk
    resolvent : ndarray (C, p)
        1/S.
    inverse_z : ndarray (C,)
    gram, projections : ndarray (F, F, C) and (F, C)
        G and E[o e h].
    triangle : ndarray (F, F)
        R.
    mu1_h1 : ndarray (C,)
        E[o mu1 h1].
    load, samples : ndarray (C,)
        n/p and n.
    """
    count = len(bulk.directions)
    products = np.stack([one * two for one in bulk.directions for two in bulk.directions], axis=-1)
    gamma = np.moveaxis(np.matmul(resolvent, products).reshape(-1, count, count), 0, -1)
    hat_b = load * mu1_h1
    offset = np.concatenate([np.zeros((1, load.size)), gamma[:-1, -1] * hat_b])
    prior = np.zeros_like(gram)
    prior[0, 0], prior[1:, 1:] = samples * inverse_z, load * gamma[:-1, :-1]

    right = projections - np.einsum("ijc,jc->ic", gram, triangle @ offset)
    matrix = np.eye(count) + np.einsum("ijc,jk,klc,ml->cim", gram, triangle, prior, triangle, optimize=True)
    dual = triangle.T @ np.linalg.solve(matrix, right.T[..., None])[..., 0].T
    overlaps = offset + np.einsum("ijc,jc->ic", prior, dual)
    hats = np.concatenate([load * dual[1:], hat_b[None]])
    psi = np.sum(gamma[-1] * hats, axis=0)

    readout = np.matmul(hats.T, bulk.directions)
    readout *= resolvent
    q2 = np.einsum("cp,cp->c", readout, readout) + load / samples * overlaps[0] ** 2
    # q1 - psi^2 = |W_p^T readout - psi zeta|^2: what is along zeta is taken off before squaring
    readout *= np.sqrt(bulk.variance * bulk.eigenvalues)
    readout -= psi[:, None] * bulk.seen
    missing = max(0.0, 1 - float(bulk.seen @ bulk.seen))
    q1 = np.einsum("cp,cp->c", readout, readout) + psi**2 * missing
    return Signal(triangle @ overlaps, overlaps, psi, q1, q2)


def accuracy(
    averages: BulkAverages, hessian: Hessian, curve: Curve, v2: Array, load: Array, lam: Array, flat: bool, held: Mask
) -> tuple[Array, Array]:
    """Residual of the two equations, and the relative error of V1 and V2 from rounding their largest terms."""
    (h1, g2), _, _ = bulk_equations(averages, curve, v2, load, lam)
    residual = np.maximum(0.0 * h1 if flat else np.abs(h1), np.where(held, 0.0, np.abs(g2)))
    rounding = np.finfo(np.float64).eps * np.maximum(*hessian.solve(curve.filled, curve.unfilled + lam * v2))
    return residual, np.where(held, 0.0, rounding)


class Readouts(NamedTuple):
    """Parameters of C cells: n/p, ridge, noise, n; and whether V is infinite and only its direction is solved for."""

    load: Array
    lam: Array
    noise_var: Array
    samples: Array
    pinned: NDArray[np.bool_] | None = None

    @property
    def held(self) -> NDArray[np.bool_]:
        """`pinned`, false everywhere if it was not given."""
        return np.zeros(self.lam.shape, dtype=bool) if self.pinned is None else self.pinned

    def at(self, index: Index) -> Readouts:
        """The cells at these positions."""
        return Readouts(*(None if values is None else values[index] for values in self))  # type: ignore[arg-type]


def curve_at(bulk: Bulk, w: Array, work: Workspace) -> tuple[Curve, Array]:
    """The curve at w/c (C,), and (1 + w/c)/(D/c + w/c) (C, p) in work array 0: bounded for large w."""
    inverse = np.add(w[:, None], bulk.eigenvalues, out=work.array(0, (w.size, bulk.units)))
    np.reciprocal(inverse, out=inverse)
    inverse *= 1 + w[:, None]
    return spectral_curve(bulk, w, np.multiply(inverse, inverse, out=work.array(1, inverse.shape))), inverse


def averages_at(tables: Tables, v1: Array, v2: Array, work: Workspace) -> tuple[BulkAverages, Array]:
    """E[o mu_A^2], E[o^2 mu_A^2 mu_B^2], and o = 1/(1 + V) (C, K) in work array 2."""
    o = np.matmul(np.stack([v1, v2], axis=-1), tables.squares[0], out=work.array(2, (v1.size, tables.weight.size)))
    o += 1
    np.reciprocal(o, out=o)
    squared = np.multiply(o, o, out=work.array(3, o.shape))
    first, second = np.matmul(o, tables.weighted_squares[0]).T, np.matmul(squared, tables.weighted_products[0]).T
    return BulkAverages(first[0], first[1], *second), o


def solve_bulk(
    tables: Tables, bulk: Bulk, cells: Readouts, start: Array | None, work: Workspace
) -> tuple[Array, NDArray[np.bool_]]:
    """(log w/c, log V2), (2, C), and whether Newton converged."""
    if start is None:
        squares = np.maximum(tables.mean_squares[0], 1e-300)
        start = bulk_start(squares, bulk.variance, cells.load, cells.lam)
        start[1] = np.where(cells.held, np.log(1e100), start[1])
    start = np.clip(start, -BOUND, BOUND)
    held = np.stack([np.full(cells.lam.shape, bool(tables.flat[0])), cells.held])

    def evaluate(point: Array, rows: Index) -> tuple[Array, Array, Array]:
        w, v2 = np.exp(point[..., 0])
        curve, _ = curve_at(bulk, w, work)
        averages, _ = averages_at(tables, v2 * curve.t, v2, work)
        equations, jacobian, gradient = bulk_equations(averages, curve, v2, cells.load[rows], cells.lam[rows])
        for number, frozen in enumerate(held[:, rows]):
            equations[number, frozen] = gradient[number, frozen] = jacobian[number, 1 - number, frozen] = 0.0
            jacobian[number, number, frozen] = 1.0
        return equations[..., None], jacobian[..., None], gradient[..., None]

    result = newton(evaluate, start[..., None], bound=BOUND)
    return result.point[..., 0], result.converged[..., 0]
