"""The engine: tiles that are missing are computed, here or by an executor, and kept."""

from __future__ import annotations

import collections
import contextlib
import errno
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, Protocol

from .. import __version__
from ..solvers import single_blas_thread
from .executors import width
from .pieces import Piece
from .progress import Bar
from .store import Store

_LARGEST_BACKLOG = 4  # pieces that wait to be written
_ATTEMPTS = 3  # at a tile whose process dies; also the number of processes that may die with nothing finished


class Task(NamedTuple):
    """A function of a module with its arguments: what is sent to another process."""

    function: Callable[..., Piece]
    arguments: tuple


class Work(Protocol):
    """What is to be computed, tile by tile; tasks are made when they are needed."""

    @property
    def unit(self) -> str:
        """What a tile is called."""

    def __len__(self) -> int: ...

    def key(self, number: int) -> str:
        """The name of a tile, which says all about it within one store."""

    def task(self, number: int) -> Task:
        """What computes a tile."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; says how to go on."""


class WorkerError(ChildProcessError):
    """Worker processes died again and again, or are not what they should be."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.ECHILD, message, "workers")

    def __reduce__(self) -> tuple:
        return WorkerError, (self.strerror,)


def compute(
    work: Work, keep: Callable[[int, Piece], Any], executor: Executor | None = None, store: Store | None = None
) -> None:
    """Hand every piece to `keep`: those in the store first, then the others as they are finished.

    Parameters
    ----------
    work : Work
    keep : callable
        `(number, piece)`; is called in this process and thread.
    executor : concurrent.futures.Executor, optional
        Where tiles are computed; by default here.
    store : Store, optional
        Where finished tiles are found and kept.

    Raises
    ------
    Interrupted
        On Ctrl-C, after what was being computed elsewhere has been kept.
    WorkerError
        If processes of the executor died three times over one tile; the others are finished before this is raised,
        unless nothing is finished any more.
    """
    missing = []
    done = failed = 0
    try:
        for number in range(len(work)):
            piece = None if store is None else store.read(work.key(number))
            if piece is None:
                missing.append(number)
            else:
                done, failed = done + 1, failed + piece.failed
                keep(number, piece)
        with Bar(len(work), done, failed, work.unit) as bar, _writing(store) as write:
            for number, piece, seconds in _computed(work, missing, executor):
                write(work.key(number), piece, seconds)
                done += 1
                keep(number, piece)
                bar.advance(piece.failed)
                del piece  # its memory serves the next tile
    except KeyboardInterrupt:
        raise Interrupted(_how_to_go_on(done, len(work), work.unit, store)) from None


def _how_to_go_on(done: int, count: int, unit: str, store: Store | None) -> str:
    if store is None:
        return f"interrupted after {done} of {count} {unit}s; none are kept: a store (--store DIR) would keep them"
    return f"interrupted: {done} of {count} {unit}s are in {store.path}; the same command with this store goes on"


def _computed(work: Work, missing: Sequence[int], executor: Executor | None) -> Iterator[tuple[int, Piece, float]]:
    if executor is None:
        for number in missing:
            yield (number, *perform(work.task(number), __version__))
    else:
        yield from _spread(work, missing, executor)


def _spread(work: Work, missing: Sequence[int], executor: Executor) -> Iterator[tuple[int, Piece, float]]:
    """Pieces as they are finished; tiles that were under way when a process died are computed again, one at a time."""
    lost: list[int] = []
    yield from _computed_by(work, missing, executor, 2 * width(executor) + 1, lost)
    deadly: list[int] = []
    for number in lost:
        again: list[int] = []
        for _ in range(_ATTEMPTS):
            again.clear()
            yield from _computed_by(work, [number], executor, 1, again)
            if not again:
                break
        deadly += again
        if len(deadly) == _ATTEMPTS:
            break
    if deadly:
        raise WorkerError(_died(work, deadly[0]))


def _computed_by(
    work: Work, missing: Sequence[int], executor: Executor, limit: int, lost: list[int]
) -> Iterator[tuple[int, Piece, float]]:
    """Pieces as they are finished, at most `limit` on their way at a time: a long study needs no memory.

    Adds to `lost` what was on its way when a process died.
    """
    waiting = collections.deque(missing)
    running: dict[Future, int] = {}
    breaks = 0
    try:
        while waiting or running:
            broken = False
            try:
                while waiting and len(running) < limit:
                    running[executor.submit(perform, work.task(waiting[0]), __version__)] = waiting[0]
                    waiting.popleft()
            except BrokenExecutor:
                broken = True
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                number = running.pop(future)
                try:
                    piece, seconds = future.result()
                except BrokenExecutor:
                    lost.append(number)
                    broken = True
                except Exception as error:
                    if type(error).__name__ == "KilledWorker":  # of a dask cluster, which has tried again by itself
                        raise WorkerError(_died(work, number)) from None
                    raise
                else:
                    breaks = 0
                    yield (number, piece, seconds)
            if broken:
                breaks += 1
                lost += [number for future, number in running.items() if not _has_result(future)]
                yield from _finished(running)
                running.clear()
                renew = getattr(executor, "renew", None)
                if renew is None or (breaks == _ATTEMPTS and lost):
                    raise WorkerError(_died(work, lost[0] if lost else missing[0]))
                renew()
    except KeyboardInterrupt:
        for future in running:
            future.cancel()
        yield from _finished(running)
        raise
    finally:
        for future in running:
            future.cancel()


def _has_result(future: Future) -> bool:
    return not future.cancelled() and future.exception() is None


def _finished(running: dict[Future, int]) -> Iterator[tuple[int, Piece, float]]:
    """What comes of the tiles that are under way."""
    for future, number in list(running.items()):
        if _has_result(future):
            yield (number, *future.result())


def _died(work: Work, number: int) -> str:
    return (f"a process died again and again over {work.unit} {work.key(number)} (too little memory, or a function "
            "that cannot be loaded there); what is finished is kept if there is a store")


def perform(task: Task, version: str) -> tuple[Piece, float]:
    """Compute a tile with one BLAS thread, so that it has the same bits everywhere; the piece and the seconds."""
    if version != __version__:
        raise WorkerError(f"a worker has version {__version__} of asymptotics, the study {version}")
    start = time.perf_counter()
    with single_blas_thread():
        piece = task.function(*task.arguments)
    return piece, time.perf_counter() - start


@contextlib.contextmanager
def _writing(store: Store | None) -> Iterator[Callable[[str, Piece, float], None]]:
    """Writes to the store while the next tile is computed; at the end everything is on disk, or the error is raised."""
    if store is None:
        yield lambda *piece: None
        return
    backlog: collections.deque[Future] = collections.deque()

    def write(key: str, piece: Piece, seconds: float) -> None:
        while len(backlog) >= _LARGEST_BACKLOG or (backlog and backlog[0].done()):
            backlog.popleft().result()
        backlog.append(writer.submit(store.write, key, piece, seconds))

    with ThreadPoolExecutor(1, thread_name_prefix="store") as writer:
        yield write
        # an exception on the way here waits for the writer too
        for future in backlog:
            future.result()
