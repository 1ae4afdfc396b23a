"""Ridge and classification on structured features: cells a second, and the published fixed point beside ours.

`OMP_NUM_THREADS=1 python -m benchmarks.structured_features` (about a minute; `--quick` is shorter) prints one line a
figure.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import asymptotics as asy

from .timing import solve_times

Array = NDArray[np.float64]

P = 1000
TOLERANCE = 1e-8  # of the published iteration


def marchenko_pastur_eigenvalues() -> Array:
    """Quantiles of the law of G G^T/m, G 1000 x 2000, plus 0.2."""
    low, high = (1 - 0.5**0.5) ** 2, (1 + 0.5**0.5) ** 2
    x = np.linspace(low, high, 200001)[1:-1]
    mass = np.cumsum(np.sqrt((high - x) * (x - low)) / x)
    return np.interp((np.arange(P) + 0.5) / P, mass / mass[-1], x)[::-1] + 0.2


SPECTRA = {"k^-1.2": np.arange(1.0, P + 1) ** -1.2, "Marchenko-Pastur + 0.2": marchenko_pastur_eigenvalues()}


def problem(s: Array, points: int, least: float) -> asy.Problem:
    """A grid over samples, n = p among them, and ridge."""
    n = np.sort(np.append(np.geomspace(50, 5000, points - 1), float(P)))
    return asy.FeatureRidge(eigenvalues=s, target_weights=s * np.arange(1, P + 1) ** -1.1, residual_variance=0.1,
                            **asy.grid(n=n, lam=np.geomspace(least, 1e2, points)))


def published(s: Array, t: Array, sres: float, n: float, lam: float) -> tuple[float, int]:
    """The test error by the published loop, m <- 1/(lam + sum s/(1 + n m s)) from m = 1 until it moves by < 1e-8."""
    m, steps = 1.0, 0
    while True:
        fresh = 1 / (lam + np.sum(s / (1 + n * m * s)))
        steps += 1
        moved, m = abs(fresh - m), fresh
        if moved < TOLERANCE:
            break
    kappa = 1 / (n * m)
    df2, bias = np.sum((s / (s + kappa)) ** 2), np.sum(t * (kappa / (s + kappa)) ** 2)
    return float((bias + sres) / (1 - df2 / n)), steps


def against_published(name: str, least: float, points: int) -> dict[str, float]:
    """Seconds of the published loop over ours on the same grid, and the largest relative difference."""
    s = SPECTRA[name]
    ours = problem(s, points, least)
    fast = min(solve_times(ours, ["test_error"], 7))
    t = np.arange(1, P + 1) ** -1.1
    start = time.perf_counter()
    found = np.array([[published(s, t, 0.1, n, lam) for lam in ours.lam.values] for n in ours.n.values])
    slow = time.perf_counter() - start
    errors = ours.solve(["test_error"]).test_error
    return {"published / ours": slow / fast, "published, s": slow, "ours, s": fast,
            "steps": float(np.mean(found[..., 1])),
            "difference": float(np.max(np.abs(found[..., 0] / errors - 1)))}


def rate(own: asy.Problem, repeats: int = 5, observables: list[str] | None = None) -> float:
    """Cells a second, tables included."""
    return own.cells.size / min(solve_times(own, observables, repeats))


def classification(loss: str, labels: str, points: int) -> asy.Problem:
    """A grid over samples and ridge at p = 200."""
    s = 1 / np.arange(1, 201.0)
    return asy.FeatureClassification(loss=loss, labels=labels, eigenvalues=s, target_weights=s**2 / np.sum(s), rho=1.0,
                                     **asy.grid(n=np.geomspace(20, 2000, points), lam=np.geomspace(1e-3, 10, points)))


def chain(points: int) -> asy.Problem:
    """Three layers."""
    layers = dict(activations=["tanh"] * 3, widths=[600, 500, 700], d=400, label_second_moment=1.1)
    return asy.RainbowNetwork(**layers, **asy.grid(
        n=np.geomspace(50, 5000, points), lam=np.geomspace(1e-4, 1e2, points)))


def main() -> None:
    """Print every figure as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    size, large = (10, 60) if quick else (30, 300)

    def say(name: str, value: Any) -> None:
        print(json.dumps({name: value}), flush=True)

    for name, s in SPECTRA.items():
        for points in (size, large):
            say(f"ridge, {name}, {points} x {points}, cells/s", rate(problem(s, points, 1e-4)))
        say(f"ridge, {name}, against the published loop", against_published(name, 1e-4, size))
    say("ridge, k^-1.2 down to lam = 1e-6, against the published loop", against_published("k^-1.2", 1e-6, size))
    law = asy.FeatureRidge(power_law=[1.5, 2.2, 1], residual_variance=0.1, **asy.grid(
        n=np.geomspace(50, 5000, large), lam=np.geomspace(1e-4, 1e2, large)))
    say(f"ridge, infinite power law, {large} x {large}, cells/s", rate(law))
    say("best ridge, 1000 sample sizes, cells/s", _optima())
    say(f"three layers, {large} x {large}, cells/s", rate(chain(large)))
    for loss, labels in (("logistic", "sign"), ("hinge", "sign"), ("square", "sign"), ("logistic", "probit"),
                         ("logistic", "logit")):
        say(f"classification, {loss}, {labels}, {size} x {size}, cells/s", rate(classification(loss, labels, size), 2))


def _optima() -> float:
    own = problem(SPECTRA["k^-1.2"], 30, 1e-4).isel(lam=0).replace(n=np.geomspace(20, 5000, 1000))
    start = time.perf_counter()
    own.optimal_ridge()
    return 1000 / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
