"""Compares the bits that two commits compute on this machine.

    python -m benchmarks.same_bits [REV_A] [REV_B]

REV_A is HEAD~ unless given, and REV_B the working tree as it lies there. Each trains a tiny sweep and a run of each
other kind of batches on the embedded data, evaluates an encoder and makes a report, by the command lines of the
project alone, both at a time. Losses, weights, scores by question, figures and tables of the two are then compared.
It prints what differs, and ends with 1 if anything does. A minute or two on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from mixlingual.training.device import has_bf16

ROOT = Path(__file__).parents[1]

MAY_DIFFER = frozenset(
    (
        "commit", "commits", "versions", "timings", "schema", "pairs_per_second",
        "config", "config_hash", "model", "evaluation", "evaluation_hash", "corrections",
    )
)  # fmt: skip
"""Fields of JSON at their top level and columns of tables that say when, by what and with which options, not what."""

COMPARED = (
    "multirun/*/*/curves.csv", "multirun/*/*/model/model.safetensors", "multirun/*/*/queries.parquet",
    "multirun/*/*/result.json", "evaluation.json", "evaluation*.parquet",
    "multirun/grid/report/*.csv", "multirun/grid/report/languages.parquet", "multirun/grid/report/questions.parquet",
)  # fmt: skip
"""Files of either side, as patterns; each must name one."""

_TINY = (
    "model.scratch.vocabulary=1000", "model.scratch.dropout=0.1", "batching.batch_size=8", "trainer.steps=6",
    "trainer.log_every=1", "trainer.threads=1", "trainer.accelerator=cpu", "evaluation.languages=[de,en]",
)  # fmt: skip
BF16 = has_bf16(torch.device("cpu"))
COMMANDS: dict[str, tuple[str, ...]] = {
    "grid": (
        "train", "-m", *_TINY, "sweep_name=grid", "data.languages=[de,en]", "model=scratch_xs,scratch_s",
        "batching.monolingual_ratio=0,0.5,1", "seed=0,1",
    ),
    "kinds": (
        "train", "-m", *_TINY, "sweep_name=kinds", "model=scratch_xs", "batching=x_x_mono,x_y,x_x,en_en",
        "data.languages=[ar,de,en]", "evaluation.benchmarks=[]", *(["trainer.precision=bf16-mixed"] if BF16 else []),
    ),
    "negatives": (
        "train", *_TINY, "sweep_name=negatives", "model=scratch_xs", "data=parallel", "data.root=items",
        "batching.hard_negatives=1", "batching.draw=stratified", "trainer.accumulate=2", "loss.symmetric=true",
        "model.learn_temperature=true",
    ),
    "evaluation": (
        "evaluate", "model.checkpoint=multirun/grid/scratch_s_hybrid_r0.5_s0/model", "evaluation=atlas",
        "evaluation.languages=[de,en]", "post_hoc.methods=[centering,lir]", "post_hoc.texts=50",
        "threads=1", "accelerator=cpu", "output=evaluation.json",
    ),
    "report": ("report", "sweep_name=grid"),
}  # fmt: skip
"""What each side does, in turn: a module of mixlingual and its words."""

SHOWN = 8
"""Most differences that are printed of the files of one pattern."""


def main() -> None:
    """Runs both sides and prints what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rev_a", nargs="?", default="HEAD~", help="a commit; HEAD~ unless given")
    parser.add_argument("rev_b", nargs="?", help="another one; the working tree unless given")
    words = parser.parse_args()
    revs = (words.rev_a, words.rev_b)
    if not BF16:
        print("this CPU has no bf16: the other kinds of batches are compared in fp32")
    with TemporaryDirectory() as temporary:
        trees, folders = ([Path(temporary, f"{what}_{side}") for side in "AB"] for what in ("tree", "work"))
        trees = [ROOT if rev is None else check_out(rev, tree) for rev, tree in zip(revs, trees)]
        with ThreadPoolExecutor() as pool:
            list(pool.map(work, trees, folders))
        found = differences(*folders)
    names = f"{revs[0]} and {revs[1] or 'the working tree'}"
    for pattern, lines in found.items():
        print(f"{pattern}: {len(lines) or 'no'} differences", *lines[:SHOWN], sep="\n  ")
    if any(found.values()):
        sys.exit(f"{names} differ")
    print(f"{names} compute the same bits")


def check_out(rev: str, tree: Path) -> Path:
    """The folder, which did not exist, with the files of a commit in it."""
    archive = tree.with_suffix(".tar")
    _call(["git", "archive", f"--output={archive}", rev], ROOT)
    with tarfile.open(archive) as packed:
        packed.extractall(tree, filter="data")
    return tree


def work(tree: Path, folder: Path) -> None:
    """Runs `COMMANDS` by the source in `tree`, with all files in `folder`."""
    write_items(folder / "items")
    variables = {"PYTHONPATH": str(tree / "src"), "MIXLINGUAL_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    origin = _call([sys.executable, "-c", "import mixlingual; print(mixlingual.__file__)"], folder, variables)
    if not Path(origin.strip()).is_relative_to(tree):
        sys.exit(f"mixlingual came from {origin.strip()} in place of {tree}")
    for name, (module, *words) in COMMANDS.items():
        print(f"{tree.name}: {name}", file=sys.stderr)
        _call([sys.executable, "-m", f"mixlingual.{module}", *words], folder, variables)


def write_items(folder: Path) -> None:
    """Parallel items in two languages with equal passages in pairs and up to two hard negatives."""
    folder.mkdir(parents=True)
    lines = [
        {
            "id": f"{n}",
            "query": {code: f"{code} question {n} about {n % 7}{' and more' * (n % 4)}" for code in ("de", "en")},
            "passage": {code: f"{code} answer to {n // 2}{' at length' * (n % 3)}" for code in ("de", "en")},
            "negatives": [{code: f"{code} no answer to {n} {k}" for code in ("de", "en")} for k in range(n % 3)],
        }
        for n in range(24)
    ]
    (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _call(command: list[str], folder: Path, variables: dict[str, str] | None = None) -> str:
    """What a command prints; if it fails, this program ends with what it said."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | (variables or {}), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def differences(folder_a: Path, folder_b: Path) -> dict[str, list[str]]:
    """Pattern of `COMPARED` -> a line for every part of its files that has other bits in one folder than in the other.

    Raises:
        FileNotFoundError: neither folder has a file that a pattern names, so that nothing would be compared.
    """
    return {pattern: _differences_of(pattern, folder_a, folder_b) for pattern in COMPARED}


def _differences_of(pattern: str, folder_a: Path, folder_b: Path) -> list[str]:
    names = sorted({str(path.relative_to(root)) for root in (folder_a, folder_b) for path in root.glob(pattern)})
    if not names:
        raise FileNotFoundError(f"no side has {pattern}")
    lines = []
    for name in names:
        in_a, in_b = (parts(root / name) if (root / name).exists() else {} for root in (folder_a, folder_b))
        found = {part: _difference(in_a.get(part), in_b.get(part)) for part in dict.fromkeys((*in_a, *in_b))}
        lines += [f"{name} {part}: {what}" for part, what in found.items() if what is not None]
    return lines


def parts(path: Path) -> dict[str, NDArray[Any]]:
    """Columns of a table, tensors of a file of weights, or numbers and words of JSON, without `MAY_DIFFER`."""
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: value for key, value in content.items() if key not in MAY_DIFFER}
        return {key: np.array([repr(value)]) for key, value in _leaves(kept)}
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str, keep_default_na=False)
    columns = {str(name): table[name].to_numpy() for name in table if name not in MAY_DIFFER}
    return {name: values if values.dtype != object else values.astype(str) for name, values in columns.items()}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything in JSON that is no object."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{path}/{key}")
    else:
        yield path, value


def _difference(in_a: NDArray[Any] | None, in_b: NDArray[Any] | None) -> str | None:
    """What differs, in words; None if no bit does."""
    if in_a is None or in_b is None:
        return "missing in A" if in_a is None else "missing in B"
    if in_a.shape != in_b.shape:
        return f"shape {list(in_a.shape)} in A, {list(in_b.shape)} in B"
    if in_a.dtype.kind != in_b.dtype.kind or (in_a.dtype.kind != "U" and in_a.dtype != in_b.dtype):
        return f"{in_a.dtype} in A, {in_b.dtype} in B"
    bits_a, bits_b = ([one.tobytes() for one in side.ravel()] for side in (in_a, in_b))
    if in_a.dtype.kind == "U":
        bits_a, bits_b = in_a.ravel().tolist(), in_b.ravel().tolist()
    places = [n for n, (a, b) in enumerate(zip(bits_a, bits_b)) if a != b]
    if not places:
        return None
    first = places[0]
    return f"{len(places)} of {len(bits_a)}, first {in_a.ravel()[first]} in A, {in_b.ravel()[first]} in B"


if __name__ == "__main__":
    main()
