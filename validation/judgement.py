"""Rows of theory beside simulation, and a verdict that noise cannot win.

A row is one observable in one cell.  Of R rows that are judged, at `level` = 1 %:

* a row *fails* if |z| = |simulation - theory|/standard error exceeds the Student-t quantile that the largest of R
  correct rows exceeds with probability level/2;
* the whole fails too if the rms z exceeds what a correct theory exceeds with probability level/2;
* a row that does not fail is *inconclusive* if its standard error exceeds the stated fraction of the theory.

The error of some rows is no standard error but a bound (of an integrator, or a tolerance that is stated): such a row
fails if its deviation exceeds the bound, |z| > 1, and has no part in the rms.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .estimates import allowed_rms, allowed_z, gaussian_z

LEVEL = 0.01

PASSED, FAILED, INCONCLUSIVE, REPORTED = "passed", "failed", "inconclusive", "reported"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One observable in one cell.

    Attributes
    ----------
    setting : str
        What was simulated, in words.
    cell : dict of str to Any
        The parameters that vary, by name.
    group : Hashable
        Rows of one group come from the same networks and may fluctuate together.
    observable : str
    model : str
        Which theory, where several stand beside one simulation.
    bounded : bool
        Whether `standard_error` is the largest deviation of a correct theory.
    theory, simulation, standard_error, freedom : float
    networks : int
        How many, at the largest size.
    means : dict of int to float
        The mean at each size, if the simulation is extrapolated to infinite d.
    slope : float
        a of mean(d) = simulation + a/d; NaN without extrapolation.
    precision : float
        Largest allowed standard error in units of |theory|; inf where none is demanded.
    judged : bool
        False for a row that is shown only.
    """

    setting: str
    cell: Mapping[str, Any]
    group: Any
    observable: str
    theory: float
    simulation: float
    standard_error: float
    freedom: float
    networks: int
    means: Mapping[int, float] = dataclasses.field(default_factory=dict)
    slope: float = np.nan
    precision: float = np.inf
    judged: bool = True
    model: str = ""
    bounded: bool = False

    @property
    def deviation(self) -> float:
        """simulation - theory."""
        return self.simulation - self.theory

    @property
    def z(self) -> float:
        """Deviation in standard errors; 0 for exact agreement, however small the error; NaN without a theory."""
        if not np.isfinite(self.theory):
            return np.nan
        if self.standard_error == 0:
            return 0.0 if self.deviation == 0 else float(np.copysign(np.inf, self.deviation))
        return self.deviation / self.standard_error

    def relative(self, value: float) -> float:
        """A value in units of |theory|; NaN where that is not finite, or 0 (up to rounding beside the noise)."""
        known = np.isfinite(self.theory) and abs(self.theory) > 1e-9 * self.standard_error
        return value / abs(self.theory) if known else np.nan

    @property
    def imprecise(self) -> bool:
        """Whether the row is too noisy to say anything, or has no theory or no simulation."""
        if not np.isfinite(self.theory) or np.isnan(self.z):
            return True
        return self.relative(self.standard_error) > self.precision


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A verdict on rows, and the numbers behind it.

    Attributes
    ----------
    outcome : str
        "passed", "failed" or "inconclusive".
    allowed_z : tuple of float
        Largest allowed |z| of each row; 1 of those with a bound.
    rms_z, allowed_rms : float
        Root mean square of z, each z first replaced by the Gaussian quantile of the same probability (so that 1 is
        expected with any number of networks), and its largest allowed value; NaN if all rows have bounds.
    """

    outcome: str
    allowed_z: tuple[float, ...]
    rms_z: float
    allowed_rms: float


def judge(rows: Sequence[Row], level: float = LEVEL) -> Judgement:
    """The verdict on rows; a correct theory fails with probability at most `level`."""
    if not rows:
        return Judgement(INCONCLUSIVE, (), np.nan, np.nan)
    z, freedom = np.array([row.z for row in rows]), np.array([row.freedom for row in rows])
    random, known = np.array([not row.bounded for row in rows]), ~np.isnan(z)
    allowed = np.ones(len(rows))
    if np.any(random):
        allowed[random] = allowed_z(freedom[random], level / 2, int(np.count_nonzero(random)))
    counted = known & random
    rms = float(np.sqrt(np.mean(gaussian_z(z[counted], freedom[counted]) ** 2))) if np.any(counted) else np.nan
    groups = Counter(row.group for row, valid in zip(rows, counted.tolist(), strict=True) if valid)
    limit = allowed_rms(list(groups.values()), level / 2) if groups else np.nan
    if np.any(np.abs(z[known]) > allowed[known]) or rms > limit:
        outcome = FAILED
    elif any(row.imprecise for row in rows):
        outcome = INCONCLUSIVE
    else:
        outcome = PASSED
    return Judgement(outcome, tuple(allowed.tolist()), rms, limit)


@dataclasses.dataclass(frozen=True)
class Control:
    """A wrong theory beside the same simulation: it must be rejected."""

    name: str
    rows: tuple[Row, ...]
    judgement: Judgement

    @property
    def rejected(self) -> bool:
        """Whether the wrong theory fails."""
        return self.judgement.outcome == FAILED


def against(rows: Iterable[Row], wrong: Mapping[str, ArrayLike]) -> list[Row]:
    """The same simulation beside another theory, given by its values, one per cell, by observable."""
    remaining = {name: iter(np.ravel(values).tolist()) for name, values in wrong.items()}
    return [dataclasses.replace(row, theory=next(remaining[row.observable])) for row in rows
            if row.observable in remaining]
