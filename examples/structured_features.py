"""Ridge and classification on structured features: what a spectrum says about learning.

    python examples/structured_features.py [--scale 1] [--networks 20] [--output-dir .]

Lines are the theory, points are readouts that were trained, with standard errors.  First: a learning curve on features
with a power-law spectrum, stacked from noise, bias and variance.  Second: two random layers with little ridge, with
more, and at the best one.  Third: the density of the eigenvalues of deep random features over those of one network.
Fourth: classification error of three losses on random features.  Prints z-scores.  Writes structured_features.png.
"""

import argparse
import itertools
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import asymptotics as asy
from asymptotics import plots
from asymptotics.plots.style import COLOURS, style
from validation.structured_features import simulate_classification, simulate_rainbow, simulate_ridge


def simulated(simulate, problem, observable, networks, seed):
    """Mean and standard error over networks."""
    seeds = np.random.SeedSequence(seed).spawn(networks)
    values = np.array([np.ravel(simulate(problem, {}, own)[observable])[0] for own in seeds])
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(networks))


def points(ax, cells, problem, simulate, observable, networks, colour):
    """Trained readouts at some numbers of samples; their z-scores."""
    scores = []
    for number, n in enumerate(cells):
        one = problem.replace(n=float(n))
        mean, error = simulated(simulate, one, observable, networks, number)
        ax.errorbar([n], [mean], error, color=colour, marker="o", markersize=3, linestyle="none")
        scores.append((mean - float(getattr(one.solve([observable]), observable))) / error)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all sizes")
    parser.add_argument("--networks", type=int, default=20, help="trained readouts at each point")
    parser.add_argument("--output-dir", type=Path, default=Path())
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)

    def size(count):
        return round(options.scale * count)

    with style():
        figure, axes = plt.subplots(2, 2, figsize=(9, 6.6), layout="constrained")
    (stacked, descent), (density, classes) = axes
    print("                                   z-scores")

    p = size(300)
    s = (np.arange(1, p + 1) / p) ** -1.2
    ridge = asy.FeatureRidge(eigenvalues=s, target_weights=0.2 * s**2 / p, residual_variance=0.1, lam=0.02 * p,
                             n=np.geomspace(size(30), size(1500), 200))
    found = ridge.solve()
    floor = np.full(ridge.n.shape, 0.1)
    for low, high, name, colour in ((0 * floor, floor, "residual variance", "0.8"),
                                    (floor, floor + found.bias, "bias", COLOURS[0]),
                                    (floor + found.bias, found.test_error, "variance", COLOURS[1])):
        stacked.fill_between(ridge.n, low, high, color=colour, alpha=0.6, linewidth=0, label=name)
    stacked.plot(ridge.n, found.test_error, color="black")
    scores = points(stacked, [size(n) for n in (60, 150, 300, 900)], ridge, simulate_ridge, "test_error",
                    options.networks, "black")
    print("power law                  ", *(f"{score:+.1f}" for score in scores))

    deep = asy.RainbowNetwork(activations=["tanh", "tanh"], widths=[size(350), size(250)], d=size(200),
                              label_second_moment=1.1, lam=1.0, n=np.geomspace(size(40), size(1500), 301))
    for lam, colour, name in ((1e-4 * size(250), COLOURS[0], r"$\lambda = 10^{-4} p$"),
                              (1e-2 * size(250), COLOURS[1], r"$\lambda = 10^{-2} p$")):
        descent.plot(deep.n, deep.replace(lam=lam).solve().test_error, color=colour, label=name)
        scores = points(descent, [size(n) for n in (100, 180, 400, 1000)], deep.replace(lam=lam), simulate_rainbow,
                        "test_error", options.networks, colour)
        print(f"two layers, lam/p = {lam / size(250):6.4f} ", *(f"{score:+.1f}" for score in scores))
    descent.plot(deep.n, deep.optimal_ridge().solve().test_error, color="black", label="best ridge")

    rng = np.random.default_rng(0)
    sizes = [size(600), size(700), size(500)]
    weights = [rng.standard_normal((above, below)) / np.sqrt(below) for below, above in itertools.pairwise(sizes)]
    theta = np.ones(sizes[0]) / np.sqrt(sizes[0])
    given = asy.RainbowNetwork.from_weights(weights, ["tanh", "tanh"], theta, n=1, lam=1)
    limit = asy.RainbowNetwork(activations=["tanh", "tanh"], widths=sizes[1:], d=sizes[0], n=1, lam=1,
                               label_second_moment=1.0)
    x = np.linspace(1e-3, 1.02 * np.max(given.eigenvalues), 2000)
    density.hist(given.eigenvalues, bins=60, density=True, color="0.8")
    density.plot(x, limit.density(x), color="black")

    task = asy.FeatureClassification(loss="logistic", labels="sign", activations=["tanh"], widths=[size(300)],
                                     d=size(200), rho=1.0, lam=0.01, n=np.geomspace(size(40), size(3000), 80))
    for loss, colour in zip(("logistic", "hinge", "square"), COLOURS, strict=False):
        own = task.replace(loss=loss)
        classes.plot(own.n, own.solve(["classification_error"]).classification_error, color=colour, label=loss)
        scores = points(classes, [size(n) for n in (100, 300)], own, simulate_classification, "classification_error",
                        options.networks, colour)
        print(f"{loss:8s}                   ", *(f"{score:+.1f}" for score in scores))

    with style():
        for ax, title, label in ((stacked, "test error and its parts", "$n$"), (descent, "two random layers", "$n$"),
                                 (density, "eigenvalues of deep features", "$s$"),
                                 (classes, "classification error", "$n$")):
            ax.set_title(title)
            ax.set_xlabel(label)
            if ax is density:
                ax.set_ylim(0, 1.1 * float(np.max(limit.density(x[x > 0.2 * np.mean(given.eigenvalues)]))))
                continue
            ax.set_xscale("log")
            ax.legend(fontsize=7)
        descent.set_yscale("log")
    plots.save(figure, options.output_dir / "structured_features.png")


if __name__ == "__main__":
    main()
