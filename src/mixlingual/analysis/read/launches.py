"""When and through what the runs of a sweep were submitted, where the launcher left a record of it."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple


class Launch(NamedTuple):
    """Runs that were submitted in one minute through one launcher."""

    submitted: str
    """ISO time, to the minute."""
    launcher: str
    runs: int
    """How many runs it was the last to submit."""


def read_launches(folder: Path) -> list[Launch]:
    """The launches in the jobs.json of a sweep's folder, oldest first; none where it is absent or malformed."""
    try:
        jobs = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))
        counts: defaultdict[tuple[str, str], int] = defaultdict(int)
        for job in jobs.values():
            counts[str(job["submitted"])[:16], str(job["launcher"])] += 1
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return []
    return [Launch(*key, runs) for key, runs in sorted(counts.items())]
