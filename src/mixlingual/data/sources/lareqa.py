"""Reads LAReQA's two retrieval benchmarks, MLQA-R and XQuAD-R (Roy et al. 2020, arXiv:2004.05484).

A candidate is one sentence of a context, alone or with the context after it, or the whole context; equal texts
stay separate candidates. The files come from
a folder of the user or from the history of LAReQA's repository, at the one commit that holds both sets;
the hub copy of XQuAD-R lacks the sentence breaks. Either way their content must be the pinned one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from mixlingual.files import cache_dir, written_whole
from mixlingual.records import Benchmark, Candidate, DataError, Query, fingerprint

log = logging.getLogger(__name__)

_TIMEOUT = 60.0
"""Seconds without an answer after which a download fails."""


@dataclass(frozen=True, slots=True)
class Pin:
    """Says what one language's file must contain, and where it is published."""

    file: str
    """Path below the benchmark root, as in mlqa-r/ar.json."""
    url: str
    license: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Question:
    """Is a question of a paragraph, with the position of its gold sentence there."""

    id: str
    text: str
    gold: int


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Holds one context with its sentences, and the questions about it."""

    context: str
    sentences: tuple[str, ...]
    questions: tuple[Question, ...]


def load_lareqa(name: str, root: Path | None, languages: list[str] | None, unit: str = "sentence") -> Benchmark:
    """Returns MLQA-R (`mlqa_r`) or XQuAD-R (`xquad_r`), in all languages or in those listed.

    Args:
        name: the benchmark.
        root: folder that holds mlqa-r/ and xquad-r/ with LANGUAGE.json or LANGUAGE.json.gz files. None: the
            cache folder, where missing files are downloaded to.
        languages: codes to keep, in any order. None: all.
        unit: what a candidate is, one of `config.UNITS`.

    Raises:
        DataError: a language is not in the benchmark, a file is missing and cannot be downloaded, or its
            content is not the published one.
    """
    pins = read_pins(name)
    unknown = sorted(set(languages or ()) - set(pins))
    if unknown or languages == []:
        got = f"no language {', '.join(unknown)}" if unknown else "no languages to evaluate"
        raise DataError(f"{name} has {got}; it has {', '.join(pins)}. Change evaluation.languages, or null for all")
    wanted = [language for language in pins if languages is None or language in languages]
    paragraphs = {language: parse_squad(*_published(pins[language], root)) for language in wanted}
    return build_benchmark(name, paragraphs, complete=len(wanted) == len(pins), unit=unit)


def read_pins(name: str) -> dict[str, Pin]:
    """Returns the pin, by language, of each file of a benchmark, languages in alphabetical order."""
    table = json.loads(resources.files(__package__).joinpath("lareqa_pins.json").read_text(encoding="utf-8"))
    benchmark = table["benchmarks"][name]
    pins = {}
    for language, pin in sorted(benchmark["files"].items()):
        file = f"{benchmark['folder']}/{language}.json"
        url = f"{table['repository']}/{table['commit']}/{file}"
        pins[language] = Pin(file, url, benchmark["license"], pin["bytes"], pin["sha256"])
    return pins


def parse_squad(content: bytes, file: Path) -> list[Paragraph]:
    """Returns the paragraphs of one language's file, in file order.

    The gold sentence of a question is the one that its answer starts in: begin <= answer_start < end. See
    docs/decisions/0004-gold-sentence.md for why not the rule of the evaluation published with LIR.

    Args:
        content: SQuAD-like JSON whose paragraphs also have `sentences` and `sentence_breaks`.
        file: where it came from, for messages.

    Raises:
        DataError: naming the file, and the paragraph or question in it that is wrong.
    """
    try:
        articles = json.loads(content)["data"]
        raw = [paragraph for article in articles for paragraph in article["paragraphs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not SQuAD-like JSON ({error!r}); it needs data, a list with paragraphs") from error
    paragraphs = [_parse_paragraph(paragraph, f"{file}, paragraph {number}") for number, paragraph in enumerate(raw)]
    seen: set[str] = set()
    for question in (question for paragraph in paragraphs for question in paragraph.questions):
        if question.id in seen:
            raise DataError(f"{file}: question id {question.id} occurs twice; ids must be unique in a language")
        seen.add(question.id)
    return paragraphs


def build_benchmark(
    name: str, paragraphs: dict[str, list[Paragraph]], *, complete: bool, unit: str = "sentence"
) -> Benchmark:
    """Joins the languages: every unit is a candidate, and question ids link the languages.

    Candidate ids are LANGUAGE/PARAGRAPH/SENTENCE, or LANGUAGE/PARAGRAPH, counted from 0 in file order.

    Args:
        name: name of the benchmark.
        paragraphs: language -> its paragraphs; the order of languages is kept.
        complete: whether these are all languages of the benchmark.
        unit: one of `config.UNITS`.
    """
    texts = (paragraph for of_language in paragraphs.values() for paragraph in of_language)
    clusters = linked([question.id for question in paragraph.questions] for paragraph in texts)
    queries: list[Query] = []
    candidates: list[Candidate] = []
    gold: dict[tuple[str, str], int] = {}
    for language, of_language in paragraphs.items():
        for number, paragraph in enumerate(of_language):
            for question in paragraph.questions:
                queries.append(Query(question.id, language, question.text, clusters[question.id]))
                gold[question.id, language] = len(candidates) + (0 if unit == "paragraph" else question.gold)
            candidates += _candidates(paragraph, f"{language}/{number:04d}", language, unit)
    parts = [name]
    for query in queries:
        parts += [query.id, query.language, query.text, candidates[gold[query.id, query.language]].id]
    for candidate in candidates:
        parts += [candidate.id, candidate.text]
    return Benchmark(
        name, tuple(paragraphs), tuple(queries), tuple(candidates), gold, fingerprint(parts), complete, unit
    )


def _candidates(paragraph: Paragraph, identity: str, language: str, unit: str) -> Iterator[Candidate]:
    """Returns the candidates that a paragraph gives; LAReQA's encoders saw the sentence and its context."""
    if unit == "paragraph":
        yield Candidate(identity, language, paragraph.context)
        return
    for position, sentence in enumerate(paragraph.sentences):
        text = sentence if unit == "sentence" else f"{sentence}\n{paragraph.context}"
        yield Candidate(f"{identity}/{position:02d}", language, text)


def _parse_paragraph(raw: Any, where: str) -> Paragraph:
    try:
        context, sentences = str(raw["context"]), tuple(raw["sentences"])
        breaks = [(int(begin), int(end)) for begin, end in raw["sentence_breaks"]]
        starts = [(qa["id"], qa["question"], int(qa["answers"][0]["answer_start"])) for qa in raw["qas"]]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"{where} does not have LAReQA's form ({error!r}); it needs context, sentences, sentence_breaks and qas, "
            "each of these with id, question and answers"
        ) from error
    if len(sentences) != len(breaks):
        raise DataError(f"{where} has {len(sentences)} sentences but {len(breaks)} sentence_breaks")
    questions = []
    for identity, text, start in starts:
        gold = next((position for position, (begin, end) in enumerate(breaks) if begin <= start < end), None)
        if gold is None:
            raise DataError(f"{where}, question {identity}: the answer at character {start} is in no sentence")
        questions.append(Question(identity, text, gold))
    return Paragraph(context, sentences, tuple(questions))


def linked(groups: Iterable[Sequence[str]]) -> dict[str, str]:
    """Maps a question id to its cluster: the smallest id among the questions linked to it.

    Questions of one group, as those about one paragraph of any language, are linked, and so on transitively: the
    components of the graph of questions and groups. In XQuAD-R these are its 240 parallel paragraphs. MLQA-R's
    paragraphs are not parallel (two questions may share one in German but not in English), so a cluster can span
    several of them, and no paragraph belongs to two clusters. With fewer languages kept, clusters can be smaller.
    """
    parent: dict[str, str] = {}

    def find(question: str) -> str:
        while parent[question] != question:
            question = parent[question]
        return question

    for group in groups:
        for question in group:
            parent.setdefault(question, question)
            low, high = sorted((find(group[0]), find(question)))
            parent[high] = low
    return {question: find(question) for question in parent}


def _published(pin: Pin, root: Path | None) -> tuple[bytes, Path]:
    """Returns the verified content of a pinned file and the path that it was read from."""
    plain = (cache_dir() / "benchmarks" if root is None else root) / pin.file
    compressed = plain.with_name(plain.name + ".gz")
    if root is None and not plain.is_file() and not compressed.is_file():
        _download(pin, plain)
    path = plain if plain.is_file() else compressed
    try:
        content = path.read_bytes()
        if path == compressed:
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise DataError(
            f"{plain} is missing, and so is {compressed.name}. Download {pin.url} to that place, "
            "set evaluation.root=null to let it be fetched, or leave the language out with evaluation.languages"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}). Replace it by {pin.url}") from error
    if (mismatch := _mismatch(content, pin)) is not None:
        raise DataError(f"{path} is not the published file: {mismatch}. Replace it by {pin.url}")
    return content, path


def _download(pin: Pin, path: Path) -> None:
    """Fetches a pinned file to `path`; content other than the pinned one is not stored."""
    log.info("fetching %s (license: %s)", pin.url, pin.license)
    try:
        with urlopen(pin.url, timeout=_TIMEOUT) as response:
            content = response.read(pin.bytes + 1)
    except (OSError, HTTPException) as error:
        problem = f"cannot be fetched ({error})"
    else:
        mismatch = _mismatch(content, pin)
        problem = f"did not send the published file: {mismatch}"
        if mismatch is None:
            with written_whole(path) as temporary:
                temporary.write_bytes(content)
            return
    raise DataError(
        f"{path} is missing and {pin.url} {problem}. Put that file there by hand, "
        f"or set evaluation.root to a folder that holds {pin.file}"
    )


def _mismatch(content: bytes, pin: Pin) -> str | None:
    """Returns how the content differs from the pinned one, or None: a score always refers to the same benchmark."""
    digest = hashlib.sha256(content).hexdigest()
    if digest == pin.sha256:
        return None
    return f"{len(content)} bytes with SHA-256 {digest[:16]}, expected {pin.bytes} with {pin.sha256[:16]}"
