"""Speed of the extensions of `linear-network` that are not closed forms of a few numbers: a table.

    OMP_NUM_THREADS=1 python -m benchmarks.linear_network_extensions
"""

from __future__ import annotations

import numpy as np

import asymptotics as asy

from .timing import solve_times


def main() -> None:
    """Print a Markdown table: cells and times of a grid, and thousands of points a second."""
    print("| problem | grid | thousand points a second |")
    print("|---|---|---|")
    for grid, problem in problems().items():
        seconds = min(solve_times(problem, None, repeats=2))
        print(f"| `{problem.slug}` | {grid} | {problem.cells.size / seconds / 1e3:.3g} |", flush=True)


def problems() -> dict[str, asy.Problem]:
    """Grids by their description."""
    rng = np.random.default_rng(0)
    u, w = rng.standard_normal((2, 10))
    t = np.geomspace(1e-2, 30, 100)
    targets, scales = np.linspace(-2, 2, 200)[:, None], np.geomspace(0.3, 2, 30)[:, None]
    x = rng.standard_normal(15)
    inputs = {"u": u, "W": rng.standard_normal((10, 4)) / 3, "covariance": np.diag([4.0, 2.0, 1.0, 0.5]),
              "target": rng.standard_normal(4)}
    W1, W2 = asy.balanced_weights(hidden=5, inputs=4, outputs=3, lam=0.0, scale=0.3, seed=0)
    return {
        "200 targets × 100 times, μ = 0.1": asy.LinearNetworkDecay(
            u=u, w=w, weight_decay=0.1, target_coefficient=targets, t=t),
        "200 γ × 100 times, three targets": asy.LinearNetworkCurriculum(
            u=u, w=w, targets=(1.0, -1.0, 0.5), switch_times=(1.0, 3.0), gamma=np.geomspace(0.1, 2, 200)[:, None], t=t),
        "30 γ × 100 times, logistic loss of 15 samples": asy.LinearNetworkLoss(
            u=u, w=w, x=x, y=np.sign(x + 0.5 * rng.standard_normal(15)), loss_function="softplus(-x)",
            argument="margin", gamma=scales, t=t),
        "30 γ × 100 times, ten units": asy.PowerNetwork(
            u=0.3 * u, w=0.3 * w, target_coefficient=1.0, gamma=scales, t=t),
        "30 γ × 100 times, D = 4": asy.LinearNetworkInputs(**inputs, gamma=scales, t=t),
        "30 γ × 1000 steps, D = 4": asy.LinearNetworkInputsDescent(
            **inputs, gamma=scales, step_size=0.001, steps=np.arange(1000)),
        "30 rates × 100 times, 4 → 5 → 3 units": asy.BalancedLinearNetwork(
            W1=W1, W2=W2, correlation=rng.standard_normal((3, 4)), loss_factor=scales, t=t),
    }


if __name__ == "__main__":
    main()
