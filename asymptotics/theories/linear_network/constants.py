"""Constants of the closed form, once for each cell; equation (8).

All NTK-like quantities are in units of 4^half_exponent, in which the largest of bP, bQ and kap|A| is of order one.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .exact import ABSENT, Array, Exponent, binary, exponent_of, scaled
from .invariants import Invariants

Mask = NDArray[np.bool_]

FAINT = 1e-280  # parts of the largest invariant below which e^{-Lam t} may underflow where it matters
LARGEST, SMALLEST = 1e300, 1e-300
SMALLEST_NORM = 1e-145  # of p or q, relative to the root of the largest: its square is far from underflow
LARGEST_EXPONENT = 511  # 4^511 is in range


class Constants(NamedTuple):
    """Constants of the cells, equation (8); NTK-like ones in the units of the module.

    Attributes
    ----------
    bP, bQ, kap : ndarray
        Invariants.
    Gam : ndarray
        The kernel at F = 0.
    Th : ndarray
        Th_inf, the kernel at F = A.
    ap, am : ndarray
        (Th_inf +- kap A)/Th_inf.
    F0, A, r0 : ndarray
        In units of F.
    r0_mantissa, r0_root : ndarray
        r0 = r0_mantissa * r0_root^2, the root a power of two.
    k : ndarray
        c m2.
    rate : ndarray
        Lam = c m2 Th_inf.
    inverse_Th : ndarray
        1/Th_inf, or zero.
    passage : ndarray
        Theta below which F = (bP z - bQ/z)/(2 kap); infinite where always, zero where never.
    half_inverse_kap : ndarray
        1/(2 kap) where `passage` is not zero.
    inverse_scale : ndarray
        1/(|F0| + |A|), or zero.
    fragile : ndarray of bool
        Whether e^{-Lam t} matters after it has underflowed.
    half_exponent : ndarray of int
        Of the units.
    in_range : ndarray of bool
        Whether float64 holds the cell.
    """

    bP: Array
    bQ: Array
    kap: Array
    Gam: Array
    Th: Array
    ap: Array
    am: Array
    F0: Array
    A: Array
    r0: Array
    r0_mantissa: Array
    r0_root: Array
    k: Array
    rate: Array
    inverse_Th: Array
    passage: Array
    half_inverse_kap: Array
    inverse_scale: Array
    fragile: Mask
    half_exponent: Exponent
    in_range: Mask

    def part(self, index: Any) -> Self:
        """Some of the cells, or the cells with further axes."""
        return type(self)(*(array[index] for array in self))

    def points(self, shape: tuple[int, ...], where: Any) -> Self:
        """The constants at points of an array of this shape."""
        return type(self)(*(np.broadcast_to(array, shape)[where] for array in self))

    @property
    def reachable(self) -> Mask:
        """Whether the flow reaches the target."""
        return self.in_range & (((self.A > 0) & (self.bP > 0)) | ((self.A < 0) & (self.bQ > 0))
                                | ((self.A == 0) & (self.Gam > 0)))


def cell_constants(
    found: Invariants, A: ArrayLike, loss_factor: ArrayLike, m2: ArrayLike, cells: int = 1
) -> Constants:
    """Equation (8), over so many cells if nothing has more than one value."""
    A = np.asarray(A, dtype=np.float64)
    (size, size_exponent), (c, c_exponent), (m, m_exponent) = binary(np.abs(A)), binary(loss_factor), binary(m2)
    drive, drive_exponent = found.kap * size, np.maximum(found.kap_exponent + size_exponent, ABSENT)
    top_kernel = 2 * exponent_of(np.maximum(found.p_norm, found.q_norm), found.exponent)
    half = (np.maximum(top_kernel, exponent_of(drive, drive_exponent)) + 1) // 2
    half = np.where(half < ABSENT // 4, 0, half)
    p, q = (scaled(x, found.exponent - half) for x in (found.p_norm, found.q_norm))
    bP, bQ, Gam = p * p, q * q, p * q
    kap_A = np.copysign(scaled(drive, drive_exponent - 2 * half), A)
    kap = scaled(found.kap, found.kap_exponent - 2 * half)
    Th = np.hypot(kap_A, Gam)
    still = Th == 0
    below = np.where(still, 1.0, Th)
    big = 1 + np.abs(kap_A) / below
    small = np.where(still, 1.0, (Gam / below) ** 2 / big)
    k, k_exponent = c * m, c_exponent + m_exponent
    rate = scaled(k * Th, np.where(still, 0, k_exponent + 2 * half))
    with np.errstate(over="ignore", invalid="ignore"):
        r0, total = A - found.F0, np.abs(found.F0) + np.abs(A)
    in_range = (
        found.possible & ~(found.Ar > LARGEST) & (total < LARGEST) & (np.abs(half) < LARGEST_EXPONENT)
        & (rate < LARGEST) & ((kap < LARGEST) | (total == 0)) & (still | (Th > SMALLEST)) & ~_lost(found, A, p, q)
    )
    kap = np.minimum(kap, LARGEST)
    r0_root = np.ldexp(1.0, np.frexp(np.where(in_range, r0, 0.0))[1] // 2)
    passage, half_inverse_kap = _passage(bP, bQ, kap, Gam, found.F0, A)
    inverse_Th = _inverse(Th)
    positive = A >= 0
    values = (
        bP, bQ, kap, Gam, Th, np.where(positive, big, small), np.where(positive, small, big), found.F0, A, r0,
        r0 / r0_root / r0_root, r0_root,
        np.minimum(scaled(k, k_exponent + 2 * half), LARGEST), rate, inverse_Th, passage, half_inverse_kap,
        _inverse(total), (small < FAINT) & (np.where(positive, bP, bQ) * inverse_Th < FAINT), half, in_range,
    )
    return _without(Constants(*np.broadcast_arrays(*values, np.empty(cells))[:len(values)]))


def _lost(found: Invariants, A: Array, p: Array, q: Array) -> Mask:
    """Whether an invariant underflows that is not zero and decides where the flow goes."""
    larger = np.maximum(found.p_norm, found.q_norm)
    p_lost = (found.p_norm > 0) & (p < SMALLEST_NORM)
    q_lost = (found.q_norm > 0) & (q < SMALLEST_NORM)
    return (larger > 0) & ((exponent_of(larger, found.exponent) < 1 - LARGEST_EXPONENT) | (p_lost & q_lost)
                           | (p_lost & (A >= 0)) | (q_lost & (A <= 0)))


def _passage(bP: Array, bQ: Array, kap: Array, Gam: Array, F0: Array, A: Array) -> tuple[Array, Array]:
    """The level of Theta below which F comes from the difference of its two parts."""
    trains = kap > 0
    one_sided = trains & ((bP == 0) | (bQ == 0))
    with np.errstate(over="ignore", invalid="ignore"):
        level = kap * np.minimum(np.abs(F0), np.abs(A))
    crosses = trains & (np.sign(F0) * np.sign(A) <= 0) & (level > Gam)
    used = one_sided | crosses
    passage = np.where(one_sided, np.inf, np.where(crosses, level, 0.0))
    return passage, np.where(used, 0.5 / np.where(used, np.maximum(kap, SMALLEST), 1.0), 0.0)


def _inverse(x: Array) -> Array:
    usable = (x > SMALLEST) & (x < LARGEST)
    return np.where(usable, 1 / np.where(usable, x, 1.0), 0.0)


def _without(c: Constants) -> Constants:
    """Cells out of range become cells that stay at zero."""
    if np.all(c.in_range):
        return c
    neutral = {"ap": 1.0, "am": 1.0, "in_range": False}
    return Constants(*(np.where(c.in_range, array, np.asarray(neutral.get(name, 0), dtype=array.dtype))
                       for name, array in zip(c._fields, c, strict=True)))
