"""Tells what a reader must know about a benchmark's figures before comparing them, from what the results say of it."""

from __future__ import annotations

from typing import Any

from mixlingual.analysis.read.collect import Sweep
from mixlingual.records import is_number

_CUT = {"queries_cut": "questions", "passages_cut": "passages"}
"""Key of a benchmark's result -> whose share longer than the model's length limit it is."""


def benchmark_notes(sweep: Sweep, benchmark: str) -> list[str]:
    """Writes sentences on a benchmark's note, candidates, subset of languages and cut texts, where there are any."""
    found = [result.benchmarks.get(benchmark) for result in sweep.results()]
    sections: list[dict[str, Any]] = [section for section in found if isinstance(section, dict)]
    notes = [str(note) for note in dict.fromkeys(s["note"] for s in sections if isinstance(s.get("note"), str))]
    units = dict.fromkeys(s["unit"] for s in sections if isinstance(s.get("unit"), str))
    if units:
        notes.append(f"A candidate is a {', or a '.join(unit.replace('_', ' ') for unit in units)}.")
    if any(section.get("complete") is False for section in sections):
        notes.append("Scored on a subset of the benchmark's languages: do not compare with published figures.")
    return [note for note in notes if note] + [note for key in _CUT if (note := _cut(sections, key))]


def _cut(sections: list[dict[str, Any]], key: str) -> str:
    shares = [section[key] for section in sections if is_number(section.get(key))]
    if not shares or not max(shares):
        return ""
    low, high = f"{min(shares):.1%}", f"{max(shares):.1%}"
    share = low if low == high else f"{low} to {high}"
    return f"{share} of the {_CUT[key]} were longer than the model's limit and were cut."
