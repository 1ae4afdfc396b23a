"""Convex losses, binary labels, and the Gaussian averages of the proximal map; docs/theories/structured_features.md.

The output omega ~ N(0, q) of the readout that leaves a sample out, and the teacher's pre-activation nu ~ N(0, rho),
are Gaussian with covariance m.  Instead of (q, m) everything is stated in

    s = q - m^2/rho,    t = m/sqrt(rho s) = sinh(a),    q = s (1 + t^2),    cosine m/sqrt(rho q) = tanh(a)

so that nothing cancels as the angle between teacher and readout closes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .panels import FIXED, REACH, SCALED, cumulative, edges, nodes, units

Array = NDArray[np.float64]

LossName = Literal["logistic", "hinge", "square"]
LabelName = Literal["sign", "logit", "probit"]

STEP = 0.12  # in the logarithm of the scale of the normal laws whose mixture is the logistic law
SCALES = (0.15, 4.6)  # the mixture's ends; its density beyond is below 1e-16


class Labels(NamedTuple):
    """Labels y = sign(nu + xi), the law of xi a mixture of centred normal laws.

    Attributes
    ----------
    noise : ndarray (J,)
        Variances.
    share : ndarray (J,)
        Weights of the mixture, of sum 1.
    """

    noise: Array
    share: Array


@functools.cache
def labels(name: LabelName, refinement: int = 1) -> Labels:
    """P(y = 1 | nu): [nu > 0] ("sign"), Phi(nu) ("probit"), 1/(1 + e^-nu) ("logit").

    The logistic law is that of 2 k g with g normal and k of the law of Kolmogorov, over whose logarithm the
    trapezoidal rule converges exponentially.
    """
    if name != "logit":
        return Labels(np.array([1.0 if name == "probit" else 0.0]), np.ones(1))
    low, high = map(math.log, SCALES)
    k = np.exp(low + STEP / refinement * np.arange(round((high - low) / STEP) * refinement + 1))
    share = k * _kolmogorov_density(k)
    return Labels(4 * k**2, share / np.sum(share))


def _kolmogorov_density(k: Array) -> Array:
    """Density of the law of Kolmogorov, by the series that converges faster on either side of 0.8."""
    small, large = np.minimum(k, 0.8), np.maximum(k, 0.8)
    j = np.arange(1, 9)[:, None]
    c = (2 * j - 1) ** 2 * np.pi**2 / 8
    left = np.sqrt(2 * np.pi) * np.sum(np.exp(-c / small**2) * (2 * c / small**4 - 1 / small**2), axis=0)
    right = 8 * large * np.sum((-1.0) ** (j - 1) * j**2 * np.exp(-2 * j**2 * large**2), axis=0)
    return np.where(k < 0.8, left, right)


class State(NamedTuple):
    """Where the averages are taken, all (C,).

    Attributes
    ----------
    v : ndarray
        V, the variance of the proximal map.
    spread : ndarray
        s = q - m^2/rho.
    slant : ndarray
        t = m/sqrt(rho s).
    rho : ndarray
    """

    v: Array
    spread: Array
    slant: Array
    rho: Array

    @property
    def q(self) -> Array:
        """E omega^2."""
        return self.spread * (1 + self.slant**2)

    @property
    def m(self) -> Array:
        """E nu omega."""
        return self.slant * np.sqrt(self.rho * self.spread)


class Averages(NamedTuple):
    """Averages over a sample, eq. (21).

    Attributes
    ----------
    values : ndarray (3, C)
        hatV/n, hatq/n, hatm/n.
    slopes : ndarray (3, 3, C) or None
        Their derivatives (first axis: of which) with respect to log V, log s and a.
    """

    values: Array
    slopes: Array | None


class _Nodes(NamedTuple):
    """Nodes (C, N) in omega for y = 1, and the loss there; in contiguous panels, but for `extra` nodes at the end.

    Attributes
    ----------
    start : ndarray (C,)
        Left end of the panels.
    omega, weight : ndarray (C, N)
    force, curvature : ndarray (C, N)
        f = (prox - omega)/V and -df/domega.
    force_slope, curvature_slope : ndarray (C, N)
        Their derivatives with respect to V.
    loss : ndarray (C, N)
        At the proximal point.
    """

    start: Array
    omega: Array
    weight: Array
    force: Array
    curvature: Array
    force_slope: Array
    curvature_slope: Array
    loss: Array
    extra: int


_EMPTY = np.empty((0, 0))


def averages(loss: LossName, law: Labels, state: State, refinement: int = 1, slopes: bool = False) -> Averages:
    """hatV, hatq and hatm per sample at C states; eq. (21)."""
    if loss == "square":
        return _square_averages(law, state, slopes)
    at = _NODES[loss](law, state, refinement, slopes, False)
    density = _density(at.omega, at.weight, state.q)
    seen, positive = _label_weights(law, state, at, density, slopes)
    squared = at.force**2
    values = np.stack([_sum(positive, at.curvature), _sum(positive, squared), _sum(seen[0], at.force)])
    values *= 2
    if not slopes:
        return Averages(values, None)
    t, cosh = state.slant, np.sqrt(1 + state.slant**2)
    found = np.empty((3, 3, t.size))
    found[0, 0] = state.v * _sum(positive, at.curvature_slope)
    found[1, 0] = 2 * state.v * _sum(positive, at.force * at.force_slope)
    found[2, 0] = state.v * _sum(seen[0], at.force_slope)
    # the density of omega widens with log q = log s + log(1 + t^2); the law of the label turns with a
    widening = positive * (0.5 * at.omega**2 / state.q[:, None] - 0.5)
    turn_s, turn_a = seen[1] * at.omega, seen[2] * at.omega
    for number, what in enumerate((at.curvature, squared)):
        wider = _sum(widening, what)
        found[number, 1] = wider + _sum(turn_s, what)
        found[number, 2] = 2 * t / cosh * wider + _sum(turn_a, what)
    omega_squared = at.omega**2
    found[2, 1] = _sum(seen[3] * omega_squared, at.force) - 0.5 * values[2] / 2
    found[2, 2] = _sum(seen[4] * omega_squared, at.force) - _sum(seen[5], at.force)
    return Averages(values, 2 * found)


def train_loss(loss: LossName, law: Labels, state: State, refinement: int = 1) -> Array:
    """Mean loss (C,) on the training set, without penalty; eq. (23)."""
    if loss == "square":
        return 0.5 * _square_averages(law, state, False).values[1]
    at = _NODES[loss](law, state, refinement, False, True)
    density = _density(at.omega, at.weight, state.q)
    _, positive = _label_weights(law, state, at, density, False)
    return 2 * _sum(positive, at.loss)


def classification_error(slant: Array) -> Array:
    """Probability that the prediction differs from sign(nu); eq. (24)."""
    return np.arctan2(1.0, slant) / np.pi


def noisy_label_error(law: Labels, state: State) -> Array:
    """Probability that the prediction differs from a fresh label: a mixture of angles; eq. (24)."""
    return classification_error(_component_slants(law, state)) @ law.share


def _sum(one: Array, two: Array) -> Array:
    return np.einsum("cn,cn->c", one, two)


def _density(omega: Array, weight: Array, q: Array) -> Array:
    """Weights times the density of N(0, q)."""
    scale = np.sqrt(q)[:, None]
    # far outside the density is zero; without overflow on the way
    z = np.clip(omega / scale, -40.0, 40.0)
    return weight * np.exp(-0.5 * z**2) / (math.sqrt(2 * math.pi) * scale)


def _component_slants(law: Labels, state: State) -> Array:
    """t_j (C, J) of the normal laws of the mixture: of teachers of variance rho + noise."""
    ratio = state.rho / (state.rho + law.noise[:, None] * (1 + state.slant**2))
    return (state.slant * np.sqrt(ratio)).T


def _label_weights(law: Labels, state: State, at: _Nodes, density: Array, slopes: bool) -> tuple[Array, Array]:
    """Averages over the label given omega, times the weights `density` of the nodes.

    Returns
    -------
    seen : ndarray (R, C, N)
        Weights of the derivative of Z = P(y = 1 | omega) with the mean of nu; with slopes also those of dZ/dlog s and
        dZ/da, over omega, and three pieces of the slopes of hatm.
    positive : ndarray (C, N)
        Weights of Z.
    """
    from scipy.special import ndtr

    t, q = state.slant[:, None], state.q[:, None]
    cosh2 = 1 + t**2
    variance = state.rho[:, None] / cosh2  # of nu given omega
    whole = variance + law.noise
    r2 = variance / whole
    slants = t * np.sqrt(r2)
    tau = slants / np.sqrt(q)
    root = 1 / math.sqrt(2 * math.pi)
    seen_rate = law.share * root / np.sqrt(whole)
    rows = [seen_rate]
    if slopes:
        turn = law.share * root
        cosh = np.sqrt(cosh2)
        inverse = (1 + slants**2) / q  # 1/q_j: omega given nu + xi = 0 has variance q_j
        widening = 2 * t / cosh * (law.noise / whole)  # d log q_j/da
        rows += [-0.5 * turn * tau, turn * np.sqrt(r2) / (cosh * np.sqrt(q)) * (1 + slants**2 - t**2),
                 0.5 * seen_rate * inverse, 0.5 * seen_rate * inverse * widening, 0.5 * seen_rate * widening]
    mixture = law.noise.size > 1
    if mixture:
        rows.append(law.share * root * tau)
    stacked = np.stack(np.broadcast_arrays(*rows))  # (R, C, J)
    inner = at.omega.shape[1] - at.extra
    if mixture:
        squares = -0.5 * np.clip(at.omega, -1e100, 1e100) ** 2
        normal = np.exp(np.square(tau)[:, :, None] * squares[:, None, :])
        seen = np.moveaxis(np.moveaxis(stacked, 0, 1) @ normal, 1, 0)
        left = np.einsum("cj,j->c", ndtr(tau * at.start[:, None]), law.share)
        z = np.empty(at.omega.shape)
        z[:, :inner] = left[:, None] + cumulative((seen[-1] * at.weight)[:, :inner])
        for column in range(inner, at.omega.shape[1]):
            z[:, column] = ndtr(tau * at.omega[:, column, None]) @ law.share
    else:
        argument = tau * at.omega
        z = ndtr(argument)
        argument = np.clip(argument, -40.0, 40.0)
        seen = stacked * np.exp(-0.5 * argument**2)
    return seen * density, z * density


def _square_averages(law: Labels, state: State, slopes: bool) -> Averages:
    """The square loss: only E y nu = sum_j share sqrt(2/(pi (rho + noise))) rho enters."""
    v, q, rho = state.v, state.q, state.rho
    psi = np.sqrt(2 / (np.pi * (rho + law.noise[:, None]))).T @ law.share
    m = state.m
    # 1 - 2 m psi + q, in positive terms
    misfit = state.spread + (m / np.sqrt(rho) - psi * np.sqrt(rho)) ** 2 + (1 - psi**2 * rho)
    values = np.stack([1 / (1 + v), misfit / (1 + v) ** 2, psi / (1 + v)])
    if not slopes:
        return Averages(values, None)
    found = np.zeros((3, 3, v.size))
    found[:, 0] = -v / (1 + v) * values * np.array([1.0, 2.0, 1.0])[:, None]
    t, cosh = state.slant, np.sqrt(1 + state.slant**2)
    found[1, 1] = (q - m * psi) / (1 + v) ** 2
    found[1, 2] = 2 * cosh * (state.spread * t - psi * np.sqrt(rho * state.spread)) / (1 + v) ** 2
    return Averages(values, found)


# ---- nodes


def _scales(law: Labels, state: State) -> tuple[Array, Array]:
    """Widths (C,) in omega of its density, and of the narrowest among the label and the density given nu + xi = 0."""
    cosh2 = 1 + state.slant**2
    noise = min(float(law.noise[0]), 1.0) if law.noise.size == 1 else 2.9
    narrow = np.sqrt(state.q / (1 + state.slant**2 * state.rho / (state.rho + noise * cosh2)))
    return np.sqrt(state.q), narrow


def _hinge_nodes(law: Labels, state: State, refinement: int, slopes: bool, loss: bool) -> _Nodes:
    """f = 1 below 1 - V, (1 - omega)/V between 1 - V and 1, 0 above; the kinks are edges."""
    wide, narrow = _scales(law, state)
    reach = REACH * wide
    inner, outer = np.clip(1 - state.v, -reach, reach), np.clip(1.0, -reach, reach)
    marks = np.concatenate([wide[:, None] * SCALED, narrow[:, None] * SCALED], axis=1)
    both = []
    for low, high in ((-reach, inner), (inner, outer)):
        candidates = np.sort(np.clip(marks, low[:, None], high[:, None]), axis=1)
        candidates[:, 0], candidates[:, -1] = low, high
        both.append(nodes(edges(candidates, [units(candidates, wide), units(candidates, narrow)], refinement)))
    (below, below_weight), (middle, middle_weight) = both
    v = state.v[:, None]
    # moving 1 - V moves the end of the middle piece: one more node
    end = ([1 - v], [np.ones(v.shape)]) if slopes else ([], [])
    omega = np.concatenate([below, middle, *end[0]], axis=1)
    weight = np.concatenate([below_weight, middle_weight, *end[1]], axis=1)
    first, last = below.shape[1], below.shape[1] + middle.shape[1]
    force, curvature = np.zeros(omega.shape), np.zeros(omega.shape)
    force[:, :first] = 1.0
    force[:, first:last] = (1 - middle) / v
    curvature[:, first:last] = 1 / v
    force_slope = curvature_slope = value = _EMPTY
    if slopes:
        force_slope, curvature_slope = np.zeros(omega.shape), np.zeros(omega.shape)
        force_slope[:, first:last] = -force[:, first:last] / v
        curvature_slope[:, first:last] = -1 / v**2
        curvature_slope[:, last:] = np.where(np.abs(1 - v) < reach[:, None], 1 / v, 0.0)
    if loss:
        value = np.zeros(omega.shape)
        value[:, :first] = np.maximum(1 - below - v, 0.0)
    return _Nodes(-reach, omega, weight, force, curvature, force_slope, curvature_slope, value, len(end[0]))


def _logistic_nodes(law: Labels, state: State, refinement: int, slopes: bool, loss: bool) -> _Nodes:
    """Nodes in the proximal point x itself: omega = x - V sigmoid(-x), domega = (1 + V l2) dx, l2 = sigmoid'(x)."""
    wide, narrow = _scales(law, state)
    marks = np.concatenate([wide[:, None] * SCALED, narrow[:, None] * SCALED], axis=1)
    images = logistic_prox(marks, state.v[:, None])
    low, high = images[:, :1], images[:, SCALED.size - 1, None]
    fixed = np.broadcast_to(FIXED, (len(images), FIXED.size))
    candidates = np.sort(np.clip(np.concatenate([images, fixed], axis=1), low, high), axis=1)
    v = state.v[:, None]
    outputs = candidates - v * _sigmoid_below(candidates)[0]
    unit = np.ones(len(images))
    x, weight = nodes(edges(
        candidates, [units(outputs, wide), units(outputs, narrow), units(candidates, unit, FIXED)], refinement
    ))
    force, l2 = _sigmoid_below(x)
    stretch = 1 + v * l2
    curvature = l2 / stretch
    force_slope = curvature_slope = value = _EMPTY
    if slopes:
        moved = force / stretch  # dx/dV at fixed omega
        force_slope = -l2 * moved
        # l2' = l2 (2 sigmoid(-x) - 1)
        curvature_slope = (l2 * (2 * force - 1) * moved - l2**2) / stretch**2
    if loss:
        value = np.logaddexp(0.0, -x)
    return _Nodes(outputs[:, 0], x - v * force, weight * stretch, force, curvature, force_slope, curvature_slope,
                  value, 0)


def _sigmoid_below(x: Array) -> tuple[Array, Array]:
    """sigmoid(-x) and its product with sigmoid(x)."""
    decay = np.exp(-np.abs(x))
    larger = 1 / (1 + decay)
    smaller = decay * larger
    return np.where(x >= 0, smaller, larger), smaller * larger


def logistic_prox(omega: Array, v: Array) -> Array:
    """Solution x of x = omega + V sigmoid(-x), to a few digits: for the edges of panels."""
    mirrored = omega + 0.5 * v < 0
    output = np.where(mirrored, -(omega + v), omega)  # of the solution that is positive
    # x = omega + W(V e^-omega) for exponentially small losses
    power = np.logaddexp(0.0, np.log(v) - output)
    x = np.maximum(output + power * (1 - np.log1p(power) / (2 + power)), 0.0)
    for _ in range(3):
        force, l2 = _sigmoid_below(x)
        x = np.maximum(x - (x - output - v * force) / (1 + v * l2), 0.0)
    return np.where(mirrored, -x, x)


_NODES: dict[str, Callable[[Labels, State, int, bool, bool], _Nodes]] = {
    "hinge": _hinge_nodes, "logistic": _logistic_nodes,
}
