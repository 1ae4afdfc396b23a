"""Two-layer networks in plain NumPy: initialisation, one gradient step, ridge readout, errors on fresh points.

Arrays are named as in docs/theories/giant_step.md: X (n x d) inputs, W (p x d) weights, F = sigma(X W^T) (n x p)
features, f(x) = a . sigma(W x)/sqrt(p) the network.  Activations and targets are anything `asymptotics.nonlinearity`
takes: a name, an expression in x, a callable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asymptotics import Nonlinearity, nonlinearity

Array = NDArray[np.float64]
Function = str | Nonlinearity | Callable

BLOCK_ENTRIES = 1 << 21  # largest (samples x hidden units) array made at once


def generators(seed: int | np.random.SeedSequence, count: int) -> list[np.random.Generator]:
    """Independent generators, the same ones whenever the seed is the same.

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
        It is not changed (its method `spawn` would give other children at the next call).
    count : int

    Returns
    -------
    list of numpy.random.Generator
    """
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    keys = ((*root.spawn_key, child) for child in range(count))
    return [np.random.default_rng(np.random.SeedSequence(root.entropy, spawn_key=key)) for key in keys]


def unit_vector(d: int, rng: np.random.Generator, orthogonal_to: Array | None = None) -> Array:
    """A uniformly random unit vector of R^d, or of the hyperplane orthogonal to a unit vector."""
    vector = rng.standard_normal(d)
    if orthogonal_to is not None:
        vector -= (vector @ orthogonal_to) * orthogonal_to
    return vector / np.linalg.norm(vector)


def sphere_rows(p: int, d: int, rng: np.random.Generator) -> Array:
    """p independent rows, uniform on the unit sphere of R^d: the weights before the step."""
    rows = rng.standard_normal((p, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def spiked_weights(
    p: int,
    spike_strength: float | Array,
    direction: Array,
    bulk_variance: float | Array,
    rng: np.random.Generator,
    row_norm_variance: float = 0.0,
) -> Array:
    """Weights r 1 v^T + bulk of spiked random features, r and the variance of the bulk of every unit if (p,) arrays.

    Parameters
    ----------
    p : int
        Hidden units.
    spike_strength : float or ndarray, shape (p,)
        r.
    direction : ndarray
        The unit vector v.
    bulk_variance : float or ndarray, shape (p,)
        Mean squared norm c of the rows of the bulk, whose directions are uniform.
    rng : numpy.random.Generator
    row_norm_variance : float
        k = p Var |row|^2.  The squared norms are c for k = 0, else c chi^2_D/D with D = 2 c^2 p/k; at k = 2 beta c^2
        (D = d) the rows are Gaussian.

    Returns
    -------
    ndarray, shape (p, d)
    """
    strength, variance = (np.reshape(value, (-1, 1)) for value in (spike_strength, bulk_variance))
    bulk = np.sqrt(variance) * sphere_rows(p, direction.size, rng)
    if row_norm_variance > 0:
        freedom = 2 * variance**2 * p / row_norm_variance
        bulk *= np.sqrt(rng.chisquare(freedom, (p, 1)) / freedom)
    return bulk + strength * direction


def single_index_data(
    n: int, direction: Array, target: Function, noise_var: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Samples of a single-index model.

    Parameters
    ----------
    n : int
    direction : ndarray, shape (d,)
        The unit vector theta.
    target : str, Nonlinearity or callable
    noise_var : float
        Variance of the label noise.
    rng : numpy.random.Generator

    Returns
    -------
    X : ndarray, shape (n, d)
        Inputs x ~ N(0, I_d).
    y : ndarray, shape (n,)
        Labels target(<theta, x>) + sqrt(noise_var) N(0, 1).
    """
    X = rng.standard_normal((n, direction.size))
    y = nonlinearity(target)(X @ direction) + math.sqrt(noise_var) * rng.standard_normal(n)
    return X, y


@np.errstate(under="ignore")
def features(weights: Array, activation: Function, X: Array) -> Array:
    """F = sigma(X W^T), shape (n, p)."""
    return nonlinearity(activation)(X @ weights.T)


def network(weights: Array, readout: Array, activation: Function, X: Array) -> Array:
    """Outputs f(x) = a . sigma(W x)/sqrt(p) at the rows of X, of one readout (p,) or several (k, p): (n,) or (k, n)."""
    outputs = [features(weights, activation, X[part]) @ readout.T for part in _blocks(len(X), len(weights))]
    return np.concatenate(outputs).T / math.sqrt(len(weights))


@np.errstate(under="ignore")
def gradient_step(
    weights: Array, readout: Array, activation: Function, X: Array, y: Array, eta: float, zero_output: bool = False
) -> Array:
    """The weights after one full-batch gradient step.

        W_i + (eta/n0) sum_mu (y_mu - f(x_mu)) u_i sigma'(w_i . x_mu) x_mu,     a_i = u_i/sqrt(p),

    that is learning rate eta p on (1/2 n0) sum_mu (y_mu - f(x_mu))^2, with f(x) = a . sigma(W x)/sqrt(p).

    Parameters
    ----------
    weights : ndarray, shape (p, d)
        W.
    readout : ndarray, shape (p,)
        a; ones/sqrt(p) in the theory.
    activation : str, Nonlinearity or callable
        sigma; a callable without a given derivative is differentiated numerically.
    X, y : ndarray, shapes (n0, d) and (n0,)
    eta : float
    zero_output : bool
        The network is its difference to its own copy at the start, so that f is zero: the residuals are y.

    Returns
    -------
    ndarray, shape (p, d)
    """
    sigma = nonlinearity(activation)
    levels = math.sqrt(len(weights)) * readout
    step = np.zeros_like(weights)
    for part in _blocks(len(X), len(weights)):
        inputs, fields = X[part], X[part] @ weights.T
        residuals = y[part] if zero_output else y[part] - sigma(fields) @ readout / math.sqrt(len(weights))
        slopes = sigma.derivative(fields)
        slopes *= residuals[:, None]
        step += slopes.T @ inputs
    return weights + (eta / len(X)) * levels[:, None] * step


def ridge(F: Array, y: Array, lam: ArrayLike) -> Array:
    """The readout w that minimises sum (y - F w/sqrt(p))^2 + lam |w|^2.

    Parameters
    ----------
    F : ndarray, shape (n, p)
    y : ndarray, shape (n,)
    lam : float or array_like, shape (...)
        At 0 the least-squares solution of least norm.

    Returns
    -------
    ndarray, shape (..., p)
    """
    n, p = F.shape
    A = F / math.sqrt(p)
    gram = A.T @ A if p <= n else A @ A.T
    right = A.T @ y if p <= n else y
    lams = np.asarray(lam, dtype=np.float64)
    readouts = np.empty((lams.size, p))
    for i, penalty in enumerate(lams.flat):
        if penalty == 0:
            readouts[i] = np.linalg.lstsq(A, y)[0]
        else:
            solution = np.linalg.solve(gram + penalty * np.eye(len(gram)), right)
            readouts[i] = solution if p <= n else A.T @ solution
    return readouts.reshape(*lams.shape, p)


def fresh_error(
    weights: Array,
    readout: Array,
    activation: Function,
    direction: Array,
    target: Function,
    points: int,
    rng: np.random.Generator,
) -> Array:
    """Mean squared error of the network on fresh points with noiseless labels.

    Adding `noise_var` gives the error on noisy labels without the scatter that drawing the noise would add.

    Parameters
    ----------
    weights : ndarray, shape (p, d)
    readout : ndarray, shape (p,) or (k, p)
        One readout, or several that are tried on the same points.
    activation : str, Nonlinearity or callable
    direction : ndarray, shape (d,)
        The unit vector theta of the target.
    target : str, Nonlinearity or callable
    points : int
        Number of fresh points.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape () or (k,)
    """
    total = np.zeros(readout.shape[:-1])
    for _, y, outputs in _fresh(weights, readout, activation, direction, target, points, rng):
        total += np.sum((y - outputs) ** 2, axis=-1)
    return total / points


def fresh_overlaps(
    weights: Array,
    readout: Array,
    activation: Function,
    direction: Array,
    target: Function,
    points: int,
    rng: np.random.Generator,
    degree: int,
    intercept: Array,
) -> tuple[Array, Array]:
    """The error of `fresh_error`, and on the same points the overlaps of the network with Hermite polynomials.

    Parameters
    ----------
    weights, readout, activation, direction, target, points, rng
        As for `fresh_error`.
    degree : int
        Highest degree of the polynomials.
    intercept : ndarray, shape () or (k,)
        Is added to the output of the network.

    Returns
    -------
    error : ndarray, shape () or (k,)
    overlaps : ndarray, shape (degree + 1,) or (k, degree + 1)
        Means of f(x) h_j(<theta, x>) with the orthonormal h_j = He_j/sqrt(j!).
    """
    error, overlaps = np.zeros(readout.shape[:-1]), np.zeros((*readout.shape[:-1], degree + 1))
    for along, y, outputs in _fresh(weights, readout, activation, direction, target, points, rng):
        outputs = outputs + intercept[..., None]
        error += np.sum((y - outputs) ** 2, axis=-1)
        overlaps += outputs @ hermite(along, degree)
    return error / points, overlaps / points


def hermite(x: Array, degree: int) -> Array:
    """h_j(x), j = 0..degree, orthonormal under N(0, 1): shape (len(x), degree + 1)."""
    norms = [math.sqrt(math.factorial(j)) for j in range(degree + 1)]
    return np.asarray(np.polynomial.hermite_e.hermevander(x, degree) / norms, dtype=np.float64)


def _fresh(
    weights: Array, readout: Array, activation: Function, direction: Array, target: Function, points: int,
    rng: np.random.Generator,
) -> Iterator[tuple[Array, Array, Array]]:
    """Fresh points in blocks: <theta, x>, noiseless labels, outputs."""
    for part in _blocks(points, len(weights)):
        X, y = single_index_data(part.stop - part.start, direction, target, 0.0, rng)
        yield X @ direction, y, network(weights, readout, activation, X)


def _blocks(n: int, p: int) -> Iterator[slice]:
    """Slices of n samples, for (samples x p) arrays of bounded size."""
    length = max(1, BLOCK_ENTRIES // p)
    for start in range(0, n, length):
        yield slice(start, min(start + length, n))
