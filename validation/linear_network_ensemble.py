"""`linear-network-ensemble`: networks from Gaussian weights, trained by Runge-Kutta steps on all their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from asymptotics import LinearNetworkEnsemble, ParameterError

from .networks import Array
from .readout import one_network, shaped
from .training import Weights, runge_kutta_step

STEP = 0.1  # of Runge-Kutta, in units of the inverse rate of the fastest network
TO_THE_END = 30.0  # further training, in units of the inverse of the slowest rate at the end
MOST_STEPS = 200_000

OBSERVABLES = ("mean_coefficient", "mean_ntk", "mean_excess_loss", "mean_cosine", "mean_final_ntk")


class Batch:
    """Independent networks with the hyper-parameters of one cell, u and w of shape (networks, p)."""

    def __init__(self, cell: Mapping[str, float], networks: int, rng: np.random.Generator) -> None:
        self.cell = dict(cell)
        p, rho = int(cell["p"]), cell["correlation"]
        first, second = rng.standard_normal((2, networks, p))
        self.w = math.sqrt(cell["var_w"]) * first
        self.u = math.sqrt(cell["var_u"]) * (rho * first + math.sqrt(1 - rho * rho) * second)

    def coefficient(self) -> Array:
        """F = gamma <u, w>."""
        return self.cell["gamma"] * np.einsum("ij,ij->i", self.u, self.w)

    def gap(self) -> Array:
        return self.cell["target_coefficient"] - self.coefficient()

    def kernel(self) -> Array:
        """gamma^2 (eta_u |w|^2 + eta_w |u|^2)."""
        uu, ww = (np.einsum("ij,ij->i", x, x) for x in (self.u, self.w))
        return self.cell["gamma"] ** 2 * (self.cell["eta_u"] * ww + self.cell["eta_w"] * uu)

    def cosine(self) -> Array:
        uu, ww = (np.einsum("ij,ij->i", x, x) for x in (self.u, self.w))
        return np.einsum("ij,ij->i", self.u, self.w) / np.sqrt(uu * ww)

    def train(self, time: float, step: float = STEP) -> None:
        """Classical Runge-Kutta steps along -eta dL/d(weights)."""
        k = self.cell["loss_factor"] * self.cell["m2"]
        rate = k * float(np.max(np.maximum(self.kernel(), self._end())))
        count = math.ceil(rate * time / step)
        if count > MOST_STEPS:
            raise ParameterError("t", f"needs more than {MOST_STEPS} steps")
        for _ in range(count):
            self.u, self.w = runge_kutta_step(self, self.u, self.w, time / count)

    def _end(self) -> Array:
        """An upper bound of the kernel at the end."""
        drive = 2 * self.cell["gamma"] * math.sqrt(self.cell["eta_u"] * self.cell["eta_w"])
        return abs(drive * self.cell["target_coefficient"]) + self.kernel()

    def descent(self, u: Array, w: Array) -> Weights:
        """-eta_u dL/du and -eta_w dL/dw, for every network."""
        cell = self.cell
        gap = cell["target_coefficient"] - cell["gamma"] * np.einsum("ij,ij->i", u, w)
        force = (cell["loss_factor"] * cell["m2"] * cell["gamma"] * gap)[:, None]
        return cell["eta_u"] * force * w, cell["eta_w"] * force * u

    def train_to_the_end(self) -> None:
        """Until the gap of every network is about 1e-9 of the target, or what a flat minimum leaves."""
        cell = self.cell
        k = cell["loss_factor"] * cell["m2"]
        drive = 2 * abs(cell["gamma"] * cell["target_coefficient"]) * math.sqrt(cell["eta_u"] * cell["eta_w"])
        slowest = k * max(drive, float(np.min(self.kernel())))
        self.train(TO_THE_END / slowest, 2 * STEP)


def simulate(
    problem: LinearNetworkEnsemble, sizes: Mapping[str, int], seed: int | np.random.SeedSequence
) -> dict[str, Any]:
    """Trained networks with the hyper-parameters of the problem.

    Parameters
    ----------
    problem : LinearNetworkEnsemble
        One kind of network; only `t` may vary.
    sizes : mapping
        "networks", over which the values are averaged: 1 if it is not given.
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    dict of str to float or ndarray
        `OBSERVABLES`, in the shape of the cells.

    Raises
    ------
    ParameterError
        If another parameter than `t` varies, a size is not known, or the last t needs too many steps.
    """
    for name in sizes:
        if name != "networks":
            raise ParameterError(name, "is not a size of this ensemble: the width is p, and networks how many")
    cell, t = one_network(problem, varying="t")
    batch = Batch(cell, sizes.get("networks", 1), np.random.default_rng(seed))
    times, places = np.unique(t, return_inverse=True)
    measured: dict[str, list[float]] = {name: [] for name in OBSERVABLES[:-1]}
    for interval in np.diff(times, prepend=0.0).tolist():
        batch.train(interval)
        loss = 0.5 * cell["loss_factor"] * cell["m2"] * batch.gap() ** 2
        for name, values in zip(measured, (batch.coefficient(), batch.kernel(), loss, batch.cosine()), strict=True):
            measured[name].append(float(np.mean(values)))
    batch.train_to_the_end()
    found = {name: np.array(values)[places] for name, values in measured.items()}
    found["mean_final_ntk"] = np.full(places.shape, np.mean(batch.kernel()))
    return shaped(problem, found)


def averages(problem: LinearNetworkEnsemble, sizes: Mapping[str, int], seed: Any) -> dict[str, Any]:
    """Means over sizes["d"] networks."""
    return simulate(problem, {"networks": sizes["d"]}, seed)


def shares(problem: LinearNetworkEnsemble, sizes: Mapping[str, int], seed: Any) -> dict[str, Any]:
    """Shares of sizes["d"] networks that are below predicted quantiles, by the names of `levels`."""
    cell, t = one_network(problem, varying="t")
    batch = Batch(cell, sizes["d"], np.random.default_rng(seed))
    batch.train(float(t[0]))
    found = {"coefficient": batch.coefficient(), "ntk": batch.kernel(),
             "excess_loss": 0.5 * cell["loss_factor"] * cell["m2"] * batch.gap() ** 2}
    batch.train_to_the_end()
    found |= {"final_ntk": batch.kernel(), "final_alignment": np.abs(batch.cosine())}
    limits = quantiles(problem)
    return {name: float(np.mean(found[own] <= limits[name])) for name, (own, _) in LEVELS.items()}


LEVELS = {f"Pr({name} <= {level:.0%} quantile)": (name, level)
          for name in ("coefficient", "excess_loss", "ntk", "final_ntk", "final_alignment")
          for level in (0.1, 0.5, 0.9)}


def levels(problem: LinearNetworkEnsemble, right: LinearNetworkEnsemble | None = None) -> dict[str, float]:
    """What a theory says of the shares that are below the quantiles of the right one."""
    limits = quantiles(problem if right is None else right)
    laws = _laws(problem)
    return {name: float(laws[own].cdf(limits[name])) for name, (own, _) in LEVELS.items()}


def quantiles(problem: LinearNetworkEnsemble) -> dict[str, float]:
    """The predicted quantiles, by the names of `LEVELS`."""
    laws = _laws(problem)
    return {name: float(laws[own].ppf(level)) for name, (own, level) in LEVELS.items()}


def _laws(problem: LinearNetworkEnsemble) -> dict[str, Any]:
    at_time = {name: problem.at_time(name) for name in ("coefficient", "excess_loss", "ntk")}
    return at_time | {"final_ntk": problem.final_ntk(), "final_alignment": problem.final_alignment()}
