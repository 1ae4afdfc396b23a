"""Batched solvers: damped Newton, bracketed roots, scalar minimisation, small linear systems, tiles."""

from .linear import solve_2x2, solve_spd
from .minimise import Minima, minimise_scalar
from .newton import NewtonResult, newton
from .roots import RootResult, increasing_root
from .tiles import Tile, tiles

__all__ = [
    "Minima",
    "NewtonResult",
    "RootResult",
    "Tile",
    "increasing_root",
    "minimise_scalar",
    "newton",
    "solve_2x2",
    "solve_spd",
    "tiles",
]
