"""Texts by key on disk, in SQLite: the memory of translations, and the table that ids are looked up in."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

_SECONDS = 600.0
"""How long to wait for another process that writes."""

_AT_ONCE = 500


class TextMemory:
    """Maps keys to texts, for several processes at a time; what was put is there after any kill.

    Args:
        path: of the file, which is made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(path, timeout=_SECONDS)
        with self._base:
            self._base.execute("CREATE TABLE IF NOT EXISTS texts (key BLOB PRIMARY KEY, text TEXT) WITHOUT ROWID")

    def get(self, keys: Sequence[str]) -> dict[str, str]:
        """Returns the texts of those keys that are there."""
        found = {}
        for start in range(0, len(keys), _AT_ONCE):
            hashed = {_digest(key): key for key in keys[start : start + _AT_ONCE]}
            marks = ",".join("?" * len(hashed))
            rows = self._base.execute(f"SELECT key, text FROM texts WHERE key IN ({marks})", list(hashed))
            found.update({hashed[key]: text for key, text in rows})
        return found

    def put(self, texts: Iterable[tuple[str, str]], *, renew: bool = False) -> None:
        """Keeps the texts of keys, all or none of them; a key's first text stays, unless it is to be renewed."""
        with self._base:
            rows = ((_digest(key), text) for key, text in texts)
            self._base.executemany(f"INSERT OR {'REPLACE' if renew else 'IGNORE'} INTO texts VALUES (?, ?)", rows)

    def close(self) -> None:
        """Ends the connection."""
        self._base.close()


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=16).digest()
