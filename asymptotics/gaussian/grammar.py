"""Reading an expression in x: Python syntax, checked node by node and never evaluated as Python.

Two things are built together: a sympy tree, and, as long as it exists, the form
polynomial(x) + sum_i a_i g_i(b_i x + c_i) over the members g_i, whose Gaussian moments have closed forms.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NoReturn

import mpmath
import numpy as np
import sympy

from .forms import HIGHEST_POWER, Form
from .symbolic import Abs, NormalCdf, Relu, Sigmoid, Sign, Softplus, Tanh, X, evaluate, mpmath_library

LONGEST_TEXT = 1000
DEEPEST_NESTING = 60
MOST_NODES = 400
LARGEST_LITERAL, SMALLEST_LITERAL = 1e6, 1e-6
LARGEST_NUMBER, SMALLEST_NUMBER = 1e30, 1e-30
LARGEST_EXPONENT = 69
LONGEST_RATIO = 4000  # bits of an exact fraction
LARGEST_TREE = 4000


@dataclasses.dataclass(frozen=True)
class Node:
    """A subexpression: its tree (of at most `size` nodes), and its form if it has one."""

    tree: sympy.Expr
    form: Form | None
    size: int = 1

    @property
    def is_constant(self) -> bool:
        return self.form is not None and self.form.is_constant

    @property
    def value(self) -> mpmath.mpf:
        """Of a constant."""
        return self.form.polynomial[0] if self.form is not None and self.form.polynomial else mpmath.mp.zero


def refuse(reason: str) -> NoReturn:
    raise ValueError(f"must be a name or an expression in x; {reason}")


def read(text: str, digits: int = 50) -> tuple[Node, Reader]:
    """The meaning of a text, and its reader (which knows what must not vanish).

    Parameters
    ----------
    text : str
    digits : int
        Of the coefficients.

    Raises
    ------
    ValueError
        If the text is not an expression of the grammar.
    """
    tree = _syntax_tree(text)
    reader = Reader()
    with mpmath.workdps(digits + 70):  # numbers cancel, and what remains of a zero is told from small numbers
        return reader.visit(tree, 0), reader


def _syntax_tree(text: str) -> ast.expr:
    if len(text) > LONGEST_TEXT:
        refuse(f"at most {LONGEST_TEXT} characters, got {len(text)}")
    if not text.strip():
        refuse("this one is empty")
    if "^" in text:
        refuse(f"powers are written **, got {short(text)}")
    if "#" in text:
        refuse(f"comments are not allowed, got {short(text)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        refuse(f"{short(text)} is not valid syntax")
    nodes = sum(isinstance(node, ast.expr) for node in ast.walk(tree))
    if nodes > MOST_NODES:
        refuse(f"at most {MOST_NODES} operations and numbers, got {nodes}")
    return tree


class Reader:
    """Translates a syntax tree.

    Attributes
    ----------
    positive, nonzero : list of Node
        Arguments of logarithms and roots, and denominators.
    """

    def __init__(self) -> None:
        self.positive: list[Node] = []
        self.nonzero: list[Node] = []
        self._seen: dict[Any, Node] = {}  # nodes by their trees

    def visit(self, node: ast.expr, depth: int) -> Node:
        if depth > DEEPEST_NESTING:
            refuse("this one is nested too deeply")
        translated = self._translate(node, depth + 1)
        _check_size(translated)
        self._seen[translated.tree] = translated
        return translated

    def _translate(self, node: ast.expr, depth: int) -> Node:
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return _literal(value)
            case ast.Name(id="x"):
                return Node(X, Form((mpmath.mp.zero, mpmath.mp.one)))
            case ast.Name(id=("pi" | "e") as name):
                return _constant(sympy.pi if name == "pi" else sympy.E)
            case ast.Name(id=name) if name in FUNCTIONS:
                refuse(f"{name} needs an argument, as in {name}(x)")
            case ast.Name(id=name):
                refuse(f"unknown name {_unknown(name)}")
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                inner = self.visit(operand, depth)
                return _scale(inner, sympy.S.NegativeOne) if isinstance(sign, ast.USub) else inner
            case ast.BinOp(op=ast.Pow(), left=left, right=right):
                return self._power(self.visit(left, depth), self.visit(right, depth))
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() as op, left=left, right=right):
                return self._arithmetic(op, self.visit(left, depth), self.visit(right, depth))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if not any(
                isinstance(argument, ast.Starred) for argument in arguments
            ):
                return self._call(name, [self.visit(argument, depth) for argument in arguments])
        refuse(f"{_KINDS.get(type(node), 'this syntax')} is not allowed")

    def _arithmetic(self, op: ast.operator, left: Node, right: Node) -> Node:
        if isinstance(op, ast.Add):
            return _add(left, right)
        if isinstance(op, ast.Sub):
            return _add(left, _scale(right, sympy.S.NegativeOne))
        if isinstance(op, ast.Mult):
            return _multiply(left, right)
        return _multiply(left, self._power(right, _constant(sympy.S.NegativeOne)))

    def _power(self, base: Node, exponent: Node) -> Node:
        if not exponent.is_constant:
            refuse(f"powers must be numbers, got {short(exponent.tree)}")
        halves = 2 * exponent.tree
        if not halves.is_Integer or abs(halves) > 2 * HIGHEST_POWER:
            refuse(f"powers must be multiples of 1/2 up to {HIGHEST_POWER}, got {short(exponent.tree)}")
        if halves == 0:
            return _constant(sympy.S.One)
        if base.is_constant:
            if halves < 0 and base.value == 0:
                refuse("this one divides by zero")
            if halves % 2 and base.value < 0:
                refuse(f"{short(base.tree)} is negative and has no real root")
            return _constant(base.tree**exponent.tree)
        if halves == -2 and (inner := self._exponential_above(base)):
            return self._call("sigmoid", [_scale(inner, sympy.S.NegativeOne)])  # 1/(1 + exp(u))
        if halves % 2:
            self.positive.append(base)
        elif halves < 0:
            self.nonzero.append(base)
        form = base.form.power(int(exponent.tree)) if base.form is not None and halves > 0 and not halves % 2 else None
        return _node(base.tree**exponent.tree, form, base.size + 2)

    def _exponential_above(self, node: Node) -> Node | None:
        """u, if the node is 1 + exp(u)."""
        parts = set(node.tree.args) - {sympy.S.One} if node.tree.is_Add and sympy.S.One in node.tree.args else set()
        if len(parts) == 1 and len(node.tree.args) == 2:
            (part,) = parts
            return self._seen.get(part.args[0]) if isinstance(part, sympy.exp) else None
        return None

    def _call(self, name: str, arguments: list[Node]) -> Node:
        if name in EXTREMA:
            return self._extremum(name, arguments)
        if name not in FUNCTIONS:
            refuse(f"unknown function {_unknown(name)}")
        if len(arguments) != 1:
            refuse(f"{name} takes one argument, got {len(arguments)}")
        inner = arguments[0]
        if name in HERMITE:
            return self._hermite(HERMITE[name], inner)
        if name == "sqrt":
            return self._power(inner, _constant(sympy.S.Half))
        if name == "log":
            if inner.is_constant:
                if inner.value <= 0:
                    refuse(f"the logarithm of {short(inner.tree)} is not a real number")
            elif exponent := self._exponential_above(inner):
                return self._call("softplus", [exponent])
            else:
                self.positive.append(inner)
        if inner.is_constant:
            if name == "exp" and abs(inner.value) > LARGEST_EXPONENT:
                refuse(f"the exponential of {short(inner.tree)} is out of range")
            return _constant(CALLS[name](inner.tree))
        form = inner.form.under(name) if inner.form is not None else None
        return _node(CALLS[name](inner.tree), form, (2 if name == "gelu" else 1) * inner.size + 1)

    def _extremum(self, name: str, arguments: list[Node]) -> Node:
        """max(a, b) = a + relu(b - a), min(a, b) = a - relu(a - b)."""
        if len(arguments) != 2:
            refuse(f"{name} takes two arguments, got {len(arguments)}")
        a, b = arguments
        sign = sympy.Integer(EXTREMA[name])
        excess = _scale(_add(b, _scale(a, sympy.S.NegativeOne)), sign)
        return _add(a, _scale(self._call("relu", [excess]), sign))

    def _hermite(self, degree: int, inner: Node) -> Node:
        """The orthonormal He_degree/sqrt(degree!), by Horner's rule in u^2."""
        coefficients = [int(a) for a in np.polynomial.hermite_e.herme2poly([0.0] * degree + [1.0])]
        square = _multiply(inner, inner) if degree > 1 else inner
        total = _constant(sympy.S.Zero)
        for a in coefficients[:: -2]:
            total = _add(_multiply(total, square), _constant(sympy.Integer(a)))
        total = _multiply(total, inner) if degree % 2 else total
        return _scale(total, 1 / sympy.sqrt(sympy.factorial(degree)))


def short(text: object, length: int = 40) -> str:
    """At most so many characters of a text or a tree, quoted, on one line."""
    shown = " ".join((str(text).lower() if isinstance(text, sympy.Basic) else str(text)).split())
    return repr(shown if len(shown) <= length else shown[: length - 3] + "...")


# ---- arithmetic of nodes


def _literal(value: float) -> Node:
    if value != 0 and not SMALLEST_LITERAL <= abs(value) <= LARGEST_LITERAL:
        refuse(f"numbers must be 0 or from {SMALLEST_LITERAL:g} to {LARGEST_LITERAL:g}, got {short(value)}")
    ratio = Fraction(repr(value))  # 0.1 is one tenth
    return _constant(sympy.Rational(ratio.numerator, ratio.denominator))


def _constant(tree: sympy.Expr) -> Node:
    value = evaluate(tree, None, mpmath_library(mpmath.mp))
    return _node(tree, Form((mpmath.mp.zero + value,)) + Form(()), 1)


def _add(left: Node, right: Node) -> Node:
    form = left.form + right.form if left.form is not None and right.form is not None else None
    return _node(left.tree + right.tree, form, left.size + right.size + 1)


def _multiply(left: Node, right: Node) -> Node:
    form = left.form.times(right.form) if left.form is not None and right.form is not None else None
    return _node(left.tree * right.tree, form, left.size + right.size + 1)


def _scale(node: Node, factor: sympy.Expr) -> Node:
    return _multiply(_constant(factor), node)


def _node(tree: sympy.Expr, form: Form | None, size: int) -> Node:
    """A node; x - x is the constant 0 also where sympy does not see it."""
    if size > LARGEST_TREE:
        refuse("this one is too long once its functions are written out")
    if form is None and not tree.has(X):
        return _constant(tree)
    if form is not None and form.is_constant:
        tree = tree.xreplace({X: sympy.S.Zero}) if form.polynomial else sympy.S.Zero
    return Node(tree, form, size)


def _check_size(node: Node) -> None:
    """Numbers and powers that stay small, so that exact arithmetic stays cheap."""
    for number in node.tree.atoms(sympy.Rational):
        if max(int(number.p).bit_length(), int(number.q).bit_length()) > LONGEST_RATIO:
            refuse("a number in it is too long")
    for power in node.tree.atoms(sympy.Pow):
        if not power.exp.is_Rational or abs(power.exp) > HIGHEST_POWER:
            refuse(f"powers must be multiples of 1/2 up to {HIGHEST_POWER}")
    if node.is_constant and node.value != 0 and not SMALLEST_NUMBER <= abs(node.value) <= LARGEST_NUMBER:
        refuse(f"a number in it is out of range ({mpmath.nstr(node.value, 3)})")


def _unknown(name: str) -> str:
    if name.startswith("he") and name[2:].isdecimal():
        return f"{short(name)}: he0 to he{HIGHEST_POWER} are known"
    near = difflib.get_close_matches(name, [*sorted(FUNCTIONS), "linear", "x", "pi"], n=1)
    return short(name) + (f", did you mean {near[0]!r}?" if near else f" (known: {' '.join(CALLS)} heN max min)")


CALLS: dict[str, Callable[[Any], Any]] = {
    "exp": sympy.exp,
    "log": sympy.log,
    "sqrt": sympy.sqrt,
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tanh": Tanh,
    "atan": sympy.atan,
    "arctan": sympy.atan,
    "erf": sympy.erf,
    "relu": Relu,
    "abs": Abs,
    "sign": Sign,
    "softplus": Softplus,
    "sigmoid": Sigmoid,
    "gelu": lambda u: u * NormalCdf(u),
}
HERMITE = {f"he{degree}": degree for degree in range(HIGHEST_POWER + 1)}
EXTREMA = {"max": 1, "maximum": 1, "min": -1, "minimum": -1}
FUNCTIONS = {*CALLS, *HERMITE, *EXTREMA}

_KINDS: dict[type, str] = {
    ast.Attribute: "attribute access",
    ast.Lambda: "a lambda",
    ast.Compare: "a comparison",
    ast.BoolOp: "a logical operation",
    ast.IfExp: "a condition",
    ast.Subscript: "indexing",
    ast.Constant: "a text or other constant",
    ast.JoinedStr: "a text",
    ast.NamedExpr: "an assignment",
    ast.Call: "this kind of call",
    ast.BinOp: "this operator",
    ast.UnaryOp: "this operator",
    ast.List: "a list",
    ast.Tuple: "a tuple (a comma)",
    ast.Dict: "a dictionary",
    ast.Set: "a set",
}
