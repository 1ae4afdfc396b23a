"""Expressions in x as nonlinearities: closed forms where they exist, otherwise values, slopes, kinks and jumps."""

from __future__ import annotations

import functools
import math
from typing import Any

import mpmath
import numpy as np
import sympy

from .callables import growth_degree
from .combination import Combination
from .forms import Form
from .grammar import LARGEST_NUMBER, read, refuse, short
from .members import MEMBERS
from .nonlinearity import Nonlinearity
from .quadrature import Array
from .shape import bends, require_sign, root_near, sign_changes, wave_length
from .symbolic import KINKED, Abs, X, evaluate, evaluate_array, mpmath_library, parity

MOST_KINKS = 50
SHORTEST_BEND, SHORTEST_RIPPLE = 1e-3, 0.01


@functools.lru_cache(maxsize=256)
def parse(text: str) -> Nonlinearity:
    """The nonlinearity that a text means.

    The grammar is that of Python for numbers, x, pi, e, + - * / **, and calls of exp, log, sqrt, tanh, sin, cos, atan
    (or arctan), erf, relu, abs, sign, softplus, sigmoid, gelu, he0 ... he24, max and min (or maximum and minimum).
    Decimal numbers are exact: 0.1 is one tenth.

    Parameters
    ----------
    text : str

    Returns
    -------
    Nonlinearity
        A `Combination` if it is polynomial(x) + sum_i a_i g_i(b_i x + c_i) over functions with closed-form moments.

    Raises
    ------
    ValueError
        If the text is not of the grammar, or its function is not finite or grows as fast as a Gaussian falls.
    """
    try:
        return _parse(" ".join(text.split()) if len(text) < 10_000 else text)
    except (RecursionError, MemoryError, OverflowError):
        refuse("this one is nested too deeply")


def _parse(text: str) -> Nonlinearity:
    node, reader = read(text)
    for inner in reader.positive:
        require_sign(inner.tree, positive=True)
    for inner in reader.nonzero:
        require_sign(inner.tree, positive=False)
    if node.form is None:
        return Expression(text, node.tree)
    polynomial = [float(a) for a in node.form.polynomial]
    terms = [(float(a), g, float(b), float(c)) for a, g, b, c in _terms(node.form)]
    if max(map(abs, [*polynomial, *(a for a, *_ in terms)]), default=0.0) > LARGEST_NUMBER:
        refuse(f"{short(text)} has coefficients beyond {LARGEST_NUMBER:g}")
    return Combination(text, polynomial, terms, definition=text)


@functools.lru_cache(maxsize=256)
def exact_form(text: str, precision: int) -> tuple[list[Any], list[tuple[Any, Any, Any, Any]]]:
    """Polynomial and terms of a combination as mpmath numbers of so many bits; see `Nonlinearity.exact_form`."""
    form = read(text, math.ceil(precision / math.log2(10)))[0].form
    if form is None:
        raise ValueError(f"{short(text)} is not a combination of functions with closed-form moments")
    return list(form.polynomial), _terms(form)


def _terms(form: Form) -> list[tuple[Any, Any, Any, Any]]:
    return [(a, MEMBERS[name], b, c) for (name, _, _), (a, b, c) in form.terms.items()]


class Expression(Nonlinearity):
    """A function of x without closed-form moments, held as a sympy tree."""

    def __init__(self, text: str, tree: sympy.Expr) -> None:
        self.text, self.tree = text, tree.replace(sympy.Abs, Abs)
        self.derivative_tree = sympy.diff(self.tree, X)
        self._key = sympy.srepr(self.tree)
        self.parity = parity(self.tree)
        self._corners = self._find_corners()
        self.kinks = tuple(sorted(self._corners))
        smooth = bends(self.tree)
        self.features = tuple((kink, 0.0) for kink in self.kinks) + smooth
        self.degree = growth_degree(self)
        self.ripple = self._measured_ripple()
        self._refuse_growth()
        self.scale = min([self.ripple, *(scale for _, scale in smooth)])
        if self.scale < SHORTEST_BEND:
            refuse(f"{short(text)} varies over less than {SHORTEST_BEND:g}")
        self.jumps = tuple((kink, height) for kink in self.kinks if (height := self._jump(kink)))

    @property
    def key(self) -> Any:
        return ("expression", self._key)

    def __reduce__(self) -> Any:
        return parse, (self.text,)

    def value(self, x: Array) -> Array:
        return tree_values(self.tree, x)

    def slope(self, x: Array) -> Array:
        return tree_values(self.derivative_tree, x)

    def exact(self, x: Any, mp: Any) -> Any:
        return evaluate(self.tree, x, mpmath_library(mp))

    def exact_breaks(self, mp: Any) -> list[Any]:
        corners = [root_near(self._corners[kink], kink, mp) for kink in self.kinks]
        return corners + [mp.mpf(place) for place, scale in self.features if scale > 0]

    def _find_corners(self) -> dict[float, sympy.Expr]:
        """Where arguments of relu, abs and sign change sign, with the argument."""
        corners: dict[float, sympy.Expr] = {}
        for node in sorted(self.tree.atoms(*KINKED), key=sympy.default_sort_key):
            for place in sign_changes(node.args[0]):
                if all(abs(place - known) > 1e-12 * (1 + abs(place)) for known in corners):
                    corners[place] = node.args[0]
            if len(corners) > MOST_KINKS:
                refuse(f"{short(self.text)} has more than {MOST_KINKS} kinks")
        return corners

    def _jump(self, kink: float) -> float:
        """Height of the jump at a kink, extrapolated from both sides."""
        with mpmath.workdps(60):
            place = root_near(self._corners[kink], kink, mpmath.mp)
            step = mpmath.mpf(10) ** -18 * (1 + abs(place))
            value = functools.partial(self.exact, mp=mpmath.mp)
            one, two = (value(place + reach) - value(place - reach) for reach in (step, 2 * step))
            height = 2 * one - two
            return float(height) if abs(height) > 1e-25 else 0.0

    def _refuse_growth(self) -> None:
        """Refuse what grows like exp(x^2/large), which looks harmless where floats reach."""

        def logarithm(size: float) -> float:
            largest = mpmath.mpf(1)
            for factor in (1.0, 1.01, 1.07, 1.13):
                for sign in (-1, 1):
                    value = abs(self.exact(mpmath.mpf(sign * factor * size), mpmath.mp))
                    largest = value if mpmath.isnan(value) else max(largest, mpmath.log(value + 1))
            return float(largest) if not mpmath.isnan(largest) else math.inf

        far, farther = logarithm(1e5), logarithm(1e6)
        if not far < math.inf or (farther > 1e3 and not farther < 50 * far):
            raise ValueError("must be finite and grow more slowly than a Gaussian falls")

    def _measured_ripple(self) -> float:
        """The longest length such that panels twice as wide, graded towards the features, resolve the function."""
        self.ripple = min(1.0, wave_length(self.tree))
        while self.ripple >= SHORTEST_RIPPLE:
            coarse, fine = (self._panel_coefficients(24, width) for width in (2.0, 1.0))
            if float(np.max(np.abs(fine - coarse))) <= 1e-13 * self._root_mean_square():
                return self.ripple
            self.ripple /= 2
        refuse(f"{short(self.text)} varies over less than {SHORTEST_RIPPLE:g}")

    def _root_mean_square(self) -> float:
        with np.errstate(under="ignore"):
            z, weight = self.standard_rule(1.0)
            return math.sqrt(float(np.sum(weight * self.value(z) ** 2)))


def tree_values(tree: sympy.Expr, x: Array) -> Array:
    """Values in floats; where these overflow on the way (exp(x)/(1 + exp(x)) far out), by mpmath."""
    values = np.asarray(evaluate_array(tree, x))
    lost = ~np.isfinite(values) & np.isfinite(x)
    if np.any(lost):
        library = mpmath_library(mpmath.mp)
        with mpmath.workdps(30):
            values[lost] = [float(evaluate(tree, mpmath.mpf(float(place)), library)) for place in np.asarray(x)[lost]]
    return values[()]
