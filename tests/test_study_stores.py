"""Stores survive kills, damage, full disks and other runs."""

from __future__ import annotations

import io
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import asymptotics as asy
from asymptotics import ParameterError, studies
from asymptotics.netcdf import write_dataset
from asymptotics.studies import gathered
from asymptotics.studies import store as stores
from asymptotics.studies.pieces import Piece, decode, encode, intact
from asymptotics.studies.store import Store
from asymptotics.theories import THEORIES
from tests.slow_toy import TILES, problem
from tests.toy import Toy

ROOT = Path(__file__).parents[1]
GRID = Toy(**asy.grid(alpha=np.linspace(0.5, 4.0, 30), shift=[0.0, 1.0, 2.0]), lam=0.5)


def log(store: Path, event: str = "finished") -> list[dict[str, Any]]:
    path = store / "log.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [entry for entry in entries if entry["event"] == event]


def start(store: Path, result: Path, workers: int = 1, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "tests.slow_toy", str(store), str(result), str(workers)], cwd=ROOT,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def wait_until(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def killed_at_random_moments(directory: Path, kills: int, workers: int, seed: int) -> None:
    """Kill a study again and again, then let it finish: the same bits, and no finished tile computed twice."""
    moments = random.Random(seed)
    store, result = directory / "a.store", directory / "a.nc"
    killed = 0
    while killed < kills:
        runs = len(log(store, "opened"))
        process = start(store, result, workers)
        wait_until(lambda runs=runs, process=process: len(log(store, "opened")) > runs or process.poll() is not None)
        # so that about as much is left for every kill
        time.sleep(moments.uniform(0, 2 * 0.025 * TILES / workers / kills) + (1.0 if workers > 1 else 0.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += 1
        for path in (store / "tiles").glob("*.nc"):
            assert intact(path.read_bytes())
    process = start(store, result, workers)
    assert process.communicate() == ("", "") and process.returncode == 0
    with xr.open_dataset(result, engine="scipy") as found:
        xr.testing.assert_identical(found.load(), problem().solve().to_dataset())
    times = Counter(entry["tile"] for entry in log(store))
    assert set(times.values()) == {1}
    files = {path.name for path in (store / "tiles").iterdir()}
    assert {entry["file"] for entry in log(store)} <= files and len(files) == TILES
    # a kill between the file and its line in the log may hide a tile, never double it
    assert TILES - kills <= len(times) <= TILES


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_study_goes_on(tmp_path: Path, workers: int) -> None:
    killed_at_random_moments(tmp_path, 3, workers, seed=workers)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_study_killed_at_twenty_moments_goes_on(tmp_path: Path, workers: int) -> None:
    killed_at_random_moments(tmp_path, 20, workers, seed=10 + workers)


def test_workers_do_not_outlive_a_killed_study(tmp_path: Path) -> None:
    process = start(tmp_path / "a.store", tmp_path / "a.nc", 2)
    wait_until(lambda: len(log(tmp_path / "a.store")) > 2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        pytest.skip("no list of child processes here")
    pids = children.read_text().split()
    process.kill()
    process.communicate()
    assert len(pids) >= 2
    wait_until(lambda: not any(running(pid) for pid in pids))


def running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_says_how_to_go_on(tmp_path: Path, workers: int, ending: signal.Signals, code: int) -> None:
    store = tmp_path / "a.store"
    process = start(store, tmp_path / "a.nc", workers, start_new_session=True)
    wait_until(lambda: len(log(store)) > 3)
    os.killpg(process.pid, ending)  # as a terminal or a batch system does: to all processes
    out, err = process.communicate()
    assert process.returncode == code and out == ""
    count = len(list((store / "tiles").glob("*.nc")))
    assert err == (f"interrupted: {count} of {TILES} tiles are in {store}; the same command with this store goes on\n")
    assert log(store, "closed")[-1]["reason"] == "Interrupted"
    done = start(store, tmp_path / "a.nc", workers)
    assert done.communicate() == ("", "")
    assert len(log(store)) == TILES == len({entry["tile"] for entry in log(store)})


def test_a_run_without_a_store_says_that_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*rest: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Toy, "_solve", stop)
    with pytest.raises(studies.Interrupted, match="interrupted after 0 of 1 tiles; none are kept"):
        studies.run(GRID)


# ---- damage


def encoded(piece: Piece, **attributes: str) -> bytes:
    file = io.BytesIO()
    encode(file, piece, attributes)
    return file.getvalue()


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "other", "header"])
def test_damaged_tiles_are_computed_again(tmp_path: Path, damage: str) -> None:
    whole = studies.run(GRID, store=tmp_path, tile_cells=10)
    files = sorted((tmp_path / "tiles").iterdir())
    before = {path.name: path.read_bytes() for path in files}
    data = bytearray(before[files[2].name])
    if damage == "cut":
        data = data[:-1]
    elif damage == "empty":
        data = bytearray()
    elif damage == "flipped":
        data[-5] ^= 1
    elif damage == "header":
        data[10] ^= 128
    else:
        data = bytearray(before[files[3].name])
    files[2].write_bytes(data)
    count = len(log(tmp_path))
    xr.testing.assert_identical(studies.run(GRID, store=tmp_path, tile_cells=10), whole)
    assert [entry["file"] for entry in log(tmp_path, "damaged")] == [files[2].name]
    assert [entry["file"] for entry in log(tmp_path)[count:]] == [files[2].name]
    assert {path.name: path.read_bytes() for path in files} == before


def test_every_flipped_bit_is_noticed() -> None:
    data = encoded(Piece({"a": (("x",), np.arange(3.0), {})}), tile="0")
    assert intact(data)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 4
        assert not intact(bytes(changed))


def test_pieces_come_back_as_they_were() -> None:
    values = np.array([[0.1, np.nan, np.inf], [-np.inf, -0.0, 5e-324]])
    piece = Piece({
        "a": (("x", "y"), values, {"long_name": "λ of the a", "units": "1", "symbol": "",
                                   "flag_values": np.arange(2, dtype=np.int8)}),
        "ok": (("x",), np.array([True, False]), {}),
        "code": (("x",), np.array([-1, 3], dtype=np.int8), {}),
        "scalar": ((), np.float64(0.1), {}),
    }, 3, ("one α", "two"))
    back, attributes = decode(encoded(piece, tile="0-1"))
    assert attributes["tile"] == "0-1"
    assert (back.failed, back.warnings) == (3, piece.warnings)
    for name, (dims, array, _) in piece.variables.items():
        assert back.variables[name][0] == dims
        assert back.variables[name][1].dtype == np.asarray(array).dtype
        assert back.variables[name][1].tobytes() == np.asarray(array).tobytes()


def test_tiles_are_datasets_by_themselves(tmp_path: Path) -> None:
    whole = studies.run(GRID, store=tmp_path, tile_cells=10)
    with xr.open_dataset(next((tmp_path / "tiles").iterdir()), engine="scipy") as tile:
        assert tile["test_error"].attrs == whole["test_error"].attrs
        cells = whole.sel(alpha=tile["alpha"], shift=tile["shift"])
        np.testing.assert_array_equal(tile["test_error"], cells["test_error"])
        assert tile["converged"].dtype == bool


# ---- other runs


def test_a_store_of_another_study_is_refused_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies.run(GRID, store=tmp_path, tile_cells=10)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    for other in (GRID.replace(lam=0.6), GRID.replace(activation="relu"), GRID.isel(alpha=slice(1, None))):
        with pytest.raises(ParameterError, match=r"store: .* belongs to another study; give another directory"):
            studies.run(other, store=tmp_path, tile_cells=10)
    with pytest.raises(ParameterError, match="belongs to another study"):
        studies.run(GRID, store=tmp_path, tile_cells=10, observables=["floor"])
    monkeypatch.setattr(stores, "__version__", "99.0")
    with pytest.raises(ParameterError, match=r"was made by version .*, this is 99\.0; give another directory"):
        studies.run(GRID, store=tmp_path, tile_cells=10)
    assert {path: path.read_bytes() for path in before} == before


def test_a_directory_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ParameterError, match=r"is not a store: it holds thesis\.tex"):
        studies.run(GRID, store=tmp_path)
    with pytest.raises(ParameterError, match=r"thesis\.tex is not a directory"):
        studies.run(GRID, store=tmp_path / "thesis.tex")
    with pytest.raises(ParameterError, match="store: cannot use"):
        studies.run(GRID, store=tmp_path / "thesis.tex" / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "study.json").write_text("nonsense")
    with pytest.raises(ParameterError, match="cannot be read"):
        studies.run(GRID, store=tmp_path)


def test_two_runs_exclude_each_other(tmp_path: Path) -> None:
    store = tmp_path / "a.store"
    with Store(store, {}):
        second = start(store, tmp_path / "a.nc")
        _, err = second.communicate()
    assert second.returncode == 2
    assert err.startswith(f"error: store: {store} is in use by another run (process {os.getpid()} on ")
    assert len(log(store, "opened")) == 1


def test_the_lock_goes_with_its_owner(tmp_path: Path) -> None:
    with Store(tmp_path, {"a": 1}), pytest.raises(ParameterError, match="in use by another run"):
        Store(tmp_path, {"a": 1})
    Store(tmp_path, {"a": 1}).__exit__(None, None, None)


# ---- a full disk


def small_disk(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount disks, which nobody else sees and which end with it."""
    space = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run([*space, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("disks cannot be mounted here")
    return subprocess.run([*space, "sh", "-c", script, "sh", *map(str, arguments)], cwd=ROOT, capture_output=True,
                          text=True)


@pytest.mark.parametrize("kilobytes", [4, 8, 12, 60])
def test_a_study_on_a_full_disk_goes_on_when_there_is_room(tmp_path: Path, kilobytes: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = small_disk(
        'mount -t tmpfs -o size="$4k" tmpfs "$2" && "$1" -m tests.slow_toy "$2/a.store" "$3"; echo $?\n'
        'mount -o remount,size=4m "$2" && "$1" -m tests.slow_toy "$2/a.store" "$3"; echo $?\n'
        'cp -r "$2/a.store" "$3.store"', sys.executable, disk, tmp_path / "a.nc", kilobytes)
    assert done.stdout.split() == ["2", "0"]
    assert re.fullmatch(rf"error: (store: cannot use )?{disk}/a\.store.* ?\(?No space left on device\)?\n", done.stderr)
    with xr.open_dataset(tmp_path / "a.nc", engine="scipy") as found:
        xr.testing.assert_identical(found.load(), problem().solve().to_dataset())
    times = Counter(entry["tile"] for entry in log(tmp_path / "a.nc.store"))
    assert set(times.values()) == {1} and len(times) >= TILES - 1
    assert len(list((tmp_path / "a.nc.store" / "tiles").iterdir())) == TILES


def test_a_full_disk_keeps_what_is_finished(tmp_path: Path) -> None:
    store = tmp_path / "a.store"
    studies.run(GRID, store=tmp_path / "b.store", tile_cells=30)
    code = (
        "import sys, resource, tests.test_study_stores as t; from asymptotics import studies;"
        "from asymptotics.console import guarded\n"
        "def limited():\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), -1))\n"
        "    studies.run(t.GRID, store=sys.argv[1], tile_cells=30)\n"
        "    return 0\n"
        "sys.exit(guarded(limited))"
    )
    size = next((tmp_path / "b.store" / "tiles").iterdir()).stat().st_size
    done = subprocess.run([sys.executable, "-c", code, str(store), str(size - 8)], cwd=ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {store}") and done.stderr.endswith("File too large\n")
    assert done.stderr.count("\n") == 1
    assert list((store / "tiles").iterdir()) == []
    xr.testing.assert_identical(studies.run(GRID, store=store, tile_cells=30), studies.run(GRID, tile_cells=30))


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY, reason="files are limited")
def test_a_write_that_fails_leaves_the_tiles_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 9:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(stores.os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        studies.run(GRID, store=tmp_path, tile_cells=10)
    monkeypatch.undo()
    left = len(log(tmp_path))
    assert 0 < left < 9
    assert len(list((tmp_path / "tiles").iterdir())) >= left
    studies.run(GRID, store=tmp_path, tile_cells=10)
    assert set(Counter(entry["tile"] for entry in log(tmp_path)).values()) == {1}


# ---- what stays in the store until it is asked for


def test_large_results_are_read_when_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = studies.run(GRID, tile_cells=7)
    monkeypatch.setattr(gathered, "_LARGEST_IN_MEMORY", 0)
    lazy = studies.run(GRID, store=tmp_path / "s", tile_cells=7)
    for selection in ({"alpha": 3}, {"alpha": slice(2, 20, 3), "shift": -1}, {"shift": slice(None, None, -1)},
                      {"degree": 1, "alpha": [5, 1, 1]}, {"alpha": 0, "shift": 0}):
        xr.testing.assert_identical(lazy.isel(selection).load(), whole.isel(selection))
    write_dataset(tmp_path / "a.nc", lazy)
    assert not lazy["test_error"].variable._in_memory
    whole.to_netcdf(tmp_path / "b.nc", engine="scipy")
    for decode_cf in (True, False):
        with xr.open_dataset(tmp_path / "a.nc", engine="scipy", decode_cf=decode_cf) as ours, \
                xr.open_dataset(tmp_path / "b.nc", engine="scipy", decode_cf=decode_cf) as theirs:
            xr.testing.assert_identical(ours.load(), theirs.load())
    assert (tmp_path / "a.nc").stat().st_size == (tmp_path / "b.nc").stat().st_size
    again = studies.run(GRID, store=tmp_path / "s", tile_cells=7)
    for path in (tmp_path / "s" / "tiles").iterdir():
        path.unlink()
    with pytest.raises(ParameterError, match="has gone; run the study again"):
        again["floor"].load()


@pytest.mark.parametrize("optimal", [[], ["ridge"]])
def test_large_results_along_axes_over_fixed_parameters_stay_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimal: list[str]
) -> None:
    monkeypatch.setitem(THEORIES, "toy", Toy)
    study = studies.parse({
        "theory": "toy", "optimal": optimal, "parameters": {} if optimal else {"lam": 0.5},
        "axes": {"model": ["sum", "double"], "alpha": [0.5, 1.5, 2.0, 3.0], "levels": [[1.0, 3.0], [1.0, 2.0]],
                 "shift": [0.0, 1.0, 2.0]},
        "output": {"table": "a.csv", "netcdf": "a.nc"}, "run": {"tile_cells": 4}})
    whole = studies.run_study(study, tmp_path / "whole").dataset
    monkeypatch.setattr(gathered, "_LARGEST_IN_MEMORY", 0)
    lazy = studies.run_study(study, tmp_path / "lazy", store=tmp_path / "s").dataset
    read = [name for name in lazy.variables if lazy.variables[name]._in_memory]
    assert not set(read) & {*whole.data_vars, *(["lam"] if optimal else [])}
    assert list(lazy.variables) == list(whole.variables)
    for selection in ({}, {"model": 1, "shift": [2, 0]}, {"levels": slice(None, None, -1), "alpha": 2},
                      {"model": [], "alpha": slice(1, 3)}):
        xr.testing.assert_identical(lazy.isel(selection).load(), whole.isel(selection))
    files = [tmp_path / name / "a.csv" for name in ("whole", "lazy")]
    assert files[0].read_bytes() == files[1].read_bytes()
    with xr.open_dataset(tmp_path / "lazy" / "a.nc", engine="scipy") as found:
        xr.testing.assert_identical(found.load(), whole)


def test_callables_have_no_place_in_a_store(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="store: cannot know the callable activation"):
        studies.run(GRID.replace(activation=asy.nonlinearity(lambda x: np.tanh(x))), store=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_warnings_are_kept_with_their_tiles(tmp_path: Path) -> None:
    singular = Toy(**asy.grid(alpha=[0.5, 1.0, 13.0], lam=[0.0, 0.5]))
    for _ in range(2):
        with pytest.warns(asy.AccuracyWarning) as caught:
            studies.run(singular, store=tmp_path, tile_cells=2)
        assert sorted(str(warning.message) for warning in caught) == [
            "2 of 6 cells did not converge and are NaN", "the test error diverges at alpha = 1, lam = 0"]
