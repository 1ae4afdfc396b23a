"""Where a function given as a sympy tree changes sign, bends, and vanishes."""

from __future__ import annotations

import functools
import math
from typing import Any

import mpmath
import numpy as np
import sympy

from .grammar import refuse, short
from .quadrature import Array
from .symbolic import KINKED, WAVES, X, constant_value, evaluate, evaluate_array, mpmath_library

_NEAR = 80.0  # denominators are searched for zeros up to here, and for changes of sign up to _FAR
_FAR = 1e6
_KINK_RANGE = 1000.0


def coefficients(tree: sympy.Expr) -> list[sympy.Expr] | None:
    """Coefficients of a polynomial in x, highest power first; None if it is none."""
    return sympy.Poly(tree, X).all_coeffs() if tree.is_polynomial(X) else None


def sign_changes(tree: sympy.Expr) -> list[float]:
    """The places where a function changes sign; those of other functions than polynomials up to |x| = 1000."""
    exact = coefficients(tree)
    if exact is not None and len(exact) <= 2:
        return [float(constant_value(-exact[1] / exact[0]))] if len(exact) == 2 else []
    x = _grid(_KINK_RANGE) if exact is None else _between_roots(exact)
    signs = np.sign(evaluate_array(tree, x))
    changes = np.flatnonzero(signs[1:] != signs[:-1])
    if changes.size > 200:
        refuse(f"{short(tree)} changes sign too often below a kink")
    with mpmath.workdps(30):
        return [float(root_near(tree, _bisect(tree, x[i], x[i + 1], signs[i]), mpmath.mp)) for i in changes]


def root_near(tree: sympy.Expr, place: float, mp: Any) -> Any:
    """The change of sign next to `place`, in the precision of the context."""
    exact = coefficients(tree)
    if exact is not None and len(exact) == 2:
        return mp.mpf(constant_value(-exact[1] / exact[0], mp.dps + 5))
    library = mpmath_library(mp)
    for distance in (mp.mpf(1e-14), mp.mpf(1e-9)):
        low, high = (place + side * distance * (1 + abs(place)) for side in (-1, 1))
        sign = mp.sign(evaluate(tree, low, library))
        if sign != mp.sign(evaluate(tree, high, library)):
            break
    else:
        return mp.mpf(place)
    while high - low > mp.eps * (1 + abs(place)):
        middle = (low + high) / 2
        if mp.sign(evaluate(tree, middle, library)) == sign:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def bends(tree: sympy.Expr) -> tuple[tuple[float, float], ...]:
    """(location, length) of the places where the functions in a tree bend, and of poles next to the real axis."""
    found: set[tuple[float, float]] = set()
    for node in tree.atoms(sympy.Function, sympy.Pow):
        inner = _floats(node.args[0])
        if inner is None or inner.size < 2 or isinstance(node, KINKED + WAVES):
            continue
        if isinstance(node, sympy.log) or (node.is_Pow and not (node.exp.is_Integer and node.exp > 0)):
            found.update((root.real, abs(root.imag)) for root in np.roots(inner))
        elif node.is_Pow or (isinstance(node, sympy.exp) and inner.size == 2):
            continue
        else:
            centres = np.concatenate([np.roots(inner), np.roots(np.polyder(inner))]).real
            found.update((centre, _length(inner, centre)) for centre in centres)
    return tuple(sorted((float(place) + 0.0, float(scale)) for place, scale in found))


def wave_length(tree: sympy.Expr) -> float:
    """1/|b| of the fastest sin(b x + c) or exp(b x + c)."""
    rates = [
        abs(inner[0])
        for node in tree.atoms(*WAVES, sympy.exp)
        if (inner := _floats(node.args[0])) is not None and inner.size == 2
    ]
    return 1 / float(max(rates, default=1.0))


def require_sign(tree: sympy.Expr, positive: bool) -> None:
    """Refuse a denominator that vanishes on the real line, or the argument of a root or logarithm that is not positive.

    Functions other than polynomials are searched on a fine grid.
    """
    what = "the argument of a root or logarithm must be positive" if positive else "a denominator must not vanish"
    exact = coefficients(tree)
    if exact is not None:
        roots = np.roots([float(constant_value(a)) for a in exact])
        places = roots.real[np.abs(roots.imag) <= 1e-3 * (1 + np.abs(roots))]
    else:
        places = _zeros(tree)
    if places.size:
        place = places[np.argmin(np.abs(places))]
        refuse(f"{what}, and {short(tree)} is zero or of both signs near x = {place:.4g}")
    if positive and evaluate_array(tree, np.array([0.0]))[0] < 0:
        refuse(f"{what}, and {short(tree)} is negative")


def _zeros(tree: sympy.Expr) -> Array:
    """Places where a function vanishes, nearly vanishes, changes sign, or is not defined."""
    x = _grid(_FAR)
    u = evaluate_array(tree, x)
    near = np.abs(x) <= _NEAR
    sign = np.sign(u[x.size // 2])
    # far out an exponential may have fallen below the smallest float
    bad = np.isnan(u) | (np.sign(u) == -sign) | (near & (u == 0))
    if np.any(bad):
        return x[bad]
    size = np.where(near, np.abs(u), np.inf)
    lowest = 1 + np.flatnonzero((size[1:-1] < size[:-2]) & (size[1:-1] <= size[2:]) & np.isfinite(size[2:]))
    found = []
    for i in lowest[np.isfinite(size[lowest - 1])]:
        low, high = x[i - 1], x[i + 1]
        for _ in range(5):
            finer = np.linspace(low, high, 41)
            values = np.abs(evaluate_array(tree, finer))
            best = int(np.argmin(values))
            low, high = finer[max(best - 1, 0)], finer[min(best + 1, 40)]
        if np.min(values) < 0.05 * max(size[i - 1], size[i + 1]):
            found.append(x[i])
    return np.array(found)


@functools.cache
def _grid(reach: float) -> Array:
    """Points on [-reach, reach]: dense near zero, then at fixed steps to 1000, then geometric; off round numbers."""
    steps = [np.arange(0, 12, 1 / 256), np.arange(12, _NEAR, 1 / 64), np.arange(_NEAR, _KINK_RANGE, 1 / 16)]
    if reach > _KINK_RANGE:
        steps.append(np.geomspace(_KINK_RANGE, reach, 20_000))
    right = np.concatenate(steps)
    grid = np.concatenate([-right[:0:-1], right])
    grid.setflags(write=False)
    return grid


def _between_roots(exact: list[sympy.Expr]) -> Array:
    """Points between all real parts of the roots of a polynomial, and beyond them."""
    roots = np.sort(np.roots([float(constant_value(a)) for a in exact]).real)
    reach = 1 + np.max(np.abs(roots), initial=0.0)
    return np.concatenate([[-2 * reach], 0.5 * (roots[1:] + roots[:-1]), [2 * reach]])


def _bisect(tree: sympy.Expr, low: float, high: float, sign: float) -> float:
    """The place between two points where the function stops having the sign that it has at the lower one."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if np.sign(evaluate_array(tree, np.array([middle]))[0]) == sign:
            low = middle
        else:
            high = middle
    return high


def _floats(tree: sympy.Expr) -> Array | None:
    exact = coefficients(tree)
    return np.array([float(constant_value(a)) for a in exact]) if exact is not None else None


def _length(inner: Array, x: float) -> float:
    """Length over which a polynomial changes by one around x: min over k of (k!/|u^(k)(x)|)^(1/k)."""
    lengths = []
    for k in range(1, inner.size):
        slope = abs(float(np.polyval(np.polyder(inner, k), x)))
        lengths.append((math.factorial(k) / slope) ** (1 / k) if slope > 1e-30 else math.inf)
    return min(lengths)
