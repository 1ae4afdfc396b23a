"""Laws at a time where one layer starts at zero: everything is a monotone function of the norm of the other one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ....solvers import increasing_root

Array = NDArray[np.float64]


class FromRadius:
    """value(s) with p e^s of the chi-square law with p degrees of freedom.

    Parameters
    ----------
    value : callable
        Monotone.
    rises : bool
    p : int
    window : tuple of float
        s beyond which there is nothing.
    moments : tuple of float
        Mean and standard deviation.
    """

    def __init__(
        self, value: Callable[[Array], Array], rises: bool, p: int, window: tuple[float, float],
        moments: tuple[float, float],
    ) -> None:
        self._value, self._sign, self._p, self._window, self._moments = value, 1 if rises else -1, p, window, moments

    def _s(self, x: Array) -> Array:
        """s at which the value is x; the ends of the window beyond."""
        def excess(s: Array) -> tuple[Array, Array]:
            h = 1e-6
            here, ahead, behind = (self._value(s + shift) for shift in (0.0, h, -h))
            return self._sign * (here - x), self._sign * (ahead - behind) / (2 * h)

        low, high = (np.full(x.shape, edge) for edge in self._window)
        below, above = self._sign * (self._value(low) - x) > 0, self._sign * (self._value(high) - x) < 0
        root = increasing_root(excess, low, high).root
        return np.where(below, -np.inf, np.where(above, np.inf, root))

    def _left(self, x: Array) -> Array:
        """Pr(s <= s(x))."""
        from scipy import special

        return special.gammainc(0.5 * self._p, 0.5 * self._p * np.exp(np.minimum(self._s(x), 700.0)))

    def pdf(self, x: Array) -> Array:
        """By differences of the distribution function."""
        h = 1e-4 * np.abs(x)
        near, far = (self.cdf(x + k * h) - self.cdf(x - k * h) for k in (1, 2))
        return np.where(x != 0, (8 * near - far) / np.where(x != 0, 12 * h, 1.0), 0.0)

    def cdf(self, x: Array) -> Array:
        return self._left(x) if self._sign > 0 else 1 - self._left(x)

    def sf(self, x: Array) -> Array:
        return 1 - self.cdf(x)

    def ppf(self, q: Array) -> Array:
        from scipy import special

        level = q if self._sign > 0 else 1 - q
        return self._value(np.log(2 * special.gammaincinv(0.5 * self._p, level) / self._p))

    def mean(self) -> float:
        return self._moments[0]

    def std(self) -> float:
        return self._moments[1]
