"""Quadrature over kappa, chosen from the widths of all functions of kappa and from the size of V itself.

kappa ~ N(0, 1).  Integrands are rational in V(kappa) = mu1^2 V1 + mu2^2 V2, whose poles approach the real axis like
1/sqrt(log V) and which make the far tails matter when V is large: a rule for V = O(1) fails for a small ridge.  Rules
are therefore made for a level Lambda >= log(1 + max V); see docs/theories/giant_step.md, section 5.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian import Nonlinearity
from ...gaussian.quadrature import PANEL_NODES, graded_edges, normal_density, panel_rule
from .gradient_step import SpikeParameters

Array = NDArray[np.float64]

LOWEST_LEVEL = 2.0
MOST_NODES = 400_000

UNIFORM, SINH, PANELS = 0, 1, 2


class KappaRule(NamedTuple):
    """How to integrate over kappa for each of T tables at one level.

    Attributes
    ----------
    kind : ndarray of int (T,)
    step : ndarray (T,)
        In kappa, in asinh(kappa/width), or the widest panel.
    half_range : ndarray (T,)
    nodes : ndarray of int (T,)
    """

    kind: NDArray[np.intp]
    step: Array
    half_range: Array
    nodes: NDArray[np.intp]

    def at(self, index: NDArray[np.intp]) -> KappaRule:
        """The rules of some tables."""
        return KappaRule(self.kind[index], self.step[index], self.half_range[index], self.nodes[index])


def level_class(level: Array) -> NDArray[np.intp]:
    """Class j whose rule is made for the level 2 * 2^(j/2) >= level."""
    return np.ceil(2 * np.log2(np.maximum(level, LOWEST_LEVEL) / LOWEST_LEVEL) - 1e-9).astype(np.intp)


def choose_rule(
    activation: Nonlinearity,
    target: Nonlinearity,
    spikes: SpikeParameters,
    level_class: int,
    refinement: int,
) -> KappaRule:
    """The rule with the fewest nodes among those that resolve everything."""
    level = LOWEST_LEVEL * 2.0 ** (level_class / 2)
    width = activation_width(activation, spikes)
    target_width = _target_width(target, spikes)
    half_range = np.full(width.shape, _half_range(level, 2 * max(activation.degree, target.degree) + 2))

    base = min(0.3, 0.33 / math.sqrt(level)) / refinement
    factor = (0.25 if target.kinks else 0.28) / refinement
    step = np.minimum(base * np.minimum(1.0, width), np.where(target_width < 1.2, factor * target_width, np.inf))
    step = np.maximum(step, 1e-9)  # a kink at full alignment: left to the panels
    counts = [2 * np.ceil(half_range / step) + 1]
    steps = [step]

    sinh_step = np.minimum(0.07, 0.25 / level) * np.clip(target_width, 1e-9, 1.0) / refinement
    allowed = _is_centred(activation, spikes) & (width < 1) & (len(target.kinks) == 0)
    counts.append(np.where(allowed, 2 * np.ceil(np.arcsinh(half_range / width) / sinh_step) + 1, np.inf))
    steps.append(sinh_step)

    panel = 6 * base * np.minimum(1.0, width)
    if target.features:
        depth = np.maximum(1.0, np.log2(panel / np.maximum(target_width, 1e-12)) + 6)
        counts.append(PANEL_NODES * (np.ceil(2 * half_range / panel) + 2 * len(target.features) * depth))
        steps.append(panel)
    kind = np.argmin(counts, axis=0)
    nodes = np.min(counts, axis=0)
    return KappaRule(
        kind, np.choose(kind, steps), half_range, np.minimum(nodes, 2.0 * MOST_NODES).astype(np.intp)
    )


def activation_width(activation: Nonlinearity, spikes: SpikeParameters) -> Array:
    """Length in kappa over which the moments of the activation vary: their argument is N(r kappa, c)."""
    smooth = 0.0 if activation.kinks else 0.5 * activation.scale
    length = np.maximum(np.sqrt(spikes.bulk_variance), smooth)
    return length / np.maximum(np.abs(spikes.strength), 1e-6 * length)


def _target_width(target: Nonlinearity, spikes: SpikeParameters) -> Array:
    """The same for E sigma_star(gamma kappa + rho tau)."""
    smooth = 0.0 if target.kinks else target.scale
    return np.hypot(spikes.rho, smooth) / np.maximum(np.abs(spikes.alignment), 1e-6)


def _is_centred(activation: Nonlinearity, spikes: SpikeParameters) -> NDArray[np.bool_]:
    """Whether all structure sits near zero, so that nodes may thin out away from it."""
    places = [abs(place) for place, _ in activation.features]
    return (max(places, default=0.0) <= np.sqrt(spikes.bulk_variance)) & activation.localised


def same_parity(activation: Nonlinearity, target: Nonlinearity) -> bool:
    """Whether every integrand is even in kappa."""
    return activation.parity != 0 and activation.parity == target.parity


def _half_range(level: float, degree: int) -> float:
    """L with phi(L) L^degree below 1e-16 exp(-level) of the mean of |kappa|^degree."""
    moment = math.lgamma((degree + 1) / 2) + 0.5 * degree * math.log(2) - 0.5 * math.log(math.pi)
    square = 74 + 2 * level
    for _ in range(20):
        square = 74 + 2 * level + max(0.0, degree * math.log(square) - 2 * moment)
    return math.sqrt(square)


def rule_nodes(
    rule: KappaRule, activation: Nonlinearity, target: Nonlinearity, spikes: SpikeParameters
) -> tuple[Array, Array]:
    """Nodes and Gaussian weights (T, K) of rules of one kind; K is that of the finest.

    Where every integrand is even only kappa >= 0 is kept, with doubled weights.
    """
    kind = int(rule.kind[0])
    if kind == PANELS:
        places = np.array([place for place, _ in target.features])
        safe = np.where(np.abs(spikes.alignment) > 1e-6, spikes.alignment, 1e-6)
        scales = np.hypot(spikes.rho[:, None], [scale for _, scale in target.features]) / np.abs(safe)[:, None]
        edges = graded_edges(-rule.half_range, rule.half_range, rule.step, places / safe[:, None], scales)
        kappa, weight = panel_rule(edges)
        return kappa, weight * normal_density(kappa)
    width = activation_width(activation, spikes)
    halved = same_parity(activation, target)
    reach = rule.half_range if kind == UNIFORM else np.arcsinh(rule.half_range / width)
    count = int(np.max(np.ceil(reach / rule.step)))
    index = np.arange(0 if halved else -count, count + 1)
    spacing = (reach / count)[:, None]
    s = spacing * index
    if kind == UNIFORM:
        kappa, weight = s, np.broadcast_to(spacing, s.shape)
    else:
        kappa, weight = width[:, None] * np.sinh(s), spacing * width[:, None] * np.cosh(s)
    if halved:
        weight = np.where(index == 0, weight, 2 * weight)
    return kappa, weight * normal_density(kappa)
