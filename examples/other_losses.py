"""The same network with three losses, and networks of quadratic units: exact curves, and actual weights as points.

    python examples/other_losses.py [--p 20] [--samples 40] [--output-dir .]

Left: a linear network on noisy samples with the square, the logistic and the pseudo-Huber loss.  Middle: the logistic
loss on separable data, where the coefficient grows for ever.  Right: the weights of a few quadratic units.  Points are
Runge-Kutta steps on the weights.  Prints the largest deviations in per cent.  Writes other_losses.png.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import asymptotics as asy
from asymptotics import plots
from asymptotics.plots.style import COLOURS, style
from validation import linear_network_loss, power_network

LOSSES = {"square": ("x**2/2", "residual"), "logistic": ("softplus(-x)", "margin"),
          "pseudo-Huber": ("sqrt(1 + x**2) - 1", "residual")}
TARGETS = {"positive target": 0.8, "negative target": -0.8}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--p", type=int, default=20, help="width of the linear network")
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--output-dir", type=Path, default=Path())
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(0)
    u, w = 0.3 * rng.standard_normal((2, options.p)) / np.sqrt(options.p)
    x = rng.standard_normal(options.samples)
    noisy, clean = np.sign(x + 0.7 * rng.standard_normal(options.samples)), np.sign(x)
    with style():
        figure, axes = plt.subplots(1, 3, figsize=(13, 3.4), layout="constrained")
    for ax, labels, t in ((axes[0], noisy, np.geomspace(0.1, 60, 120)), (axes[1], clean, np.geomspace(0.1, 1e6, 120))):
        for (name, (loss, argument)), colour in zip(LOSSES.items(), COLOURS, strict=False):
            network = asy.LinearNetworkLoss(u=u, w=w, x=x, y=labels, loss_function=loss, argument=argument, t=t)
            few = network.replace(t=np.geomspace(0.2, 40, 9))
            _draw(ax, f"{name} loss", network.solve().coefficient, few.solve().coefficient,
                  linear_network_loss.simulate(few, {}, 0)["coefficient"], t, few.t, colour)
    t = np.linspace(0, 8, 161)
    for (name, target), colour in zip(TARGETS.items(), COLOURS, strict=False):
        units = asy.PowerNetwork(u=[0.3, 0.2, 0.1], w=[0.4, -0.3, 0.5], target_coefficient=target, t=t)
        few = units.replace(t=t[8::20])
        _draw(axes[2], name, units.solve().coefficient, few.solve().coefficient,
              power_network.simulate(few, {}, 0)["coefficient"], t, few.t, colour)
        axes[2].plot(t, units.weights().u, color=colour, linewidth=0.7, alpha=0.6)
    with style():
        titles = ("noisy labels: F", "separable labels: F", "quadratic units: F (thick), $u_i$ (thin)")
        for ax, title in zip(axes, titles, strict=True):
            ax.set_title(title)
            ax.set_xlabel("$t$")
            ax.legend()
        axes[0].set_xscale("log")
        axes[1].set_xscale("log")
        axes[1].set_yscale("log")
    plots.save(figure, options.output_dir / "other_losses.png")


def _draw(ax, label, curve, theory, trained, t, few, colour) -> None:
    """A curve with its points, and a line of the table."""
    print(f"{label:20s} largest deviation of the weights, %: {100 * np.max(np.abs(trained / theory - 1)):+.1f}")
    ax.plot(t, curve, color=colour, label=label)
    ax.plot(few, trained, color=colour, linestyle="none", marker="o", markersize=4)


if __name__ == "__main__":
    main()
