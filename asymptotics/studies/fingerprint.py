"""Digests of problems, by which stores tell them apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import ParameterError
from ..parameters import is_labelled
from ..problem import Problem


def fingerprint(problem: Problem) -> str:
    """A digest of the content of a problem, the same in every process.

    Raises
    ------
    ParameterError
        If a parameter is a Python callable: nobody can tell whether it still computes the same.
    """
    digest = hashlib.sha256(json.dumps([problem.slug, problem.dims]).encode())
    for name, declared in problem.parameters.items():
        for content in _content(declared, name, getattr(problem, name)):
            digest.update(repr(len(content)).encode() + b":" + content)
    return digest.hexdigest()


def _content(declared: Any, name: str, value: Any) -> Iterable[bytes]:
    yield name.encode()
    if is_labelled(value):
        yield json.dumps(value.dims).encode()
        for dim in value.dims:
            if dim in value.coords:
                yield from _content(declared, str(dim), value.coords[dim].values)
        yield from _content(declared, name, value.values)
    elif isinstance(value, np.ndarray):
        yield repr((value.shape, value.dtype.str)).encode()
        yield repr(value.tolist()).encode() if value.dtype.hasobject else np.ascontiguousarray(value).tobytes()
    elif value is None or isinstance(value, bool | int | float | str):
        yield repr(value).encode()
    elif isinstance(value, tuple):
        for item in value:
            yield from _content(declared, name, item)
    else:
        text = str(value)
        if not _says_all(declared, name, value, text):
            raise ParameterError("store", f"cannot know the callable {name} = {text} again in another process; "
                                 "give an expression in x, or run without a store")
        yield text.encode()


def _says_all(declared: Any, name: str, value: Any, text: str) -> bool:
    """Whether a nonlinearity (or a fraction) is what its text says."""
    try:
        again = declared.canonical(name, [text] if declared.kind == "nonlinearities" else text)
        return bool((again[0] if isinstance(again, tuple) else again) == value)
    except (ParameterError, TypeError):
        return False
