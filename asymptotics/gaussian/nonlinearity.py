"""Nonlinearities: one handful of questions, answered by all of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .hermite import hermite_functions, hermite_polynomial
from .members import MEMBERS, Member
from .moments import Moments, integrate_moments
from .quadrature import Array, gauss_legendre, graded_edges, normal_density, panel_rule

MAX_DEGREE = 24
SHORTEST_RIPPLE = 1e-3
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

    def second_moment(self) -> float:
        """E sigma(z)^2, z ~ N(0, 1)."""
        moments = self.moments(0.0, 1.0)
        return float(moments.mu0**2 + moments.mu1**2 + moments.mu2_sq)

    def slope_variance(self) -> float:
        """Var sigma'(z) = sum_{k >= 2} k c_k^2; infinite if sigma jumps."""
        if self.jumps:
            return math.inf
        with np.errstate(under="ignore"):
            z, weight = self._standard_rule(0.5)
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
            z, weight = self._standard_rule(width, density=False)
            total = np.zeros(degree + 1)
            for start in range(0, z.size, _BLOCK):
                block, own = z[start:start + _BLOCK], weight[start:start + _BLOCK]
                total += hermite_functions(block, degree) @ (own * np.sqrt(normal_density(block)) * self.value(block))
            return total

    def _standard_rule(self, width: float, density: bool = True) -> tuple[Array, Array]:
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


Term = tuple[float, Member, float, float]  # coefficient, g, b, c  of  coefficient * g(b x + c),  b > 0


class Combination(Nonlinearity):
    """polynomial(x) + sum_i a_i g_i(b_i x + c_i) over elementary functions g_i: the form that keeps closed forms.

    Parameters
    ----------
    text : str
        How it is shown.
    polynomial : sequence of float
    terms : sequence of (a, g, b, c)
    definition : str
        The expression meant, if the coefficients are rounded: where more digits are wanted they come from it.
        Without it the coefficients are exact.
    """

    def __init__(
        self, text: str, polynomial: Sequence[float] | Array, terms: Sequence[Term], definition: str = ""
    ) -> None:
        self.text, self.definition = text, definition
        coefficients, self.terms = _normal_form(polynomial, terms)
        self.polynomial = np.trim_zeros(coefficients, "b")
        if self.polynomial.size - 1 > MAX_DEGREE:
            raise ValueError(f"must be of degree <= {MAX_DEGREE}, got degree {self.polynomial.size - 1}")
        self.parity = self._parity()
        self.jumps = tuple((0.0 - c / b, a * g.jump) for a, g, b, c in self.terms if g.jump)
        self.features = tuple((0.0 - c / b, g.scale / b) for _, g, b, c in self.terms if g.localised)
        self.kinks = tuple(sorted({0.0 - c / b for _, g, b, c in self.terms if g.kinked}))
        self.scale = min([g.scale / b for _, g, b, _ in self.terms if g.scale > 0], default=1.0)
        self.ripple = min([g.scale / b for _, g, b, _ in self.terms if not g.localised], default=math.inf)
        if self.ripple < SHORTEST_RIPPLE:
            raise ValueError(f"must not oscillate faster than sin(x/{SHORTEST_RIPPLE:g}), got {text:.40}")
        self.degree = max([self.polynomial.size - 1, 0, *(g.degree for _, g, _, _ in self.terms)])
        self.localised = self.polynomial.size <= 2 and all(g.localised for _, g, _, _ in self.terms)

    @property
    def key(self) -> Any:
        return (tuple(self.polynomial), self.terms)

    def __reduce__(self) -> Any:
        return Combination, (self.text, tuple(self.polynomial), self.terms, self.definition)

    @property
    def affine(self) -> bool:
        return not self.terms and self.polynomial.size <= 2

    def value(self, x: Array) -> Array:
        total = _polynomial_value(self.polynomial, x)
        for a, g, b, c in self.terms:
            total = total + a * g.value(b * x + c)
        return total

    def slope(self, x: Array) -> Array:
        total = _polynomial_value(_differentiate(self.polynomial), x)
        for a, g, b, c in self.terms:
            total = total + a * b * g.slope(b * x + c)
        return total

    def exact(self, x: Any, mp: Any) -> Any:
        polynomial, terms = self.exact_form(mp)
        total = mp.zero
        for coefficient in polynomial[::-1]:
            total = total * x + coefficient
        for a, g, b, c in terms:
            total += a * g.exact(b * x + c, mp)
        return total

    def exact_form(self, mp: Any) -> tuple[list[Any], list[tuple[Any, Any, Any, Any]]]:
        if self.definition:
            from .expressions import exact_form

            return exact_form(self.definition, mp.prec)
        polynomial = [mp.mpf(float(a)) for a in self.polynomial]
        return polynomial, [(mp.mpf(a), g, mp.mpf(b), mp.mpf(c)) for a, g, b, c in self.terms]

    def trapezoid_step(self, deviation: float) -> float:
        steps = [g.trapezoid_step(b * deviation) for _, g, b, _ in self.terms]
        return min(steps, default=0.5)

    def _parity(self) -> int:
        odd = np.zeros(self.polynomial.size + 2)
        odd[: self.polynomial.size] = self.polynomial
        has_odd = has_even = False
        for a, g, b, c in self.terms:
            if c == 0 and g.reflection:  # g(u) = u/2 + an even function
                odd[1] += a * b / 2
                has_even = True
            else:
                has_odd |= not (c == 0 and g.parity == 1)
                has_even |= not (c == 0 and g.parity == -1)
        has_odd |= bool(np.any(odd[1::2]))
        has_even |= bool(np.any(odd[0::2]))
        return 0 if has_odd and has_even else (-1 if has_odd else 1)

    def _moments(self, m: Array, v: Array) -> Moments:
        moments = _polynomial_moments(self.polynomial, m, v)
        for a, g, b, c in self.terms:
            part = g.moments(b * m + c, b * b * v)
            moments = Moments(
                moments.mu0 + a * part.mu0,
                moments.mu1 + a * b * part.mu1,
                a * a * part.mu2_sq,
                moments.nu + a * b * b * part.nu,
            )
        if self.terms and (len(self.terms) > 1 or self.polynomial.size > 2):
            moments = moments._replace(mu2_sq=integrate_moments(self, m, v).mu2_sq)
        return moments


def _normal_form(polynomial: Sequence[float] | Array, terms: Sequence[Term]) -> tuple[Array, tuple[Term, ...]]:
    """Positive slopes, unit slopes where g is homogeneous, equal terms merged, constants in the polynomial."""
    total = np.zeros(max(len(polynomial), 2))
    total[: len(polynomial)] = polynomial
    merged: dict[tuple[Member, float, float], float] = {}
    for a, g, b, c in terms:
        if b == 0:
            total[0] += a * float(g.value(np.asarray(c)))
            continue
        if b < 0:
            b, c = -b, -c
            if g.reflection:  # g(-u) = g(u) - u
                total[1] -= a * b
                total[0] -= a * c
            else:
                a = a * g.parity
        if g.kinked:
            a, b, c = a * b**g.degree, 1.0, c / b
        c = c + 0.0  # no negative zero
        merged[g, b, c] = merged.get((g, b, c), 0.0) + a
    ordered = sorted(((a, g, b, c) for (g, b, c), a in merged.items() if a), key=lambda t: (t[1].name, t[2], t[3]))
    return total, tuple(ordered)


def _polynomial_value(coefficients: Array, x: Array) -> Array:
    total = np.zeros(np.shape(x))
    for coefficient in coefficients[::-1]:
        total = total * x + coefficient
    return total


def _differentiate(coefficients: Array) -> Array:
    return coefficients[1:] * np.arange(1, coefficients.size)


def _polynomial_moments(coefficients: Array, m: Array, v: Array) -> Moments:
    """E P^(j) = sum_i v^i P^(j + 2i)(m)/(2^i i!), and mu2_sq = sum_{j >= 2} v^j (E P^(j))^2/j!."""
    derivatives = []
    while coefficients.size:
        derivatives.append(_polynomial_value(coefficients, m))
        coefficients = _differentiate(coefficients)
    means = []
    for j in range(len(derivatives)):
        total, factor = np.zeros(m.shape), np.ones(m.shape)
        for i, derivative in enumerate(derivatives[j::2]):
            total = total + factor * derivative
            factor = factor * v / (2 * (i + 1))
        means.append(total)
    zero = np.zeros(m.shape)
    mu2_sq = zero
    for j in range(2, len(means)):
        mu2_sq = mu2_sq + v**j * means[j] ** 2 / math.factorial(j)
    mean = [*means, zero, zero, zero]
    return Moments(mean[0], mean[1], mu2_sq, 0.5 * mean[2])


class Wrapped(Nonlinearity):
    """A Python callable; see `nonlinearity`."""

    def __init__(self, function: Callable, derivative: Callable | None, kinks: Sequence[float], scale: float) -> None:
        self.function, self.given_derivative, self.scale = function, derivative, float(scale)
        self.text = getattr(function, "__name__", repr(function))
        self.kinks = tuple(sorted(float(kink) for kink in kinks))
        self.features = tuple((kink, 0.0) for kink in self.kinks)
        self.degree = growth_degree(self)  # first: it refuses what is not finite
        self.ripple = self.scale
        self.jumps = tuple((kink, height) for kink in self.kinks if (height := self._jump(kink)))
        self.parity = self._observed_parity()

    @property
    def key(self) -> Any:
        return (id(self.function), id(self.given_derivative), self.kinks, self.scale)

    def __reduce__(self) -> Any:
        return Wrapped, (self.function, self.given_derivative, self.kinks, self.scale)

    def value(self, x: Array) -> Array:
        values = np.asarray(self.function(x), dtype=np.float64)
        if values.shape != np.shape(x):
            raise ValueError(f"must return an array of the shape {np.shape(x)} of its argument, got {values.shape}")
        return values

    def slope(self, x: Array) -> Array:
        if self.given_derivative is not None:
            return np.asarray(self.given_derivative(x), dtype=np.float64)
        return _numerical_slope(self.value, x, self.kinks, 0.02 * self.scale)

    def exact(self, x: Any, mp: Any) -> Any:
        raise ValueError(f"{self.text} is a wrapped callable, known to double precision only; give an expression in x")

    def _jump(self, kink: float) -> float:
        """Height of the jump at a kink: both sides extrapolated to it."""
        step = 1e-3 * self.scale * np.arange(1.0, 7.0)
        lagrange = np.array([6.0, -15.0, 20.0, -15.0, 6.0, -1.0])
        height = float(lagrange @ self.value(kink + step) - lagrange @ self.value(kink - step))
        size = float(np.max(np.abs(self.value(np.concatenate([kink - step, kink + step])))))
        return height if abs(height) > 1e-9 * max(size, 1e-300) else 0.0

    def _observed_parity(self) -> int:
        x = np.linspace(0.05, 8, 160) * self.scale
        right, left = self.value(x), self.value(-x)
        for parity in (1, -1):
            if np.all(np.abs(right - parity * left) <= 1e-15 * np.max(np.abs(right))):
                return parity
        return 0


def _numerical_slope(value: Callable[[Array], Array], x: Array, kinks: tuple[float, ...], step: float) -> Array:
    """Derivative of the degree-8 interpolant on nine points of one smooth piece."""
    offsets = np.arange(-4.0, 5.0)
    edges = np.array([-np.inf, *kinks, np.inf])
    piece = np.searchsorted(edges, x, side="right") - 1
    low, high = edges[piece], edges[piece + 1]
    h = np.minimum(step, (high - low) / 9)
    centre = np.clip(x, low + 4.5 * h, high - 4.5 * h)
    at = (x - centre) / h
    total = np.zeros(np.shape(x))
    for offset, basis in zip(offsets, _lagrange_slopes(), strict=True):
        total += _polynomial_value(basis, at) * value(centre + offset * h)
    return total / h


@functools.cache
def _lagrange_slopes() -> tuple[Array, ...]:
    """Derivatives of the Lagrange basis on -4..4, as polynomial coefficients."""
    offsets = np.arange(-4.0, 5.0)
    slopes = []
    for own in offsets:
        others = offsets[offsets != own]
        basis = np.polynomial.polynomial.polyfromroots(others) / np.prod(own - others)
        slopes.append(_differentiate(basis))
    return tuple(slopes)


def growth_degree(function: Nonlinearity) -> int:
    """An integer d with |f(x)| growing at most like |x|^d, measured far out.

    Raises
    ------
    ValueError
        If values are not finite, or grow as fast as a Gaussian falls.
    """
    with np.errstate(all="ignore"):
        x = np.array([5.0, 10.0, 20.0, 40.0, 80.0])[:, None] * np.linspace(0.5, 1.0, 33)
        near = np.linspace(-40, 40, 4001) * min(1.0, function.scale) + 1e-3
        size = np.max(np.abs([function.value(-x), function.value(x)]), axis=(0, 2))
        finite = bool(np.all(np.isfinite(function.value(near))))
        logs = np.log(np.maximum.accumulate(np.where(np.isnan(size), np.inf, np.maximum(size, 1e-300))))
    if not np.all(np.isfinite(size[:3])) or (logs[2] > 20 and not logs[4] < 12 * logs[2]):
        raise ValueError("must be finite and grow more slowly than a Gaussian falls")
    if not np.all(np.isfinite(size)):
        raise ValueError("must stay finite up to |x| = 80")
    if not finite:
        raise ValueError("must be finite everywhere")
    degree = float(logs[4] - logs[3]) / math.log(2)
    return math.ceil(min(degree, 60.0) - 0.05)


def nonlinearity(
    f: str | Nonlinearity | Callable,
    *,
    derivative: Callable | None = None,
    kinks: Sequence[float] = (),
    scale: float = 1.0,
) -> Nonlinearity:
    """A nonlinearity from a name, an expression in x, or a Python callable.

    Parameters
    ----------
    f : str, Nonlinearity or callable
        "tanh", "relu", "erf", "sin", "cos", "sign", "abs", "softplus", "sigmoid", "gelu", "linear", "he2", "he3", ...;
        an expression such as "tanh(1.5*x + 0.8)" or "x + 0.5*(x**2 - 1)"; or a vectorised callable.
    derivative : callable, optional
        Vectorised derivative of a callable (otherwise a degree-8 interpolant is differentiated).
    kinks : sequence of float
        Every place where the callable or its derivative jumps.
    scale : float
        The shortest length over which the callable bends away from its kinks; quadrature steps follow it.

    Returns
    -------
    Nonlinearity

    Raises
    ------
    ValueError
        If `f` is not one of these, is not finite, or grows too fast.
    """
    if isinstance(f, Nonlinearity):
        return f
    if isinstance(f, str):
        return _from_text(f)
    if not callable(f):
        raise ValueError(f"must be a name, an expression in x or a callable, got {type(f).__name__} {f!r:.40}")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be > 0, got {scale}")
    return Wrapped(f, derivative, kinks, scale)


@functools.lru_cache(maxsize=256)
def _from_text(text: str) -> Nonlinearity:
    name = text.strip() if len(text) < 40 else ""
    if name in MEMBERS:
        return Combination(name, (), [(1.0, MEMBERS[name], 1.0, 0.0)])
    if name == "abs":
        return Combination(name, (0.0, -1.0), [(2.0, MEMBERS["relu"], 1.0, 0.0)])
    if name == "sigmoid":
        return Combination(name, (0.5,), [(0.5, MEMBERS["tanh"], 0.5, 0.0)])
    if name in ("linear", "x"):
        return Combination(name, (0.0, 1.0), [])
    if name.startswith("he") and name[2:].isdecimal() and len(name) <= 4:
        degree = int(name[2:])
        if degree > MAX_DEGREE:
            raise ValueError(f"must be of degree <= {MAX_DEGREE}, got {name}")
        return Combination(name, hermite_polynomial(degree), [], definition=f"{name}(x)")
    from .expressions import parse

    return parse(text)
