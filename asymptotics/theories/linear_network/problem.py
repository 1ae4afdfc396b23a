"""What can be asked: `LinearNetwork`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from ...errors import ParameterError
from ...parameters import parameter
from ...problem import Problem
from . import answers
from .grid import OVERLAPS
from .invariants import ROUNDED
from .prediction import LinearNetworkPrediction
from .solution import solve

if TYPE_CHECKING:
    import xarray as xr


class LinearNetwork(Problem):
    """Gradient flow of a two-layer linear network of any width on one-dimensional data, from given initial weights.

    f(x) = gamma sum_i u_i w_i x = F x, trained on

        L = (loss_factor/2) E (f(x) - y)^2 = (loss_factor/2) [ m2 (F - target_coefficient)^2 + irreducible_loss ]

    with m2 = E x^2, target_coefficient = E xy/m2, by du/dt = -eta_u dL/du, dw/dt = -eta_w dL/dw.  Exact at any width.

    The initial weights are the vectors `u` and `w`.  Everything but the weights themselves depends on them through
    `uu` = |u|^2, `ww` = |w|^2 and `uw` = <u, w> only; these may be given instead, as arrays too (`from_overlaps`).
    """

    slug: ClassVar[str] = "linear-network"
    title: ClassVar[str] = "Training of a finite-width linear network"
    source: ClassVar[str] = "arXiv:2401.07085; docs/theories/linear_network.md"
    prediction: ClassVar[type[LinearNetworkPrediction]] = LinearNetworkPrediction

    u: Any = parameter("initial output weights; or give uu, ww and uw", symbol="u", kind="vector", default=None)
    w: Any = parameter("initial input weights, as many as u", symbol="w", kind="vector", default=None)
    uu: Any = parameter("squared norm of the initial output weights", symbol="|u|^2", low=0, default=None)
    ww: Any = parameter("squared norm of the initial input weights", symbol="|w|^2", low=0, default=None)
    uw: Any = parameter("scalar product of the initial weights", symbol=r"\langle u, w\rangle", default=None)
    gamma: Any = parameter("factor of the output, f(x) = gamma <u, w> x; not 0", symbol=r"\gamma", default=1.0)
    eta_u: Any = parameter("learning rate of the output weights", symbol=r"\eta_u", low=0, default=1.0)
    eta_w: Any = parameter("learning rate of the input weights", symbol=r"\eta_w", low=0, default=1.0)
    m2: Any = parameter("second moment E x^2 of the inputs", symbol="m_2", above=0, default=1.0)
    target_coefficient: Any = parameter("best coefficient, A = E xy/E x^2", symbol="A")
    loss_factor: Any = parameter(
        "factor c of the loss (c/2) E (f(x) - y)^2: 1 for half the mean square, 2 for the mean square", symbol="c",
        above=0, default=1.0,
    )
    irreducible_loss: Any = parameter(
        "mean square that no coefficient removes, E y^2 - (E xy)^2/E x^2", symbol=r"L_\infty", low=0, default=0.0
    )
    t: Any = parameter("training time", symbol="t", low=0)

    @classmethod
    def from_overlaps(cls, *, uu: Any, ww: Any, uw: Any, **parameters: Any) -> Self:
        """The network whose initial weights have these overlaps |u|^2, |w|^2, <u, w>.

        Parameters
        ----------
        uu, ww, uw : float, array_like or xarray.DataArray
            Cells where uw^2 > uu ww do not converge: there are no such weights.
        **parameters
            All others.
        """
        return cls(uu=uu, ww=ww, uw=uw, **parameters)

    @classmethod
    def from_moments(cls, *, m2: Any, mxy: Any, myy: Any, **parameters: Any) -> Self:
        """The network trained on data of these moments, of a population or averages over samples.

        Parameters
        ----------
        m2, mxy, myy : float, array_like or xarray.DataArray
            E x^2, E xy and E y^2.
        **parameters
            All but target_coefficient = mxy/m2 and irreducible_loss = myy - mxy^2/m2.

        Raises
        ------
        ParameterError
            If myy < mxy^2/m2 (by more than rounding): no data have such moments.
        """
        m2 = cls.parameters["m2"].canonical("m2", m2)
        mxy = cls.parameters["target_coefficient"].canonical("mxy", mxy)
        myy = cls.parameters["irreducible_loss"].canonical("myy", myy)
        explained = mxy / m2 * mxy
        if np.any(np.asarray(myy) - np.asarray(explained) < -ROUNDED * np.asarray(explained)):
            raise ParameterError("myy", "must be >= mxy^2/m2: no data have such moments")
        irreducible = np.maximum(myy - explained, 0.0)
        return cls(m2=m2, target_coefficient=mxy / m2, irreducible_loss=irreducible, **parameters)

    @classmethod
    def from_samples(cls, x: ArrayLike, y: ArrayLike, **parameters: Any) -> Self:
        """The network trained on these samples.

        Parameters
        ----------
        x, y : array_like, shape (n,)
            Inputs, or their components along the line on which they lie, and labels.
        **parameters
            All but m2, target_coefficient and irreducible_loss, which the samples determine.

        Raises
        ------
        ParameterError
            If they are not equally many numbers, or all inputs are zero.
        """
        inputs, labels = (cls.parameters["u"].canonical(name, given) for name, given in (("x", x), ("y", y)))
        if len(inputs) != len(labels):
            raise ParameterError("y", f"must have as many entries as x ({len(inputs)}), got {len(labels)}")
        m2 = float(np.mean(inputs**2))
        if m2 == 0:
            raise ParameterError("x", "must not be zero everywhere")
        slope = float(np.mean(inputs * labels)) / m2
        rest = float(np.mean((labels - slope * inputs) ** 2))
        return cls(m2=m2, target_coefficient=slope, irreducible_loss=rest, **parameters)

    def _validate(self) -> None:
        self._need_one_initialisation()
        if np.any(np.asarray(self.cells.arrays["gamma"]) == 0):
            raise ParameterError("gamma", "must not be 0: the network would be zero for ever")
        if np.ndim(self.eta_u) == np.ndim(self.eta_w) == 0 and self.eta_u == self.eta_w == 0:
            raise ParameterError("eta_u", "and eta_w must not both be 0: nothing would be trained")

    def _need_one_initialisation(self) -> None:
        vectors = [name for name in ("u", "w") if getattr(self, name) is not None]
        overlaps = [name for name in OVERLAPS if getattr(self, name) is not None]
        if vectors and overlaps:
            raise ParameterError(overlaps[0], f"must not be given beside {vectors[0]}: u and w, or uu, ww and uw")
        if not vectors and not overlaps:
            raise ParameterError("u", "and w must be given, or uu, ww and uw")
        for name in ("u", "w") if vectors else OVERLAPS:
            if getattr(self, name) is None:
                raise ParameterError(name, f"must be given with {(vectors or overlaps)[0]}")
        if vectors and len(self.u) != len(self.w):
            raise ParameterError("w", f"must have as many entries as u ({len(self.u)}), got {len(self.w)}")

    def time_to(self, fraction: Any = None, *, coefficient: Any = None, loss: Any = None) -> Any:
        """When the network gets to a level, by the closed-form inverse of the trajectory; `t` is ignored.

        Parameters
        ----------
        fraction : float, array_like or xarray.DataArray
            Of the initial gap that is left: |A - F|/|A - F0|, between 0 and 1.
        coefficient : float, array_like or xarray.DataArray
            A value of F.
        loss : float, array_like or xarray.DataArray
            A value of the loss (`loss`, with the irreducible part).

        Returns
        -------
        float, ndarray or xarray.DataArray
            Over the remaining cells and the axes of the level, labelled if they are: 0 where the network starts there
            (for a loss or a fraction: or below), inf where it never gets there.

        Raises
        ------
        ParameterError
            If not exactly one level is given, or it is out of range.
        """
        return answers.time_to(self, {"fraction": fraction, "coefficient": coefficient, "loss": loss})

    def inflection_points(self) -> xr.Dataset:
        """Where and when learning is slowest and fastest; equation (16).  `t` is ignored.

        Returns
        -------
        xarray.Dataset
            `coefficient` and `time` over the remaining cells and `point`: "plateau", the minimum, and "steepest", the
            maximum of dF/dt.  NaN where the trajectory does not pass them.
        """
        return answers.inflection_points(self)

    def largest_stable_step(self) -> Any:
        """The step size below which gradient descent is stable at the end of training, 2/(c m2 final_ntk).

        4/(c m2 kap|A|) where the target is not reachable and F tends to zero; inf where nothing moves in the end.
        Early training of large kernels needs smaller steps: 2/`sharpness` at its time.  `t` is ignored.

        Returns
        -------
        float, ndarray or xarray.DataArray
            Over the remaining cells, labelled if they are.
        """
        return answers.stable_step(self)

    def hessian_spectrum(self) -> xr.Dataset:
        """All eigenvalues of the Hessian of the loss, in coordinates u/sqrt(eta_u), w/sqrt(eta_w); equation (17).

        Returns
        -------
        xarray.Dataset
            `eigenvalue` over the cells and `group`, and `multiplicity` over `group` (NaN for given overlaps).
        """
        return answers.hessian_spectrum(self)

    def weights(self) -> xr.Dataset:
        """The weights at time t; equation (11).

        Returns
        -------
        xarray.Dataset
            `u` and `w` over the cells and `neuron`, with errors of about 1e-15 of the larger of the norms of the layer
            at t = 0 and at t.

        Raises
        ------
        ParameterError
            If only overlaps are given.
        """
        return answers.weights(self)

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        return solve(self, observables)
