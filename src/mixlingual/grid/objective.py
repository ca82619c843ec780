"""What a search over the options of runs gets to know of each."""

from __future__ import annotations

import json
from pathlib import Path


def objective(folder: Path, settings: str) -> float | None:
    """What a search maximises, from a finished run's result.json: mean mAP over settings and benchmarks.

    Args:
        folder: of the run.
        settings: `TrainConfig.objective`.

    Returns:
        None where a benchmark lacks one of the settings, or there is no benchmark or no result.
    """
    path = folder / "result.json"
    benchmarks = json.loads(path.read_text(encoding="utf-8"))["benchmarks"] if path.exists() else {}
    maps = [metrics.get(setting, {}).get("map") for metrics in benchmarks.values() for setting in settings.split("_")]
    return None if None in maps or not maps else sum(maps) / len(maps)
