"""Reads the encoders that `python -m mixlingual.merge` has merged between the two pure ratios of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.ratio_axis import RatioAxis
from mixlingual.files import digest
from mixlingual.layout import MERGED, RESULT
from mixlingual.records import is_number
from mixlingual.runs.result import MALFORMED, read_document, read_run

PURE = (0.0, 1.0)
"""Ratios whose encoders are merged: cross-lingual batches alone, and monolingual ones alone."""


class Merge(NamedTuple):
    """An encoder between two others."""

    kind: str
    """A key of `model.merging.MERGES`."""
    model: str
    share: float
    """Of the encoder trained at ratio 1."""
    seed: int
    """Of both."""


def read_merges(sweep: Sweep, axis: RatioAxis) -> tuple[dict[str, Merge], dict[str, str]]:
    """Finds the encoders merged from both ends as they are now; none where nothing was merged.

    Args:
        sweep: as read from its folder.
        axis: where its runs lie.

    Returns:
        Folder in that of the sweep -> what it is, and folder -> why it is left out.
    """
    merges, left_out = {}, {}
    for path in sorted((sweep.folder / MERGED).glob(f"*/{RESULT}")):
        name = f"{MERGED}/{path.parent.name}"
        try:
            read_run(path.parent)
            merges[name] = _merge(read_document(path).get("merged"), sweep.folder, axis)
        except MALFORMED as error:
            left_out[name] = str(error)
    return merges, left_out


def _merge(record: Any, folder: Path, axis: RatioAxis) -> Merge:
    """What a record says, which `grid.merging` wrote.

    Raises:
        ValueError: it is none, or is about other encoders than those of the sweep now.
    """
    try:
        kind, share = record["kind"], record["share"]
        runs = [str(record[side]["run"]) for side in ("cross", "mono")]
        results = [record[side]["result"] for side in ("cross", "mono")]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{RESULT} does not say what was merged") from error
    if not (isinstance(kind, str) and is_number(share) and 0 <= share <= 1):
        raise ValueError(f"{RESULT} says that it was merged {kind!r} at the share {share!r}")
    ends = [axis.trials.get(run) for run in runs]
    if tuple(end and end.ratio for end in ends) != PURE:
        raise ValueError(f"{' and '.join(runs)} are not finished runs at ratio 0 and 1")
    if [digest(folder / run / RESULT) for run in runs] != results:
        raise ValueError(
            f"{' or '.join(runs)} was trained again since; python -m mixlingual.merge sweep_name={folder.name} merges "
            "it anew"
        )
    cross, mono = ends
    assert cross is not None
    assert mono is not None
    if (cross.model, cross.seed) != (mono.model, mono.seed):
        raise ValueError(f"{' and '.join(runs)} are not of one size and seed")
    return Merge(kind, mono.model, float(share), mono.seed)
