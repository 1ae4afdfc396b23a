"""Training of a linear network from three initialisations: loss, kernel, angle and norms, and actual gradient descent.

    python examples/linear_trajectory.py [--p 50] [--output-dir .]

The same network from large weights (the kernel hardly changes), from weights whose kernel changes by a factor, and from
small ones (a saddle first).  Lines are the exact solution, points are gradient descent on the weights, with steps of
two sizes extrapolated to none.  Prints the times to one per cent of the initial gap.  Writes linear_trajectory.png.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import asymptotics as asy
from asymptotics import plots
from asymptotics.plots.style import COLOURS, style
from validation.linear_network import simulate

SCALES = {"large": 3.0, "of order one": 1.0, "small": 0.05}  # of the weights, in units of p^-1/2
PANELS = ("excess_loss", "ntk", "cosine", "norm_u")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--p", type=int, default=50, help="width")
    parser.add_argument("--output-dir", type=Path, default=Path())
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(0)
    u, w = rng.standard_normal((2, options.p)) / np.sqrt(options.p)
    t = np.geomspace(0.02, 12, 120)
    with style():
        figure, axes = plt.subplots(1, len(PANELS), figsize=(13, 3), layout="constrained")
    print("weights        time to 1 %   kernel at the end / at the start   largest deviation of descent, %")
    for (name, scale), colour in zip(SCALES.items(), COLOURS, strict=False):
        network = asy.LinearNetwork(u=scale * u, w=scale * w, target_coefficient=1.0, t=t)
        curve = network.solve()
        few = network.replace(t=t[5::12])
        trained, exact = simulate(few, {}, np.random.SeedSequence(0)), few.solve()
        worst = max(np.max(np.abs(trained[name] / exact.values[name] - 1)) for name in ("coefficient", "ntk", "norm_w"))
        print(f"{name:12s}   {float(network.replace(t=0.0).time_to(fraction=0.01)):11.3f}   "
              f"{curve.final_ntk[0] / curve.initial_ntk[0]:32.3f}   {100 * worst:+.1f}")
        for ax, observable in zip(axes, PANELS, strict=True):
            ax.plot(t, curve.values[observable], color=colour, label=name)
            ax.plot(few.t, trained[observable], color=colour, linestyle="none", marker="o", markersize=3)
    with style():
        for ax, observable in zip(axes, PANELS, strict=True):
            ax.set_xscale("log")
            ax.set_yscale("linear" if observable == "cosine" else "log")
            ax.set_xlabel("$t$")
            ax.set_title(observable.replace("_", " "))
        axes[0].set_ylim(1e-10, 1)
        axes[0].legend(title="weights")
    plots.save(figure, options.output_dir / "linear_trajectory.png")


if __name__ == "__main__":
    main()
