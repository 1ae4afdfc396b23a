"""Speed of `linear-network`: a table for docs/performance.md.

    OMP_NUM_THREADS=1 python -m benchmarks.linear_network
"""

from __future__ import annotations

from typing import Any

import numpy as np

import asymptotics as asy

from .timing import solve_times

NINE = ("coefficient", "gap", "excess_loss", "ntk", "cosine", "norm_u", "norm_w", "final_ntk", "decay_rate")


def main() -> None:
    """Print a Markdown table: millions of points a second."""
    print("| cells | nine observables | all |")
    print("|---|---|---|")
    for name, axes in grids().items():
        problem = asy.LinearNetwork(**{"target_coefficient": 1.0, **weights(), **axes})
        speeds = [problem.cells.size / min(solve_times(problem, names, repeats=5)) / 1e6 for names in (NINE, None)]
        print(f"| {name} | {speeds[0]:.1f} | {speeds[1]:.1f} |", flush=True)


def weights() -> dict[str, Any]:
    """Ten hidden units."""
    u, w = np.random.default_rng(0).normal(size=(2, 10))
    return {"u": u, "w": w}


def grids() -> dict[str, dict[str, Any]]:
    """Axes by their description."""
    def targets(count: int) -> np.ndarray:
        return np.linspace(-2, 2, count)[:, None]

    def times(count: int) -> np.ndarray:
        return np.geomspace(1e-3, 30, count)

    gamma = np.geomspace(0.1, 2, 1000)[:, None]
    return {
        "1000 targets × 1000 times": {"target_coefficient": targets(1000), "t": times(1000)},
        "100 targets × 10 000 times": {"target_coefficient": targets(100), "t": times(10_000)},
        "100 000 targets × 10 times": {"target_coefficient": targets(100_000), "t": times(10)},
        "1 000 000 targets, one time": {"target_coefficient": targets(1_000_000), "t": 1.0},
        "1000 γ × 1000 times, 1e-12 … 1e12": {"gamma": gamma, "t": np.geomspace(1e-12, 1e12, 1000)},
        "1000 γ × 1000 η_u, one time": {"gamma": gamma, "eta_u": np.geomspace(0.1, 2, 1000), "t": 1.0},
        "target out of reach (Q = 0), 1000 γ × 1000 times, 1e-12 … 1e12": {
            "w": weights()["u"], "target_coefficient": -1.0, "gamma": gamma, "t": np.geomspace(1e-12, 1e12, 1000)},
    }


if __name__ == "__main__":
    main()
