"""Lists of eigenvalues, as the problems of this folder take them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...errors import ParameterError
from ...spectra.spectrum import Spectrum

Array = NDArray[np.float64]


def listed_spectrum(eigenvalues: Array, target_weights: Array, multiplicities: Array | None) -> Spectrum:
    """The spectrum without eigenvalues that are zero."""
    weights = np.ones(eigenvalues.size) if multiplicities is None else multiplicities
    kept = eigenvalues > 0
    s = eigenvalues[kept]
    return Spectrum(s, weights[kept], target_weights[kept] / s)


def validate_modes(eigenvalues: Array, others: Mapping[str, Array | None], name: str = "eigenvalues") -> None:
    """Lists that go with eigenvalues, target weights first; raise `ParameterError`."""
    for other, value in others.items():
        if value is not None and value.size != eigenvalues.size:
            raise ParameterError(other, f"must have as many elements as the {name}, {eigenvalues.size}, got "
                                        f"{value.size}")
    if not np.any(eigenvalues > 0):
        raise ParameterError(name, "must not all be zero")
    first, weights = next(iter(others.items()))
    wrong = np.flatnonzero((eigenvalues == 0) & (weights > 0)) if weights is not None else np.zeros(0, dtype=int)
    if wrong.size:
        assert weights is not None
        raise ParameterError(first, f"must be zero where the eigenvalue is, got {weights[wrong[0]]:.6g} at index "
                                    f"{wrong[0]}")
