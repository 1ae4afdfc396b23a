"""What problems about given initial weights have in common: the weights, the rates, and data on a line."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from ...errors import ParameterError
from ...parameters import parameter
from ...problem import Problem
from .declared import (
    input_rate,
    irreducible_loss,
    loss_factor,
    output_factor,
    output_rate,
    require_equally_many,
    require_training,
    second_moment,
    target_coefficient,
)
from .exact import Array
from .grid import OVERLAPS
from .invariants import ROUNDED


class InitialisedNetwork(Problem):
    """A two-layer linear network f(x) = gamma sum_i u_i w_i x = F x, its initial weights and learning rates."""

    is_limit: ClassVar[bool] = False

    u: Any = parameter("initial output weights; or give uu, ww and uw", symbol="u", kind="vector", default=None)
    w: Any = parameter("initial input weights, as many as u", symbol="w", kind="vector", default=None)
    uu: Any = parameter("squared norm of the initial output weights", symbol="|u|^2", low=0, default=None)
    ww: Any = parameter("squared norm of the initial input weights", symbol="|w|^2", low=0, default=None)
    uw: Any = parameter("scalar product of the initial weights", symbol=r"\langle u, w\rangle", default=None)
    gamma: Any = output_factor()
    eta_u: Any = output_rate()
    eta_w: Any = input_rate()

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

    def _validate(self) -> None:
        self._need_one_initialisation()
        require_training(self)

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
        if vectors:
            require_equally_many("w", self.w, "u", self.u)


class LineNetwork(InitialisedNetwork):
    """The network with the loss (loss_factor/2) E (f(x) - y)^2 and the moments of one-dimensional data."""

    m2: Any = second_moment()
    target_coefficient: Any = target_coefficient()
    loss_factor: Any = loss_factor()
    irreducible_loss: Any = irreducible_loss("no coefficient removes, E y^2 - (E xy)^2/E x^2")

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
        inputs, labels = cls._samples(x, y)
        m2 = float(np.mean(inputs**2))
        if m2 == 0:
            raise ParameterError("x", "must not be zero everywhere")
        slope = float(np.mean(inputs * labels)) / m2
        rest = float(np.mean((labels - slope * inputs) ** 2))
        return cls(m2=m2, target_coefficient=slope, irreducible_loss=rest, **parameters)

    @classmethod
    def _samples(cls, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        inputs, labels = (cls.parameters["u"].canonical(name, given) for name, given in (("x", x), ("y", y)))
        require_equally_many("y", labels, "x", inputs)
        return inputs, labels
