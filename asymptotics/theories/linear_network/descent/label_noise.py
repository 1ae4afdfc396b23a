"""How label noise moves descent along its minima."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ....datasets import answer_dataset, described
from ....errors import ParameterError
from ..answers import sweep
from ..exact import Array
from ..grid import Part

if TYPE_CHECKING:
    import xarray as xr

    from .problem import LinearNetworkDescent


def label_noise_drift(problem: LinearNetworkDescent, batch_size: int) -> xr.Dataset:
    """See `LinearNetworkDescent.label_noise_drift`."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise ParameterError("batch_size", f"must be a whole number >= 1, got {batch_size!r}")
    base = problem.replace(steps=0)

    def at(part: Part) -> dict[str, Array]:
        c, given, unit = part.constants, part.parameters, 2 * part.units.half_ntk
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            step, pull = given["step_size"], c.kap * unit * given["loss_factor"]
            rate = -0.5 * step * pull**2 * given["m2"] * given["irreducible_loss"] / batch_size
            rate = np.where(c.reachable, rate, np.nan)
            left = 1 - 0.5 * step * c.rate
            values = (rate, np.where(left > 0, rate / left, np.nan), 1 / np.abs(rate), np.abs(c.kap * c.A) * unit,
                      np.where(c.A == 0, np.nan, np.sign(c.A) * part.units.cosine_sign))
        return dict(zip(_NOISE, values, strict=True))

    found = sweep(base, base.cells, "steps", _NOISE, at)
    return answer_dataset(base, {name: ((), values, _NOISE[name]) for name, values in found.items()})


_NOISE = {
    "rate": described("drift of ln(Gam^2) by label noise, to leading order in the step size",
                      r"\mathrm{d}\ln\Gamma^2/\mathrm{d}t"),
    "corrected_rate": described("the same with the fluctuations of the gap, for inputs of constant size",
                                r"\mathrm{d}\ln\Gamma^2/\mathrm{d}t"),
    "time_scale": described("time in which Gam^2 decays by a factor e; inf without noise", r"\tau"),
    "flattest_ntk": described("kernel of the flattest minimum, kap|A|", r"\kappa|A|"),
    "flattest_cosine": described("cosine of the flattest minimum; NaN for A = 0", r"\cos(u, w)"),
}
