"""Phases of one gradient step: what is learned at which learning rate, in the limit and at actual sizes.

    python examples/polynomial_phases.py [--scale 1] [--networks 4] [--output-dir .]

Three figures.  polynomial_spectrum.png: singular values of the features outside the bulk and the edge of the bulk
against the learning rate, with those of simulated networks.  polynomial_phases.png: learned fraction of each degree
against the exponent of the step, at infinite size and at the sizes of the networks.  polynomial_spikes.png: the
functions that the first two spikes carry.  Prints the learning rates at which the spikes leave the bulk.  `--scale`
multiplies all sizes.  Twenty seconds.
"""

import argparse
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import asymptotics as asy
from asymptotics import plots
from asymptotics.plots.style import COLOURS, new_axes, style
from validation.polynomial_spikes import simulate

ACTIVATION = "tanh(1.5*x + 0.8)"
EXPONENTS = np.linspace(-0.1, 0.44, 55)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of the sizes d, p, n, n0 = 400, 320, 480, 600")
    parser.add_argument("--networks", type=int, default=4, help="networks at each learning rate")
    parser.add_argument("--output-dir", type=Path, default=Path())
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", asy.AccuracyWarning)  # of large steps: the figures show where they begin

    sizes = {name: round(options.scale * size) for name, size in {"d": 400, "p": 320, "n": 480, "n0": 600}.items()}
    mean = float(asy.nonlinearity(ACTIVATION).hermite_coefficients(0)[0])  # would be a spike of its own
    network = asy.PolynomialSpikes(activation=f"{ACTIVATION} - {mean!r}", target_coefficients=[0.2, 0.8, 0.5, 0.25],
                                   noise_var=0.1, lam=0.1, eta=1.0, **sizes)

    crossings = network.edge_crossings()
    print("spikes leave the bulk at eta =",
          ", ".join(f"{eta:.3g}" for eta in crossings["eta"].values if np.isfinite(eta)))
    spectrum(network, options.networks, options.output_dir / "polynomial_spectrum.png")
    phases(network, options.output_dir / "polynomial_phases.png")
    functions(network, options.output_dir / "polynomial_spikes.png")


def spectrum(network: asy.PolynomialSpikes, count: int, path: Path) -> None:
    """Outliers and edge against the learning rate, and the largest singular values of networks."""
    curve = network.replace(**asy.grid(eta=np.geomspace(0.5, 40, 120)))
    ax = plots.learning_curves(curve.solve(["singular_values", "bulk_edge"]).to_dataset().isel(outlier=slice(0, 3)),
                               observables=["singular_values", "bulk_edge"])
    print(" eta   networks          predicted      z")
    for eta in (3.0, 7.0, 14.0):
        cell = network.replace(eta=eta)
        seeds = np.random.SeedSequence(round(eta)).spawn(count)
        measured = np.array([simulate(cell, {}, seed)["singular_values"][:2] for seed in seeds])
        predicted = cell.solve(["singular_values"]).singular_values[:2]
        mean, error = measured.mean(axis=0), measured.std(axis=0, ddof=1) / np.sqrt(count)
        for j in np.flatnonzero(np.isfinite(predicted)):
            print(f"{eta:4g}   {mean[j]:.3f} +- {error[j]:.3f}   {predicted[j]:.3f}   "
                  f"{(mean[j] - predicted[j]) / error[j]:+5.1f}")
        ax.errorbar(np.full(2, eta), mean, error, color="black", linestyle="none", marker="o", markersize=3, capsize=2)
    plots.save(ax.figure, path)


def phases(network: asy.PolynomialSpikes, path: Path) -> None:
    """Learned fractions over exponent and degree: the limit beside actual sizes."""
    table = network.phase_table(EXPONENTS).isel(degree=slice(1, None))
    with style():
        figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
        for ax, name, words in zip(axes, ("learned_fraction_limit", "learned_fraction"),
                                   ("infinite size", f"$n$ = {network.n}"), strict=True):
            plots.heat_map(table, name, x="step_exponent", y="degree", ax=ax, limits=(0, 1))
            ax.set_title(words)
    plots.save(figure, path)


def functions(network: asy.PolynomialSpikes, path: Path) -> None:
    """The functions of kappa that the first spikes carry: left singular vectors."""
    vectors = network.replace(eta=20.0).solve(["spike_vectors"]).spike_vectors
    kappa = np.linspace(-3, 3, 121)
    hermite = [np.ones_like(kappa), kappa, (kappa**2 - 1) / np.sqrt(2), (kappa**3 - 3 * kappa) / np.sqrt(6)]
    with style():
        ax = new_axes()
        for j, colour in zip(range(2), COLOURS, strict=False):
            ax.plot(kappa, vectors[j, :4] @ hermite, color=colour, label=f"spike {j + 1}")
        ax.set_xlabel(r"$\kappa$, along the learned direction")
        ax.set_ylabel("left singular vector")
        ax.legend()
    plots.save(ax.figure, path)


if __name__ == "__main__":
    main()
