"""Deep networks with given weights: covariance of their features neuron by neuron; eq. (18)."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import AccuracyWarning, ParameterError
from ...gaussian import Nonlinearity, nonlinearity

Array = NDArray[np.float64]

WIDE_VARIANCES = 3.0  # largest over median variance of pre-activations beyond which neurons are no longer alike
OUTSIDE = 1.5  # spectral norm in units of the edge of the bulk from where there is a spike
LARGE_NORM = 5.0  # spectral norm of weights in units of the edge of their bulk
_SMALLEST_MODE = 1e-12  # of the largest eigenvalue: below, those of an eigen-decomposition are rounding


class Population(NamedTuple):
    """Second moments of features and label.

    Attributes
    ----------
    covariance : ndarray (p, p)
        Omega, centred for a readout with an intercept.
    correlation : ndarray (p,)
        psi = E[y phi].
    label : float
        E y^2.
    """

    covariance: Array
    correlation: Array
    label: float


class Modes(NamedTuple):
    """Eigenvalues, c = (u . psi)^2 and the residual variance."""

    eigenvalues: Array
    target_weights: Array
    residual_variance: float


def population_of_network(
    weights: Sequence[ArrayLike], activations: Sequence[Any], target: ArrayLike, *, biases: Sequence[ArrayLike] | None,
    link: Any, noise_var: float, intercept: bool,
) -> Population:
    """Linearised neuron by neuron: means are carried on, every neuron has its own variance; eq. (18)."""
    check_flag("intercept", intercept)
    matrices = _matrices(weights)
    functions = _functions(activations, len(matrices))
    shifts = _biases(biases, matrices)
    d = matrices[0].shape[1]
    theta = finite_array("target", target, 1)
    if theta.size != d:
        raise ParameterError("target", f"must have as many elements as the first weights have columns, {d}, got "
                                       f"{theta.size}")
    covariance, mean = np.eye(d), np.zeros(d)
    correlation, label = _label(theta, link)
    wide = norm = 0.0
    for matrix, function, shift in zip(matrices, functions, shifts, strict=True):
        before = matrix @ covariance @ matrix.T
        centre, variance = matrix @ mean + shift, np.diag(before).copy()
        median = float(np.median(variance))
        wide = max(wide, float(np.max(variance)) / median if median > 0 else np.inf)
        edge = math.sqrt(float(np.mean(matrix**2))) * (math.sqrt(matrix.shape[0]) + math.sqrt(matrix.shape[1]))
        norm = max(norm, float(np.linalg.norm(matrix, 2)) / edge)
        moments = function.moments(centre, variance)
        slope, curvature = np.asarray(moments.mu1), 2 * np.asarray(moments.nu)
        covariance = np.outer(slope, slope) * before + 0.5 * np.outer(curvature, curvature) * before**2
        np.fill_diagonal(covariance, variance * slope**2 + moments.mu2_sq)
        mean, correlation = np.asarray(moments.mu0), slope * (matrix @ correlation)
    # unequal variances alone are those of a small network
    if (wide > WIDE_VARIANCES and norm > OUTSIDE) or norm > LARGE_NORM:
        warnings.warn(
            f"the weights have a spike (variances of pre-activations up to {wide:.3g} times their median, norm "
            f"{norm:.3g} times the edge of the bulk): the features are no longer those of a linear model with noise, "
            "and errors may be off by ten per cent; FeatureRidge.from_features takes them from data", AccuracyWarning,
            stacklevel=4)
    if not intercept:
        covariance = covariance + np.outer(mean, mean)
    return Population(covariance, correlation, label + noise_var)


def modes_of(population: Population, least_residual: float) -> Modes:
    """Eigen-decomposition, O(p^3); eigenvalues that are rounding are left out, with their signal."""
    eigenvalues, vectors = np.linalg.eigh(population.covariance)
    kept = eigenvalues > _SMALLEST_MODE * eigenvalues[-1]
    eigenvalues, c = eigenvalues[kept], (vectors.T @ population.correlation)[kept] ** 2
    return Modes(eigenvalues, c, max(population.label - float(np.sum(c / eigenvalues)), least_residual))


def _label(theta: Array, link: Any) -> tuple[Array, float]:
    """E[y x] and E y^2 of y = theta . x, or link(theta . x/|theta|)."""
    square = float(theta @ theta)
    if link is None:
        return theta, square
    if square == 0:
        raise ParameterError("target", "must not be zero with a link function")
    try:
        function = nonlinearity(link)
    except (ValueError, TypeError) as error:
        raise ParameterError("link", str(error)) from None
    return float(function.hermite_coefficients(1)[1]) / math.sqrt(square) * theta, function.second_moment()


def _matrices(weights: Any) -> list[Array]:
    if not isinstance(weights, Sequence) or not len(weights):
        raise ParameterError("weights", "must be a list of matrices, one for each layer")
    matrices = [finite_array(f"weights[{number}]", matrix, 2) for number, matrix in enumerate(weights)]
    for number, matrix in enumerate(matrices):
        if not np.any(matrix):
            raise ParameterError(f"weights[{number}]", "must not all be zero")
    for number, (below, above) in enumerate(itertools.pairwise(matrices)):
        if above.shape[1] != below.shape[0]:
            raise ParameterError(f"weights[{number + 1}]", f"must have as many columns as weights[{number}] has rows, "
                                                           f"{below.shape[0]}, got {above.shape[1]}")
    return matrices


def _functions(activations: Any, depth: int) -> list[Nonlinearity]:
    if isinstance(activations, str) or not isinstance(activations, Sequence) or len(activations) != depth:
        raise ParameterError("activations", f"must be a list of {depth} activations, one for each layer")
    try:
        return [nonlinearity(activation) for activation in activations]
    except ValueError as error:
        raise ParameterError("activations", str(error)) from None


def _biases(biases: Any, matrices: Sequence[Array]) -> list[Array]:
    if biases is None:
        return [np.zeros(len(matrix)) for matrix in matrices]
    if not isinstance(biases, Sequence) or len(biases) != len(matrices):
        raise ParameterError("biases", f"must be a list of {len(matrices)} vectors, one for each layer")
    shifts = [finite_array(f"biases[{number}]", bias, 1) for number, bias in enumerate(biases)]
    for number, (shift, matrix) in enumerate(zip(shifts, matrices, strict=True)):
        if shift.size != len(matrix):
            raise ParameterError(f"biases[{number}]", f"must have {len(matrix)} elements, got {shift.size}")
    return shifts


def check_flag(name: str, value: object) -> None:
    """Raise `ParameterError` unless it is true or false."""
    if not isinstance(value, bool | np.bool_):
        raise ParameterError(name, f"must be true or false, got {value!r:.40}")


def finite_array(name: str, values: ArrayLike, axes: int) -> Array:
    """A float64 array of finite numbers with so many axes; raises `ParameterError`."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise ParameterError(name, "must not be a ragged list") from None
    if array.dtype.kind not in "iufb" or array.ndim != axes or not array.size:
        plural = "axis" if axes == 1 else "axes"
        raise ParameterError(name, f"must be an array of numbers with {axes} {plural}, got shape {array.shape} of "
                                   f"{array.dtype}")
    if not np.all(np.isfinite(array)):
        raise ParameterError(name, "must be finite numbers")
    return array.astype(np.float64)
