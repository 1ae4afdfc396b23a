"""Exact numbers: integers and fractions, given as such or as text such as "1/2"."""

from __future__ import annotations

import numbers
import re
from fractions import Fraction
from typing import Any

import numpy as np

# no exponents: "1e999999999" would be a number of a billion digits
_TEXT = re.compile(r"\s*[+-]?(\d{1,30}(/\d{1,30})?|\d{0,30}\.\d{1,30})\s*", re.ASCII)


def exact_array(value: Any) -> np.ndarray:
    """Numbers as int64, float64, or objects (`int` and `Fraction`) where some are fractions; one float makes all float.

    Parameters
    ----------
    value : int, float, Fraction, str or array_like of these

    Raises
    ------
    ValueError
        If something is not a number, or the list is ragged.
    """
    array = np.asarray(value)
    if array.dtype.kind in "iuf":
        return array
    # beside text NumPy turns numbers into text
    array = np.array(value, dtype=object)
    items = [_number(item) for item in array.ravel().tolist()]
    if any(isinstance(item, float) for item in items):
        return np.array([float(item) for item in items]).reshape(array.shape)
    whole = all(isinstance(item, int) and abs(item) < 2**63 for item in items)
    result = np.empty(len(items), dtype=np.int64 if whole else object)
    result[:] = items
    return result.reshape(array.shape)


def as_float(array: np.ndarray) -> np.ndarray:
    """The nearest float64 numbers."""
    return array.astype(np.float64)


def _number(item: Any) -> int | float | Fraction:
    if isinstance(item, bool | np.bool_):
        raise ValueError("a flag is not a number")
    if isinstance(item, float | np.floating):
        return float(item)
    if isinstance(item, str):
        if not _TEXT.fullmatch(item):
            raise ValueError(f"{item!r} is not a number or a fraction")
        return _reduced(Fraction(item.strip()))
    if isinstance(item, numbers.Rational):
        return _reduced(Fraction(int(item.numerator), int(item.denominator)))
    raise ValueError(f"{type(item).__name__} is not a number")


def _reduced(fraction: Fraction) -> int | Fraction:
    return int(fraction) if fraction.denominator == 1 else fraction
