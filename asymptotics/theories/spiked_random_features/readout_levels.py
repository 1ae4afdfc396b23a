"""Several levels of the initial readout: those of a Gaussian one, and where their limit describes no network."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ParameterError
from .solution import CellValues

Array = NDArray[np.float64]

LARGEST_CONDITION = 1e11  # of the Gram matrix of mean functions that the limit tells apart
LARGEST_MEAN = 0.1  # of |m|/sqrt(n) for which the finite-size correction is the leading one
MOST_LEVELS = 16  # the equations have G(G + 1)/2 unknowns, their Hessian the square of that many entries
MOST_NODES = 10  # of a Gaussian readout: beyond, fractions are below 1e-6 and of fewer than one neuron


def gaussian_readout(groups: int) -> dict[str, Any]:
    """Readout levels that stand for a Gaussian initial readout, u ~ N(0, 1): nodes of Gauss-Hermite quadrature.

    An approximation, to be used with a finite sample size: ``GiantStep(..., n_finite=1000, model="isotropic",
    **asy.gaussian_readout(6))``.  In the limit, without `n_finite`, more and more levels fit any function of the spike
    coordinate with exploding coefficients, and what that says is not what a network of any size does.  With `n_finite`
    the errors settle as the number of groups grows: compare two.

    Parameters
    ----------
    groups : int
        Number of levels, at most 10.

    Returns
    -------
    dict
        `readout_levels` and `readout_fractions`, keywords of `GiantStep` and `SpikedRandomFeatures`.

    Raises
    ------
    ParameterError
        If `groups` is not a whole number between 1 and 10.
    """
    try:
        count = operator.index(groups)
    except TypeError:
        count = 0
    if not 1 <= count <= MOST_NODES:
        raise ParameterError("groups", f"must be a whole number between 1 and {MOST_NODES}, got {groups!r:.40}")
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return {"readout_levels": nodes, "readout_fractions": weights / math.sqrt(2 * math.pi)}


def excess(solved: Mapping[str, Array], cells: CellValues) -> Array:
    """What `excess_in_words` is about, relative to what is not worth mentioning: above 1 in cells (N,) to warn of."""
    if cells.n_finite is None:
        ratio = solved["condition"] / LARGEST_CONDITION
    else:
        ratio = np.max(np.abs(solved["m"]), axis=1) / (LARGEST_MEAN * np.sqrt(cells.n_finite))
    return np.where((solved["converged"] > 0) & np.isfinite(ratio), ratio, 0.0)


def excess_in_words(largest: float, in_the_limit: bool) -> str:
    """What is said of such cells."""
    if in_the_limit:
        return (
            "have readout levels whose mean activations are nearly dependent (condition number up to "
            f"{largest * LARGEST_CONDITION:.1g}): the limit describes no network of realistic size, give n_finite"
        )
    return (
        f"have mean readouts |m| up to {largest * LARGEST_MEAN:.2g} sqrt(n), above {LARGEST_MEAN:g}: corrections "
        "beyond the one of n_finite are not small"
    )
