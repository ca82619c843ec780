"""Measures our evaluation engine and its peers on the same work: texts to embeddings to figures.

    python -m benchmarks.evaluation encode --checkpoint FOLDER [--data FOLDER] [--out FILE.json]
    python -m benchmarks.evaluation suite [--data FOLDER]
    python -m benchmarks.evaluation search [--sizes 1 4 16]

`encode` embeds sentences of XQuAD-R, `suite` scores MLQA-R and XQuAD-R from given embeddings, `search` is exact search
over random vectors. Ours and the peers' runs alternate.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks import evaluation_encode, evaluation_search, evaluation_suite
from benchmarks.rows import number, write_rows


def main() -> None:
    """Measures, prints the table and the goals, and writes the rows where --out says."""
    options = _parsed()
    if options.part == "encode":
        rows = evaluation_encode.compare(
            Path(options.data), options.checkpoint, options.repeats, options.texts, options.peer_batch
        )
        verdicts = evaluation_encode.verdicts(rows)
    elif options.part == "suite":
        rows = evaluation_suite.compare(Path(options.data), options.repeats, options.pairs)
        verdicts = evaluation_suite.verdicts(rows)
    else:
        sizes = [round(size * 1e6) for size in options.sizes]
        rows = evaluation_search.compare(sizes, options.repeats, options.queries, options.memory, options.peer_gib)
        verdicts = evaluation_search.verdicts(rows)
    for row in rows:
        print(f"{row.name:60} {number(row.ours):>10} {number(row.peer):>10} {row.unit:8} ratio {number(row.ratio)}")
    print(*verdicts, sep="\n")
    if options.out:
        write_rows(options.out, rows)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation", description=__doc__)
    parser.add_argument("part", choices=["encode", "suite", "search"])
    parser.add_argument("--out", type=Path, help="JSON file for rows of {name, unit, ours, peer, ratio}")
    parser.add_argument("--repeats", type=int, default=3, help="measurements behind each median")
    parser.add_argument("--data", default=os.environ.get("MIXLINGUAL_DATA"), help="folder of mlqa-r/ and xquad-r/")
    parser.add_argument("--checkpoint", help="encode: folder or hub id of an encoder")
    parser.add_argument("--texts", type=int, default=2000, help="encode: number of texts")
    parser.add_argument(
        "--peer-batch", type=int, default=32, help="encode: texts of the peer's batch, 32 by its default"
    )
    parser.add_argument("--pairs", type=int, default=6, help="suite: language pairs that peers are measured on")
    parser.add_argument("--sizes", type=float, nargs="+", default=[1, 4, 16], help="search: millions of vectors")
    parser.add_argument("--queries", type=int, default=1000, help="search: number of queries")
    parser.add_argument("--memory", type=int, default=256, help="search: MiB for our scores")
    parser.add_argument(
        "--peer-gib", type=float, default=8.0, help="search: most memory that the peer's index may take"
    )
    options = parser.parse_args()
    if options.part != "search" and options.data is None:
        parser.error(f"{options.part} needs MLQA-R and XQuAD-R: give --data FOLDER or set MIXLINGUAL_DATA")
    if options.part == "encode" and options.checkpoint is None:
        parser.error("encode needs an encoder: give --checkpoint FOLDER_OR_HUB_ID")
    return options


if __name__ == "__main__":
    main()
