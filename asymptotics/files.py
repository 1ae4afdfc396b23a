"""Output files: refused early when they cannot be written, and never left half written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import ParameterError


def check_writable(name: str, path: str | Path) -> Path:
    """Return `path`, or raise `ParameterError` if a file could not be put there (its directory must exist)."""
    try:
        fault = _fault(_target(path))
    except (OSError, ValueError) as error:
        # only the attempt tells that a name is too long or a file system read-only
        fault = reason(error)
    if fault:
        raise ParameterError(name, f"cannot write {path} ({fault})")
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary file in the same directory that takes the place of `path` once it is complete."""
    target = _target(path)
    temporary = _temporary(target)
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    """What the operating system says, without the file name."""
    return getattr(error, "strerror", None) or str(error)


def _target(path: str | Path) -> Path:
    # what a symbolic link points to is replaced, not the link
    return Path(os.path.realpath(path))


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def _fault(target: Path) -> str:
    if not target.parent.is_dir():
        return f"no directory {target.parent}"
    if target.is_dir():
        return "it is a directory"
    if target.exists() and not (target.is_file() and os.access(target, os.W_OK)):
        return "it is not a writable file"
    temporary = _temporary(target)
    temporary.touch()
    temporary.unlink()
    return ""
