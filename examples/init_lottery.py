"""The lottery of initialisation: mean and quantiles of the loss over Gaussian weights, with trained networks.

    python examples/init_lottery.py [--p 3] [--networks 400] [--output-dir .]

Small weights leave the saddle F = 0 at a random time.  The mean loss is that of the last to leave: it is far above the
median.  Lines are exact, points are networks whose weights were trained.  Prints shares of networks below predicted
quantiles.  Writes init_lottery.png.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import asymptotics as asy
from asymptotics import plots
from asymptotics.plots.style import COLOURS, style
from validation.linear_network_ensemble import Batch

LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--p", type=int, default=3, help="width, at least 2")
    parser.add_argument("--networks", type=int, default=400, help="trained networks")
    parser.add_argument("--output-dir", type=Path, default=Path())
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)

    t = np.linspace(0.1, 7, 40)
    lottery = asy.LinearNetworkEnsemble(p=options.p, var_u=0.01, var_w=0.01, target_coefficient=1.0, t=t)
    mean = lottery.solve(["mean_excess_loss"]).mean_excess_loss
    quantiles = lottery.quantiles(LEVELS, ["excess_loss"]).excess_loss.values
    few = np.arange(3, len(t), 6)
    loss, aligned = trained(lottery, t[few], options.networks)
    single = lottery.replace(t=0.0)
    laws = {"alignment": single.final_alignment(), "escape time": single.escape_time()}

    with style():
        figure, (curves, angle, escape) = plt.subplots(1, 3, figsize=(13, 3.4), layout="constrained")
    for low, high, shade in ((0, 4, 0.15), (1, 3, 0.3)):
        curves.fill_between(t, quantiles[:, low], quantiles[:, high], color=COLOURS[0], alpha=shade, linewidth=0,
                            label=f"{LEVELS[low]:.0%} to {LEVELS[high]:.0%} of the networks")
    curves.plot(t, quantiles[:, 2], color=COLOURS[0], label="median")
    curves.plot(t, mean, color=COLOURS[1], label="mean")
    curves.plot(t[few], np.mean(loss, axis=1), color=COLOURS[1], linestyle="none", marker="o", markersize=4)
    curves.plot(t[few], np.median(loss, axis=1), color=COLOURS[0], linestyle="none", marker="o", markersize=4)
    curves.set(yscale="log", xlabel="$t$", title=f"excess loss, $p$ = {options.p}", ylim=(1e-9, 1))
    curves.legend()

    x = np.linspace(0.001, 0.9999, 400)
    for p, colour in zip((2, 10, 50), COLOURS, strict=False):
        wide = single.replace(p=p, var_u=1 / p, var_w=1 / p)
        angle.plot(x, wide.final_alignment().pdf(x), color=colour, label=f"$p$ = {p}")
    angle.set(xlabel=r"$|\cos(u, w)|$ at the end", title="law of the final alignment", ylim=(0, 12))
    angle.legend()

    times = np.linspace(0, 7.2, 200)
    exact = 1 - single.replace(t=times).at_time("coefficient").cdf(0.5)
    escape.plot(times, exact, color=COLOURS[0], label="exact")
    escape.plot(times, laws["escape time"].cdf(times), color=COLOURS[1], linestyle="--", label="small weights")
    share = np.mean(loss < 0.5 * 0.25, axis=1)
    escape.plot(t[few], share, color=COLOURS[0], linestyle="none", marker="o", markersize=4, label="trained")
    escape.set(xlabel="$t$", title="share of networks beyond $A/2$")
    escape.legend()
    plots.save(figure, options.output_dir / "init_lottery.png")

    print(f"{options.networks} trained networks of {options.p} hidden units at t = {t[few[-1]]:.2f}      share     z")
    for level, column in zip(LEVELS, quantiles[few[-1]], strict=True):
        share, error = np.mean(loss[-1] <= column), np.sqrt(level * (1 - level) / options.networks)
        print(f"loss below the {level:4.0%} quantile, {column:.2e}:  {share:14.1%} {(share - level) / error:+5.1f}")
    law = laws["alignment"]
    z = (np.mean(aligned) - law.mean()) / (law.std() / np.sqrt(options.networks))
    print(f"mean of 1 - |cos| at the end: {1 - law.mean():.3e}, trained {1 - np.mean(aligned):.3e}   z {z:+5.1f}")


def trained(
    lottery: asy.LinearNetworkEnsemble, times: np.ndarray, networks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Losses (times, networks), and |cos(u, w)| at the end, of networks with trained weights."""
    cell = {name: float(values.item()) for name, values in lottery.isel(t=0).cells.arrays.items()}
    batch = Batch(cell, networks, np.random.default_rng(1))
    losses = []
    for interval in np.diff(times, prepend=0.0):
        batch.train(float(interval))
        losses.append(0.5 * batch.gap() ** 2)
    batch.train_to_the_end()
    return np.array(losses), np.abs(batch.cosine())


if __name__ == "__main__":
    main()
