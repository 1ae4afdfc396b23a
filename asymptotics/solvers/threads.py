"""One BLAS thread for many small matrices."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any


def one_blas_thread() -> AbstractContextManager[Any]:
    """Within it BLAS uses one thread: for stacks of small matrices more only wait for each other."""
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller() -> Any:
    import numpy as np  # its BLAS must be loaded to be found
    from threadpoolctl import ThreadpoolController

    np.linalg.solve(np.eye(1), np.ones(1))
    return ThreadpoolController()
