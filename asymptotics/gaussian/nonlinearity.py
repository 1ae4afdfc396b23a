"""What every nonlinearity answers."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .hermite import hermite_functions
from .moments import Moments, integrate_moments
from .quadrature import Array, gauss_legendre, graded_edges, normal_density, panel_rule

_BLOCK = 1 << 15


class Nonlinearity:
    """A function of one variable with at most finitely many kinks and jumps.

    Call it for its values.  Two nonlinearities are equal if they have the same `key`: names and expressions by
    content, wrapped callables by identity.

    Attributes
    ----------
    parity : int
        +1 even, -1 odd, 0 neither (or not known).
    jumps : tuple of (location, height)
    kinks : tuple of float
        Where the function or its derivative jumps.
    features : tuple of (location, scale)
        Where it bends, and over which length; scale 0 at kinks.
    scale : float
        The shortest length over which it bends away from its kinks.
    ripple : float
        The shortest length over which it varies away from its features.
    degree : int
        It grows at most like |x|**degree.
    localised : bool
        Whether it is affine, up to exponentially small terms, away from its features.
    """

    text: str
    parity: int = 0
    jumps: tuple[tuple[float, float], ...] = ()
    kinks: tuple[float, ...] = ()
    features: tuple[tuple[float, float], ...] = ()
    scale: float = 1.0
    ripple: float = math.inf
    degree: int = 0
    localised: bool = False

    # ---- to be implemented

    @property
    def key(self) -> Any:
        """What makes it equal to another one."""
        raise NotImplementedError

    def value(self, x: Array) -> Array:
        """Values at float64 arrays."""
        raise NotImplementedError

    def slope(self, x: Array) -> Array:
        """The derivative where it exists, without the jumps."""
        raise NotImplementedError

    def exact(self, x: Any, mp: Any) -> Any:
        """Value at an mpmath number in the context `mp`."""
        raise NotImplementedError

    def exact_form(self, mp: Any) -> tuple[list[Any], list[tuple[Any, Any, Any, Any]]]:
        """Coefficients of polynomial(x), and (a, g, b, c) for every further a g(b x + c), as mpmath numbers."""
        return [], [(mp.one, self, mp.one, mp.zero)]

    def exact_breaks(self, mp: Any) -> list[Any]:
        """Kinks, and where it bends, as mpmath numbers: places where integrals should be split."""
        return [mp.mpf(place) for place, _ in self.features]

    def trapezoid_step(self, deviation: float) -> float | None:
        """See `moments.Integrable`."""
        return None

    def _moments(self, m: Array, v: Array) -> Moments:
        return integrate_moments(self, m, v)

    @property
    def affine(self) -> bool:
        """Whether it is a polynomial of degree at most one."""
        return False

    # ---- answers

    def __call__(self, x: ArrayLike) -> Array:
        with np.errstate(under="ignore"):
            return self.value(np.asarray(x, dtype=np.float64))

    def derivative(self, x: ArrayLike) -> Array:
        """The derivative; at a kink the mean of the two sides or one of them, and jumps do not count."""
        with np.errstate(under="ignore"):
            return self.slope(np.asarray(x, dtype=np.float64))

    def moments(self, mean: ArrayLike, variance: ArrayLike) -> Moments:
        """Gaussian moments at t ~ N(mean, variance), elementwise over broadcast arrays.

        Parameters
        ----------
        mean, variance : array_like
            variance >= 0; at zero the moments are sigma, sigma', 0 and (not defined, returned as) 0.

        Returns
        -------
        Moments
            mu0 = E sigma, mu1 = E sigma', mu2_sq = E sigma^2 - mu0^2 - variance mu1^2 (free of cancellation) and
            nu = E sigma''/2, in the sense of distributions at kinks and jumps; eq. (8) of docs/theories/giant_step.md.
        """
        m, v = np.broadcast_arrays(np.asarray(mean, dtype=np.float64), np.asarray(variance, dtype=np.float64))
        shape, m, v = m.shape, np.ravel(m), np.ravel(v)
        with np.errstate(under="ignore"):
            still = v == 0
            moments = self._near_symmetry(self._moments(m, np.where(still, 1.0, v)), m, v)
            if np.any(still):
                zero = np.zeros(m.shape)
                limits = Moments(self.value(m), self.slope(m), zero, zero)
                moments = Moments(*(np.where(still, limit, moment)
                                    for limit, moment in zip(limits, moments, strict=True)))
        return Moments(*(np.reshape(moment, shape)[()] for moment in moments))

    def _near_symmetry(self, moments: Moments, m: Array, v: Array) -> Moments:
        """mu0 of an odd, mu1 of an even function near mean 0, where they vanish, to full relative accuracy.

        There they are the integral of the next moment: d mu0/dm = mu1 and d mu1/dm = 2 nu.
        """
        near = (m != 0) & (np.abs(m) < 1e-3 * np.sqrt(v))
        if not (self.parity and np.any(near)):
            return moments
        nodes, weights = gauss_legendre(4)
        inner = self._moments(*(np.ravel(x) for x in np.broadcast_arrays(
            m[near][:, None] * 0.5 * (1 + nodes), v[near][:, None])))
        integrand = (inner.mu1 if self.parity < 0 else 2 * inner.nu).reshape(-1, nodes.size)
        vanishing = np.array(moments.mu0 if self.parity < 0 else moments.mu1)
        vanishing[near] = m[near] * (integrand @ (0.5 * weights))
        return moments._replace(**{"mu0" if self.parity < 0 else "mu1": vanishing})

    @functools.cached_property
    def standard_moments(self) -> Moments:
        """Moments at t ~ N(0, 1)."""
        return self.moments(0.0, 1.0)

    def second_moment(self) -> float:
        """E sigma(z)^2, z ~ N(0, 1)."""
        moments = self.standard_moments
        return float(moments.mu0**2 + moments.mu1**2 + moments.mu2_sq)

    def slope_variance(self) -> float:
        """Var sigma'(z) = sum_{k >= 2} k c_k^2; infinite if sigma jumps."""
        return self._slope_variance

    @functools.cached_property
    def _slope_variance(self) -> float:
        if self.jumps:
            return math.inf
        with np.errstate(under="ignore"):
            z, weight = self.standard_rule(0.5)
            slopes = self.slope(z)
            mean = np.sum(weight * slopes)
            return float(np.sum(weight * (slopes - mean) ** 2))

    def hermite_coefficients(self, degree: int) -> Array:
        """c_k = E[sigma(z) h_k(z)], k = 0..degree, with the orthonormal h_k = He_k/sqrt(k!), in float64."""
        coefficients = self._panel_coefficients(degree, min(0.5, 2 / math.sqrt(degree + 1)))
        if self.parity:
            coefficients[(1 if self.parity > 0 else 0)::2] = 0.0
        return coefficients

    def hermite_coefficients_mp(self, degree: int, digits: int = 50) -> list[Any]:
        """The same as `mpmath` numbers, to `digits` digits.

        Raises
        ------
        ValueError
            If the function is a wrapped callable, whose values are known to double precision only.
        """
        from .hermite import exact_coefficients

        return exact_coefficients(self, degree, digits)

    def _panel_coefficients(self, degree: int, width: float) -> Array:
        """The coefficients by panels of a given width."""
        with np.errstate(under="ignore"):
            z, weight = self.standard_rule(width, density=False)
            total = np.zeros(degree + 1)
            for start in range(0, z.size, _BLOCK):
                block, own = z[start:start + _BLOCK], weight[start:start + _BLOCK]
                total += hermite_functions(block, degree) @ (own * np.sqrt(normal_density(block)) * self.value(block))
            return total

    def standard_rule(self, width: float, density: bool = True) -> tuple[Array, Array]:
        """Nodes and weights, for functions of z that are as narrow as this one or as `width`, under sqrt(phi)."""
        half_range = 18 + math.sqrt(2 * self.degree)
        places = np.array([place for place, _ in self.features])
        scales = np.array([scale for _, scale in self.features])
        edges = graded_edges(-half_range, half_range, width * min(1.0, self.ripple), places, scales)
        z, weight = panel_rule(edges)
        return z, weight * normal_density(z) if density else weight

    # ---- a nonlinearity is a value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nonlinearity) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return repr(self.text)
