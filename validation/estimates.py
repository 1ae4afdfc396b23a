"""Means over networks, their extrapolation to infinite size, and the quantiles against which they are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Estimate(NamedTuple):
    """A mean with its standard error, estimated with `freedom` degrees of freedom (arrays of one shape)."""

    mean: Array
    standard_error: Array
    freedom: Array


def estimate(samples: ArrayLike) -> Estimate:
    """Mean over the last axis, which counts independent networks (at least two)."""
    samples = np.asarray(samples, dtype=np.float64)
    count = samples.shape[-1]
    error = np.std(samples, axis=-1, ddof=1) / np.sqrt(count)
    return Estimate(np.mean(samples, axis=-1), error, np.full(error.shape, count - 1.0))


def extrapolate(estimates: Mapping[int, Estimate], networks: Mapping[int, int]) -> tuple[Estimate, Array]:
    """The limit and the slope a of  mean(d) = limit + a/d,  by least squares in 1/d.

    Parameters
    ----------
    estimates : mapping of int to Estimate
        By the size d; two sizes or more.
    networks : mapping of int to int
        Number of networks at each size.  The weights of the fit are d times this number (the variance of
        self-averaging quantities falls like 1/d), not the estimated errors: so they do not fluctuate.

    Returns
    -------
    limit : Estimate
        The degrees of freedom are those of Welch and Satterthwaite.
    slope : ndarray
        a.
    """
    sizes = np.array(sorted(estimates))
    weights = np.array([d * networks[d] for d in sizes.tolist()], dtype=np.float64)
    design = np.stack([np.ones(sizes.size), 1 / sizes], axis=1)
    normal = design.T @ (weights[:, None] * design)
    coefficients = np.linalg.solve(normal, design.T * weights)  # (2, sizes): limit and slope are linear in the means
    means, errors, freedom = (np.stack([estimates[d][part] for d in sizes.tolist()], axis=-1) for part in range(3))
    contributions = (coefficients[0] * errors) ** 2
    variance = np.sum(contributions, axis=-1)
    spread = np.sum(contributions**2 / freedom, axis=-1)
    known = spread > 0
    limit = Estimate(
        means @ coefficients[0],
        np.sqrt(variance),
        np.where(known, variance**2 / np.where(known, spread, 1.0), np.sum(freedom, axis=-1)),
    )
    return limit, means @ coefficients[1]


def power_law(sizes: Sequence[int], deviations: ArrayLike, errors: ArrayLike) -> tuple[float, float]:
    """Exponent s of |deviation| ~ d^s and its standard error, by weighted least squares in logarithms.

    NaN where a deviation is not resolved (less than three standard errors), or changes sign.  Deviations without errors
    have equal weights, and the standard error is that of their scatter.
    """
    deviations, errors = np.asarray(deviations, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    resolved = np.all(np.abs(deviations) > 3 * errors) and abs(np.sum(np.sign(deviations))) == deviations.size
    if not resolved:
        return np.nan, np.nan
    x, y = np.log(np.asarray(sizes, dtype=np.float64)), np.log(np.abs(deviations))
    exact = not np.any(errors)
    weights = np.ones(x.size) if exact else (deviations / errors) ** 2
    centre = np.average(x, weights=weights)
    information = float(np.sum(weights * (x - centre) ** 2))
    exponent, error = float(np.sum(weights * (x - centre) * y)) / information, information**-0.5
    if exact:
        scatter = y - np.mean(y) - exponent * (x - centre)
        error *= float(np.sqrt(np.sum(scatter**2) / max(1, x.size - 2)))
    return exponent, error


def allowed_z(freedom: ArrayLike, level: float, rows: int = 1) -> Array:
    """The |z| that the largest of `rows` Student-t variables exceeds with probability `level` (Sidak)."""
    from scipy import special

    tail = -np.expm1(np.log1p(-level) / rows) / 2
    return np.asarray(-special.stdtrit(freedom, tail), dtype=np.float64)


@np.errstate(under="ignore")
def gaussian_z(z: ArrayLike, freedom: ArrayLike) -> Array:
    """The standard normal quantile of the same probability as the Student-t variable z."""
    from scipy import special

    tail = np.maximum(special.stdtr(freedom, -np.abs(z)), 1e-300)
    return np.asarray(-np.sign(z) * special.ndtri(tail), dtype=np.float64)


def allowed_rms(group_sizes: Sequence[int], level: float) -> float:
    """The rms of standard normal z that a correct theory exceeds with probability at most about `level`.

    Rows of one group (the same networks) may fluctuate together: the worst case, in which they are equal, has
    (sum of the group sizes)^2/(sum of their squares) degrees of freedom.
    """
    from scipy import special

    sizes = np.asarray(group_sizes, dtype=np.float64)
    freedom = float(np.sum(sizes) ** 2 / np.sum(sizes**2))
    return float(np.sqrt(special.chdtri(freedom, level) / freedom))
