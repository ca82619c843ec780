"""Defines the plain, frozen records that pass between the rooms of Mixlingual; no torch is imported here."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeGuard

RESULT_SCHEMA = 1
"""Version of the `result.json` layout; it rises when a field changes its meaning."""


class MixlingualError(Exception):
    """Something the user can mend: the message says what, got, allowed and the next step.

    Entry points print the message without a traceback and exit with code 1.
    """


class DataError(MixlingualError):
    """Malformed, missing or contradictory data; the message names file and line where there is one."""


@dataclass(frozen=True, slots=True)
class ParallelItem:
    """One question (or title) and its passage, each in several languages.

    `query`, `passage` and each hard negative (a passage that looks like an answer and is none) map a
    language code to the text; they need not hold the same languages.
    """

    id: str
    source: str
    query: dict[str, str]
    passage: dict[str, str]
    negatives: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class ParallelCorpus:
    """Training items in a fixed order; positions in `items` are the item numbers of the sampler."""

    name: str
    items: Sequence[ParallelItem]
    """In memory, or in files and read when they are asked for: see `data.items`."""
    languages: tuple[str, ...]
    source_weights: dict[str, float]
    """Source name -> relative share of the batches, for every source that items name."""
    fingerprint: str
    """Hash of all ids and texts, in order: see `fingerprint`."""


@dataclass(frozen=True, slots=True)
class Query:
    """A benchmark question in one language; parallel questions share their `id`."""

    id: str
    language: str
    text: str
    paragraph: str
    """Cluster the question belongs to (its source paragraph), equal over languages where parallel."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A benchmark candidate in one language; `id` is unique over all languages of the benchmark."""

    id: str
    language: str
    text: str


class Size(NamedTuple):
    """How much there is to encode and to score."""

    queries: int
    candidates: int
    rows: int
    """Of the table of scores."""


@dataclass(frozen=True)
class Benchmark:
    """Questions, candidates and, in each language, the candidate that holds each answer.

    A question has one answer, of its own id, unless `answers` lists others.
    """

    protocol: ClassVar[str] = "parallel"
    """How it is scored: a key of `evaluation.suite.PROTOCOLS`."""
    name: str
    languages: tuple[str, ...]
    queries: tuple[Query, ...]
    candidates: tuple[Candidate, ...]
    gold: dict[tuple[str, str], int]
    """(answer id, language) -> position in `candidates` of the one gold candidate that holds the answer there."""
    fingerprint: str
    complete: bool = True
    """False when the user restricted the benchmark's languages."""
    unit: str = "sentence"
    """What a candidate is: see `config.UNITS`; `passage` where they are given as they are."""
    answers: dict[str, dict[str, int]] = field(default_factory=dict)
    """Question id -> answer id -> relevance, above 0; a question that is not in it has one answer of its own id."""

    def answers_of(self, question: str) -> dict[str, int]:
        """Answer id -> relevance of a question."""
        return self.answers.get(question, {question: 1})

    @property
    def size(self) -> Size:
        """Numbers of its texts and scores."""
        queries = len(self.queries)
        return Size(queries, len(self.candidates), queries * (len(self.languages) + 1))


@dataclass(frozen=True)
class Corpus:
    """Passages in files, of any number, that are read as a stream in one order."""

    name: str
    language: str
    read: Callable[[], Iterator[Candidate]]
    fingerprint: str
    """Hash of the names and sizes of its files: contents of 100 GB are not hashed."""

    def __iter__(self) -> Iterator[Candidate]:
        return self.read()


@dataclass(frozen=True)
class JudgedTask:
    """Queries of one language against one corpus, with judgements by query id and passage id.

    Query ids and passage ids are separate names: one may equal the other and mean nothing by it.
    """

    queries: tuple[Query, ...]
    language: str
    """Of the queries."""
    corpus: Corpus
    qrels: dict[str, dict[str, int]]
    """Query id -> passage id -> relevance; every judged query counts, whether or not anything is found for it."""
    answers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Query id -> strings of which a passage must hold one, where passages are not judged."""


@dataclass(frozen=True)
class JudgedBenchmark:
    """Tasks over corpora that may be large, as MIRACL's."""

    protocol: ClassVar[str] = "judged"
    name: str
    tasks: tuple[JudgedTask, ...]
    measures: tuple[str, ...]
    """Keys of `evaluation.judged.MEASURES`, the official one first."""
    fingerprint: str
    complete: bool = True
    """False when the user restricted the languages."""
    note: str = ""
    """What its figures must not be compared with."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of queries and passages, sorted."""
        return tuple(sorted({code for task in self.tasks for code in (task.language, task.corpus.language)}))

    @property
    def size(self) -> Size:
        """Nothing: passages would have to be read to be counted."""
        return Size(0, 0, 0)


AnyBenchmark = Benchmark | JudgedBenchmark


@dataclass(frozen=True)
class RunResult:
    """All that is known about one finished run: the content of its `result.json`."""

    sweep_name: str
    run_name: str
    config: dict[str, Any]
    config_hash: str
    commit: str | None
    """Git commit of the code; None outside a checkout. A trailing + marks uncommitted changes."""
    versions: dict[str, str]
    """Package name -> version, Python included."""
    data: dict[str, str]
    """Data set or benchmark name -> fingerprint."""
    parameters: dict[str, int]
    """`total` and `non_embedding` numbers of weights."""
    batches: dict[str, Any]
    """Realised share of monolingual batches and exposure per language, pair and source."""
    training: dict[str, float]
    """`steps`, `pairs`, `final_loss` (mean over the last tenth of the steps), and the last `temperature`."""
    benchmarks: dict[str, Any]
    """benchmark -> mono | cross | multi -> metrics; see `evaluation.protocol`."""
    timings: dict[str, float]
    """Seconds of `train`, of `validate` where the run was validated, and of each `evaluate/<benchmark>`."""
    probes: dict[str, float | None] = field(default_factory=dict)
    """How the gradients of the two kinds agreed, where that was measured; see `training.probes`."""
    validation: dict[str, Any] = field(default_factory=dict)
    """What was measured while the run trained, if anything: see `training.validation.Validation.summary`."""
    commits: list[str | None] = field(default_factory=list)
    """As `commit`, of each attempt at the run, in order; more than one kind makes the run hard to repeat."""
    schema: int = field(default=RESULT_SCHEMA)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value read from JSON is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def fingerprint(parts: Iterable[str]) -> str:
    """Sixteen hex digits that change when any part, or their order, changes."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()[:16]
