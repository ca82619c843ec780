"""Readers of the formats that judged benchmarks are published in, and where their files come from."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from huggingface_hub import snapshot_download

from mixlingual.records import Candidate, Corpus, DataError, Query, fingerprint

Row = dict[str, Any]


def dataset_folder(repository: str, patterns: Sequence[str], root: Path | None) -> Path:
    """The folder of a hub data set: `root`/NAME, or fetched from the hub where root is None.

    Args:
        repository: OWNER/NAME on the hub.
        patterns: files that are needed, with wildcards.
        root: the user's folder of data sets.

    Raises:
        DataError: it is not there and cannot be fetched.
    """
    if root is not None:
        folder = root / repository.partition("/")[2]
        if not folder.is_dir():
            raise DataError(
                f"{folder} is missing. Run `hf download {repository} --repo-type dataset --local-dir {folder}`, "
                "or set evaluation.root=null to let it be fetched"
            )
        return folder
    try:
        return Path(snapshot_download(repository, repo_type="dataset", allow_patterns=list(patterns)))
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"the data set {repository} cannot be fetched ({reason}). Where there is network, run `hf download "
            f"{repository} --repo-type dataset --local-dir FOLDER/{repository.partition('/')[2]}` and set "
            "evaluation.root=FOLDER"
        ) from error


def matching(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder that match, by length and then name, so that docs-10 follows docs-9.

    Raises:
        DataError: there are none.
    """
    found = sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name))
    if not found:
        raise DataError(f"{folder / pattern} matches no file; see whether the data set is whole")
    return found


def json_lines(path: Path) -> Iterator[Row]:
    """The objects of a JSON lines file, plain or gzip.

    Raises:
        DataError: naming about the line that cannot be read.
    """
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):  # noqa: B007 - named in the message
                yield json.loads(line)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path}, near line {number}: cannot be read ({error}); fetch the file again") from error


def tab_separated(path: Path, columns: int) -> Iterator[list[str]]:
    """The fields of each line of a tab-separated file, without quoting: topics and TREC qrels.

    Raises:
        DataError: the file is missing, or a line has another number of fields.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing; see whether the data set is whole")
    with path.open(encoding="utf-8", newline="\n") as file:
        lines = [line.rstrip("\r\n") for line in file]
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t") if "\t" in line else line.split()
        if len(fields) != columns:
            raise DataError(
                f"{path}, line {number}: got {len(fields)} fields, expected {columns}; fetch the file again"
            )
        yield fields


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Query id -> passage id -> relevance, of a TREC qrels file: query id, 0, passage id, relevance.

    Raises:
        DataError: a line is malformed, or judges a passage for a query twice.
    """
    qrels: dict[str, dict[str, int]] = {}
    for query, _, passage, relevance in tab_separated(path, 4):
        if passage in qrels.setdefault(query, {}):
            raise DataError(f"{path}: query {query} judges passage {passage} twice; keep one line")
        if not relevance.lstrip("-").isdigit():
            raise DataError(f"{path}: query {query}, passage {passage}: relevance {relevance!r} is no whole number")
        qrels[query][passage] = int(relevance)
    return qrels


def read_topics(path: Path, language: str) -> tuple[Query, ...]:
    """The queries of a topics file: id, text. Each is its own paragraph."""
    return unique_queries([Query(key, language, text, key) for key, text in tab_separated(path, 2)], path)


def unique_queries(queries: list[Query], where: Path) -> tuple[Query, ...]:
    """The queries. Raises DataError if an id occurs twice."""
    seen: set[str] = set()
    for query in queries:
        if query.id in seen:
            raise DataError(f"{where}: query id {query.id} occurs twice; ids must be unique")
        seen.add(query.id)
    return tuple(queries)


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, read a batch at a time.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch the file again") from error


def corpus_of(
    name: str, language: str, files: Sequence[Path], rows: Callable[[Path], Iterator[Row]], id_keys: Sequence[str]
) -> Corpus:
    """The passages of files in order: `title` and `text` joined by a space, as MIRACL's baselines do.

    Args:
        name: of the corpus.
        language: of its passages.
        files: in the order of reading.
        rows: reads one.
        id_keys: names under which the id may stand; the first that a row has counts.
    """

    def read() -> Iterator[Candidate]:
        for path in files:
            for number, row in enumerate(rows(path), start=1):
                key = next((key for key in id_keys if key in row), None)
                if key is None or not isinstance(row.get("text"), str):
                    raise DataError(f"{path}, row {number}: needs {' or '.join(id_keys)} and text; got {sorted(row)}")
                yield Candidate(str(row[key]), language, f"{row.get('title') or ''} {row['text']}".strip())

    return Corpus(name, language, read, fingerprint(f"{path.name} {path.stat().st_size}" for path in files))


def kept_languages(name: str, languages: list[str] | None, known: Sequence[str]) -> list[str]:
    """The languages to read, in the benchmark's order.

    Raises:
        DataError: one is not in the benchmark, or none is given.
    """
    unknown = sorted(set(languages or ()) - set(known))
    if unknown or languages == []:
        got = f"no language {', '.join(unknown)}" if unknown else "no languages to evaluate"
        raise DataError(f"{name} has {got}; it has {', '.join(known)}. Change evaluation.languages, or null for all")
    return [code for code in known if languages is None or code in languages]
