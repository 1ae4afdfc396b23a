"""A linear network that forgets: weight decay, its soft threshold, and a target that is reversed.

    python examples/weight_decay.py [--p 50] [--output-dir .]

Lines are the exact solution, points are gradient descent on the weights, with steps of two sizes extrapolated to
none.  Left: the coefficient for four rates of decay.  Middle: where it ends, |A| - 2 mu/(c m2 kap), and at finite
times.  Right: the target changes its sign twice.  Prints the largest deviation of each.  Writes weight_decay.png.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import asymptotics as asy
from asymptotics import plots
from asymptotics.plots.style import COLOURS, style
from validation.linear_network_extensions import simulate_curriculum, simulate_decay

DECAYS = (0.0, 0.1, 0.5, 2.0)
TIMES = (1.0, 4.0, 16.0)


def largest(trained, exact):
    """The largest deviation of the coefficient, in per cent of the target."""
    return 100 * np.max(np.abs(trained["coefficient"] - exact.coefficient))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--p", type=int, default=50, help="width")
    parser.add_argument("--output-dir", type=Path, default=Path())
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(0)
    u, w = 0.5 * rng.standard_normal((2, options.p)) / np.sqrt(options.p)
    with style():
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
    print("                         largest deviation of gradient descent, %")

    network = asy.LinearNetworkDecay(u=u, w=w, target_coefficient=1.0, weight_decay=0.0, t=np.geomspace(0.05, 30, 200))
    few = network.replace(t=np.geomspace(0.1, 15, 9))
    for mu, colour in zip(DECAYS, COLOURS, strict=False):
        points, seed = few.replace(weight_decay=mu), np.random.SeedSequence(0)
        trained = simulate_decay(points, {}, seed)
        left.plot(network.t, network.replace(weight_decay=mu).solve().coefficient, color=colour, label=f"{mu:g}")
        left.plot(points.t, trained["coefficient"], color=colour, linestyle="none", marker="o", markersize=3)
        print(f"weight decay {mu:4g}        {largest(trained, points.solve()):+.1f}")

    rates = np.linspace(0, 1.5, 151)
    for t, colour in zip(TIMES, COLOURS[1:], strict=False):
        middle.plot(rates, network.replace(weight_decay=rates, t=t).solve().coefficient, color=colour, label=f"{t:g}")
        some = [network.replace(weight_decay=mu, t=t) for mu in (0.0, 0.3, 0.6, 0.9, 1.2)]
        trained = [float(simulate_decay(one, {}, np.random.SeedSequence(0))["coefficient"]) for one in some]
        middle.plot([one.weight_decay for one in some], trained, color=colour, linestyle="none", marker="o",
                    markersize=3)
    middle.plot(rates, network.replace(weight_decay=rates, t=0.0).solve().final_coefficient, color="black",
                label=r"$\infty$")

    reversed_twice = asy.LinearNetworkCurriculum(
        u=u, w=w, targets=[1.0, -1.0, 1.0], switch_times=[5.0, 10.0], t=np.linspace(0, 15, 400))
    few_times = reversed_twice.replace(t=np.linspace(0.5, 15, 25))
    trained = simulate_curriculum(few_times, {}, np.random.SeedSequence(0))
    solution, exact = reversed_twice.solve(), few_times.solve()
    for name, colour in zip(("coefficient", "cosine", "ntk"), COLOURS, strict=False):
        right.plot(reversed_twice.t, solution.values[name], color=colour, label=name)
        right.plot(few_times.t, trained[name], color=colour, linestyle="none", marker="o", markersize=3)
    right.plot(reversed_twice.t, solution.target, color="0.6", linestyle="--", label="target")
    print(f"target reversed twice   {largest(trained, exact):+.1f}")

    with style():
        left.set_xscale("log")
        for ax, title, label, legend in (
            (left, "coefficient", "$t$", "weight decay"), (middle, "coefficient", r"weight decay $\mu$", "$t$"),
            (right, "a target that is reversed", "$t$", None),
        ):
            ax.set_title(title)
            ax.set_xlabel(label)
            ax.legend(title=legend, fontsize=7)
    plots.save(figure, options.output_dir / "weight_decay.png")


if __name__ == "__main__":
    main()
