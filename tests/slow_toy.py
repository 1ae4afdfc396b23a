"""A study of the toy that takes long enough to be killed: `python -m tests.slow_toy STORE RESULT [WORKERS]`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import asymptotics as asy
from asymptotics import studies
from asymptotics.console import guarded
from asymptotics.studies.executors import opened
from tests.toy import Toy

TILES = 40


class SlowToy(Toy):
    """The toy at 20 ms a tile."""

    slug: ClassVar[str] = "slow-toy"

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        time.sleep(0.02)
        return super()._solve(observables, refinement)


class DeadlyToy(Toy):
    """The toy that kills its process: once if `weights` leaves room for a mark on disk, or always."""

    slug: ClassVar[str] = "deadly-toy"

    def _solve(self, observables: tuple[str, ...], refinement: int) -> dict[str, Any]:
        mark = Path(os.environ["DEADLY"])
        if np.any(self.cells.arrays["alpha"] == 3) and not (mark.exists() and mark.is_file()):
            if not mark.exists():
                mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._solve(observables, refinement)


def problem() -> SlowToy:
    return SlowToy(**asy.grid(alpha=np.linspace(0.5, 4.0, 8 * TILES), shift=[0.0, 1.0]), lam=0.3)


def main(store: str, result: str, workers: str = "1") -> int:
    with opened(int(workers)) as executor:
        dataset = studies.run(problem(), executor, store, tile_cells=16)
    dataset.to_netcdf(result, engine="scipy")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(*sys.argv[1:])))
