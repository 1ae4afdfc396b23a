"""Gaussian moments of nonlinearities with as many digits as wanted.

Each function of a Gaussian variable is integrated directly (trapezoid sums on the whole line, with
the step halved until nothing changes), or, where it is a polynomial, trigonometric or has a kink,
by its textbook closed form.  The precision is mpmath's current one, see `precision`.

If gmpy2 is installed the long loops run on its numbers; otherwise on mpmath's and Python's own,
with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import accumulate, repeat
from operator import mul

from mpmath import mp, mpf

try:
    import gmpy2
except ImportError:
    gmpy2 = None

# value of the function under x -> -x: +1 even, -1 odd, 0 neither
PARITY = {
    "tanh": -1, "relu": 0, "erf": -1, "sin": -1, "cos": 1, "sign": -1, "abs": 1, "softplus": 0,
    "sigmoid": 0, "gelu": 0, "linear": -1, "he2": 1, "he3": -1, "he4": 1, "he5": -1,
    "erf(x/sqrt(2))": -1,
}  # fmt: skip
ACTIVATIONS = tuple(PARITY)
KINKED = ("relu", "abs", "sign")
PERIODIC = ("sin", "cos")


# --------------------------------------------------------------------------------------------------
# numbers
# --------------------------------------------------------------------------------------------------
@contextmanager
def precision(digits: int):
    """Work with `digits` decimal digits in mpmath and, if present, in gmpy2."""
    with mp.workdps(digits):
        if gmpy2 is None:
            yield
        else:
            with gmpy2.context(gmpy2.get_context(), precision=mp.prec + 8):
                yield


def fast(x: mpf):
    """Convert an mpf to the number type of the long loops."""
    if gmpy2 is None:
        return x
    sign, mantissa, exponent, _ = x._mpf_
    value = gmpy2.mpfr(-mantissa if sign else mantissa)
    return gmpy2.mul_2exp(value, exponent) if exponent >= 0 else gmpy2.div_2exp(value, -exponent)


def _exact(x) -> mpf:
    """Convert a number of the long loops back to an mpf."""
    if gmpy2 is None or isinstance(x, mpf):
        return mpf(x)
    mantissa, exponent = x.as_mantissa_exp()
    return mp.ldexp(mpf(int(mantissa)), int(exponent))


def _integer(x: int):
    return x if gmpy2 is None else gmpy2.mpz(x)


def sum_of_products(*columns: Iterable) -> mpf:
    """Sum over the nodes of the product of the columns."""
    product = columns[0]
    for column in columns[1:]:
        product = map(mul, product, column)
    return _exact(sum(product, fast(mpf(0))))


# --------------------------------------------------------------------------------------------------
# nonlinearities
# --------------------------------------------------------------------------------------------------
def _tanh(t: mpf) -> tuple[mpf, mpf, mpf]:
    e = mp.exp(-2 * abs(t)) if abs(t) < mp.prec else mpf(0)
    f = (1 - e) / (1 + e) * (1 if t >= 0 else -1)
    slope = 4 * e / (1 + e) ** 2
    return f, slope, -2 * f * slope


def _erf(t: mpf, scale: mpf) -> tuple[mpf, mpf, mpf]:
    s = t * scale
    slope = 2 * scale * mp.exp(-s * s) / mp.sqrt(mp.pi)
    return mp.erf(s), slope, -2 * s * scale * slope


def _sigmoid(t: mpf) -> tuple[mpf, mpf, mpf]:
    e = mp.exp(-abs(t)) if abs(t) < mp.prec else mpf(0)
    f = 1 / (1 + e) if t >= 0 else e / (1 + e)
    slope = e / (1 + e) ** 2
    return f, slope, slope * (1 - e) / (1 + e) * (-1 if t >= 0 else 1)


def _softplus(t: mpf) -> tuple[mpf, mpf, mpf]:
    e = mp.exp(-abs(t)) if abs(t) < mp.prec else mpf(0)
    value = mp.log(1 + e) if e > 1e-3 else mp.log1p(e)
    slope, curvature, _ = _sigmoid(t)
    return max(t, mpf(0)) + value, slope, curvature


def _gelu(t: mpf) -> tuple[mpf, mpf, mpf]:
    cdf, pdf = mp.ncdf(t), mp.npdf(t)
    return t * cdf, cdf + t * pdf, (2 - t * t) * pdf


def _hermite(degree: int) -> list[mpf]:
    """Coefficients (constant first) of He_degree / sqrt(degree!)."""
    lower, upper = [mpf(1)], [mpf(0), mpf(1)]
    for k in range(1, degree):
        shifted = [mpf(0), *upper]
        for j, a in enumerate(lower):
            shifted[j] -= k * a
        lower, upper = upper, shifted
    return [a / mp.sqrt(mp.factorial(degree)) for a in upper]


def polynomial_coefficients(name: str) -> list[mpf] | None:
    if name == "linear":
        return [mpf(0), mpf(1)]
    return _hermite(int(name[2:])) if name.startswith("he") else None


def _horner(coefficients: Sequence[mpf], t: mpf) -> mpf:
    value = mpf(0)
    for a in reversed(coefficients):
        value = value * t + a
    return value


def _differentiate(coefficients: Sequence[mpf]) -> list[mpf]:
    return [k * a for k, a in enumerate(coefficients)][1:] or [mpf(0)]


_SMOOTH: dict[str, Callable[[mpf], tuple[mpf, mpf, mpf]]] = {
    "tanh": _tanh,
    "erf": lambda t: _erf(t, mpf(1)),
    "erf(x/sqrt(2))": lambda t: _erf(t, mp.sqrt(mpf(1) / 2)),
    "softplus": _softplus,
    "sigmoid": _sigmoid,
    "gelu": _gelu,
}


def value_and_slope(name: str, t: mpf) -> tuple[mpf, mpf]:
    """Function and derivative at a point (0 counts as the left of a kink)."""
    if name in _SMOOTH:
        return _SMOOTH[name](t)[:2]
    if name == "relu":
        return (t, mpf(1)) if t > 0 else (mpf(0), mpf(0))
    if name == "abs":
        return abs(t), mp.sign(t)
    if name == "sign":
        return mp.sign(t), mpf(0)
    if name == "sin":
        return mp.sin(t), mp.cos(t)
    if name == "cos":
        return mp.cos(t), -mp.sin(t)
    coefficients = polynomial_coefficients(name)
    if coefficients is None:
        raise ValueError(f"unknown nonlinearity {name!r}")
    return _horner(coefficients, t), _horner(_differentiate(coefficients), t)


# --------------------------------------------------------------------------------------------------
# Gaussian moments (E f, E f', E f^2, E f''/2) under N(m, v), as functions of m
# --------------------------------------------------------------------------------------------------
Moments = tuple[mpf, mpf, mpf, mpf]


def _kinked_moments(name: str, v: mpf) -> Callable[[mpf], Moments]:
    s = mp.sqrt(v)

    def at(m: mpf) -> Moments:
        cdf, pdf = mp.ncdf(m / s), mp.npdf(m / s)
        if name == "relu":
            return m * cdf + s * pdf, cdf, (m * m + v) * cdf + m * s * pdf, pdf / (2 * s)
        if name == "abs":
            return m * (2 * cdf - 1) + 2 * s * pdf, 2 * cdf - 1, m * m + v, pdf / s
        return 2 * cdf - 1, 2 * pdf / s, mpf(1), -m * pdf / (s * v)

    return at


def _periodic_moments(name: str, v: mpf) -> Callable[[mpf], Moments]:
    once, twice = mp.exp(-v / 2), mp.exp(-2 * v)

    def at(m: mpf) -> Moments:
        sine, cosine = mp.sin(m) * once, mp.cos(m) * once
        double = mp.cos(2 * m) * twice
        if name == "sin":
            return sine, cosine, (1 - double) / 2, -sine / 2
        return cosine, -sine, (1 + double) / 2, -cosine / 2

    return at


def _smoothed(coefficients: Sequence[mpf], v: mpf) -> list[mpf]:
    """Coefficients in m of E P(m + sqrt(v) z), from the even moments of z."""
    result = [mpf(0)] * len(coefficients)
    for k, a in enumerate(coefficients):
        for j in range(k // 2 + 1):
            result[k - 2 * j] += a * mp.binomial(k, 2 * j) * v**j * mp.fac2(2 * j - 1)
    return result


def _polynomial_moments(name: str, v: mpf) -> Callable[[mpf], Moments]:
    p = polynomial_coefficients(name)
    square = [mpf(0)] * (2 * len(p) - 1)
    for i, a in enumerate(p):
        for j, b in enumerate(p):
            square[i + j] += a * b
    slope = _differentiate(p)
    curvature = [a / 2 for a in _differentiate(slope)]
    tables = [_smoothed(q, v) for q in (p, slope, square, curvature)]
    return lambda m: tuple(_horner(table, m) for table in tables)


class _SmoothMoments:
    """Trapezoid sums on one infinite grid of t, shared by all means m.

    The function is tabulated once on ``t_j = j * step`` (fixed-point integers).  For a mean
    ``m = j0 * step + f`` the Gaussian weights are ``G_i q^i exp(-f^2/2v)`` with a table G and
    ``q = exp(f step / v)``, so that no exponential is evaluated per node.
    """

    def __init__(self, name: str, v: mpf, curvature: bool):
        self.function, self.v, self.curvature = _SMOOTH[name], v, curvature
        self.bits = mp.prec + 24
        self._choose_step()

    def _choose_step(self) -> None:
        s, digits = mp.sqrt(self.v), mp.dps
        probes = [mpf(0), s * mpf("0.37"), 1 + s / 3, -s * mpf("1.9") - mpf("0.6")]
        self._set_step(s * 2 * mp.pi / mp.sqrt(2 * digits * mp.ln(10)))
        before = [self(m) for m in probes]
        for _ in range(60):
            self._set_step(self.step / mp.sqrt(2))
            now = [self(m) for m in probes]
            change = max(abs(a - b) for x, y in zip(before, now, strict=True) for a, b in zip(x, y, strict=False))
            # the error behaves as exp(-const/step) or better: now it is change**sqrt(2)
            if change < mpf(10) ** (-0.8 * digits):
                return
            before = now
        raise ArithmeticError("the Gaussian average does not converge")

    def _set_step(self, step: mpf) -> None:
        self.step = step
        reach = mp.sqrt(2 * self.v * mp.ln(10) * (mp.dps + 12))
        self.half = int(mp.ceil(reach / step)) + 1
        gaussian = [mp.exp(-((i * step) ** 2) / (2 * self.v)) for i in range(self.half + 1)]
        right = [self._fixed(x) for x in gaussian]
        self.kernel = right[:0:-1] + right
        self.first, self.columns = 0, None

    def _fixed(self, x: mpf):
        return _integer(int(mp.nint(mp.ldexp(x, self.bits))))

    def _tabulate(self, first: int, last: int) -> list[list]:
        rows = []
        for j in range(first, last + 1):
            f, slope, curve = self.function(j * self.step)
            row = [f, slope, f * f] + ([curve / 2] if self.curvature else [])
            rows.append([self._fixed(x) for x in row])
        return [list(column) for column in zip(*rows, strict=True)]

    def _cover(self, first: int, last: int) -> None:
        if self.columns is None:
            self.first, self.columns = first, self._tabulate(first, last)
            return
        if first < self.first:
            left = self._tabulate(first, self.first - 1)
            self.columns = [a + b for a, b in zip(left, self.columns, strict=True)]
            self.first = first
        end = self.first + len(self.columns[0]) - 1
        if last > end:
            right = self._tabulate(end + 1, last)
            for column, extra in zip(self.columns, right, strict=True):
                column.extend(extra)

    def _powers(self, q) -> list:
        bits = self.bits
        one = _integer(1 << bits)
        return list(accumulate(repeat(q, self.half), lambda p, x: (p * x) >> bits, initial=one))

    def __call__(self, m: mpf) -> Moments:
        j0, bits = int(mp.nint(m / self.step)), self.bits
        f = m - j0 * self.step
        self._cover(j0 - self.half, j0 + self.half)
        q = mp.exp(f * self.step / self.v)
        powers = self._powers(self._fixed(1 / q))[:0:-1] + self._powers(self._fixed(q))
        weights = [(g * p) >> bits for g, p in zip(self.kernel, powers, strict=True)]
        scale = self.step * mp.exp(-f * f / (2 * self.v)) / mp.sqrt(2 * mp.pi * self.v)
        start = j0 - self.half - self.first
        stop = start + 2 * self.half + 1
        sums = [sum(map(mul, weights, column[start:stop])) for column in self.columns]
        values = [mp.ldexp(mpf(int(x)), -2 * bits) * scale for x in sums]
        return tuple(values) if self.curvature else (*values, mpf(0))


def moment_function(name: str, v: mpf, curvature: bool = True) -> Callable[[mpf], Moments]:
    """Moments as a function of the mean, using the parity of the function, with a memory."""
    if name in KINKED:
        direct = _kinked_moments(name, v)
    elif name in PERIODIC:
        direct = _periodic_moments(name, v)
    elif name in _SMOOTH:
        direct = _SmoothMoments(name, v, curvature)
    else:
        direct = _polynomial_moments(name, v)
    parity, memory = PARITY[name], {}

    def at(m: mpf) -> Moments:
        key = abs(m) if parity else m
        if key not in memory:
            memory[key] = direct(key)
        mean, slope, square, curve = memory[key]
        if parity == -1 and key == 0:
            return mpf(0), slope, square, mpf(0)
        if parity == 1 and key == 0:
            return mean, mpf(0), square, curve
        if m == key:
            return mean, slope, square, curve
        return parity * mean, -parity * slope, square, parity * curve

    return at


# --------------------------------------------------------------------------------------------------
# integrals under the standard Gaussian, Gauss-Legendre rules
# --------------------------------------------------------------------------------------------------
def standard_average(f: Callable[[mpf], mpf]) -> mpf:
    """E f(z), z ~ N(0,1), by tanh-sinh quadrature on intervals with an edge at 0."""
    reach = int(mp.ceil(mp.sqrt(2 * mp.ln(10) * (mp.dps + 10)))) + 2
    return mp.quad(lambda z: f(z) * mp.npdf(z), list(range(-reach, reach + 1)))


@cache
def gauss_legendre(order: int, digits: int) -> tuple[tuple[mpf, mpf], ...]:
    """Nodes and weights on [-1, 1], by Newton iteration on the Legendre recurrence."""
    with mp.workdps(digits + 10):
        rule = []
        for i in range(order):
            x = mp.cos(mp.pi * (i + mpf(3) / 4) / (order + mpf(1) / 2))
            for _ in range(100):
                lower, upper = mpf(1), x
                for k in range(1, order):
                    lower, upper = upper, ((2 * k + 1) * x * upper - k * lower) / (k + 1)
                slope = order * (x * upper - lower) / (x * x - 1)
                step = upper / slope
                x -= step
                if abs(step) < mpf(10) ** (-digits - 5):
                    break
            rule.append((x, 2 / ((1 - x * x) * slope**2)))
        return tuple(rule)
