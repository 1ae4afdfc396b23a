r"""Slow reference for the polynomial spikes of one gradient step, at its three levels.

Nothing is shared with the library, and every level takes another route than production does:

* bulk: the two cavity equations of the random features before the step, one for a white and one for a linear direction
  of the data, solved by `mpmath.findroot`; derivatives are those of `mpmath.diff` through the solver;
* ``finite_rank``: the kernel of the spikes by dense quadrature over readout and preactivation; errors by
  differentiating the objective at fixed kernel (generalised cross-validation, mpmath), overlaps by differentiating it
  with respect to the coefficients of the teacher, outliers by counting positive eigenvalues;
* ``limit``: the same with spikes of strength 1e50 and more, in many digits; the spikes are the Taylor coefficients of
  the conditional mean in the step size;
* ``full``: the self-consistent equations themselves on a plain trapezoid in readout and kappa, by damped iteration,
  then a Newton-Krylov iteration; test and train error by complex steps through that iteration.

Model
-----
Features ``sigma(<w_i, x>)``, rows uniform on the unit sphere, one step of size eta on n0 samples from zero initial
output with readout ``a_i ~ N(0, 1/p)``; then ``argmin sum_mu (y_mu - F_mu w/sqrt(p))^2 + lam |w|^2`` on n fresh
samples, ``y = sum_k c*_k h_k(<theta, x>) + noise``, h_k the orthonormal Hermite polynomials.  On a fresh x neuron i
sees ``tau z_i kappa + v_i xi`` with ``v_i^2 = (1 + s z_i)^2 + tau_r^2 z_i^2``; kappa = <b, x>/|b|, b = X^T y/n0.

Run from the repository root to draw random problems and store their solutions::

    python -m tests.reference.polynomial_spikes [--count 84]
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf
from scipy.sparse.linalg import LinearOperator, gmres
from scipy.special import erf

from .readout_groups import density, panels

FILE = Path(__file__).with_name("polynomial_spikes.json")
SEED = 20231007
DIGITS = 50  # of Hermite coefficients
DEGREES = 5  # of the overlaps that are stored
RANGE = 9.6  # of standard Gaussians
STEP = 1e-30  # of derivatives
EPS = 2.0**-52
BLOCKS = ("full", "finite_rank", "limit", "full", "finite_rank", "full")  # levels of the random problems
TARGETS = ("sin", "relu", "tanh")
ACTIVATIONS = (
    "relu", "relu(x) - 1/sqrt(2*pi)", "tanh(1.5*x + 0.8)", "x + 0.5*(x**2 - 1)", "erf(x/sqrt(2))", "softplus", "tanh"
)

# the centre of `relu(x) - 1/sqrt(2*pi)`, as the expression has it: in doubles
MEAN_OF_RELU = 1 / math.sqrt(2 * math.pi)


# --------------------------------------------------------------------------------------------------
# functions of a Gaussian variable
# --------------------------------------------------------------------------------------------------
class Function(NamedTuple):
    """A nonlinearity in double precision, in mpmath, its derivative in mpmath, and its kinks."""

    value: Callable[[np.ndarray], np.ndarray]
    exact: Callable[[mpf], mpf]
    slope: Callable[[mpf], mpf]
    kinks: tuple[float, ...] = ()


def _step_function(x: mpf) -> mpf:
    return mpf(1) if x > 0 else mpf(0)


FUNCTIONS = {
    "relu": Function(lambda x: np.maximum(x, 0.0), lambda x: max(x, mpf(0)), _step_function, (0.0,)),
    "relu(x) - 1/sqrt(2*pi)": Function(
        lambda x: np.maximum(x, 0.0) - MEAN_OF_RELU, lambda x: max(x, mpf(0)) - 1 / mp.sqrt(2 * mp.pi),
        _step_function, (0.0,),
    ),
    "tanh": Function(np.tanh, mp.tanh, lambda x: mp.sech(x) ** 2),
    "tanh(1.5*x + 0.8)": Function(
        lambda x: np.tanh(1.5 * x + 0.8), lambda x: mp.tanh(1.5 * x + mpf("0.8")),
        lambda x: 1.5 * mp.sech(1.5 * x + mpf("0.8")) ** 2,
    ),
    "x + 0.5*(x**2 - 1)": Function(
        lambda x: x + 0.5 * (x**2 - 1), lambda x: x + (x**2 - 1) / 2, lambda x: 1 + x
    ),
    "erf(x/sqrt(2))": Function(
        lambda x: erf(x / math.sqrt(2)), lambda x: mp.erf(x / mp.sqrt(2)), lambda x: 2 * mp.npdf(x)
    ),
    "softplus": Function(
        lambda x: np.logaddexp(0.0, x), lambda x: mp.log1p(mp.exp(-abs(x))) + max(x, mpf(0)),
        lambda x: 1 / (1 + mp.exp(-x)),
    ),
    "sin": Function(np.sin, mp.sin, mp.cos),
}


def hermite(count: int, x: Any) -> list[Any]:
    """h_0 .. h_{count-1} at x, a number or an array."""
    root = np.sqrt if isinstance(x, np.ndarray) else mp.sqrt
    values = [1 + 0 * x, x]
    for k in range(1, count - 1):
        values.append((x * values[k] - root(k + 0 * x) * values[k - 1]) / root(k + 1 + 0 * x))
    return values[:count]


@cache
def exact_rule() -> tuple[list[mpf], list[mpf]]:
    """Gauss-Legendre panels of width 1/2 under the standard normal density, `DIGITS` digits."""
    with mp.workdps(DIGITS + 10):
        order = 30
        guesses = np.polynomial.legendre.leggauss(order)[0]
        roots = [mp.findroot(lambda x: mp.legendre(order, x), guess) for guess in guesses]
        slopes = [order * mp.legendre(order - 1, x) / (1 - x * x) for x in roots]
        rule = [(x, 2 / ((1 - x * x) * slope**2)) for x, slope in zip(roots, slopes, strict=True)]
        nodes, weights = [], []
        for k in range(-40, 40):
            for x, weight in rule:
                node = (k + (1 + x) / 2) / 2
                nodes.append(node)
                weights.append(weight / 4 * mp.npdf(node))
    return nodes, weights


@cache
def exact_basis(count: int) -> list[list[mpf]]:
    """Weights of `exact_rule` times h_0 .. h_{count-1}."""
    with mp.workdps(DIGITS + 10):
        nodes, weights = exact_rule()
        rows = [[w * h for h in hermite(count, x)] for x, w in zip(nodes, weights, strict=True)]
        return [list(column) for column in zip(*rows, strict=True)]


class Moments(NamedTuple):
    """Under N(0, 1): E f h_k, E f^2, E f^2 z^2, Var f'."""

    coefficients: list[mpf]
    second: mpf
    weighted: mpf
    slope_variance: mpf


@cache
def moments(name: str, count: int = 32) -> Moments:
    """Moments of a named function."""
    function = FUNCTIONS[name]
    with mp.workdps(DIGITS + 10):
        nodes, weights = exact_rule()
        values = [function.exact(x) for x in nodes]
        slopes = [function.slope(x) for x in nodes]
        pulled = [w * f for w, f in zip(weights, values, strict=True)]
        coefficients = [mp.fdot(column, values) for column in exact_basis(count)]
        noise = mpf(10) ** (-DIGITS)
        coefficients = [c if abs(c) > noise else mpf(0) for c in coefficients]
        second = mp.fdot(pulled, values)
        weighted = mp.fsum(w * f * x * x for w, f, x in zip(pulled, values, nodes, strict=True))
        mean = mp.fdot(weights, slopes)
        spread = mp.fsum(w * (f - mean) ** 2 for w, f in zip(weights, slopes, strict=True))
        return Moments(coefficients, second, weighted, spread)


class Teacher:
    """The link function of the teacher, by name or by Hermite coefficients."""

    def __init__(
        self, target: str | None = None, target_coefficients: Sequence[float] | None = None, degrees: int = DEGREES
    ) -> None:
        self.degrees = max(32, degrees)
        self.name, self.given = target, [float(c) for c in target_coefficients or ()]
        self.kinks = () if target is None else FUNCTIONS[target].kinks

    def value(self, x: np.ndarray) -> np.ndarray:
        """sigma_star at x."""
        if self.name is not None:
            return FUNCTIONS[self.name].value(x)
        terms = zip(self.given, hermite(max(2, len(self.given)), x), strict=False)
        return np.sum([c * h for c, h in terms], axis=0)

    @cached_property
    def moments(self) -> Moments:
        """The moments; exact sums where coefficients are given."""
        if self.name is not None:
            return moments(self.name, self.degrees)
        with mp.workdps(DIGITS):
            coefficients = [mpf(c) for c in self.given] + [mpf(0)] * (self.degrees - len(self.given))
            times_z = [mpf(0)] * (self.degrees + 1)  # z h_k = sqrt(k + 1) h_{k+1} + sqrt(k) h_{k-1}
            for k, c in enumerate(self.given):
                times_z[k + 1] += mp.sqrt(k + 1) * c
                if k:
                    times_z[k - 1] += mp.sqrt(k) * c
            spread = mp.fsum(k * c * c for k, c in enumerate(coefficients) if k > 1)
            return Moments(
                coefficients, mp.fsum(c * c for c in coefficients), mp.fsum(c * c for c in times_z), spread
            )

    def given_kappa(self, kappa: np.ndarray, rho: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, coefficient of t and rest of the variance, y = value(rho kappa + sqrt(1 - rho^2) t)."""
        deviation = math.sqrt((1 - rho) * (1 + rho))
        t, weight = split_rule(rho * kappa, np.full_like(kappa, deviation), self.kinks, 0.4)
        values = self.value((rho * kappa)[:, None] + deviation * t)
        mean = np.sum(weight * values, axis=1)
        slope = np.sum(weight * t * values, axis=1)
        rest = np.sum(weight * (values - mean[:, None] - slope[:, None] * t) ** 2, axis=1)
        return mean, slope, rest


def split_rule(
    mean: np.ndarray, deviation: np.ndarray, kinks: tuple[float, ...], width: float, reach: float = RANGE
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights (K, T) for xi ~ N(0, 1), split where mean + deviation xi crosses a kink."""
    edges = np.linspace(-reach, reach, math.ceil(2 * reach / width) + 1)
    base = np.broadcast_to(edges, (mean.size, edges.size))
    places = [np.clip((kink - mean) / deviation, -reach, reach)[:, None] for kink in kinks]
    nodes, weight = panels(np.sort(np.concatenate([base, *places], axis=1), axis=1), 12)
    return nodes, weight * density(nodes)


# --------------------------------------------------------------------------------------------------
# the step
# --------------------------------------------------------------------------------------------------
class Step(NamedTuple):
    """B2 = E|b|^2 of b = X^T y/n0, its cosine with theta, and the three sizes of the step."""

    norm_squared: mpf
    alignment: mpf
    tau: mpf
    tau_r: mpf
    rescaling: mpf


def take_step(
    activation: Moments, teacher: Moments, d: int, p: int, n0: int, eta: float, noise_var: float, finite: bool = True
) -> Step:
    """One gradient step; `finite` keeps the terms of order 1/d and 1/n0 in B2."""
    with mp.workdps(DIGITS):
        second = teacher.second + mpf(noise_var)
        c1_star = teacher.coefficients[1]
        if finite:
            # b is a mean of n0 independent vectors y x
            power = (d - 1) * second + teacher.weighted + mpf(noise_var)
            norm_squared = power / n0 + (1 - mpf(1) / n0) * c1_star**2
        else:
            norm_squared = second * d / n0 + c1_star**2
        unit = mpf(eta) / mp.sqrt(p)
        return Step(
            norm_squared, c1_star / mp.sqrt(norm_squared), unit * activation.coefficients[1] * mp.sqrt(norm_squared),
            unit * mp.sqrt(mpf(d) / n0 * second * activation.slope_variance),
            unit * mp.sqrt(2) * activation.coefficients[2] * teacher.coefficients[0],
        )


# --------------------------------------------------------------------------------------------------
# the bulk before the step
# --------------------------------------------------------------------------------------------------
class Resolvent(NamedTuple):
    """Of F0 F0^T + lam_bar n along a white and a linear direction, and n lam_bar (F0^T F0 + lam_bar n)^{-1}_ii."""

    white: mpf
    linear: mpf
    feature: mpf


class Bulk:
    """Features c_1 X W^T + mu_star Z: p features, n samples, d inputs.

    Leaving out one feature, one input direction, and counting eigenvalues:
    ``g (1 + mu^2 e + c_1^2 r) = 1``, ``r (1 + beta c_1^2 g e) = e``, ``lam_bar e + q (1 - g) = 1``.
    """

    def __init__(self, linear: mpf, rest: mpf, d: float, p: float, n: float) -> None:
        self.linear, self.rest = mpf(linear), mpf(rest)  # c_1^2 and mu_star^2
        self.beta, self.q = mpf(p) / mpf(d), mpf(p) / mpf(n)

    def feature(self, lam_bar: mpf, e: mpf) -> mpf:
        return 1 - (1 - lam_bar * e) / self.q

    def equations(self, lam_bar: mpf, e: mpf, r: mpf) -> list[mpf]:
        g = self.feature(lam_bar, e)
        return [g * (1 + self.rest * e + self.linear * r) - 1, r * (1 + self.beta * self.linear * g * e) / e - 1]

    def resolvent(self, lam_bar: mpf) -> Resolvent:
        """At a positive penalty: bisection to a few digits, then Newton's method for both unknowns."""

        def excess(e: mpf) -> mpf:  # increasing
            g = self.feature(lam_bar, e)
            return g * (1 + self.rest * e) + self.linear * g * e / (1 + self.beta * self.linear * g * e) - 1

        low, high = max(mpf(0), (1 - self.q) / lam_bar), 1 / lam_bar  # g = max(0, 1 - 1/q) and g = 1
        low = max(low, high * mpf("1e-30"))
        for _ in range(400):
            middle = mp.sqrt(low * high)
            low, high = (middle, high) if excess(middle) < 0 else (low, middle)
            if high / low - 1 < mpf("1e-20"):
                break
        e = middle
        r = e / (1 + self.beta * self.linear * self.feature(lam_bar, e) * e)
        scale = mpf(e), mpf(r)  # unknowns of order one
        solution = mp.findroot(
            lambda a, b: self.equations(lam_bar, scale[0] * a, scale[1] * b), (mpf(1), mpf(1)),
            tol=mpf(10) ** (-2 * mp.dps + 12), maxsteps=40,
        )
        e, r = scale[0] * solution[0], scale[1] * solution[1]
        return Resolvent(e, r, self.feature(lam_bar, e))

    # ---- outside the spectrum: e < 0 is the parameter

    def outside(self, e: mpf) -> tuple[mpf, Resolvent]:
        """theta = -lam_bar above the bulk, and the resolvent there."""
        half = (1 + (self.rest + (self.beta - 1) * self.linear) * e) / 2
        r = (mp.sqrt(half**2 + self.linear * e * (1 + self.rest * e)) - half) / self.linear
        g = 1 / (1 + self.rest * e + self.linear * r)
        return (self.q * (1 - g) - 1) / e, Resolvent(e, r, g)

    @cached_property
    def edge(self) -> mpf:
        """The e < 0 at which theta is smallest: the upper edge of the spectrum."""
        slope = self.rest + (self.beta - 1) * self.linear
        # the square root in `outside` is real for e above the larger root of its argument
        roots = mp.polyroots([slope**2 + 4 * self.linear * self.rest, 2 * slope + 4 * self.linear, 1], maxsteps=200)
        last = -min(abs(x) for x in roots)
        low, high = mpf("1e-12"), 1 - mpf(10) ** (-mp.dps // 2)
        for _ in range(4 * mp.dps):
            middle = (low + high) / 2
            step = (1 - middle) * mpf(10) ** (-mp.dps // 3)
            rising = self.outside(last * (middle + step))[0] > self.outside(last * (middle - step))[0]
            low, high = (low, middle) if rising else (middle, high)
        return last * (low + high) / 2


# --------------------------------------------------------------------------------------------------
# finitely many spikes on that bulk
# --------------------------------------------------------------------------------------------------
class Kernel(NamedTuple):
    """Kernel K of the spikes in the directions h_0(kappa), h_1(kappa), ...: an arrow once all but h_1 are rotated.

    own : K_11; strengths : eigenvalues of K without h_1; couplings : of h_1 to these eigenvectors; rotation : rows of
    the directions but h_1, columns of the eigenvectors.
    """

    own: mpf
    strengths: list[mpf]
    couplings: list[mpf]
    rotation: list[list[mpf]]

    @classmethod
    def from_factor(cls, factor: np.ndarray) -> Kernel:
        """K = factor^T factor."""
        left, values, right = np.linalg.svd(np.delete(factor, 1, axis=1), full_matrices=False)
        couplings = (factor[:, 1] @ left) * values
        return cls(
            mpf(float(factor[:, 1] @ factor[:, 1])), [mpf(float(x)) ** 2 for x in values],
            [mpf(float(x)) for x in couplings], [[mpf(float(x)) for x in row] for row in right.T],
        )

    @classmethod
    def from_spikes(cls, spikes: Sequence[Sequence[mpf]], size: int, strength: mpf) -> Kernel:
        """Very strong spikes with these Hermite coefficients."""
        total = mp.zeros(size)
        for spike in spikes:
            if max(abs(x) for x in spike) > 0:
                vector = mp.matrix(list(spike)) / mp.norm(mp.matrix(list(spike)))
                total += strength * vector * vector.T
        others = [j for j in range(size) if j != 1]
        values, vectors = mp.eigsy(mp.matrix([[total[i, j] for j in others] for i in others]))
        coupling = mp.matrix([[total[1, j] for j in others]]) * vectors
        return cls(total[1, 1], list(values), list(coupling), vectors.tolist())


class Spiked:
    """Spikes on a bulk, and a teacher with c*_0, c*_1, ..., E y^2 = second (noise included), rho = <b, theta>/|b|."""

    def __init__(self, bulk: Bulk, kernel: Kernel, coefficients: Sequence[mpf], second: mpf, rho: mpf) -> None:
        self.bulk, self.kernel, self.second, self.rho = bulk, kernel, second, rho
        self.coefficients = coefficients

    def arrow(self, at: Resolvent) -> tuple[list[mpf], mpf]:
        """Inverse of the resolvent along the spikes: its diagonal but h_1, and what is left of h_1 without the rest."""
        diagonal = [1 / at.white + at.feature * k for k in self.kernel.strengths]
        pulled = mp.fsum(v * v / x for v, x in zip(self.kernel.couplings, diagonal, strict=True))
        return diagonal, 1 / at.linear + at.feature * self.kernel.own - at.feature**2 * pulled

    def along_spikes(self, at: Resolvent, target: Sequence[mpf]) -> mpf:
        """Quadratic form of the resolvent along the spikes, for Hermite coefficients of a function of kappa."""
        diagonal, left = self.arrow(at)
        others = [x for j, x in enumerate(target) if j != 1]
        columns = zip(*self.kernel.rotation, strict=True)
        rotated = [mp.fdot(others, column[: len(others)]) for column in columns]
        first = target[1] - at.feature * mp.fsum(
            v * y / x for v, y, x in zip(self.kernel.couplings, rotated, diagonal, strict=True)
        )
        return first**2 / left + mp.fsum(y * y / x for y, x in zip(rotated, diagonal, strict=True))

    def energy(self, at: Resolvent, degree: int = 0, change: int = 0) -> mpf:
        """y^T (F F^T + lam_bar n)^{-1} y for the teacher, one of its coefficients changed."""
        given = list(self.coefficients)
        given[degree] += change
        second = self.second - self.coefficients[degree] ** 2 + given[degree] ** 2
        known = min(len(self.kernel.rotation) + 1, len(given))
        along = [c * self.rho**j for j, c in enumerate(given[:known])]
        white = second - given[1] ** 2 - mp.fsum(y * y for j, y in enumerate(along) if j != 1)
        straight = at.linear * given[1] ** 2 * (1 - self.rho**2) + at.white * white
        return self.along_spikes(at, along) + straight

    def errors(self, lam_bar: mpf) -> dict[str, mpf]:
        """Objective, test error by generalised cross-validation, train error; derivatives through the bulk's solver."""
        energy, slope = mp.taylor(lambda x: self.energy(self.bulk.resolvent(x)), lam_bar, 1)
        white = self.bulk.resolvent(lam_bar).white
        return {
            "ridge_objective": lam_bar * energy, "test_error": -slope / white**2, "train_error": -(lam_bar**2) * slope
        }

    def overlaps(self, lam_bar: mpf, degrees: int = DEGREES) -> list[mpf]:
        """E f h_k(<theta, x>) = c*_k - (d energy/d c*_k)/(2 e); the energy is a quadratic form."""
        at = self.bulk.resolvent(lam_bar)
        slopes = [(self.energy(at, k, 1) - self.energy(at, k, -1)) / 2 for k in range(degrees)]
        return [self.coefficients[k] - slope / (2 * at.white) for k, slope in enumerate(slopes)]

    # ---- outliers

    def outliers(self) -> list[mpf]:
        """The e < 0 of the outliers, strongest first, by counting positive eigenvalues."""

        def above(e: mpf) -> int:
            """Number of outliers above theta(e)."""
            diagonal, left = self.arrow(self.bulk.outside(e)[1])
            return sum(x > 0 for x in diagonal) + int(left > 0)

        edge, result = self.bulk.edge, []
        for count in range(1, above(edge * (1 - mpf("1e-12"))) + 1):
            low, high = edge * mpf("1e-12"), edge
            while abs(high / low - 1) > mpf("1e-20"):
                middle = -mp.sqrt(low * high)
                low, high = (low, middle) if above(middle) >= count else (middle, high)
            result.append(middle)
        return result

    def composition(self, e: mpf, size: int) -> list[mpf]:
        """<u, h_j/sqrt(n)>^2 for the left singular vector: residues of the resolvent."""
        theta, step = self.bulk.outside(e)[0], e * mpf("1e-8")
        total = [mpf(0)] * size
        for factor, weight in ((1, mpf(4) / 6), (-1, mpf(4) / 6), (2, -mpf(1) / 6), (-2, -mpf(1) / 6)):
            moved, at = self.bulk.outside(e + factor * step)
            for j in range(size):
                unit = [mpf(j == k) for k in range(max(size, 2))]
                total[j] += weight * (theta - moved) * self.along_spikes(at, unit)
        return total


def spike_factor(
    activation: str, step: Step, d: float, p: float, degree: int, radial: bool = True, fineness: float = 1.0
) -> np.ndarray:
    """Factor of K = p E gamma(z) gamma(z)^T for h_0(kappa) .. h_degree(kappa) and the radial direction."""
    function = FUNCTIONS[activation]
    tau, tau_r, rescaling = (float(x) for x in (step.tau, step.tau_r, step.rescaling))
    z = np.linspace(-RANGE, RANGE, round(600 * fineness))
    weight = np.sqrt(p * density(z) * (z[1] - z[0]))
    size = np.sqrt((1 + rescaling * z) ** 2 + (tau**2 + tau_r**2) * z**2)
    xi, weight_xi = (x[0] for x in split_rule(np.zeros(1), np.ones(1), function.kinks, 0.2 / fineness, 1.7 * RANGE))
    basis = np.array(hermite(degree + 1, xi)) * weight_xi
    values = np.concatenate([function.value(part[:, None] * xi) @ basis.T for part in np.array_split(size, 20)])
    table = values * (tau * z / size)[:, None] ** np.arange(degree + 1)
    if radial:
        table = np.concatenate([table, values[:, 2:3] / math.sqrt(d)], axis=1)
    return weight[:, None] * table


def spike_functions(activation: Moments, count: int, ratio: mpf, rescaling: mpf, size: int) -> list[list[mpf]]:
    """Coefficients of h_0 .. h_{size-1} in the leading spikes, k = 0 .. count.

    With t = tau z the mean of sigma(tau z kappa + v xi) given kappa is sum_j gamma_j(t) h_j(kappa),
    gamma_j = t^j sum_m c_{j+2m} sqrt((j+2m)!/j!)/(2^m m!) (V^2 - 1)^m, V^2 - 1 = 2 sr t + (sr^2 + 1 + r) t^2;
    spike k is the coefficient of t^k.
    """
    linear, square = 2 * rescaling, rescaling**2 + 1 + ratio
    result = [[mpf(0)] * size for _ in range(count + 1)]
    for j in range(min(count + 1, size)):
        for m in range(count - j + 1):
            factor = activation.coefficients[j + 2 * m] * mp.sqrt(mp.factorial(j + 2 * m) / mp.factorial(j))
            factor /= 2**m * mp.factorial(m)
            for twice in range(m + 1):  # so many factors t^2, and m - twice factors t
                order = j + m + twice
                if order <= count:
                    result[order][j] += factor * mp.binomial(m, twice) * square**twice * linear ** (m - twice)
    return result


def number_of_spikes(step_exponent: float) -> int:
    """How many spikes diverge at eta = n^a: spike k does for a > (k - 1)/(2k)."""
    exponent = Fraction(step_exponent)
    count = 0
    while exponent > Fraction(count, 2 * (count + 1)):
        count += 1
    return count


def first_layer_spike(size: float, d: int, p: int) -> tuple[float, float, float]:
    """Top singular value of W0 + size u v^T and its squared cosines with u and v, by Marchenko-Pastur averages.

    W0 has p rows and d columns with entries of variance 1/d.  With phi_1 = <x/(x^2 - s^2)> on the side of the rows and
    phi_2 on the side of the columns the value solves phi_1 phi_2 = 1/size^2.
    """
    beta = p / d
    angle = np.pi * (np.arange(4000) + 0.5) / 4000
    s2 = 1 + beta + 2 * math.sqrt(beta) * np.cos(angle)  # of W0 W0^T
    weight = 2 * np.sin(angle) ** 2 / (s2 * 4000)

    def rows(x: float) -> float:
        return float(weight @ (x / (x**2 - s2))) + (1 - min(1.0, 1 / beta)) / x

    def columns(x: float) -> float:
        return beta * rows(x) + (1 - beta) / x

    low, high = 1 + math.sqrt(beta), 10 * (1 + math.sqrt(beta) + size)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if rows(middle) * columns(middle) > 1 / size**2 else (low, middle)
    step = 1e-5 * low

    def product(x: float) -> float:
        return rows(x) * columns(x)

    slope = (8 * (product(low + step) - product(low - step)) - product(low + 2 * step) + product(low - 2 * step))
    slope /= 12 * step
    return low, -2 * rows(low) / (size**2 * slope), -2 * columns(low) / (size**2 * slope)


# --------------------------------------------------------------------------------------------------
# a step of any size
# --------------------------------------------------------------------------------------------------
class Readouts(NamedTuple):
    """Nodes and weights of z, with tau z and v at each."""

    weight: np.ndarray
    pull: np.ndarray
    deviation: np.ndarray


def gaussian_readouts(step: Step, count: int) -> Readouts:
    """z ~ N(0, 1) on a trapezoid."""
    tau, tau_r, rescaling = (float(x) for x in (step.tau, step.tau_r, step.rescaling))
    z = np.linspace(-RANGE, RANGE, count)
    return Readouts(density(z) * (z[1] - z[0]), tau * z, np.hypot(1 + rescaling * z, tau_r * z))


class Full:
    """Self-consistent equations for e(kappa) and the resolvent Gz(z) of a neuron."""

    def __init__(
        self, *, activation: str, teacher: Teacher, rho: float, readouts: Readouts, d: float, p: float, n: float,
        lam: float, noise_var: float, radial: bool = True, kappas: int = 200, width: float = 0.25,
    ) -> None:
        self.d, self.p, self.n, self.lam, self.radial, self.rho = d, p, n, lam, radial, rho
        self.kappa = np.linspace(-RANGE, RANGE, kappas)
        self.wk = density(self.kappa) * (self.kappa[1] - self.kappa[0])
        self.wz = readouts.weight
        function = FUNCTIONS[activation]
        rows = []
        for pull, deviation in zip(readouts.pull, readouts.deviation, strict=True):
            rows.append(self.preactivation_moments(function, pull * self.kappa, deviation, width))
        self.mean, self.slope, self.curve, self.rest = (np.array(x) for x in zip(*rows, strict=True))
        self.y, self.y_slope, nu = teacher.given_kappa(self.kappa, rho)
        self.nu = nu + noise_var

    @staticmethod
    def preactivation_moments(function: Function, mean: np.ndarray, deviation: float, width: float) -> np.ndarray:
        """E f, E f xi, E f (xi^2 - 1)/2 and E (f - E f - xi E f xi)^2 at f = sigma(mean + deviation xi)."""
        xi, weight = split_rule(mean, np.full_like(mean, deviation), function.kinks, width)
        values = function.value(mean[:, None] + deviation * xi)
        m0 = np.sum(weight * values, axis=1)
        m1 = np.sum(weight * xi * values, axis=1)
        m2 = np.sum(weight * (xi**2 - 1) * values, axis=1) / 2
        return np.array([m0, m1, m2, np.sum(weight * (values - m0[:, None] - m1[:, None] * xi) ** 2, axis=1)])

    # ---- the fixed point, unknowns log e and log Gz

    def split(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.exp(x[: self.wk.size]), np.exp(x[self.wk.size :])

    def dressed(self, e: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """sqrt(S), C = sqrt(S) M sqrt(S) and (1 + C)^{-1}."""
        root = np.sqrt(self.wk * e)
        scaled = self.slope * root
        coupling = (self.p / self.d) * (scaled.T * (self.wz * g)) @ scaled
        return root, coupling, np.linalg.inv(np.eye(root.size) + coupling)

    def update(self, x: np.ndarray, penalty: np.ndarray) -> np.ndarray:
        """Right-hand side of x = update(x)."""
        e, g = self.split(x)
        root, coupling, inverse = self.dressed(e, g)
        scaled = self.slope * root
        fresh_g = 1 / (1 + self.rest @ (self.wk * e) + np.sum((scaled @ inverse) * scaled, axis=1))
        linear = np.sum(coupling * inverse.T, axis=1) / root**2 * (self.d / self.p)
        fresh_e = (self.n / self.p) / (penalty + (self.wz * g) @ self.rest + linear)
        return np.log(np.concatenate([fresh_e, fresh_g]))

    @cached_property
    def solution(self) -> np.ndarray:
        """Damped iteration, then Newton's method; the Jacobian acts by a complex step."""
        penalty = np.full(self.wk.size, self.lam)
        x = np.zeros(self.wk.size + self.wz.size)
        for _ in range(60):
            x = (x + self.update(x, penalty)) / 2
        size = np.inf
        for _ in range(40):
            step = self.response(x, penalty, self.update(x, penalty) - x)
            previous, size = size, float(np.max(np.abs(step)))
            x = x + step * min(1.0, 2.0 / size)
            if size < 1e-12 or (size < 1e-9 and size > previous / 4):
                return x
        raise ArithmeticError(f"the fixed point is not reached: {size:.1e}")

    def response(self, x: np.ndarray, penalty: np.ndarray, source: np.ndarray) -> np.ndarray:
        """(1 - d update/d x)^{-1} source."""
        scale = float(np.max(np.abs(source)))

        def action(v: np.ndarray) -> np.ndarray:
            return v - self.update(x + 1j * STEP * v, penalty).imag / STEP

        operator = LinearOperator((x.size, x.size), matvec=action, dtype=float)
        total, rest = np.zeros_like(x), source
        for _ in range(3):  # with iterative refinement
            part, _ = gmres(operator, rest / scale, rtol=1e-13, atol=0.0, restart=120, maxiter=3)
            total = total + part * scale
            rest = source - action(total)
            if np.max(np.abs(rest)) < 1e-13 * scale:
                break
        return total

    # ---- observables

    def signal(self, x: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
        """Energy, residual mean and residual coefficient of t at kappa."""
        e, g = self.split(x)
        root, _, inverse = self.dressed(e, g)
        weight = self.wz * g
        beta, count = self.p / self.d, root.size
        along = self.kappa * self.slope
        block = self.p * (self.mean.T * weight) @ self.mean + beta * (along.T * weight) @ along
        target = np.concatenate([self.y * root, 0 * root]) if self.radial else self.y * root
        if self.radial:
            cross = self.p * math.sqrt(2 / self.d) * (self.mean.T * weight) @ self.curve
            block = np.block([[block, cross], [cross.T, 2 * beta * (self.curve.T * weight) @ self.curve]])
        double = np.concatenate([root, root]) if self.radial else root
        solved = np.linalg.solve(np.eye(double.size) + double[:, None] * block * double, target)
        slope = inverse @ (root * self.y_slope)
        energy = target @ solved + (root * self.y_slope) @ slope + (self.wk * e) @ self.nu
        return energy, solved[:count] / root, slope / root

    @np.errstate(under="ignore")
    def errors(self) -> dict[str, Any]:
        """Objective, errors and overlaps."""
        x, n, p, lam = self.solution, self.n, self.p, self.lam
        e, _ = self.split(x)
        energy, mean, slope = self.signal(x)
        objective = lam * p / n * float(energy.real)

        def derivative(direction: np.ndarray) -> float:
            """Of the energy under penalty + eps direction."""
            penalty = lam + 1j * STEP * direction
            change = self.response(x, np.full(e.size, lam), self.update(x, penalty).imag / STEP)
            return float(self.signal(x + 1j * STEP * change)[0].imag) / STEP

        train = -lam * (lam * p / n) * derivative(np.ones(e.size))
        test = -(p / n) * derivative((n / (p * e)) ** 2)
        return {
            "ridge_objective": objective, "test_error": test, "train_error": train,
            "overlaps": self.overlaps(self.y - mean, self.y_slope - slope),
        }

    def overlaps(self, mean: np.ndarray, slope: np.ndarray) -> list[float]:
        """E f h_k(<theta, x>) for f = mean(kappa) + slope(kappa) t + (orthogonal)."""
        t, weight = np.polynomial.hermite_e.hermegauss(24)
        weight = weight / math.sqrt(2 * math.pi)
        place = (self.rho * self.kappa)[:, None] + math.sqrt(1 - self.rho**2) * t
        predicted = self.wk[:, None] * weight * (mean[:, None] + slope[:, None] * t)
        return [float(np.sum(predicted * h)) for h in hermite(DEGREES, place)]


# --------------------------------------------------------------------------------------------------
# problems
# --------------------------------------------------------------------------------------------------
def solve(
    *, activation: str, target: str | None = None, target_coefficients: Sequence[float] | None = None, d: int, p: int,
    n: int, n0: int, lam: float, noise_var: float = 0.0, level: str = "full", eta: float | None = None,
    step_exponent: float | None = None, degree: int = 120, fineness: float = 1.0,
) -> dict[str, Any]:
    """Observables of one problem; `degree` truncates the spikes at level finite_rank, `fineness` refines quadrature."""
    sigma, limit = moments(activation), level == "limit"
    teacher = Teacher(target, target_coefficients, degree + 1 if level == "finite_rank" else DEGREES)
    link = teacher.moments
    step = take_step(sigma, link, d, p, n0, 1.0 if eta is None else eta, noise_var, finite=not limit)
    result: dict[str, Any] = {"alignment": float(step.alignment)}
    if not limit:
        result |= {"tau": float(step.tau), "tau_r": float(step.tau_r), "row_rescaling": float(step.rescaling)}
    if level == "full":
        count = round(160 * fineness)
        full = Full(
            activation=activation, teacher=teacher, rho=float(step.alignment), d=d, p=p, n=n, lam=lam,
            readouts=gaussian_readouts(step, count), noise_var=noise_var, kappas=count, width=0.4 / fineness,
        )
        return result | full.errors()

    with mp.workdps(round(130 * fineness) if limit else 30):
        c0, c1 = sigma.coefficients[:2]
        bulk = Bulk(c1**2, sigma.second - c0**2 - c1**2, d, p, n)
        second, lam_bar = link.second + mpf(noise_var), mpf(lam) * p / n
        if limit:
            assert step_exponent is not None
            count = number_of_spikes(step_exponent)
            size = max(DEGREES, count + 1)
            spikes = spike_functions(sigma, count, (step.tau_r / step.tau) ** 2, step.rescaling / step.tau, size)
            strength = mpf(10) ** round(50 * fineness)
            kernel = Kernel.from_spikes(spikes if c0 != 0 else spikes[1:], size, strength)
            spiked = Spiked(bulk, kernel, link.coefficients, second, step.alignment)
        else:
            kernel = Kernel.from_factor(spike_factor(activation, step, d, p, degree, fineness=fineness))
            spiked = Spiked(bulk, kernel, link.coefficients[: degree + 1], second, step.alignment)
            theta = [bulk.outside(e)[0] for e in spiked.outliers()]
            result["singular_values"] = [float(mp.sqrt(x)) for x in theta]
            result["bulk_edge"] = float(mp.sqrt(bulk.outside(bulk.edge)[0]))
        result |= {name: float(value) for name, value in spiked.errors(lam_bar).items()}
        result["overlaps"] = [float(x) for x in spiked.overlaps(lam_bar)]
    return result


def difference(one: Any, other: Any) -> float:
    """Largest difference over largest value, of two numbers or two lists; inf where their lengths differ."""
    one, other = np.atleast_1d(one), np.atleast_1d(other)
    if one.size != other.size:
        return math.inf
    largest = float(np.max(np.abs(other), initial=0.0))
    return float(np.max(np.abs(one - other), initial=0.0)) / largest if largest > 0 else 0.0


def refined(parameters: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """Observables, and the relative change in each under the last refinement."""
    coarse = solve(**parameters, degree=90)
    for fineness in (1.4, 2.0, 3.0):
        fine = solve(**parameters, fineness=fineness)
        changes = {name: max(EPS, difference(coarse[name], value)) for name, value in fine.items()}
        if max(changes.values()) < 1e-12:
            break
        coarse = fine
    return fine, changes


# --------------------------------------------------------------------------------------------------
# random problems
# --------------------------------------------------------------------------------------------------
def draws(count: int, seed: int = SEED) -> list[dict[str, Any]]:
    """Random problems, in blocks of one level with every activation."""
    rng = random.Random(seed)

    def log_uniform(low: float, high: float) -> float:
        return math.exp(rng.uniform(math.log(low), math.log(high)))

    def size() -> int:
        return round(log_uniform(50, 5000))

    def teacher() -> dict[str, Any]:
        kind = kinds.pop()
        if kind in FUNCTIONS:
            return {"target": kind}
        first = 0.0 if kind == "no mean" else rng.uniform(-0.6, 0.6)
        rest = [rng.uniform(-0.6, 0.6) for _ in range(rng.randint(0, 4))]
        return {"target_coefficients": [first, rng.choice((-1, 1)) * rng.uniform(0.3, 1.0), *rest]}

    def exponent() -> float:
        """Away from the exponents where a spike is critical."""
        while True:
            a = rng.uniform(-0.1, 0.45)
            if min(abs(k * (1 - 2 * a) - 1) for k in range(1, 20)) > 1e-3:
                return a

    kinds: list[str] = []
    result: list[dict[str, Any]] = []
    while len(result) < count:
        level = BLOCKS[len(result) // len(ACTIVATIONS) % len(BLOCKS)]
        activations = list(ACTIVATIONS)
        rng.shuffle(activations)
        for activation in activations:
            if not kinds:
                kinds = ["mean", "mean", "no mean", *TARGETS]
                rng.shuffle(kinds)
            problem = {"level": level, "activation": activation, **teacher(), "d": size(), "p": size(), "n": size()}
            if rng.random() < 0.2:
                problem["n"] = problem["p"]
            problem |= {"n0": size(), "lam": log_uniform(1e-6, 10.0)}
            problem["noise_var"] = rng.choice((0.0, rng.uniform(0.0, 0.5)))
            if level == "limit":
                problem["step_exponent"] = exponent()
            else:
                link = Teacher(problem.get("target"), problem.get("target_coefficients")).moments
                sizes = {name: problem[name] for name in ("d", "p", "n0", "noise_var")}
                tau = take_step(moments(activation), link, eta=1.0, **sizes).tau
                problem["eta"] = log_uniform(0.01, 1.5) / float(tau)
            result.append(problem)
    return result[:count]


def main() -> None:
    """Solve the random problems and store them, with the change under a finer quadrature.

    At level finite_rank `truncation` is the change from stopping at h_24(kappa).
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=84)
    entries = []
    for parameters in draws(parser.parse_args().count):
        start = time.monotonic()
        observables, accuracy = refined(parameters)
        link = Teacher(parameters.get("target"), parameters.get("target_coefficients")).moments
        entry = {
            "parameters": parameters, "label_second_moment": float(link.second) + parameters["noise_var"],
            "observables": observables, "accuracy": accuracy,
        }
        if parameters["level"] == "finite_rank":
            truncated = solve(**parameters, degree=24)
            entry["truncation"] = {name: difference(truncated[name], value) for name, value in observables.items()}
        worst = max(accuracy, key=lambda name: accuracy[name])
        seconds = time.monotonic() - start
        print(f"{seconds:5.1f} s  {accuracy[worst]:.0e} {worst}  {parameters}", file=sys.stderr, flush=True)
        entries.append(entry)
        FILE.write_text(json.dumps(entries, indent=1) + "\n")


if __name__ == "__main__":
    main()
