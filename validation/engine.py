"""Simulating the networks of a protocol, in several processes; the networks do not depend on how many."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from asymptotics import ParameterError, Problem

from .journal import Journal, Key
from .protocols import Protocol, Runs, Simulator
from .report import Report

_BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_TASK_SIZE = 1200  # sum of the input dimensions of the networks of one task


def run(protocol: Protocol, seed: int = 0, workers: int | None = None, journal: str | Path | None = None) -> Report:
    """Simulate a protocol and judge it.

    Parameters
    ----------
    protocol : Protocol
    seed : int
        Root of all seeds, >= 0.
    workers : int, optional
        Processes, each with one BLAS thread; all cores by default.  The result does not depend on it.
    journal : path-like, optional
        Where finished networks are kept; a run that was killed continues from there.

    Returns
    -------
    Report

    Raises
    ------
    ParameterError
        If seed or workers are out of range, or the journal belongs to another run.
    """
    workers = available_cores() if workers is None else workers
    for name, value, least in (("seed", seed, 0), ("workers", workers, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ParameterError(name, f"must be a whole number >= {least}, got {value!r}")
    with contextlib.ExitStack() as stack:
        kept = None if journal is None else stack.enter_context(Journal(journal, protocol.identity(seed)))
        finished: dict[Key, Mapping[str, Any]] = {} if kept is None else dict(kept.finished)
        for key, values in _simulate(protocol, seed, workers, finished):
            finished[key] = values
            if kept is not None:
                kept.add(key, values)
    return protocol.report(_collect(protocol, finished))


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _simulate(
    protocol: Protocol, seed: int, workers: int, finished: Mapping[Key, Any]
) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """The missing networks as they are finished, the largest first."""
    from tqdm import tqdm

    tasks = list(_tasks(protocol, finished))
    with tqdm(total=sum(len(task) for task in tasks), desc="networks", unit="network", disable=None,
              leave=False) as bar, _one_blas_thread():
        if not tasks:
            return
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        try:
            jobs = []
            for task in tasks:
                name, d, _ = task[0]
                seeds = [protocol.seed(seed, (name, d), repetition) for _, _, repetition in task]
                sizes = {"d": d, "test": protocol.test_points}
                simulate, problem = protocol.simulator(name), protocol.setting(name).problem
                job = pool.submit(_networks, simulate, problem, sizes, seeds, task)
                jobs.append(job)
            for job in as_completed(jobs):
                for key, values in job.result():
                    yield key, values
                    bar.update()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _tasks(protocol: Protocol, finished: Mapping[Key, Any]) -> Iterator[list[Key]]:
    required = protocol.required()
    for (name, d), count in sorted(required.items(), key=lambda item: -item[0][1]):
        missing = [(name, d, repetition) for repetition in range(count) if (name, d, repetition) not in finished]
        length = max(1, _TASK_SIZE // d)
        for begin in range(0, len(missing), length):
            yield missing[begin:begin + length]


def _networks(
    simulate: Simulator, problem: Problem, sizes: Mapping[str, int], seeds: list[np.random.SeedSequence],
    keys: list[Key],
) -> list[tuple[Key, Mapping[str, Any]]]:
    return [(key, simulate(problem, sizes, seed)) for key, seed in zip(keys, seeds, strict=True)]


def _collect(protocol: Protocol, finished: Mapping[Key, Mapping[str, Any]]) -> Runs:
    """Observables with a last axis over networks."""
    runs: dict[tuple[str, int], dict[str, np.ndarray]] = {}
    for (name, d), count in protocol.required().items():
        networks = [finished[name, d, repetition] for repetition in range(count)]
        runs[name, d] = {key: np.stack([network[key] for network in networks], axis=-1) for key in networks[0]}
    return runs


@contextlib.contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Processes that are started inside see one BLAS thread, which makes their results the same on any machine load."""
    before = {name: os.environ.get(name) for name in _BLAS_THREADS}
    os.environ.update(dict.fromkeys(_BLAS_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
