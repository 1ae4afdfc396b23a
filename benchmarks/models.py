"""Time of the models of one gradient step: a table for docs/performance.md.

    OMP_NUM_THREADS=1 python -m benchmarks.models
"""

from __future__ import annotations

import statistics

import numpy as np

import asymptotics as asy

from .timing import solve_times

ALPHAS = np.array([0.2, 0.9, 1.6, 2.3, 3.0])
GRID = {"alpha": np.geomspace(0.1, 10, 200)[:, None], "lam": np.geomspace(1e-4, 10, 50)[None, :]}
SETTINGS = (("tanh", "sin", 20.0, 3.0), ("erf(x/sqrt(2))", "erf(x/sqrt(2))", 0.5, 4.0), ("relu", "relu", 2.0, 1.5),
            ("softplus", "tanh", 1.0, 4.0))
MODELS = ("isotropic", "exact_step", "full_step")


def main() -> None:
    """Print a Markdown table; all observables but `isotropic_gap`, which solves a second model."""
    print("| activation/target α₀, η | model | one cell | 5-point curve | cells a second, 10⁴ cells |")
    print("|---|---|---|---|---|")
    for activation, target, alpha0, eta in SETTINGS:
        for model in MODELS:
            cell = asy.GiantStep(activation=activation, target=target, alpha0=alpha0, eta=eta, model=model, alpha=1.0,
                                 lam=0.1)
            one, curve = seconds(cell), seconds(cell.replace(alpha=ALPHAS))
            rate = 1e4 / seconds(cell.replace(**GRID), repeats=3)
            setting = f"{activation}/{target} {alpha0:g}, {eta:g}"
            print(f"| {setting} | {model} | {1e3 * one:.1f} ms | {1e3 * curve:.1f} ms | {rate:,.0f} |")


def seconds(problem: asy.GiantStep, repeats: int = 15) -> float:
    """Median wall time of a solve, tables included."""
    names = [name for name in problem.prediction.observables if name != "isotropic_gap"]
    return statistics.median(solve_times(problem, names, 1 + repeats)[1:])


if __name__ == "__main__":
    main()
