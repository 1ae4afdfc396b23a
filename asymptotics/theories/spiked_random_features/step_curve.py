"""From one gradient step to the spectral functions of the bulk; docs/theories/giant_step.md, section 11.

All averages are over the label y = sigma_star(s) + noise - c_0 and s = <theta, x>, of functions that are rational in y,
with poles near the real axis where C is strongly anisotropic.  The rule is made for the poles: panels in s, halved
until they are shorter than their distance from every pole.  With noise, panels whose labels keep away from the poles
take Gauss-Hermite nodes for it; for the others the density of y is tabulated, and y integrated over instead.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...gaussian import Nonlinearity
from ...gaussian.quadrature import bisected, graded_edges, normal_density, panel_rule
from ...spectra.step_covariance import LabelMeasure, resolvent_matrix
from ...spectra.step_curve import StepCurve, tabulate
from .gradient_step import first_coefficients

Array = NDArray[np.float64]
Poles = NDArray[np.complex128]
Curve = TypeVar("Curve")

ROUNDING = 1e-13  # of sums of squares that are zero
NEGLIGIBLE = 1e-19  # share of the averages below which nodes are left out
WIDEST_PANEL = 1.0  # in s
WAVES_PER_PANEL = 4.0  # lengths over which the target varies
REACH = 1.0  # width of panels in units of their distance from the poles
NEAR = 9.0  # deviations of the noise up to which a label is near a pole
NOISE_PANEL = 4.0  # width of panels that resolve the noise, in its deviations
FEW_DEVIATIONS = 100.0  # range of all labels, in deviations of the noise, up to which their density is tabulated
MOST_NOISE_NODES = 20
FARTHEST = 1e3  # deviations beyond which the fewest nodes are enough
PROBES = np.geomspace(1e-8, 1e2, 6)  # omega/c at which the poles are looked at
MOST_ROUNDS = 8
MOST_PANELS = 4096


def step_curves(
    activation: Nonlinearity, target: Nonlinearity, alpha0: ArrayLike, eta: ArrayLike, noise_var_step: ArrayLike,
    refinement: int = 1, level: float = 1.0,
) -> StepCurve:
    """One table for each of T steps, from parameters that broadcast to T values; equal steps are computed once."""
    curves, table = distinct_steps(
        lambda alpha, rate, noise_var: step_curve(activation, target, alpha, rate, noise_var, refinement, level),
        alpha0, eta, noise_var_step,
    )
    return StepCurve.stack(curves).rows(table)


def distinct_steps(
    make: Callable[[float, float, float], Curve], alpha0: ArrayLike, eta: ArrayLike, noise_var_step: ArrayLike
) -> tuple[list[Curve], NDArray[np.intp]]:
    """A curve for every distinct step, and which one belongs to each of the T steps."""
    parameters = np.stack([np.ravel(array) for array in np.broadcast_arrays(alpha0, eta, noise_var_step)], axis=-1)
    distinct, table = np.unique(parameters, axis=0, return_inverse=True)
    return [make(*row) for row in distinct.tolist()], np.ravel(table)


@functools.lru_cache(maxsize=1024)
def step_curve(
    activation: Nonlinearity, target: Nonlinearity, alpha0: float, eta: float, noise_var_step: float,
    refinement: int = 1, level: float = 1.0,
) -> StepCurve:
    """The spectral functions of the bulk after one step from unit-norm rows and readout u/sqrt(p): one table.

    Searches over other parameters solve the same step again and again: the latest tables are kept.

    Parameters
    ----------
    alpha0, eta, noise_var_step : float
        alpha0 = 0 and eta = 0 are no step, C = I, as is an activation that is affine.
    refinement : int
        Divides the panels and multiplies the nodes in omega.
    level : float
        u.
    """
    step = step_measure(activation, target, alpha0, eta, noise_var_step, refinement, level)
    return StepCurve.isotropic(1.0) if step is None else tabulate(step.measure, alpha0, step.k2, step.tau2, refinement)


class StepMeasure(NamedTuple):
    """The law of the labels that a step sees, and its anisotropy k2, tau2."""

    measure: LabelMeasure
    k2: float
    tau2: float


@functools.lru_cache(maxsize=4)  # covariance and row norms ask one after the other
def step_measure(
    activation: Nonlinearity, target: Nonlinearity, alpha0: float, eta: float, noise_var_step: float, refinement: int,
    level: float,
) -> StepMeasure | None:
    """What the tables of a step are made from; None if it leaves C = I."""
    k2, tau2 = step_anisotropy(activation, alpha0, eta * level)
    if k2 == 0 and tau2 == 0:
        return None
    mean = level * first_coefficients(activation)[0]
    measure = label_measure(target, mean, noise_var_step, alpha0, k2, tau2, refinement)
    return StepMeasure(measure, k2, tau2) if measure.power > ROUNDING**2 else None


def step_anisotropy(activation: Nonlinearity, alpha0: float, eta: float) -> tuple[float, float]:
    """k2 = sqrt2 eta c_2 and tau2 = eta^2 (s_2 - 2 c_2^2)/alpha0, exact zeros where they vanish; eq. (28)."""
    if not (alpha0 > 0 and eta != 0):
        return 0.0, 0.0
    c2 = first_coefficients(activation)[2]
    variance = activation.slope_variance()
    rest = variance - 2 * c2**2
    return math.sqrt(2) * eta * c2, eta**2 * rest / alpha0 if rest > ROUNDING * variance else 0.0


def label_measure(
    target: Nonlinearity, mean: float, noise_var: float, alpha0: float, k2: float, tau2: float, refinement: int = 1
) -> LabelMeasure:
    """The law of (y, s), y = target(s) - mean + noise, on nodes that resolve the averages of eqs. (30)-(34).

    The poles depend on the averages: the rule is refined until the poles that it leads to ask for no more.
    """
    noise = math.sqrt(noise_var)
    edges = _first_edges(target, refinement)
    poles: Poles = np.empty(0, dtype=np.complex128)
    for attempt in range(MOST_ROUNDS):
        finer = _halved(edges, functools.partial(_too_wide, target, mean, noise, poles, REACH / refinement))
        # without noise the nodes depend on the poles through the panels only
        if finer.size == edges.size and attempt > (0 if noise == 0 else 1):
            break
        edges = finer
        measure = _measure(_panels(target, mean, edges), noise, poles, refinement)
        if not measure.power > 0:
            break
        poles = _label_poles(measure, alpha0, k2, tau2)
    return measure


def _label_poles(measure: LabelMeasure, alpha0: float, k2: float, tau2: float) -> Poles:
    """The zeros of D(y) in the upper half plane at several omega; eq. (30)."""
    c = (1 + k2 * measure.mean) ** 2 + (tau2 + k2**2 / alpha0) * measure.power
    g, q, h, _ = resolvent_matrix(measure, c * PROBES, alpha0, k2, tau2)
    return 1 / (-k2 * q / alpha0 - 1j * np.sqrt(g / alpha0 * (tau2 + k2**2 * h / alpha0)))


class _Panels(NamedTuple):
    """Panels (P,) in s with nodes, weights, labels without noise and their derivative at the nodes (P, N)."""

    width: Array
    s: Array
    weight: Array
    label: Array
    slope: Array

    def at(self, index: NDArray[np.bool_]) -> _Panels:
        return _Panels(*(array[index] for array in self))


def _panels(target: Nonlinearity, mean: float, edges: Array) -> _Panels:
    width = np.diff(edges)
    s, weight = (array.reshape(width.size, -1) for array in panel_rule(edges))
    return _Panels(width, s, weight * normal_density(s), target(s) - mean, target.derivative(s))


def _first_edges(target: Nonlinearity, refinement: int) -> Array:
    """Panels that resolve the target, where the density of s times the square of y s is not negligible."""
    s = np.linspace(0.0, 40.0, 801)
    logarithm = (2 * target.degree + 2) * np.log1p(s) - 0.5 * s * s
    reach = float(np.max(s[logarithm > np.max(logarithm) + math.log(NEGLIGIBLE)]))
    places, scales = (np.array([feature[i] for feature in target.features]) for i in range(2))
    edges = graded_edges(-reach, reach, min(WIDEST_PANEL, WAVES_PER_PANEL * target.ripple), places, scales)
    for _ in range(math.ceil(math.log2(refinement))):
        edges = bisected(edges)
    return np.unique(edges)


def _halved(edges: Array, too_wide: Callable[[Array], NDArray[np.bool_]]) -> Array:
    """The panels halved until none is too wide."""
    while edges.size <= MOST_PANELS:
        wide = too_wide(edges)
        if not np.any(wide):
            break
        edges = np.sort(np.concatenate([edges, 0.5 * (edges[1:] + edges[:-1])[wide]]))
    return edges


def _distance(label: Array, poles: Poles) -> Array:
    """Of labels (...) from the nearest pole; infinite if none is known."""
    return np.min(np.abs(label[..., None] - poles), axis=-1, initial=np.inf)


def _near(panels: _Panels, distance: Array, noise: float) -> NDArray[np.bool_]:
    """Panels (P,) whose labels with noise have their density tabulated."""
    few = np.ptp(panels.label) <= FEW_DEVIATIONS * noise
    return (np.min(distance, axis=1) < NEAR * noise) | (few and noise > 0)


def _too_wide(
    target: Nonlinearity, mean: float, noise: float, poles: Poles, reach: float, edges: Array
) -> NDArray[np.bool_]:
    """Panels of s that do not resolve the poles, or the noise if they are near a pole."""
    panels = _panels(target, mean, edges)
    distance = _distance(panels.label, poles)
    span = panels.width[:, None] * np.abs(panels.slope)
    near = _near(panels, distance, noise)
    # Gauss-Hermite nodes come closer to the poles than the labels without noise
    allowed = np.where(near[:, None], NOISE_PANEL * noise * reach, (0.5 if noise else 1.0) * reach * distance)
    return np.any(span > allowed, axis=1)


def _measure(panels: _Panels, noise: float, poles: Poles, refinement: int) -> LabelMeasure:
    """The law of (y, s) on all nodes that count."""
    if noise == 0:
        return _joined([(panels.label, panels.weight, panels.s)])
    distance = _distance(panels.label, poles)
    near = _near(panels, distance, noise)
    counts = refinement * _noise_nodes(np.min(distance, axis=1) / noise)
    parts = []
    for count in np.unique(counts[~near]):
        far = panels.at(~near & (counts == count))
        z, weight = _gauss_hermite(int(count))
        label = far.label[..., None] + noise * z
        parts.append((label, far.weight[..., None] * weight, np.broadcast_to(far.s[..., None], label.shape)))
    measure = _joined(parts)
    if np.any(near):
        table = _tabulated(panels.at(near), noise, poles, refinement)
        measure = LabelMeasure(*(np.concatenate(pair) for pair in zip(measure, table, strict=True)))
    return measure


def _joined(parts: list[tuple[Array, Array, Array]]) -> LabelMeasure:
    """Nodes (label, weight, s) as one measure, without those that are negligible."""
    label, weight, s = (
        np.concatenate([np.ravel(part[i]) for part in parts] or [np.empty(0)]) for i in range(3)
    )
    power = weight @ label**2
    counts = weight * (1 + s * s) * (1 + label**2 / power if power > 0 else 1.0) > NEGLIGIBLE
    label, weight, s = label[counts], weight[counts], s[counts]
    return LabelMeasure(label, weight, weight * s, weight * s * s)


def _noise_nodes(distance: Array) -> NDArray[np.intp]:
    """Gauss-Hermite nodes for functions with a pole at this many deviations: n!/distance^{2 n} is their error."""
    n = np.arange(2, MOST_NOISE_NODES + 1)
    factorials = np.array([math.lgamma(count + 1) for count in n])
    logarithm = factorials - 2 * n * np.log(np.clip(distance, NEAR, FARTHEST))[:, None]
    return n[np.argmax(logarithm < math.log(NEGLIGIBLE), axis=1)]


@functools.cache
def _gauss_hermite(count: int) -> tuple[Array, Array]:
    """Nodes and weights for N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / math.sqrt(2 * math.pi)


def _tabulated(panels: _Panels, noise: float, poles: Poles, refinement: int) -> LabelMeasure:
    """p_k(y) = E_s[s^k phi((y - label(s))/noise)/noise] on panels in y that resolve the noise and the poles."""
    low, high = np.min(panels.label) - NEAR * noise, np.max(panels.label) + NEAR * noise
    count = math.ceil((high - low) / (NOISE_PANEL * noise)) * refinement

    def too_wide(edges: Array) -> NDArray[np.bool_]:
        y, _ = panel_rule(edges)
        distance = _distance(y, poles).reshape(edges.size - 1, -1)
        return np.diff(edges) > REACH / refinement * np.min(distance, axis=1)

    y, weight = panel_rule(_halved(np.linspace(low, high, count + 1), too_wide))
    s, own = np.ravel(panels.s), np.ravel(panels.weight)
    with np.errstate(under="ignore"):
        kernel = normal_density((y[:, None] - np.ravel(panels.label)) / noise)
        moments = kernel @ np.stack([own, own * s, own * s * s], axis=-1) * (weight / noise)[:, None]
    moments = moments[counts := moments[:, 0] > NEGLIGIBLE]
    return LabelMeasure(y[counts], *np.ascontiguousarray(moments.T))
