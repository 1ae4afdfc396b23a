"""Continuous densities of eigenvalues as weighted lists; section 3 of docs/theories/structured_features.md."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..errors import ParameterError
from ..gaussian.quadrature import gauss_legendre

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

FEWEST, MOST = 64, 4096  # nodes
SETTLED = 1e-12  # change of the integrals that counts as none


def density_spectrum(
    density: Function, low: float, high: float, *, modes: float, target: Function | None = None
) -> dict[str, Array]:
    """Eigenvalues of a continuous density, as parameters of a problem: `FeatureRidge(**density_spectrum(...), ...)`.

    Nodes in log s = centre + half width cos(theta): square-root edges are integrated to full accuracy; their number is
    doubled until mass, mean and mean of 1/s do not change.

    Parameters
    ----------
    density : callable
        Density of the eigenvalues, of an array of them; its integral is the share of `modes` that it holds.
    low, high : float
        Its support, 0 < low < high.
    modes : float
        How many eigenvalues there are in all.
    target : callable, optional
        c per mode, (u . E[y phi])^2; by default s^2/modes, for a label that is isotropic in the features with norm 1.

    Returns
    -------
    dict of str to ndarray
        `eigenvalues`, `multiplicities`, `target_weights`.

    Raises
    ------
    ParameterError
        If the support is none, the density is negative or not a number, or its integrals do not settle.
    """
    for name, value in (("low", low), ("high", high), ("modes", modes)):
        _check_number(name, value)
    for name, function in (("density", density), ("target", target)):
        if not callable(function) and function is not None:
            raise ParameterError(name, f"must be a function of an array, got {function!r:.40}")
    if not (0 < low < high < math.inf):
        raise ParameterError("low", f"and high must be numbers with 0 < low < high, got {low!r:.20} and {high!r:.20}")
    if not (0 < modes < math.inf):
        raise ParameterError("modes", f"must be a finite number > 0, got {modes!r:.20}")
    known: Array | None = None
    count = FEWEST
    while count <= MOST:
        s, weights = _nodes(density, low, high, count)
        integrals = np.array([np.sum(weights), weights @ s, weights @ (1 / s)])
        if known is not None and np.all(np.abs(integrals - known) <= SETTLED * integrals):
            share = weights * modes
            kept = share > 0
            s, share = s[kept], share[kept]
            per_mode = s**2 / modes if target is None else np.broadcast_to(np.asarray(target(s), dtype=float), s.shape)
            return {"eigenvalues": s, "multiplicities": share, "target_weights": share * per_mode}
        known, count = integrals, 2 * count
    raise ParameterError("density", f"cannot be integrated to 12 digits with {MOST} nodes: give smooth pieces one by "
                                    "one, or a list of eigenvalues")


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise ParameterError(name, f"must be a finite number, got {value!r:.40}")


def _nodes(density: Function, low: float, high: float, count: int) -> tuple[Array, Array]:
    nodes, rule = gauss_legendre(count)
    theta = 0.5 * math.pi * (1 + nodes)
    half = 0.5 * math.log(high / low)
    s = np.exp(0.5 * math.log(low * high) - half * np.cos(theta))
    values = np.broadcast_to(np.asarray(density(s), dtype=np.float64), s.shape)
    if not np.all(np.isfinite(values)) or np.any(values < 0):
        raise ParameterError("density", "must be finite and >= 0 within its support")
    return s, values * s * (0.5 * math.pi * half) * rule * np.sin(theta)


def wishart_spectrum(p: float, m: float, *, target: Function | None = None) -> dict[str, Array]:
    """Eigenvalues of G G^T/m, G of shape (p, m) with independent entries of variance 1, as parameters of a problem.

    Parameters
    ----------
    p, m : float
        Sizes, p != m; for p > m the p - m eigenvalues that are zero are left out.
    target : callable, optional
        See `density_spectrum`.

    Returns
    -------
    dict of str to ndarray
        See `density_spectrum`.
    """
    for name, value in (("p", p), ("m", m)):
        _check_number(name, value)
        if not (0 < value < math.inf):
            raise ParameterError(name, f"must be a finite number > 0, got {value!r:.20}")
    ratio = p / m
    if abs(ratio - 1) < 1e-3:
        raise ParameterError("p", f"must differ from m by a thousandth: the spectrum reaches zero, got {p!r} and {m!r}")
    low, high = (1 - math.sqrt(ratio)) ** 2, (1 + math.sqrt(ratio)) ** 2

    def density(x: Array) -> Array:
        return np.sqrt(np.maximum(high - x, 0.0) * np.maximum(x - low, 0.0)) / (2 * math.pi * ratio * x)

    found = density_spectrum(density, low, high, modes=p, target=target)
    rounding = min(p, m) / np.sum(found["multiplicities"])
    return found | {name: rounding * found[name] for name in ("multiplicities", "target_weights")}
