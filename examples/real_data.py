"""Learning curves of real features, predicted without training anything: scikit-learn's handwritten digits.

    python examples/real_data.py [--splits 60] [--features 300] [--output-dir .]

Is a digit odd?  Ridge regression on the 64 pixels, and on random features tanh(W x) of them.  Half of the images say
what features and label are like (`FeatureRidge.from_features`); from that come the curves.  Points: readouts trained on
n images of the other half, tested on the rest of it, with standard errors over random splits.  Left: learning curves.
Right: test error against the ridge, with the best ridge that is predicted.  Prints how far measured errors are
from predicted ones.  Writes real_data.png.
"""

import argparse
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import asymptotics as asy
from asymptotics import plots
from asymptotics.plots.style import COLOURS, style

SAMPLES = (50, 100, 200, 400)
RIDGES = (1e-3, 1e-2, 3e-2, 1e-1, 0.3, 1.0, 3.0, 10.0)  # lam/n
LEVELS = (1e-2, 1e-1, 1.0)
SHOWN = 200  # samples of the right panels


def digits(features: int, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Features and labels: centred pixels that vary, and random features of them."""
    images, number = load_digits(return_X_y=True)
    images = images[:, np.std(images, axis=0) > 0]
    pixels = (images - np.mean(images, axis=0)) / np.sqrt(np.mean(np.var(images, axis=0)) * images.shape[1])
    weights = 2 * rng.standard_normal((features, pixels.shape[1]))
    label = np.where(number % 2 == 1, 1.0, -1.0)
    return {f"{pixels.shape[1]} pixels": (np.sqrt(pixels.shape[1]) * pixels, label),
            f"{features} random features": (np.tanh(pixels @ weights.T), label)}


def held_out(F: np.ndarray, y: np.ndarray, n: int, lam: np.ndarray) -> np.ndarray:
    """Test errors (L,) of readouts with an intercept on the first n of these samples, on the others."""
    mean, centre = np.mean(F[:n], axis=0), np.mean(y[:n])
    left, singular, right = np.linalg.svd(F[:n] - mean, full_matrices=False)
    shrunk = singular / (singular**2 + lam[:, None]) * (left.T @ (y[:n] - centre))
    return np.mean((y[n:] - centre - (shrunk @ right) @ (F[n:] - mean).T) ** 2, axis=1)


def predicted(F: np.ndarray, y: np.ndarray, **cells: object) -> asy.FeatureRidge:
    """The population that these samples stand for; the pixels are known to have heavy tails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", asy.AccuracyWarning)
        return asy.FeatureRidge.from_features(F, y, intercept=True, **cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--splits", type=int, default=60, help="random splits of the data")
    parser.add_argument("--features", type=int, default=300, help="random features")
    parser.add_argument("--output-dir", type=Path, default=Path())
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(0)
    with style():
        figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained", sharey="row")
    print("                          n   best lam/n: predicted  measured    test error there   deviation, %")
    for (name, (F, y)), (left, right) in zip(digits(options.features, rng).items(), axes, strict=True):
        measured = np.empty((options.splits, len(SAMPLES), len(RIDGES)))
        curves, paths, best = [], [], []
        n_fine, ridge_fine = np.geomspace(30, 500, 60), np.geomspace(RIDGES[0] / 2, 2 * RIDGES[-1], 80)
        for split in range(options.splits):
            order = rng.permutation(len(y))
            known, rest = order[:len(y) // 2], order[len(y) // 2:]
            problem = predicted(F[known], y[known], n=n_fine, lam=n_fine * np.array(LEVELS)[:, None])
            curves.append(problem.solve(["test_error"]).test_error)
            paths.append(problem.replace(n=SHOWN, lam=SHOWN * ridge_fine).solve(["test_error"]).test_error)
            optimum = problem.replace(n=np.array(SAMPLES, dtype=float), lam=1.0).optimal_ridge()
            errors = [held_out(F[rest], y[rest], n, np.append(n * np.array(RIDGES), lam))
                      for n, lam in zip(SAMPLES, optimum.lam, strict=True)]
            measured[split] = np.array(errors)[:, :-1]
            best.append([optimum.lam / SAMPLES, optimum.solve(["test_error"]).test_error, np.array(errors)[:, -1]])
        mean, error = np.mean(measured, axis=0), np.std(measured, axis=0) / np.sqrt(options.splits)
        ridge, lowest, there = np.mean(best, axis=0)
        for colour, curve, level in zip(COLOURS, np.mean(curves, axis=0), LEVELS, strict=False):
            left.plot(n_fine, curve, color=colour, label=rf"$\lambda/n = {level:g}$")
            place = RIDGES.index(level)
            left.errorbar(SAMPLES, mean[:, place], 2 * error[:, place], color=colour, linestyle="none", marker="o",
                          markersize=3)
        right.plot(ridge_fine, np.mean(paths, axis=0), color=COLOURS[3], label=f"n = {SHOWN}")
        shown = SAMPLES.index(SHOWN)
        right.errorbar(RIDGES, mean[shown], 2 * error[shown], color=COLOURS[3], linestyle="none", marker="o",
                       markersize=3)
        right.axvline(ridge[shown], color="0.6", linestyle="--", label="best ridge, predicted")
        for place, n in enumerate(SAMPLES):
            print(f"{name:24s} {n:4d} {ridge[place]:18.3f} {RIDGES[int(np.argmin(mean[place]))]:14g} "
                  f"{there[place]:16.4f} {100 * (there[place] / lowest[place] - 1):+17.1f}")
        left.set_title(name)
        right.set_title(name)
    with style():
        for left, right in axes:
            left.set(xscale="log", ylabel="test error")
            left.set_xticks(SAMPLES, [str(n) for n in SAMPLES])
            left.minorticks_off()
            left.legend(fontsize=7)
            right.set_xscale("log")
            right.legend(fontsize=7)
        axes[1, 0].set_xlabel("$n$")
        axes[1, 1].set_xlabel(r"$\lambda/n$")
    plots.save(figure, options.output_dir / "real_data.png")


if __name__ == "__main__":
    main()
