"""Tabulates what the batches of each run held: the realised ratio, and the draws of each language pair and pool."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mixlingual.analysis.read.collect import Sweep
from mixlingual.records import is_number

BATCH_COLUMNS = [
    "run", "planned_ratio", "realised_ratio", "pairs", "monolingual_tokens", "crosslingual_tokens",
    "fewest_passes", "most_passes",
]  # fmt: skip


def batches_table(sweep: Sweep) -> pd.DataFrame:
    """One row for each finished run: columns `BATCH_COLUMNS`, NaN where a result lacks them.

    Passes are pairs drawn from a pool (a source in one language pair) for each item that it holds.
    """
    rows = []
    for run in sweep.in_state("done"):
        held = _held(run.result)
        tokens = _dict(held, "tokens")
        passes = [value for value in _dict(held, "passes").values() if is_number(value)]
        rows.append(
            (
                run.name,
                _number(held, "planned_ratio"),
                _number(held, "monolingual_ratio"),
                _number(held, "pairs"),
                _number(tokens, "monolingual"),
                _number(tokens, "crosslingual"),
                min(passes, default=None),
                max(passes, default=None),
            )
        )
    table = pd.DataFrame(rows, columns=BATCH_COLUMNS)
    return table.astype(dict.fromkeys(BATCH_COLUMNS[1:], float))


def exposure_table(sweep: Sweep) -> pd.DataFrame:
    """Query-passage pairs that each finished run drew in each language pair: run, language_pair, pairs."""
    rows = [
        (run.name, pair, count)
        for run in sweep.in_state("done")
        for pair, count in _dict(_held(run.result), "language_pairs").items()
    ]
    return pd.DataFrame(rows, columns=["run", "language_pair", "pairs"])


def _held(result: Any) -> dict[str, Any]:
    return result.batches if isinstance(result.batches, dict) else {}


def _dict(values: dict[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def _number(values: dict[str, Any], name: str) -> float | None:
    found = values.get(name)
    return float(found) if is_number(found) else None
