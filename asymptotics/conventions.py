"""Conversions between the conventions of this library and those of papers and packages; see docs/conventions.md.

Ours: the readout w minimises  sum_mu (y_mu - F_mu . w/sqrt(p))^2 + lam |w|^2;  Hermite coefficients c_k = E[f h_k] are
those of the orthonormal h_k = He_k/sqrt(k!).  All functions are elementwise in their first argument.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ParameterError

Array = NDArray[np.float64]


# ---- ridge penalties


def lam_from_sklearn(ridge_alpha: ArrayLike, p: float | None = None) -> Array:
    """Our `lam` for `sklearn.linear_model.Ridge(alpha=ridge_alpha, fit_intercept=False)`.

    Parameters
    ----------
    ridge_alpha : array_like
        Its `alpha`: it minimises |y - A b|^2 + ridge_alpha |b|^2.
    p : float, optional
        Number of hidden units, if it was fitted to the raw features, A = F and b = w/sqrt(p).  Leave it out if it was
        fitted to A = F/sqrt(p), where b = w.

    Returns
    -------
    ndarray
    """
    return np.asarray(ridge_alpha, dtype=np.float64) / (1.0 if p is None else p)


def sklearn_from_lam(lam: ArrayLike, p: float | None = None) -> Array:
    """The `alpha` of `Ridge` for our `lam`: the inverse of `lam_from_sklearn`."""
    return np.asarray(lam, dtype=np.float64) * (1.0 if p is None else p)


def lam_from_mean_objective(
    penalty: ArrayLike, n: float, *, loss_factor: float = 2.0, penalty_factor: float = 2.0, p: float | None = None
) -> Array:
    """Our `lam` for (loss_factor/2n) |y - A b|^2 + (penalty_factor/2) penalty |b|^2.

    Parameters
    ----------
    penalty : array_like
    n : float
        Number of samples over which the loss is averaged.
    loss_factor : float
        2 for the mean square, 1 for half of it.
    penalty_factor : float
        2 for penalty |b|^2, 1 for half of it, and for the `weight_decay` of a gradient method.
    p : float, optional
        As in `lam_from_sklearn`: number of hidden units if A = F, nothing if A = F/sqrt(p).

    Returns
    -------
    ndarray
        n penalty penalty_factor/loss_factor, over p for raw features.
    """
    return lam_from_sklearn(np.asarray(penalty, dtype=np.float64) * (n * penalty_factor / loss_factor), p)


def mean_objective_from_lam(
    lam: ArrayLike, n: float, *, loss_factor: float = 2.0, penalty_factor: float = 2.0, p: float | None = None
) -> Array:
    """The penalty of a mean-form objective for our `lam`: the inverse of `lam_from_mean_objective`."""
    return sklearn_from_lam(lam, p) * (loss_factor / (n * penalty_factor))


def lam_from_mei_montanari(penalty: ArrayLike, alpha: ArrayLike) -> Array:
    """Our `lam` for the penalty of Mei and Montanari, arXiv:1908.05355: (1/n) |y - F a|^2 + (N penalty/d) |a|^2.

    Parameters
    ----------
    penalty : array_like
        Their lambda.
    alpha : array_like
        n/d, their psi_2.

    Returns
    -------
    ndarray
        penalty alpha, whatever the width.
    """
    return np.asarray(penalty, dtype=np.float64) * np.asarray(alpha, dtype=np.float64)


def mei_montanari_from_lam(lam: ArrayLike, alpha: ArrayLike) -> Array:
    """The penalty of Mei and Montanari for our `lam`: the inverse of `lam_from_mei_montanari`."""
    return np.asarray(lam, dtype=np.float64) / np.asarray(alpha, dtype=np.float64)


# ---- learning rates


def eta_from_learning_rate(
    learning_rate: ArrayLike, *, readout_scale: float, loss_factor: float, weight_scale: float = 1.0
) -> Array:
    """Our `eta` for a gradient step on the first layer of  f(x) = readout_scale sum_i u_i sigma(weight_scale v_i . x).

    Parameters
    ----------
    learning_rate : array_like
        The step is v <- v - learning_rate dL/dv, on L = (loss_factor/2) mean (y - f)^2.
    readout_scale : float
        Everything in front of sigma but the levels u_i of order one (ours: u_i = 1).  1/p for this library's network,
        for mean-field networks, and for f = a . sigma with a_i = 1/p.
    loss_factor : float
        2 for the mean square (`torch.nn.MSELoss()`), 1 for half of it, 2 n0 for the sum of squares.
    weight_scale : float
        1 if the rows v_i have norm 1; 1/sqrt(d) if they have norm sqrt(d).

    Returns
    -------
    ndarray
        eta = learning_rate loss_factor readout_scale weight_scale^2.

    Notes
    -----
    Our step also has the output of the network before the step in its residual, of order one only if readout_scale
    is 1/p.  For another scale the conversion is right if that output was subtracted (or the readout made to cancel it).
    """
    return np.asarray(learning_rate, dtype=np.float64) * (loss_factor * readout_scale * weight_scale**2)


def learning_rate_from_eta(
    eta: ArrayLike, *, readout_scale: float, loss_factor: float, weight_scale: float = 1.0
) -> Array:
    """The learning rate for our `eta`: the inverse of `eta_from_learning_rate`."""
    return np.asarray(eta, dtype=np.float64) / (loss_factor * readout_scale * weight_scale**2)


# ---- Hermite coefficients


def orthonormal_from_projections(projections: ArrayLike) -> Array:
    """Our c_k = E[f h_k] from the projections E[f He_k], k = 0, 1, ...: divided by sqrt(k!)."""
    projections = np.asarray(projections, dtype=np.float64)
    return projections / _root_factorials(projections.size)


def orthonormal_from_series(series: ArrayLike) -> Array:
    """Our c_k from f = sum_k s_k He_k (s_k = E[f He_k]/k!, as in `numpy.polynomial.hermite_e`): times sqrt(k!)."""
    series = np.asarray(series, dtype=np.float64)
    return series * _root_factorials(series.size)


def series_from_orthonormal(coefficients: ArrayLike) -> Array:
    """The s_k of f = sum_k s_k He_k from our c_k: the inverse of `orthonormal_from_series`."""
    return orthonormal_from_projections(coefficients)


def orthonormal_from_physicists(series: ArrayLike) -> Array:
    """Our c_k from f(x) = sum_k s_k H_k(x/sqrt(2)), H_k the physicists' polynomials: times sqrt(2^k k!)."""
    series = np.asarray(series, dtype=np.float64)
    return series * _root_factorials(series.size) * np.sqrt(2.0) ** np.arange(series.size)


def physicists_from_orthonormal(coefficients: ArrayLike) -> Array:
    """The s_k of f(x) = sum_k s_k H_k(x/sqrt(2)) from our c_k: the inverse of `orthonormal_from_physicists`."""
    series = series_from_orthonormal(coefficients)
    return series / np.sqrt(2.0) ** np.arange(series.size)


def information_exponent(coefficients: ArrayLike, tolerance: float = 1e-12) -> int:
    """The least k >= 1 with a nonzero Hermite coefficient, in any of the conventions.

    Parameters
    ----------
    coefficients : array_like
        For k = 0, 1, ...
    tolerance : float
        Coefficients count as zero below this times the largest one.

    Returns
    -------
    int

    Raises
    ------
    ParameterError
        If all coefficients from k = 1 on vanish.
    """
    size = np.abs(np.asarray(coefficients, dtype=np.float64))
    nonzero = np.flatnonzero(size[1:] > tolerance * np.max(size, initial=0.0))
    if not nonzero.size:
        raise ParameterError("coefficients", "must have a nonzero entry beyond the first")
    return int(nonzero[0]) + 1


def _root_factorials(count: int) -> Array:
    """sqrt(k!) for k = 0, ..., count - 1."""
    return np.asarray(np.cumprod(np.sqrt(np.maximum(np.arange(count), 1.0))), dtype=np.float64)
