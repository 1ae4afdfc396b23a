"""Batched solvers: damped Newton, bracketed roots, monotone flows, scalar minimisation, small linear systems, tiles."""

from .convex import ConvexResult, minimise_convex
from .linear import back_substitution, cholesky, solve_2x2, solve_spd, triangular_rows
from .minimise import Minima, minimise_scalar, minimise_shared
from .monotone_flow import Course, Flow, follow
from .newton import NewtonResult, newton
from .roots import RootResult, increasing_root
from .threads import one_blas_thread, single_blas_thread
from .tiles import Tile, tiles

__all__ = [
    "ConvexResult",
    "Course",
    "Flow",
    "Minima",
    "NewtonResult",
    "RootResult",
    "Tile",
    "back_substitution",
    "cholesky",
    "follow",
    "increasing_root",
    "minimise_convex",
    "minimise_scalar",
    "minimise_shared",
    "newton",
    "one_blas_thread",
    "single_blas_thread",
    "solve_2x2",
    "solve_spd",
    "tiles",
    "triangular_rows",
]
