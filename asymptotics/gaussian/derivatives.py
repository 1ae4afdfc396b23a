"""A nonlinearity with its first two derivatives, each with all its digits also in the tails."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .callables import Wrapped, numerical_slope
from .combination import Combination
from .nonlinearity import Nonlinearity
from .quadrature import Array

Function = Callable[[ArrayLike], Array]


class Derivatives(NamedTuple):
    """Vectorised functions; `text` is how the nonlinearity is shown."""

    value: Function
    first: Function
    second: Function
    text: str


def derivatives(f: Nonlinearity) -> Derivatives:
    """Value, first and second derivative of a nonlinearity.

    Of names and expressions they are evaluated from the tree of the expression (softplus(-x), not softplus(x) - x).
    Of a wrapped callable the second derivative is that of an interpolant, of about eleven digits.
    """
    if isinstance(f, Wrapped):
        step = 0.02 * f.scale

        def second(x: ArrayLike) -> Array:
            return numerical_slope(f.slope, np.asarray(x, dtype=np.float64), f.kinks, step)

        return Derivatives(f, f.derivative, second, str(f))
    definition = f.definition if isinstance(f, Combination) and f.definition else f.text
    named = definition.isidentifier() and definition not in ("x", "linear")
    return _of_text(f"{definition}(x)" if named else definition.replace("linear", "x"), str(f))


@functools.lru_cache(maxsize=64)
def _of_text(definition: str, text: str) -> Derivatives:
    import sympy

    from .expressions import tree_values
    from .grammar import read
    from .symbolic import Abs, X

    tree = read(definition)[0].tree.replace(sympy.Abs, Abs)
    first = sympy.diff(tree, X)
    second = sympy.diff(first, X)
    simple = sympy.simplify(second)  # 1/sqrt(1 + x^2) - x^2/(1 + x^2)^(3/2) has no digits far out
    if {node.func for node in simple.atoms(sympy.Function)} <= {node.func for node in second.atoms(sympy.Function)}:
        second = simple

    def function(node: sympy.Expr) -> Function:
        def values(x: ArrayLike) -> Array:
            with np.errstate(under="ignore"):
                return np.asarray(tree_values(node, np.asarray(x, dtype=np.float64)))

        return values

    return Derivatives(function(tree), function(first), function(second), text)
