"""The loss of a sample as a function of the coefficient F, its force -dL/dF and its minimum; equations (1) and (2).

Equations are numbered as in docs/theories/linear_network_loss.md.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from ....errors import ParameterError
from ....gaussian import Nonlinearity
from ....gaussian.derivatives import derivatives
from ....gaussian.quadrature import gauss_legendre
from ..exact import Array

POINTS = 1 << 18  # values of the nonlinearity that are held at once
CANCELS = 0.05  # forces smaller than this part of their terms may be had more accurately from the curvature
FEW, MANY = gauss_legendre(8), gauss_legendre(16)
UNDERFLOWN = 1e-250
FARTHEST = 1e280
ARRIVED = 1e-280  # what is smaller has lost digits to underflow
EPS = float(np.finfo(np.float64).eps)


class SampleLoss:
    """mean_i l(a_i F + b_i), without the factor of the loss.

    Parameters
    ----------
    loss : Nonlinearity
        l, smooth and convex.
    x, y : ndarray (n,)
    argument : str
        "margin" for y_i F x_i, "residual" for F x_i - y_i.

    Attributes
    ----------
    minimiser : float
        Where the mean is smallest; infinite if it decreases for ever.

    Raises
    ------
    ParameterError
        If l has kinks or is not convex, or F does not matter.
    """

    def __init__(self, loss: Nonlinearity, x: Array, y: Array, argument: str) -> None:
        if loss.kinks:
            raise ParameterError("loss_function", f"must be smooth, got {loss.text:.60}, which has kinks; "
                                 "softplus(k*x)/k is a smooth relu(x)")
        self._loss = derivatives(loss)
        self._a, self._b = (x * y, np.zeros(x.size)) if argument == "margin" else (x, -y)
        self._largest = float(np.max(np.abs(self._a)))
        if not self._largest > 0:
            raise ParameterError("x", "must not be zero for all samples" if argument == "residual"
                                 else "and y must not have only zero products")
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # far out
            _require_convex(loss, self._loss.second)
            self.minimiser = self._find_minimiser()

    @property
    def length(self) -> float:
        """The change of F that changes the argument of one sample by one, and those of the others by less."""
        return 1 / self._largest

    def value(self, F: Array) -> Array:
        """mean l(a F + b)."""
        return self._mean(lambda own: self._loss.value(self._a * own + self._b), F)

    def force(self, F: Array) -> Array:
        """-mean a l'(a F + b)."""
        return -self._mean(lambda own: self._a * self._loss.first(self._a * own + self._b), F)

    def stiffness(self, left: Array) -> Array:
        """The mean curvature between F and the minimiser: force/left, left = minimiser - F with all its digits.

        The quotient itself, or by quadrature over the curvature: whichever is more accurate.
        """
        a, b = self._a, self._a * self.minimiser + self._b
        arrived = np.abs(left) < ARRIVED
        safe = np.where(arrived, 1.0, left)
        force = -self._mean(lambda own: a * self._loss.first(b - a * own), left)
        slopes = self._mean(lambda own: np.abs(a * self._loss.first(b - a * own)), left)
        rounding = self._mean(lambda own: self._loss.second(b - a * own) * np.abs(a) * np.abs(self._b), left)
        stiffness, error = force / safe, EPS * (slopes + rounding) / np.abs(safe)
        near = (EPS * np.abs(stiffness) <= CANCELS * error) | arrived
        if np.any(near):
            few, many = (self._mean_curvature(left[near], *rule) for rule in (FEW, MANY))
            better = np.abs(many - few) <= np.maximum(error[near], 4 * EPS * np.abs(many))
            stiffness[near] = np.where(better | arrived[near], many, stiffness[near])
        return stiffness

    def _mean_curvature(self, left: Array, nodes: Array, weights: Array) -> Array:
        a, b = self._a, self._a * self.minimiser + self._b
        points = 0.5 * left[:, None] * (1 + nodes)
        return self._mean(lambda own: a * a * self._loss.second(b - a * own), points) @ (0.5 * weights)

    def _mean(self, terms: Callable[[Array], Array], points: Array) -> Array:
        """Means over the samples of terms (points, samples) of points (points, 1), some at a time."""
        flat, means = np.ravel(points), np.empty(np.size(points))
        length = max(1, POINTS // self._a.size)
        for start in range(0, flat.size, length):
            with np.errstate(over="ignore", invalid="ignore"):
                means[start:start + length] = np.mean(terms(flat[start:start + length, None]), axis=1)
        return means.reshape(np.shape(points))

    # ---- the minimum

    def _pull(self, F: float) -> float:
        """The force, with its sum rounded once."""
        terms = -self._a * self._loss.first(self._a * F + self._b)
        if not np.all(np.isfinite(terms)):
            return float(np.sum(terms))
        return math.fsum(terms.tolist())

    def _find_minimiser(self) -> float:
        at_zero = self._pull(0.0)
        if at_zero == 0 and self._pull(self.length) * self._pull(-self.length) < 0:
            return 0.0
        if at_zero == 0:
            self._refuse_flat(0.0)
        side = math.copysign(1.0, at_zero)
        near, far = 0.0, side * self.length
        while side * self._pull(far) > 0:
            near, far = far, 2 * far
            if abs(far) > FARTHEST * self.length or abs(far) > FARTHEST:
                return side * math.inf
        if math.isnan(self._pull(far)):
            raise ParameterError("loss_function", f"{self._loss.text:.60} is not a number at F = {far:g}")
        if self._pull(far) == 0 and side * self._pull(2 * far) >= 0:
            return self._vanishing(near, far, at_zero, side)
        return _sign_change(lambda F: side * self._pull(F), near, far)

    def _vanishing(self, near: float, far: float, at_zero: float, side: float) -> float:
        """The force is exactly zero from somewhere on: it underflows, or the loss is flat."""
        edge = _sign_change(lambda F: 1.0 if self._pull(F) != 0 else -1.0, near, far)
        if abs(self._pull(edge - side * 1e-6 * self.length)) > UNDERFLOWN * abs(at_zero):
            self._refuse_flat(edge)
        return side * math.inf

    def _refuse_flat(self, F: float) -> None:
        raise ParameterError("loss_function", "must have at most one minimum on these data, "
                             f"{self._loss.text:.60} is flat at F = {F:g}")


def _sign_change(f: Callable[[float], float], positive: float, negative: float) -> float:
    """Where f changes sign, by bisection down to neighbouring numbers."""
    while True:
        middle = 0.5 * (positive + negative)
        if middle in (positive, negative):
            return positive
        value = f(middle)
        if value == 0:
            return middle
        positive, negative = (middle, negative) if value > 0 else (positive, middle)


@functools.cache
def _convexity_points() -> Array:
    points = np.concatenate([np.linspace(0, 30, 1501), np.geomspace(30, 1000, 60)])
    return np.concatenate([-points[:0:-1], points])


def _require_convex(loss: Nonlinearity, second: Callable[[Array], Array]) -> None:
    """The second derivative is not negative, up to rounding, where it is sampled."""
    points = _convexity_points()
    curvature = second(points)
    known = np.isfinite(curvature)
    scale = np.max(np.abs(curvature[known & (np.abs(points) <= 30)]), initial=0.0)
    allowed = 1e-6 if type(loss).__name__ == "Wrapped" else 1e-13  # derivatives of callables are differences
    wrong = known & (np.where(known, curvature, 0.0) < -allowed * scale)
    if np.any(wrong):
        raise ParameterError("loss_function", f"must be convex, got {loss.text:.60}, whose second derivative is "
                             f"{curvature[wrong][0]:.3g} at {points[wrong][0]:.3g}")
