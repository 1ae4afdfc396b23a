"""The resolvent of random features sigma(W x), rows of W uniform on the sphere; docs/theories/polynomial_spikes.md.

With sigma = c_0 + c_1 h_1 + ..., mu_*^2 = sum_{k >= 2} c_k^2, features F (n x p) without their constant part, and
R = (F F^T + lam_bar n)^{-1}, the limits as d, p, n grow together are functions of one scalar e = lim tr R:

    lam_bar e + (p/n)(1 - M(x)/D) = 1,    D = 1 + e mu_*^2,    x = e c_1^2/D                                   (8)

Everything here is written in 1/e, which is zero without ridge for n >= p: there nothing has to be taken to a limit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SHORT_STEP = 1e-8  # Newton's error after it is its square
MOST_STEPS = 100
BOUNDLESS = 1e-300  # 1/e without ridge for n >= p, or with a ridge that is no number any more


class RandomFeatures(NamedTuple):
    """Feature ensembles (C,); only ratios of the sizes matter.

    Attributes
    ----------
    linear, white : ndarray
        c_1^2 and mu_*^2 = sum_{k >= 2} c_k^2, which is positive where there is no ridge.
    p, n, d : ndarray
        Features, samples, input dimension.
    """

    linear: Array
    white: Array
    p: Array
    n: Array
    d: Array

    @property
    def load(self) -> Array:
        """q = p/n."""
        return self.p / self.n

    @property
    def excess(self) -> Array:
        """q - 1, without cancellation."""
        return (self.p - self.n) / self.n

    def at(self, index: NDArray[np.intp] | Mask | slice) -> RandomFeatures:
        """Some of the ensembles."""
        return RandomFeatures(*(values[index] for values in self))


class Functionals(NamedTuple):
    """What depends on e but not on the ridge; eqs. (7)-(11).

    Attributes
    ----------
    inverse : ndarray
        1/e.
    dilution, white_share : ndarray
        1/D and 1 - 1/D = e mu_*^2/D.
    x : ndarray
        e c_1^2/D.
    hidden, linear : ndarray
        M = tr (1 + x W W^T)^{-1}/p and Mt = tr (1 + x W^T W)^{-1}/d = r_1/r_w.
    linear_learned : ndarray
        1 - Mt.
    root : ndarray
        S = sqrt((1 + x - x beta)^2 + 4 x beta).
    coupling : ndarray
        g e = M e/D: a rank-one part of the features, |U|^2 = K, enters every resolvent as g K.
    slope : ndarray
        -dg/dlog e.
    """

    inverse: Array
    dilution: Array
    white_share: Array
    x: Array
    hidden: Array
    linear: Array
    linear_learned: Array
    root: Array
    coupling: Array
    slope: Array

    @property
    def linear_test_ratio(self) -> Array:
        """chi_1/chi_w = r_1'/r_w', in each case the form that is a sum of positive terms."""
        thinned = self.dilution / self.root
        above = self.linear * (self.white_share + thinned / self.hidden)  # for e > 0
        return np.where(self.x < 0, self.linear - self.linear_learned * thinned, above)

    @property
    def coupling_test_ratio(self) -> Array:
        """g'/chi_w = -r_w^2 g'/r_w'."""
        return self.coupling * (self.white_share + self.x * self.linear * self.dilution / self.root)


class Resolvent(NamedTuple):
    """The resolvent at a ridge; eqs. (9)-(11).  Derivatives (') are with respect to lam_bar = lam p/n.

    Attributes
    ----------
    r_w : ndarray
        e = tr R, seen by any function that is not linear in x; inf without ridge for n >= p.
    linear_share, linear_learned : ndarray
        Mt = r_1/r_w and 1 - Mt, where r_1 is seen by linear functions.
    coupling : ndarray
        g r_w.
    train_weight : ndarray
        m_w = lam_bar r_w, and m_1 = m_w Mt.
    test_weight : ndarray
        chi_w = -r_w'/r_w^2; inf without ridge at n = p.
    linear_test_ratio, coupling_test_ratio : ndarray
        chi_1/chi_w and g'/chi_w.
    residual : ndarray
        Of the equation for e, whose right-hand side is 1.
    converged : ndarray of bool
    """

    r_w: Array
    linear_share: Array
    linear_learned: Array
    coupling: Array
    train_weight: Array
    test_weight: Array
    linear_test_ratio: Array
    coupling_test_ratio: Array
    residual: Array
    converged: Mask


def functionals(features: RandomFeatures, inverse: Array) -> Functionals:
    """At 1/e >= 0."""
    x = features.linear / (inverse + features.white)
    beta, thinning = features.p / features.d, (features.d - features.p) / features.d
    side = np.sqrt(beta)
    root = np.sqrt((1 + x * (1 + side) ** 2) * (1 + x * (thinning / (1 + side)) ** 2))
    b = 1 + x * thinning
    positive = b >= 0  # one of the two forms of M cancels here, the other one elsewhere
    hidden = np.where(positive, 2.0, root - b) / np.where(positive, b + root, 2 * x * beta)
    return _functionals(features, inverse, x, root, hidden, 1 / (1 + x * beta * hidden))


def continued(features: RandomFeatures, position: Array) -> Functionals:
    """At e < 0, that is above the bulk: real positions cover the interval (e_min, 0) on which M and D are positive.

    x = -1/(a (1 + exp(position))), a = (1 + sqrt(p/d))^2: accurate next to both ends, if sums of positive terms in
    1 + x a are used.
    """
    side, grown = np.sqrt(features.p / features.d), np.exp(position)
    x = -1 / ((1 + side) ** 2 * (1 + grown))
    upper = grown / (1 + grown)
    root = np.sqrt(upper * (upper - 4 * x * side))
    hidden, linear = (2 / (upper - 2 * x * factor * (1 + side) + root) for factor in (side, 1.0))
    return _functionals(features, features.linear / x - features.white, x, root, hidden, linear)


def _functionals(
    features: RandomFeatures, inverse: Array, x: Array, root: Array, hidden: Array, linear: Array
) -> Functionals:
    """What follows from M, Mt and S."""
    total = inverse + features.white
    dilution, white_share = inverse / total, features.white / total
    learned = x * features.p / features.d * hidden * linear
    slope = hidden * dilution * (white_share + x * linear * dilution / root)
    return Functionals(
        inverse, dilution, white_share, x, hidden, linear, learned, root, hidden / total, slope,
    )


def equation(features: RandomFeatures, values: Functionals, train_weight: Array) -> Array:
    """m_w + q (1 - g) - 1 with m_w = lam_bar e, zero at the solution; eq. (8).

    1 - g = w + x Mt M/D does not cancel for small e, q - 1 does not for large e.
    """
    g = values.hidden * values.dilution
    small = g > 0.5
    filled = np.where(small, values.white_share + values.x * values.linear * g, -g)
    return train_weight + features.load * filled + np.where(small, -1.0, features.excess)


def resolvent(features: RandomFeatures, lam: Array) -> Resolvent:
    """Solve (8), for the penalty lam |w|^2 of sum (y - F w/sqrt(p))^2, lam >= 0.

    The left side of (8) is concave and increasing in e, so Newton from below rises to the solution without ever
    passing it.  It starts from the Marchenko-Pastur law of features of the same power that are all white.
    """
    lam_bar = lam * features.load
    inverse, converged = _white_solution(features.linear + features.white, features, lam_bar), lam_bar < 0
    boundless = inverse < BOUNDLESS
    converged = converged | boundless
    rows = np.flatnonzero(~boundless)
    part, ridge = features.at(rows), lam_bar[rows]
    current = inverse[rows]
    for _ in range(MOST_STEPS):
        if not rows.size:
            break
        values, weight = functionals(part, current), ridge / current
        missing = equation(part, values, weight)
        slope = weight + part.load * values.slope
        current = current * (slope / (slope - missing))
        done = np.abs(missing) < SHORT_STEP * slope
        inverse[rows] = current
        converged[rows[done]] = True
        keep = ~done
        rows, part, ridge, current = rows[keep], part.at(keep), ridge[keep], current[keep]
    return _resolvent(features, functionals(features, inverse), lam_bar, converged)


def _resolvent(features: RandomFeatures, values: Functionals, lam_bar: Array, converged: Mask) -> Resolvent:
    """Everything else at the solution; eqs. (9)-(11)."""
    boundless = values.inverse < BOUNDLESS
    divisor = np.where(boundless, 1.0, values.inverse)
    train_weight = np.where(boundless, np.maximum(-features.excess, 0.0), lam_bar / divisor)
    residual = np.abs(equation(features, values, train_weight))
    slope = train_weight + features.load * values.slope
    divergent = slope <= 0
    return Resolvent(
        np.where(boundless, np.inf, 1 / divisor), values.linear, values.linear_learned, values.coupling, train_weight,
        np.where(divergent, np.inf, 1 / np.where(divergent, 1.0, slope)),
        values.linear_test_ratio, values.coupling_test_ratio, residual, converged,
    )


def _white_solution(power: Array, features: RandomFeatures, lam_bar: Array) -> Array:
    """1/e for white features: the positive root of i^2 - (lam_bar + power (q - 1)) i - power lam_bar."""
    middle = lam_bar + power * features.excess
    root = np.hypot(middle, 2 * np.sqrt(power * lam_bar))
    positive = middle > 0
    divisor = np.where(positive, 2.0, root - middle)
    return np.where(positive, middle + root, 2 * power * lam_bar) / np.where(divisor > 0, divisor, 1.0)


# ---- the spectrum


def eigenvalue(features: RandomFeatures, values: Functionals) -> Array:
    """theta = -lam_bar(e), an eigenvalue of F^T F/n where e < 0; eq. (21).  A sum of positive terms."""
    dilution = values.dilution
    filled = features.white * dilution + features.linear * values.linear * values.hidden * dilution**2
    return features.load * filled - values.inverse


def above_edge(features: RandomFeatures, values: Functionals) -> Array:
    """e^2 dtheta/de = 1 - q int (s e/(1 + s e))^2 dH(s): positive above the edge of the bulk, zero at it; eq. (21).

    The integral is 1 - g + dg/dlog e, here as a sum of positive terms; S - 1 by its square.
    """
    beta, thinning = features.p / features.d, (features.d - features.p) / features.d
    w, x, g = values.white_share, values.x, values.hidden * values.dilution
    rise = x * (2 * (1 + beta) + x * thinning**2) / (values.root + 1)
    integral = w * (w + x * values.linear * g) + x * values.linear * g * (w + rise) / values.root
    return 1 - features.load * integral
