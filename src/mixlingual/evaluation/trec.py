"""Reads and writes TREC run and qrels files: what other evaluators read, and what other systems leave."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mixlingual.data.lines import fields, text_lines
from mixlingual.files import written_whole
from mixlingual.records import DataError

TAG = "mixlingual"

Run = dict[str, list[tuple[str, float]]]
"""Query id -> (passage id, score) of its list, best first."""


def write_run(path: Path, lists: Iterable[tuple[str, Sequence[str], Sequence[float]]]) -> None:
    """Writes `query Q0 passage rank score tag` lines, gzip-compressed.

    Scores have nine significant digits, which tell every two fp32 numbers apart, so that ties stay ties and evaluators
    that sort by score and id find the same order.

    Args:
        path: *.trec.gz.
        lists: query id, passage ids best first, and their scores.
    """
    lines = (
        f"{query} Q0 {passage} {rank} {score:.9g} {TAG}\n"
        for query, passages, scores in lists
        for rank, (passage, score) in enumerate(zip(passages, scores), start=1)
    )
    _write(path, lines)


def write_qrels(path: Path, qrels: Mapping[str, Mapping[str, int]]) -> None:
    """Writes `query 0 passage relevance` lines, gzip-compressed."""
    _write(path, (f"{query} 0 {passage} {rel}\n" for query, row in qrels.items() for passage, rel in row.items()))


def read_run(path: Path) -> Run:
    """Reads the lists of a run file, plain or gzip, in trec_eval's order: by score, then id, both descending.

    Scores are rounded to fp32, as trec_eval holds them: ones that differ by less are tied, and go by id.

    Raises:
        DataError: the file is missing, or a line is malformed, has no finite fp32 score or repeats a passage.
    """
    run: dict[str, dict[str, float]] = {}
    for where, line in text_lines(path):
        columns = fields(line)
        if len(columns) != 6:
            raise DataError(f"{where}: got {len(columns)} fields, expected 6: query Q0 passage rank score tag")
        query, _, passage, _, text, _ = columns
        try:
            score = float(np.float32(text))
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise DataError(f"{where}: the score {text!r} is no finite number")
        if passage in run.setdefault(query, {}):
            raise DataError(f"{where}: query {query} lists passage {passage} twice; keep one line")
        run[query][passage] = score
    return {query: sorted(row.items(), key=lambda hit: (hit[1], hit[0]), reverse=True) for query, row in run.items()}


def _write(path: Path, lines: Iterable[str]) -> None:
    with written_whole(path) as temporary, gzip.open(temporary, "wt", encoding="utf-8", compresslevel=4) as file:
        file.writelines(lines)
