"""Writes what every benchmark measures: rows of one number of ours and the peer's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from mixlingual.files import written_whole


@dataclass(frozen=True, slots=True)
class Row:
    """Holds one quantity; `peer` is None where the peer is not installed or cannot do the job."""

    name: str
    unit: str
    ours: float
    peer: float | None
    peak_share: float | None = None
    """This is the share of the machine's peak rate, where the quantity has one."""

    @property
    def ratio(self) -> float | None:
        """Returns ours over the peer's."""
        return None if self.peer is None else self.ours / self.peer


def number(value: float | None) -> str:
    """Returns a number as tables show it."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Writes the rows as a JSON list of {name, unit, ours, peer, ratio}, and peak_share where there is one."""
    as_json = [asdict(row) | {"ratio": row.ratio} for row in rows]
    for row in as_json:
        if row["peak_share"] is None:
            del row["peak_share"]
    with written_whole(path) as partial:
        partial.write_text(json.dumps(as_json, indent=1, allow_nan=False) + "\n")
