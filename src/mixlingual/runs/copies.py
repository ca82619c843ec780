"""Finds finished runs that are there twice, as after a copy of a run's folder: their numbers count once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping

from mixlingual.config.identity import computed_options
from mixlingual.records import RunResult

_ELSEWHERE = "evaluation.benchmarks"
"""The one computed option that may differ between two runs of the same numbers: what they share is what counts."""


def copies(results: Mapping[str, RunResult]) -> dict[str, str]:
    """Name of a copy -> name of the run whose numbers it brings again.

    Two runs are copies where every option that computes something, the names of model and batches, and the data are the
    same, and they share a benchmark. The one whose folder has the name of its run counts, else the first.

    Args:
        results: folder name -> result of every finished run of a sweep.
    """
    groups = defaultdict(list)
    for name, result in results.items():
        options = {path: value for path, value in computed_options(result.config).items() if path != _ELSEWHERE}
        groups[json.dumps([options, result.training.get("steps")], sort_keys=True)].append(name)
    found = {}
    for group in groups.values():
        ranked = sorted(group, key=lambda name: results[name].run_name != name)
        for place, name in enumerate(ranked):
            if original := next((other for other in ranked[:place] if _overlap(results[name], results[other])), None):
                found[name] = original
    return found


def _overlap(run: RunResult, other: RunResult) -> bool:
    """Whether two runs share a benchmark, and read the same wherever they read alike."""
    return bool(run.benchmarks.keys() & other.benchmarks.keys()) and all(
        other.data.get(name, fingerprint) == fingerprint for name, fingerprint in run.data.items()
    )
