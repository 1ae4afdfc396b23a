"""Speed of `linear-network-ensemble` beside Monte Carlo in the same process: tables for docs/performance.md.

    OMP_NUM_THREADS=1 python -m benchmarks.linear_network_ensemble
"""

from __future__ import annotations

import time

import numpy as np

import asymptotics as asy

from .timing import solve_times

MEANS = ("mean_coefficient", "mean_ntk", "mean_excess_loss")
DRAWS = 20_000


def main() -> None:
    """Print a Markdown table: milliseconds a cell and time, and how much longer the draws take."""
    times = np.geomspace(0.01, 10, 60)
    print(f"| p | three means | mean cosine | three quantiles of the loss | {DRAWS} draws / three means |")
    print("|---|---|---|---|---|")
    for p in (1, 2, 3, 4, 6, 10, 50, 200, 10_000):
        problem = asy.LinearNetworkEnsemble(p=p, var_u=1 / p, var_w=1 / p, target_coefficient=1.0, t=times)
        means, cosine = (1e3 * min(solve_times(problem, names, repeats=3)) / len(times)
                         for names in (MEANS, ["mean_cosine"]))
        few = problem.isel(t=slice(None, None, 6))
        start = time.perf_counter()
        few.quantiles([0.1, 0.5, 0.9], ["excess_loss"])
        quantiles = 1e3 * (time.perf_counter() - start) / few.cells.size
        ratio = monte_carlo(problem) / means
        print(f"| {p} | {means:.2f} | {cosine:.1f} | {quantiles:.0f} | {ratio:.1f} |", flush=True)


def monte_carlo(problem: asy.LinearNetworkEnsemble) -> float:
    """Milliseconds a time of the exact trajectories of drawn overlaps: standard errors of about a per cent."""
    p, rng = int(problem.p), np.random.default_rng(0)
    start = time.perf_counter()
    X, xi, across = rng.chisquare(p, DRAWS), rng.standard_normal(DRAWS), rng.chisquare(max(p - 1, 1), DRAWS)
    overlaps = {"uu": problem.var_u * (xi**2 + across * (p > 1)), "ww": problem.var_w * X,
                "uw": np.sqrt(problem.var_u * problem.var_w * X) * xi}
    networks = asy.LinearNetwork(**{name: values[:, None] for name, values in overlaps.items()}, t=problem.t,
                                 target_coefficient=problem.target_coefficient)
    found = networks.solve(["coefficient", "ntk", "excess_loss"])
    for values in found.values.values():
        np.mean(values, axis=0)
    return 1e3 * (time.perf_counter() - start) / problem.cells.size


if __name__ == "__main__":
    main()
