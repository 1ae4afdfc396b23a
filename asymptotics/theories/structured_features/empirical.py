"""Features and labels from data: their spectrum, and what a single fit says about its own test error; section 7."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import AccuracyWarning, ParameterError
from .weights import Modes, check_flag, finite_array

Array = NDArray[np.float64]

ENOUGH = 3.0  # samples per feature from where the estimates are good
HEAVY_TAILS = 10.0  # scatter of leverages in units of that of Gaussian features
_SMALLEST_MODE = 1e-12


def modes_of_data(F: ArrayLike, y: ArrayLike, *, debias: bool, intercept: bool) -> Modes:
    """Spectrum and label vector of the population of which these are samples; eq. (19)."""
    check_flag("debias", debias)
    check_flag("intercept", intercept)
    features, labels = _samples(F, y)
    if intercept:
        features = features - np.mean(features, axis=0)
        labels = labels - np.mean(labels)
    count = len(features)
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    kept = singular**2 > _SMALLEST_MODE * singular[0] ** 2
    if not np.any(kept):
        raise ParameterError("F", "must not be constant" if intercept else "must not be zero")
    eigenvalues = singular[kept] ** 2 / count
    projections = left[:, kept].T @ labels
    rank = eigenvalues.size
    c = eigenvalues * projections**2 / count
    rest = labels - left[:, kept] @ projections
    residual = float(rest @ rest) / count
    freedom = rank + bool(intercept)
    if debias:
        if count <= freedom:
            raise ParameterError("debias", f"needs more samples than features, {freedom}, got {count}; debias=False "
                                           "describes sub-samples of these data only")
        residual *= count / (count - freedom)
        c = np.maximum(c - eigenvalues * residual / count, 0.0)
    _warn(left[:, kept], count, rank)
    return Modes(eigenvalues, c, residual)


def _warn(left: Array, count: int, rank: int) -> None:
    if count < ENOUGH * rank:
        warnings.warn(f"{count} samples of {rank} features, fewer than {ENOUGH:.0f} for each: the spectrum is that of "
                      "the sample rather than of the population", AccuracyWarning, stacklevel=4)
    # |phi|^2 in the metric of Omega^-1: for Gaussian features it scatters by 2/r (less what a finite sample binds)
    leverage = np.sum(left**2, axis=1) * (count / rank)
    bound = max(1 - rank / count, 1.0 / count)
    scatter = float(np.var(leverage)) / (2 / rank * bound)
    if scatter > HEAVY_TAILS:
        warnings.warn(f"heavy tails: whitened features scatter {scatter:.3g} times as much as Gaussian ones; at small "
                      "ridges and few samples the theory is optimistic, by ten per cent or more", AccuracyWarning,
                      stacklevel=4)


def kappa_hat(F: ArrayLike, lam: ArrayLike) -> Array:
    """Effective ridge of a sample, lam/tr(1 - H) with the hat matrix H of ridge regression.

    Parameters
    ----------
    F : array_like, shape (n, p)
        Features.
    lam : array_like
        Ridge penalties of sum (y - w . phi)^2 + lam |w|^2, >= 0.

    Returns
    -------
    ndarray
        Of the shape of `lam`; close to `effective_ridge` of the theory.  0 for lam = 0 and n >= rank.
    """
    squares, count = _squares(F)
    ridge = _ridges(lam)
    total = squares + ridge[..., None]
    # n - df1 over lam; a direction that no feature reaches counts 1/lam
    with np.errstate(divide="ignore"):
        free = np.sum(1 / total, axis=-1)
        if count > squares.size:
            free = free + (count - squares.size) / ridge
        return np.asarray(1 / free)


def gcv(F: ArrayLike, y: ArrayLike, lam: ArrayLike) -> Array:
    """Generalised cross-validation, mean (y - f)^2/(tr(1 - H)/n)^2: the test error estimated from the training set.

    Parameters
    ----------
    F : array_like, shape (n, p)
    y : array_like, shape (n,)
    lam : array_like
        Ridge penalties; 0 stands for the limit.

    Returns
    -------
    ndarray
        Of the shape of `lam`.
    """
    features, labels = _samples(F, y)
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    squares = np.where(singular**2 > _SMALLEST_MODE * singular[0] ** 2, singular**2, 0.0)
    projections = left.T @ labels
    rest = float(labels @ labels - projections @ projections) if len(labels) > squares.size else 0.0
    ridge, count = _ridges(lam), len(labels)
    outside = count - squares.size
    # both sides divided by lam^2: sums of 1/(s^2 + lam), and 1/lam for every direction that no feature reaches
    bare = ridge == 0
    safe = np.where(bare, 1.0, ridge)[..., None]
    shrunk = np.where(bare[..., None], squares == 0, safe / (squares + safe))
    if not (outside or np.any(squares == 0)):
        scale = np.max(squares) + ridge[..., None]
        inverse = scale / (squares + ridge[..., None])
        return np.asarray(count * np.sum((inverse * projections) ** 2, axis=-1) / np.sum(inverse, axis=-1) ** 2)
    numerator = np.sum((shrunk * projections) ** 2, axis=-1) + max(rest, 0.0)
    return np.asarray(count * numerator / (np.sum(shrunk, axis=-1) + outside) ** 2)


def _samples(F: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    features, labels = finite_array("F", F, 2), finite_array("y", y, 1)
    if labels.size != len(features):
        raise ParameterError("y", f"must have as many elements as F has rows, {len(features)}, got {labels.size}")
    return features, labels


def _squares(F: ArrayLike) -> tuple[Array, int]:
    features = finite_array("F", F, 2)
    squares = np.linalg.svd(features, compute_uv=False) ** 2
    return np.where(squares > _SMALLEST_MODE * squares[0], squares, 0.0), len(features)


def _ridges(lam: ArrayLike) -> Array:
    try:
        ridge = np.asarray(lam, dtype=np.float64)
    except (ValueError, TypeError):
        raise ParameterError("lam", f"must be finite numbers >= 0, got {lam!r:.60}") from None
    if not np.all(np.isfinite(ridge) & (ridge >= 0)):
        raise ParameterError("lam", f"must be finite numbers >= 0, got {lam!r:.60}")
    return ridge
