"""What is simulated, at which sizes, and which wrong theories must be rejected."""

from __future__ import annotations

import dataclasses
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asymptotics import AccuracyWarning, Problem
from asymptotics.datasets import plain_parameters

from .comparison import by_entry, rows_of, rows_of_values
from .estimates import power_law
from .judgement import LEVEL, Row, against
from .laws import INVERSE_SIZE, Law
from .report import Control, FiniteSizeLaw, Report

Array = NDArray[np.float64]
Simulator = Callable[[Any, Mapping[str, int], np.random.SeedSequence], Mapping[str, Any]]
Networks = tuple[str, int]  # a setting and an input dimension
Runs = Mapping[Networks, Mapping[str, Array]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One kind of network; all cells of the problem share its networks.

    Attributes
    ----------
    name : str
    problem : Problem
    judged : tuple of str
        Observables that decide; of one with axes of its own all entries, or those named, such as "overlaps[2]".
    shown : mapping of str to tuple of str
        Observables for which the problem is known to be approximate, by the name of the approximation: not judged.
    beside : mapping of str to Problem
        Other theories of the same networks, known to be approximate: shown, not judged.
    wrong : mapping of str to (Problem or mapping)
        Wrong theories by the name of their error: another problem, or values by observable.
    simulate : callable, optional
        Instead of the simulator of the protocol.
    law : Law
        What becomes of the values at several sizes.
    networks, precision : dict, optional
        Instead of those of the protocol.
    values : dict of str to float, optional
        Numbers that are derived from the theory, by name of what the networks measure.  They stand in the place of
        observables of the problem: `judged` and `shown` name them.
    """

    name: str
    problem: Problem
    judged: tuple[str, ...]
    shown: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    beside: Mapping[str, Problem] = dataclasses.field(default_factory=dict)
    wrong: Mapping[str, Problem | Mapping[str, ArrayLike]] = dataclasses.field(default_factory=dict)
    simulate: Simulator | None = None
    law: Law = INVERSE_SIZE
    networks: Mapping[int, int] | None = None
    precision: Mapping[str, float] | None = None
    values: Mapping[str, float] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """A simulation and the rules by which it is judged.

    Attributes
    ----------
    title : str
    simulate : callable
        `(problem, sizes, seed) -> {observable: value}`: one network.
    settings : tuple of Setting
    networks : dict of int to int
        Input dimensions and the number of networks at each; the means are extrapolated to 1/d = 0.
    test_points : int
        Fresh points a network.
    precision : dict of str to float
        Largest allowed standard error in units of |theory|, by observable.
    laws : tuple of (str, str)
        Settings and observables whose deviation from the limit is measured at the sizes of `law_networks`.
    law_networks : dict of int to int
    remarks : tuple of str
    level : float
        Probability that a correct theory fails.
    """

    title: str
    simulate: Simulator
    settings: tuple[Setting, ...]
    networks: Mapping[int, int]
    test_points: int
    precision: Mapping[str, float]
    laws: tuple[tuple[str, str], ...] = ()
    law_networks: Mapping[int, int] = dataclasses.field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    level: float = LEVEL

    def required(self) -> dict[Networks, int]:
        """How many networks of each setting and size."""
        with_law = {name for name, _ in self.laws}
        counts: dict[Networks, int] = {}
        for setting in self.settings:
            extra = self._law_networks(setting).items() if setting.name in with_law else ()
            for d, count in [*self._networks(setting).items(), *extra]:
                counts[setting.name, d] = max(count, counts.get((setting.name, d), 0))
        return counts

    def _networks(self, setting: Setting) -> Mapping[int, int]:
        return self.networks if setting.networks is None else setting.networks

    def _law_networks(self, setting: Setting) -> Mapping[int, int]:
        return self.law_networks if setting.networks is None else setting.networks

    def setting(self, name: str) -> Setting:
        """The setting of this name."""
        return next(setting for setting in self.settings if setting.name == name)

    def simulator(self, name: str) -> Simulator:
        """What simulates the networks of a setting."""
        return self.setting(name).simulate or self.simulate

    def seed(self, root: int, networks: Networks, repetition: int) -> np.random.SeedSequence:
        """The seed of one network: of its setting, size and number only, whatever else is simulated."""
        name, d = networks
        return np.random.SeedSequence(root, spawn_key=(zlib.crc32(name.encode()), d, repetition))

    def identity(self, seed: int) -> dict[str, Any]:
        """What stored networks must agree in, to be used again."""
        settings = {setting.name: plain_parameters(setting.problem) for setting in self.settings}
        return {"seed": seed, "test_points": self.test_points, "settings": settings}

    def report(self, runs: Runs) -> Report:
        """Theory beside the networks.

        Parameters
        ----------
        runs : mapping
            Simulated observables by setting and size, with a last axis over networks.
        """
        with warnings.catch_warnings():
            # how far an approximation is off is what the report says; cells that fail are NaN, and do not pass
            warnings.simplefilter("ignore", AccuracyWarning)
            return self._report(runs)

    def _report(self, runs: Runs) -> Report:
        rows: list[Row] = []
        wrong: dict[str, list[Row]] = {}
        for setting in self.settings:
            own = self._rows(setting, runs)
            rows += own
            for name, theory in setting.wrong.items():
                values = theory.solve(_whole(setting.judged)).values if isinstance(theory, Problem) else theory
                judged = [row for row in own if row.judged]
                wrong.setdefault(name, []).extend(against(judged, by_entry(setting.problem, values)))
        return Report(
            title=self.title,
            rows=tuple(rows),
            level=self.level,
            controls=tuple(Control(name, tuple(part), self.level) for name, part in wrong.items()),
            laws=tuple(self._laws(runs)),
            remarks=(*self.remarks, *self._sizes()),
        )

    def _rows(self, setting: Setting, runs: Runs) -> list[Row]:
        precision = self.precision if setting.precision is None else setting.precision

        def by_size(names: Iterable[str]) -> dict[int, dict[str, Array]]:
            return {d: {name: runs[setting.name, d][name][..., :count] for name in names}
                    for d, count in self._networks(setting).items()}

        def rows(problem: Problem, names: tuple[str, ...], model: str = "") -> list[Row]:
            whole = _whole(names)
            found = rows_of(setting.name, problem.solve(whole), by_size(whole), precision={} if model else precision,
                            judged=() if model else whole, shared=problem.dims, model=model, law=setting.law)
            return _chosen(found, names)

        def derived(values: Mapping[str, float], names: Iterable[str], model: str = "") -> list[Row]:
            return rows_of_values(setting.name, {name: values[name] for name in names}, by_size(names), model=model,
                                  judged=setting.judged, precision=precision, law=setting.law)

        if setting.values is not None:
            shown = [row for model, names in setting.shown.items() for row in derived(setting.values, names, model)]
            return derived(setting.values, setting.judged) + shown
        own = rows(setting.problem, setting.judged)
        others: list[Row] = []
        for model, names in setting.shown.items():
            others += rows(setting.problem, names, model)
        for model, problem in setting.beside.items():
            theirs = rows(problem, setting.judged, model)
            others += [row for row, ours in zip(theirs, own, strict=True) if row.theory != ours.theory]
        return own + others

    def _laws(self, runs: Runs) -> Iterator[FiniteSizeLaw]:
        for name, observable in self.laws:
            setting = self.setting(name)
            networks = sorted(self._law_networks(setting).items())
            sizes = tuple(d for d, _ in networks)
            (whole,) = _whole([observable])
            prediction = setting.problem.solve([whole])
            by_size = [_chosen(rows_of(name, prediction, {d: {whole: runs[name, d][whole][..., :count]}},
                                       law=setting.law), [observable])
                       for d, count in networks]
            for rows in zip(*by_size, strict=True):
                deviations = tuple(row.relative(row.deviation) for row in rows)
                errors = tuple(row.relative(row.standard_error) for row in rows)
                exponent = power_law(sizes, deviations, errors)
                yield FiniteSizeLaw(name, rows[0].cell, rows[0].observable, sizes, deviations, errors, *exponent)

    def _sizes(self) -> Iterator[str]:
        """The networks of all settings; of those with the same numbers and law together."""
        alike: dict[tuple, list[str]] = {}
        for setting in self.settings:
            alike.setdefault((tuple(sorted(self._networks(setting).items())), setting.law), []).append(setting.name)
        for (networks, law), names in alike.items():
            whose = f"{names[0]}{', ...' if len(names) > 1 else ''}: " if len(alike) > 1 else ""
            sizes = ", ".join(f"{count} network{'s' if count > 1 else ''} of d = {d}" for d, count in networks)
            yield f"{whose}{sizes}" + (f"; {law}" if len(networks) > 1 or law.bounded else "")


def _whole(names: Iterable[str]) -> tuple[str, ...]:
    """The observables of which some are entries, such as overlaps of overlaps[2]."""
    return tuple(dict.fromkeys(name.partition("[")[0] for name in names))


def _chosen(rows: Iterable[Row], names: Iterable[str]) -> list[Row]:
    """The rows of observables, or of entries of them."""
    wanted = set(names)
    return [row for row in rows if wanted & {row.observable, *_whole([row.observable])}]
