"""What the command lines share: usage errors and bad input become one line on standard error, never a traceback."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from .errors import ParameterError
from .files import reason

INVALID, INTERRUPTED, BROKEN_PIPE, TERMINATED = 2, 130, 141, 143

_LONGEST_LINE = 400


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `ParameterError`."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting."""
        name, _, rest = message.removeprefix("argument ").partition(": ")
        about_one = message.startswith("argument ")
        raise ParameterError(name if about_one else "usage", rest if about_one else message)


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit code, or the code of what went wrong, said in one line."""
    terminated = threading.Event()
    try:
        with _plain_warnings(), _termination(terminated):
            code = command()
            sys.stdout.flush()
            return code
    except ParameterError as error:
        return _refuse(str(error))
    except RecursionError:
        return _refuse("input: is nested too deeply")
    except MemoryError:
        return _refuse("memory: too many cells, or too large networks, for this machine")
    except BrokenPipeError:
        # whoever read our output has gone; nothing may be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt as interruption:
        if str(interruption):
            print(interruption, file=sys.stderr)
        return TERMINATED if terminated.is_set() else INTERRUPTED
    except OSError as error:
        return _refuse(f"{error.filename or 'output'}: {reason(error)}")


def _refuse(message: str) -> int:
    """One line, however long or strange the message."""
    line = "".join(character if character.isprintable() else " " for character in message)
    if len(line) > _LONGEST_LINE:
        line = line[:_LONGEST_LINE - 3] + "..."
    print(f"error: {line}", file=sys.stderr)
    return INVALID


@contextlib.contextmanager
def _termination(terminated: threading.Event) -> Iterator[None]:
    """The signal with which batch systems end a job is taken as an interruption, unless somebody else takes it."""
    def interrupt(*rest: Any) -> NoReturn:
        terminated.set()
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()  # only there handlers may be set
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show a warning as one line, without a place in the code."""
    def show(message: Warning | str, *rest: Any, **options: Any) -> None:
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        # what concerns the user, not what concerns developers
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", UserWarning)
        warnings.simplefilter("default", RuntimeWarning)
        warnings.showwarning = show
        yield
