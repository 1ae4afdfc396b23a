"""Averages over Gaussian weights of the two-layer linear network, by means that share nothing with the production code.

`Trapezoid` sums over (ln P', ln Q') with Kibble's density of two correlated chi-square variables, each row on its own
window, and the textbook closed form of the flow in logarithms.  `gauss` is the three-dimensional Gauss quadrature over
Bartlett's triple (|w|^2, the part of u along w, the rest of |u|^2), `triples` draws from it, `cosine` adds the
integral over the angle to the trapezoid rule.  Exact moments and laws where there are any.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from scipy import special

DEPTH = 46.0  # ln of the integrand below its maximum where it is cut


def quiet(function):
    """Underflow and ln 0 are meant here."""
    @functools.wraps(function)
    def run(*arguments, **others):
        with np.errstate(all="ignore"):
            return function(*arguments, **others)
    return run


@dataclasses.dataclass(frozen=True)
class Cell:
    """Parameters of one ensemble; c is the loss factor."""

    p: int
    var_u: float
    var_w: float
    A: float
    t: float
    rho: float = 0.0
    gamma: float = 1.0
    eta_u: float = 1.0
    eta_w: float = 1.0
    m2: float = 1.0
    c: float = 1.0

    @classmethod
    def of(cls, correlation=0.0, loss_factor=1.0, *, target_coefficient, **others):
        """From the public names."""
        return cls(A=target_coefficient, rho=correlation, c=loss_factor, **others)

    @property
    def kap(self):
        return 2 * abs(self.gamma) * math.sqrt(self.eta_u * self.eta_w)


# ---- the flow of one network


def flow(cell, bP, bQ, F0, t=None):
    """F, r and Theta at time t of networks with these invariants (arrays), by the textbook form; kap > 0.

    ln|r| is the last entry: it does not underflow.
    """
    t = cell.t if t is None else t
    drive, k = cell.kap * cell.A, cell.c * cell.m2
    Gam = np.sqrt(bP) * np.sqrt(bQ)
    end = np.hypot(drive, Gam)
    larger = end + abs(drive)
    smaller = Gam * (Gam / larger)
    ap, am = (larger, smaller) if drive >= 0 else (smaller, larger)
    x = k * end * t
    log_d = np.log(-np.expm1(-x))
    log_N = np.logaddexp(np.logaddexp(np.log(ap), np.log(am) - x), np.log(bQ) + log_d)
    log_M = np.logaddexp(np.logaddexp(np.log(am), np.log(ap) - x), np.log(bP) + log_d)
    r0 = cell.A - F0
    log_r = np.log(np.abs(r0)) + math.log(4) + 2 * np.log(end) - x - log_N - log_M
    r = np.sign(r0) * np.exp(log_r)
    up, down = np.exp(np.log(bP) + log_N - log_M), np.exp(np.log(bQ) + log_M - log_N)
    return (up - down) / (2 * cell.kap), r, 0.5 * (up + down), log_r


# ---- trapezoid rule with Kibble's density


class Trapezoid:
    """Averages of one cell with both rates and variances positive and |rho| < 1.

    `fineness` multiplies the numbers of nodes.
    """

    @quiet
    def __init__(self, cell, fineness=1.0):
        self.cell, self.fineness = cell, fineness
        a, b = cell.eta_w * cell.var_u, cell.eta_u * cell.var_w
        rho = cell.rho * math.copysign(1, cell.gamma)
        cross = 2 * rho * math.sqrt(a * b)
        self.plus, self.minus = (math.sqrt(a) - math.sqrt(b)) ** 2 + 2 * math.sqrt(a * b) + cross, a + b - cross
        self.rest = 4 * a * b * (1 - rho**2) / (self.plus * self.minus)
        self.tau = abs(a - b) / math.sqrt(self.plus * self.minus)
        self.nodes, self.log_weight = self._rule(0)
        self.top = float(np.max(self.log_weight))
        self.weight = np.exp(self.log_weight - self.top)
        self.mass = float(np.sum(self.weight))
        self.values = self.of(*self.nodes)

    def log_density(self, x, delta):
        """Of (ln P', ln Q') at ln P' = x and ln Q' = x + delta, up to a constant."""
        nu = 0.5 * self.cell.p - 1
        P, mean = np.exp(x), np.exp(x + 0.5 * delta)
        y = self.tau * mean / self.rest
        # ln of y^-nu I_nu(y) e^-y
        series = -nu * math.log(2) - math.lgamma(nu + 1) + np.log1p(0.25 * y * y / (nu + 1)) - y
        bessel = np.where(y < 1e-4, series, np.log(special.ive(nu, np.maximum(y, 1e-4)))
                          - nu * np.log(np.maximum(y, 1e-4)))
        return (0.5 * self.cell.p * (2 * x + delta) + bessel
                - P * np.expm1(0.5 * delta) ** 2 / (2 * self.rest) - mean / (1 + self.tau))

    def of(self, x, delta):
        """F, r, Theta, ln|r| and F_0 at nodes."""
        g2, kap = self.cell.gamma**2, self.cell.kap
        bP, bQ = g2 * self.plus * np.exp(x), g2 * self.minus * np.exp(x + delta)
        F0 = (bP - bQ) / (2 * kap)
        return *flow(self.cell, bP, bQ, F0), F0

    def _integrand(self, x, delta, power):
        found = self.log_density(x, delta)
        if power:
            found = found + power * self.of(x, delta)[3]
        return np.where(np.isfinite(found), found, -1e300)

    def _rule(self, power):
        """Nodes (x, delta) and ln of density times step for integrands with r^power."""
        cell = self.cell
        drive = abs(cell.kap * cell.A) * cell.c * cell.m2 * cell.t
        low, high = -(180 / cell.p + 20) - 2 * drive * (power > 0), math.log(cell.p) + math.log(60 + 60 / cell.p)
        x, rows = np.linspace(low, high, 800), 0
        for _ in range(6):
            first, last = self._windows(x, power)
            delta = np.linspace(first, last, 65, axis=1)
            best = np.max(self._integrand(x[:, None], delta, power), axis=1) + np.log(last - first)
            inside = np.nonzero(best > np.max(best) - DEPTH)[0]
            begin, end = max(inside[0] - 1, 0), min(inside[-1] + 1, x.size - 1)
            rows = math.ceil(self.fineness * max(160, (x[end] - x[begin]) / 0.2))
            done = end - begin > 0.5 * x.size
            x = np.linspace(x[begin], x[end], rows if done else 200)
            if done:
                break
        else:
            x = np.linspace(x[0], x[-1], rows)
        first, last = self._windows(x, power)
        columns = math.ceil(self.fineness * max(160, float(np.max(last - first)) / 0.2))
        delta = np.linspace(first, last, columns, axis=1)
        step = (x[1] - x[0]) * (last - first) / (columns - 1)
        x = np.broadcast_to(x[:, None], delta.shape)
        return (x, delta), self.log_density(x, delta) + np.log(step)[:, None]

    def _windows(self, x, power):
        """delta between which the integrand of every row is."""
        wide = 180 / self.cell.p + 40 + np.max(np.abs(x))
        first, last = np.full(x.shape, -wide), np.full(x.shape, wide)
        for _ in range(14):
            delta = np.linspace(first, last, 49, axis=1)
            values = self._integrand(x[:, None], delta, power)
            inside = values > np.max(values, axis=1, keepdims=True) - DEPTH
            rows = np.arange(x.size)
            begin = np.maximum(np.argmax(inside, axis=1) - 1, 0)
            end = np.minimum(48 - np.argmax(inside[:, ::-1], axis=1) + 1, 48)
            if np.all(end - begin > 36):
                break
            first, last = delta[rows, begin], delta[rows, end]
        return first, last

    def mean(self, values):
        return float(np.sum(self.weight * values) / self.mass)

    def spread(self, values):
        return math.sqrt(self.mean((values - self.mean(values)) ** 2))

    @quiet
    def gap_power(self, power):
        """E r^power (even), from wherever it comes."""
        nodes, log_weight = self._rule(power)
        log = log_weight - self.top + power * self.of(*nodes)[3]
        return float(np.sum(np.exp(log)) / self.mass)

    @quiet
    def answers(self):
        """The observables by their public names, but the mean cosine."""
        cell, (F, r, Theta, _, F0) = self.cell, self.values
        gap = self.mean(r)
        F_mean = cell.A - gap if abs(gap) < abs(cell.A) / 2 else self.mean(F0) + self.mean(_moved(cell, F, r, F0))
        square = self.gap_power(2)
        x, delta = self.nodes
        Gam = cell.gamma**2 * math.sqrt(self.plus * self.minus) * np.exp(x + 0.5 * delta)
        return {
            "mean_coefficient": F_mean, "mean_ntk": self.mean(Theta),
            "mean_excess_loss": 0.5 * cell.c * cell.m2 * square,
            "mean_final_ntk": self.mean(np.hypot(cell.kap * cell.A, Gam)),
            "sd_coefficient": self._spread_of_gap(r, gap, square), "sd_ntk": self.spread(Theta),
        }

    def _spread_of_gap(self, r, gap, square):
        """From the nodes, unless the square comes from elsewhere."""
        here = self.mean(r * r)
        return self.spread(r) if abs(here / square - 1) < 1e-10 else math.sqrt(square - gap**2)

    @quiet
    def share(self, name, limit):
        """Pr(observable <= limit): a sum over nodes, as accurate as the grid is fine."""
        F, r, Theta, _, _ = self.values
        loss = 0.5 * self.cell.c * self.cell.m2 * r**2
        return self.mean({"coefficient": F, "ntk": Theta, "excess_loss": loss}[name] <= limit)


def _moved(cell, F, r, F0):
    return np.where(np.abs(r) < 0.5 * abs(cell.A), cell.A - r - F0, F - F0)


@quiet
def cosine(cell, step=0.1, rows=1.0):
    """E cos(u, w) of one cell as in `Trapezoid`, p > 1.

    At given P Q there is one place where F = 0, and F falls with Q/P: rows are split there.
    """
    rule = Trapezoid(cell)

    def log_density(s, delta):
        return rule.log_density(s - 0.5 * delta, delta)

    scan = np.linspace(-60 - 90 / cell.p, math.log(cell.p) + math.log(60 + 60 / cell.p), 4000)
    inside = np.nonzero(log_density(scan, 0.0) > np.max(log_density(scan, 0.0)) - DEPTH)[0]
    length = scan[inside[-1] + 1] - scan[inside[0] - 1]
    s = np.linspace(scan[inside[0] - 1], scan[inside[-1] + 1], math.ceil(rows * max(160, length / step)))
    top = np.max(log_density(s, 0.0))
    reach = bisect(lambda delta: log_density(s, delta) < top - DEPTH, np.zeros(s.shape), np.full(s.shape, 400.0))
    zero = bisect(lambda delta: rule.of(s - 0.5 * delta, delta)[0] < 0, -reach, reach)
    # tanh-sinh rule on both sides of the zero
    v = np.arange(-4.1, 4.1 + step / 2, 0.5 * step)
    share = 1 / (1 + np.exp(math.pi * np.sinh(v)))
    measure = math.pi * np.cosh(v) * share * (1 - share) * 0.5 * step
    total, mass = 0.0, 0.0
    for end in (-reach, reach):
        length = end - zero
        delta = zero[:, None] + length[:, None] * share
        column = np.broadcast_to(s[:, None], delta.shape)
        weight = np.exp(log_density(column, delta) - top) * np.abs(length)[:, None] * measure
        chosen = weight > 1e-17 * np.max(weight)
        mean = np.exp(column[chosen])
        F = rule.of(column[chosen] - 0.5 * delta[chosen], delta[chosen])[0]
        Gam = cell.gamma**2 * math.sqrt(rule.plus * rule.minus) * mean
        found = angular(cell.p, cell.kap * F / Gam, rule.tau * mean / rule.rest, step)
        total += float(np.sum(weight[chosen] * found))
        mass += float(np.sum(weight))
    return math.copysign(1, cell.gamma) * total / mass


def bisect(above, low, high):
    """Where a condition that is false at `low` becomes true, element by element; an end if it does not change."""
    for _ in range(80):
        middle = 0.5 * (low + high)
        found = above(middle)
        low, high = np.where(found, low, middle), np.where(found, middle, high)
    return 0.5 * (low + high)


def angular(p, xi, concentration, step=0.12):
    """E xi/sqrt(xi^2 + sin^2 phi) with the density sin^(p-2) exp(concentration cos phi) of the angle."""
    reach = 44 / (p - 1) + 3 + 0.5 * math.log1p(float(np.max(concentration)) / p)
    count = math.ceil(reach / (step * min(1, 2 / math.sqrt(p))))
    v = np.linspace(-reach, reach, 2 * count + 1)  # tan(phi/2) = e^v
    log_sine = math.log(2) - np.logaddexp(v, -v)
    lag = 2 / (1 + np.exp(np.clip(-2 * v, -600, 600)))  # 1 - cos phi
    found = np.empty(xi.shape)
    for part in np.array_split(np.arange(xi.size), max(1, xi.size * v.size // 2_000_000)):
        log = (p - 1) * log_sine - concentration[part, None] * lag
        weight = np.exp(log - np.max(log, axis=1, keepdims=True))
        ratio = np.exp(np.clip(log_sine - np.log(np.maximum(np.abs(xi[part, None]), 1e-300)), -600, 300))
        found[part] = np.sign(xi[part]) * np.sum(weight / np.hypot(1, ratio), axis=1) / np.sum(weight, axis=1)
    return found


# ---- Gauss quadrature, and draws


def network(cell, X1, xi, X2):
    """F_0, Theta_0, area, bP, bQ of Bartlett's triples; gamma > 0 is made by flipping w."""
    rho = cell.rho * math.copysign(1, cell.gamma)
    su, sw, g = math.sqrt(cell.var_u), math.sqrt(cell.var_w), abs(cell.gamma)
    across = math.sqrt(1 - rho**2)
    h = rho * np.sqrt(X1) + across * xi
    ww, uw, uu = sw**2 * X1, su * sw * np.sqrt(X1) * h, su**2 * (h**2 + across**2 * X2)
    area = su * sw * across * np.sqrt(X1 * X2)
    S, R = cell.eta_w * uu + cell.eta_u * ww, cell.eta_w * uu - cell.eta_u * ww
    om = math.sqrt(cell.eta_u * cell.eta_w)
    product = R**2 + 4 * om**2 * area**2
    larger = S + 2 * om * np.abs(uw)
    smaller = np.divide(product, larger, out=np.zeros_like(larger), where=larger > 0)
    P, Q = np.where(uw >= 0, larger, smaller), np.where(uw >= 0, smaller, larger)
    return g * uw, g**2 * S, g * area, g**2 * P, g**2 * Q


@quiet
def observables(cell, X1, xi, X2):
    """coefficient, excess_loss, ntk, cosine and final_ntk of the networks of these triples."""
    F0, Theta0, area, bP, bQ = network(cell, X1, xi, X2)
    if cell.kap == 0:
        r = (cell.A - F0) * np.exp(-cell.c * cell.m2 * Theta0 * cell.t)
        F, Theta, final = cell.A - r, Theta0, Theta0
    else:
        F, r, Theta, _ = flow(cell, bP, bQ, F0)
        final = np.hypot(cell.kap * cell.A, np.sqrt(bP) * np.sqrt(bQ))
    cos = math.copysign(1, cell.gamma) * F / np.hypot(F, area)
    return {"coefficient": F, "excess_loss": 0.5 * cell.c * cell.m2 * r**2, "ntk": Theta, "cosine": cos,
            "final_ntk": final, "gap": r}


def triples(cell, count, seed):
    """Independent X1, xi, X2."""
    rng = np.random.default_rng(seed)
    X2 = rng.chisquare(cell.p - 1, count) if cell.p > 1 else np.zeros(count)
    return rng.chisquare(cell.p, count), rng.standard_normal(count), X2


@quiet
def gauss(cell, order=24):
    """The observables by their public names, by Gauss quadrature over the triple."""
    (X1, w1), (xi, w2) = laguerre(order, 0.5 * cell.p), hermite(order)
    X2, w3 = laguerre(order, 0.5 * (cell.p - 1)) if cell.p > 1 else (np.zeros(1), np.ones(1))
    grid = np.meshgrid(2 * X1, xi, 2 * X2, indexing="ij")
    weight = w1[:, None, None] * w2[:, None] * w3
    found = observables(cell, *grid)
    mean = {name: float(np.sum(weight * values)) for name, values in found.items()}
    spread = {name: math.sqrt(np.sum(weight * (found[name] - mean[name]) ** 2)) for name in ("gap", "ntk")}
    return {f"mean_{name}": value for name, value in mean.items() if name != "gap"} | {
        "sd_coefficient": spread["gap"], "sd_ntk": spread["ntk"]}


def laguerre(order, shape):
    """Nodes and weights of the gamma law of this shape, by Golub and Welsch."""
    k = np.arange(order)
    return _nodes(2 * k + shape, np.sqrt(k[1:] * (k[1:] + shape - 1)))


def hermite(order):
    """Nodes and weights of the standard normal law."""
    return _nodes(np.zeros(order), np.sqrt(np.arange(1, order)))


def _nodes(diagonal, beside):
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    return values, vectors[0] ** 2


# ---- what is known exactly


def moments(cell):
    """At t = 0: means, mean square gap, standard deviations, and E Theta_inf^2."""
    p, g2 = cell.p, cell.gamma**2
    a, b = cell.eta_w * cell.var_u, cell.eta_u * cell.var_w
    start = cell.gamma * p * cell.rho * math.sqrt(cell.var_u * cell.var_w)
    variance = g2 * p * cell.var_u * cell.var_w * (1 + cell.rho**2)
    product = (a + b) ** 2 - 4 * cell.rho**2 * a * b
    return {
        "mean_coefficient": start, "sd_coefficient": math.sqrt(variance), "mean_ntk": g2 * p * (a + b),
        "sd_ntk": g2 * math.sqrt(2 * p * (a * a + b * b + 2 * cell.rho**2 * a * b)),
        "mean_excess_loss": 0.5 * cell.c * cell.m2 * ((cell.A - start) ** 2 + variance),
        "square_final_ntk": cell.kap**2 * cell.A**2 + g2**2 * (p * p * product + 2 * p * (a - b) ** 2),
    }


def initial_cosine(p, rho):
    """E cos(u, w) of Gaussian weights."""
    factor = math.exp(2 * (math.lgamma(0.5 * (p + 1)) - math.lgamma(0.5 * p)))
    return 2 * rho / p * factor * float(special.hyp2f1(0.5, 0.5, 0.5 * p + 1, rho**2))
