"""Simulating the networks of a protocol, in several processes; the networks do not depend on how many."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asymptotics import ParameterError
from asymptotics.studies.engine import Task, compute
from asymptotics.studies.executors import Pool
from asymptotics.studies.pieces import Piece
from asymptotics.studies.simulation import simulate_networks
from asymptotics.studies.store import Store

from .protocols import Protocol, Runs
from .report import Report

_TILE_SIZE = 1200  # sum of the input dimensions of the networks of one tile


def run(protocol: Protocol, seed: int = 0, workers: int | None = None, store: str | Path | None = None) -> Report:
    """Simulate a protocol and judge it.

    Parameters
    ----------
    protocol : Protocol
    seed : int
        Root of all seeds, >= 0.
    workers : int, optional
        Processes, each with one BLAS thread; all cores by default.  The result does not depend on it.
    store : path-like, optional
        A directory where finished networks are kept; a run that was killed continues from there.

    Returns
    -------
    Report

    Raises
    ------
    ParameterError
        If seed or workers are out of range, or the store belongs to another run.
    """
    workers = available_cores() if workers is None else workers
    for name, value, least in (("seed", seed, 0), ("workers", workers, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ParameterError(name, f"must be a whole number >= {least}, got {value!r}")
    networks = Networks(protocol, seed)
    with contextlib.ExitStack() as stack:
        about = {"protocol": protocol.title, "seed": seed}
        kept = None if store is None else stack.enter_context(Store(store, networks.identity(), about))
        pool = stack.enter_context(Pool(min(workers, max(1, len(networks)))))
        compute(networks, networks.keep, pool, kept)
    return protocol.report(networks.collect())


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Tile(NamedTuple):
    """Networks of one setting and size: the numbers from `begin` to `end`."""

    name: str
    d: int
    begin: int
    end: int


class Networks:
    """The networks of a protocol as work for the engine: tiles of similar cost, the largest networks first.

    Parameters
    ----------
    protocol : Protocol
    seed : int
        Root of all seeds.
    """

    unit = "tile"

    def __init__(self, protocol: Protocol, seed: int) -> None:
        self.protocol = protocol
        self.seed = seed
        self.tiles = [
            Tile(name, d, begin, min(begin + length, count))
            for (name, d), count in sorted(protocol.required().items(), key=lambda item: -item[0][1])
            for length in [max(1, _TILE_SIZE // d)] for begin in range(0, count, length)
        ]
        self.finished: dict[Tile, Mapping[str, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.tiles)

    def key(self, number: int) -> str:
        """See `asymptotics.studies.engine.Work`."""
        tile = self.tiles[number]
        return f"{tile.name} {tile.d} {tile.begin} {tile.end}"

    def task(self, number: int) -> Task:
        """See `asymptotics.studies.engine.Work`."""
        name, d, begin, end = self.tiles[number]
        seeds = [self.protocol.seed(self.seed, (name, d), repetition) for repetition in range(begin, end)]
        sizes = {"d": d, "test": self.protocol.test_points}
        problem = self.protocol.setting(name).problem
        return Task(simulate_networks, (self.protocol.simulator(name), problem, sizes, seeds))

    def keep(self, number: int, piece: Piece) -> None:
        """What the networks of a tile measured."""
        self.finished[self.tiles[number]] = {name: values for name, (_, values, _) in piece.variables.items()}

    def identity(self) -> dict:
        """All that single networks depend on; not how many there are."""
        return {"kind": "validation", "title": self.protocol.title, **self.protocol.identity(self.seed)}

    def collect(self) -> Runs:
        """Observables with a last axis over networks."""
        parts: dict[tuple[str, int], list[Mapping[str, np.ndarray]]] = {}
        for tile in self.tiles:
            parts.setdefault((tile.name, tile.d), []).append(self.finished[tile])
        return {networks: {name: np.moveaxis(np.concatenate([piece[name] for piece in pieces]), 0, -1)
                           for name in pieces[0]}
                for networks, pieces in parts.items()}
