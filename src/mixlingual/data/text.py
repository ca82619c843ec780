"""Writes the texts of a benchmark in another form: normalised, or in Latin letters.

People type a language in Latin letters where their keyboard or habit asks for it, and an encoder that has never seen
it so may fail (BGE-M3 falls from .23 to .01 MRR@10 on romanised Chinese questions; arXiv 2505.08411). With one side
changed, a romanised question meets passages as they are written, or the other way round.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import unicodedata
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from mixlingual.config.identity import to_plain
from mixlingual.config.schema import TextConfig
from mixlingual.records import (
    AnyBenchmark,
    Benchmark,
    Candidate,
    Corpus,
    JudgedTask,
    MixlingualError,
    Query,
    fingerprint,
)

Text = TypeVar("Text", Query, Candidate)
Change = Callable[[str], str]


def check_text(config: TextConfig) -> None:
    """Refuses a backend that is not installed, before anything is loaded.

    Raises:
        MixlingualError: naming the package.
    """
    if config.transliterate != "none" and importlib.util.find_spec(config.transliterate) is None:
        raise MixlingualError(
            f"evaluation.text.transliterate={config.transliterate} needs the package {config.transliterate}; run "
            "pip install 'mixlingual[text]', or set it to none"
        )


def rewritten(benchmark: AnyBenchmark, config: TextConfig) -> AnyBenchmark:
    """Returns a benchmark with the texts that the config names in another form; the same one where it names none.

    Ids, languages and answers stay. The fingerprint is another one, so that results of both forms are told apart.

    Args:
        benchmark: as it was read.
        config: the `evaluation.text` options.

    Raises:
        MixlingualError: a language is not in the benchmark, or the backend is not installed.
    """
    if config.normalize == "none" and config.transliterate == "none":
        return benchmark
    check_text(config)
    if unknown := sorted({*(config.languages or ())} - {*benchmark.languages}):
        raise MixlingualError(
            f"evaluation.text.languages: {', '.join(unknown)} is no language of {benchmark.name}; it has "
            f"{', '.join(benchmark.languages)}"
        )
    about = [benchmark.fingerprint, json.dumps(to_plain(config), sort_keys=True)]
    if config.transliterate != "none":
        about.append(importlib.metadata.version(config.transliterate))
    change, languages = _change(config), {*(config.languages or benchmark.languages)}
    queries, passages = (config.side in (side, "both") for side in ("query", "passage"))
    if isinstance(benchmark, Benchmark):
        return replace(
            benchmark,
            queries=_changed(benchmark.queries, change, languages) if queries else benchmark.queries,
            candidates=_changed(benchmark.candidates, change, languages) if passages else benchmark.candidates,
            fingerprint=fingerprint(about),
        )
    tasks = [_task(task, change, languages, queries=queries, passages=passages) for task in benchmark.tasks]
    return replace(benchmark, tasks=tuple(tasks), fingerprint=fingerprint(about))


def _task(task: JudgedTask, change: Change, languages: Collection[str], *, queries: bool, passages: bool) -> JudgedTask:
    own = _changed(task.queries, change, languages) if queries else task.queries
    corpus = task.corpus
    if passages and corpus.language in languages:
        corpus = replace(
            corpus,
            read=lambda: _stream(task.corpus, change),
            fingerprint=fingerprint([corpus.fingerprint, "rewritten"]),
        )
    return replace(task, queries=own, corpus=corpus)


def _stream(corpus: Corpus, change: Change) -> Iterator[Candidate]:
    return (replace(passage, text=change(passage.text)) for passage in corpus)


def _changed(texts: tuple[Text, ...], change: Change, languages: Collection[str]) -> tuple[Text, ...]:
    return tuple(replace(one, text=change(one.text)) if one.language in languages else one for one in texts)


def _change(config: TextConfig) -> Change:
    """Returns what is done to a text: normalised first, then transliterated."""
    romanize = _uroman() if config.transliterate == "uroman" else None
    form: Any = config.normalize.upper()

    @cache
    def change(text: str) -> str:
        text = text if config.normalize == "none" else unicodedata.normalize(form, text)
        if romanize is None:
            return text
        latin = romanize(text)
        return f"{text} {latin}" if config.keep_original and latin != text else latin

    return change


@cache
def _uroman() -> Change:
    """Returns uroman's romanisation (Hermjakob, May & Knight 2018), without rules of single languages."""
    from uroman import Uroman  # which takes seconds to read its tables

    found: Change = Uroman().romanize_string
    return found
