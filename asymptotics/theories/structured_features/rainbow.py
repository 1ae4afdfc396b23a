"""What can be asked: `RainbowNetwork`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import ParameterError
from ...parameters import parameter
from ...problem import Problem
from ...spectra.layers import Chain, ChainSolution, TargetSums, solve_chain, target_sums
from .layers import layer_coefficients
from .prediction import RainbowNetworkPrediction
from .ridge_equations import Fit, errors_of, warn_of_threshold, weight_norm

Array = NDArray[np.float64]


class RainbowNetwork(Problem):
    """Ridge regression on the last layer of a deep random network, without any matrix.

    phi_0 = x ~ N(0, Omega_0) in d dimensions, phi_l = sigma_l(W_l phi_{l-1}) with W_l of shape (p_l, p_{l-1}) and
    independent entries N(0, 1/p_{l-1}); on n independent samples

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
    n: Any = parameter("samples; need not be a whole number", symbol="n", above=0)
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

    @property
    def axis_labels(self) -> Mapping[str, NDArray[Any]]:
        return {"layer": np.arange(len(self.widths) + 1)}

    def _validate(self) -> None:
        if len(self.widths) != len(self.activations):
            raise ParameterError("widths", f"must have as many elements as there are activations, "
                                           f"{len(self.activations)}, got {len(self.widths)}")
        self._validate_inputs()
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
        for name, value in (("input_target_weights", c), ("input_multiplicities", weights)):
            if value is not None and value.size != s.size:
                raise ParameterError(name, f"must have as many elements as input_eigenvalues, {s.size}, got "
                                           f"{value.size}")
        if not np.any(s > 0):
            raise ParameterError("input_eigenvalues", "must not all be zero")
        if c is not None and np.any(c[s == 0] > 0):
            raise ParameterError("input_target_weights", "must be zero where the eigenvalue is")
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
        layers = layer_coefficients(self.activations, float(shares @ s))
        return Chain(s, shares, signal, layers.slopes, layers.noises, np.array(self.widths, dtype=np.float64))

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

        fit = Fit(shaped(n), shaped(excess), shaped(state.exchange), shaped(state.df1 - state.exchange),
                  signal * shaped(target.bias), signal * shaped(target.misfit),
                  rest + signal * shaped(target.unexplained))
        warn_of_threshold(fit)
        answer = {
            **errors_of(fit, observables), "effective_ridge": shaped(state.kappa), "df1": shaped(state.df1),
            "effective_ridges": np.moveaxis(state.kappas.reshape(-1, *shape), 0, -1),
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
                          np.zeros(state.kappa.shape), (state.df1 - state.exchange) / width)
