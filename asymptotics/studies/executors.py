"""Where tiles are solved: processes of this machine, or a dask cluster."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from ..errors import ParameterError
from ..problem import Problem

_GRACE = 20.0  # seconds that a process of a pool goes on after SIGTERM
_PATIENCE = 0.2  # seconds that a pool may take to end in good order


class Pool(Executor):
    """Spawned processes that end with this one, and that can be replaced after one of them died.

    Parameters
    ----------
    workers : int
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # spawned, not forked: a fork copies locks that threads of this process hold
        return ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"), initializer=_attend)

    def submit(self, function: Callable, /, *arguments: Any, **named: Any) -> Future:
        """See `concurrent.futures.Executor.submit`."""
        return self._pool.submit(function, *arguments, **named)

    def renew(self) -> None:
        """New processes in the place of all old ones."""
        self.kill()
        self._pool = self._start()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `concurrent.futures.Executor.shutdown`."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.shutdown()
        else:
            self.kill()

    def kill(self) -> None:
        """End the processes whatever they do."""
        processes = list((self._pool._processes or {}).values())
        manager: Any = self._pool._executor_manager_thread
        self._pool.shutdown(wait=False, cancel_futures=True)
        if manager is not None:
            manager.join(_PATIENCE)  # until it has forgotten what was cancelled: a process that dies confuses it before
        for process in processes:
            process.kill()
        if manager is not None:
            manager.join()


def _attend() -> None:
    """A process of the pool leaves interruptions to its parent, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave_soon)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_soon(*rest: object) -> None:
    """A batch system ends all processes at once; the parent is still to get what is almost finished."""
    timer = threading.Timer(_GRACE, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def opened(workers: int | None = None, scheduler: str | None = None) -> Iterator[Executor | None]:
    """The executor for these options; None for this process.

    Parameters
    ----------
    workers : int, optional
        Processes of this machine; 1 is this process itself.
    scheduler : str, optional
        Address of a dask scheduler, such as "tcp://10.0.0.1:8786".

    Raises
    ------
    ParameterError
        If both are given, workers is out of range, or the scheduler cannot be reached.
    """
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ParameterError("workers", f"must be a whole number >= 1, got {workers!r}")
    if scheduler is not None:
        if workers is not None:
            raise ParameterError("scheduler", "excludes workers: a cluster has its own")
        with _client(scheduler) as client:
            yield client.get_executor()
    elif workers is None or workers == 1:
        yield None
    else:
        with Pool(workers) as pool:
            yield pool


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ParameterError("scheduler", "needs the package distributed: pip install asymptotics[cluster]") from None
    logging.getLogger("distributed").setLevel(logging.ERROR)
    try:
        return Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ParameterError("scheduler", f"no dask scheduler answers at {address} ({type(error).__name__})") from None


def width(executor: Executor) -> int:
    """How many tiles it solves at once, as far as can be known."""
    client = getattr(executor, "_client", None)
    if client is not None:
        return max(1, sum(client.ncores().values()))
    return int(getattr(executor, "workers", None) or getattr(executor, "_max_workers", None) or 16)


def check_sendable(executor: Executor | None, values: list[tuple[str, Any]]) -> None:
    """Refuse values that cannot be sent to other processes, under their names."""
    by_itself = executor is not None and type(executor).__module__.startswith("distributed")  # it sends functions too
    if executor is None or by_itself or isinstance(executor, ThreadPoolExecutor):
        return
    for name, value in values:
        try:
            pickle.dumps(value)
        except Exception:  # pickle raises whatever the object raises
            raise ParameterError(name, f"{_shown(value)} cannot be sent to other processes: define the function in an "
                                 "importable module, or run with one worker") from None


def parts(problem: Problem) -> list[tuple[str, Any]]:
    """The fixed parameters of a problem by name; a problem that is sent elsewhere consists of these and numbers."""
    return [(name, getattr(problem, name)) for name, declared in problem.parameters.items() if not declared.is_cell]


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
