"""Tiles: the plan, and the same bits in this process, in a pool and on a cluster, whatever dies there."""

from __future__ import annotations

import io
import json
import multiprocessing
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import asymptotics as asy
from asymptotics import ParameterError, cli, studies
from asymptotics.studies import engine, executors
from asymptotics.studies.executors import Pool, opened
from asymptotics.studies.fingerprint import fingerprint
from asymptotics.studies.plan import Plan, plan
from asymptotics.studies.theory import Theory
from tests.slow_toy import DeadlyToy, SlowToy
from tests.toy import Toy

ROOT = Path(__file__).parents[1]
GRID = Toy(**asy.grid(alpha=np.linspace(0.5, 4.0, 30), shift=[0.0, 1.0, 2.0]), lam=0.5)
STEP = asy.GiantStep(activation="relu", target="sin", alpha0=2, noise_var=0.1,
                     **asy.grid(eta=[0.5, 2.0], alpha=[0.3, 1.0, 4.0], lam=[0.01, 0.3]))


# ---- the plan


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (1, 9, 1), (4, 3, 2)])
@pytest.mark.parametrize("cells", [1, 2, 5, 100])
def test_tiles_cover_the_grid_once(shape: tuple[int, ...], cells: int) -> None:
    axes = dict(zip(["alpha", "lam", "shift"], shape, strict=False))
    values = asy.grid(**{name: np.linspace(1, 2, length) for name, length in axes.items()})
    problem = Toy(**{"alpha": 1.0, "lam": 0.5, **values})
    cut = plan(problem, cells)
    assert cut.shape == shape and np.prod(cut.tile) <= cells
    hits = np.zeros(shape, dtype=int)
    for number, where in enumerate(cut):
        hits[where] += 1
        assert cut.number(tuple(piece.start // step for piece, step in zip(where, cut.tile, strict=True))) == number
    assert np.all(hits == 1)


def test_axes_of_tables_are_cut_first() -> None:
    grid = asy.grid(alpha=np.arange(1.0, 101.0), shift=np.linspace(0, 1, 50), lam=np.arange(20.0))
    cut = plan(Toy(**grid), 4000)
    assert cut == Plan((100, 50, 20), (100, 2, 20))  # shift makes the tables of the toy
    assert plan(Toy(**grid), 500).tile == (25, 1, 20)


def test_the_plan_depends_on_the_grid_only() -> None:
    assert len(plan(GRID)) == 1
    cells = {size: np.prod(plan(Toy(alpha=np.linspace(1, 2, size), lam=1.0)).tile) for size in (5000, 10**5, 10**6)}
    assert cells == {5000: 2500, 10**5: 6250, 10**6: 32259}
    with pytest.raises(ParameterError, match="tile_cells: must be a whole number >= 1, got 0"):
        plan(GRID, 0)


def test_ten_million_cells_are_planned_without_allocating_them() -> None:
    code = (
        "import numpy as np, resource, asymptotics as asy; from asymptotics.studies.plan import plan\n"
        "from asymptotics.studies.theory import Theory\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "problem = asy.GiantStep(activation='tanh', target='sin', alpha0=2, eta=1, **asy.grid(\n"
        "    alpha=np.linspace(.1, 9, 2500), lam=np.linspace(.1, 9, 4000)))\n"
        "theory = Theory([problem], (), (), None, None); theory.identity(); theory.task(100)\n"
        "print(len(theory), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    tiles, kilobytes = map(int, done.stdout.split())
    assert tiles > 300 and kilobytes < 60_000  # an array of the grid would be 80 MB; most of this is xarray itself


# ---- the same bits everywhere


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes on loopback."""
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                                      host="127.0.0.1") as local:
            yield local


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(2) as processes:
        yield processes


@pytest.mark.parametrize("problem", [GRID, STEP, GRID.replace(levels=[2.0]), STEP.isel(alpha=0, eta=0, lam=0),
                                     Toy(alpha=[[1.0], [2.0]], lam=[0.1, 0.2, 0.3])])
def test_executors_agree_to_the_bit(problem: asy.Problem, pool: Pool, tmp_path: Path) -> None:
    here = studies.run(problem, tile_cells=4)
    own = problem.solve().to_dataset()
    assert list(here) == list(own) and list(here.coords) == list(own.coords)
    xr.testing.assert_allclose(here, own, rtol=1e-12)
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        for executor in (threads, processes, pool):
            xr.testing.assert_identical(studies.run(problem, executor, tile_cells=4), here)
    xr.testing.assert_identical(studies.run(problem, pool, tmp_path, tile_cells=4), here)
    xr.testing.assert_identical(studies.run(problem, store=tmp_path, tile_cells=4), here)


def test_a_cluster_agrees_to_the_bit(cluster: Any, tmp_path: Path) -> None:
    with opened(scheduler=cluster.scheduler_address) as executor:
        assert executor is not None and executors.width(executor) == 2
        for problem in (GRID, STEP):
            here = studies.run(problem, tile_cells=4)
            xr.testing.assert_identical(studies.run(problem, executor, tile_cells=4), here)


STUDY = """
theory = "giant-step"
optimal = "ridge"
[parameters]
activation = "tanh"
target = "sin"
alpha0 = 4.0
[axes]
alpha = { start = 0.5, stop = 4.0, num = 6 }
eta = [0.0, 1.0]
target = ["sin", "relu"]
[output]
observables = ["test_error"]
table = "a.csv"
netcdf = "a.nc"
[run]
tile_cells = 3
[simulation]
d = 20
seeds = 2
points = { alpha = [1.0], eta = [1.0], target = ["sin"] }
""".replace('target = "sin"\n', "", 1)


def test_the_command_writes_the_same_files_wherever_it_computes(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(STUDY)
    address = cluster.scheduler_address
    for name, options in {"here": [], "pool": ["--workers", "2"], "cluster": ["--scheduler", address, "--store", "s"],
                          "again": ["--workers", "1", "--store", "s"]}.items():
        assert cli.main(["run", "a.toml", "--output-dir", name, *options]) == 0
        assert capsys.readouterr().err == ""
    files = {path.name: path.read_bytes() for path in Path("here").iterdir()}
    assert set(files) == {"a.csv", "a.nc", "a_simulation.csv"}
    for name in ("pool", "cluster", "again"):
        assert {path.name: path.read_bytes() for path in Path(name).iterdir()} == files
    events = [json.loads(line)["event"] for line in Path("s/log.jsonl").read_text().splitlines()]
    assert events == ["opened", *["finished"] * 8, "closed", "opened", "closed"]
    networks = [json.loads(line)["event"] for line in Path("s/networks/log.jsonl").read_text().splitlines()]
    assert networks == ["opened", "finished", "finished", "closed", "opened", "closed"]


# ---- empty and small grids


@pytest.mark.parametrize("length", [0, 1])
def test_grids_without_and_with_one_cell(length: int, tmp_path: Path) -> None:
    problem = Toy(**asy.grid(alpha=np.ones(length), lam=[0.5, 0.6]))
    own = problem.solve().to_dataset()
    xr.testing.assert_identical(studies.run(problem), own)
    xr.testing.assert_identical(studies.run(problem, store=tmp_path, tile_cells=1), own)
    xr.testing.assert_identical(studies.run(problem, store=tmp_path, tile_cells=1), own)
    assert len(list((tmp_path / "tiles").iterdir())) == 2 * length


# ---- what cannot be sent, and what dies


def test_a_callable_that_cannot_be_sent_is_refused_by_name(pool: Pool) -> None:
    local = GRID.replace(activation=asy.nonlinearity(lambda x: np.tanh(x)))
    with pytest.raises(ParameterError, match=r"activation: .* cannot be sent to other processes: define the function"):
        studies.run(local, pool)
    xr.testing.assert_equal(studies.run(local), studies.run(GRID))  # here it is no matter


def test_a_callable_that_cannot_be_sent_reaches_a_cluster(cluster: Any) -> None:
    local = GRID.replace(activation=asy.nonlinearity(lambda x: np.tanh(x)))
    with opened(scheduler=cluster.scheduler_address) as executor:
        xr.testing.assert_equal(studies.run(local, executor), studies.run(GRID))


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], DeadlyToy]:
    def make(always: bool) -> DeadlyToy:
        mark = tmp_path / "mark"
        if always:
            mark.mkdir()
        monkeypatch.setenv("DEADLY", str(mark))
        return DeadlyToy(**asy.grid(alpha=np.arange(1.0, 7.0)), lam=0.5)

    return make


def test_a_pool_outlives_its_processes(deadly: Callable, tmp_path: Path) -> None:
    problem = deadly(False)
    with opened(2) as executor:
        found = studies.run(problem, executor, tmp_path / "s", tile_cells=1)
    assert (tmp_path / "mark").exists()
    xr.testing.assert_identical(found, problem.solve().to_dataset())


def test_a_tile_that_always_kills_is_the_only_one_missing(deadly: Callable, tmp_path: Path) -> None:
    problem = deadly(True)
    with pytest.raises(studies.WorkerError, match="again and again over tile 0-2"), opened(2) as executor:
        studies.run(problem, executor, tmp_path / "s", tile_cells=1)
    assert len(list((tmp_path / "s" / "tiles").iterdir())) == 5


def test_a_cluster_outlives_its_processes(deadly: Callable, cluster: Any, tmp_path: Path) -> None:
    problem = deadly(False)
    with opened(scheduler=cluster.scheduler_address) as executor:
        executor._client.run(_set, str(tmp_path / "mark"))
        found = studies.run(problem, executor, tmp_path / "s", tile_cells=1)
    assert (tmp_path / "mark").exists()
    xr.testing.assert_identical(found, problem.solve().to_dataset())


def _set(mark: str) -> None:
    import os

    os.environ["DEADLY"] = mark


def test_workers_of_another_version_are_refused() -> None:
    with pytest.raises(studies.WorkerError, match=r"a worker has version .* the study 99\.0"):
        engine.perform(Theory([GRID], (), (), None, None).task(0), "99.0")


@pytest.mark.parametrize(("options", "message"), [
    ({"workers": 0}, "workers: must be a whole number >= 1, got 0"),
    ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "scheduler: excludes workers"),
    ({"scheduler": "nonsense://a"}, "scheduler: no dask scheduler answers at nonsense://a"),
])
def test_bad_options(options: dict[str, Any], message: str) -> None:
    if "nonsense" in str(options):
        pytest.importorskip("distributed")
    with pytest.raises(ParameterError, match=message), opened(**options):
        pass


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ParameterError, match=r"needs the package distributed: pip install asymptotics\[cluster\]"), \
            opened(scheduler="tcp://127.0.0.1:1"):
        pass


# ---- identity


def test_fingerprints_tell_problems_apart_and_do_not_change() -> None:
    problems = [GRID, GRID.replace(lam=0.6), GRID.replace(activation="relu"), GRID.replace(levels=[1.0, 2.5]),
                GRID.replace(model="double"), GRID.replace(exact=False), GRID.isel(alpha=slice(1, None)),
                GRID.replace(weights=[[1.0, 2.0]]), GRID.replace(n=3), STEP, STEP.replace(activation="he2(x) + 0.1*x"),
                asy.LinearNetworkScaling(preset="ntk"), asy.LinearNetworkScaling(preset="mean_field")]
    digests = [fingerprint(problem) for problem in problems]
    assert len(set(digests)) == len(problems)
    code = ("import tests.test_study_executors as t\n"
            "print(t.fingerprint(t.GRID), t.fingerprint(t.STEP))")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digests[0], fingerprint(STEP)]


# ---- progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = SlowToy(**asy.grid(alpha=[13.0, *np.arange(1.0, 13.0)]), lam=0.5)
    shown = {}
    for kind in (Terminal, io.StringIO):
        screen = kind()
        monkeypatch.setattr(sys, "stderr", screen)
        with pytest.warns(asy.AccuracyWarning, match="1 of 13 cells did not converge"):
            studies.run(problem, tile_cells=1)
        shown[kind] = screen.getvalue()
    assert shown[io.StringIO] == ""
    assert re.search(r"[1-9]\d*/13 \[00:00<00:00, .*tile/s, not converged: 1\]", shown[Terminal])
