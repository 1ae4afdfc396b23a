"""Deep random features as classification sees them: functions of the effective ridge of the last layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from ...spectra.layers import Chain, chain_at
from .classification_solution import FeatureSums
from .layers import layer_coefficients

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_SHIFT = 1e-4  # of log kappa in difference quotients, which steer Newton's method only


class ChainFeatures:
    """The chain of layers over isotropic inputs, for a teacher nu = theta . x with |theta|^2 = rho; eq. (25).

    Parameters
    ----------
    chain : Chain
        With signal 1.
    d, rho : ndarray (C,)
        Of all cells.
    """

    def __init__(self, chain: Chain, d: Array, rho: Array) -> None:
        self.chain, self.d, self.rho = chain, d, rho
        self.trace = np.full(d.shape, float(chain.mean_traces()[-1] * chain.widths[-1]))
        base = chain_at(chain, d, self.trace).base
        self.explained = rho / (1 + base)

    def at(self, kappa: Array, cells: Index) -> FeatureSums:
        """See `Features`."""
        near, shifted = (self._sums(kappa * factor, cells) for factor in (1.0, 1 + _SHIFT))
        slopes = [(shifted[number] - near[number]) / np.log1p(_SHIFT) for number in (1, 3)]
        return FeatureSums(*near, *slopes)

    def _sums(self, kappa: Array, cells: Index) -> tuple[Array, ...]:
        """df1, df2, Q, Q + kappa Q' and its excess over Q^2/Q(0), from kappa_0 - kappa_L/kappa_L'."""
        solved = chain_at(self.chain, self.d[cells], kappa)
        state, base = solved.state, solved.base
        below, slack = 1 + state.kappas[0], state.input_slack
        # what is left of the slack beyond the corner: from whichever form cancels less
        rest = np.where(state.delta > base, np.maximum(slack - base, 0.0), state.lag / state.slope)
        overlap = self.rho[cells] / below
        return (state.df1, state.df2, overlap, overlap * (1 + slack) / below, overlap * rest / below)


def chain_features(activations: Sequence[Nonlinearity], widths: Sequence[int], d: Array, rho: Array) -> ChainFeatures:
    """Features of the last layer over isotropic inputs, (C,) cells of input dimension d and teachers of power rho."""
    layers = layer_coefficients(activations, 1.0)
    one = np.ones(1)
    chain = Chain(one, one, one, layers.slopes, layers.noises, np.array(widths, dtype=np.float64))
    return ChainFeatures(chain, d, rho)
