"""Benchmarks of the user's own: a folder in the form of BEIR, one sub-folder a language, or of LAReQA's JSON.

    FOLDER/LANGUAGE/corpus.jsonl     {"_id": "p7", "title": "optional", "text": "..."}
    FOLDER/LANGUAGE/queries.jsonl    {"_id": "q1", "text": "..."}
    FOLDER/LANGUAGE/qrels/test.tsv   query-id, corpus-id and score, separated by tabs, after a line of these names
    FOLDER/LANGUAGE.json             SQuAD-like JSON whose paragraphs have `sentences` and `sentence_breaks`

Files may be compressed, as corpus.jsonl.gz. Where the same id in several languages is the same text translated, the
benchmark is parallel: judgements of all languages are joined, and every setting and measure of language bias follows.
Then a language may lack queries, passages or judgements. Otherwise each language is a benchmark of its own. Judgements
above 0 are relevant, and their number is the gain of nDCG. A parallel benchmark that is too large for memory is
searched in shards, in and across languages.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import logging
import re
import zlib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.lines import fields, id_of, json_lines, text_lines, text_of
from mixlingual.data.sources.judged import add_judgement, corpus_of, judged_benchmark, kept_languages
from mixlingual.data.sources.lareqa import build_benchmark, linked, parse_squad
from mixlingual.files import digest
from mixlingual.records import (
    AnyBenchmark,
    Benchmark,
    Candidate,
    Corpus,
    DataError,
    JudgedBenchmark,
    JudgedTask,
    Query,
    fingerprint,
)

log = logging.getLogger(__name__)

MEASURES = ("ndcg@10", "r@100")
"""Of each language on its own: those of BEIR."""

IN_MEMORY = 1 << 31
"""Most bytes of passages, as they lie in files, that are held and ranked whole."""

_TOO_LARGE = (
    "passages are too many to be ranked whole: lists of 100, in and across languages; the pool of all and the measures "
    "of language bias need languages or passages left out"
)

_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Za-z0-9]+)*")
_HEADS = {"query-id", "query_id", "qid", "query"}
_LINE = 'write one object a line, {"_id": "...", "text": "..."}'
_FORM = "write query-id, corpus-id and score, separated by tabs"

Judgements = dict[str, dict[str, int]]


@dataclass
class _Language:
    """Holds what one sub-folder says."""

    code: str
    queries: dict[str, str] = field(default_factory=dict)
    qrels: Judgements = field(default_factory=dict)
    places: dict[tuple[str, str], str] = field(default_factory=dict)
    """Query id and passage id -> file and line of the judgement."""
    passages: list[Path] = field(default_factory=list)


def load_custom(name: str, folder: Path, config: EvaluationConfig) -> AnyBenchmark:
    """Returns the benchmark in a folder, in all its languages or in those of the config.

    Args:
        name: that the user gave it.
        folder: its files.
        config: says which languages to keep, what a candidate of LAReQA's JSON is, and whether ids are shared.

    Raises:
        DataError: naming file and line, what was found, what is allowed and what to do.
    """
    if not folder.is_dir():
        raise DataError(f"evaluation.custom.{name}={folder} is no folder; set it to the folder of the benchmark")
    found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = {path.name.removesuffix(".gz").removesuffix(".json"): path for path in found if _is_json(path)}
    folders = {path.name: path for path in found if path.is_dir() and path.name != "qrels"}
    if bool(files) == bool(folders) or not all(map(_LANGUAGE.fullmatch, [*files, *folders])):
        names = ", ".join(path.name for path in found) or "nothing"
        raise DataError(
            f"{folder} holds {names}; a benchmark is either one sub-folder for each language, as in "
            f"{folder.name}/en/corpus.jsonl, or one file, as in {folder.name}/en.json, and a language is named as en, "
            "eng_Latn or zh_Hans"
        )
    kept = kept_languages(name, config.languages, sorted([*files, *folders]))
    complete = len(kept) == len(files or folders)
    if files:
        paragraphs = {code: parse_squad(_content(files[code]), files[code]) for code in kept}
        return build_benchmark(name, paragraphs, complete=complete, unit=config.unit)
    languages = [_read(code, path) for code, path in folders.items()]
    if not any(language.qrels for language in languages):
        raise DataError(f"{folder} has no judgements; {_FORM} to LANGUAGE/qrels/test.tsv")
    if _shared(config.shared_ids, languages):
        return _parallel(name, languages, kept, checked=config.shared_ids is None)
    return _separate(name, [language for language in languages if language.code in kept], complete=complete)


def _is_json(path: Path) -> bool:
    return path.name.endswith((".json", ".json.gz"))


def _content(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); compress or copy it again") from error


def _read(code: str, folder: Path) -> _Language:
    """Reads the judgements and queries of a language, and sees where its passages are."""
    language = _Language(code, passages=_there(folder, "corpus.jsonl"))
    if (judged := _judgement_file(folder / "qrels")) is not None:
        _read_judgements(judged, language)
    for path in _there(folder, "queries.jsonl"):
        for where, row in json_lines(path, _LINE):
            key = id_of(row, "_id" if "_id" in row else "id", where)
            if key in language.queries:
                raise DataError(f"{where}: the query id {key!r} comes twice; ids must be unique in a language")
            language.queries[key] = text_of(row, "text", where)
    return language


def _corpus(name: str, language: _Language) -> Corpus:
    read = functools.partial(json_lines, remedy=_LINE)
    return corpus_of(f"{name}/{language.code}", language.code, language.passages, read, ["_id", "id"])


def _named(name: str, language: _Language) -> Corpus:
    """Returns the passages with a fingerprint of their content."""
    return dataclasses.replace(_corpus(name, language), fingerprint=fingerprint(map(_digest, language.passages)))


def _there(folder: Path, name: str) -> list[Path]:
    """Returns the file of that name in a folder, plain or compressed, if it is there."""
    both = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if len(both) > 1:
        raise DataError(f"{folder} holds {name} and {name}.gz; keep one of them")
    return both


def _judgement_file(folder: Path) -> Path | None:
    """Returns test.tsv, or else the only file of judgements in a folder; None where there is none."""
    found = sorted(path for path in folder.glob("[!.]*.tsv*") if path.name.endswith((".tsv", ".tsv.gz")))
    chosen = [path for path in found if path.name.startswith("test.")] or found
    if len(chosen) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{folder} holds {names}; keep the one to be evaluated, or call it test.tsv")
    return chosen[0] if chosen else None


def _read_judgements(path: Path, language: _Language) -> None:
    for number, (where, line) in enumerate(text_lines(path)):
        columns = line.split("\t") if line.count("\t") >= 2 else fields(line)
        if number == 0 and columns[0].strip().lower() in _HEADS:
            continue
        if len(columns) == 4:  # as TREC writes them, with a column that says nothing
            del columns[1]
        if len(columns) != 3:
            raise DataError(f"{where}: got {len(columns)} fields, expected 3; {_FORM}")
        query, passage = (id_of({"id": key}, "id", where) for key in columns[:2])
        add_judgement(language.qrels, query, passage, _relevance(columns[2], where), where)
        language.places[query, passage] = where


def _relevance(text: str, where: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = 0.5
    if not value.is_integer():
        raise DataError(f"{where}: the score is {text!r}; it must be a whole number, 0 for what is not relevant")
    return int(value)


def _digest(path: Path) -> str:
    """Returns a hash of the content of a file, read once while it stays as it is."""
    stat = path.stat()
    return _hashed(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache
def _hashed(path: Path, _size: int, _time: int) -> str:
    return digest(path)


def _shared(wanted: bool | None, languages: Sequence[_Language]) -> bool:
    """Tells whether ids are shared between languages: as the user says, or by whether any judged one is."""
    if wanted is not None or len(languages) < 2:
        return bool(wanted)
    queries = [language.queries.keys() | language.qrels.keys() for language in languages]
    passages = [{passage for row in language.qrels.values() for passage in row} for language in languages]
    common = any(left & right for side in (queries, passages) for left, right in combinations(side, 2))
    return common or any(language.queries and not language.passages for language in languages)


def _separate(name: str, languages: Sequence[_Language], *, complete: bool) -> JudgedBenchmark:
    """Returns a benchmark of queries and passages of one language each; passages are read as a stream."""
    tasks = []
    for one in languages:
        if not one.qrels or not one.passages:
            lacks = "judgements" if not one.qrels else "passages"
            raise DataError(
                f"evaluation.custom.{name}: {one.code} has no {lacks}, which each language needs where ids are not "
                "shared; add them, take its folder out, or set evaluation.shared_ids=true if the same id is the same "
                "text translated"
            )
        _check_queries([one], one.queries)
        queries = tuple(Query(key, one.code, one.queries[key], key) for key in one.queries if key in one.qrels)
        tasks.append(JudgedTask(queries, one.code, _named(name, one), one.qrels))
    return judged_benchmark(name, tasks, MEASURES, complete=complete)


def _check_queries(languages: Iterable[_Language], known: Container[str]) -> None:
    """Refuses judgements of a query that is not there."""
    for language in languages:
        for (query, _), where in language.places.items():
            if query not in known:
                raise DataError(f"{where}: there is no query {query!r}; add it to queries.jsonl, or take the line out")


def _parallel(name: str, languages: Sequence[_Language], kept: Sequence[str], *, checked: bool) -> AnyBenchmark:
    """Joins the languages by ids: an answer is a relevant passage, whatever its language."""
    own = [language for language in languages if language.code in kept]
    if sum(path.stat().st_size for language in own for path in language.passages) > IN_MEMORY:
        return _pairs(name, languages, own, checked=checked)
    candidates: list[Candidate] = []
    place: dict[tuple[str, str], int] = {}
    for language in own:
        for number, passage in enumerate(_corpus(name, language), start=1):
            if (passage.id, language.code) in place:
                where = f"{language.passages[0]}, line {number}"
                raise DataError(f"{where}: the passage id {passage.id!r} comes twice; ids must be unique in a language")
            place[passage.id, language.code] = len(candidates)
            candidates.append(dataclasses.replace(passage, id=f"{language.code}/{passage.id}"))
    grades = _grades(name, languages, own, place, checked=checked)
    answers = {
        query: {passage: grade for passage, grade in row.items() if any((passage, code) in place for code in kept)}
        for query, row in grades.items()
    }
    queries = [(key, one.code, text) for one in own for key, text in one.queries.items() if answers.get(key)]
    if not queries:
        raise DataError(
            f"evaluation.custom.{name}: no query has a relevant passage in {', '.join(kept)}; see its qrels"
        )
    left_out = sum(key in grades for one in own for key in one.queries) - len(queries)
    if left_out:
        log.warning("%s: %d judged queries have no relevant passage and are left out", name, left_out)
    asked = {key: answers[key] for key, _, _ in queries}
    members: dict[str, list[str]] = {}
    for key, row in asked.items():
        for passage_id in row:
            members.setdefault(passage_id, []).append(key)
    clusters = linked(members.values())
    texts = (part for candidate in candidates for part in (candidate.id, candidate.text))
    judged = (f"{query} {passage} {grade}" for query, row in asked.items() for passage, grade in row.items())
    return Benchmark(
        name,
        tuple(kept),
        tuple(Query(key, code, text, clusters[key]) for key, code, text in queries),
        tuple(candidates),
        {(passage, code): place[passage, code] for passage in members for code in kept if (passage, code) in place},
        fingerprint((name, *(part for query in queries for part in query), *texts, *judged)),
        len(own) == len(languages),
        "passage",
        asked,
    )


def _pairs(name: str, languages: Sequence[_Language], own: Sequence[_Language], *, checked: bool) -> JudgedBenchmark:
    """Returns a task for each language, and each ordered pair of languages, whose passages are read as a stream."""
    judged = {passage for language in languages for row in language.qrels.values() for passage in row}
    held = [language for language in own if language.passages]
    place = {(one.id, language.code): 0 for language in held for one in _corpus(name, language) if one.id in judged}
    grades = _grades(name, languages, own, place, checked=checked)
    corpora = {language.code: _named(name, language) for language in held}
    tasks = []
    for asked, (code, corpus) in product(own, corpora.items()):
        relevant = {key: {p: g for p, g in grades.get(key, {}).items() if (p, code) in place} for key in asked.queries}
        qrels = {key: row for key, row in relevant.items() if row}
        queries = tuple(Query(key, asked.code, asked.queries[key], key) for key in qrels)
        if queries:
            tasks.append(JudgedTask(queries, asked.code, corpus, qrels))
    log.warning("%s: %s", name, _TOO_LARGE)
    return judged_benchmark(name, tasks, MEASURES, complete=len(own) == len(languages), note=_TOO_LARGE)


def _grades(
    name: str,
    languages: Sequence[_Language],
    own: Sequence[_Language],
    place: Mapping[tuple[str, str], int],
    *,
    checked: bool,
) -> Judgements:
    """Returns the joined judgements, once they agree and name queries and passages that are there."""
    if checked:
        _check_agreement(name, [language for language in own if language.qrels], place)
    grades = _joined(languages)
    _check_queries(languages, {key for language in languages for key in language.queries})
    if len(own) == len(languages):
        _check_passages(languages, place.keys())
    return grades


def _joined(languages: Iterable[_Language]) -> Judgements:
    """Returns the relevant passages of each query by all languages together.

    Raises:
        DataError: two languages give a passage other grades for a query.
    """
    grades: Judgements = {}
    first: dict[tuple[str, str], tuple[int, str]] = {}
    for language in languages:
        for (query, passage), where in language.places.items():
            grade = language.qrels[query][passage]
            other, there = first.setdefault((query, passage), (grade, where))
            if other != grade:
                raise _disagree(f"{where}: passage {passage!r} has the score {grade} for query {query!r}", other, there)
            row = grades.setdefault(query, {})
            if grade > 0:
                row[passage] = grade
    return grades


def _disagree(found: str, other: object, there: str) -> DataError:
    return DataError(
        f"{found}, and {other} in {there}. If the same id in several languages is the same text translated, make them "
        "agree; if each language is on its own, set evaluation.shared_ids=false"
    )


def _check_agreement(name: str, languages: Sequence[_Language], place: Mapping[tuple[str, str], int]) -> None:
    """Refuses ids that are shared by chance: in languages that both judge a query the same passages are relevant.

    Raises:
        DataError: they are not, or no query is judged in two languages, so that nothing shows what ids mean.
    """
    for left, right in combinations(languages, 2):
        for query in left.qrels.keys() & right.qrels.keys():
            for one, other in ((left, right), (right, left)):
                for passage, grade in one.qrels[query].items():
                    if grade > 0 and (passage, other.code) in place and other.qrels[query].get(passage, 0) <= 0:
                        where = one.places[query, passage]
                        found = f"{where}: passage {passage!r} has the score {grade} for query {query!r}"
                        raise _disagree(found, "none", f"the judgements of {other.code}, which has that passage")
    judged = [language.qrels.keys() for language in languages]
    in_two = any(left & right for left, right in combinations(judged, 2))
    if not in_two and sum(bool(language.passages) for language in languages) > 1:
        raise DataError(
            f"evaluation.custom.{name}: languages share ids, and no query is judged in two of them. Set "
            "evaluation.shared_ids=true if the same id is the same text translated, or false if each language is on "
            "its own"
        )


def _check_passages(languages: Iterable[_Language], known: Iterable[tuple[str, str]]) -> None:
    """Refuses a judgement of a passage that no language has."""
    there = {passage for passage, _ in known}
    for language in languages:
        for (query, passage), where in language.places.items():
            if passage not in there:
                raise DataError(
                    f"{where}: no corpus.jsonl has the passage {passage!r} of query {query!r}; add it, or take out the "
                    "line"
                )
