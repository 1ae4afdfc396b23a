"""What a comparison found: rows, verdict, negative controls, finite-size law; as text and as a table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asymptotics
from asymptotics.tables import Table, render, write_csv

from .judgement import FAILED, INCONCLUSIVE, LEVEL, PASSED, REPORTED, Judgement, Row, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Control:
    """A wrong theory beside the same simulation: it must be rejected."""

    name: str
    rows: tuple[Row, ...]
    level: float = LEVEL

    @cached_property
    def judgement(self) -> Judgement:
        """On the rows of the wrong theory, by the rules for the right one."""
        return judge(self.rows, self.level)

    @property
    def rejected(self) -> bool:
        """Whether the wrong theory fails."""
        return self.judgement.outcome == FAILED


@dataclasses.dataclass(frozen=True)
class FiniteSizeLaw:
    """How a deviation from the limit falls with the size.

    Attributes
    ----------
    setting : str
    cell : dict of str to Any
    observable : str
    sizes : tuple of int
    deviations, errors : tuple of float
        At each size, in units of |theory|.
    exponent, exponent_error : float
        s of |deviation| ~ d^s; NaN where a deviation is not resolved.
    """

    setting: str
    cell: Mapping[str, Any]
    observable: str
    sizes: tuple[int, ...]
    deviations: tuple[float, ...]
    errors: tuple[float, ...]
    exponent: float
    exponent_error: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Rows with their verdict; printing it shows everything.

    Attributes
    ----------
    title : str
    rows : tuple of Row
    level : float
        Probability that a correct theory fails.
    controls : tuple of Control
    laws : tuple of FiniteSizeLaw
    remarks : tuple of str
        What a reader must know of the theory and the simulation.
    """

    title: str
    rows: tuple[Row, ...]
    level: float = LEVEL
    controls: tuple[Control, ...] = ()
    laws: tuple[FiniteSizeLaw, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def judged(self) -> tuple[Row, ...]:
        """The rows that decide."""
        return tuple(row for row in self.rows if row.judged)

    @property
    def reported(self) -> tuple[Row, ...]:
        """The rows that are shown only."""
        return tuple(row for row in self.rows if not row.judged)

    @cached_property
    def judgement(self) -> Judgement:
        """On the judged rows, without the controls."""
        return judge(self.judged, self.level)

    @property
    def outcome(self) -> str:
        """"passed" if the judged rows pass and every control is rejected; else "failed" or "inconclusive"."""
        outcome = self.judgement.outcome
        toothless = not all(control.rejected for control in self.controls)
        return INCONCLUSIVE if outcome == PASSED and toothless else outcome

    @property
    def passed(self) -> bool:
        """Whether the outcome is "passed"."""
        return self.outcome == PASSED

    def __str__(self) -> str:
        parts = [self.title, *self.remarks]
        if self.judged:
            parts.append(render(_shown(self.judged, self.judgement)))
        if self.reported:
            parts += ["not judged:", render(_shown(self.reported))]
        if self.laws:
            parts += ["finite-size law |deviation| ~ d^s, deviations in % of the theory:", render(_laws(self.laws))]
        if self.controls:
            parts += ["wrong theories, which must be rejected:", render(_controls(self.controls))]
        parts.append("\n".join(self.summary()))
        return "\n\n".join(parts)

    def summary(self) -> list[str]:
        """The verdict in a few lines."""
        judgement = self.judgement
        lines = [f"{len(self.judged)} rows judged: {_verdict(self.judged, judgement)}"]
        for model in dict.fromkeys(row.model for row in self.reported):
            rows = [row for row in self.reported if row.model == model]
            lines.append(f"{len(rows)} rows not judged{_named(model)}: {_verdict(rows, judge(rows, self.level))}")
        accepted = [control.name for control in self.controls if not control.rejected]
        if accepted:
            lines.append(f"not rejected although wrong: {', '.join(accepted)}")
        elif self.controls:
            lines.append(f"all {len(self.controls)} wrong theories rejected")
        return [*lines, f"outcome: {self.outcome}"]

    def to_csv(self, path: str | Path) -> None:
        """Write all rows with all digits (`pandas.read_csv(path, comment="#")`)."""
        header = {"title": self.title, "version": asymptotics.__version__, "outcome": self.outcome,
                  **{f"remark {i + 1}": remark for i, remark in enumerate(self.remarks)}}
        write_csv(path, _exact(self), header)

    def figure(self) -> Figure:
        """Deviations with error bars, and z against normal quantiles."""
        from .figures import draw

        return draw(self)


def results(rows: Sequence[Row], judgement: Judgement | None) -> list[str]:
    """The verdict on each row."""
    if judgement is None:
        return [REPORTED] * len(rows)
    words = []
    for row, allowed in zip(rows, judgement.allowed_z, strict=True):
        if abs(row.z) > allowed:
            words.append(FAILED)
        else:
            words.append(INCONCLUSIVE if row.imprecise else PASSED)
    return words


def _named(model: str) -> str:
    return f" ({model})" if model else ""


def _verdict(rows: Sequence[Row], judgement: Judgement) -> str:
    if not rows:
        return "nothing to judge"
    parts = []
    allowed = list(zip(rows, judgement.allowed_z, strict=True))
    random, bounded = ([pair for pair in allowed if pair[0].bounded is kind] for kind in (False, True))
    if random:
        worst = max(random, key=lambda pair: abs(pair[0].z))
        parts.append(f"largest |z| {abs(worst[0].z):.2f} (allowed {worst[1]:.2f}), rms z {judgement.rms_z:.2f} "
                     f"(allowed {judgement.allowed_rms:.2f})")
    if bounded:
        largest = max(abs(row.z) for row, _ in bounded)
        parts.append(f"largest deviation {largest:.2g} of the bound" + (f" ({len(bounded)} rows)" if random else ""))
    counts = results(rows, judgement)
    unclear = counts.count(INCONCLUSIVE)
    parts.append(f"{counts.count(FAILED)} beyond the allowed z")
    return ", ".join(parts) + (f", {unclear} too noisy" if unclear else "")


def _cells(rows: Iterable[Row | FiniteSizeLaw]) -> Table:
    """Columns of the setting and of the parameters that vary in any of them."""
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row.cell))
    models = [getattr(row, "model", "") for row in rows]
    return {"setting": [row.setting for row in rows],
            **({"model": models} if any(models) else {}),
            **{name: [_number(row.cell.get(name, ""), 4) for row in rows] for name in names}}


def _shown(rows: Sequence[Row], judgement: Judgement | None = None) -> Table:
    return _cells(rows) | {
        "observable": [row.observable for row in rows],
        "theory": [_number(row.theory, 5) for row in rows],
        "simulation": [_number(row.simulation, 5) for row in rows],
        "error": [_number(row.standard_error, 2) for row in rows],
        "rel. dev. %": [_number(100 * row.relative(row.deviation), 2) for row in rows],
        "rel. error %": [_number(100 * row.relative(row.standard_error), 2) for row in rows],
        "z": [_z(row.z) for row in rows],
        "result": results(rows, judgement),
    }


def _controls(controls: Sequence[Control]) -> Table:
    return {
        "wrong theory": [control.name for control in controls],
        "rows": [len(control.rows) for control in controls],
        "largest |z|": [_z(max(abs(row.z) for row in control.rows)) for control in controls],
        "rms z": [f"{control.judgement.rms_z:.2f}" for control in controls],
        "allowed": [f"{control.judgement.allowed_rms:.2f}" for control in controls],
        "result": ["rejected" if control.rejected else "NOT rejected" for control in controls],
    }


def _laws(laws: Sequence[FiniteSizeLaw]) -> Table:
    sizes = sorted({d for law in laws for d in law.sizes})
    table = _cells(laws) | {"observable": [law.observable for law in laws]}
    for d in sizes:
        table[f"d = {d}"] = [_with_error(law, d) for law in laws]
    table["s"] = [f"{law.exponent:.2f}({law.exponent_error:.2f})" if math.isfinite(law.exponent) else "not resolved"
                  for law in laws]
    return table


def _with_error(law: FiniteSizeLaw, d: int) -> str:
    if d not in law.sizes:
        return ""
    i = law.sizes.index(d)
    if law.errors[i] == 0:
        return f"{100 * law.deviations[i]:.2g}"
    return f"{100 * law.deviations[i]:.2f}({100 * law.errors[i]:.2f})"


def _exact(report: Report) -> Table:
    """Every row with all digits; `mean_d` are the means at each size, `slope` the a of mean = simulation + a/d."""
    rows = report.rows
    names = list(dict.fromkeys(name for row in rows for name in row.cell))
    sizes = sorted({d for row in rows for d in row.means})
    verdicts = iter(results(report.judged, report.judgement))
    return {
        "setting": [row.setting for row in rows],
        **({"model": [row.model for row in rows]} if any(row.model for row in rows) else {}),
        **{name: [row.cell.get(name, "") for row in rows] for name in names},
        "observable": [row.observable for row in rows],
        "theory": [row.theory for row in rows],
        "simulation": [row.simulation for row in rows],
        "standard_error": [row.standard_error for row in rows],
        "relative_error": [row.relative(row.deviation) for row in rows],
        "z": [row.z for row in rows],
        "result": [next(verdicts) if row.judged else REPORTED for row in rows],
        "networks": [row.networks for row in rows],
        **{f"mean_{d}": [row.means.get(d, "") for row in rows] for d in sizes},
        **({"slope": [row.slope for row in rows]} if len(sizes) > 1 else {}),
    }


def _z(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 1e5 else f"{value:.1e}"


def _number(value: Any, digits: int) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
