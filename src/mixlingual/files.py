"""Says where files go, and writes them whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

_SEAL = "sealed.json"
_CHECKED_WHOLE = 1 << 28
"""Folders of at most so many bytes are checked byte by byte when they are opened; larger ones would take long."""
_STAMPED_WHOLE = 1 << 20
_ENDS = 1 << 16
DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError)
"""What reading a damaged cache raises."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a full disk, a quota or a limit raises."""

Built = TypeVar("Built")


def cache_dir() -> Path:
    """Folder of downloads and derived data: $MIXLINGUAL_CACHE, else mixlingual/ in the user's cache folder."""
    own = os.environ.get("MIXLINGUAL_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(own) if own else base / "mixlingual"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to, which replaces `path` if the block succeeds.

    Data reach the disk before the name changes; after an exception `path` is as it was. The
    temporary name keeps the suffix of `path`, since writers choose formats by it, and names the host, since containers
    that share a folder number their processes alike.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{socket.gethostname()}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        reason = f"cannot write {path}: {os.strerror(error.errno)}; make room there, then give the same command again"
        raise OSError(error.errno, reason) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def clear_leftovers(folder: Path) -> None:
    """Deletes what `written_whole` began, in a folder and below it, in processes of this machine that are gone."""
    for path in folder.rglob(".*.tmp*"):
        number = path.name.removesuffix(path.suffix).removesuffix(".tmp").rpartition(f".{socket.gethostname()}.")[2]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Returns when a file's content, or a folder's list of names, has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_object(path: Path) -> dict[str, Any]:
    """The content of a JSON file that holds an object; empty where there is none, or a damaged one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def check_writable(folder: Path) -> None:
    """Creates the folder if need be. Raises OSError, before any work is done, if nothing can be written there."""
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


def built_once(folder: Path, write: Callable[[Path], None], read: Callable[[Path], Built]) -> Built:
    """What `read` makes of a cached folder that every process would fill alike; the first one fills it.

    Others that want it meanwhile wait. The folder appears whole or not at all; what a killed process
    began is cleared away by the next. A folder that `read` refuses is built anew, with a warning.

    Args:
        folder: named by the content of what it is made from.
        write: fills the empty folder that it is given.
        read: raises one of `DAMAGED` where the folder is not as written.

    Raises:
        OSError: the folder cannot be written.
    """
    if folder.is_dir():
        with suppress(*DAMAGED):
            return read(folder)
    try:
        with _locked(folder.with_name(f".{folder.name}.lock"), folder):
            if folder.is_dir():
                try:
                    return read(folder)
                except DAMAGED as error:
                    log.warning("%s is damaged (%s); building it anew", folder, error)
                    shutil.rmtree(folder)
            _fill(folder, write)
    except OSError as error:
        raise OSError(
            f"cannot write {folder}: {error}; make room there, or set MIXLINGUAL_CACHE to another folder"
        ) from error
    return read(folder)


def seal(folder: Path, key: str) -> None:
    """Notes for `check_sealed` the key of a folder, and sizes and, unless they are large, checksums of its files."""
    files = sorted(path for path in folder.iterdir() if path.name != _SEAL)
    sizes = {path.name: path.stat().st_size for path in files}
    hashed = sum(sizes.values()) <= _CHECKED_WHOLE
    seals = {path.name: [sizes[path.name], digest(path) if hashed else None] for path in files}
    (folder / _SEAL).write_text(json.dumps({"key": key, "files": seals}), encoding="utf-8")


def check_sealed(folder: Path, key: str) -> None:
    """Raises one of `DAMAGED` where a folder was sealed with another key, or a file is missing or not as it was."""
    sealed = json.loads((folder / _SEAL).read_text(encoding="utf-8"))
    if sealed["key"] != key:
        raise ValueError(f"it holds {sealed['key']}")
    for name, (size, expected) in sealed["files"].items():
        if (folder / name).stat().st_size != size or (expected is not None and digest(folder / name) != expected):
            raise ValueError(f"{name} is not as it was written")


def stamp(path: Path) -> str:
    """What tells a file from another: its content if it is small, else its size, time and ends.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        about = path.stat()
        if about.st_size <= _STAMPED_WHOLE:
            return hashlib.sha256(file.read()).hexdigest()
        ends = file.read(_ENDS)
        file.seek(-_ENDS, 2)
        return f"{about.st_size} {about.st_mtime_ns} {hashlib.sha256(ends + file.read()).hexdigest()}"


def digest(path: Path) -> str:
    """The SHA-256 of a file's content, in hex digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock_on(path: Path, seconds: float = -1) -> FileLock:
    """A lock on a file, not yet held, that ends with the process that holds it; forks of that process let go of it.

    Args:
        path: of a file that holds nothing else.
        seconds: how long to wait for another process; below 0 for ever.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, timeout=seconds, fallback_to_soft=False)  # a soft lock would outlive a killed process


@contextmanager
def _locked(path: Path, folder: Path) -> Iterator[None]:
    """Holds the lock, which ends with the process that holds it, however that ends."""
    lock = lock_on(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("waiting for another process that builds %s", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fill(folder: Path, write: Callable[[Path], None]) -> None:
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        write(temporary)
        for path in (*temporary.rglob("*"), temporary):
            sync(path)
        temporary.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
