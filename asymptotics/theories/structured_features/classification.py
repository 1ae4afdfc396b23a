"""What can be asked of convex classification, and what is answered: `FeatureClassification`."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import ParameterError
from ...parameters import observable, parameter
from ...problem import Prediction, Problem
from .classification_solution import Cells, Features, Solution, SpectrumFeatures, by_tiles, solve_cells
from .declared import listed_spectrum, validate_modes
from .losses import Labels, classification_error, labels, noisy_label_error, train_loss

Array = NDArray[np.float64]

_CELLS = ("rho", "n", "lam")
_EXCESS = 1e-10  # of the explained variance over rho that counts as rounding


class FeatureClassificationPrediction(Prediction):
    """Errors and order parameters of a convex classifier on frozen features."""

    classification_error: Any = observable(
        "probability that the prediction differs from sign(nu), the label without noise",
        symbol=r"\varepsilon_{\mathrm{class}}",
    )
    noisy_label_error: Any = observable(
        "probability that the prediction differs from a fresh label", symbol=r"\varepsilon_{\mathrm{label}}"
    )
    train_loss: Any = observable(
        "mean loss on the training set, without the penalty", symbol=r"\mathcal{L}_{\mathrm{train}}"
    )
    V: Any = observable("variance of the proximal map of an output", symbol="V")
    q: Any = observable("second moment of the output, E (w . phi)^2", symbol="q")
    m: Any = observable("overlap of output and teacher, E nu (w . phi)", symbol="m")
    hat_V: Any = observable("mean curvature of the loss per direction of the features, times n", symbol=r"\hat V")
    effective_ridge: Any = observable(
        "effective ridge kappa = lam/hat_V", symbol=r"\kappa",
        undefined="inf where no training sample lies where the loss is curved (hinge, large lam)",
    )
    df1: Any = observable("degrees of freedom Tr Omega/(Omega + kappa)", symbol=r"\mathrm{df}_1")
    df2: Any = observable("degrees of freedom Tr Omega^2/(Omega + kappa)^2", symbol=r"\mathrm{df}_2")


class FeatureClassification(Problem):
    """Binary classification with a convex loss on frozen features, for a teacher of one pre-activation.

    Features phi of p dimensions and a pre-activation nu are jointly Gaussian, E phi phi^T = sum_k s_k u_k u_k^T,
    E nu^2 = rho; c_k = (u_k . E[nu phi])^2, summed over the modes of an eigenvalue.  On n independent samples

        w = argmin sum_{i=1}^n ell(y_i, w . phi_i) + (lam/2) |w|^2                                              (*)

    with ell(y, x) = log(1 + e^{-y x}) ("logistic"), max(0, 1 - y x) ("hinge") or (y - x)^2/2 ("square"), and labels
    y = +-1 with P(y = 1 | nu) = [nu > 0] ("sign"), 1/(1 + e^{-nu}) ("logit") or Phi(nu) ("probit").  No 1/n, no
    intercept.  The prediction is sign(w . phi).

    Instead of a spectrum, a deep random network can be given: phi is its last layer, centred, as in `RainbowNetwork`,
    over inputs x ~ N(0, I_d), and nu = theta . x with |theta|^2 = rho.

    Parameters
    ----------
    loss, labels : str
    eigenvalues, target_weights, multiplicities : array_like, shape (K,)
        s_k, c_k and how often each eigenvalue occurs; sum_k c_k/s_k <= rho.
    activations, widths, d
        Of the network; either these three or a spectrum.
    rho, n, lam : float or array_like
        Cells; n need not be a whole number.  lam = 0 is refused: the limit lam -> 0 is that of small lam.

    Raises
    ------
    ParameterError
        If not exactly one of spectrum and network is given, if lengths differ, if an eigenvalue with a signal is zero,
        or if the signal exceeds rho.

    Notes
    -----
    Asymptotic: n and the number of features are large together; proven for Gaussian features, conjectured for those of
    random networks.  For separable data and lam -> 0, V and q diverge, and the errors tend to those of the largest
    margin.

    Source: arXiv:2102.08127; docs/theories/structured_features.md.
    """

    slug: ClassVar[str] = "feature-classification"
    title: ClassVar[str] = "Classification with a convex loss on features"
    source: ClassVar[str] = "arXiv:2102.08127; docs/theories/structured_features.md"
    prediction: ClassVar[type[FeatureClassificationPrediction]] = FeatureClassificationPrediction
    is_limit: ClassVar[bool] = False

    loss: Any = parameter("loss function", symbol=r"\ell", kind="choice", choices=("logistic", "hinge", "square"))
    labels: Any = parameter("law of the labels given nu", kind="choice", choices=("sign", "logit", "probit"))
    eigenvalues: Any = parameter(
        "eigenvalues s_k of E phi phi^T; or give a network", symbol="s_k", kind="vector", low=0, default=None
    )
    target_weights: Any = parameter(
        "c_k = (u_k . E[nu phi])^2, in all modes of an eigenvalue together", symbol="c_k", kind="vector", low=0,
        default=None,
    )
    multiplicities: Any = parameter(
        "how often each eigenvalue occurs; null for once", symbol="w_k", kind="vector", above=0, default=None
    )
    activations: Any = parameter(
        "activations of the layers of a random network", symbol=r"\sigma_\ell", kind="nonlinearities", default=None
    )
    widths: Any = parameter("widths p_1, ..., p_L of the layers", symbol=r"p_\ell", kind="sizes", low=1, default=None)
    d: Any = parameter("input dimension of the network", symbol="d", kind="size", low=1, default=None)
    rho: Any = parameter("variance of the pre-activation of the teacher, E nu^2", symbol=r"\rho", above=0)
    n: Any = parameter("samples", symbol="n", above=0)
    lam: Any = parameter(
        "ridge penalty: minimise sum ell(y, w . phi) + (lam/2) |w|^2", symbol=r"\lambda", above=0
    )

    def _validate(self) -> None:
        network = {"activations": self.activations, "widths": self.widths, "d": self.d}
        if self.eigenvalues is None:
            missing = [name for name, value in network.items() if value is None]
            if len(missing) == len(network):
                raise ParameterError("eigenvalues", "or a network (activations, widths, d) must be given")
            if missing:
                raise ParameterError(missing[0], "must be given with the rest of the network")
            for name in ("target_weights", "multiplicities"):
                if getattr(self, name) is not None:
                    raise ParameterError(name, "must be given with eigenvalues only")
            if len(self.widths) != len(self.activations):
                raise ParameterError("widths", f"must have as many elements as there are activations, "
                                               f"{len(self.activations)}, got {len(self.widths)}")
        else:
            for name, value in network.items():
                if value is not None:
                    raise ParameterError(name, "must not be given with eigenvalues")
            self._validate_spectrum()
        self._validate_signal()

    def _validate_spectrum(self) -> None:
        if self.target_weights is None:
            raise ParameterError("target_weights", "must be given with eigenvalues")
        validate_modes(self.eigenvalues, {"target_weights": self.target_weights, "multiplicities": self.multiplicities})

    def _validate_signal(self) -> None:
        explained = self._features().explained
        if self.eigenvalues is None:
            return  # a teacher of the inputs is seen in part
        rho = self.cells.arrays["rho"]
        wrong = np.asarray(explained > rho * (1 + _EXCESS))
        if np.any(wrong):
            raise ParameterError("rho", f"must be >= {explained:.12g}, the variance of nu that is linear in the "
                                        f"features, got {rho[wrong][0]:.12g}")

    def _features(self) -> Features:
        """What the equations ask of spectrum or network.  The only place that knows which was given."""
        if self.eigenvalues is not None:
            return SpectrumFeatures(listed_spectrum(self.eigenvalues, self.target_weights, self.multiplicities))
        from .chain import chain_features

        _, (rho, _, _, d) = self.cells.compact((*_CELLS, "d"))
        return chain_features(self.activations, self.widths, d.ravel().astype(np.float64), rho.ravel())

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        shape, arrays = self.cells.compact(_CELLS if self.d is None else (*_CELLS, "d"))
        rho, n, lam = (array.astype(np.float64).ravel() for array in arrays[:3])
        law = labels(self.labels, refinement)
        solved = solve_cells(self.loss, law, self._features(), Cells(rho, n, lam), refinement)
        values = self._answers(solved, law, observables, refinement)
        return {name: value.reshape(shape) for name, value in values.items()}

    def _answers(
        self, solved: Solution, law: Labels, observables: tuple[str, ...], refinement: int
    ) -> dict[str, NDArray[Any]]:
        state = solved.state
        found: dict[str, NDArray[Any]] = {
            "V": state.v, "q": state.q, "m": state.m, "hat_V": solved.sensitivity, "effective_ridge": solved.kappa,
            "df1": solved.df1, "df2": solved.df2, "classification_error": classification_error(state.slant),
        }
        if "noisy_label_error" in observables:
            found["noisy_label_error"] = by_tiles(partial(noisy_label_error, law), state)
        if "train_loss" in observables:
            found["train_loss"] = by_tiles(partial(train_loss, self.loss, law, refinement=refinement), state)
        kept = {name: found[name] for name in observables}
        return {**kept, "converged": solved.converged, "residual": solved.residual}
