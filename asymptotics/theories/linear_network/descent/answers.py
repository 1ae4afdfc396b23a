"""Questions to a problem beyond its observables: stable steps, label noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ....datasets import attributes_of, coordinates
from ....errors import ParameterError
from ..curvature import largest_stable_step
from ..exact import Array
from .solution import grid_of

if TYPE_CHECKING:
    import xarray as xr

    from .problem import LinearNetworkDescent


def dataset(problem: LinearNetworkDescent, variables: Mapping[str, tuple[Array, Mapping[str, Any]]]) -> xr.Dataset:
    """Variables over the cells, with their attributes."""
    import xarray as xr

    arrays = {name: (problem.dims, np.broadcast_to(values, problem.shape), dict(attributes))
              for name, (values, attributes) in variables.items()}
    coords = {name: coord for name, coord in coordinates(problem).items() if set(coord[0]) <= set(problem.dims)}
    return xr.Dataset(arrays, coords=coords, attrs=attributes_of(problem))


def stable_step(problem: LinearNetworkDescent) -> Any:
    """See `LinearNetworkDescent.largest_stable_step`."""
    base = problem.replace(steps=0, step_size=0.0)
    grid = grid_of(base)
    found = np.empty(grid.layout.constants)
    with np.errstate(under="ignore"):
        grid.warn_of_impossible(base.shape, stacklevel=3)
        for where, block in grid.blocks():
            found[where] = np.where(block.constants.in_range, largest_stable_step(block.constants), np.nan)
    values = np.broadcast_to(found.reshape(grid.constant_shape), base.shape)
    return base.cells.label(values) if base.cells.labelled else values[()]


def label_noise_drift(problem: LinearNetworkDescent, batch_size: int) -> xr.Dataset:
    """See `LinearNetworkDescent.label_noise_drift`."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise ParameterError("batch_size", f"must be a whole number >= 1, got {batch_size!r}")
    base = problem.replace(steps=0)
    grid = grid_of(base)
    names = ("rate", "corrected_rate", "time_scale", "flattest_ntk", "flattest_cosine")
    found = {name: np.empty(grid.layout.constants) for name in names}
    with np.errstate(under="ignore"):
        grid.warn_of_impossible(base.shape, stacklevel=3)
        for where, block in grid.blocks():
            c, given = block.constants, block.parameters
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                unit = 2 * block.units.half_ntk
                step, pull = given["step_size"], c.kap * unit * given["loss_factor"]
                rate = -0.5 * step * pull**2 * given["m2"] * given["irreducible_loss"] / batch_size
                rate = np.where(c.reachable, rate, np.nan)
                left = 1 - 0.5 * step * c.rate
                values = (rate, np.where(left > 0, rate / left, np.nan), 1 / np.abs(rate), np.abs(c.kap * c.A) * unit,
                          np.where(c.A == 0, np.nan, np.sign(c.A) * block.units.cosine_sign))
            for name, value in zip(names, values, strict=True):
                found[name][where] = np.where(c.in_range, value, np.nan)
    return dataset(base, {name: (values.reshape(grid.constant_shape), _NOISE[name]) for name, values in found.items()})


def _described(words: str, symbol: str) -> dict[str, str]:
    return {"long_name": words, "symbol": symbol, "units": "1"}


_NOISE = {
    "rate": _described("drift of ln(Gam^2) by label noise, to leading order in the step size",
                       r"\mathrm{d}\ln\Gamma^2/\mathrm{d}t"),
    "corrected_rate": _described("the same with the fluctuations of the gap, for inputs of constant size",
                                 r"\mathrm{d}\ln\Gamma^2/\mathrm{d}t"),
    "time_scale": _described("time in which Gam^2 decays by a factor e; inf without noise", r"\tau"),
    "flattest_ntk": _described("kernel of the flattest minimum, kap|A|", r"\kappa|A|"),
    "flattest_cosine": _described("cosine of the flattest minimum; NaN for A = 0", r"\cos(u, w)"),
}
