"""Chains of random layers: the spectrum of deep random features without matrices.

Layer l of width p_l has features of covariance a_l W Omega W^T + b_l, W with independent entries of variance 1/p_{l-1}.
W is a sample of size p_l of the layer below, so that each layer hands its effective ridge down to the one below it:

    p_{l-1} (b_l + kappa_l) = a_l kappa_{l-1} (p_l - D_{l-1}),    D_l = D_{l-1} + p_{l-1} b_l/(a_l kappa_{l-1})   (14)

with D = df1.  Everything is explicit in kappa_0, and measured from the corner where kappa_L vanishes,
kappa_0 = kappa_0^c + delta: differences I_l = kappa_l - kappa_l^c >= 0 and J_l = D_l - D_l^c <= 0 are sums of one sign;
docs/theories/structured_features.md, section 4.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .effective_ridge import balanced_step

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = NDArray[np.intp]

TILE = 1 << 14  # cells times input modes in a work array
SHORT_STEP = 3e-8  # Newton's error after it is its square
MOST_STEPS = 100
RESIDUAL_LIMIT = 1e-9
_LOWEST = -690.0  # of log delta


class Chain(NamedTuple):
    """Layers on top of inputs.

    Attributes
    ----------
    eigenvalues, shares, signal : ndarray (K,)
        Of the inputs: s > 0, fractions of the d dimensions, and t = c/s of the target.
    slopes, noises : ndarray (L,)
        a_l = E[sigma']^2 and b_l, the power of what is not linear in the layer below.
    widths : ndarray (L,)
        p_1, ..., p_L.
    columns : ndarray (L, M), optional
        Eigenvalues > 0, equally frequent, of the covariance of the rows of W_l; ones for l = 1.
    """

    eigenvalues: Array
    shares: Array
    signal: Array
    slopes: Array
    noises: Array
    widths: Array
    columns: Array | None = None

    @property
    def depth(self) -> int:
        """L."""
        return self.widths.size

    def below(self, layer: int, d: Array) -> Array:
        """p_{l-1} for l = 1, ..., L."""
        return d if layer == 1 else np.full(d.shape, self.widths[layer - 2])

    def mean_traces(self) -> Array:
        """tr Omega_l/p_l for l = 0, ..., L."""
        traces = [float(self.shares @ self.eigenvalues)]
        for layer, (a, b) in enumerate(zip(self.slopes, self.noises, strict=True), start=1):
            column = self.column(layer)
            traces.append(a * traces[-1] * (1.0 if column is None else float(np.mean(column))) + b)
        return np.array(traces)

    def column(self, layer: int) -> Array | None:
        """Eigenvalues of the covariance of the rows of W_l, l = 1, ..., L; None where it is the identity."""
        if self.columns is None or np.all(self.columns[layer - 1] == 1):
            return None
        return self.columns[layer - 1]


class Corner(NamedTuple):
    """Where kappa_L vanishes, for C input dimensions; kappa_l^c is exactly 0 from layer `vanishing` on.

    Attributes
    ----------
    kappa : ndarray (L + 1, C)
    room : ndarray (L + 1, C)
        p_l - D_{l-1}^c for l = 1, ..., L.
    stretch : ndarray (L + 1, C)
        tau_l^c of layers with structured rows, see `columns`.
    rank : ndarray (C,)
        R = D_L^c.
    """

    kappa: Array
    room: Array
    stretch: Array
    rank: Array

    def at(self, index: Index) -> Corner:
        """Some of the cells."""
        return Corner(self.kappa[:, index], self.room[:, index], self.stretch[:, index], self.rank[index])


class State(NamedTuple):
    """The chain at kappa_0 = kappa_0^c + delta, for C cells.

    Attributes
    ----------
    delta : ndarray (C,)
    kappas : ndarray (L + 1, C)
    kappa : ndarray (C,)
        kappa_L = I_L.
    slope : ndarray (C,)
        d kappa_L/d delta.
    lag : ndarray (C,)
        delta slope - kappa_L >= 0.
    df1 : ndarray (C,)
        D_L.
    missing : ndarray (C,)
        R - D_L.
    df1_fall : ndarray (C,)
        -d D_L/d delta.
    stiffness : ndarray (C,)
        d log kappa_L/d log kappa_0 - 1 >= 0; inf at the corner.
    df2 : ndarray (C,)
        D_L + dD_L/dlog kappa_L, without cancellation.
    """

    delta: Array
    kappas: Array
    kappa: Array
    slope: Array
    lag: Array
    df1: Array
    missing: Array
    df1_fall: Array
    stiffness: Array
    df2: Array

    @property
    def input_slack(self) -> Array:
        """kappa_0 - kappa_L/(d kappa_L/d kappa_0), also where the two are almost the same."""
        return self.kappas[0] / (1 + 1 / np.maximum(self.stiffness, 1e-290))

    @property
    def exchange(self) -> Array:
        """df1 - df2 = -kappa_L dD_L/dkappa_L."""
        return np.where(self.kappa > 0, self.kappa * self.df1_fall / np.where(self.slope > 0, self.slope, 1.0), 0.0)

    @property
    def spread(self) -> Array:
        """-dD_L/dkappa_L; inf without ridge where a linear layer is as wide as the rank below it."""
        regular = self.slope > 0
        return np.where(regular, self.df1_fall / np.where(regular, self.slope, 1.0), np.inf)


class ChainSolution(NamedTuple):
    """States of C cells, kappa_0 at their corners, their ranks, and how far their equations are from holding."""

    state: State
    base: Array
    rank: Array
    residual: Array

    @property
    def converged(self) -> Mask:
        """Whether the equation holds."""
        return np.isfinite(self.state.kappa) & (self.residual <= RESIDUAL_LIMIT)


def corner(chain: Chain, d: Array) -> Corner:
    """The corner for input dimensions (C,); by bisection in log kappa_0; eq. (15)."""
    ranks = [d * np.sum(chain.shares)]
    vanishing = np.zeros(d.shape, dtype=np.intp)
    for layer in range(1, chain.depth + 1):
        width = np.full(d.shape, chain.widths[layer - 1])
        sets = np.full(d.shape, True) if chain.noises[layer - 1] > 0 else width < ranks[-1]
        vanishing = np.where(sets, layer, vanishing)
        ranks.append(np.where(sets, width, ranks[-1]))
    high = np.log(_input_bound(chain, d, np.zeros(d.shape))) + 1.0
    low = np.full(d.shape, _LOWEST)
    for _ in range(70):
        middle = 0.5 * (low + high)
        above = _admissible(chain, d, np.exp(middle), vanishing)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    kappa, room, stretch = np.zeros((3, chain.depth + 1, d.size))
    kappa[0] = np.where(vanishing > 0, np.exp(high), 0.0)
    filled = _inputs_filled(chain, d, kappa[0])
    empty = d - filled
    for layer in range(1, chain.depth + 1):
        p, a, b = chain.below(layer, d), chain.slopes[layer - 1], chain.noises[layer - 1]
        column, width = chain.column(layer), chain.widths[layer - 1]
        active = layer <= vanishing
        below = kappa[layer - 1]
        if column is not None:
            stretch[layer] = stretch_of(column, np.where(active, empty / p, 0.0))
            below = below * _factor(column, stretch[layer])
        share = np.where(active, a * below / p, 1.0)
        kappa[layer] = np.where(layer < vanishing, share * (width - filled) - b, 0.0)
        room[layer] = np.where(active, (kappa[layer] + b) / share, width - ranks[-1])
        filled = np.where(active, filled + b / share, ranks[-1])
        empty = np.where(active, kappa[layer] / share, 0.0)
    return Corner(kappa, room, stretch, ranks[-1])


def _admissible(chain: Chain, d: Array, kappa: Array, vanishing: Index) -> Mask:
    """Whether kappa_0 is above the corner: all kappa up to the layer that vanishes are positive."""
    good = np.full(d.shape, True)
    filled = _inputs_filled(chain, d, kappa)
    empty = d - filled
    for layer in range(1, chain.depth + 1):
        p, column = chain.below(layer, d), chain.column(layer)
        if column is not None:
            kappa = kappa * _factor(column, stretch_of(column, np.clip(empty / p, 0.0, 1.0)))
        share = chain.slopes[layer - 1] * kappa / p
        fresh = share * (chain.widths[layer - 1] - filled) - chain.noises[layer - 1]
        good &= (fresh > 0) | (layer > vanishing)
        filled = filled + chain.noises[layer - 1] / share
        kappa = np.where(fresh > 0, fresh, 1.0)
        empty = kappa / share
    return good


def stretch_of(column: Array, empty: Array) -> Array:
    """tau with mean tau/(C + tau) = `empty` in [0, 1), from below by Newton's method in log tau; eq. (26)."""
    tau = empty / np.mean(1 / column)
    positive = tau > 0
    u = np.log(np.where(positive, tau, 1.0))
    target = np.log(np.where(positive, np.minimum(empty, 1 - 1e-15), 0.5))
    for _ in range(MOST_STEPS):
        inverse = 1 / (column + np.exp(u)[:, None])
        left = np.mean(inverse, axis=-1)
        slope = np.mean(column * inverse**2, axis=-1) / left
        step = np.where(positive, (target - u - np.log(left)) / slope, 0.0)
        u = u + step
        if np.all(np.abs(step) < SHORT_STEP * np.maximum(1.0, np.abs(u))):
            break
    return np.where(positive, np.exp(u), 0.0)


def _factor(column: Array, tau: Array) -> Array:
    """g = mean(C/(C + tau))/mean(1/(C + tau)), between the harmonic and the arithmetic mean of C."""
    inverse = 1 / (column + tau[:, None])
    return np.asarray(np.mean(column * inverse, axis=-1) / np.mean(inverse, axis=-1))


class Climb(NamedTuple):
    """What a layer needs of the one below, measured from the corner: value, at the corner, increment, slope, lag."""

    value: Array
    corner: Array
    increment: Array
    slope: Array
    lag: Array


def _stretched(
    column: Array, below: Climb, p: Array, empty: Array, tau_corner: Array, delta: Array, fall: Array, df1_slope: Array
) -> tuple[Climb, Array]:
    """kappa g(tau) in the place of kappa, and d log g/d kappa_0; eq. (26)."""
    tau = stretch_of(column, empty / p)
    inverse, corner_inverse = 1 / (column + tau[:, None]), 1 / (column + tau_corner[:, None])
    mean, corner_mean = np.mean(inverse, axis=-1), np.mean(corner_inverse, axis=-1)
    both = np.mean(inverse * corner_inverse, axis=-1)
    move = -fall / p / np.mean(column * inverse * corner_inverse, axis=-1)
    g, g_corner = _factor(column, tau), _factor(column, tau_corner)
    g_move = move * np.maximum(both / (mean * corner_mean) - 1, 0.0)
    tau_slope = -df1_slope / p / np.mean(column * inverse**2, axis=-1)
    g_slope = tau_slope * np.maximum(np.mean(inverse**2, axis=-1) / mean**2 - 1, 0.0)
    return Climb(
        below.value * g, below.corner * g_corner, below.increment * g + below.corner * g_move,
        below.slope * g + below.value * g_slope,
        np.maximum(below.lag * g + delta * below.value * g_slope - below.corner * g_move, 0.0),
    ), g_slope / g


def _input_bound(chain: Chain, d: Array, top: Array) -> Array:
    """A kappa_0 above which kappa_L exceeds `top`; eq. (16)."""
    traces, bound = chain.mean_traces(), top
    for layer in range(chain.depth, 0, -1):
        p, column = chain.below(layer, d), chain.column(layer)
        a, b, width = chain.slopes[layer - 1], chain.noises[layer - 1], chain.widths[layer - 1]
        least = 1.0 if column is None else 1 / float(np.mean(1 / column))
        bound = p * ((b + bound) / (a * least) + traces[layer - 1]) / width
    return bound


def _inputs_filled(chain: Chain, d: Array, kappa: Array) -> Array:
    """D_0 = sum w s/(s + kappa_0)."""
    return np.asarray(d * ((chain.eigenvalues / (chain.eigenvalues + kappa[:, None])) @ chain.shares))


def follow(chain: Chain, start: Corner, d: Array, delta: Array) -> State:
    """The chain upwards from kappa_0; eq. (15)."""
    base = start.kappa[0]
    kappa = base + delta
    # sums over the inputs that every increment starts from
    inverse, corner_inverse = 1 / (chain.eigenvalues + kappa[:, None]), 1 / (chain.eigenvalues + base[:, None])
    weights = chain.eigenvalues * chain.shares
    first = d * ((inverse * corner_inverse) @ weights)
    df1_slope = -d * (inverse**2 @ weights)
    filled, fall = d * (inverse @ weights), -delta * first
    fall_lag = delta**2 * (d * ((inverse**2 * corner_inverse) @ weights))
    empty = d - filled
    now = Climb(kappa, base, delta, np.ones(delta.shape), np.zeros(delta.shape))
    # stiffness, and df2 times 1 + stiffness, grow by positive terms from layer to layer
    kappas, stiffness = [kappa], np.zeros(delta.shape)
    second, above = d * ((inverse * chain.eigenvalues) ** 2 @ chain.shares), kappa > 0
    for layer in range(1, chain.depth + 1):
        p, a, b = chain.below(layer, d), chain.slopes[layer - 1], chain.noises[layer - 1]
        column = chain.column(layer)
        gap, below_filled = start.room[layer] - fall, filled  # p_l - D_{l-1}; 0 at a corner only
        steeper = np.where(gap > 0, -kappas[0] * df1_slope / np.where(gap > 0, gap, 1.0), 0.0)
        stretch = np.zeros(delta.shape)
        if column is not None:
            now, growth = _stretched(column, now, p, empty, start.stretch[layer], delta, fall, df1_slope)
            stretch = kappas[0] * growth
        share, room = a / p, start.room[layer]
        kappa, below, increment, slope, lag = now
        up = share * (increment * room - kappa * fall)
        up_slope = share * (slope * (room - fall) - kappa * df1_slope)
        up_lag = share * (lag * room - kappa * fall_lag - delta * slope * fall)
        if b > 0:
            filled = filled + b / (share * kappa)
            df1_slope = df1_slope - b * slope / (share * kappa * kappa)
            fall = fall - b * increment / (share * kappa * below)
            fall_lag = fall_lag - b * (lag * below - increment * increment) / (share * kappa * kappa * below)
        now = Climb(start.kappa[layer] + up, start.kappa[layer], up, up_slope, np.maximum(up_lag, 0.0))
        empty = now.value / np.where(kappa > 0, share * kappa, 1.0)
        above = above & (now.value > 0)
        over = b / np.where(above, now.value, 1.0)
        own = steeper + over * (1 + stiffness + stretch + steeper)
        second = second + (own + stretch) * below_filled + own * (filled - below_filled)
        stiffness = stiffness + stretch + own
        kappas.append(now.value)
    increment, slope, lag = now[2:]
    stiffness, df2 = np.where(above, stiffness, np.inf), np.where(above, second / (1 + stiffness), filled)
    return State(delta, np.stack(kappas), increment, slope, lag, filled, -fall, -df1_slope, stiffness, df2)


def solve_chain(chain: Chain, d: Array, n: Array, lam: Array) -> ChainSolution:
    """kappa_L (n - D_L) = lam for C cells, lam >= 0; kappa_L = 0 for lam = 0 and n >= R; eq. (16).

    Newton in log delta on the difference of logarithms of two sides that are both sums of positive terms.
    """
    high = (lam + chain.mean_traces()[-1] * chain.widths[-1]) / n
    # without ridge a cell with enough samples stays at the corner
    return _solved(chain, d, high, lambda rank, index: (lam[index] == 0) & (n[index] >= rank),
                   lambda state, rank, index: _ridge_step(state, rank, n[index], lam[index]))


def chain_at(chain: Chain, d: Array, kappa: Array) -> ChainSolution:
    """The chain at given kappa_L > 0 of C cells."""
    return _solved(chain, d, kappa, lambda rank, index: np.full(rank.shape, False),
                   lambda state, rank, index: _inverse_step(state, kappa[index]))


Step = tuple[Array, Array, Array]  # Newton's step in log delta, an increasing function with that root, the residual


def _solved(
    chain: Chain, d: Array, high: Array, bare: Callable[[Array, Index], Mask],
    step: Callable[..., Step],
) -> ChainSolution:
    """Tile by tile; `high` is above kappa_L."""
    distinct, place = np.unique(d, return_inverse=True)
    corners = corner(chain, distinct)
    place, count = place.ravel(), d.size
    columns = [np.empty((chain.depth + 1, count) if name == "kappas" else count) for name in State._fields]
    residual = np.zeros(count)
    length = max(1, TILE // (chain.eigenvalues.size + 4))
    for begin in range(0, count, length):
        index = np.arange(begin, min(begin + length, count))
        start = corners.at(place[index])
        still = bare(start.rank, index)
        own = functools.partial(step, rank=start.rank, index=index)
        state, residual[index] = _newton(chain, start, d[index], high[index], still, own)
        for column, values in zip(columns, state, strict=True):
            column[..., index] = values
    return ChainSolution(State(*columns), corners.kappa[0, place], corners.rank[place], residual)


def _newton(
    chain: Chain, start: Corner, d: Array, high: Array, still: Mask, step: Callable[[State], Step]
) -> tuple[State, Array]:
    """From above, inside a bracket; cells that are `still` stay at the corner."""
    top = np.log(_input_bound(chain, d, high))
    bottom = np.full(d.shape, _LOWEST)
    u = top
    for _ in range(MOST_STEPS):
        move, phi, _ = step(follow(chain, start, d, np.exp(u)))
        top = np.where(phi > 0, np.minimum(u, top), top)
        bottom = np.where(phi < 0, np.maximum(u, bottom), bottom)
        target = u + move
        outside = (target < bottom - SHORT_STEP) | (target > top + SHORT_STEP)
        target = np.where(still, u, np.where(outside, 0.5 * (bottom + top), target))
        moved = np.max(np.abs(target - u))
        u = target
        if moved < SHORT_STEP:
            break
    state = follow(chain, start, d, np.where(still, 0.0, np.exp(u)))
    residual = step(state._replace(kappa=np.where(still, 1.0, state.kappa)))[2]
    state = state._replace(df1=np.where(still, start.rank, state.df1), df2=np.where(still, start.rank, state.df2))
    return state, np.where(still, 0.0, residual)


def _ridge_step(state: State, rank: Array, n: Array, lam: Array) -> Step:
    """N + (R - D) = lam/kappa with N = n - R, or n = D + lam/kappa where that cancels less."""
    ridge, excess = lam / state.kappa, n - rank
    near = state.missing <= state.df1
    positive = np.where(near, np.maximum(excess, 0.0) + state.missing, n)
    negative = np.where(near, np.maximum(-excess, 0.0), state.df1) + ridge
    missing_rise, ridge_fall = state.delta * state.df1_fall, ridge * state.delta * state.slope / state.kappa
    return balanced_step(positive, negative, np.where(near, missing_rise, 0.0),
                         np.where(near, 0.0, missing_rise) + ridge_fall)


def _inverse_step(state: State, kappa: Array) -> Step:
    """kappa_L = kappa."""
    return balanced_step(state.kappa, kappa, state.delta * state.slope, np.zeros(kappa.shape))


class TargetSums(NamedTuple):
    """Of a target that is linear in the inputs, with t = c/s, for C cells; eq. (17).

    Attributes
    ----------
    bias : ndarray
        B, of the mean predictor beyond what no readout learns.
    misfit : ndarray
        Of the penalised objective, in the same way.
    unexplained : ndarray
        sum t kappa_0^c/(s + kappa_0^c): what no readout learns.
    learning : ndarray
        sum c/(s + kappa_0)^2 over dkappa_L/dkappa_0.
    """

    bias: Array
    misfit: Array
    unexplained: Array
    learning: Array


def target_sums(chain: Chain, solution: ChainSolution) -> TargetSums:
    """See `TargetSums`; sums of positive terms."""
    state, count = solution.state, solution.base.size
    found = TargetSums(*np.empty((4, count)))
    length = max(1, TILE // chain.eigenvalues.size)
    s, t = chain.eigenvalues, chain.signal
    for begin in range(0, count, length):
        part = slice(begin, begin + length)
        delta, base = state.delta[part, None], solution.base[part, None]
        slope, lag = state.slope[part, None], state.lag[part, None]
        safe = np.where(slope > 0, slope, 1.0)
        inverse, corner_inverse = 1 / (s + base + delta), 1 / (s + base)
        shift = np.where(slope > 0, lag / safe, 0.0)
        found.bias[part] = (shift * inverse**2 + delta**2 * inverse**2 * corner_inverse) @ (t * s)
        found.misfit[part] = (delta * inverse * corner_inverse) @ (t * s)
        found.unexplained[part] = (base * corner_inverse) @ t
        found.learning[part] = (inverse**2 / safe) @ (t * s)
    return found
