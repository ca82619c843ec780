"""Recipes over small files, with a program for an engine that notes every line that it reads."""

import csv
import gzip
import json
import sys

import pytest

from mixlingual.config.schema import (
    EngineConfig,
    EvaluationConfig,
    FilterConfig,
    MineConfig,
    PrepareConfig,
    RecipeConfig,
    RecipeSourceConfig,
    TranslateConfig,
)

ENGINE = """
import sys
log, limit = open(sys.argv[1], "a"), int(sys.argv[3])
for number, line in enumerate(sys.stdin):
    log.write(line)
    log.flush()
    if limit and number >= limit:
        break
    print(" ".join(sys.argv[2] + word[::-1] for word in line.split()))
"""
"""Writes each word backwards after a mark; after `limit` lines it ends too early."""

QUESTIONS = [
    (
        "Where is the old harbour of the town?",
        "The old harbour lies behind the market hall. It was built by merchants.",
    ),
    (
        "Who built the wooden bridge over the river?",
        "A guild of carpenters built the wooden bridge in a single summer.",
    ),
    ("When does the night train to the coast leave?", "The night train leaves at ten. Tickets are sold on board."),
    ("Why are the lamps of the lighthouse green?", "Green lamps were cheaper, and sailors had asked for them."),
    ("Which bird nests in the chimney of the mill?", "A stork has nested in the chimney of the mill for years."),
    ("How deep is the well in the castle yard?", "The well in the castle yard is forty metres deep and dry."),
]


@pytest.fixture
def questions(tmp_path):
    """A CSV file of six questions with their passages."""
    path = tmp_path / "faq.en.csv"
    write_csv(path, QUESTIONS)
    return path


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("question", "answer"), *rows])


@pytest.fixture
def engine(tmp_path):
    """Makes an engine that marks its words; `seen(mark)` tells what it has read."""
    (tmp_path / "engine.py").write_text(ENGINE)

    class Engine:
        def config(self, mark="x", limit=0):
            words = [sys.executable, str(tmp_path / "engine.py"), str(tmp_path / f"{mark}.log"), mark, str(limit)]
            return EngineConfig(kind="program", command=words)

        def seen(self, mark="x"):
            path = tmp_path / f"{mark}.log"
            return path.read_text().splitlines() if path.exists() else []

    return Engine()


@pytest.fixture
def recipe(tmp_path, questions, monkeypatch):
    """Makes options of a recipe over the questions; each test has a cache of its own."""
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path / "cache"))

    def make(*, translate=None, mine=None, sources=None, benchmarks=(), shard_items=2, **filters):
        return PrepareConfig(
            recipe=RecipeConfig(
                name="test",
                sources=sources or {"faq": RecipeSourceConfig(files=[str(questions)])},
                filter=FilterConfig(**filters),
                translate=TranslateConfig(identify=False, copied=1.0, **(translate or {})),
                mine=MineConfig(**(mine or {})),
                shard_items=shard_items,
            ),
            evaluation=EvaluationConfig(benchmarks=list(benchmarks)),
            accelerator="cpu",
            folder=str(tmp_path / "prepared"),
        )

    return make


def read_lines(folder):
    """Returns the rows of all files of a folder, in order."""
    return [
        json.loads(line)
        for path in sorted(folder.glob("*.jsonl.gz"))
        for line in gzip.decompress(path.read_bytes()).decode().split("\n")
        if line
    ]
