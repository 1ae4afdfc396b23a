"""From a problem to its observables: the steps of its cells, the level that describes them, singular cells."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import AccuracyWarning
from .finite_rank import solve_finite_rank
from .full_solution import solve_full
from .limit import limiting_step, solve_limit
from .spectrum import OUTLIERS, solve_spectrum
from .step import Readouts, Step, TargetMoments, direction_norm_squared, step_of, target_moments

if TYPE_CHECKING:
    from .problem import PolynomialSpikes

Array = NDArray[np.float64]
Index = NDArray[np.intp]

COEFFICIENTS = 24  # degrees of the teacher that spikes can carry
RIDGELESS = 1e-13  # stands for no ridge where the resolvent has no limit, in units of E sigma^2
LARGE_STEP, LARGE_RESIDUAL = 0.05, 0.35
ERRORS = ("test_error", "generalization_error", "ridge_objective", "train_error", "overlaps")
SPECTRUM = ("singular_values", "bulk_edge", "spike_composition")
FIRST_LAYER = ("weight_singular_value", "weight_alignment", "weight_readout_alignment")


def solve(problem: PolynomialSpikes, observables: Sequence[str], refinement: int) -> dict[str, Any]:
    """Observables of all cells, "converged" and "residual"."""
    target = target_moments(problem.link, COEFFICIENTS)
    asked = {"overlaps" if name == "learned_fraction" else name for name in observables}
    errors = [name for name in ERRORS if name in asked]
    cells = Cells.of(problem)
    if problem.level == "limit":
        answer = _limit(problem, target, cells, errors)
    else:
        answer = _at_a_step(problem, target, cells, errors, asked, refinement)
    if "overlaps" in answer:
        answer["learned_fraction"] = _fractions(answer["overlaps"], target)
    return {name: values.reshape(problem.shape + values.shape[1:]) for name, values in answer.items()
            if name in observables or name in ("converged", "residual")}
