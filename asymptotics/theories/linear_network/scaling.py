"""What can be asked of large widths: `LinearNetworkScaling`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ...errors import ParameterError
from ...parameters import Observable, parameter
from ...problem import Problem
from .exponents import GIVEN, PRESETS
from .mechanisms import THRESHOLD
from .phase_predictions import INFINITE, LinearNetworkScalingPrediction
from .phase_solution import solve_scaling
from .phases import LinearNetworkPhases
from .scaling_answers import at_width, boundaries, trainable, with_strength

Array = NDArray[np.float64]

_LARGEST = 1e6


def _exponent(meaning: str, symbol: str, default: Any = None, low: float | None = None) -> Any:
    return parameter(meaning, symbol=symbol, kind="rational", low=low, default=default)


class LinearNetworkScaling(Problem):
    """The phase of a linear network f(x) = gamma sum_i u_i w_i x whose hyper-parameters are powers of a scale n.

    p = n^c_p hidden units, gamma = n^-c_gamma, variances n^-c_u and n^-c_w of the initial weights, learning rates
    n^-e_u and n^-e_w of the two layers; target, inputs and loss do not scale.  Answers: the exponents x of everything
    that matters (quantity ~ n^x), and labels.  Ties are decided exactly for exponents that are integers, `Fraction`s or
    text ("1/2"), and up to 1e-12 max(1, largest exponent) for floating point numbers.

    With a width `p` also the self-averaged network of that width, whose hyper-parameters are exactly these powers.  A
    width of 1 (c_p = 0) has no area and is outside of the theory.
    """

    slug: ClassVar[str] = "linear-network-scaling"
    title: ClassVar[str] = "Phase diagram of linear networks in scaling exponents"
    source: ClassVar[str] = "arXiv:2401.07085; docs/theories/linear_network.md"
    prediction: ClassVar[type[LinearNetworkScalingPrediction]] = LinearNetworkScalingPrediction

    c_p: Any = _exponent("exponent of the width: p = n^c_p", "c_p", default=1, low=0)
    c_gamma: Any = _exponent("exponent of the output factor: gamma = n^-c_gamma", r"c_\gamma")
    c_u: Any = _exponent("exponent of the initial readout: Var u_i = n^-c_u", "c_u")
    c_w: Any = _exponent("exponent of the initial first layer: Var w_i = n^-c_w", "c_w")
    e_u: Any = _exponent("exponent of the learning rate of the readout: eta_u = n^-e_u", "e_u")
    e_w: Any = _exponent("exponent of the learning rate of the first layer: eta_w = n^-e_w", "e_w")
    correlated: bool = parameter(
        "whether u_i and w_i have a fixed correlation other than 0, 1, -1", kind="flag", default=False
    )
    preset: str | None = parameter(
        "a known parametrisation instead of the exponents", kind="choice", choices=tuple(PRESETS), default=None
    )
    p: Any = parameter("width of the finite network; null for exponents only", symbol="p", kind="size", low=2,
                       default=None)
    correlation: Any = parameter(
        "correlation of u_i and w_i at the width p, if correlated", symbol=r"\rho", above=-1, below=1, default=None
    )
    target_coefficient: Any = parameter("coefficient of the target at the width p", symbol="A", default=1.0)
    threshold: Any = parameter(
        "change of |cos| and of the kernel that counts as a mechanism at the width p", symbol=r"\delta", above=0,
        below=1, default=THRESHOLD,
    )

    @property
    def observables(self) -> Mapping[str, Observable]:
        declared = self.prediction.observables
        return declared if self.p is not None else {name: declared[name] for name in INFINITE}

    @property
    def exponents(self) -> dict[str, Any]:
        """The six exponents, those of the preset if there is one."""
        if self.preset is None:
            return {name: getattr(self, name) for name in GIVEN}
        return dict(zip(GIVEN, (self.c_p, *PRESETS[self.preset]), strict=True))

    def _validate(self) -> None:
        for name in GIVEN:
            given = getattr(self, name)
            if self.preset is not None and given is not None and not (name == "c_p" and np.array_equal(given, 1)):
                raise ParameterError(name, f"must not be given beside the preset {self.preset!r}")
            if self.preset is None and given is None:
                raise ParameterError(name, f"is required, or a preset ({self.parameters[name].meaning})")
            if given is not None and np.any(np.abs(self.cells.arrays[name]) > _LARGEST):
                raise ParameterError(name, f"must lie between {-_LARGEST:.0f} and {_LARGEST:.0f}")
        if self.preset is not None and self.correlated:
            raise ParameterError("correlated", f"must not be given beside the preset {self.preset!r}")
        rho = self.cells.arrays.get("correlation")
        if rho is not None and not self.correlated and np.any(rho != 0):
            raise ParameterError("correlation", "must be 0 or null unless correlated is true")
        if self.correlated and rho is not None and np.any(rho == 0):
            raise ParameterError("correlation", "must not be 0 if correlated is true")
        if self.correlated and self.p is not None and rho is None:
            raise ParameterError("correlation", "is required at a width p if correlated is true")

    def boundaries(
        self, x: str, y: str, window: Sequence[Sequence[float]] | None = None
    ) -> dict[str, Array]:
        """Boundary lines in the plane of two exponents, the others as in this problem.

        Parameters
        ----------
        x, y : str
            Two exponents; one value of each other one.
        window : two pairs of float, optional
            (low, high) of x and of y; by default the range of their values in this problem.

        Returns
        -------
        dict of str to ndarray (S, 2, 2)
            End points of the segments: "x_chi" between kernel regime and feature learning (on the line, feature
            learning of order one), "x_inf" where training takes a time of order one (one side frozen, the other
            unstable), "disalignment" the exceptional line Delta = 0 inside of the kernel regime, if correlated.
        """
        return boundaries(self, x, y, window)

    def trainable(self) -> Self:
        """The same problem with both rates times the power of n that makes training take a time of order one.

        x_inf becomes 0; x_chi and all labels but `time_label` stay.
        """
        return trainable(self)

    def with_strength(self, x_chi: Any = 0, by: str = "c_gamma", lead: str = "readout") -> Self:
        """The same problem at this exponent of the feature-learning strength; eq. (23).

        Parameters
        ----------
        x_chi : number or array_like
            0 for feature learning of order one; its axes join those of the other parameters.
        by : str
            What is changed: "c_gamma", or "rates", e_u - e_w at the same e_u + e_w.
        lead : str
            By rates: the layer whose training makes more of the kernel, "readout" or "first_layer".

        Returns
        -------
        Problem
            Often not trainable in a time of order one: see `trainable`.

        Warns
        -----
        AccuracyWarning
            If no rates reach this strength in some cells; balanced ones stand for them.
        """
        return with_strength(self, x_chi, by, lead)

    def at_width(self, p: Any = None, **factors: Any) -> LinearNetworkPhases:
        """The network of a finite width with these exponents, by its hyper-parameters.

        Parameters
        ----------
        p : int or array_like, optional
            Hidden units; by default `p` of this problem.
        **factors : float or array_like
            Prefactors of `gamma`, `var_u`, `var_w`, `eta_u` and `eta_w`; 1 by default.

        Returns
        -------
        LinearNetworkPhases
        """
        return at_width(self, p, factors)

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        none = (1,) * len(self.shape)
        arrays = self.cells.arrays
        given = {name: arrays[name] for name in GIVEN} if self.preset is None else {
            name: np.asarray(value).reshape(none) for name, value in self.exponents.items()}
        width = None if self.p is None else {
            name: arrays.get(name, np.zeros(none)) for name in ("p", "correlation", "target_coefficient", "threshold")}
        return solve_scaling(self.shape, given, self.correlated, width, observables)
