"""How values at several sizes become one number with its error: in the limit, of a step, as an exponent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .estimates import estimate, extrapolate

Array = NDArray[np.float64]


class Limit(NamedTuple):
    """One number for each cell (arrays of one shape).

    Attributes
    ----------
    mean : ndarray
    error : ndarray
        A standard error; of a law that is `bounded` the largest deviation of a correct theory.
    freedom : ndarray
        Degrees of freedom of a standard error, else inf.
    slope : ndarray
        What the law found beside the limit; NaN if there is none.
    """

    mean: Array
    error: Array
    freedom: Array
    slope: Array


class Law(Protocol):
    """A rule for values with a last axis over networks, by size.

    Attributes
    ----------
    bounded : bool
        Whether the error is a bound and not a standard deviation.
    """

    @property
    def bounded(self) -> bool: ...

    def limit(self, runs: Mapping[int, Array]) -> Limit: ...

    def __str__(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class InverseSize:
    """The mean over networks; of several sizes extrapolated by mean(d) = limit + a/d."""

    bounded = False

    def limit(self, runs: Mapping[int, Array]) -> Limit:
        """Mean and standard error."""
        estimates = {d: estimate(samples) for d, samples in runs.items()}
        if len(estimates) > 1:
            found, slope = extrapolate(estimates, {d: samples.shape[-1] for d, samples in runs.items()})
            return Limit(*found, slope)
        (only,) = estimates.values()
        return Limit(*only, np.full(only.mean.shape, np.nan))

    def __str__(self) -> str:
        return "means extrapolated to 1/d = 0 by the law mean(d) = limit + a/d"


@dataclasses.dataclass(frozen=True)
class StepSize:
    """The limit of infinitely many steps of an integrator, d being their number: no chance, but an error of its own.

    value(d) = limit + a/d^order + b/d^(order + 1) + ..., with as many terms as sizes.  The error is what the smallest
    number of steps changes in the limit, the largest over all cells, and the rounding of all steps.
    """

    order: int
    bounded = True

    def limit(self, runs: Mapping[int, Array]) -> Limit:
        """Limit and the error of the integrator."""
        steps = sorted(runs)
        values = np.stack([np.mean(runs[d], axis=-1) for d in steps])
        last, slope = self._extrapolated(steps, values)
        error = np.zeros(last.shape)
        if len(steps) > 1:
            change = np.abs(last - self._extrapolated(steps[1:], values[1:])[0])
            error += np.max(change) + steps[-1] * np.finfo(np.float64).eps * np.max(np.abs(values))
        return Limit(last, error, np.full(last.shape, np.inf), slope)

    def _extrapolated(self, steps: list[int], values: Array) -> tuple[Array, Array]:
        if len(steps) == 1:
            return values[0], np.full(values[0].shape, np.nan)
        ratios = steps[-1] / np.array(steps, dtype=np.float64)
        powers = [0, *range(self.order, self.order + len(steps) - 1)]
        found = np.linalg.solve(ratios[:, None] ** powers, values.reshape(len(steps), -1)).reshape(values.shape)
        return found[0], found[1] * float(steps[-1]) ** self.order

    def __str__(self) -> str:
        return (f"d steps from one time to the next, extrapolated by value(d) = limit + a/d^{self.order} + "
                f"b/d^{self.order + 1}; the error is what the fewest steps change in the limit, and rounding")


@dataclasses.dataclass(frozen=True)
class Exponent:
    """The slope of values, logarithms of a quantity, against ln d; a correct exponent is at most `tolerance` off."""

    tolerance: float
    bounded = True

    def limit(self, runs: Mapping[int, Array]) -> Limit:
        """Slope by least squares of the means; the error is the tolerance."""
        sizes = sorted(runs)
        x = np.log(np.array(sizes, dtype=np.float64))
        means = np.stack([np.mean(runs[d], axis=-1) for d in sizes], axis=-1)
        slope = means @ (x - np.mean(x)) / np.sum((x - np.mean(x)) ** 2)
        return Limit(slope, np.full(slope.shape, self.tolerance), np.full(slope.shape, np.inf),
                     np.full(slope.shape, np.nan))

    def __str__(self) -> str:
        return f"slopes of means against ln d, which must be within {self.tolerance:g} of the exponents"


@dataclasses.dataclass(frozen=True)
class Within:
    """The mean over the networks of one size, which must be at most `tolerance` off."""

    tolerance: float
    bounded = True

    def limit(self, runs: Mapping[int, Array]) -> Limit:
        """Mean; the error is the tolerance."""
        (samples,) = runs.values()
        mean = np.mean(samples, axis=-1)
        return Limit(mean, np.full(mean.shape, self.tolerance), np.full(mean.shape, np.inf),
                     np.full(mean.shape, np.nan))

    def __str__(self) -> str:
        return f"means must be within {self.tolerance:g} of the theory"


INVERSE_SIZE = InverseSize()
