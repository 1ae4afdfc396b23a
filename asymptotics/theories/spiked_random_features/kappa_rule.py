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


def level_class(level: Array) -> NDArray[np.intp]:
    """Class j whose rule is made for the level 2 * 2^(j/2) >= level."""
    return np.ceil(2 * np.log2(np.maximum(level, LOWEST_LEVEL) / LOWEST_LEVEL) - 1e-9).astype(np.intp)


def choose_rule(
    activation: Nonlinearity,
    target: Nonlinearity,
    strength: Array,
    bulk_variance: Array,
    alignment: Array,
    level_class: int,
    refinement: int,
) -> KappaRule:
    """The rule with the fewest nodes among those that resolve everything."""
    level = LOWEST_LEVEL * 2.0 ** (level_class / 2)
    width = activation_width(activation, strength, bulk_variance)
    target_width = _target_width(target, alignment)
    half_range = np.full(width.shape, _half_range(level, 2 * max(activation.degree, target.degree) + 2))

    base = min(0.3, 0.33 / math.sqrt(level)) / refinement
    factor = (0.25 if target.kinks else 0.28) / refinement
    step = np.minimum(base * np.minimum(1.0, width), np.where(target_width < 1.2, factor * target_width, np.inf))
    step = np.maximum(step, 1e-9)  # a kink at full alignment: left to the panels
    counts = [2 * np.ceil(half_range / step) + 1]
    steps = [step]

    sinh_step = np.minimum(0.07, 0.25 / level) * np.clip(target_width, 1e-9, 1.0) / refinement
    allowed = _is_centred(activation, bulk_variance) & (width < 1) & (not target.kinks)
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


def activation_width(activation: Nonlinearity, strength: Array, bulk_variance: Array) -> Array:
    """Length in kappa over which the moments of the activation vary: their argument is N(r kappa, c)."""
    smooth = 0.0 if activation.kinks else 0.5 * activation.scale
    length = np.maximum(np.sqrt(bulk_variance), smooth)
    return length / np.maximum(np.abs(strength), 1e-6 * length)


def _target_width(target: Nonlinearity, alignment: Array) -> Array:
    """The same for E sigma_star(gamma kappa + rho tau)."""
    smooth = 0.0 if target.kinks else target.scale
    magnitude = np.maximum(np.abs(alignment), 1e-6)
    return np.hypot(np.sqrt((1 - alignment) * (1 + alignment)), smooth) / magnitude


def _is_centred(activation: Nonlinearity, bulk_variance: Array) -> Array:
    """Whether all structure sits near zero, so that nodes may thin out away from it."""
    places = [abs(place) for place, _ in activation.features]
    return activation.localised & (max(places, default=0.0) <= np.sqrt(bulk_variance))


def _half_range(level: float, degree: int) -> float:
    """L with phi(L) L^degree below 1e-16 exp(-level) of the mean of |kappa|^degree."""
    moment = math.lgamma((degree + 1) / 2) + 0.5 * degree * math.log(2) - 0.5 * math.log(math.pi)
    square = 74 + 2 * level
    for _ in range(20):
        square = 74 + 2 * level + max(0.0, degree * math.log(square) - 2 * moment)
    return math.sqrt(square)


def rule_nodes(
    rule: KappaRule,
    target: Nonlinearity,
    width: Array,
    alignment: Array,
    halved: bool,
) -> tuple[Array, Array]:
    """Nodes and Gaussian weights (T, K) of rules of one kind; K is that of the finest.

    `halved` keeps kappa >= 0 with doubled weights, for integrands that are even.
    """
    kind = int(rule.kind[0])
    if kind == PANELS:
        places = np.array([place for place, _ in target.features])
        safe = np.where(np.abs(alignment) > 1e-6, alignment, 1e-6)
        scales = np.hypot(
            np.sqrt((1 - alignment) * (1 + alignment))[:, None], [scale for _, scale in target.features]
        ) / np.abs(safe)[:, None]
        edges = graded_edges(-rule.half_range, rule.half_range, rule.step, places / safe[:, None], scales)
        kappa, weight = panel_rule(edges)
        return kappa, weight * normal_density(kappa)
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
