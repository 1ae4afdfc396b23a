"""A first layer from anywhere: the error of its readout for any ridge penalty, without training the readout.

    python examples/bring_your_own_weights.py [--d 400] [--sets 20] [--output-dir .]

The first layer of a two-layer network is trained by three gradient steps in plain NumPy, each on a fresh batch.  From
these weights alone `from_weights` predicts training and test error of a ridge readout for 20 penalties; readouts that
are then trained on independent data sets show how well.  Writes bring_your_own_weights.png.  Ten seconds.
"""

import argparse
from pathlib import Path

import numpy as np

import asymptotics as asy
from asymptotics import plots
from asymptotics.plots.style import COLOURS
from validation import networks

ACTIVATION, TARGET, NOISE_VAR = "tanh", "sin(1.5*x)", 0.05
BATCH, STEPS, ETA = 2.0, 3, 1.0  # samples per input dimension and learning rate of each step
WIDTH, SAMPLES = 1.25, 2.0  # hidden units, and samples of the readout, per input dimension


def trained_weights(d: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """First-layer weights (p, d) after a few steps, and the direction of the target."""
    theta = networks.unit_vector(d, rng)
    p = round(WIDTH * d)
    W, readout = networks.sphere_rows(p, d, rng), np.full(p, p**-0.5)
    for _ in range(STEPS):
        X, y = networks.single_index_data(round(BATCH * d), theta, TARGET, NOISE_VAR, rng)
        W = networks.gradient_step(W, readout, ACTIVATION, X, y, ETA)
    return W, theta


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--d", type=int, default=400, help="input dimension")
    parser.add_argument("--sets", type=int, default=20, help="training sets of the readout")
    parser.add_argument("--output-dir", type=Path, default=Path())
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    W, theta = trained_weights(options.d, rng)
    n, lam = round(SAMPLES * options.d), np.geomspace(1e-3, 10, 20)
    problem = asy.SpikedRandomFeatures.from_weights(
        W, theta, activation=ACTIVATION, target=TARGET, n=n, noise_var=NOISE_VAR, **asy.grid(lam=lam))
    predicted = problem.solve(["test_error", "train_error"])

    runs = {"test_error": [], "train_error": []}
    for _ in range(options.sets):
        X, y = networks.single_index_data(n, theta, TARGET, NOISE_VAR, rng)
        F = networks.features(W, ACTIVATION, X)
        w = networks.ridge(F, y, lam)
        runs["train_error"].append(np.mean((y - w @ F.T / len(W) ** 0.5) ** 2, axis=1))
        runs["test_error"].append(networks.fresh_error(W, w, ACTIVATION, theta, TARGET, 4000, rng) + NOISE_VAR)

    ax = plots.learning_curves(predicted.to_dataset(), observables=list(runs))
    means, errors = ({name: f(values) for name, values in runs.items()} for f in (
        lambda values: np.mean(values, axis=0),
        lambda values: np.std(values, axis=0, ddof=1) / np.sqrt(len(values)),
    ))
    for name, colour in zip(runs, COLOURS, strict=False):
        ax.errorbar(lam, means[name], errors[name], color=colour, linestyle="none", marker="o", markersize=3.5)
    print(f"spike {problem.spike_strength:.3f}, alignment {problem.alignment:.3f}")
    print("     lam      test    readouts              z      train    readouts              z")
    for i, penalty in enumerate(lam):
        columns = []
        for name in runs:
            theory, mean, error = getattr(predicted, name)[i], means[name][i], errors[name][i]
            columns.append(f"{theory:9.5f}   {mean:.5f} +- {error:.5f}   {(mean - theory) / error:+5.1f}")
        print(f"{penalty:8.4f} {'  '.join(columns)}")
    options.output_dir.mkdir(parents=True, exist_ok=True)
    plots.save(ax.figure, options.output_dir / "bring_your_own_weights.png")


if __name__ == "__main__":
    main()
