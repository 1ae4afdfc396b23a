"""Learning with inputs in many dimensions: components of an anisotropic input, and the modes of several outputs.

    python examples/inputs_in_many_dimensions.py [--p 200] [--output-dir .]

Left: the end-to-end coefficients of a network on inputs of very different variances; lines are the exact flow, points
gradient descent on all actual weights.  Right: the singular values of a balanced network with several outputs, learned
one after the other from small weights; points are Runge-Kutta steps of the actual layers.  Prints the deviations of the
points in per cent of the largest value.  Writes inputs_in_many_dimensions.png.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import asymptotics as asy
from asymptotics import plots
from asymptotics.plots.style import COLOURS, style
from validation.linear_network_inputs import integrate_layers, simulate

VARIANCES = (4.0, 1.0, 0.25, 0.06)
STRENGTHS = (3.0, 2.0, 1.2, 0.7)  # singular values of the correlation of outputs and inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--p", type=int, default=200, help="width")
    parser.add_argument("--output-dir", type=Path, default=Path())
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(0)
    network = asy.LinearNetworkInputs(
        u=0.3 * rng.standard_normal(options.p) / np.sqrt(options.p),
        W=0.3 * rng.standard_normal((options.p, 4)) / np.sqrt(options.p),
        covariance=np.diag(VARIANCES), target=[1.0, 0.8, 0.6, 0.4], t=np.geomspace(0.05, 60, 400),
    )
    curve = network.solve(["coefficients"])
    h, steps = 0.01, np.array([20, 60, 100, 200, 400, 900, 1800, 3600, 6000])
    given = {name: getattr(network, name) for name in ("u", "W", "covariance", "target")}
    descent = asy.LinearNetworkInputsDescent(**given, step_size=h, steps=steps)
    trained = simulate(descent, {})["coefficients"]
    exact = descent.solve(["coefficients"]).coefficients
    flow = network.replace(t=h * steps).solve(["coefficients"]).coefficients

    W1, W2 = asy.balanced_weights(8, 5, 4, scale=1e-3)
    balanced = asy.BalancedLinearNetwork(W1=W1, W2=W2, correlation=np.diag(STRENGTHS) @ np.eye(4, 5),
                                         t=np.linspace(0, 25, 500))
    modes = balanced.solve(["singular_values"])
    few = balanced.replace(t=balanced.t[20::20])
    layers = integrate_layers(few, {"d": 50})["singular_values"]

    print("largest deviation, % of the largest value")
    for words, found, theory in (
        ("descent from its own theory", trained, exact), ("descent from the flow", trained, flow),
        ("singular values", layers, few.solve(["singular_values"]).singular_values),
    ):
        print(f"{words:28s} {100 * np.max(np.abs(found - theory)) / np.max(np.abs(theory)):+.1f}")
    draw(options.output_dir / "inputs_in_many_dimensions.png", network, curve, h * steps, trained, balanced, modes, few,
         layers)


def draw(path, network, curve, times, trained, balanced, modes, few, layers):
    """Both panels."""
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
        for k, colour in zip(range(4), COLOURS, strict=False):
            left.plot(network.t, curve.coefficients[:, k], color=colour, label=f"{VARIANCES[k]:g}")
            left.plot(times, trained[:, k], color=colour, linestyle="none", marker="o", markersize=3)
            left.axhline(network.target[k], color=colour, linewidth=0.5, linestyle=":")
            right.plot(balanced.t, modes.singular_values[:, k], color=colour)
            right.plot(few.t, layers[:, k], color=colour, linestyle="none", marker="o", markersize=3)
        left.set_xscale("log")
        left.set_xlabel("$t$")
        left.set_title("coefficients")
        left.set_ylim(-0.05, 1.6)
        left.legend(title="variance of the input", ncols=2, loc="upper left")
        right.set_xlabel("$t$")
        right.set_title("singular values of $W_2W_1$")
    plots.save(figure, path)


if __name__ == "__main__":
    main()
