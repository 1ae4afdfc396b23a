"""One BLAS thread: for many small matrices, and for results that do not depend on the machine's load."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def one_blas_thread(function: F) -> F:
    """A function within which BLAS uses one thread: for stacks of small matrices more only wait for each other."""

    @functools.wraps(function)
    def alone(*arguments: Any, **named: Any) -> Any:
        with single_blas_thread():
            return function(*arguments, **named)

    return alone  # type: ignore[return-value]


@contextlib.contextmanager
def single_blas_thread() -> Iterator[None]:
    """Within it BLAS uses one thread, in the whole process."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _controller() -> Any:
    import numpy as np  # NumPy and SciPy bring a BLAS each, which must be loaded to be found
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    np.linalg.solve(np.eye(1), np.ones(1))
    return ThreadpoolController()
