"""Writes progress.json in a run's folder: how far the run is, for `mixlingual.status`."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Literal

from mixlingual.files import written_whole
from mixlingual.layout import PROGRESS


def write_progress(
    folder: Path,
    phase: Literal["training", "evaluating"],
    step: int,
    steps: int,
    pairs_per_second: float | None = None,
    seconds_left: float | None = None,
    embeddings: str | None = None,
) -> None:
    """Replaces the file whole.

    Args:
        folder: of the run.
        phase: what goes on.
        step: steps done.
        steps: steps in all.
        pairs_per_second: query-passage pairs trained on lately; None where nothing is.
        seconds_left: of training, at that pace.
        embeddings: `evaluation.embeddings`, where a crash of an evaluation leaves what it has encoded.
    """
    content = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "phase": phase,
        "step": step,
        "steps": steps,
        "pairs_per_second": pairs_per_second,
        "seconds_left": seconds_left,
        "embeddings": None if embeddings is None else str(Path(embeddings).absolute()),
    }
    with written_whole(folder / PROGRESS) as path:
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")
