"""Averages over the initial weights at one time; eq. (11) of docs/theories/linear_network_ensemble.md."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from .flow import Evolution, Flow
from .initial_law import STEP, Average, Rule, rows, rule_of
from .late import holds, loss_rule

Array = NDArray[np.float64]

LATEST = 1500.0  # Lam t min(p, 2 k) beyond which E r^k is below the smallest number


class Ensemble:
    """The rule of one cell, with what does not depend on time."""

    def __init__(self, flow: Flow, rule: Rule | None = None, step: float = STEP) -> None:
        self.flow = flow
        self.step = step
        self.rule = rule_of(flow.law, step) if rule is None else rule
        self.start = flow.start(self.rule)

    @functools.cached_property
    def start_gap(self) -> Array:
        """kap r at t = 0."""
        return self.flow.target - self.start

    @functools.cached_property
    def scale(self) -> float:
        """Of kap F: the target, and what the start spreads over."""
        mean = self.rule.mean(self.start).value
        return self.flow.target + math.sqrt(self.rule.mean((self.start - mean) ** 2).value)

    def at(self, t: float, asked: Collection[str]) -> dict[str, Average]:
        """Means of `asked` at time t in the units of `Flow`.

        "coefficient" (kap F), "square" (kap^2 r^2), "kernel" (Theta), and the standard deviations "coefficient_spread"
        and "kernel_spread".
        """
        evolution = Evolution(self.flow, self.rule, self.start_gap, t)
        found: dict[str, Average] = {}
        if not {"coefficient", "coefficient_spread", "square"}.isdisjoint(asked):
            gap = evolution.gap()
            mean_gap = self.rule.mean(gap)
            if "coefficient" in asked:
                found["coefficient"] = self._coefficient(evolution, mean_gap)
            if not {"coefficient_spread", "square"}.isdisjoint(asked):
                square, spread = self._second_moments(gap, mean_gap, t)
                found |= {"square": square, "coefficient_spread": spread}
        if not {"kernel", "kernel_spread"}.isdisjoint(asked):
            up, down = evolution.parts()
            up += down
            up *= 0.5
            found["kernel"] = self.rule.mean(up)
            if "kernel_spread" in asked:
                found["kernel_spread"] = self._spread(up, found["kernel"])
        return found

    def _coefficient(self, evolution: Evolution, mean_gap: Average) -> Average:
        """kap E F, from the side that keeps its digits."""
        target = self.flow.target
        if abs(mean_gap.value) < 0.5 * target:
            return Average(target - mean_gap.value, mean_gap.error)
        change = self.rule.mean(evolution.change())
        return Average(self.flow.moments.half_difference + change.value, change.error)

    def _spread(self, values: Array, mean: Average) -> Average:
        deviation = values - mean.value
        variance = self.rule.mean(np.multiply(deviation, deviation, out=deviation))
        spread = math.sqrt(variance.value)
        return Average(spread, variance.error / (2 * spread) if spread > 0 else 0.0)

    def _second_moments(self, gap: Array, mean_gap: Average, t: float) -> tuple[Average, Average]:
        """E (kap r)^2 and the standard deviation of kap r: at late times they come from rare initialisations."""
        squares = gap * gap
        if holds(self.rule, self.rule.weight * squares):
            return self.rule.mean(squares), self._spread(gap, mean_gap)
        square = self.late_power(t, 2)
        spread = math.sqrt(max(square.value - mean_gap.value**2, 0.0))
        return square, Average(spread, square.error / (2 * spread) if spread > 0 else 0.0)

    def late_power(self, t: float, power: int) -> Average:
        """E (kap r)^power from the initialisations it comes from, rare as they may be."""
        if not np.any(self.start_gap):
            return Average(0.0, 0.0)
        if self.flow.rate * t * self.flow.target * min(self.flow.law.p, 2 * power) > LATEST:
            return Average(0.0, 0.0)
        rule = loss_rule(self.flow, t, self.step, power)
        gap = Evolution(self.flow, rule, self.flow.target - self.flow.start(rule), t).gap()
        return rule.mean(gap**power, self.rule.mass)


def final_kernel_moments(flow: Flow, step: float = STEP) -> tuple[float, float]:
    """Mean and standard deviation of Theta_inf in the units of `Flow`; eq. (12).  Zero where no network gets there."""
    if not flow.reachable:
        return 0.0, 0.0
    law = flow.law
    low, high, _ = law.window
    s = rows(law, low, high, step)
    density = law.marginal(s)
    weights = np.exp(density - np.max(density))
    weights /= np.sum(weights)
    kernel = np.exp(flow.log_final_kernel(s))
    mean = float(weights @ kernel)
    return mean, math.sqrt(float(weights @ (kernel - mean) ** 2))
