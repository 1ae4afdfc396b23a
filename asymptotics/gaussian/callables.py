"""Python callables as nonlinearities."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .nonlinearity import Nonlinearity
from .polynomials import differentiate, polynomial_value
from .quadrature import Array


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
        try:
            values = np.asarray(self.function(x), dtype=np.float64)
        except TypeError as error:
            raise ValueError(f"must be a vectorised callable, of arrays; got {self.text}: {error}") from None
        if values.shape != np.shape(x):
            raise ValueError(f"must return an array of the shape {np.shape(x)} of its argument, got {values.shape}")
        return values

    def slope(self, x: Array) -> Array:
        if self.given_derivative is not None:
            return np.asarray(self.given_derivative(x), dtype=np.float64)
        return numerical_slope(self.value, x, self.kinks, 0.02 * self.scale)

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


def numerical_slope(value: Callable[[Array], Array], x: Array, kinks: tuple[float, ...], step: float) -> Array:
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
        total += polynomial_value(basis, at) * value(centre + offset * h)
    return total / h


@functools.cache
def _lagrange_slopes() -> tuple[Array, ...]:
    """Derivatives of the Lagrange basis on -4..4, as polynomial coefficients."""
    offsets = np.arange(-4.0, 5.0)
    slopes = []
    for own in offsets:
        others = offsets[offsets != own]
        basis = np.polynomial.polynomial.polyfromroots(others) / np.prod(own - others)
        slopes.append(differentiate(basis))
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
