"""Laws of single numbers: final alignment, final kernel, escape time; eqs. (17) - (19).

Every law answers `pdf`, `cdf`, `sf`, `ppf`, `mean` and `std`, of arrays, as the distributions of SciPy do.
"""

from __future__ import annotations

import functools
import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .flow import Flow
from .initial_law import InitialLaw, rows

Array = NDArray[np.float64]

_PANELS, _DEGREE = 64, 15


class ScalarLaw(Protocol):
    """What every law answers."""

    def pdf(self, x: Array) -> Array: ...
    def cdf(self, x: Array) -> Array: ...
    def sf(self, x: Array) -> Array: ...
    def ppf(self, q: Array) -> Array: ...
    def mean(self) -> float: ...
    def std(self) -> float: ...


class Constant:
    """A number that does not fluctuate; NaN if there is none."""

    def __init__(self, value: float) -> None:
        self.value = value

    def pdf(self, x: Array) -> Array:
        """Not a function: NaN at the number."""
        return np.where((x == self.value) | math.isnan(self.value), np.nan, 0.0)

    def cdf(self, x: Array) -> Array:
        return np.where(math.isnan(self.value), np.nan, (x >= self.value).astype(np.float64))

    def sf(self, x: Array) -> Array:
        return 1 - self.cdf(x)

    def ppf(self, q: Array) -> Array:
        return np.full(q.shape, self.value)

    def mean(self) -> float:
        return self.value

    def std(self) -> float:
        return 0.0 * self.value


class FinalAlignment:
    """|cos(u, w)| at the end, 1/sqrt(1 + (ratio G)^2) with G of the gamma law of shape p - 1; eq. (17)."""

    def __init__(self, p: int, ratio: float) -> None:
        self.shape, self.ratio = float(p - 1), ratio

    def _area(self, x: Array) -> Array:
        """G where the alignment is x."""
        inside = (x > 0) & (x < 1)
        x = np.where(inside, x, 0.5)
        return np.sqrt((1 - x) * (1 + x)) / (x * self.ratio)

    def pdf(self, x: Array) -> Array:
        inside = (x > 0) & (x < 1)
        area, x = self._area(x), np.where(inside, x, 0.5)
        log = (self.shape - 1) * np.log(area) - area - math.lgamma(self.shape)
        return np.where(inside, np.exp(log) / (self.ratio * x * x * np.sqrt((1 - x) * (1 + x))), 0.0)

    def cdf(self, x: Array) -> Array:
        from scipy import special

        return np.where(x <= 0, 0.0, np.where(x >= 1, 1.0, special.gammaincc(self.shape, self._area(x))))

    def sf(self, x: Array) -> Array:
        from scipy import special

        return np.where(x <= 0, 1.0, np.where(x >= 1, 0.0, special.gammainc(self.shape, self._area(x))))

    def ppf(self, q: Array) -> Array:
        from scipy import special

        return 1 / np.hypot(1.0, self.ratio * special.gammainccinv(self.shape, q))

    @functools.cached_property
    def _nodes(self) -> tuple[Array, Array]:
        """The alignment and weights of the trapezoid rule in ln G: 2 G is of a chi-square law."""
        law = InitialLaw(round(2 * self.shape), 1.0, 0.0)
        low, high, top = law.window
        s = rows(law, low, high, 0.15)
        weights = np.exp(law.profile(s) - top)
        return 1 / np.hypot(1.0, self.ratio * self.shape * np.exp(s)), weights / np.sum(weights)

    def mean(self) -> float:
        values, weights = self._nodes
        return float(weights @ values)

    def std(self) -> float:
        values, weights = self._nodes
        return math.sqrt(float(weights @ (values - weights @ values) ** 2))


class EscapeTime:
    """Half-time of training from small weights, (offset - ln X)/rate with a chi-square variable X; eq. (19)."""

    def __init__(self, p: int, offset: float, rate: float) -> None:
        self.p, self.offset, self.rate = p, offset, rate

    def _chi_square(self, x: Array) -> Array:
        return np.exp(np.minimum(self.offset - self.rate * x, 700.0))

    def pdf(self, x: Array) -> Array:
        log_X = self.offset - self.rate * x
        log = 0.5 * self.p * (log_X - math.log(2)) - 0.5 * self._chi_square(x) - math.lgamma(0.5 * self.p)
        return self.rate * np.exp(log)

    def cdf(self, x: Array) -> Array:
        from scipy import special

        return special.gammaincc(0.5 * self.p, 0.5 * self._chi_square(x))

    def sf(self, x: Array) -> Array:
        from scipy import special

        return special.gammainc(0.5 * self.p, 0.5 * self._chi_square(x))

    def ppf(self, q: Array) -> Array:
        from scipy import special

        return (self.offset - np.log(2 * special.gammainccinv(0.5 * self.p, q))) / self.rate

    def mean(self) -> float:
        from scipy import special

        return (self.offset - math.log(2) - float(special.digamma(0.5 * self.p))) / self.rate

    def std(self) -> float:
        from scipy import special

        return math.sqrt(float(special.polygamma(1, 0.5 * self.p))) / self.rate


class LogGeometricMean:
    """The law of s, (12): panels of polynomials for its distribution function, from both ends."""

    def __init__(self, law: InitialLaw) -> None:
        low, high, _ = law.window
        self.edges = np.linspace(low, high, _PANELS + 1)
        self.width = float(self.edges[1] - self.edges[0])
        points = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
        s = self.edges[:-1, None] + 0.5 * self.width * (1 + points)
        log_density = law.marginal(s.ravel()).reshape(s.shape)
        density = np.exp(log_density - np.max(log_density))
        chebyshev = np.polynomial.chebyshev
        series = density @ np.linalg.inv(chebyshev.chebvander(points, _DEGREE)).T
        integral = np.stack([chebyshev.chebint(own, lbnd=-1) for own in series]) * (0.5 * self.width)
        mass = integral.sum(axis=1)
        total = float(np.sum(mass))
        self._series, self._integral, self._mass = series / total, integral / total, mass / total
        self._before = np.append(0.0, np.cumsum(self._mass))
        self._after = np.append(np.cumsum(self._mass[::-1])[::-1], 0.0)

    def _place(self, s: Array) -> tuple[NDArray[np.intp], Array]:
        panel = np.clip(((s - self.edges[0]) / self.width).astype(np.intp), 0, _PANELS - 1)
        return panel, np.clip(2 * (s - self.edges[panel]) / self.width - 1, -1.0, 1.0)

    @staticmethod
    def _evaluate(series: Array, x: Array) -> Array:
        return np.asarray(np.polynomial.chebyshev.chebval(x, np.moveaxis(series, -1, 0), tensor=False))

    def pdf(self, s: Array) -> Array:
        panel, x = self._place(s)
        inside = (s >= self.edges[0]) & (s <= self.edges[-1])
        return np.where(inside, self._evaluate(self._series[panel], x), 0.0)

    def cdf(self, s: Array) -> Array:
        panel, x = self._place(s)
        return np.clip(self._before[panel] + self._evaluate(self._integral[panel], x), 0.0, 1.0)

    def sf(self, s: Array) -> Array:
        panel, x = self._place(s)
        return np.clip(self._after[panel] - self._evaluate(self._integral[panel], x), 0.0, 1.0)

    def ppf(self, q: Array) -> Array:
        from ....solvers import increasing_root

        panel = np.clip(np.searchsorted(self._before, q, side="right") - 1, 0, _PANELS - 1)

        def excess(s: Array) -> tuple[Array, Array]:
            x = np.clip(2 * (s - self.edges[panel]) / self.width - 1, -1.0, 1.0)
            value = self._before[panel] - q + self._evaluate(self._integral[panel], x)
            return value, np.maximum(self._evaluate(self._series[panel], x), 0.0)

        root = increasing_root(excess, self.edges[panel], self.edges[panel + 1]).root
        return np.where(q <= 0, -np.inf, np.where(q >= 1, np.inf, root))


class FinalKernel:
    """Theta_inf = sqrt((kap A)^2 + Gam^2) with ln Gam of the law of s; eq. (18)."""

    def __init__(self, flow: Flow, mean: float, spread: float) -> None:
        self._flow, self._mean, self._spread = flow, mean, spread
        self._law = LogGeometricMean(flow.law)

    def _log_kernel(self, x: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """s and Gam where the final kernel is x, and where there is any."""
        unit, target = self._flow.kernel_unit, self._flow.target
        x = x / unit
        above = x > target
        kernel = np.sqrt(np.where(above, (x - target) * (x + target), 1.0))
        return np.log(kernel) - self._flow.log_kernel, kernel, above

    def pdf(self, x: Array) -> Array:
        s, kernel, above = self._log_kernel(x)
        return np.where(above, self._law.pdf(s) * x / (kernel * self._flow.kernel_unit) ** 2, 0.0)

    def cdf(self, x: Array) -> Array:
        s, _, above = self._log_kernel(x)
        return np.where(above, self._law.cdf(s), 0.0)

    def sf(self, x: Array) -> Array:
        s, _, above = self._log_kernel(x)
        return np.where(above, self._law.sf(s), 1.0)

    def ppf(self, q: Array) -> Array:
        s = self._law.ppf(q)
        return self._flow.kernel_unit * np.hypot(self._flow.target, np.exp(self._flow.log_kernel + s))

    def mean(self) -> float:
        return self._mean

    def std(self) -> float:
        return self._spread
