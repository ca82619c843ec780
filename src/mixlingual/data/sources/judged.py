"""Reads the formats that judged benchmarks are published in, and says where their files come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
from huggingface_hub import snapshot_download

from mixlingual.data.lines import Row, described, fields, id_of, json_lines, refuse_pointer, text_lines, text_of
from mixlingual.records import Candidate, Corpus, DataError, JudgedBenchmark, JudgedTask, Query, fingerprint

ReadRows = Callable[[Path], Iterator[tuple[str, Row]]]

_WHOLE = re.compile(r"-?[0-9]+")


def dataset_folder(
    repository: str,
    patterns: Sequence[str],
    root: Path | None,
    revision: str | None = None,
    option: str = "evaluation.root",
) -> Path:
    """Returns the folder of a hub data set: `root`/NAME, or fetched from the hub where root is None.

    Args:
        repository: OWNER/NAME on the hub.
        patterns: files that are needed, with wildcards.
        root: the user's folder of data sets.
        revision: what to fetch: a commit, branch or tag; None is the default branch.
        option: that sets `root`.

    Raises:
        DataError: it is not there and cannot be fetched.
    """
    command = f"hf download {repository} --repo-type dataset" + (f" --revision {revision}" if revision else "")
    if root is not None:
        folder = root / repository.partition("/")[2]
        if not folder.is_dir():
            raise DataError(
                f"{folder} is missing. Run `{command} --local-dir {folder}`, or set {option}=null to let it be fetched"
            )
        return folder
    try:
        return Path(
            snapshot_download(repository, repo_type="dataset", allow_patterns=list(patterns), revision=revision)
        )
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"the data set {repository} cannot be fetched ({reason}). Where there is network, run "
            f"`{command} --local-dir FOLDER/{repository.partition('/')[2]}` and set {option}=FOLDER"
        ) from error


def matching(folder: Path, pattern: str) -> list[Path]:
    """Returns the files of a folder that match, by length and then name, so that docs-10 follows docs-9.

    Names that start with a dot, as archives leave them, do not match.

    Raises:
        DataError: there are none.
    """
    visible = (path for path in folder.glob(pattern) if not path.name.startswith("."))
    found = sorted(visible, key=lambda path: (len(path.name), path.name))
    if not found:
        raise DataError(f"{folder / pattern} matches no file; see whether the data set is whole")
    return found


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Reads a TREC qrels file, of lines query id, 0, passage id, relevance, by query id and passage id.

    Raises:
        DataError: a line is malformed, or judges a passage for a query twice.
    """
    qrels: dict[str, dict[str, int]] = {}
    for where, line in text_lines(path):
        query, _, passage, relevance = _columns(fields(line), 4, where)
        if not _WHOLE.fullmatch(relevance):
            raise DataError(f"{where}: the relevance {relevance!r} is no whole number; fetch the file again")
        add_judgement(qrels, query, passage, int(relevance), where)
    return qrels


def add_judgement(qrels: dict[str, dict[str, int]], query: str, passage: str, relevance: object, where: str) -> None:
    """Notes a judgement. Raises DataError if it is no whole number, or there is one already."""
    if isinstance(relevance, float) and relevance.is_integer():
        relevance = int(relevance)
    if isinstance(relevance, bool) or not isinstance(relevance, int):
        raise DataError(f"{where}: the relevance is {described(relevance)}, no whole number; fetch the file again")
    if passage in qrels.setdefault(query, {}):
        raise DataError(f"{where}: query {query} judges passage {passage} twice; keep one line")
    qrels[query][passage] = relevance


def read_topics(path: Path, language: str) -> tuple[Query, ...]:
    """Reads a topics file: id, tab, text; white space where a line has no tab. Each query is its own paragraph.

    Raises:
        DataError: the file is missing, a line has another number of fields, or an id has white space or comes twice.
    """
    queries = []
    for where, line in text_lines(path):
        key, text = _columns(line.split("\t") if "\t" in line else fields(line), 2, where)
        queries.append(Query(id_of({"id": key}, "id", where), language, text, key))
    return unique_queries(queries, path)


def _columns(found: list[str], wanted: int, where: str) -> list[str]:
    if len(found) != wanted:
        raise DataError(f"{where}: got {len(found)} fields, expected {wanted}; fetch the file again")
    return found


def unique_queries(queries: list[Query], where: Path) -> tuple[Query, ...]:
    """Returns the queries. Raises DataError if an id occurs twice."""
    seen: set[str] = set()
    for query in queries:
        if query.id in seen:
            raise DataError(f"{where}: query id {query.id} occurs twice; ids must be unique")
        seen.add(query.id)
    return tuple(queries)


def parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yields (file and number, columns) for each row of a Parquet file, read a batch at a time.

    Raises:
        DataError: the file cannot be read.
    """
    refuse_pointer(path)
    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", row
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch the file again") from error


def corpus_of(name: str, language: str, files: Sequence[Path], rows: ReadRows, id_keys: Sequence[str]) -> Corpus:
    """Returns the passages of files in order: `title` and `text` joined by a space, as MIRACL's baselines do.

    Args:
        name: of the corpus.
        language: of its passages.
        files: in the order of reading.
        rows: reads one.
        id_keys: names under which the id may stand; the first that a row has counts.
    """

    def read() -> Iterator[Candidate]:
        for path in files:
            for where, row in rows(path):
                key = next((key for key in id_keys if key in row), id_keys[0])
                title = text_of(row, "title", where) if row.get("title") is not None else ""
                yield Candidate(id_of(row, key, where), language, f"{title} {text_of(row, 'text', where)}".strip())

    return Corpus(name, language, read, fingerprint(f"{path.name} {path.stat().st_size}" for path in files))


def judged_task(name: str, language: str, topics: Path, qrels: Path, passages: Sequence[Path]) -> JudgedTask:
    """Reads the task of one language, whose passages lie in JSON lines of docid, title and text."""
    queries = read_topics(topics, language)
    return JudgedTask(queries, language, corpus_of(name, language, passages, json_lines, ["docid"]), read_qrels(qrels))


def judged_benchmark(
    name: str, tasks: Sequence[JudgedTask], measures: tuple[str, ...], *, complete: bool, note: str = ""
) -> JudgedBenchmark:
    """Returns a benchmark of these tasks. Raises DataError if one has queries without a judgement or answers."""
    for task in tasks:
        unjudged = [query.id for query in task.queries if query.id not in task.qrels and query.id not in task.answers]
        if unjudged:
            raise DataError(
                f"{name}, {task.language}: {len(unjudged)} queries have no judgement, the first is {unjudged[0]}; "
                "topics and qrels must be of one split"
            )
    parts = [name]
    for task in tasks:
        parts += [task.corpus.name, task.corpus.fingerprint, *(part for q in task.queries for part in (q.id, q.text))]
        parts += [f"{query} {passage} {rel}" for query, row in task.qrels.items() for passage, rel in row.items()]
    return JudgedBenchmark(name, tuple(tasks), measures, fingerprint(parts), complete, note)


def kept_languages(name: str, languages: list[str] | None, known: Sequence[str]) -> list[str]:
    """Returns the languages to read, in the benchmark's order.

    Raises:
        DataError: one is not in the benchmark, or none is given.
    """
    unknown = sorted(set(languages or ()) - set(known))
    if unknown or languages == []:
        got = f"no language {', '.join(unknown)}" if unknown else "no languages to evaluate"
        raise DataError(f"{name} has {got}; it has {', '.join(known)}. Change evaluation.languages, or null for all")
    return [code for code in known if languages is None or code in languages]
