"""Our evaluation engine and its peers on the same work: embeddings to figures.

    python -m benchmarks.evaluation suite [--data FOLDER] [--out FILE.json]

`suite` scores MLQA-R and XQuAD-R from given embeddings. Ours and the peers' runs alternate in one process.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks import evaluation_suite
from benchmarks.rows import number, write_rows


def main() -> None:
    """Measures, prints the table and the goals, and writes the rows where --out says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation", description=__doc__)
    parser.add_argument("part", choices=["suite"])
    parser.add_argument("--out", type=Path, help="JSON file for rows of {name, unit, ours, peer, ratio}")
    parser.add_argument("--repeats", type=int, default=3, help="measurements behind each median")
    parser.add_argument("--data", default=os.environ.get("MIXLINGUAL_DATA"), help="folder of mlqa-r/ and xquad-r/")
    parser.add_argument("--pairs", type=int, default=6, help="language pairs that peers are measured on")
    options = parser.parse_args()
    if options.data is None:
        parser.error("suite needs MLQA-R and XQuAD-R: give --data FOLDER or set MIXLINGUAL_DATA")
    rows = evaluation_suite.compare(Path(options.data), options.repeats, options.pairs)
    for row in rows:
        print(f"{row.name:60} {number(row.ours):>10} {number(row.peer):>10} {row.unit:8} ratio {number(row.ratio)}")
    print(*evaluation_suite.verdicts(rows), sep="\n")
    if options.out:
        write_rows(options.out, rows)


if __name__ == "__main__":
    main()
