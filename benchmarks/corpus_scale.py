"""Measures what it takes to convert, open, draw from and tokenise made-up pairs, by their number.

    python -m benchmarks.corpus_scale --pairs 100000 20000000 --folder /tmp/scale

Each step runs in a process of its own. Peak memory is that of this process and of the largest of those that it starts.
Pairs are JSON lines in four languages; every eighth is in two of them. With --triples each pair comes four times, with
another negative each time, and rows are joined. 2e7 pairs need about 40 GB in the folder; what is made is deleted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from mixlingual.batches.pools import make_sampler
from mixlingual.batches.tokens import TokenStore
from mixlingual.config.schema import BatchingConfig, DataConfig, ModelConfig
from mixlingual.data.registry import load_corpus
from mixlingual.model.tokenizer import TextTokenizer, train_tokenizer

LANGUAGES = ("de", "en", "es", "ru")
FILES = 4
SAMPLE = 20_000
"""The tokenizer is trained on the texts of so many pairs."""
STEPS = ("convert", "open", "draw", "tokenise", "open tokens")


def main() -> None:
    """Prints a row for each number of pairs and step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[100_000, 1_000_000], help="numbers of rows")
    parser.add_argument("--folder", type=Path, required=True, help="receives the files, which are then deleted")
    parser.add_argument("--triples", action="store_true", help="rows with negatives, which are joined")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS, help="those to measure, in this order")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.step:
        print(json.dumps(measured(words.step, words.folder)))
        return
    print(
        "| pairs | step | seconds | microseconds a pair | peak MB | GB on disk |\n| --- | --- | --- | --- | --- | --- |"
    )
    for pairs in words.pairs:
        folder = words.folder / f"{pairs}"
        write(folder / "pairs", pairs, triples=words.triples)
        try:
            for step in words.steps:
                found = in_process(step, folder)
                print(
                    f"| {pairs:.0e} | {step} | {found['seconds']:.2f} | {1e6 * found['seconds'] / pairs:.1f} "
                    f"| {found['peak']:.0f} | {disk(folder / 'cache'):.2f} |",
                    flush=True,
                )
        finally:
            shutil.rmtree(folder)


def in_process(step: str, folder: Path) -> dict[str, Any]:
    """What `measured` gives in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.corpus_scale", "--folder", str(folder), "--step", step]
    environment = os.environ | {"MIXLINGUAL_CACHE": str(folder / "cache")}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measured(step: str, folder: Path) -> dict[str, float]:
    """Seconds of a step, and MB of the process when it ends."""
    config = DataConfig(name="pairs", root=str(folder / "pairs"))
    tokenizer = tokenizer_of(folder / "pairs") if "token" in step else None
    started = time.perf_counter()
    corpus = load_corpus(config)
    if step == "draw":
        batching = BatchingConfig(batch_size=64, languages=["de", "en"])
        sampler = make_sampler(corpus, batching, seed=0, steps=100)
        for number in range(100):
            sampler.batch(number)
    if tokenizer is not None:
        started = time.perf_counter()
        store = TokenStore.open(corpus, tokenizer)
        store.tokens(store.query_IL[np.arange(0, len(corpus.items), len(corpus.items) // 64)].max(axis=1))
    seconds = time.perf_counter() - started
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"seconds": seconds, "peak": peak / 1024}


def disk(folder: Path) -> float:
    """GB in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def tokenizer_of(folder: Path) -> TextTokenizer:
    """A tokenizer of the first pairs."""
    with (folder / "0.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for _, line in zip(range(SAMPLE), file)]
    texts = [row[side] for row in rows for side in ("query", "passage") if isinstance(row[side], str)]
    return TextTokenizer(train_tokenizer(texts, 8000), ModelConfig())


def write(folder: Path, pairs: int, *, triples: bool) -> None:
    """Writes made-up pairs; a tenth of the passages are of few words."""
    folder.mkdir(parents=True)
    words = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "s", "lo", "mi", "ka")]
    drawn = np.random.default_rng(0).integers(len(words), size=(1009, 20)).tolist()
    texts = [" ".join(words[each] for each in row) for row in drawn]
    for number, share in enumerate(np.array_split(np.arange(pairs), FILES)):
        with (folder / f"{number}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(line(n, texts[n % len(texts)], triples=triples) for n in range(share[0], share[-1] + 1))


def line(n: int, text: str, *, triples: bool) -> str:
    """Row n."""
    pair = n // 4 if triples else n
    answer = f"{pair - pair % 10} answers" if triples or pair % 10 == 0 else f"{pair} answers {text}"
    code = LANGUAGES[pair % 4]
    negative = f', "negative": "{code} {n} {text}"' if triples else ""
    if pair % 8 == 0 and not triples:
        query = f'{{"de": "was ist {pair}", "en": "what is {pair}"}}'
        return f'{{"query": {query}, "passage": {{"de": "de {answer}", "en": "en {answer}"}}}}\n'
    return f'{{"query": "{code} what is {pair}", "passage": "{code} {answer}", "language": "{code}"{negative}}}\n'


if __name__ == "__main__":
    main()
