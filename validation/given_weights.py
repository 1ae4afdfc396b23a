"""Protocols of given weights: nothing is left to chance, and only the error of the integrator remains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from asymptotics import Problem

from .laws import StepSize
from .protocols import Protocol, Setting, Simulator

REMARK = ("The theory is exact for gradient flow: given weights leave nothing to chance.  The error of a simulated "
          "value is that of its integrator (Runge-Kutta of order 4, or gradient descent), and a row fails if it is "
          "further from the theory: |z| > 1.")
DESCENT = ", gradient descent"  # what is appended to the names of settings

WrongTheories = dict[str, Problem | Mapping[str, ArrayLike]]


class Integrator(NamedTuple):
    """How weights are trained, at how many steps, and the largest allowed standard errors."""

    words: str
    simulate: Simulator
    order: int
    steps: Sequence[int]
    precision: Mapping[str, float]


def integrators(
    integrate: Simulator, descend: Simulator, steps: tuple[Sequence[int], Sequence[int]],
    precision: tuple[float, float] = (0.0, 0.0), precise: Sequence[str] = (),
) -> tuple[Integrator, Integrator]:
    """Runge-Kutta and gradient descent with these numbers of steps, and this precision of some observables."""
    return (Integrator("", integrate, 4, steps[0], dict.fromkeys(precise, precision[0])),
            Integrator(DESCENT, descend, 1, steps[1], dict.fromkeys(precise, precision[1])))


def settings(
    problems: Mapping[str, Any], judged: tuple[str, ...], wrong: Callable[[Any], WrongTheories],
    ways: Sequence[Integrator],
) -> list[Setting]:
    """Every problem by every integrator, with its wrong theories."""
    return [
        Setting(name=f"{name}{way.words}", problem=problem, judged=judged, simulate=way.simulate,
                wrong={f"{error}{way.words}": theory for error, theory in wrong(problem).items()},
                law=StepSize(way.order), networks=dict.fromkeys(way.steps, 1), precision=way.precision)
        for way in ways for name, problem in problems.items()
    ]


def protocol(
    title: str, simulate: Simulator, settings: Sequence[Setting], laws: tuple[tuple[str, str], ...],
    remarks: tuple[str, ...] = (REMARK,),
) -> Protocol:
    """A protocol all of whose settings have networks and precisions of their own."""
    return Protocol(title=title, simulate=simulate, settings=tuple(settings), networks={}, test_points=0, precision={},
                    laws=laws, remarks=remarks)


def rates_off(problem: Any) -> Problem:
    """The problem with both learning rates 10 % too large."""
    wrong: Problem = problem.replace(eta_u=1.1 * problem.eta_u, eta_w=1.1 * problem.eta_w)
    return wrong


def without_imbalance(problem: Any, norm_u: Any, norm_w: Any) -> Any:
    """The kernel if the layers were balanced: 2 gamma^2 sqrt(eta_u eta_w) |u||w|."""
    return 2 * problem.gamma**2 * (problem.eta_u * problem.eta_w) ** 0.5 * norm_u * norm_w


def parameters_of(problem: Problem, *without: str) -> dict[str, Any]:
    """The parameters that are given, for a problem of another kind."""
    given = {name: getattr(problem, name) for name in problem.parameters if name not in without}
    return {name: value for name, value in given.items() if value is not None}
