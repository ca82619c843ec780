"""The comparison of two sides: every kind of file, one bit at a time, and what may differ."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from benchmarks.same_bits import differences

RUN = "multirun/grid/tiny"


def write_side(root, *, loss="1.5", weight=0.5, rank=3.0, final=0.25, cell="0.125", other=True):
    """A file for each pattern; commit, time and rate differ from call to call."""
    for folder in (f"{RUN}/model", "multirun/grid/report"):
        (root / folder).mkdir(parents=True)
    said_when = {"commit": str(root), "timings": {"train": len(str(root))}}
    (root / RUN / "curves.csv").write_text(f"step,loss,loss_mono,pairs_per_second\n1,{loss},,{len(str(root))}\n")
    save_file({"w": np.array([1.0, weight], np.float32)}, root / RUN / "model/model.safetensors")
    pd.DataFrame({"query": ["a", "b"], "rank": [np.nan, rank]}).to_parquet(root / RUN / "queries.parquet")
    (root / RUN / "result.json").write_text(json.dumps({"training": {"final_loss": final}, **said_when}))
    (root / "evaluation.json").write_text(json.dumps({"benchmarks": {"atlas": {"pairs": [1, 2]}}, **said_when}))
    for name in ("evaluation.parquet", "multirun/grid/report/languages.parquet"):
        pd.DataFrame({"x": [1]}).to_parquet(root / name)
    pd.DataFrame({"x": ["y"] if other else ["y", "z"]}).to_parquet(root / "multirun/grid/report/questions.parquet")
    (root / "multirun/grid/report/results.csv").write_text(f"metric,value\nmap,{cell}\n")
    return root


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"loss": "1.50"}, f"{RUN}/curves.csv loss: 1 of 1, first 1.5 in A, 1.50 in B"),
        ({"weight": np.nextafter(np.float32(0.5), 1)}, f"{RUN}/model/model.safetensors w: 1 of 2, first 0.5 in A"),
        ({"rank": np.nextafter(3.0, 4)}, f"{RUN}/queries.parquet rank: 1 of 2, first 3.0 in A"),
        ({"final": np.nextafter(0.25, 1)}, f"{RUN}/result.json /training/final_loss: 1 of 1, first 0.25 in A"),
        ({"cell": "-0.125"}, "multirun/grid/report/results.csv value: 1 of 1, first 0.125 in A, -0.125 in B"),
        ({"other": False}, "multirun/grid/report/questions.parquet x: shape [1] in A, [2] in B"),
        ({}, ""),
    ],
)
def test_each_bit_counts_and_only_what_may_differ_does_not(tmp_path, change, line):
    sides = write_side(tmp_path / "a"), write_side(tmp_path / "longer name", **change)
    found = [one for lines in differences(*sides).values() for one in lines]
    assert len(found) == bool(line)
    assert all(one.startswith(line) for one in found)


def test_what_one_side_lacks_is_named_and_what_both_lack_is_an_error(tmp_path):
    sides = write_side(tmp_path / "a"), write_side(tmp_path / "b")
    (sides[1] / "evaluation.parquet").unlink()
    assert differences(*sides)["evaluation*.parquet"] == ["evaluation.parquet x: missing in B"]
    (sides[0] / "evaluation.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"no side has evaluation\*\.parquet"):
        differences(*sides)
