"""Time of the levels of `polynomial-spikes`: a table for docs/performance.md.

    OMP_NUM_THREADS=1 python -m benchmarks.polynomial_spikes
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import asymptotics as asy

from .timing import solve_times

NETWORK = {"target_coefficients": (0.2, 0.8, 0.5, 0.25), "noise_var": 0.1, "d": 500, "p": 400, "n0": 750}
ERRORS = ("test_error", "train_error", "ridge_objective", "overlaps")
ACTIVATIONS = ("relu(x) - 1/sqrt(2*pi)", "tanh(1.5*x + 0.8)", "x + 0.5*(x**2 - 1)", "tanh")


def main() -> None:
    """Print a Markdown table: errors and overlaps of grids of readouts on one step, and of steps."""
    print("| activation | level | one step (n × λ), cells a second | steps (η × λ) | spectra a second |")
    print("|---|---|---|---|---|")
    for activation in ACTIVATIONS:
        for level, size in (("full", (20, 20)), ("finite_rank", (100, 100)), ("limit", (100, 300))):
            first, second = size
            step = {"step_exponent": 0.3} if level == "limit" else {"eta": 8.0}
            lam = np.geomspace(1e-4, 10, second)
            problem = asy.PolynomialSpikes(
                activation=activation, level=level, n=np.rint(np.geomspace(100, 4000, first))[:, None], lam=lam,
                **NETWORK, **step,
            )
            row = [f"{first * second / seconds(problem, ERRORS):,.0f}"]
            if level != "limit":
                steps = problem.replace(n=600, eta=np.geomspace(0.5, 12, first)[:, None])
                row.append(f"{first * second / seconds(steps, ERRORS):,.0f}")
                spectra = steps.replace(lam=0.1)
                row.append(f"{first / seconds(spectra, ['singular_values', 'bulk_edge']):,.0f}")
            print(f"| {activation} | {level} | {' | '.join([*row, '', ''][:3])} |", flush=True)


def seconds(problem: asy.PolynomialSpikes, observables: Sequence[str]) -> float:
    """Shortest wall time of a solve, tables included."""
    return min(solve_times(problem, observables, repeats=3))


if __name__ == "__main__":
    main()
