"""Coefficients of random layers from their activations; eq. (13) of docs/theories/structured_features.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import ParameterError
from ...gaussian import Nonlinearity

Array = NDArray[np.float64]

_CENTRED = 1e-10  # mean of an activation, in units of its size


class Coefficients(NamedTuple):
    """Of layers 1, ..., L.

    Attributes
    ----------
    means : ndarray (L,)
        E sigma.
    slopes : ndarray (L,)
        E[sigma']^2.
    noises : ndarray (L,)
        E (sigma - E sigma - t E sigma')^2.
    """

    means: Array
    slopes: Array
    noises: Array


def layer_coefficients(
    activations: Sequence[Nonlinearity], variance: float, columns: Array | None = None
) -> Coefficients:
    """Layer by layer.

    Parameters
    ----------
    activations : sequence of Nonlinearity
    variance : float
        Mean second moment of the inputs.
    columns : ndarray (L, M), optional
        Eigenvalues of the covariances of the rows of the weights.

    Raises
    ------
    ParameterError
        If a layer but the last has a mean, or no layer above can see its inputs.
    """
    means, slopes, noises = [], [], []
    for number, activation in enumerate(activations):
        variance *= 1.0 if columns is None else float(np.mean(columns[number]))
        moments = activation.moments(0.0, variance)
        mean, slope, noise = float(moments.mu0), float(moments.mu1), float(moments.mu2_sq)
        size = np.sqrt(mean**2 + variance * slope**2 + noise)
        name = f"activations[{number}]"
        if abs(slope) * np.sqrt(variance) <= _CENTRED * size:
            raise ParameterError(name, f"must have a linear part E[sigma'(z)] at variance {variance:.6g}, else nothing "
                                       f"of the inputs that counts here passes it; got {activation}")
        last = number == len(activations) - 1
        if abs(mean) > _CENTRED * size and not last:
            raise ParameterError(
                name, f"must have mean 0 at its variance {variance:.6g}, as every layer but the last; got "
                      f"{activation} with mean {mean:.6g} (centre it, or give weights: RainbowNetwork.from_weights)")
        means.append(mean)
        slopes.append(slope**2)
        noises.append(noise)
        variance = variance * slope**2 + noise
    return Coefficients(np.array(means), np.array(slopes), np.array(noises))
