"""The state at each time of a flow with weight decay; equations (7) - (16) of docs/theories/linear_network_decay.md.

Kernels are in the units of `constants`, time is tau = c m2 t, and m = mu/(c m2): all in units in which the largest of
bP, bQ and kap|A| is of order one.  Points are flat arrays, mirrored so that A >= 0.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..constants import LARGEST, SMALLEST, Constants
from ..exact import Array
from ..trajectory import State, evaluate
from .bessel import attenuation, excess, mean_decay, ratios
from .uniform import LARGE

FAINT_KERNEL = 1e-9  # X = Gam q/(4 m) below which I and K are powers: their corrections are X^2
SIMILAR = 0.6  # |bP - bQ|/(bP + bQ) up to which F is not computed as that difference, if Theta > 2 kap |A| min(X, 1)
SLOW = 1e-4  # kap A tau, to which F/q is a polynomial in it
LONGEST, ENDLESS = 1e290, 1e200  # tau and length: everything has happened
EARLY, EARLY_TERMS = 0.02, 9  # all rates times tau below which F is a Taylor series, and its terms


class Points(NamedTuple):
    """Where a flow starts, for how long, and its target.

    Attributes
    ----------
    toward, away : ndarray
        bP and bQ of the point, mirrored so that A >= 0.
    Gam, kap, A, F : ndarray
        Mirrored as well; A >= 0.
    m, tau, length : ndarray
        Rate of decay, time, and length = 2 m tau = 2 mu t.
    """

    toward: Array
    away: Array
    Gam: Array
    kap: Array
    A: Array
    F: Array
    m: Array
    tau: Array
    length: Array

    @property
    def order(self) -> Array:
        """a m = kap A/4; equation (9)."""
        return 0.25 * self.kap * self.A

    def at(self, where: NDArray[np.bool_]) -> Self:
        """Some of the points."""
        return type(self)(*(array[where] for array in self))


class Arrival(NamedTuple):
    """bP and bQ of the weights that were reached, F where it is not (bP - bQ)/(2 kap) (else NaN), the residual."""

    toward: Array
    away: Array
    F: Array
    residual: Array


def evolve(c: Constants, mu: Array, t: Array, state: State) -> None:
    """Fill up, down, double, F, r, residual of the buffers; constants, mu and times broadcast to their shape.

    Without decay this is the closed form of the flow itself.
    """
    shape = state.F.shape
    mu, t = np.broadcast_to(mu, shape), np.broadcast_to(t, shape)
    plain = mu == 0
    if np.any(plain):
        evaluate(c, t, state)
        if np.all(plain):
            return
    where = np.nonzero(~plain)
    own, A = c.points(shape, where), np.broadcast_to(c.A, shape)[where]
    points = points_of(own, mu[where], t[where])
    found = arrive(points)
    positive = A >= 0
    state.up[where] = np.where(positive, found.toward, found.away)
    state.down[where] = np.where(positive, found.away, found.toward)
    double = found.toward + found.away
    difference = np.where(np.isnan(found.F), _half(found.toward - found.away, own.kap), found.F)
    F = np.where(positive, difference, -difference)
    state.double[where], state.F[where], state.r[where], state.residual[where] = double, F, A - F, found.residual
    if state.vanishing is not None:
        state.vanishing = None if not np.any(plain) else state.vanishing


def points_of(c: Constants, mu: Array, t: Array) -> Points:
    """The initial weights of points."""
    positive = c.A >= 0
    with np.errstate(over="ignore"):
        m = np.where(c.k > 0, np.minimum(mu / np.where(c.k > 0, c.k, 1.0), LARGEST), 1.0)
        tau = np.where(c.k > 0, np.minimum(c.k * t, LONGEST), 0.0)
        length = np.minimum(2 * mu * t, LARGEST)
        # where both are endless they end together
        length = np.where((c.k * t > LONGEST) & (length > ENDLESS), np.minimum(2 * m * LONGEST, LARGEST), length)
    return Points(
        np.where(positive, c.bP, c.bQ), np.where(positive, c.bQ, c.bP), c.Gam, c.kap, np.abs(c.A),
        np.where(positive, c.F0, -c.F0), np.maximum(m, SMALLEST), tau, length,
    )


def arrive(points: Points) -> Arrival:
    """Equations (9) - (16): by Bessel functions while these are no powers, and by powers from there on."""
    faint = FAINT_KERNEL * 4 * points.m
    with np.errstate(divide="ignore"):
        room = np.where(points.Gam > faint, np.log(np.maximum(points.Gam, SMALLEST)) - np.log(faint), 0.0)
    first = np.where(points.order < LARGE * points.m, np.minimum(room, points.length), points.length)
    first = np.where(points.Gam > faint, first, 0.0)
    found = Arrival(points.toward.copy(), points.away.copy(), points.F.copy(), np.zeros(points.F.shape))
    where = (points.Gam > faint) & (points.tau > 0)
    if np.any(where):
        whole = first == points.length
        until = np.where(whole, points.tau, _time(np.where(whole, 0.0, first), points.m))
        part = points._replace(length=first, tau=until)
        for out, values in zip(found, _by_bessel(part.at(where)), strict=True):
            out[where] = values
    rest = points.length - first
    where = ((rest > 0) | (points.Gam <= faint)) & (points.tau > 0)
    if np.any(where):
        left = points._replace(
            toward=found.toward, away=found.away, F=found.F, Gam=points.Gam * np.exp(-first), length=rest,
            tau=np.where(first > 0, _time(rest, points.m), points.tau),
        ).at(where)
        residual = found.residual[where]
        for out, values in zip(found, _by_powers(left), strict=True):
            out[where] = values
        found.residual[where] += residual
    F = np.where(_similar(points, found.toward, found.away, 1.0), found.F, np.nan)
    with np.errstate(over="ignore"):
        size = points.kap * (points.A + np.abs(points.F))
        early = (points.toward + points.away + size) * points.tau + points.length < EARLY
    if np.any(early):
        F[early] = _early_coefficient(points.at(early))
    return found._replace(F=F)


def _time(length: Array, m: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.minimum(0.5 * length / m, LONGEST)


def _similar(p: Points, toward: Array, away: Array, margin: float) -> NDArray[np.bool_]:
    """Where the difference of bP and bQ would lose digits that F has: it is of their size, or A adds more errors."""
    kernel, X = 0.5 * (toward + away), np.minimum(0.25 * p.Gam * np.exp(-p.length) / p.m, 1.0)
    return (np.abs(toward - away) <= 2 * SIMILAR * margin * kernel) & (kernel * margin >= 2 * p.kap * p.A * X)


# ---- Bessel functions


def _by_bessel(p: Points) -> Arrival:
    """Equations (9), (10) and (16)."""
    a, x0, x, m = p.order, 0.25 * p.Gam, 0.25 * p.Gam * np.exp(-p.length), p.m
    start, stop = ratios(a, x0, m), ratios(a, x, m)
    lower = attenuation(a - 0.5 * m, a, x0, m, p.length, p.tau)
    upper = attenuation(a + 0.5 * m, a, x0, m, p.length, p.tau)
    fading, grown, grown_upper = np.exp(lower), -np.expm1(lower), -np.expm1(upper)
    cross = stop.K * start.I
    N = stop.K + x * x * stop.I * fading + 0.25 * p.away * cross * grown_upper
    M = x0 * x0 * start.I + start.K * fading + 0.25 * p.toward * grown
    toward = p.toward * N / M
    away = np.exp(-2 * p.length) * p.away * M / N
    # I_{a+1/2}/K_{a+1/2} two ways
    other = fading * (x / x0) ** 2 * stop.I * start.K
    residual = np.abs(cross * np.exp(upper) - other) / (cross + other)
    return Arrival(toward, away, _kernel_coefficient(p, start.I, stop.I, fading, toward, away), residual)


def _kernel_coefficient(
    p: Points, start: Array, stop: Array, fading: Array, toward: Array, away: Array
) -> Array:
    """F where it is `_similar`, else NaN; equation (16)."""
    F = np.full(p.F.shape, np.nan)
    near = _similar(p, toward, away, 1.2)
    if not np.any(near):
        return F
    own, x0 = p.at(near), 0.25 * p.Gam[near]
    x = x0 * np.exp(-own.length)
    root = np.sqrt(own.toward) / np.sqrt(own.away)
    offset = 2 * own.F / (own.away * root * (1 + 1 / root))  # (root - 1)/kap
    K0, K = (own.A * excess(own.order, at, own.m) for at in (x0, x))  # (ratio - 1)/kap
    left = fading[near] * (offset - K0)
    below = root + x0 * start[near]
    excess_now = (K * below + (1 + x * stop[near]) * left) / (below - own.kap * left)
    now = 1 + own.kap * excess_now
    F[near] = own.Gam * np.exp(-own.length) * excess_now * (1 + now) / (2 * now)
    return F


# ---- powers


def _by_powers(p: Points) -> Arrival:
    """Equations (14) and (15): Gam q << m, or Gam = 0."""
    tau = np.minimum(0.5 * p.tau, LARGEST)
    drive = 0.5 * p.kap * p.A
    with np.errstate(over="ignore"):
        gained = np.minimum(4 * drive * tau, LARGEST)
    x, far = gained - p.length, gained + p.length
    falling, rising = np.exp(np.minimum(x, 0.0)), np.exp(-np.maximum(x, 0.0))
    side = np.where(p.Gam > 0, 0.25 * p.away / np.maximum(drive + p.m, SMALLEST), 0.0)
    N = 1 + p.away * tau * mean_decay(far)
    growth, spent = mean_decay(np.abs(x)), rising * mean_decay(2 * p.length)
    M = rising + p.toward * tau * (growth + side * (growth - spent))
    ahead = p.toward > 0
    toward = np.where(ahead, p.toward * falling * N / np.where(ahead, M, 1.0), 0.0)
    away = np.exp(-np.minimum(far, 2 * p.length)) * p.away * M / N
    F = _faint_coefficient(p)
    return Arrival(toward, away, F, np.zeros(F.shape))


def _faint_coefficient(p: Points) -> Array:
    """F where it is `_similar`, X << 1 and kap A tau << 1: two orders of the equation of F/q; equation (16)."""
    kernel = 0.5 * (p.toward + p.away)
    fading = np.exp(-p.length)
    share = mean_decay(p.length)
    with np.errstate(over="ignore", invalid="ignore"):  # of points that are not similar
        late = 0.5 * np.minimum(kernel / p.m, 1.0) * (share - fading)  # kernel int_0^tau q t dt / tau
        F = fading * p.F + fading * kernel * p.tau * (p.A * (1 - late) - p.F * share)
        y = p.kap * p.A * p.tau
        F += 0.5 * y * y * fading * p.F
        return np.where(y < SLOW, F, np.nan)


def _early_coefficient(p: Points) -> Array:
    """F by the Taylor series of F/q and Theta/q where all rates times tau are small: F - F0 keeps its digits."""
    F, kernel, decay = [p.F * 1.0], [0.5 * (p.toward + p.away)], [np.ones(p.F.shape)]
    change = np.zeros(p.F.shape)
    for n in range(EARLY_TERMS):
        gap = [-sum(decay[j] * F[i - j] for j in range(i + 1)) for i in range(n + 1)]
        gap[0] = gap[0] + p.A
        step = p.tau / (n + 1)
        F.append(step * sum(kernel[j] * gap[n - j] for j in range(n + 1)))
        kernel.append(step * p.kap * (p.kap * sum(F[j] * gap[n - j] for j in range(n + 1))))
        decay.append(decay[-1] * (-p.length / (n + 1)))
        change = change + F[-1]
    return np.exp(-p.length) * (p.F + change)


def _half(difference: Array, kap: Array) -> Array:
    return difference / np.where(kap > 0, 2 * np.maximum(kap, SMALLEST), 1.0)
