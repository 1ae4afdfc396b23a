"""The best learning rate of one gradient step, and networks that were trained with it.

    python examples/optimal_step.py [--d 300] [--networks 12] [--output-dir .]

For three sizes of the data set of the step: learning rate and ridge penalty that minimise the test error, the error
that is predicted there, and that of simulated networks.  Writes optimal_step_minima.png.  Ten seconds.
"""

import argparse
from pathlib import Path

import numpy as np

import asymptotics as asy
from asymptotics import plots
from asymptotics.plots.style import COLOURS
from validation.giant_step import simulate

ALPHA0 = [1.0, 2.0, 8.0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--d", type=int, default=300, help="input dimension of the networks")
    parser.add_argument("--networks", type=int, default=12, help="networks at each minimum")
    parser.add_argument("--output-dir", type=Path, default=Path())
    options = parser.parse_args()

    problem = asy.GiantStep(activation="tanh", target="sin", alpha=1.5, noise_var=0.1, lam=1.0,
                            **asy.grid(eta=np.geomspace(0.3, 30, 60), alpha0=ALPHA0))
    curves = problem.optimal_ridge().solve(["test_error", "best_linear_error"]).to_dataset()
    best = problem.optimal_step()  # eta and lam at the minimum, for every alpha0
    predicted = best.solve(["test_error"]).test_error

    print("alpha0     eta     lam    theory    networks              z")
    figure = plots.learning_curves(curves, observables=["test_error", "best_linear_error"])
    for i, alpha0 in enumerate(ALPHA0):
        cell = best.isel(alpha0=i)
        seeds = np.random.SeedSequence(i).spawn(options.networks)
        errors = [float(simulate(cell, {"d": options.d}, seed)["test_error"]) for seed in seeds]
        mean, error = np.mean(errors), np.std(errors, ddof=1) / np.sqrt(len(errors))
        print(f"{alpha0:6g} {cell.eta:7.4f} {cell.lam:7.4f} {predicted[i]:9.5f}   {mean:.5f} +- {error:.5f}   "
              f"{(mean - predicted[i]) / error:+5.1f}")
        figure.errorbar(cell.eta, mean, error, color=COLOURS[i], marker="o", markersize=4, capsize=2)
        figure.plot(cell.eta, predicted[i], color=COLOURS[i], marker="x", markersize=6)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    plots.save(figure.figure, options.output_dir / "optimal_step_minima.png")


if __name__ == "__main__":
    main()
