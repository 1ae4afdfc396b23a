"""Studies: what the engine adds to the solving, a large diagram, memory with a store, two processes.

`OMP_NUM_THREADS=1 python -m benchmarks.studies` (about three minutes; `--quick` is shorter) prints one line a figure.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import asymptotics as asy
from asymptotics import studies
from asymptotics.studies.executors import opened
from asymptotics.studies.plan import Plan, plan


def diagram(alphas: int, lams: int) -> asy.Problem:
    """Test error of the published model against samples and ridge."""
    return asy.GiantStep(activation="tanh", target="sin", alpha0=20, eta=3, model="isotropic", **asy.grid(
        alpha=np.geomspace(0.1, 10, alphas), lam=np.geomspace(1e-4, 10, lams)))


def overhead(alphas: int, store: bool, observables: list[str] | None = None) -> dict[str, float]:
    """Seconds of a run over those of a plain loop that solves the same tiles and keeps what they answer in arrays."""
    problem = diagram(alphas, 1000)
    problem.isel(alpha=slice(0, 8)).solve()
    cut = plan(problem)
    ratios, work, lengths = [], [], []
    for _ in range(9):
        start, busy = time.perf_counter(), time.process_time()
        loop(problem, cut, observables)
        alone, alone_busy = time.perf_counter() - start, time.process_time() - busy
        with tempfile.TemporaryDirectory() as directory:
            start, busy = time.perf_counter(), time.process_time()
            studies.run(problem, store=Path(directory) / "s" if store else None, observables=observables)
            ratios.append((time.perf_counter() - start) / alone - 1)
            work.append((time.process_time() - busy) / alone_busy - 1)
        lengths.append(alone / len(cut))
    return {"tiles": len(cut), "seconds per tile": float(np.median(lengths)), "overhead": float(np.median(ratios)),
            "of processor time": float(np.median(work))}


def loop(problem: asy.Problem, cut: Plan, observables: list[str] | None) -> dict[str, np.ndarray]:
    """What one would write without the engine: slice after slice, into arrays for the whole grid."""
    whole: dict[str, np.ndarray] = {}
    for where in cut:
        prediction = problem.isel(**dict(zip(problem.dims, where, strict=True))).solve(observables)
        for name in (*prediction.values, "converged", "residual"):
            values = np.asarray(getattr(prediction, name))
            if name not in whole:
                whole[name] = np.empty(cut.shape + values.shape[len(cut.shape):], values.dtype)
            whole[name][where] = values
    return whole


def timed(alphas: int, lams: int, workers: int = 1, repeats: int = 1) -> float:
    """Seconds of a diagram with all observables, the start of the processes not included."""
    problem = diagram(alphas, lams)
    times = []
    with opened(workers) as executor:
        studies.run(problem.isel(alpha=slice(0, 8 * workers)), executor, tile_cells=8 * lams)
        for _ in range(repeats):
            start = time.perf_counter()
            studies.run(problem, executor)
            times.append(time.perf_counter() - start)
    return min(times)


def memory(alphas: int, lams: int, every: bool, targets: int = 1) -> dict[str, float]:
    """Highest resident memory of a process that runs a study file with a store and writes a dataset."""
    with tempfile.TemporaryDirectory() as directory:
        study = Path(directory) / "a.toml"
        observables = "" if every else 'observables = ["test_error", "generalization_error", "train_error"]\n'
        study.write_text(
            'theory = "giant-step"\n[parameters]\nactivation = "tanh"\nalpha0 = 20.0\neta = 3.0\nmodel = "isotropic"\n'
            f'[axes]\ntarget = {json.dumps(["sin", "relu", "he2", "abs"][:targets])}\n'
            f'alpha = {{ start = 0.1, stop = 10.0, num = {alphas}, spacing = "log" }}\n'
            f'lam = {{ start = 1e-4, stop = 10.0, num = {lams}, spacing = "log" }}\n'
            f'[output]\n{observables}netcdf = "a.nc"\n[run]\nstore = "a.store"\n')
        code = ("import json, resource, sys; from asymptotics import studies\n"
                "studies.run_study(studies.load(sys.argv[1]), sys.argv[2])\n"
                "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)")
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code, str(study), directory], capture_output=True, text=True,
                              check=True)
        return {"seconds": time.perf_counter() - start, "MiB": int(done.stdout) / 1024,
                "dataset MiB": (Path(directory) / "a.nc").stat().st_size / 2**20}


def main() -> None:
    """Print every figure as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    scale = 10 if quick else 1

    def say(name: str, value: object) -> None:
        print(json.dumps({name: value}), flush=True)

    say("overhead, in this process", overhead(500, store=False))
    say("overhead, with a store", overhead(500, store=True))
    say("overhead, with a store, two observables", overhead(500, True, ["test_error", "train_error"]))
    one = timed(1000 // scale, 1000)
    say("10^6 cells, isotropic, one core, seconds", one * scale)
    say("two processes, times one", one / timed(1000 // scale, 1000, workers=2))
    say("10^7 cells with a store, three observables", memory(2500 // scale, 4000, every=False))
    say("10^7 cells with a store, all observables", memory(2500 // scale, 4000, every=True))
    say("10^7 cells with a store, all observables, an axis over four targets",
        memory(625 // scale, 4000, every=True, targets=4))
    say("this process, MiB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
