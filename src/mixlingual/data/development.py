"""Development sets: parts of benchmarks, and items of the training data that are kept out of it.

What is drawn depends on ids alone, so that every run, size and ratio of a sweep is validated on the same texts.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixlingual.config.schema import EvaluationConfig, TrainConfig, ValidationConfig
from mixlingual.data.registry import load_benchmark
from mixlingual.records import (
    AnyBenchmark,
    Benchmark,
    Candidate,
    Corpus,
    DataError,
    JudgedBenchmark,
    JudgedTask,
    ParallelCorpus,
    ParallelItem,
    Query,
    fingerprint,
)

HELD_OUT = "held_out"
"""Name of the development set from the training data."""


@dataclass(frozen=True)
class HeldOut:
    """Items that are kept out of training."""

    benchmark: Benchmark
    """Their questions and passages; each passage is the one answer, in its language, to its question."""
    untrained: NDArray[np.int64]
    """Numbers of all items that are never trained on: these, and others that share a text with one of them."""


def development_sets(config: TrainConfig, corpus: ParallelCorpus) -> list[AnyBenchmark]:
    """Returns the sets that a run is validated on; none if it is not.

    Raises:
        DataError: one cannot be read or made.
    """
    validation = config.validation
    if not validation.wanted:
        return []
    sets = development_benchmarks(validation, config.evaluation)
    if validation.held_out:
        sets.append(hold_out(corpus, validation.held_out, validation.languages).benchmark)
    return sets


def untrained(config: TrainConfig, corpus: ParallelCorpus) -> NDArray[np.int64] | None:
    """Returns the numbers of the items that are kept out of training; None if all are trained on.

    Raises:
        DataError: there are not enough items to hold out.
    """
    number = config.validation.held_out
    return hold_out(corpus, number, config.validation.languages).untrained if number else None


def development_benchmarks(config: ValidationConfig, evaluation: EvaluationConfig) -> list[AnyBenchmark]:
    """Reads the benchmarks that the run is validated on, and returns the part of each.

    Args:
        config: says which benchmarks, and how much of them.
        evaluation: says where their files lie and what a candidate is.

    Raises:
        DataError: a benchmark is missing or malformed, lacks a wanted language, or cannot be cut.
    """
    if not config.wanted:
        return []
    source = replace(evaluation, languages=config.languages)
    return [part_of(load_benchmark(name, source), config) for name in dict.fromkeys(config.benchmarks)]


def part_of(benchmark: AnyBenchmark, config: ValidationConfig) -> AnyBenchmark:
    """Returns so many questions and candidates of a benchmark as the config says, always the same ones.

    All answers to the questions are among the candidates, and so are all judged passages.

    Raises:
        DataError: passages are to be left out of a benchmark that looks for answers in them.
    """
    if isinstance(benchmark, Benchmark):
        return _part_of_parallel(benchmark, config)
    return _part_of_judged(benchmark, config)


def hold_out(corpus: ParallelCorpus, number: int, languages: list[str] | None) -> HeldOut:
    """Chooses items of the training data that no two share a text, and says what must not be trained on for them.

    Items with both sides in two languages or more are chosen, where the data have more than one language.

    Args:
        corpus: the training data.
        number: so many items are chosen.
        languages: of the development set. None: all of the data's.

    Raises:
        DataError: there are fewer such items, or the data lack a language.
    """
    if unknown := sorted(set(languages or ()) - set(corpus.languages)):
        raise DataError(
            f"validation.languages names {', '.join(unknown)}, which the training data lack; they hold "
            f"{', '.join(corpus.languages)}"
        )
    kept = tuple(code for code in corpus.languages if languages is None or code in languages)
    chosen: list[ParallelItem] = []
    seen: set[str] = set()
    fewest = min(2, len(kept))
    for place in np.argsort([_draw(item.id) for item in corpus.items], kind="stable").tolist():
        if len(chosen) == number:
            break
        item = corpus.items[place]
        texts = {*item.query.values(), *item.passage.values()}
        if len(_both_sides(item, kept)) >= fewest and seen.isdisjoint(texts):
            chosen.append(item)
            seen |= texts
    if len(chosen) < number:
        raise DataError(
            f"validation.held_out={number}, but {corpus.name} has only {len(chosen)} items with texts of their own in "
            f"{fewest} of the languages {', '.join(kept)}; lower it"
        )
    untrained = [place for place, item in enumerate(corpus.items) if not seen.isdisjoint(_texts(item))]
    return HeldOut(_benchmark_of(chosen, kept), np.array(untrained, np.int64))


def what_is_shared(development: AnyBenchmark, evaluated: AnyBenchmark) -> str:
    """Says in words which texts a development set has in common with a benchmark; empty if none.

    Passages of a benchmark with judgements are not read.
    """
    counts = {
        "questions": len(_questions(development) & _questions(evaluated)),
        "candidates": len(_candidates(development) & _candidates(evaluated)),
    }
    return " and ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _part_of_parallel(benchmark: Benchmark, config: ValidationConfig) -> Benchmark:
    asked = set(_drawn({query.id for query in benchmark.queries}, config.questions))
    queries = tuple(query for query in benchmark.queries if query.id in asked)
    wanted = {answer for question in asked for answer in benchmark.answers_of(question)}
    gold = {key: place for key, place in benchmark.gold.items() if key[0] in wanted}
    answers = set(gold.values())
    kept = set(answers)
    for language in benchmark.languages:
        places = {c.id: place for place, c in enumerate(benchmark.candidates) if c.language == language}
        others = [identity for identity, place in places.items() if place not in answers]
        left = None if config.candidates is None else max(0, config.candidates - (len(places) - len(others)))
        kept |= {places[identity] for identity in _drawn(others, left)}
    moved = {old: new for new, old in enumerate(sorted(kept))}
    candidates = tuple(benchmark.candidates[place] for place in moved)
    parts = [benchmark.fingerprint, *(f"{q.language} {q.id}" for q in queries), *(c.id for c in candidates)]
    return replace(
        benchmark,
        queries=queries,
        candidates=candidates,
        gold={key: moved[place] for key, place in gold.items()},
        answers={question: found for question, found in benchmark.answers.items() if question in asked},
        fingerprint=fingerprint(parts),
        complete=False,
    )


def _part_of_judged(benchmark: JudgedBenchmark, config: ValidationConfig) -> JudgedBenchmark:
    if config.candidates is not None and any(task.answers for task in benchmark.tasks):
        raise DataError(
            f"{benchmark.name} looks for answers in any passage, so that none can be left out; take it out of "
            "validation.benchmarks"
        )
    tasks = [_fewer_queries(task, config.questions) for task in benchmark.tasks]
    corpora: dict[str, Corpus] = {}
    for name in dict.fromkeys(task.corpus.name for task in tasks):
        own = [task for task in tasks if task.corpus.name == name]
        judged = {passage for task in own for row in task.qrels.values() for passage in row}
        corpora[name] = _smaller_corpus(own[0].corpus, judged, config.candidates)
    cut = tuple(replace(task, corpus=corpora[task.corpus.name]) for task in tasks)
    parts = [benchmark.fingerprint, *(c.fingerprint for c in corpora.values())]
    parts += [f"{task.language} {query.id}" for task in cut for query in task.queries]
    return replace(benchmark, tasks=cut, fingerprint=fingerprint(parts), complete=False)


def _fewer_queries(task: JudgedTask, number: int | None) -> JudgedTask:
    kept = set(_drawn({query.id for query in task.queries}, number))
    queries = tuple(query for query in task.queries if query.id in kept)
    return replace(
        task,
        queries=queries,
        qrels={query: row for query, row in task.qrels.items() if query in kept},
        answers={query: found for query, found in task.answers.items() if query in kept},
    )


def _smaller_corpus(corpus: Corpus, judged: set[str], number: int | None) -> Corpus:
    """Returns the judged passages and some of the others, in their order; the corpus is read once."""
    if number is None:
        return corpus
    held: list[tuple[int, Candidate]] = []

    def others() -> Iterator[tuple[int, int, Candidate]]:
        for place, passage in enumerate(corpus):
            if passage.id in judged:
                held.append((place, passage))
            else:
                yield _draw(passage.id), place, passage

    drawn = heapq.nsmallest(number, others(), key=lambda each: each[:2])
    held += [(place, passage) for _, place, passage in drawn[: max(0, number - len(held))]]
    kept = tuple(passage for _, passage in sorted(held, key=lambda each: each[0]))
    return replace(
        corpus, read=lambda: iter(kept), fingerprint=fingerprint([corpus.fingerprint, *(c.id for c in kept)])
    )


def _benchmark_of(items: Iterable[ParallelItem], languages: tuple[str, ...]) -> Benchmark:
    queries: list[Query] = []
    candidates: list[Candidate] = []
    gold: dict[tuple[str, str], int] = {}
    items = [item for item in items if any(code in item.passage for code in languages)]
    for code in languages:
        for item in items:
            if code in item.query:
                queries.append(Query(item.id, code, item.query[code], item.id))
            if code in item.passage:
                gold[item.id, code] = len(candidates)
                candidates.append(Candidate(f"{code}/{item.id}", code, item.passage[code]))
    parts = [part for query in queries for part in (query.id, query.language, query.text)]
    parts += [part for passage in candidates for part in (passage.id, passage.text)]
    return Benchmark(HELD_OUT, languages, tuple(queries), tuple(candidates), gold, fingerprint(parts), unit="paragraph")


def _both_sides(item: ParallelItem, languages: tuple[str, ...]) -> set[str]:
    return {code for code in languages if code in item.query and code in item.passage}


def _texts(item: ParallelItem) -> Iterator[str]:
    for side in (item.query, item.passage, *item.negatives):
        yield from side.values()


def _drawn(ids: Iterable[str], number: int | None) -> list[str]:
    """Returns so many of the ids, by a number that depends on each alone; all of them if None."""
    return list(ids) if number is None else heapq.nsmallest(number, ids, key=lambda one: (_draw(one), one))


def _draw(identity: str) -> int:
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest(), "little")


def _questions(benchmark: AnyBenchmark) -> set[str]:
    parts = [benchmark.queries] if isinstance(benchmark, Benchmark) else [task.queries for task in benchmark.tasks]
    return {query.text for queries in parts for query in queries}


def _candidates(benchmark: AnyBenchmark) -> set[str]:
    return {candidate.text for candidate in benchmark.candidates} if isinstance(benchmark, Benchmark) else set()
