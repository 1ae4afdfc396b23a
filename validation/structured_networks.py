"""Deep random networks and convex readouts of their last layer, in plain NumPy and SciPy.

Arrays are named as in docs/theories/structured_features.md: W_l (p_l x p_{l-1}) weights, F (n x p) features of n
samples, w (p,) a readout, f = F w its outputs: no factor 1/sqrt(p).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from asymptotics import nonlinearity

from .networks import BLOCK_ENTRIES, Array, Function
from .networks import ridge as scaled_ridge

GRADIENT = 1e-10  # |gradient| at the minimum of a smooth objective, in units of that at w = 0
GAP = 1e-9  # duality gap at the minimum of the hinge loss, in units of the objective
_ITERATIONS = 200
_TO_THE_WALL = 0.995  # part of the way to the boundary of the box that a step may go


class DeepNetwork(NamedTuple):
    """Features phi_l = sigma_l(W_l phi_{l-1}), phi_0 = x.

    Attributes
    ----------
    weights : tuple of ndarray, shapes (p_l, p_{l-1})
    activations : tuple
        What `asymptotics.nonlinearity` takes, one a layer.
    """

    weights: tuple[Array, ...]
    activations: tuple[Function, ...]

    @np.errstate(under="ignore")
    def features(self, X: Array) -> Array:
        """phi_L at the rows of X."""
        features = X
        for weights, activation in zip(self.weights, self.activations, strict=True):
            features = nonlinearity(activation)(features @ weights.T)
        return features

    def outputs(self, readouts: Array, X: Array) -> Array:
        """w . phi_L at the rows of X, for readouts (..., p): shape (..., n)."""
        blocks = [np.moveaxis(readouts @ self.features(X[part]).T, -1, 0) for part in self._blocks(len(X))]
        return np.moveaxis(np.concatenate(blocks), 0, -1)

    def means(self, X: Array) -> Array:
        """Means of the features over the rows of X."""
        return np.asarray(sum(np.sum(self.features(X[part]), axis=0) for part in self._blocks(len(X))) / len(X))

    def _blocks(self, n: int) -> Iterator[slice]:
        length = max(1, BLOCK_ENTRIES // max(len(weights) for weights in self.weights))
        for start in range(0, n, length):
            yield slice(start, min(start + length, n))


def random_network(
    d: int, widths: Sequence[int], activations: Sequence[Function], rng: np.random.Generator
) -> DeepNetwork:
    """A network whose weights are N(0, 1/p_{l-1}), independent, p_0 = d."""
    sizes = [d, *widths]
    weights = tuple(rng.standard_normal((p, before)) / math.sqrt(before)
                    for before, p in zip(sizes, widths, strict=False))
    return DeepNetwork(weights, tuple(activations))


# ---- ridge


class Ridge(NamedTuple):
    """Ridge readouts, one for each penalty.

    Attributes
    ----------
    readouts : ndarray, shape (k, p)
    intercepts : ndarray, shape (k,)
    effective_ridge : ndarray, shape (k,)
        lam/tr(1 - H), H the matrix that takes labels to fitted values.
    """

    readouts: Array
    intercepts: Array
    effective_ridge: Array


def ridge(F: Array, y: Array, lam: ArrayLike, intercept: bool = False) -> Ridge:
    """w = argmin sum (y - F w)^2 + lam |w|^2, from p x p or n x n equations, whichever are fewer.

    Parameters
    ----------
    F : ndarray, shape (n, p)
    y : ndarray, shape (n,)
    lam : array_like, shape (k,)
        At 0 the least-squares solution of least norm.
    intercept : bool
        Whether a constant without penalty is fitted too.
    """
    mean = np.asarray(np.mean(F, axis=0) if intercept else np.zeros(F.shape[1]), dtype=np.float64)
    level = float(np.mean(y)) if intercept else 0.0
    fits = [_ridge(F - mean, y - level, penalty, len(y) - int(intercept)) for penalty in np.ravel(lam).tolist()]
    readouts = np.array([readout for readout, _ in fits])
    return Ridge(readouts, level - readouts @ mean, np.array([kappa for _, kappa in fits]))


def _ridge(F: Array, y: Array, lam: float, freedom: int) -> tuple[Array, float]:
    """The readout and lam/tr(1 - H); `freedom` is n, or n - 1 if the mean was subtracted."""
    n, p = F.shape
    if lam == 0:
        kappa = 0.0 if p <= freedom else 1 / float(np.trace(np.linalg.pinv(F @ F.T, hermitian=True)))
        return scaled_ridge(math.sqrt(p) * F, y, 0.0), kappa
    primal = p <= n
    gram = F.T @ F if primal else F @ F.T
    right = F.T @ y if primal else y
    both = np.linalg.solve(gram + lam * np.eye(len(gram)), np.column_stack([right, np.eye(len(gram))]))
    readout = np.asarray(both[:, 0] if primal else F.T @ both[:, 0], dtype=np.float64)
    unfitted = freedom - len(gram) + lam * float(np.trace(both[:, 1:]))
    return readout, lam / unfitted


# ---- classification: sum ell(y, f) + (lam/2) |w|^2


class Loss(NamedTuple):
    """ell at a margin y f, and how its objective is minimised on the rows y_i F_i."""

    values: Callable[[Array], Array]
    minimise: Callable[[Array, float], Array]


def train(loss: str, F: Array, y: Array, lam: float) -> Array:
    """w = argmin sum ell(y_i, F_i . w) + (lam/2) |w|^2 of labels +-1.

    Parameters
    ----------
    loss : str
        "logistic" log(1 + exp(-y f)), "hinge" max(0, 1 - y f) or "square" (y - f)^2/2.
    F : ndarray, shape (n, p)
    y : ndarray, shape (n,)
    lam : float
        > 0.

    Returns
    -------
    ndarray, shape (p,)

    Raises
    ------
    ArithmeticError
        If the minimum was not reached, to `GRADIENT` or `GAP`.
    """
    n, p = F.shape
    A = y[:, None] * F
    if p <= n:
        return LOSSES[loss].minimise(A, lam)
    basis, triangle = np.linalg.qr(A.T)  # w is a combination of the samples
    return np.asarray(basis @ LOSSES[loss].minimise(triangle.T, lam))


def losses(loss: str, margins: Array) -> Array:
    """ell at margins y f."""
    return LOSSES[loss].values(margins)


def labels(kind: str, nu: Array, rng: np.random.Generator) -> Array:
    """Labels +-1 of the teacher's outputs."""
    return np.where(rng.random(nu.size) < probability(kind, nu), 1.0, -1.0)


def probability(kind: str, nu: Array) -> Array:
    """P(y = 1 | nu): [nu > 0] of "sign" labels, sigmoid(nu) of "logit", Phi(nu) of "probit"."""
    from scipy import special

    return np.asarray({"sign": np.heaviside(nu, 0.5), "logit": special.expit(nu), "probit": special.ndtr(nu)}[kind])


@np.errstate(under="ignore")
def _square(A: Array, lam: float) -> Array:
    return ridge(A, np.ones(len(A)), [lam]).readouts[0]


@np.errstate(under="ignore")
def _logistic(A: Array, lam: float) -> Array:
    """Newton's method; steps are halved until the objective falls."""
    from scipy import linalg, special

    def objective(w: Array) -> float:
        return float(np.sum(_logistic_loss(A @ w)) + 0.5 * lam * (w @ w))

    w = np.zeros(A.shape[1])
    value, enough = objective(w), GRADIENT * max(float(np.linalg.norm(0.5 * np.sum(A, axis=0))), 1e-300)
    for _ in range(_ITERATIONS):
        wrong = special.expit(-(A @ w))
        gradient = lam * w - wrong @ A
        if np.linalg.norm(gradient) <= enough:
            return w
        curvature = (A.T * (wrong * (1 - wrong))) @ A
        curvature[np.diag_indices_from(curvature)] += lam
        step = linalg.solve(curvature, -gradient, assume_a="pos")
        slope, length = float(gradient @ step), 1.0
        # what a step gains near the minimum is below the rounding of the objective
        while (new := objective(w + length * step)) > value + 1e-4 * length * slope + 1e-14 * value:
            length /= 2
        w, value = w + length * step, new
    raise ArithmeticError("the logistic objective was not minimised")


@np.errstate(under="ignore")
def _hinge(A: Array, lam: float) -> Array:
    """The dual box-constrained quadratic program, by a primal-dual interior point method.

    max sum a - |A^T a|^2/(2 lam) over 0 <= a <= 1, w = A^T a/lam; z and u are the multipliers of the two bounds.
    """
    from scipy import linalg

    n = len(A)
    Q = A @ A.T / lam
    a = np.full(n, 0.5)
    z = u = np.maximum(1.0, np.abs(Q @ a - 1))
    for _ in range(_ITERATIONS):
        w = a @ A / lam
        primal = float(np.sum(_hinge_loss(A @ w)) + 0.5 * lam * (w @ w))
        dual = float(np.sum(a) - 0.5 * lam * (w @ w))
        if primal - dual <= GAP * primal:
            return w
        b = 1 - a
        residual = Q @ a - 1 - z + u
        factor = linalg.cho_factor(Q + np.diag(z / a + u / b))
        centre = float(a @ z + b @ u) / (2 * n)

        def step(pull_z: Array, pull_u: Array, a: Array = a, b: Array = b, z: Array = z, u: Array = u,
                 residual: Array = residual, factor: Any = factor) -> tuple[Array, Array, Array]:
            """The Newton step to a z = pull_z and b u = pull_u."""
            da = linalg.cho_solve(factor, pull_z / a - z - (pull_u / b - u) - residual)
            return da, (pull_z - z * da) / a - z, (pull_u + u * da) / b - u

        zero = np.zeros(n)
        da, dz, du = step(zero, zero)  # straight ahead, to see how much centring is needed
        length = _length((a, da), (b, -da), (z, dz), (u, du))
        ahead = float((a + length * da) @ (z + length * dz) + (b - length * da) @ (u + length * du)) / (2 * n)
        target = centre * (ahead / centre) ** 3
        da, dz, du = step(target - da * dz, target + da * du)
        length = _TO_THE_WALL * _length((a, da), (b, -da), (z, dz), (u, du))
        a, z, u = a + length * da, z + length * dz, u + length * du
    raise ArithmeticError("the hinge objective was not minimised")


def _length(*pairs: tuple[Array, Array]) -> float:
    """The largest part, at most 1, of steps that keeps all values >= 0."""
    return min(1 / _TO_THE_WALL, *(float(np.min(np.where(step < 0, -value / np.where(step < 0, step, 1), np.inf)))
                                   for value, step in pairs))


def _logistic_loss(margins: Array) -> Array:
    return np.logaddexp(0.0, -margins)


def _hinge_loss(margins: Array) -> Array:
    return np.maximum(0.0, 1 - margins)


def _square_loss(margins: Array) -> Array:
    return 0.5 * (1 - margins) ** 2


LOSSES = {
    "logistic": Loss(_logistic_loss, _logistic),
    "hinge": Loss(_hinge_loss, _hinge),
    "square": Loss(_square_loss, _square),
}
