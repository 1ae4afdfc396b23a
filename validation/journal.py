"""Finished networks on disk, one line each, so that a run that was killed goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from asymptotics import ParameterError, __version__
from asymptotics.files import replacing

Key = tuple[str, int, int]  # setting, input dimension, number of the network
Values = Mapping[str, Any]


class Journal:
    """A file of JSON lines: what was asked, then one line per network, written as soon as it is finished.

    Parameters
    ----------
    path : path-like
        Continued if it exists and belongs to the same run.
    identity : mapping
        JSON data that tells runs apart: networks are reused only if it agrees.

    Raises
    ------
    ParameterError
        If the file belongs to another run or version, or is no journal; it is left as it is.
    """

    def __init__(self, path: str | Path, identity: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.finished: dict[Key, Values] = {}
        head = json.loads(json.dumps({"version": __version__, **identity}))
        lines = self._lines()
        entries = [_decode(line) for line in lines]
        if lines and entries[0] != head:
            raise ParameterError("report", f"{self.path} holds networks of another run or version; move it away")
        for entry in entries[1:]:
            if entry is not None:
                self.finished[entry["setting"], entry["d"], entry["network"]] = {
                    name: np.asarray(value, dtype=np.float64) for name, value in entry["values"].items()
                }
        if not lines or None in entries:
            # a line that was cut short must not swallow the next one
            complete = [json.dumps(head), *(line for line, entry in zip(lines[1:], entries[1:], strict=True) if entry)]
            with replacing(self.path) as temporary:
                temporary.write_text("".join(f"{line}\n" for line in complete), encoding="utf-8")
        self._file = self.path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, key: Key, values: Values) -> None:
        """Keep a finished network."""
        setting, d, network = key
        numbers = {name: np.asarray(value).tolist() for name, value in values.items()}
        entry = {"setting": setting, "d": d, "network": network, "values": numbers}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def _lines(self) -> list[str]:
        try:
            return self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except UnicodeDecodeError:
            raise ParameterError("report", f"{self.path} is not a journal of networks; move it away") from None


def _decode(line: str) -> Any:
    """The data of a line, or None if it was cut short."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
