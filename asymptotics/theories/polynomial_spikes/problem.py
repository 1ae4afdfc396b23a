"""What can be asked: `PolynomialSpikes`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity, nonlinearity
from ...parameters import parameter
from ...problem import Problem
from .prediction import PolynomialSpikesPrediction

Array = NDArray[np.float64]


class PolynomialSpikes(Problem):
    """Two-layer network after one gradient step whose learning rate grows with the sample size, then ridge.

    From f(x) = sum_i a_i sigma(<w_i, x>), a_i ~ N(0, 1/p), rows w_i uniform on the unit sphere, one step on n0 samples

        w_i + (eta a_i/n0) sum_mu y_mu sigma'(<w_i, x_mu>) x_mu                       (*)

    (learning rate eta on (1/2 n0) sum (y - f)^2 at zero initial output: the network minus its copy at the start), then
    on n fresh samples, with F = sigma(X W^T),

        w = argmin sum_mu (y_mu - F_mu . w/sqrt(p))^2 + lam |w|^2,    f(x) = sigma(W x) . w/sqrt(p).

    y = target(<theta, x>) + noise, x ~ N(0, I_d), |theta| = 1.

    `level`: "full" keeps the step of any size; "finite_rank" describes it by finitely many spikes of the features, to
    leading order in tau; "limit" is n -> infinity at eta = n^step_exponent, where the spikes are infinitely strong.

    The initial output is not subtracted in `GiantStep`-like code that uses labels as they are; with it the gradient
    follows y - f(x) and the direction is another one (docs/theories/polynomial_spikes.md, section 1).
    """

    slug: ClassVar[str] = "polynomial-spikes"
    title: ClassVar[str] = "Polynomial spikes of one gradient step"
    source: ClassVar[str] = "arXiv:2310.07891; docs/theories/polynomial_spikes.md"
    prediction: ClassVar[type[PolynomialSpikesPrediction]] = PolynomialSpikesPrediction
    table_parameters: ClassVar[tuple[str, ...]] = ("eta", "d", "p", "n0", "noise_var")

    activation: Any = parameter("activation of the hidden units", symbol=r"\sigma", kind="nonlinearity")
    target: Any = parameter(
        "link function of the teacher, y = target(<theta, x>) + noise; or give target_coefficients",
        symbol=r"\sigma_\star", kind="nonlinearity", default=None,
    )
    target_coefficients: Any = parameter(
        "Hermite coefficients c_0, c_1, ... of the link function, y = sum c_k He_k(<theta, x>)/sqrt(k!) + noise",
        symbol=r"c^\star", kind="vector", default=None,
    )
    d: Any = parameter("input dimension", symbol="d", kind="size", low=2)
    p: Any = parameter("hidden units", symbol="p", kind="size", low=1)
    n: Any = parameter("samples of the readout", symbol="n", kind="size", low=1)
    n0: Any = parameter("samples of the gradient step", symbol="n_0", kind="size", low=1)
    eta: Any = parameter(
        "learning rate of the step (*); not at level \"limit\"", symbol=r"\eta", low=0, default=None
    )
    lam: Any = parameter("ridge penalty: minimise sum (y - F w/sqrt(p))^2 + lam |w|^2", symbol=r"\lambda", low=0)
    noise_var: Any = parameter(
        "variance of the label noise, in the step and in the readout", symbol=r"\sigma_\varepsilon^2", low=0,
        default=0.0,
    )
    level: str = parameter(
        "how the step is described", kind="choice", choices=("full", "finite_rank", "limit"), default="full"
    )
    step_exponent: Any = parameter(
        "exponent a of eta = n^a, at level \"limit\" instead of eta", symbol="a", below=0.5, default=None
    )

    @property
    def link(self) -> Nonlinearity:
        """The link function of the teacher."""
        if self.target is not None:
            return self.target
        terms = [f"{float(c)!r}*he{k}(x)" if k else repr(float(c)) for k, c in enumerate(self.target_coefficients)]
        return nonlinearity(" + ".join(terms).replace("+ -", "- "))
