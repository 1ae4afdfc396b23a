"""Trees of real functions of x: the functions that expressions may contain, evaluated with NumPy or mpmath.

sympy holds the trees and differentiates them.  This module is imported only when an expression is parsed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import sympy

from .members import MEMBERS
from .quadrature import Array

X = sympy.Symbol("x", real=True)

_FARTHEST_EXPONENT = 1e14  # exp of anything larger is as good as infinite, and takes as much memory
_FARTHEST_PHASE = 1e300  # sin of anything larger takes more digits of pi than there is time for


class _Real(sympy.Function):
    """A real function of one real argument."""

    nargs = 1
    is_extended_real = True


class _Odd(_Real):
    @classmethod
    def eval(cls, u: Any) -> Any:
        return -cls(-u) if u.could_extract_minus_sign() else None


class _Even(_Real):
    @classmethod
    def eval(cls, u: Any) -> Any:
        return cls(-u) if u.could_extract_minus_sign() else None


class Sign(_Odd):
    def fdiff(self, argindex: int = 1) -> Any:
        return sympy.S.Zero  # the jump is kept apart


class Abs(_Even):
    def fdiff(self, argindex: int = 1) -> Any:
        return Sign(self.args[0])


class Step(_Real):
    def fdiff(self, argindex: int = 1) -> Any:
        return sympy.S.Zero


class Relu(_Real):
    def fdiff(self, argindex: int = 1) -> Any:
        return Step(self.args[0])


class Tanh(_Odd):
    """Its derivative as a function of its own: 1 - tanh^2 has no digits in the tails."""

    def fdiff(self, argindex: int = 1) -> Any:
        return SechSquared(self.args[0])


class SechSquared(_Even):
    def fdiff(self, argindex: int = 1) -> Any:
        return -2 * Tanh(self.args[0]) * self


class Sigmoid(_Real):
    def fdiff(self, argindex: int = 1) -> Any:
        return self * Sigmoid(-self.args[0])


class Softplus(_Real):
    def fdiff(self, argindex: int = 1) -> Any:
        return Sigmoid(self.args[0])


class NormalCdf(_Real):
    def fdiff(self, argindex: int = 1) -> Any:
        return sympy.exp(-self.args[0] ** 2 / 2) / sympy.sqrt(2 * sympy.pi)


KINKED = (Relu, Abs, Sign, Step)
WAVES = (sympy.sin, sympy.cos)
ODD = (Sign, Tanh, sympy.erf, sympy.sin, sympy.atan)
EVEN = (Abs, SechSquared, sympy.cos)


class Library(NamedTuple):
    """What evaluates a tree: numbers p/q, pi and e; powers n/2; functions of one argument."""

    ratio: Callable[[int, int], Any]
    constants: Mapping[Any, Any]
    power: Callable[[Any, int], Any]
    functions: Mapping[Any, Callable[[Any], Any]]


def evaluate(tree: sympy.Expr, x: Any, library: Library) -> Any:
    """Value of a tree at x; equal subtrees are computed once."""
    known: dict[Any, Any] = {X: x}

    def value(node: Any) -> Any:
        if node not in known:
            known[node] = compute(node)
        return known[node]

    def compute(node: Any) -> Any:
        if node.is_Rational:
            return library.ratio(int(node.p), int(node.q))
        if node in library.constants:
            return library.constants[node]
        if node.is_Pow:
            return library.power(value(node.base), int(2 * node.exp))
        if node.is_Add or node.is_Mul:
            total = value(node.args[0])
            for argument in node.args[1:]:
                total = total + value(argument) if node.is_Add else total * value(argument)
            return total
        return library.functions[node.func](value(node.args[0]))

    return value(tree)


@functools.cache
def _numpy_library() -> Library:
    from scipy.special import ndtr

    def power(base: Any, halves: int) -> Any:
        return base ** (halves // 2) if halves % 2 == 0 else np.sqrt(base) ** halves

    functions = {
        sympy.exp: np.exp,
        sympy.log: np.log,
        sympy.sin: np.sin,
        sympy.cos: np.cos,
        sympy.atan: np.arctan,
        sympy.erf: MEMBERS["erf"].value,
        Sign: np.sign,
        Abs: np.abs,
        Step: MEMBERS["relu"].slope,
        Relu: MEMBERS["relu"].value,
        Tanh: np.tanh,
        SechSquared: MEMBERS["tanh"].slope,
        Sigmoid: MEMBERS["softplus"].slope,
        Softplus: MEMBERS["softplus"].value,
        NormalCdf: ndtr,
    }
    constants = {sympy.pi: np.float64(math.pi), sympy.E: np.float64(math.e)}
    return Library(lambda p, q: np.float64(p / q), constants, power, functions)


def mpmath_library(mp: Any) -> Library:
    """Evaluation in the mpmath context `mp`, at its precision."""

    def power(base: Any, halves: int) -> Any:
        return base ** (halves // 2) if halves % 2 == 0 else mp.sqrt(base) ** halves

    def exp(u: Any) -> Any:
        if abs(u) > _FARTHEST_EXPONENT:
            return mp.inf if u > 0 else mp.zero
        return mp.exp(u)

    def wave(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda u: function(u) if abs(u) < _FARTHEST_PHASE else mp.nan

    def step(u: Any) -> Any:
        return (1 + mp.sign(u)) / 2

    def sech_squared(u: Any) -> Any:
        e = exp(-2 * abs(u))
        return 4 * e / (1 + e) ** 2

    functions = {
        sympy.exp: exp,
        sympy.log: mp.log,
        sympy.sin: wave(mp.sin),
        sympy.cos: wave(mp.cos),
        sympy.atan: mp.atan,
        sympy.erf: mp.erf,
        Sign: mp.sign,
        Abs: abs,
        Step: step,
        Relu: lambda u: u * step(u),
        Tanh: mp.tanh,
        SechSquared: sech_squared,
        Sigmoid: lambda u: 1 / (1 + exp(-u)) if u > 0 else exp(u) / (1 + exp(u)),
        Softplus: lambda u: MEMBERS["softplus"].exact(u, mp),
        NormalCdf: mp.ncdf,
    }
    return Library(lambda p, q: mp.mpf(p) / q, {sympy.pi: +mp.pi, sympy.E: +mp.e}, power, functions)


def constant_value(tree: sympy.Expr, digits: int = 50) -> Any:
    """A tree without x as an mpmath number."""
    import mpmath

    with mpmath.workdps(digits):
        return evaluate(tree, None, mpmath_library(mpmath.mp))


def evaluate_array(tree: sympy.Expr, x: Array) -> Array:
    """Values of a tree at a float64 array, silently infinite or NaN where the arithmetic overflows on the way."""
    with np.errstate(all="ignore"):
        return evaluate(tree, x, _numpy_library()) + np.zeros(np.shape(x))


def parity(tree: sympy.Expr) -> int:
    """+1 even, -1 odd, 0 neither or not recognised; by structure, never by expanding."""
    if not tree.has(X):
        return 1
    if tree == X:
        return -1
    found = 0
    parts = [parity(argument) for argument in tree.args]
    if tree.is_Add:
        found = parts[0] if len(set(parts)) == 1 else 0
    elif tree.is_Mul:
        found = math.prod(parts)
    elif tree.is_Pow:
        found = parts[0] ** abs(int(tree.exp)) if tree.exp.is_Integer and parts[0] else int(parts[0] == 1)
    elif parts[0]:
        found = 1 if parts[0] == 1 or tree.func in EVEN else -int(tree.func in ODD)
    if found:
        return found
    mirrored = tree.xreplace({X: -X})
    return 1 if mirrored == tree else -int(mirrored == -tree)
