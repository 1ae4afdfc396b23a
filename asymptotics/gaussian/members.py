"""The elementary nonlinearities: values, slopes, shape, and Gaussian moments (closed forms where they exist).

Every moment is at t ~ N(m, v), v > 0; the forms of mu2_sq are free of cancellation (section "moments" of
docs/theories/giant_step.md), because it is later multiplied by numbers as large as 1/lam.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from .moments import Moments, integrate_moments
from .quadrature import Array, gauss_legendre, normal_density

SQRT2 = math.sqrt(2.0)


class Member:
    """One elementary function g with a feature (kink, jump or bend) at 0.

    Attributes
    ----------
    name : str
        Name in expressions.
    parity : int
        +1 even, -1 odd, 0 neither.
    reflection : bool
        Whether g(u) - g(-u) = u (relu and its smooth relatives).
    kinked : bool
        Whether g or g' jumps at 0.
    jump : float
        Height of the jump of g at 0.
    scale : float
        Length over which g bends; 0 for a kink.
    degree : int
        g grows like |x|**degree.
    localised : bool
        Whether g is affine up to exponentially small terms away from 0.
    """

    name: ClassVar[str]
    parity: ClassVar[int] = 0
    reflection: ClassVar[bool] = False
    kinked: ClassVar[bool] = False
    jump: ClassVar[float] = 0.0
    scale: ClassVar[float] = 1.0
    degree: ClassVar[int] = 0
    localised: ClassVar[bool] = True

    def value(self, x: Array) -> Array:
        raise NotImplementedError

    def slope(self, x: Array) -> Array:
        """The derivative without the jump; 0 at a kink of even functions and 1/2 at that of relu."""
        raise NotImplementedError

    def exact(self, x: Any, mp: Any) -> Any:
        """Value at an mpmath number, in the precision of the mpmath context `mp`."""
        raise NotImplementedError

    def exact_breaks(self, mp: Any) -> list[Any]:
        """Where it bends."""
        return [mp.zero]

    def trapezoid_step(self, deviation: float) -> float:
        """Step in z that integrates g(m + deviation z) and its square to double precision; 0 if none does."""
        return 0.0

    def moments(self, m: Array, v: Array) -> Moments:
        if not self.reflection:
            return integrate_moments(_Plain(self), m, v)
        # where g(t) is t + little, the little has digits on the other side: g(t) = t + g(-t)
        left = integrate_moments(_Plain(self), -np.abs(m), v)
        right = m > 0
        return left._replace(mu0=np.where(right, m + left.mu0, left.mu0), mu1=np.where(right, 1 - left.mu1, left.mu1))

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return _member, (self.name,)


class _Plain:
    """A member as an integrable function of its own."""

    def __init__(self, member: Member) -> None:
        self.value, self.slope = member.value, member.slope
        self.jumps = ((0.0, member.jump),) if member.jump else ()
        self.features = ((0.0, member.scale),)
        self.degree, self.ripple = member.degree, math.inf if member.localised else member.scale
        self.trapezoid_step = member.trapezoid_step


def strip_step(strip: float, deviation: float) -> float:
    """Trapezoid step for a function analytic in |Im x| < strip: error exp(-2 pi d/h + d^2/2), d = strip/deviation."""
    d = strip / deviation
    return min(0.5, 2 * math.pi * d / (46 + 0.5 * d * d)) if d < 8 else 0.5


def entire_step(scale: float, deviation: float) -> float:
    """Trapezoid step for a function that grows like exp(y^2/(2 scale^2)) off the real axis (erf and relatives)."""
    return 0.6 / math.sqrt(1 + 2 * (deviation / scale) ** 2)


class Relu(Member):
    name = "relu"
    reflection, kinked, scale, degree = True, True, 0.0, 1

    def value(self, x: Array) -> Array:
        return np.maximum(x, 0.0)

    def slope(self, x: Array) -> Array:
        return np.heaviside(x, 0.5)

    def exact(self, x: Any, mp: Any) -> Any:
        return x if x > 0 else mp.mpf(0)

    def moments(self, m: Array, v: Array) -> Moments:
        from scipy.special import erfcx, ndtr

        m, v = np.broadcast_arrays(m, v)
        s = np.sqrt(v)
        a = m / s
        density = normal_density(a)
        n = np.abs(a)
        mills = math.sqrt(math.pi / 2) * erfcx(n / SQRT2)  # P(z > n)/phi(n)
        first = 1 - n * mills
        second = (n * n + 1) * mills - n
        far = n > 9  # where the two lines above cancel
        if np.any(far):
            first[far], second[far] = _hazard_series(n[far], 1), _hazard_series(n[far], 2)
        # E max(z - n, 0)^k = phi(n) * (first, second) for k = 1, 2
        tail = density * mills
        mu2_sq = v * (density * second - (density * first) ** 2 - tail**2)
        mu0 = np.where(a < 0, s * density * first, m + s * density * first)
        return Moments(mu0, ndtr(a), mu2_sq, 0.5 * density / s)


def _hazard_series(n: Array, k: int) -> Array:
    """Asymptotic int_0^inf s^k exp(-n s - s^2/2) ds, k >= 1, for n > 9 (terms fall until j ~ n^2/2 > 40)."""
    term = math.factorial(k) / n ** (k + 1)
    total = term.copy()
    for j in range(1, 40):
        term = -term * (k + 2 * j) * (k + 2 * j - 1) / (2 * j * n * n)
        total += term
    return total


class Erf(Member):
    """erf(x); internally g(x sqrt2) with g(u) = erf(u/sqrt2) = 2 Phi(u) - 1."""

    name = "erf"
    parity, scale = -1, 1 / SQRT2

    def value(self, x: Array) -> Array:
        from scipy.special import erf

        return erf(x)

    def slope(self, x: Array) -> Array:
        return 2 / math.sqrt(math.pi) * np.exp(-x * x)

    def exact(self, x: Any, mp: Any) -> Any:
        return mp.erf(x)

    def trapezoid_step(self, deviation: float) -> float:
        return entire_step(1 / SQRT2, deviation)

    def moments(self, m: Array, v: Array) -> Moments:
        from scipy.special import erf

        m, v = np.broadcast_arrays(m, v)
        u, w = SQRT2 * m, 2 * v  # argument of g
        total = 1 + w
        b = u / np.sqrt(total)
        density = normal_density(b)
        mu1 = 2 * density / np.sqrt(total)
        moments = Moments(erf(b / SQRT2), SQRT2 * mu1, self._mu2_sq(b, w), -2 * b * density / total)
        small = w < 0.1
        if np.any(small):  # the closed form of mu2_sq cancels like 1e-16/v
            moments.mu2_sq[small] = integrate_moments(_Plain(self), m[small], v[small]).mu2_sq
        return moments

    @staticmethod
    def _mu2_sq(b: Array, w: Array) -> Array:
        """(4/pi) int_{1/sqrt(1+2w)}^1 exp(-b^2 (1+y^2)/2)/(1+y^2) dy - 4 w phi(b)^2/(1+w)."""
        nodes, weights = gauss_legendre(32)
        low = 1 / np.sqrt(1 + 2 * w)
        half = 0.5 * (1 - low)
        total = np.zeros(b.shape)
        for node, weight in zip(nodes, weights, strict=True):
            square = 1 + (low + half * (1 + node)) ** 2
            total += weight * np.exp(-0.5 * b * b * square) / square
        return (4 / math.pi) * half * total - 4 * w / (1 + w) * normal_density(b) ** 2


class Sin(Member):
    name = "sin"
    parity, localised = -1, False

    def value(self, x: Array) -> Array:
        return np.sin(x)

    def slope(self, x: Array) -> Array:
        return np.cos(x)

    def exact(self, x: Any, mp: Any) -> Any:
        return mp.sin(x)

    def trapezoid_step(self, deviation: float) -> float:
        return wave_step(deviation)

    def moments(self, m: Array, v: Array) -> Moments:
        sine, cosine, decay = np.sin(m), np.cos(m), np.exp(-v / 2)
        same, crossed = wave_variances(v)
        mu2_sq = sine**2 * same + cosine**2 * crossed
        return Moments(sine * decay, cosine * decay, mu2_sq, -0.5 * sine * decay)


class Cos(Member):
    name = "cos"
    parity, localised = 1, False

    def value(self, x: Array) -> Array:
        return np.cos(x)

    def slope(self, x: Array) -> Array:
        return -np.sin(x)

    def exact(self, x: Any, mp: Any) -> Any:
        return mp.cos(x)

    def trapezoid_step(self, deviation: float) -> float:
        return wave_step(deviation)

    def moments(self, m: Array, v: Array) -> Moments:
        sine, cosine, decay = np.sin(m), np.cos(m), np.exp(-v / 2)
        same, crossed = wave_variances(v)
        mu2_sq = cosine**2 * same + sine**2 * crossed
        return Moments(cosine * decay, -sine * decay, mu2_sq, -0.5 * cosine * decay)


def wave_step(deviation: float) -> float:
    """Trapezoid step for sin(m + deviation z)^2 under the normal density: aliasing exp(-(2 pi/h - 2 S)^2/2)."""
    return min(0.6, 2 * math.pi / (2 * deviation + 9))


def wave_variances(v: Array) -> tuple[Array, Array]:
    """Variance of cos(z sqrt v), and variance of sin(z sqrt v) that is not linear in z."""
    same = 0.5 * np.expm1(-v) ** 2
    small = np.minimum(v, 1.0)
    square = small * small
    series = small**3 / 6 * (1 + square / 20 * (1 + square / 42 * (1 + square / 72 * (1 + square / 110 * (
        1 + square / 156 * (1 + square / 210))))))  # sinh(v) - v
    crossed = np.where(v < 1, np.exp(-v) * series, -0.5 * np.expm1(-2 * v) - v * np.exp(-v))
    return same, crossed


class Sign(Member):
    name = "sign"
    parity, kinked, jump, scale = -1, True, 2.0, 0.0

    def value(self, x: Array) -> Array:
        return np.sign(x)

    def slope(self, x: Array) -> Array:
        return np.zeros(np.shape(x))

    def exact(self, x: Any, mp: Any) -> Any:
        return mp.mpf((x > 0) - (x < 0))

    def moments(self, m: Array, v: Array) -> Moments:
        from scipy.special import erf, ndtr

        s = np.sqrt(v)
        a = m / s
        density = normal_density(a)
        mu2_sq = 4 * (ndtr(a) * ndtr(-a) - density**2)
        return Moments(erf(a / SQRT2), 2 * density / s, mu2_sq, -a * density / v)


class Tanh(Member):
    name = "tanh"
    parity = -1

    def value(self, x: Array) -> Array:
        return np.tanh(x)

    def slope(self, x: Array) -> Array:
        e = np.exp(-2 * np.abs(x))
        return 4 * e / (1 + e) ** 2

    def exact(self, x: Any, mp: Any) -> Any:
        return mp.tanh(x)

    def trapezoid_step(self, deviation: float) -> float:
        return strip_step(math.pi / 2, deviation)


class Softplus(Member):
    name = "softplus"
    reflection, degree = True, 1

    def value(self, x: Array) -> Array:
        return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))

    def slope(self, x: Array) -> Array:
        e = np.exp(-np.abs(x))
        return np.where(x >= 0, 1.0, e) / (1 + e)

    def exact(self, x: Any, mp: Any) -> Any:
        return x + mp.log1p(mp.exp(-x)) if x > 0 else mp.log1p(mp.exp(x))

    def trapezoid_step(self, deviation: float) -> float:
        return strip_step(math.pi, deviation)


class Gelu(Member):
    """x Phi(x)."""

    name = "gelu"
    reflection, degree = True, 1

    def value(self, x: Array) -> Array:
        from scipy.special import ndtr

        return x * ndtr(x)

    def slope(self, x: Array) -> Array:
        from scipy.special import ndtr

        return ndtr(x) + x * normal_density(x)

    def exact(self, x: Any, mp: Any) -> Any:
        return x * mp.ncdf(x)

    def trapezoid_step(self, deviation: float) -> float:
        return entire_step(1.0, deviation)


MEMBERS: dict[str, Member] = {
    member.name: member for member in (Relu(), Erf(), Sin(), Cos(), Sign(), Tanh(), Softplus(), Gelu())
}


def _member(name: str) -> Member:
    return MEMBERS[name]
