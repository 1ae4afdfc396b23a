"""Observables of the layers; equations (3) and (7) of docs/theories/linear_network_inputs.md."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..exact import Array
from ..ratios import norm
from .layers import Layers, Training, coefficients, kernel


def observe(c: Training, state: Layers, names: Sequence[str]) -> dict[str, Array]:
    """The named observables, over (cells, times) and trailing axes; not the loss, which is the excess loss and more."""
    covariance, target = c.covariance[:, None], c.target
    asked = set(names)
    found: dict[str, Array] = {"coefficients": _coefficients(c, state)}
    if asked & {"excess_loss", "loss"}:
        found["excess_loss"] = 0.5 * c.loss_factor[:, None] * _square(covariance, state.gap)
    if "gap_norm" in asked:
        found["gap_norm"] = norm(state.gap)
    if "alignment" in asked:
        beta = found["coefficients"]
        length = norm(beta) * norm(target)
        cosine = np.full(length.shape, np.nan)
        np.divide(beta @ target, length, out=cosine, where=length > 0)
        found["alignment"] = np.clip(cosine, -1.0, 1.0)
    if "norm_u" in asked:
        found["norm_u"] = norm(state.u)
    if "norm_W" in asked:
        found["norm_W"] = norm(state.W.reshape((*state.W.shape[:2], state.W.shape[2] * state.W.shape[3])))
    if asked & {"ntk_trace", "ntk_along_target"}:
        theta = kernel(c, state.u, state.W)
        found["ntk_trace"] = np.sum(theta * covariance, axis=(-2, -1))
        labels = np.einsum("cij,j->ci", c.covariance, target)
        power = np.broadcast_to((labels @ target)[:, None], state.gap.shape[:-1])
        along = np.full(state.gap.shape[:-1], np.nan)
        np.divide(_square(theta, np.broadcast_to(labels[:, None], state.gap.shape)), power, out=along, where=power > 0)
        found["ntk_along_target"] = along
    return {name: values for name, values in found.items() if name in asked or name == "excess_loss"}


def _coefficients(c: Training, state: Layers) -> Array:
    """beta from the weights, or beta* - gap where that has more digits."""
    near = norm(state.gap) < 0.5 * norm(c.target)
    return np.where(near[..., None], c.target - state.gap, coefficients(c, state.u, state.W))


def _square(matrix: Array, vector: Array) -> Array:
    """x^T matrix x."""
    return np.einsum("...i,...ij,...j->...", vector, matrix, vector)
