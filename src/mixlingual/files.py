"""Where files go and how they are written: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def cache_dir() -> Path:
    """Folder of downloads and derived data: $MIXLINGUAL_CACHE, else mixlingual/ in the user's cache folder."""
    own = os.environ.get("MIXLINGUAL_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(own) if own else base / "mixlingual"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to, which replaces `path` if the block succeeds.

    Data reach the disk before the name changes; after an exception `path` is as it was. The
    temporary name keeps the suffix of `path`, since writers choose formats by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Creates the folder if need be. Raises OSError, before any work is done, if nothing can be written there."""
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


@contextmanager
def folder_written_once(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` if the block succeeds.

    For cached data that any process would make alike: if another one was first, its folder stays.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder.parent) as temporary:
        written = Path(temporary, folder.name)
        written.mkdir()
        yield written
        for path in written.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        try:
            written.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
