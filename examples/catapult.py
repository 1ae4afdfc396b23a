"""The catapult: gradient descent with steps beyond 2/(c m2 Theta_0) leaves the kernel regime, and where it diverges.

    python examples/catapult.py [--p 300] [--output-dir .]

Loss and kernel against steps of a network in NTK parametrisation, for step sizes below 2, between 2 and 4, and above 4
in units of 1/(c m2 Theta_0): lines are the exact map of three numbers, points are the actual 2p weights.  Beside them
where descent goes, over step size and target; beyond the dashed line no minimum is stable.  Prints the kernel at the
end, and the largest deviation of the weights from the map in units of 1e-10.  Writes catapult.png.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import asymptotics as asy
from asymptotics import plots
from asymptotics.plots.style import COLOURS, style
from validation.linear_network_descent import simulate

STRENGTHS = (0.7, 2.5, 3.5, 3.9, 4.2)  # h c m2 Theta_0
STEPS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--p", type=int, default=300, help="width")
    parser.add_argument("--output-dir", type=Path, default=Path())
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(0)
    u, w = rng.standard_normal((2, options.p))
    network = asy.LinearNetworkDescent(
        u=u, w=w, gamma=options.p**-0.5, target_coefficient=0.0, step_size=0.0, steps=np.arange(STEPS + 1))
    rate = float(network.solve(["initial_ntk"]).initial_ntk[0])
    with style():
        figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    print("h Theta_0   outcome      kernel at the end / at the start   deviation of the weights, 1e-10")
    for strength, colour in zip(STRENGTHS, COLOURS, strict=False):
        curve = network.replace(step_size=strength / rate)
        exact, trained = curve.solve(), simulate(curve, {}, 0)
        known = np.isfinite(exact.loss) & (exact.loss > 1e-20) & (exact.loss < 1e20)
        worst = np.max(np.abs(trained["ntk"][known] / exact.ntk[known] - 1))
        end = curve.outcome()
        print(f"{strength:9.2f}   {asy.datasets.spell(end.outcome).values!s:10s}   "
              f"{float(end.final_ntk) / rate:32.3f}   {1e10 * worst:+.1f}")
        for ax, name, scale in ((axes[0], "excess_loss", 1.0), (axes[1], "ntk", rate)):
            line, points = (np.where(values < 1e20, values, np.nan) / scale for values in
                            (exact.values[name], trained[name]))
            ax.plot(curve.steps, line, color=colour, label=f"{strength:g}")
            ax.plot(curve.steps[::2], points[::2], color=colour, linestyle="none", marker="o", markersize=3)
    phases = network.replace(
        steps=0, **asy.grid(step_size=np.linspace(0.02, 4.6, 300) / rate, target_coefficient=np.linspace(0, 20, 240)))
    outcomes = phases.outcome(max_steps=2000)
    with style():
        for ax, name in ((axes[0], "loss"), (axes[1], r"kernel, $\Theta/\Theta_0$")):
            ax.set_xlabel("steps")
            ax.set_title(name)
            ax.set_yscale("log")
        axes[0].set_ylim(1e-10, 1e4)
        axes[1].set_ylim(0.02, 10)
        axes[0].legend(title=r"$h k\,\Theta_0$")
        plots.category_map(outcomes, "outcome", x="step_size", ax=axes[2])
        axes[2].set_xscale("linear")
        targets = np.linspace(2.0, 20, 100)
        axes[2].plot(options.p**0.5 / targets, targets, color="black", linewidth=1, linestyle="--")  # h kap |A| = 2
        axes[2].set_xlim(0, 4.6 / rate)
        axes[2].set_ylim(0, 20)
    plots.save(figure, options.output_dir / "catapult.png")


if __name__ == "__main__":
    main()
