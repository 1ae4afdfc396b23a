"""What can be asked: `SpikedRandomFeatures` (weights given) and `GiantStep` (weights made by one gradient step)."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import AccuracyWarning, ParameterError
from ...parameters import Observable, Parameter, parameter
from ...problem import Problem
from ...search import optimal_ridge
from ...spectra import RowCovariance
from .gradient_step import SpikeParameters, first_coefficients, spike_parameters
from .group_solution import MATRICES, VECTORS, solve_group_cells
from .prediction import GiantStepPrediction, ReadoutPrediction, SpikedRandomFeaturesPrediction
from .readout_levels import MOST_LEVELS, excess, excess_in_words
from .ridgeless import AT_THRESHOLD, NO_LIMIT, solve_with_limits
from .row_norms import normed_step_curves
from .solution import CellValues, solve_cells
from .step_curve import step_curves

if TYPE_CHECKING:
    import xarray as xr

    from .concrete import ConcreteFeatures

Array = NDArray[np.float64]

BLOCK_CELLS = 1 << 17
_GIVEN = ("spike_strength", "bulk_variance", "alignment", "best_linear_error", "isotropic_gap")
_GROUPED = {
    **dict.fromkeys((*VECTORS, "bulk_variance"), ("group",)), **dict.fromkeys(MATRICES, ("group", "group_2"))
}


class _RidgeReadout(Problem):
    """A ridge readout on the features of a first layer with a spike."""

    prediction: ClassVar[type[ReadoutPrediction]] = ReadoutPrediction

    activation: Any = parameter(
        "activation of the hidden units", symbol=r"\sigma", kind="nonlinearity"
    )
    target: Any = parameter(
        "single-index target, y = target(<theta, x>) + noise", symbol=r"\sigma_\star", kind="nonlinearity"
    )
    alpha: Any = parameter("samples of the readout per input dimension, n/d", symbol=r"\alpha", above=0)
    beta: Any = parameter("hidden units per input dimension, p/d", symbol=r"\beta", above=0, default=1.0)
    lam: Any = parameter(
        "ridge penalty: minimise sum (y - F w/sqrt(p))^2 + lam |w|^2", symbol=r"\lambda", low=0
    )
    noise_var: Any = parameter("variance of the label noise", symbol=r"\sigma_\varepsilon^2", low=0, default=0.0)
    n_finite: Any = parameter(
        "sample size in the leading finite-size correction; null for the limit", symbol="n", kind="size", low=1,
        default=None,
    )
    readout_levels: Any = parameter(
        "initial readouts times sqrt(p), one per group of neurons; with several, m, th, psi, q2, V2 (and the bulk "
        "variance) have the axis group, q1 and V1 two", symbol="u", kind="vector", default=(1.0,)
    )
    readout_fractions: Any = parameter(
        "fractions of neurons that have the readout levels", symbol=r"\pi", kind="vector", above=0, default=(1.0,)
    )

    @classmethod
    def _several(cls, given: Mapping[str, Any]) -> bool:
        """Whether several readout levels are given."""
        declared = cls.parameters["readout_levels"]
        return len(declared.canonical("readout_levels", given.get("readout_levels", declared.default))) > 1

    @property
    def _levels(self) -> int:
        return len(self.readout_levels)

    @property
    def _fractions(self) -> Array:
        return self.readout_fractions / np.sum(self.readout_fractions)

    @property
    def observables(self) -> Mapping[str, Observable]:
        declared = self.prediction.observables
        if self._levels == 1:
            return declared
        return {name: one.along(*_GROUPED.get(name, ())) for name, one in declared.items()}

    @property
    def axis_labels(self) -> Mapping[str, Array]:
        return {"group": self.readout_levels, "group_2": self.readout_levels} if self._levels > 1 else {}

    def _validate(self) -> None:
        if self._levels > MOST_LEVELS:
            raise ParameterError("readout_levels", f"must have at most {MOST_LEVELS} values, got {self._levels}")
        count, total = len(self.readout_fractions), float(np.sum(self.readout_fractions))
        if count != self._levels:
            raise ParameterError(
                "readout_fractions", f"must have one value per readout level ({self._levels}), got {count}"
            )
        if abs(total - 1) > 1e-9:
            raise ParameterError("readout_fractions", f"must add up to 1, got {total:.12g}")
        if self.activation.slope_variance() == 0 and first_coefficients(self.activation)[1] == 0:
            raise ParameterError("activation", f"must not be constant, got {self.activation}")

    def _spikes(self) -> tuple[tuple[int, ...], SpikeParameters]:
        """Shape of the table parameters among themselves, and (r, c, gamma) of each table."""
        raise NotImplementedError

    def _covariance(self, refinement: int) -> RowCovariance | None:
        """Row covariances of the bulk of every table; None if isotropic."""
        return None

    def optimal_ridge(self) -> Self:
        """The same problem with `lam` replaced, in every cell, by the one that minimises the test error.

        Returns
        -------
        Problem
            `lam` spans the remaining cells; it is 0 where no ridge is best.

        Warns
        -----
        AccuracyWarning
            If the best ridge is infinite in some cells (there a large one stands for it).

        Notes
        -----
        A scan over log lam brackets the global minimum, which Chebyshev interpolation then refines; a given `lam` is
        ignored, and its axes are dropped if no other parameter has them.
        """
        return optimal_ridge(self, self.activation.second_moment())

    def learned_components(self, degree: int = 8) -> xr.Dataset:
        """Hermite components of the target and of the mean prediction along the spike, and across it.

        With kappa = <v, x> along the spike, tau across it, and fbar(kappa) the mean prediction; eqs. (9), (17), (19) of
        docs/theories/giant_step.md.

        Parameters
        ----------
        degree : int
            The highest, at most 100.

        Returns
        -------
        xarray.Dataset
            Over the cells and the axis `degree`: `target_spike`, E[h h_k] = gamma^k t_k, and `network_spike`,
            E[fbar h_k], whose squared differences add up to `spike_error`; `target_orthogonal`,
            E[tau target h_k] = sqrt(k + 1) gamma^k rho t_{k+1}, and `network_orthogonal`, psi E[mu1 h_k]: the part that
            is linear in tau; `converged`.  NaN where a cell did not converge.

        Raises
        ------
        ParameterError
            If the degree is not a whole number in range.

        Warns
        -----
        AccuracyWarning
            As `solve`.
        """
        from .answers import learned_components

        return learned_components(self, degree)

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        cells = self.cells
        table_shape, spikes = self._spikes()
        covariance = self._covariance(refinement)
        several = spikes.strength.size > 1
        known = self.observables
        table = np.broadcast_to(np.arange(spikes.strength.size).reshape(table_shape), cells.shape).reshape(-1)
        order = np.argsort(table, kind="stable") if several else None  # cells of one table in one block
        names = [name for name in observables if name not in _GIVEN]
        outputs: dict[str, Array] = {
            name: np.empty((cells.size, *(self._levels for _ in known[name].dims))) for name in names
        }
        outputs["residual"], outputs["converged"] = np.empty(cells.size), np.zeros(cells.size, dtype=bool)
        at_threshold = divergent = excessive = 0
        largest = 0.0
        for begin in range(0, cells.size, BLOCK_CELLS):
            block = np.arange(begin, min(begin + BLOCK_CELLS, cells.size))
            block = block if order is None else order[block]
            used, local = np.unique(table[block], return_inverse=True) if several else (table[:1], table[block])
            values = self._cell_values(block, local)
            bulks = None if covariance is None else covariance.rows(used)
            solve = self._solver(spikes.at(used), bulks, names, refinement)
            limits = solve_with_limits(solve, self.activation, values, names, pins=self._levels == 1)
            if self._levels > 1:
                ratio = excess(limits.observables, values)
                excessive += int(np.count_nonzero(ratio > 1))
                largest = max(largest, float(np.max(ratio, initial=0.0)))
            at_threshold += int(np.count_nonzero(limits.at_threshold))
            divergent += int(np.count_nonzero(limits.divergent))
            for name in outputs:
                outputs[name][block] = limits.observables[name]
        if covariance is not None:
            outputs["converged"] = np.logical_and(outputs["converged"], covariance.converged[table])
        for count, words in (
            (at_threshold, AT_THRESHOLD),
            (divergent, NO_LIMIT),
            (excessive, excess_in_words(largest, self.n_finite is None)),
        ):
            if count:
                warnings.warn(f"{count} of {cells.size} cells {words}", AccuracyWarning, stacklevel=4)
        answer: dict[str, Any] = {
            name: array.reshape(cells.shape + array.shape[1:]) for name, array in outputs.items()
        }
        full = [
            np.broadcast_to(array.reshape(table_shape + array.shape[1:]), cells.shape + array.shape[1:])
            for array in spikes
        ]
        answer.update(spike_strength=full[0], bulk_variance=full[1], alignment=full[2])
        answer["best_linear_error"] = self._best_linear_error(cells.arrays["noise_var"])
        return answer

    def _solver(
        self, spikes: SpikeParameters, covariance: RowCovariance | None, names: list[str], refinement: int
    ) -> Callable[[CellValues], dict[str, Array]]:
        """What solves cells of these tables."""
        if self._levels == 1:
            return lambda cells: solve_cells(
                self.activation, self.target, spikes, cells, names, refinement, covariance
            )
        others = {*names, "m"} - {"chi"}  # without norm fluctuations
        return lambda cells: {"chi": np.zeros(cells.alpha.size)} | solve_group_cells(
            self.activation, self.target, spikes, self.readout_levels, self._fractions, cells, others, refinement
        )

    def _cell_values(self, block: NDArray[np.intp], table: NDArray[np.intp]) -> CellValues:
        values = {name: _pick(array, self.cells.shape, block) for name, array in self.cells.arrays.items()}
        norm_variance = values.get("row_norm_variance")
        if norm_variance is not None and not np.any(norm_variance):
            norm_variance = None
        return CellValues(
            table, values["alpha"], values["beta"], values["lam"], values["noise_var"],
            norm_variance=norm_variance, n_finite=values.get("n_finite"),
        )

    def _best_linear_error(self, noise_var: Array) -> Array:
        t0, t1, _ = first_coefficients(self.target)
        return self.target.second_moment() - t0**2 - t1**2 + noise_var


class SpikedRandomFeatures(_RidgeReadout):
    """Ridge readout on spiked random features sigma(W x), W = r 1 v^T + bulk with independent isotropic rows.

    With F = sigma(X W^T) (n x p), the readout minimises

        sum_mu (y_mu - F_mu . w/sqrt(p))^2 + lam |w|^2

    over w, and predicts f(x) = sigma(W x) . w/sqrt(p); y = target(<theta, x>) + noise, x ~ N(0, I_d), |theta| = 1.
    With `readout_levels` u and `readout_fractions` the spike of neuron i is r u_i; with several levels `bulk_variance`
    may have one value for each.
    n, p, d -> infinity at fixed alpha = n/d, beta = p/d.  Exact in that limit.  `spike_strength = 0` is ordinary random
    features.
    """

    slug: ClassVar[str] = "spiked-random-features"
    title: ClassVar[str] = "Spiked random features"
    source: ClassVar[str] = "arXiv:2402.04980; docs/theories/giant_step.md"
    prediction: ClassVar[type[ReadoutPrediction]] = SpikedRandomFeaturesPrediction
    table_parameters: ClassVar[tuple[str, ...]] = ("spike_strength", "bulk_variance", "alignment")

    spike_strength: Any = parameter("size r of the rank-one part r 1 v^T of the weights", symbol="r")
    bulk_variance: Any = parameter(
        "squared norm c of the rows of the bulk of the weights", symbol="c", above=0, default=1.0
    )
    alignment: Any = parameter(
        "overlap gamma = <v, theta> of spike and target direction", symbol=r"\gamma", low=-1, high=1
    )
    row_norm_variance: Any = parameter(
        "p times the variance of the squared row norms of the bulk: 2 beta c^2 for Gaussian rows, 0 for normalised",
        symbol=r"\kappa_\delta", low=0, default=0.0,
    )

    @classmethod
    def declarations(cls, given: Mapping[str, Any]) -> Mapping[str, Parameter]:
        """`bulk_variance` is a vector if there are several readout levels and it is neither a number nor labelled."""
        c = given.get("bulk_variance")
        listed = isinstance(c, list | tuple) or (isinstance(c, np.ndarray) and c.ndim > 0)
        if cls._several(given) and (listed or getattr(c, "dims", None) == ("group",)):
            vector = dataclasses.replace(cls.parameters["bulk_variance"], kind="vector")
            return {**cls.parameters, "bulk_variance": vector}
        return cls.parameters

    def _validate(self) -> None:
        super()._validate()
        if "bulk_variance" not in self.cells.arrays and len(self.bulk_variance) != self._levels:
            raise ParameterError(
                "bulk_variance",
                f"must be a number or one value per readout level ({self._levels}), got {len(self.bulk_variance)}",
            )
        if self._levels > 1 and np.any(self.cells.arrays["row_norm_variance"] > 0):
            raise ParameterError("row_norm_variance", "is derived for one readout level only, it must be 0 for several")

    def _spikes(self) -> tuple[tuple[int, ...], SpikeParameters]:
        names = tuple(name for name in self.table_parameters if name in self.cells.arrays)
        shape, arrays = self.cells.compact(names)
        values = dict(zip(names, map(np.ravel, arrays), strict=True))
        strength, alignment = values["spike_strength"], values["alignment"]
        if self._levels == 1:
            return shape, SpikeParameters(strength * self.readout_levels, values["bulk_variance"], alignment)
        c = values["bulk_variance"][:, None] if "bulk_variance" in values else self.bulk_variance
        return shape, SpikeParameters(strength, np.broadcast_to(c, (strength.size, self._levels)), alignment)

    @classmethod
    def from_weights(cls, W: ArrayLike, theta: ArrayLike, **parameters: Any) -> ConcreteFeatures:
        """The readout on the features of given weights, from anywhere; one eigen-decomposition, O(p^3).

        Parameters
        ----------
        W : array_like, shape (p, d)
            First-layer weights, one row per hidden unit.
        theta : array_like, shape (d,)
            Direction of the target, of norm 1.
        **parameters
            activation, target, alpha or the number of samples n, lam, noise_var (0), n_finite (null), and `row_norms`
            (True): whether fluctuations of the row norms are kept.

        Raises
        ------
        ParameterError
            If W is not a finite matrix whose rows differ, or theta not a unit vector of its input space.
        """
        from .concrete import concrete_features

        return concrete_features(W, theta, **parameters)


class GiantStep(_RidgeReadout):
    """Two-layer network after one gradient step with a large learning rate, then ridge regression of the readout.

    From rows w_i of norm 1 and readout u_i/sqrt(p), u_i = 1, one gradient step on the squared loss of n0 samples,

        w_i + (eta u_i/n0) sum_mu (y_mu - f0(x_mu)) sigma'(w_i . x_mu) x_mu,    f0(x) = (1/p) sum_i u_i sigma(w_i . x),

    (learning rate eta p on (1/2 n0) sum (y - f0)^2), then on n fresh samples, with F = sigma(X W^T),

        w = argmin sum_mu (y_mu - F_mu . w/sqrt(p))^2 + lam |w|^2,    f(x) = sigma(W x) . w/sqrt(p).

    y = target(<theta, x>) + noise, x ~ N(0, I_d), |theta| = 1; n0, n, p, d -> infinity at fixed ratios.

    `model`: "full_step" is the limit of trained networks; "exact_step" leaves out that row norms of the bulk of W
    fluctuate and follow the data of the step (errors usually within 0.5 %, order parameters more; see section 10 of
    docs/theories/giant_step.md); "isotropic" also replaces the covariance of the bulk by a multiple of the identity, as
    published (errors typically a few per cent off).

    With `readout_levels` and `readout_fractions` neurons have different u_i.  Several levels are solved in the
    "isotropic" model only, which is then the default.
    """

    slug: ClassVar[str] = "giant-step"
    title: ClassVar[str] = "One giant gradient step, then ridge"
    source: ClassVar[str] = "arXiv:2402.04980; docs/theories/giant_step.md"
    prediction: ClassVar[type[ReadoutPrediction]] = GiantStepPrediction
    table_parameters: ClassVar[tuple[str, ...]] = ("alpha0", "eta", "noise_var_step")

    alpha0: Any = parameter("samples of the gradient step per input dimension, n0/d", symbol=r"\alpha_0", low=0)
    eta: Any = parameter("normalised learning rate of the gradient step", symbol=r"\eta", low=0)
    noise_var_step: Any = parameter(
        "variance of the label noise in the gradient step; null for noise_var", symbol=r"\sigma_{\varepsilon,0}^2",
        low=0, default=None,
    )
    model: str = parameter(
        "how the bulk of the trained weights is described", symbol="", kind="choice",
        choices=("exact_step", "full_step", "isotropic"), default="exact_step",
    )

    def __init__(self, /, **given: Any) -> None:
        super().__init__(**given)
        if self._levels > 1 and "model" not in given:
            warnings.warn(
                "with several readout levels model is \"isotropic\", an approximation for trained networks (exact_step "
                "is derived for one level only); give the model to confirm it",
                AccuracyWarning, stacklevel=2,
            )

    @classmethod
    def declarations(cls, given: Mapping[str, Any]) -> Mapping[str, Parameter]:
        """`model` is "isotropic" by default if there are several readout levels."""
        if not cls._several(given):
            return cls.parameters
        return {**cls.parameters, "model": dataclasses.replace(cls.parameters["model"], default="isotropic")}

    @classmethod
    def from_sizes(cls, *, d: Any, p: Any, n: Any, n0: Any, **parameters: Any) -> Self:
        """The problem at the ratios of a finite network, with the leading finite-size correction (`n_finite = n`).

        Parameters
        ----------
        d, p, n, n0 : int or array_like
            Input dimension, hidden units, samples of the readout and of the gradient step.
        **parameters
            All other parameters.

        Raises
        ------
        ParameterError
            If a size is not a whole number >= 1 (n0: >= 0).
        """
        for name in ("alpha", "beta", "alpha0", "n_finite"):
            if name in parameters:
                raise ParameterError(name, "is set by the sizes d, p, n, n0; leave it out")
        for name, size, least in (("d", d, 1), ("p", p, 1), ("n", n, 1), ("n0", n0, 0)):
            array = np.asarray(size)
            if array.dtype.kind not in "iuf" or np.any(array != np.floor(array)) or np.any(array < least):
                raise ParameterError(name, f"must be a whole number >= {least}, got {size!r:.40}")
        d, p, n, n0 = (np.asarray(size) if isinstance(size, list | tuple) else size for size in (d, p, n, n0))
        return cls(alpha=n / d, beta=p / d, alpha0=n0 / d, n_finite=n, **parameters)

    def _validate(self) -> None:
        super()._validate()
        if self._levels > 1 and self.model != "isotropic":
            raise ParameterError(
                "model", f"{self.model} is derived for one readout level only, it must be isotropic for several"
            )
        if not np.isfinite(self.activation.slope_variance()):
            raise ParameterError(
                "activation", f"must have no jumps, for a gradient step to exist, got {self.activation}"
            )

    def _spikes(self) -> tuple[tuple[int, ...], SpikeParameters]:
        shape, (alpha0, eta, noise_var_step) = self._step()
        spikes = spike_parameters(
            self.activation, self.target, alpha0, eta, noise_var_step, self.readout_levels, self._fractions
        )
        return shape, SpikeParameters(*(array.reshape(-1, *array.shape[len(shape):]) for array in spikes))

    def _step(self) -> tuple[tuple[int, ...], list[Array]]:
        """Shape of the table parameters among themselves, and alpha0, eta and the noise of the step."""
        noise = "noise_var" if self.noise_var_step is None else "noise_var_step"
        return self.cells.compact(("alpha0", "eta", noise))

    def _covariance(self, refinement: int) -> RowCovariance | None:
        if self.model == "isotropic":
            return None
        _, (alpha0, eta, noise_var_step) = self._step()
        tabulated = normed_step_curves if self.model == "full_step" else step_curves
        level = float(self.readout_levels[0])
        return tabulated(self.activation, self.target, alpha0, eta, noise_var_step, refinement, level)

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        needed = (*observables, "test_error") if "isotropic_gap" in observables else observables
        answer = super()._solve(tuple(dict.fromkeys(needed)), refinement)
        if "isotropic_gap" in observables:
            answer["isotropic_gap"] = self._isotropic_gap(answer, refinement)
        return answer

    def _isotropic_gap(self, answer: dict[str, Any], refinement: int) -> Array:
        """Relative difference of the isotropic test error."""
        if self.model == "isotropic":
            return np.full(self.shape, np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            isotropic = self.replace(model="isotropic")._solve(("test_error",), refinement)
        exact, other = answer["test_error"], isotropic["test_error"]
        known = np.isfinite(exact) & np.isfinite(other) & (exact != 0) & isotropic["converged"]
        return np.where(known, np.where(known, other, 0.0) / np.where(known, exact, 1.0) - 1, np.nan)

    def optimal_step(self) -> Self:
        """The same problem with `eta` and `lam` replaced, in every cell, by those that minimise the test error.

        Returns
        -------
        Problem
            `eta` and `lam` span the remaining cells; eta is 0 where no step is best, lam where no ridge is.

        Warns
        -----
        AccuracyWarning
            If in some cells the best step is infinitesimal or infinite (a small or large one stands for it; eta -> 0+
            is not eta = 0, see section 8 of docs/theories/giant_step.md), or the best ridge is infinite.

        Notes
        -----
        Given `eta` and `lam` are ignored.  A scan over log eta, with the best ridge at every point, brackets the global
        minimum, which Chebyshev interpolation then refines; cells with the same `alpha0` and step noise share the steps
        that are tried, about 40.  `eta` and `lam` are accurate to about 1e-5, the test error to 1e-11.
        """
        from .answers import optimal_step

        return optimal_step(self)

    def optimal_split(self, budget: Any, ridge: str = "given") -> Self:
        """The same problem with the samples split between step and readout so that the test error is smallest.

        Parameters
        ----------
        budget : array_like or xarray.DataArray
            Samples per input dimension of both together, alpha0 + alpha; its axes join those of the other parameters.
        ridge : str
            "given", or "optimal" for the best `lam` at every split, which then replaces it.

        Returns
        -------
        Problem
            `alpha0` and `alpha` span the cells; alpha0 is 0 (random features) where no step is best.

        Raises
        ------
        ParameterError
            If the budget is not positive, or `n_finite` is given.

        Warns
        -----
        AccuracyWarning
            If in some cells the best split leaves next to nothing for step or readout (a small share stands for it:
            alpha0 -> 0+, a step of pure noise, is not alpha0 = 0).
        """
        from .answers import optimal_split

        return optimal_split(self, budget, ridge)


def _pick(array: Array, shape: tuple[int, ...], positions: NDArray[np.intp]) -> Array:
    """Values of a broadcastable array at flat positions of the full shape."""
    if array.size == 1:
        return np.full(positions.size, array.flat[0])
    where = np.unravel_index(positions, shape)
    return array[tuple(index if length > 1 else 0 for index, length in zip(where, array.shape, strict=True))]
