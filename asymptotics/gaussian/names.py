"""From what a person writes to a nonlinearity."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

from .callables import Wrapped
from .combination import MAX_DEGREE, Combination
from .hermite import hermite_polynomial
from .members import MEMBERS
from .nonlinearity import Nonlinearity


def nonlinearity(
    f: str | Nonlinearity | Callable,
    *,
    derivative: Callable | None = None,
    kinks: Sequence[float] = (),
    scale: float = 1.0,
) -> Nonlinearity:
    """A nonlinearity from a name, an expression in x, or a Python callable.

    Parameters
    ----------
    f : str, Nonlinearity or callable
        "tanh", "relu", "erf", "sin", "cos", "sign", "abs", "softplus", "sigmoid", "gelu", "linear", "he2", "he3", ...;
        an expression such as "tanh(1.5*x + 0.8)" or "x + 0.5*(x**2 - 1)"; or a vectorised callable.
    derivative : callable, optional
        Vectorised derivative of a callable (otherwise a degree-8 interpolant is differentiated).
    kinks : sequence of float
        Every place where the callable or its derivative jumps.
    scale : float
        The shortest length over which the callable bends away from its kinks; quadrature steps follow it.

    Returns
    -------
    Nonlinearity

    Raises
    ------
    ValueError
        If `f` is not one of these, is not finite, or grows too fast.
    """
    if isinstance(f, Nonlinearity):
        return f
    if isinstance(f, str):
        return _from_text(f)
    if not callable(f):
        raise ValueError(f"must be a name, an expression in x or a callable, got {type(f).__name__} {f!r:.40}")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be > 0, got {scale}")
    return Wrapped(f, derivative, kinks, scale)


@functools.lru_cache(maxsize=256)
def _from_text(text: str) -> Nonlinearity:
    name = text.strip() if len(text) < 40 else ""
    if name in MEMBERS:
        return Combination(name, (), [(1.0, MEMBERS[name], 1.0, 0.0)])
    if name == "abs":
        return Combination(name, (0.0, -1.0), [(2.0, MEMBERS["relu"], 1.0, 0.0)])
    if name == "sigmoid":
        return Combination(name, (0.5,), [(0.5, MEMBERS["tanh"], 0.5, 0.0)])
    if name in ("linear", "x"):
        return Combination(name, (0.0, 1.0), [])
    if name.startswith("he") and name[2:].isdecimal() and len(name) <= 4:
        degree = int(name[2:])
        if degree > MAX_DEGREE:
            raise ValueError(f"must be of degree <= {MAX_DEGREE}, got {name}")
        return Combination(name, hermite_polynomial(degree), [], definition=f"{name}(x)")
    from .expressions import parse

    return parse(text)
