"""Speed of `linear-network-descent`: a table for docs/performance.md.

    OMP_NUM_THREADS=1 python -m benchmarks.linear_network_descent
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import asymptotics as asy

from .timing import solve_times

NINE = ("coefficient", "gap", "excess_loss", "ntk", "cosine", "norm_u", "norm_w", "sharpness", "stability")


def main() -> None:
    """Print a Markdown table: seconds, and millions of cell-steps a second."""
    print("| cells | s | million cell-steps a second |")
    print("|---|---|---|")
    for name, axes in grids().items():
        problem = asy.LinearNetworkDescent(**{"target_coefficient": 1.0, **weights(), **axes})
        line(name, min(solve_times(problem, NINE, repeats=3)), made(problem))
    u, w = np.random.default_rng(0).normal(size=(2, 1000))
    plane = asy.LinearNetworkDescent(
        u=u, w=w, gamma=1000**-0.5, steps=0,
        **asy.grid(step_size=np.linspace(0.1, 2.4, 300), target_coefficient=np.linspace(0, 30, 300)))
    start = time.perf_counter()
    plane.outcome(max_steps=1000)
    print(f"| outcome, 300 × 300 cells, at most 1000 steps | {time.perf_counter() - start:.2f} | |")


def line(name: str, seconds: float, steps: int) -> None:
    """A row of the table."""
    print(f"| {name} | {seconds:.2f} | {steps / seconds / 1e6:.0f} |", flush=True)


def made(problem: asy.LinearNetworkDescent) -> int:
    """Steps of all cells that differ in more than their number."""
    steps = problem.cells.arrays["steps"]
    others = np.broadcast_shapes(*(array.shape for name, array in problem.cells.arrays.items() if name != "steps"))
    if steps.size == 1 or steps.size == steps.shape[-1]:
        return int(np.prod(others)) * int(steps.max())
    return int(np.sum(steps))


def weights() -> dict[str, Any]:
    """Ten hidden units."""
    u, w = np.random.default_rng(0).normal(size=(2, 10))
    return {"u": u, "w": w}


def grids() -> dict[str, dict[str, Any]]:
    """Axes by their description; slow descent, in which no cell arrives."""
    def sizes(count: int) -> np.ndarray:
        return np.geomspace(1e-7, 1e-6, count)[:, None]

    cells = 16384
    return {
        "16 384 step sizes, after 3000 steps": {"step_size": sizes(cells)[:, 0], "steps": 3000},
        "16 384 step sizes, at 10 of 3000 steps": {"step_size": sizes(cells), "steps": np.arange(300, 3001, 300)},
        "16 384 step sizes, at 100 of 3000 steps": {"step_size": sizes(cells), "steps": np.arange(30, 3001, 30)},
        "16 384 step sizes to the same time": {
            "step_size": sizes(cells)[:, 0], "steps": np.round(3e-4 / sizes(cells)[:, 0]).astype(int)},
        "1 step size, at each of 100 000 steps": {"step_size": 1e-6, "steps": np.arange(1, 100_001)},
        "16 384 step sizes that converge, after 100 000 steps": {
            "step_size": np.geomspace(1e-3, 1e-2, cells), "steps": 100_000},
        "16 384 step sizes, 3000 batches": {
            "step_size": sizes(cells)[:, 0], "steps": 3000, "batch_m2": np.linspace(0.5, 1.5, 3000),
            "batch_mxy": np.linspace(0.4, 1.6, 3000)},
    }


if __name__ == "__main__":
    main()
