"""One BLAS thread for many small matrices."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def one_blas_thread(function: F) -> F:
    """A function within which BLAS uses one thread: for stacks of small matrices more only wait for each other."""

    @functools.wraps(function)
    def alone(*arguments: Any, **named: Any) -> Any:
        with _controller().limit(limits=1, user_api="blas"):
            return function(*arguments, **named)

    return alone  # type: ignore[return-value]


@functools.cache
def _controller() -> Any:
    import numpy as np  # its BLAS must be loaded to be found
    from threadpoolctl import ThreadpoolController

    np.linalg.solve(np.eye(1), np.ones(1))
    return ThreadpoolController()
