"""How long `GiantStep` takes, beside the published algorithm: the tables of docs/performance.md.

    OMP_NUM_THREADS=1 python -m benchmarks.giant_step [--d 2000] [--repeats 30] [--json FILE]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy
from numpy.typing import ArrayLike

import asymptotics as asy
from benchmarks.published_giant_step import PublishedAlgorithm, sample_bulk

T = TypeVar("T")
Shape = tuple[int, int]
Code = CodeType | str

ALPHAS = (0.2, 0.9, 1.6, 2.3, 3.0)
LAM = 0.1
SHAPES: tuple[Shape, ...] = ((1, 1), (10, 10), (100, 100), (400, 250))
MEMORY_SHAPES: tuple[Shape, ...] = (*SHAPES, (1000, 1000))
FRESH_PROCESSES = 5
PROFILE_LINES = 12
MEGABYTE = 2**20
LIBRARY = Path(asy.__file__).parent


class Setting(NamedTuple):
    """Activation, target and gradient step."""

    activation: str
    target: str
    alpha0: float
    eta: float

    def __str__(self) -> str:
        return f"{self.activation}/{self.target}"


CURVE = Setting("tanh", "sin", 20.0, 3.0)
SETTINGS = (CURVE, Setting("relu", "relu", 2.0, 1.5), Setting("erf", "erf", 0.5, 4.0),
            Setting("softplus", "tanh", 1.0, 4.0))


@dataclass(frozen=True)
class Machine:
    """Where the numbers come from."""

    cores: int
    memory_gb: float
    threads: str
    python: str
    numpy: str
    scipy: str
    asymptotics: str


@dataclass(frozen=True)
class Curve:
    """The learning curve by both algorithms: values, and seconds of everything that was run.

    Ours: from nothing (`seconds`), with the caches of the library kept (`warm_seconds`), first in a process.
    """

    d: int
    setup_seconds: float
    published_seconds: list[float]
    published_values: list[float]
    sweeps: list[int]
    seconds: list[float]
    warm_seconds: list[float]
    first_seconds: list[float]
    values: list[float]

    @property
    def published_total(self) -> float:
        """Seconds for all points, without the set-up."""
        return sum(self.published_seconds)

    @property
    def published_point(self) -> float:
        """Seconds for one more point."""
        return self.published_total / len(self.published_seconds)

@dataclass(frozen=True)
class Grid:
    """One grid of ours, and the seconds of every run."""

    setting: str
    cells: int
    seconds: list[float]

    @property
    def per_cell(self) -> float:
        return statistics.median(self.seconds) / self.cells


@dataclass(frozen=True)
class ProfileLine:
    """A function of the library, its share of the time, and its calls in one run."""

    function: str
    share: float
    calls: float


@dataclass(frozen=True)
class Memory:
    """Bytes that a process held at most, before and after solving a grid, and bytes of the answer."""

    cells: int
    before: int
    peak: int
    answer: int


@dataclass(frozen=True)
class Results:
    """Everything measured in one run."""

    machine: Machine
    curve: Curve
    grids: list[Grid]
    profiles: dict[str, list[ProfileLine]]
    memory: list[Memory]


# ---- what is timed

def problem(setting: Setting, alpha: ArrayLike, lam: ArrayLike) -> asy.GiantStep:
    """A problem of the isotropic model, which is that of the published algorithm."""
    return asy.GiantStep(**setting._asdict(), alpha=alpha, lam=lam, beta=1.0, model="isotropic")


def solve_curve() -> Any:
    """The learning curve, with all observables."""
    return problem(CURVE, ALPHAS, LAM).solve()


def solve_grid(setting: Setting, shape: Shape) -> Any:
    """alpha 0.1 ... 10 by lam 1e-4 ... 10, with all observables."""
    alpha, lam = _axis(0.1, 10.0, shape[0]), _axis(1e-4, 10.0, shape[1])
    return problem(setting, alpha[:, None], lam).solve()


def _axis(low: float, high: float, count: int) -> np.ndarray:
    return np.geomspace(low, high, count) if count > 1 else np.sqrt(np.array([low * high]))


def published_algorithm(d: int, seed: int = 0) -> PublishedAlgorithm:
    """The published algorithm at the spike of the learning curve, with a matrix of this size."""
    spike = problem(CURVE, 1.0, LAM).solve(["spike_strength", "bulk_variance", "alignment"])
    strength, variance, alignment = float(spike.spike_strength), float(spike.bulk_variance), float(spike.alignment)
    bulk = sample_bulk(d, variance, np.random.default_rng(seed))
    return PublishedAlgorithm(np.tanh, np.sin, strength, variance, alignment, bulk)


def timed(function: Callable[[], T], from_nothing: bool = True) -> tuple[float, T]:
    """Seconds and the answer; from nothing: what the library remembers from one solve to the next is forgotten."""
    if from_nothing:
        clear_caches()
    start = time.perf_counter()
    answer = function()
    return time.perf_counter() - start, answer


def clear_caches() -> None:
    """Clear every functools cache of the library (parsed names, Gauss-Legendre nodes)."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "asymptotics":
            for value in list(vars(module).values()):
                if callable(getattr(value, "cache_clear", None)):
                    value.cache_clear()


# ---- measurements

def run(d: int, repeats: int, shapes: Sequence[Shape], memory_shapes: Sequence[Shape]) -> Results:
    """All measurements; those of memory and of first solves in processes of their own."""
    memory = [in_fresh_process(measure_memory, shape) for shape in memory_shapes]
    first = [in_fresh_process(first_solve) for _ in range(FRESH_PROCESSES)]
    curve, grids = alternate(d, repeats, shapes, first)
    rows, columns = shapes[-1]
    profiles = {
        f"grid of {rows * columns:,} cells, {CURVE}": profile(partial(solve_grid, CURVE, shapes[-1]), 1),
        f"{len(ALPHAS)}-point curve, by module": by_module(profile(solve_curve, 10 * repeats)),
    }
    return Results(machine(), curve, grids, profiles, memory)


def alternate(d: int, repeats: int, shapes: Sequence[Shape], first: list[float]) -> tuple[Curve, list[Grid]]:
    """Between two points of the published curve: our curve `repeats` times, and every grid, small ones as often.

    So a change in the load of the machine meets both sides.
    """
    setup_seconds, algorithm = timed(partial(published_algorithm, d))
    grids = [(setting, shape) for setting in SETTINGS for shape in shapes]
    curve_seconds: list[float] = []
    warm_seconds: list[float] = []
    grid_seconds: list[list[float]] = [[] for _ in grids]
    solved = []
    for alpha in ALPHAS:
        solved.append(timed(partial(algorithm.solve, alpha, LAM)))
        curve_seconds += [timed(solve_curve)[0] for _ in range(repeats)]
        warm_seconds += [timed(solve_curve, from_nothing=False)[0] for _ in range(repeats)]
        for (setting, shape), seconds in zip(grids, grid_seconds, strict=True):
            runs = max(1, min(repeats, 1000 // (shape[0] * shape[1])))
            seconds += [timed(partial(solve_grid, setting, shape))[0] for _ in range(runs)]
    curve = Curve(
        d=d,
        setup_seconds=setup_seconds,
        published_seconds=[seconds for seconds, _ in solved],
        published_values=[solution.test_error for _, solution in solved],
        sweeps=[solution.sweeps for _, solution in solved],
        seconds=curve_seconds,
        warm_seconds=warm_seconds,
        first_seconds=first,
        values=solve_curve().test_error.tolist(),
    )
    return curve, [
        Grid(str(setting), shape[0] * shape[1], seconds)
        for (setting, shape), seconds in zip(grids, grid_seconds, strict=True)
    ]


def profile(function: Callable[[], object], runs: int) -> list[ProfileLine]:
    """The functions of the library in which most time is spent, with the NumPy functions that they call."""
    profiler = cProfile.Profile()
    with profiler:
        for _ in range(runs):
            function()
    entries = profiler.getstats()
    callers: dict[Code, list[tuple[Code, float]]] = {}
    for entry in entries:
        for call in entry.calls or ():
            callers.setdefault(call.code, []).append((entry.code, call.inlinetime))
    total = sum(entry.inlinetime for entry in entries)
    shares: dict[str, float] = defaultdict(float)
    calls: dict[str, float] = defaultdict(float)
    for entry in entries:
        for name, part in _owners(entry.code, callers).items():
            shares[name] += part * entry.inlinetime / total
        if not _is_inner(entry.code):
            calls[_library_name(entry.code)] += entry.callcount / runs
    return _sorted_lines(shares, calls)


def _owners(
    code: Code, callers: Mapping[Code, list[tuple[Code, float]]], seen: tuple[Code, ...] = ()
) -> dict[str, float]:
    """The functions of the library for which a function works, with the parts of its time that it spends for each."""
    if name := _library_name(code):
        return {name: 1.0}
    parts = [(caller, seconds) for caller, seconds in callers.get(code, ()) if caller not in seen]
    total = sum(seconds for _, seconds in parts)
    owners: dict[str, float] = defaultdict(float)
    for caller, seconds in parts:
        for name, part in _owners(caller, callers, (*seen, code)).items():
            owners[name] += part * (seconds / total if total > 0 else 1 / len(parts))
    return owners


def _library_name(code: Code) -> str:
    """Module and function, that around a comprehension or lambda; empty outside the library."""
    if isinstance(code, str) or LIBRARY not in Path(code.co_filename).parents:
        return ""
    named = code.co_qualname.partition(".<locals>.<")[0].replace(".<locals>", "")
    return f"{Path(code.co_filename).stem}.{named}"


def _is_inner(code: Code) -> bool:
    """Whether this is a comprehension or lambda inside another function."""
    return not isinstance(code, str) and ".<locals>.<" in code.co_qualname


def by_module(lines: Sequence[ProfileLine]) -> list[ProfileLine]:
    """The same, added up over the functions of each module."""
    shares: dict[str, float] = defaultdict(float)
    calls: dict[str, float] = defaultdict(float)
    for line in lines:
        module = line.function.partition(".")[0]
        shares[module] += line.share
        calls[module] += line.calls
    return _sorted_lines(shares, calls)


def _sorted_lines(shares: Mapping[str, float], calls: Mapping[str, float]) -> list[ProfileLine]:
    lines = [ProfileLine(name, share, calls[name]) for name, share in shares.items()]
    return sorted(lines, key=lambda line: -line.share)


def in_fresh_process(function: Callable[..., T], *arguments: Any) -> T:
    """The answer of a function in a new interpreter that has imported this module and done nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def first_solve() -> float:
    """Seconds for the learning curve; for a fresh process."""
    return timed(solve_curve)[0]


def measure_memory(shape: Shape) -> Memory:
    """Memory for a grid; for a fresh process."""
    before = peak_memory()
    prediction = solve_grid(CURVE, shape)
    answer = sum(np.asarray(values).nbytes for values in prediction.values.values())
    return Memory(shape[0] * shape[1], before, peak_memory(), answer)


def peak_memory() -> int:
    """Most bytes of physical memory that this process has held."""
    status = Path("/proc/self/status")  # on Linux ru_maxrss starts from the size of the parent process
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def machine() -> Machine:
    """Cores, memory and versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Machine(
        cores=os.cpu_count() or 0,
        memory_gb=round(memory, 1),
        threads=os.environ.get("OMP_NUM_THREADS", "not set"),
        python=platform.python_version(),
        numpy=np.__version__,
        scipy=scipy.__version__,
        asymptotics=asy.__version__,
    )


# ---- tables

def report(results: Results) -> str:
    """All tables in Markdown."""
    tables = [
        _machine_line(results.machine), _curve_table(results.curve), _values_table(results.curve),
        _grid_table(results.grids, results.curve.published_point),
        *(_profile_table(name, lines) for name, lines in results.profiles.items()),
        _memory_table(results.memory),
    ]
    return "\n\n".join(tables)


def _machine_line(machine: Machine) -> str:
    return (
        f"{machine.cores} cores, {machine.memory_gb:.0f} GB; OMP_NUM_THREADS {machine.threads}; Python "
        f"{machine.python}, NumPy {machine.numpy}, SciPy {machine.scipy}, asymptotics {machine.asymptotics}."
    )


def _curve_table(curve: Curve) -> str:
    both = curve.setup_seconds + curve.published_total
    points = f"{len(ALPHAS)} points"
    rows = [
        (points, curve.published_total, curve.seconds),
        (f"{points} and the set-up (d = {curve.d})", both, curve.seconds),
        ("the same, our caches kept", both, curve.warm_seconds),
        ("the same, our first solve in a process", both, curve.first_seconds),
    ]
    return _table(
        ("learning curve, tanh/sin", "published", "ours: median", "range", "ratio"),
        [(name, _duration(published), _duration(statistics.median(ours)),
          f"{_duration(min(ours))} – {_duration(max(ours))}", _significant(published / statistics.median(ours)))
         for name, published, ours in rows],
    )


def _values_table(curve: Curve) -> str:
    rows = []
    for alpha, theirs, ours, sweeps, seconds in zip(
        ALPHAS, curve.published_values, curve.values, curve.sweeps, curve.published_seconds, strict=True
    ):
        rows.append((f"{alpha}", f"{theirs:.6f}", f"{ours:.12f}", f"{theirs / ours - 1:+.1e}", f"{sweeps}",
                     f"{seconds:.2f} s"))
    header = ("α", "published", "ours", "relative difference", "published: sweeps", "time")
    return _table(header, rows)


def _grid_table(grids: Sequence[Grid], published_point: float) -> str:
    sizes = sorted({grid.cells for grid in grids})
    cells = {(grid.setting, grid.cells): f"{_duration(grid.per_cell)} ({_significant(published_point / grid.per_cell)})"
             for grid in grids}
    names = list(dict.fromkeys(grid.setting for grid in grids))
    header = ("time per cell (ratio to a published point)", *(f"{size:,} cell{'s'[:size > 1]}" for size in sizes))
    return _table(header, [(name, *(cells[name, size] for size in sizes)) for name in names])


def _profile_table(name: str, lines: Sequence[ProfileLine]) -> str:
    rows = [(f"`{line.function}`", f"{line.share:.1%}", f"{line.calls:,.0f}") for line in lines[:PROFILE_LINES]]
    rows.append(("all others", f"{1 - sum(line.share for line in lines[:PROFILE_LINES]):.1%}", ""))
    return _table((name, "share of the time", "calls"), rows)


def _memory_table(memory: Sequence[Memory]) -> str:
    rows = [(f"{row.cells:,}", *(f"{size / MEGABYTE:.1f}" for size in (row.before, row.peak - row.before, row.answer)))
            for row in memory]
    return _table(("cells", "process before, MB", "peak above that, MB", "the answer itself, MB"), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _significant(number: float) -> str:
    """Two digits of a ratio, as a plain number."""
    return f"{float(f'{number:.2g}'):,.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print Markdown tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.giant_step", description=main.__doc__)
    parser.add_argument("--d", type=int, default=2000, help="size of the published algorithm's matrix")
    parser.add_argument("--repeats", type=int, default=30, help="our curves between two published points")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all timings as JSON too")
    options = parser.parse_args(arguments)
    results = run(options.d, options.repeats, SHAPES, MEMORY_SHAPES)
    print(report(results))
    if options.json:
        options.json.write_text(json.dumps(asdict(results), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
