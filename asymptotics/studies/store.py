"""A store: finished tiles on disk, one file each, which survive whatever ends the process."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .. import __version__
from ..errors import ParameterError
from ..files import reason
from .pieces import Piece, decode, encode, intact

NETWORKS = "networks"  # within the store of a study: the store of its networks

_FORMAT = 1
_MANIFEST, _LOG, _LOCK, _TILES = "study.json", "log.jsonl", "lock", "tiles"


class Store:
    """A directory of finished tiles that belongs to one study and one version, and to one run at a time.

    Parameters
    ----------
    path : path-like
        Created if missing.
    identity : mapping
        JSON data on which the results depend; the version of the library is added.
    about : mapping, optional
        JSON data for the reader, kept in `study.json`.

    Raises
    ------
    ParameterError
        If the directory belongs to another study, version or run, or is no store; it is left as it is.
    """

    def __init__(self, path: str | Path, identity: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> None:
        self.path = Path(path)
        identity = json.loads(json.dumps({"format": _FORMAT, "version": __version__, **identity}))
        self.digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        with contextlib.ExitStack() as opened:
            try:
                self._check_place()
                (self.path / _TILES).mkdir(parents=True, exist_ok=True)
                self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                opened.callback(os.close, self._lock)
                self._exclude_others()
                self._check_owner(identity, about or {})
                for left in (self.path / _TILES).glob("*.tmp"):
                    left.unlink()  # of a run that was killed while writing
                self._log = os.open(self.path / _LOG, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
                opened.callback(os.close, self._log)
                self.log("opened", version=__version__, host=socket.gethostname())
            except ParameterError:
                raise
            except (OSError, ValueError) as error:
                raise ParameterError("store", f"cannot use {path} ({reason(error)})") from None
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self.log("closed", reason="" if kind is None else kind.__name__)
        self._opened.close()  # and with the lock's file the lock is gone, as it is when the process dies

    def file(self, key: str) -> Path:
        """Where a tile is, or will be: the name is a digest of study, version and tile."""
        name = hashlib.sha256(f"{self.digest} {key}".encode()).hexdigest()[:24]
        return self.path / _TILES / f"{name}.nc"

    def read(self, key: str) -> Piece | None:
        """A finished tile, or None if it is missing or damaged; the latter is said in the log."""
        try:
            data = self.file(key).read_bytes()
        except FileNotFoundError:
            return None
        if intact(data):
            piece, origin = decode(data)
            if (origin["study"], origin["tile"]) == (self.digest, key):
                return piece
        self.log("damaged", tile=key, file=self.file(key).name)
        return None

    def write(self, key: str, piece: Piece, seconds: float) -> None:
        """Keep a finished tile: it is there completely, also after a power cut, or not at all."""
        target = self.file(key)
        temporary = target.with_suffix(".tmp")
        try:
            with open(temporary, "wb") as file:
                encode(file, piece, {"study": self.digest, "tile": key, "version": __version__})
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(target)) from None
        _sync_directory(target.parent)
        self.log("finished", tile=key, file=target.name, seconds=round(seconds, 4), failed=piece.failed)

    def log(self, event: str, **details: Any) -> None:
        """Add a line to the log."""
        now = datetime.datetime.now(datetime.UTC).isoformat()
        line = json.dumps({"time": now, "process": os.getpid(), "event": event, **details}) + "\n"
        size = os.fstat(self._log).st_size
        if size and os.pread(self._log, 1, size - 1) != b"\n":
            line = "\n" + line  # the last line was cut short; it must not swallow this one
        try:
            os.write(self._log, line.encode())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path / _LOG)) from None

    def _check_place(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ParameterError("store", f"{self.path} is not a directory")
        known = {_MANIFEST, f"{_MANIFEST}.tmp", _LOG, _LOCK, _TILES, NETWORKS}
        if self.path.is_dir() and not (self.path / _MANIFEST).exists():
            foreign = sorted({entry.name for entry in self.path.iterdir()} - known)
            if foreign:
                raise ParameterError("store", f"{self.path} is not a store: it holds {foreign[0]}")

    def _exclude_others(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 200, 0).decode(errors="replace").strip()
            raise ParameterError("store", f"{self.path} is in use by another run ({owner or 'starting'})") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def _check_owner(self, identity: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        manifest = self.path / _MANIFEST
        found = read_manifest(self.path)
        if found is None:
            temporary = manifest.with_suffix(".json.tmp")
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump({**about, "identity": identity}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, manifest)
            _sync_directory(self.path)
            return
        own = found.get("identity")
        if own == identity:
            return
        if isinstance(own, dict) and {**own, "version": __version__} == identity:
            fault = f"was made by version {own.get('version')}, this is {__version__}"
        else:
            fault = "belongs to another study"
        raise ParameterError("store", f"{self.path} {fault}; give another directory or move it away")


def read_manifest(path: str | Path) -> dict[str, Any] | None:
    """What `study.json` of a store says; None if there is none."""
    manifest = Path(path) / _MANIFEST
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ParameterError("store", f"{manifest} cannot be read ({reason(error)})") from None
    if not isinstance(found, dict):
        raise ParameterError("store", f"{manifest} cannot be read (not a JSON object)")
    return found


def _sync_directory(path: Path) -> None:
    """A new name is on disk only when its directory is."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
