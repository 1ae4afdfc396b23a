"""Laws over the initial weights, one for each cell; docs/theories/linear_network_ensemble.md, section 6."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....datasets import attributes_of, coordinates
from ....errors import AccuracyWarning, ParameterError
from .averages import Ensemble, final_kernel_moments
from .flow import Evolution, Flow, flow_of
from .initial_law import STEP, InitialLaw, lattice
from .linear_laws import GapMixture, LinearKernel
from .radius_laws import FromRadius
from .regions import Regions
from .scalar_laws import Constant, EscapeTime, FinalAlignment, FinalKernel, ScalarLaw
from .solution import linear_of
from .trajectory_laws import Coefficient, Kernel, Loss

if TYPE_CHECKING:
    import xarray as xr

    from ....cells import Cells
    from .problem import LinearNetworkEnsemble

Array = NDArray[np.float64]
Cell = Mapping[str, Any]

AT_TIME = ("coefficient", "excess_loss", "ntk")
UNKNOWN = Constant(math.nan)


def _numbers(name: str, given: ArrayLike) -> Array:
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise ParameterError(name, f"must be numbers, got {given!r:.60}") from None


class Distribution:
    """The law of a number over the initial weights, in the manner of `scipy.stats`.

    Methods take arrays that broadcast with the cells of the problem, `shape`, as in NumPy: levels go on axes in front.

    Attributes
    ----------
    shape : tuple of int
        Of the cells.
    """

    def __init__(self, shape: tuple[int, ...], laws: list[ScalarLaw]) -> None:
        self.shape = shape
        self._laws = laws

    def __repr__(self) -> str:
        kinds = sorted({type(law).__name__ for law in self._laws})
        return f"Distribution({', '.join(kinds)}: cells of shape {self.shape})"

    def pdf(self, x: ArrayLike) -> Any:
        """Density at x."""
        return self._each("pdf", "x", x)

    def cdf(self, x: ArrayLike) -> Any:
        """Probability of values <= x."""
        return self._each("cdf", "x", x)

    def sf(self, x: ArrayLike) -> Any:
        """Probability of values > x."""
        return self._each("sf", "x", x)

    def ppf(self, q: ArrayLike) -> Any:
        """Quantile at the probability q, 0 < q < 1."""
        levels = _numbers("q", q)
        if np.any(~((levels > 0) & (levels < 1))):
            wrong = levels[~((levels > 0) & (levels < 1))][0] if levels.ndim else float(levels)
            raise ParameterError("q", f"must be > 0 and < 1, got {wrong:g}")
        return self._each("ppf", "q", levels)

    def mean(self) -> Any:
        """Mean of each cell."""
        return np.reshape([law.mean() for law in self._laws], self.shape)[()]

    def std(self) -> Any:
        """Standard deviation of each cell."""
        return np.reshape([law.std() for law in self._laws], self.shape)[()]

    def _each(self, method: str, name: str, given: ArrayLike) -> Any:
        values = _numbers(name, given)
        if np.any(np.isnan(values)):
            raise ParameterError(name, "must be a number, got nan")
        try:
            whole = np.broadcast_shapes(values.shape, self.shape)
        except ValueError:
            raise ParameterError(name, f"must broadcast with the cells, of shape {self.shape}, got shape "
                                       f"{values.shape}: levels go on axes in front of those of the cells") from None
        # cells are the last axes
        spread = np.broadcast_to(values, whole)
        lead = whole[:len(whole) - len(self.shape)]
        if whole[len(lead):] != self.shape:
            raise ParameterError(name, f"must not be longer than the cells, of shape {self.shape}, got shape "
                                       f"{values.shape}")
        columns = spread.reshape(math.prod(lead), len(self._laws))
        with np.errstate(under="ignore"):
            found = [getattr(law, method)(np.array(columns[:, i])) for i, law in enumerate(self._laws)]
        return np.stack(found, axis=-1).reshape(whole)[()] if found else np.empty(whole)


def distribution(cells: Cells, of: str) -> Distribution:
    """The law of one of `LAWS` in every cell."""
    make = LAWS[of]
    names = tuple(cells.arrays)
    _, arrays = cells.compact(names)
    arrays = [np.broadcast_to(array, cells.shape) for array in arrays]
    with np.errstate(under="ignore"):
        laws = [make({name: array[index].item() for name, array in zip(names, arrays, strict=True)})
                for index in np.ndindex(cells.shape)]
    return Distribution(cells.shape, laws)


def quantiles(problem: LinearNetworkEnsemble, levels: ArrayLike, observables: Iterable[str]) -> xr.Dataset:
    """See `LinearNetworkEnsemble.quantiles`."""
    import xarray as xr

    probabilities = np.atleast_1d(_numbers("levels", levels))
    if probabilities.ndim != 1 or not probabilities.size or np.any(~((probabilities > 0) & (probabilities < 1))):
        raise ParameterError("levels", f"must be a list of probabilities > 0 and < 1, got {levels!r:.60}")
    if "level" in problem.dims:
        raise ParameterError("level", "is the name of an axis of the problem; rename it")
    lead = probabilities.reshape(-1, *(1,) * len(problem.shape))
    variables = {}
    for name in (observables,) if isinstance(observables, str) else tuple(observables):
        values = np.moveaxis(problem.at_time(name).ppf(np.broadcast_to(lead, (lead.shape[0], *problem.shape))), 0, -1)
        declared = problem.observables[f"mean_{name}"]
        meaning = declared.meaning.removeprefix("mean of the ")
        variables[name] = ((*problem.dims, "level"), values,
                           {"long_name": f"quantile of the {meaning}", "symbol": _QUANTILES[name], "units": "1"})
    coords = {**coordinates(problem), "level": probabilities}
    return xr.Dataset(variables, coords=coords, attrs=attributes_of(problem))


_QUANTILES = {"coefficient": "F", "excess_loss": r"L - L_\infty", "ntk": r"\Theta"}


def final_alignment(cell: Cell) -> ScalarLaw:
    """|cos(u, w)| as t tends to infinity; eq. (17)."""
    A, rho = abs(cell["target_coefficient"]), cell["correlation"]
    scale = abs(cell["gamma"]) * math.sqrt(cell["var_u"]) * math.sqrt(cell["var_w"]) * math.sqrt((1 - rho) * (1 + rho))
    if (A == 0 and scale == 0) or not _reaches(cell):
        return UNKNOWN
    if cell["p"] == 1 or scale == 0:
        return Constant(1.0)
    return Constant(0.0) if A == 0 else FinalAlignment(cell["p"], scale / A)


def escape_time(cell: Cell) -> ScalarLaw:
    """Half-time of training from small weights; eq. (19)."""
    flow = _flow(cell)
    if flow is None or flow.target == 0 or not flow.reachable:
        return UNKNOWN
    # P = gamma^2 V_+ X with a chi-square X, whose mean is p
    offset = math.log(2) + flow.log_target - flow.moments.log_P + math.log(cell["p"])
    return EscapeTime(cell["p"], offset, flow.rate * flow.target)


def warn_of_large_weights(cells: Cells) -> None:
    """Say how many cells are not in the limit of small weights."""
    with np.errstate(over="ignore", under="ignore"):
        own = {name: np.asarray(values, dtype=np.float64) for name, values in cells.arrays.items()}
        rho = own["correlation"] * np.sign(own["gamma"]) * np.sign(own["target_coefficient"])
        a, b = own["eta_w"] * own["var_u"], own["eta_u"] * own["var_w"]
        start = own["gamma"] ** 2 * own["p"] * (a + b + 2 * rho * np.sqrt(a * b))
        drive = np.abs(own["gamma"] * own["target_coefficient"]) * np.sqrt(own["eta_u"] * own["eta_w"])
    large = np.broadcast_to(start > 0.2 * drive, cells.shape)
    if np.any(large):
        warnings.warn(f"in {np.count_nonzero(large)} of {large.size} cells the initial weights are not small: their "
                      "escape times are not accurate; at_time('coefficient').sf(A/2) is exact", AccuracyWarning,
                      stacklevel=3)


def final_ntk(cell: Cell) -> ScalarLaw:
    """Theta as t tends to infinity; eq. (18)."""
    if _at_rest(cell):
        return Constant(0.0)
    if _is_linear(cell):
        return LinearKernel(linear_of(cell))
    flow = _flow(cell)
    if flow is None:
        return UNKNOWN
    if not flow.reachable:
        return Constant(0.0)
    mean, spread = final_kernel_moments(flow)
    return FinalKernel(flow, flow.kernel_unit * mean, flow.kernel_unit * spread)


def coefficient(cell: Cell) -> ScalarLaw:
    """F at time t; eq. (20)."""
    if _at_rest(cell):
        return Constant(0.0)
    if _is_linear(cell):
        A = cell["target_coefficient"]
        ensemble = linear_of(cell)
        moments = ensemble.coefficient(cell["t"]), ensemble.coefficient_spread(cell["t"])
        return _linear(cell, lambda gaps: Coefficient(gaps, moments, gaps.largest), lambda r: A - r, A > 0, moments)
    flow = _flow(cell)
    if flow is None:
        return UNKNOWN
    found = Ensemble(flow).at(cell["t"], ["coefficient", "coefficient_spread"])
    sign, unit = -1.0 if flow.mirrored else 1.0, flow.coefficient_unit
    moments = sign * unit * found["coefficient"].value, unit * found["coefficient_spread"].value
    if not flow.law.fluctuates:
        return _from_radius(flow, cell, lambda at: sign * unit * at.coefficient(), not flow.mirrored, moments)
    return Coefficient(Regions(flow, cell["t"]), moments, _largest(flow))


def excess_loss(cell: Cell) -> ScalarLaw:
    """(c/2) m2 r^2 at time t; eq. (20)."""
    factor = 0.5 * cell["loss_factor"] * cell["m2"]
    if _at_rest(cell):
        return Constant(factor * cell["target_coefficient"] ** 2)
    if _is_linear(cell):
        linear = linear_of(cell)
        moments = factor * linear.square(cell["t"]), factor * linear.loss_spread(cell["t"])
        return _linear(cell, lambda gaps: Loss(gaps, factor, moments, gaps.largest), lambda r: factor * r * r, False,
                       moments)
    flow = _flow(cell)
    if flow is None:
        return UNKNOWN
    factor *= flow.coefficient_unit**2
    ensemble = Ensemble(flow)
    square, fourth = ensemble.at(cell["t"], ["square"])["square"].value, ensemble.late_power(cell["t"], 4).value
    moments = factor * square, factor * math.sqrt(max(fourth - square**2, 0.0))
    if not flow.law.fluctuates:
        return _from_radius(flow, cell, lambda at: factor * at.gap() ** 2, False, moments)
    return Loss(Regions(flow, cell["t"]), factor, moments, _largest(flow))


def ntk(cell: Cell) -> ScalarLaw:
    """Theta at time t; eq. (21)."""
    if _at_rest(cell):
        return Constant(0.0)
    if _is_linear(cell):
        return LinearKernel(linear_of(cell))
    flow = _flow(cell)
    if flow is None:
        return UNKNOWN
    found = Ensemble(flow).at(cell["t"], ["kernel", "kernel_spread"])
    moments = flow.kernel_unit * found["kernel"].value, flow.kernel_unit * found["kernel_spread"].value
    if not flow.law.fluctuates:
        return _from_radius(flow, cell, lambda at: 0.5 * flow.kernel_unit * np.add(*at.parts()), True, moments)
    return Kernel(Regions(flow, cell["t"]), moments, _largest(flow))


def _from_radius(
    flow: Flow, cell: Cell, value: Callable[[Evolution], Array], rises: bool, moments: tuple[float, float]
) -> ScalarLaw:
    """Where P and Q are proportional: if one layer starts at zero, all that is faster is nearer to the target."""
    if cell["var_u"] > 0 and cell["var_w"] > 0:
        return UNKNOWN

    def at(s: Array) -> Array:
        flat = np.ravel(s)
        rule = lattice(flow.law, flat, np.zeros(flat.shape), np.zeros(flat.shape), STEP)
        return value(Evolution(flow, rule, flow.target - flow.start(rule), cell["t"])).reshape(s.shape)

    return FromRadius(at, rises, cell["p"], flow.law.window[:2], moments)


def _linear(
    cell: Cell, mixture: Callable[[GapMixture], ScalarLaw], of_gap: Callable[[Array], Array], rises: bool,
    moments: tuple[float, float],
) -> ScalarLaw:
    """One layer is not trained: a mixture, unless the other one starts at zero (or nothing is trained)."""
    ensemble = linear_of(cell)
    if ensemble.start != 0:
        return mixture(GapMixture(ensemble, cell["t"])) if abs(ensemble.correlation) < 1 else UNKNOWN
    if ensemble.target == 0 or ensemble.rate * cell["t"] == 0:
        return Constant(float(of_gap(np.array(ensemble.target))))

    def value(s: Array) -> Array:
        return of_gap(ensemble.target * np.exp(-ensemble.rate * cell["t"] * cell["p"] * np.exp(s)))

    window = InitialLaw(cell["p"], 1.0, 0.0).window
    return FromRadius(value, rises, cell["p"], window[:2], moments)


LAWS: dict[str, Callable[[Cell], ScalarLaw]] = {
    "coefficient": coefficient, "excess_loss": excess_loss, "ntk": ntk, "final_ntk": final_ntk,
    "final_alignment": final_alignment, "escape_time": escape_time,
}


def _flow(cell: Cell) -> Flow | None:
    if _at_rest(cell) or _is_linear(cell):
        return None
    return flow_of(*(cell[name] for name in (
        "p", "var_u", "var_w", "correlation", "gamma", "eta_u", "eta_w", "m2", "target_coefficient", "loss_factor")))


def _largest(flow: Flow) -> float:
    """Above every gap and kernel of a rule."""
    _, high, _ = flow.law.window
    reach = float(np.max(flow.law.spread(np.array([high - 1, 0.0, flow.law.window[0]])))) if flow.law.fluctuates else 0
    return 4 * (flow.target + math.exp(high + 0.5 * min(reach, 60.0)))


def _at_rest(cell: Cell) -> bool:
    return cell["var_u"] == 0 and cell["var_w"] == 0


def _is_linear(cell: Cell) -> bool:
    return cell["eta_u"] == 0 or cell["eta_w"] == 0


def _reaches(cell: Cell) -> bool:
    """Whether networks get to the target: not if nothing moves, or if they are aligned against it."""
    if _is_linear(cell):
        return linear_of(cell).rate > 0
    flow = _flow(cell)
    return flow is not None and flow.reachable
