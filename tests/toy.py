"""A theory small enough to be solved by hand, with parameters and observables of every kind."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np

from asymptotics.errors import AccuracyWarning, ParameterError
from asymptotics.parameters import observable, parameter
from asymptotics.problem import Prediction, Problem


class ToyPrediction(Prediction):
    test_error = observable("test error", symbol=r"E_\mathrm{test}", undefined="inf at alpha = 1, lam = 0")
    fit_error = observable("error of the fit", symbol=r"E_\mathrm{fit}")
    noise_error = observable("error by noise", symbol=r"E_\mathrm{noise}")
    floor = observable("best error", symbol=r"E_0")
    spectrum = observable("error per degree", symbol="s_k", dims=("degree",))


class Toy(Problem):
    """test_error = fit_error + noise_error with fit_error = scale / (alpha + lam), noise_error = lam + shift."""

    slug: ClassVar[str] = "toy"
    title: ClassVar[str] = "A toy"
    source: ClassVar[str] = "Nobody (1900)"
    prediction: ClassVar[type[Prediction]] = ToyPrediction
    table_parameters: ClassVar[tuple[str, ...]] = ("shift",)

    alpha: Any = parameter("samples per dimension, n/d", symbol=r"\alpha", above=0)
    lam: Any = parameter("ridge penalty", symbol=r"\lambda", low=0)
    shift: Any = parameter("shift of the error", symbol=r"\eta", default=0.0, low=-1, below=10)
    n: Any = parameter("number of samples", symbol="n", kind="size", low=1, default=None)
    activation: Any = parameter("activation", symbol=r"\sigma", kind="nonlinearity", default="tanh")
    levels: Any = parameter("levels", symbol="u", kind="vector", default=(1.0, 2.0))
    weights: Any = parameter("weights", symbol="W", kind="matrix", default=None)
    model: str = parameter("model", symbol="", kind="choice", choices=("sum", "double"), default="sum")
    exact: bool = parameter("whether exact", symbol="", kind="flag", default=True)

    def _validate(self) -> None:
        if len(self.levels) > 3:
            raise ParameterError("levels", f"must have at most 3 values, got {len(self.levels)}")

    def optimal_ridge(self) -> Toy:
        """The penalty that minimises the test error: sqrt(scale) - alpha."""
        alpha = self.alpha
        lam = np.maximum(np.sqrt(self._scale) - alpha, 0.0)
        return self.replace(lam=lam + 0 * self.shift)

    @property
    def _scale(self) -> float:
        return 4.0 if self.model == "double" else 2.0

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        alpha, lam, shift = (self.cells.arrays[name] for name in ("alpha", "lam", "shift"))
        singular = (alpha == 1) & (lam == 0)
        if np.any(singular):
            warnings.warn("the test error diverges at alpha = 1, lam = 0", AccuracyWarning, stacklevel=4)
        fit = np.where(singular, np.inf, self._scale / (alpha + lam))
        noise = lam + shift
        solved = {
            "test_error": fit + noise + 1e-9 / refinement,
            "fit_error": fit,
            "noise_error": noise,
            "floor": np.array(0.25),
            "spectrum": (fit + noise)[..., None] * self.levels,
            "converged": alpha != 13,
            "residual": 1e-16 * alpha,
        }
        return {name: solved[name] for name in (*observables, "converged", "residual")}
