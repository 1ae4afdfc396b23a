"""What can be asked: `RainbowNetwork`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import ParameterError
from ...parameters import parameter
from ...problem import Problem
from ...search import optimal_ridge
from ...spectra.layer_density import layer_density
from ...spectra.layers import Chain, ChainSolution, TargetSums, solve_chain, target_sums
from .declared import validate_modes
from .layers import layer_coefficients
from .prediction import RainbowNetworkPrediction
from .problem import FeatureRidge
from .ridge_equations import Fit, errors_of, warn_of_threshold, weight_norm
from .weights import finite_array, modes_of, population_of_network

Array = NDArray[np.float64]


class RainbowNetwork(Problem):
    """Ridge regression on the last layer of a deep random network, without any matrix.

    phi_0 = x ~ N(0, Omega_0) in d dimensions, phi_l = sigma_l(W_l phi_{l-1}) with W_l of shape (p_l, p_{l-1}) and
    independent entries N(0, 1/p_{l-1}), or rows of covariance C_l/p_{l-1}; on n independent samples

        w = argmin sum_i (y_i - w . phi_L(x_i))^2 + lam |w|^2                                                   (*)

    where the features of the last layer are centred if their activation has a mean (as with an intercept without
    penalty).  The label is linear in the inputs, y = theta . x + rest, |theta|^2 = signal, and E y^2 =
    label_second_moment: the rest (noise, and what is not linear) acts as noise.  Or, with target_layer = "features",
    y = theta . phi_L + noise, E theta theta^T = signal/p_L.

    Asymptotic: d, widths and n are large together; activations of all layers but the last have mean 0 at the variance
    of their layer (`from_weights` has no such restriction).

    Source: arXiv:2402.13999, arXiv:2302.00401; docs/theories/structured_features.md, eqs. (13)-(17).
    """

    slug: ClassVar[str] = "rainbow-network"
    title: ClassVar[str] = "Ridge regression on deep random features"
    source: ClassVar[str] = "arXiv:2402.13999; docs/theories/structured_features.md"
    prediction: ClassVar[type[RainbowNetworkPrediction]] = RainbowNetworkPrediction
    table_parameters: ClassVar[tuple[str, ...]] = ("d",)
    is_limit: ClassVar[bool] = False

    activations: Any = parameter("activations of the layers", symbol=r"\sigma_\ell", kind="nonlinearities")
    widths: Any = parameter("widths p_1, ..., p_L of the layers", symbol=r"p_\ell", kind="sizes", low=1)
    d: Any = parameter("input dimension", symbol="d", kind="size", low=1)
    n: Any = parameter("samples", symbol="n", above=0)
    lam: Any = parameter("ridge penalty: minimise sum (y - w . phi)^2 + lam |w|^2", symbol=r"\lambda", low=0)
    label_second_moment: Any = parameter("E y^2, the label noise included", symbol=r"\mathbb{E}y^2", low=0)
    signal: Any = parameter(
        "squared norm of the linear target theta; a factor of input_target_weights if they are given",
        symbol=r"|\theta|^2", low=0, default=1.0,
    )
    target_layer: str = parameter(
        "what the target is linear in", kind="choice", choices=("inputs", "features"), default="inputs"
    )
    input_eigenvalues: Any = parameter(
        "eigenvalues of the covariance of the inputs; null for 1", symbol="s_k", kind="vector", low=0, default=None
    )
    input_multiplicities: Any = parameter(
        "how often each occurs, with sum d; null for d/count each", symbol="w_k", kind="vector", above=0, default=None
    )
    input_target_weights: Any = parameter(
        "(u_k . E[y x])^2, in all modes of an eigenvalue of the inputs together", symbol="c_k", kind="vector", low=0,
        default=None,
    )

    column_eigenvalues: Any = parameter(
        "eigenvalues of the covariances C_l of the rows of W_l, a row of equally frequent ones for each layer, the "
        "first all 1; null for independent entries", symbol="C_l", kind="matrix", above=0, default=None,
    )

    @staticmethod
    def from_weights(
        weights: Sequence[ArrayLike], activations: Sequence[Any], target: ArrayLike, *,
        biases: Sequence[ArrayLike] | None = None, link: Any = None, noise_var: float = 0.0, intercept: bool = False,
        **parameters: Any,
    ) -> FeatureRidge:
        """The problem of a ridge readout on the last layer of a network with these weights; matrices of size p_L.

        Neurons have variances and means of their own, so that activations need not have mean 0 and weights may be
        trained, as long as they have no large spike.

        Parameters
        ----------
        weights : sequence of array_like, shapes (p_1, d), (p_2, p_1), ...
            phi_l = sigma_l(W_l phi_{l-1} + b_l), phi_0 = x ~ N(0, 1_d); no factor 1/sqrt(p).
        activations : sequence
            One for each layer.
        target : array_like, shape (d,)
            theta: y = theta . x + noise, or link(theta . x/|theta|) + noise.
        biases : sequence of array_like, optional
            b_l.
        link : optional
            A nonlinearity.
        noise_var : float
            Variance of the noise.
        intercept : bool
            Whether the readout has an intercept without penalty.
        **parameters
            n, lam.

        Returns
        -------
        FeatureRidge

        Raises
        ------
        ParameterError
            If shapes do not fit.

        Warns
        -----
        AccuracyWarning
            If the weights have spikes so large that the features are no longer those of a linear model with noise.
        """
        if isinstance(noise_var, bool) or not isinstance(noise_var, int | float) or not 0 <= noise_var < np.inf:
            raise ParameterError("noise_var", f"must be a finite number >= 0, got {noise_var!r:.60}")
        population = population_of_network(weights, activations, target, biases=biases, link=link,
                                           noise_var=noise_var, intercept=intercept)
        return FeatureRidge(**modes_of(population, noise_var)._asdict(), **parameters)

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
        """
        return optimal_ridge(self, float(self.chain.mean_traces()[-1]) * float(self.widths[-1]))

    def density(self, x: ArrayLike) -> Array:
        """Density of the eigenvalues of the covariance of the last features, a limit for wide layers.

        Parameters
        ----------
        x : array_like, shape (M,)
            Points > 0.

        Returns
        -------
        ndarray (M,)
            Of all p_L eigenvalues.  Where the last layer is wider than the rank of the one below, the others are
            exactly at its noise power b_L: this atom (at 0 for linear layers) is left out.

        Raises
        ------
        ParameterError
            If the input dimension varies, or a point is not positive.
        """
        points = finite_array("x", x, 1)
        if not np.all((points > 0) & (points < 1e100)):
            raise ParameterError("x", f"must be numbers > 0 and < 1e100, got {x!r:.60}")
        if self.column_eigenvalues is not None:
            raise ParameterError("column_eigenvalues", "must not be given for a density")
        if self.cells.arrays["d"].size != 1:
            raise ParameterError("d", "must be one number for a density")
        return layer_density(self.chain, float(self.cells.arrays["d"].ravel()[0]), points)

    @property
    def axis_labels(self) -> Mapping[str, NDArray[Any]]:
        return {"layer": np.arange(len(self.widths) + 1)}

    def _validate(self) -> None:
        if len(self.widths) != len(self.activations):
            raise ParameterError("widths", f"must have as many elements as there are activations, "
                                           f"{len(self.activations)}, got {len(self.widths)}")
        self._validate_inputs()
        columns = self.column_eigenvalues
        if columns is not None:
            if len(columns) != len(self.widths):
                raise ParameterError("column_eigenvalues", f"must have a row for each of {len(self.widths)} layers, "
                                                           f"got {len(columns)}")
            if np.any(columns[0] != 1):
                raise ParameterError("column_eigenvalues", "must be 1 in the first row: the covariance of the rows of "
                                                           "W_1 belongs to the inputs, see input_eigenvalues")
        explained = self._explained(self.chain)
        moment, signal = (self.cells.arrays[name] for name in ("label_second_moment", "signal"))
        wrong = moment < signal * explained * (1 - 1e-10)
        if np.any(wrong):
            least, given = (np.broadcast_to(values, wrong.shape)[wrong][0] for values in (signal * explained, moment))
            raise ParameterError("label_second_moment", f"must be >= {least:.12g}, the second moment of the linear "
                                                        f"target, got {given:.12g}")

    def _validate_inputs(self) -> None:
        s, c, weights = self.input_eigenvalues, self.input_target_weights, self.input_multiplicities
        if s is None:
            for name, value in (("input_target_weights", c), ("input_multiplicities", weights)):
                if value is not None:
                    raise ParameterError(name, "must be given with input_eigenvalues only")
            return
        on_inputs = self.target_layer == "inputs"
        if (c is None) == on_inputs:
            raise ParameterError("input_target_weights", f"must {'' if on_inputs else 'not '}be given with "
                                                         f"input_eigenvalues and target_layer {self.target_layer}")
        validate_modes(s, {"input_target_weights": c, "input_multiplicities": weights}, "input_eigenvalues")
        if weights is not None:
            wrong = np.abs(self.cells.arrays["d"] - np.sum(weights)) > 1e-9 * np.sum(weights)
            if np.any(wrong):
                raise ParameterError("d", f"must be the sum of input_multiplicities, {np.sum(weights):.12g}, got "
                                          f"{self.cells.arrays['d'][wrong][0]}")

    @property
    def chain(self) -> Chain:
        """The layers, as the equations see them."""
        if self.input_eigenvalues is None:
            s, shares = np.ones(1), np.ones(1)
            signal = np.ones(1)
        else:
            s = self.input_eigenvalues
            weights = np.ones(s.size) if self.input_multiplicities is None else self.input_multiplicities
            shares = weights / np.sum(weights)
            c = np.zeros(s.size) if self.input_target_weights is None else self.input_target_weights
            kept = s > 0
            s, shares, signal = s[kept], shares[kept], c[kept] / s[kept]
        layers = layer_coefficients(self.activations, float(shares @ s), self.column_eigenvalues)
        return Chain(s, shares, signal, layers.slopes, layers.noises, np.array(self.widths, dtype=np.float64),
                     self.column_eigenvalues)

    def _explained(self, chain: Chain) -> float:
        """Second moment of what is linear in inputs or features, for signal = 1."""
        if self.target_layer == "features":
            return float(chain.mean_traces()[-1])
        return float(np.sum(chain.signal))

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        shape, arrays = self.cells.compact(("d", "n", "lam"))
        d, n, lam = (array.ravel().astype(np.float64) for array in arrays)
        chain = self.chain
        solved = solve_chain(chain, d, n, lam)
        state, threshold = solved.state, solved.rank
        target = self._target(chain, solved)
        moment, signal = (self.cells.arrays[name] for name in ("label_second_moment", "signal"))
        rest = np.maximum(moment - signal * self._explained(chain), 0.0)
        positive = state.kappa > 0
        excess = np.where(positive, lam / np.where(positive, state.kappa, 1.0), np.maximum(n - threshold, 0.0))

        def shaped(values: NDArray[Any]) -> NDArray[Any]:
            return values.reshape(shape)

        fit = Fit(shaped(n), shaped(excess), shaped(state.exchange), shaped(state.df2),
                  signal * shaped(target.bias), signal * shaped(target.misfit),
                  rest + signal * shaped(target.unexplained))
        warn_of_threshold(fit)
        answer = {
            **errors_of(fit, observables), "effective_ridge": shaped(state.kappa), "df1": shaped(state.df1),
            "effective_ridges": np.moveaxis(state.kappas.reshape(len(self.widths) + 1, *shape), 0, -1),
            "converged": shaped(solved.converged), "residual": shaped(solved.residual),
        }
        if "weight_norm" in observables:
            answer["weight_norm"] = weight_norm(fit, signal * shaped(target.learning), shaped(state.spread))
        return answer

    def _target(self, chain: Chain, solved: ChainSolution) -> TargetSums:
        """For signal = 1."""
        if self.target_layer == "inputs":
            return target_sums(chain, solved)
        state, width = solved.state, chain.widths[-1]
        return TargetSums(state.kappa * state.exchange / width, state.kappa * state.df1 / width,
                          np.zeros(state.kappa.shape), state.df2 / width)
