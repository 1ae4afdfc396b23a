"""Further questions to `FeatureRidge`: everything is explicit in the effective ridge, so nothing is solved for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...datasets import answer_dataset, described
from ...errors import ParameterError
from ...spectra.effective_ridge import effective_ridge
from ...spectra.spectrum import BIAS, BIAS_SLOPE, EMPTY, EXCHANGE, FILLED, MISFIT, SECOND, SKEW, Spectrum, SumTable
from .ridge_equations import Fit, errors_of
from .weights import finite_array

if TYPE_CHECKING:
    import xarray as xr

    from .problem import FeatureRidge

Array = NDArray[np.float64]
Index = NDArray[np.intp]

SCAN = 160  # effective ridges in which minima are looked for
HALVINGS = 52
_MARGIN = 1e-3  # of the first and last of them from where the error levels off
_CHUNK = 2048  # cells


class Curve(NamedTuple):
    """The fit at effective ridges, and -sign of the slope of the test error there."""

    fit: Fit
    lam: Array
    rising: Array


def curve_at(table: SumTable, kappa: Array, n: Array, residual: Array) -> Curve:
    """Explicit in kappa: lam = kappa (n - df1); eq. (10).  All arrays (C,)."""
    sums = table.around(table.nearest(np.log(kappa)))
    filled, empty, exchange, df2, bias, misfit, skew, bias_slope = sums.at(
        kappa, (FILLED, EMPTY, EXCHANGE, SECOND, BIAS, MISFIT, SKEW, BIAS_SLOPE))
    excess = n - sums.split + filled - empty
    fit = Fit(n, excess, exchange, df2, bias, misfit, residual)
    return Curve(fit, kappa * excess, bias_slope * fit.free - fit.amplified * skew)


class Minima(NamedTuple):
    """Local minima of the test error of C cells, (M,): cell, effective ridge, lam, error, whether lam is 0 or inf."""

    cell: Index
    kappa: Array
    lam: Array
    error: Array
    at_end: NDArray[np.bool_]


def ridge_minima(spectrum: Spectrum, n: Array, residual: Array) -> Minima:
    """All local minima over lam in [0, inf] for C cells: sign changes of the slope on a scan, then bisection."""
    found = [_minima(spectrum, n[start:start + _CHUNK], residual[start:start + _CHUNK], start)
             for start in range(0, n.size, _CHUNK)]
    if not found:
        none = np.zeros(0)
        return Minima(np.zeros(0, dtype=np.intp), none, none, none, np.zeros(0, dtype=bool))
    return Minima(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _minima(spectrum: Spectrum, n: Array, residual: Array, offset: int) -> Minima:
    bare = effective_ridge(spectrum, n, np.zeros(n.shape), (EXCHANGE, SECOND, BIAS, MISFIT))
    low, high = _range(spectrum, n, residual, bare.kappa)
    table = SumTable(spectrum, float(np.min(low)), float(np.max(high)))
    cells = np.arange(n.size)
    share = np.linspace(0.0, 1.0, SCAN)[:, None]
    logs = np.log(low) + share * (np.log(high) - np.log(low))

    def rising(log_kappa: Array, cell: Index) -> NDArray[np.bool_]:
        return curve_at(table, np.exp(log_kappa), n[cell], residual[cell]).rising > 0

    scan = rising(logs.ravel(), np.tile(cells, SCAN)).reshape(logs.shape)
    step, cell = np.nonzero(~scan[:-1] & scan[1:])
    left, right = logs[step, cell], logs[step + 1, cell]
    for _ in range(HALVINGS):
        middle = 0.5 * (left + right)
        up = rising(middle, cell)
        left, right = np.where(up, left, middle), np.where(up, middle, right)
    kappa = np.exp(0.5 * (left + right))
    inside = curve_at(table, kappa, n[cell], residual[cell])
    # without ridge, where the error rises from there; infinite ridge, where it still falls
    at_zero, at_infinity = np.flatnonzero(scan[0]), np.flatnonzero(~scan[-1])
    exchange, df2, bias, misfit = bare.sums
    zero = Fit(n, np.where(n >= spectrum.rank, bare.excess, 0.0), exchange, df2, bias, misfit, residual).test_error
    infinite = np.full(at_infinity.size, np.inf)
    order = np.concatenate([at_zero, cell, at_infinity])
    return Minima(
        order + offset,
        np.concatenate([bare.kappa[at_zero], kappa, infinite]),
        np.concatenate([np.zeros(at_zero.size), inside.lam, infinite]),
        np.concatenate([zero[at_zero], inside.fit.test_error, residual[at_infinity] + np.sum(spectrum.signal)]),
        np.concatenate([np.full(at_zero.size, True), np.full(cell.size, False), np.full(at_infinity.size, True)]),
    )


def _range(spectrum: Spectrum, n: Array, residual: Array, bare: Array) -> tuple[Array, Array]:
    """Effective ridges below and above which the slope of the error keeps its sign."""
    s, weights, signal = spectrum
    smallest, largest, power = float(np.min(s)), float(np.max(s)), spectrum.power
    with np.errstate(over="ignore", divide="ignore"):
        # where the two terms of the slope balance if all eigenvalues are large, or all are small
        steep = float(np.sum(signal / s**2))
        first = spectrum.inverse_trace * residual / (np.maximum(n - spectrum.rank, 1.0) * max(steep, 1e-280))
        last = (residual + np.sum(signal)) * float(weights @ s**2) / (n * max(power, 1e-280))
    first = np.clip(first, 1e-12 * smallest, smallest)
    high = np.clip(last, largest, 1e12 * largest) / _MARGIN
    low = np.where(bare > 0, bare * (1 + 1e-9), _MARGIN * first)
    return low, np.maximum(high, 10 * low)


def best_ridges(problem: FeatureRidge) -> tuple[Array, Array]:
    """lam of the smallest test error (inf where no readout is best) and that error, over the cells without lam."""
    base, (n, residual), shape = cells_without_ridge(problem)
    minima = ridge_minima(base.spectrum, n, residual)
    order = np.lexsort((minima.error, minima.cell))
    first = np.unique(minima.cell[order], return_index=True)[1]
    return minima.lam[order][first].reshape(shape), minima.error[order][first].reshape(shape)


def cells_without_ridge(problem: FeatureRidge) -> tuple[FeatureRidge, list[Array], tuple[int, ...]]:
    """The problem without ridge, and n and sres of its cells."""
    base = problem.replace(lam=0.0)
    shape, arrays = base.cells.compact(("n", "residual_variance"))
    return base, [array.ravel().astype(np.float64) for array in arrays], shape


def minima_dataset(problem: FeatureRidge) -> xr.Dataset:
    """See `FeatureRidge.ridge_minima`."""
    base, (n, residual), shape = cells_without_ridge(problem)
    minima = ridge_minima(base.spectrum, n, residual)
    order = np.lexsort((minima.error, minima.cell))
    cell = minima.cell[order]
    rank = np.arange(cell.size) - np.unique(cell, return_index=True)[1][cell]
    count = int(np.max(rank, initial=0)) + 1

    def table(values: NDArray[Any]) -> Array:
        found = np.full((n.size, count), np.nan)
        found[cell, rank] = values[order]
        return np.broadcast_to(found.reshape(*shape, count), (*base.shape, count)).copy()

    return answer_dataset(base, {
        "lam": (("minimum",), table(minima.lam), described("ridge at a local minimum of the test error", r"\lambda")),
        "effective_ridge": (("minimum",), table(minima.kappa), described("effective ridge there", r"\kappa")),
        "test_error": (("minimum",), table(minima.error), described("test error there", r"E_{\mathrm{test}}")),
        "at_boundary": (("minimum",), table(minima.at_end.astype(float)),
                        described("1 where lam is 0 or infinite", "")),
    }, {"minimum": np.arange(count)})


def sweep_dataset(problem: FeatureRidge, kappa: ArrayLike) -> xr.Dataset:
    """See `FeatureRidge.along_effective_ridge`."""
    values = finite_array("effective_ridge", kappa, 1)
    if not np.all((values > 1e-250) & (values < 1e250)):
        raise ParameterError("effective_ridge", f"must be numbers between 1e-250 and 1e250, got {kappa!r:.60}")
    base, (n, residual), shape = cells_without_ridge(problem)
    spectrum = base.replace(lam=float(np.min(values)) * float(np.min(n, initial=1.0))).spectrum
    table = SumTable(spectrum, float(np.min(values)), float(np.max(values)) * 1.01)
    curve = curve_at(table, np.tile(values, n.size), np.repeat(n, values.size), np.repeat(residual, values.size))
    outside = curve.lam < 0  # no ridge >= 0 has so small an effective one

    def shaped(found: Array) -> Array:
        own = np.where(outside, np.nan, found).reshape(*shape, values.size)
        return np.broadcast_to(own, (*base.shape, values.size)).copy()

    with np.errstate(invalid="ignore", divide="ignore"):
        answers = errors_of(curve.fit, tuple(base.observables))
    found = {"lam": shaped(curve.lam), "df1": shaped(curve.fit.exchange + curve.fit.df2)}
    found.update({name: shaped(array) for name, array in answers.items()})
    declared = base.observables
    texts = {"lam": described(base.parameters["lam"].meaning, r"\lambda")}
    texts |= {name: described(declared[name].meaning, declared[name].symbol) for name in found if name != "lam"}
    return answer_dataset(base, {name: (("effective_ridge",), array, texts[name]) for name, array in found.items()},
                          {"effective_ridge": values})
