"""The protocol of `linear-network-ensemble`: means over thousands of networks, and how many are below quantiles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from asymptotics import LinearNetwork, LinearNetworkEnsemble, LinearNetworkPhases, Problem

from .linear_network_ensemble import LEVELS, OBSERVABLES, averages, levels, shares
from .protocols import Protocol, Setting

PRECISION = {"mean_coefficient": 0.02, "mean_ntk": 0.02, "mean_excess_loss": 0.06, "mean_cosine": 0.05,
             "mean_final_ntk": 0.02} | dict.fromkeys(LEVELS, 0.04)
LESS = 2.5  # times that at size quick


def problems() -> dict[str, LinearNetworkEnsemble]:
    """Kinds of networks."""
    def ensemble(p: int, var_u: float, var_w: float, t: list[float], **others: float) -> LinearNetworkEnsemble:
        return LinearNetworkEnsemble(**{"p": p, "var_u": var_u, "var_w": var_w, "t": t, "target_coefficient": 1.0}
                                     | others)

    return {
        "Xavier, p = 20": ensemble(20, 1 / 20, 1 / 20, [0.25, 1.0, 2.0]),
        "unequal rates, p = 50": ensemble(50, 1 / 2500, 1.0, [0.3, 1.0], eta_u=1 / 50, eta_w=50.0),
        "correlated, target below zero, p = 4": ensemble(
            4, 0.3, 0.5, [0.5, 1.5], correlation=0.4, gamma=0.7, eta_w=0.3, target_coefficient=-1.2),
        "p = 2": ensemble(2, 0.5, 0.5, [0.5, 2.0], loss_factor=2.0, m2=0.7),
        "one hidden unit": ensemble(1, 1.0, 0.5, [0.3, 1.0], gamma=-1.3, correlation=0.5),
        "small weights, p = 10": ensemble(10, 0.01, 0.01, [1.0, 2.0, 3.0]),
        "readout not trained, p = 5": ensemble(5, 0.4, 0.3, [0.5, 2.0], correlation=0.6, eta_u=0.0),
        "readout starts at zero, p = 8": ensemble(8, 0.0, 1 / 8, [0.5, 2.0]),
    }


def wrong_theories(problem: LinearNetworkEnsemble) -> dict[str, Problem | Mapping[str, ArrayLike]]:
    """Wrong theories, of those kinds for which they are wrong."""
    right = problem.solve(OBSERVABLES).values
    wrong: dict[str, Problem | Mapping[str, ArrayLike]] = {
        "variances 10 % off": problem.replace(var_u=1.1 * problem.var_u, var_w=1.1 * problem.var_w),
        "rates 10 % off": problem.replace(eta_u=1.1 * problem.eta_u, eta_w=1.1 * problem.eta_w),
        "the network of the mean overlaps": _self_averaged(problem),
    }
    if problem.correlation != 0:
        wrong["correlation dropped"] = problem.replace(correlation=0.0)
    if problem.p < 20:
        wrong["one hidden unit more"] = problem.replace(p=problem.p + 1)
    return {name: theory for name, theory in wrong.items() if _differs(theory, right)}


def _self_averaged(problem: LinearNetworkEnsemble) -> dict[str, ArrayLike]:
    """One network, with the mean overlaps: right at infinite width only."""
    shared = ("var_u", "var_w", "correlation", "gamma", "eta_u", "eta_w", "m2", "target_coefficient", "loss_factor")
    given = {name: getattr(problem, name) for name in shared}
    rho = max(min(problem.correlation, 0.999), -0.999)
    overlaps = LinearNetworkPhases(p=max(problem.p, 2), **given | {"correlation": rho}).overlaps()
    share = problem.p / max(problem.p, 2)
    network = LinearNetwork(
        **{name: share * value for name, value in overlaps.items()}, t=problem.t,
        **{name: given[name] for name in shared[3:]},
    ).solve(["coefficient", "ntk", "excess_loss"]).values
    return {f"mean_{name}": values for name, values in network.items()}


def _differs(theory: Problem | Mapping[str, ArrayLike], right: Mapping[str, ArrayLike]) -> bool:
    values = theory.solve(OBSERVABLES).values if isinstance(theory, Problem) else theory
    return any(not np.allclose(values[name], right[name], rtol=1e-3, atol=1e-9) for name in values)


def protocol(size: str) -> Protocol:
    """Means of 20,000 networks a kind (full), and the shares below quantiles of five laws."""
    full = size == "full"
    batches = {500: 40} if full else {250: 12}
    settings = [
        Setting(name=name, problem=problem, judged=OBSERVABLES, wrong=wrong_theories(problem), simulate=averages,
                networks=batches)
        for name, problem in problems().items()
    ]
    for name in ("Xavier, p = 20", "correlated, target below zero, p = 4", "p = 2", "small weights, p = 10"):
        problem = problems()[name].isel(t=-1)
        wrong = {"laws: one hidden unit more": problem.replace(p=problem.p + 1),
                 "laws: variances 20 % off": problem.replace(var_u=1.2 * problem.var_u, var_w=1.2 * problem.var_w)}
        settings.append(Setting(
            name=f"laws, {name}", problem=problem, judged=tuple(LEVELS), values=levels(problem), simulate=shares,
            wrong={error: levels(theory, problem) for error, theory in wrong.items()}, networks=batches))
    (networks, count), = batches.items()
    return Protocol(
        title=f"linear-network-ensemble, {size}: trained networks from Gaussian weights beside the averages",
        simulate=averages,
        settings=tuple(settings),
        networks={},
        test_points=0,
        precision=PRECISION if full else {name: LESS * value for name, value in PRECISION.items()},
        remarks=(
            f"A simulated value is a mean over {networks} networks (d), and there are {count} of them: standard errors "
            "are those of independent batches.  All weights are trained, by Runge-Kutta steps of fourth order.",
            "Laws: the share of networks that is below a predicted quantile must be its probability.",
        ),
    )
