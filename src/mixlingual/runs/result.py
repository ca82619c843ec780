"""Reads a finished run's result.json and queries.parquet, with types and ranges checked."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from mixlingual.layout import QUERIES, RESULT
from mixlingual.records import RESULT_SCHEMA, RunResult, is_number
from mixlingual.runs.validation import is_point

MALFORMED = (OSError, ValueError, RecursionError)
"""What reading a damaged file raises."""

TEXTS = ("benchmark", "setting", "query", "paragraph", "query_language", "candidate_language")
"""Columns of queries.parquet that say what a row is about."""

_SHARE = re.compile(r"(map|mrr|ap|rr|r|ndcg|answer_recall)(@\d+)?")
"""Measures that lie between 0 and 1."""
_ROUNDING = 1e-6
_NUMBERS = ("float", "double", "halffloat", "int")
"""How the names of arrow's numeric types begin."""
_SECTIONS = ("mono", "cross", "multi", "bias")
"""Parts of a benchmark's metrics that hold nothing but numbers."""
_OBJECTS = ("config", "versions", "data", "parameters", "batches", "training", "benchmarks", "timings")
_PLACE = {
    "model.name": str, "batching.name": str, "batching.monolingual_ratio": float, "seed": float
}  # fmt: skip
"""Options that say where a run lies in the grid."""


def read_run(folder: Path) -> RunResult:
    """The result of the finished run in a folder; nobody may change it.

    Raises:
        ValueError: result.json or queries.parquet is torn, of another version, or holds what cannot be true.
        OSError: result.json is absent or cannot be read.
    """
    stamps = [_stamp(folder / name) for name in (RESULT, QUERIES)]
    return _read_run(folder, *stamps)


def run_with_scores(folder: Path, take: Callable[[pq.ParquetFile | None], None]) -> RunResult:
    """The same, and gives `take` its queries.parquet while that is open, so that it is opened once; None without one.

    Raises:
        ValueError: as `read_run`.
        OSError: as `read_run`.
    """
    found = read_result(folder / RESULT)
    if not (folder / QUERIES).exists():
        take(None)
        return found
    with opened_queries(folder / QUERIES) as file:
        take(file)
    return found


@contextmanager
def opened_scores(path: Path) -> Iterator[pq.ParquetFile]:
    """Opens a file of scores by question once; what its rows are about is read as dictionaries."""
    with pa.OSFile(str(path)) as source:
        metadata = pq.read_metadata(source)
        texts = [name for name in TEXTS if name in metadata.schema.names]
        with pq.ParquetFile(source, metadata=metadata, read_dictionary=texts) as file:
            yield file


@contextmanager
def opened_queries(path: Path) -> Iterator[pq.ParquetFile]:
    """Opens scores of queries once they are known to be numbers between 0 and 1.

    Raises:
        ValueError: they are not, or cannot be read.
    """
    try:
        with opened_scores(path) as file:
            _check_queries(file, path.name)
            yield file
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ValueError(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from error


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes when the file does; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@functools.lru_cache(maxsize=1024)
def _read_run(folder: Path, result: object, queries: object) -> RunResult:  # noqa: ARG001 - part of the cache's key
    found = read_result(folder / RESULT)
    if queries is not None:
        with opened_queries(folder / QUERIES):
            pass
    return found


def read_result(path: Path) -> RunResult:
    """The content of a result.json.

    Raises:
        ValueError: it is torn, of another version, incomplete, or holds what cannot be true.
        OSError: it is absent or cannot be read.
    """
    document = read_document(path)
    if document.get("schema") != RESULT_SCHEMA:
        raise ValueError(
            f"{path.name} has layout version {document.get('schema')!r}; this version of Mixlingual reads "
            f"{RESULT_SCHEMA}"
        )
    parts = dataclasses.fields(RunResult)
    needed = [part.name for part in parts if part.default_factory is dataclasses.MISSING]
    if absent := [name for name in needed if name not in document]:
        raise ValueError(f"{path.name} lacks {', '.join(absent)}")
    if problem := next(_problems(document), None):
        raise ValueError(f"{path.name}: {problem}")
    return RunResult(**{part.name: document[part.name] for part in parts if part.name in document})


def read_document(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ValueError: the file holds something else.
        OSError: it is absent or cannot be read.
    """
    content = path.read_bytes()
    try:
        document = orjson.loads(content)
    except ValueError:
        try:
            document = json.loads(content.decode(), parse_constant=_refuse)  # which says better what is wrong
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path.name} is no JSON object")  # noqa: TRY004 - callers treat all malformed files alike
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is no number")


def _problems(document: dict[str, Any]) -> Iterator[str]:
    """What cannot be true of a run's result, in words."""
    wrong = [name for name in _OBJECTS if not isinstance(document[name], dict)]
    yield from (f"{name} is no object" for name in wrong)
    if wrong:
        return
    for path, kind in _PLACE.items():
        value = _option(document["config"], path)
        if not (is_number(value) if kind is float else isinstance(value, str)):
            yield f"config.{path} is {value!r}"
    for name in ("total", "non_embedding"):
        value = document["parameters"].get(name)
        if not is_number(value) or value <= 0:
            yield f"parameters.{name} is {value!r}, which is no number of weights"
    for name in ("training", "timings"):
        yield from (f"{name}.{key} is {value!r}" for key, value in document[name].items() if not is_number(value))
    yield from _wrong_validation(document.get("validation", {}))
    for name, metrics in document["benchmarks"].items():
        if not isinstance(metrics, dict):
            yield f"benchmarks.{name} is no object"
            continue
        for section in _SECTIONS:
            yield from _wrong_scores(metrics.get(section, {}), f"benchmarks.{name}.{section}")


def _wrong_validation(validation: object) -> Iterator[str]:
    if not isinstance(validation, dict):
        yield "validation is no object"
        return
    points, warnings = validation.get("points", []), validation.get("warnings", [])
    if not isinstance(points, list) or not all(map(is_point, points)):
        yield "validation.points is no list of validations"
    if not isinstance(warnings, list) or not all(isinstance(warning, str) for warning in warnings):
        yield "validation.warnings is no list of texts"


def _option(config: dict[str, Any], path: str) -> object:
    value: object = config
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _wrong_scores(value: object, path: str) -> Iterator[str]:
    for name, inner in value.items() if isinstance(value, dict) else (("", value),):
        if isinstance(inner, float) and 0 <= inner <= 1:
            continue
        if isinstance(inner, dict):
            yield from _wrong_scores(inner, f"{path}.{name}")
        elif inner is not None and not is_number(inner):
            yield f"{path}.{name}".rstrip(".") + f" is {inner!r}, which is no number"
        elif inner is not None and _SHARE.fullmatch(name) and not 0 <= inner <= 1 + _ROUNDING:
            yield f"{path}.{name} is {inner!r}, which is not between 0 and 1"


def _check_queries(file: pq.ParquetFile, name: str) -> None:
    """Raises ValueError where scores of queries are no numbers between 0 and 1; mostly reads the file's end alone."""
    columns = [column for column in file.schema_arrow.names if _SHARE.fullmatch(column)]
    text = [column for column in columns if not str(file.schema_arrow.field(column).type).startswith(_NUMBERS)]
    suspects = [column for column in columns if column in text or _is_suspect(file.metadata, column)]
    if not suspects or file.metadata.num_rows == 0:
        return
    if text:
        raise ValueError(f"{name}: {text[0]} holds other things than numbers")
    if "weight" in file.schema_arrow.names:  # of parts, where a row holds one measure only
        return
    table = file.read(columns=["benchmark", "setting", *suspects]).to_pandas()
    for (benchmark, setting), rows in table.groupby(["benchmark", "setting"]):
        for column in suspects:
            known = rows[column].dropna()
            if 0 < len(known) < len(rows):
                raise ValueError(f"{name}: {column} of {benchmark} ({setting}) is no number in some rows")
            if not known.between(0, 1 + _ROUNDING).all():
                raise ValueError(f"{name}: {column} of {benchmark} ({setting}) is not between 0 and 1 in some rows")


def _is_suspect(metadata: Any, column: str) -> bool:
    """Whether a column may hold gaps or values that are no share, from the statistics at the file's end."""
    place = metadata.schema.names.index(column)
    for group in range(metadata.num_row_groups):
        found = metadata.row_group(group).column(place).statistics
        if found is None or not found.has_min_max or found.null_count or not 0 <= found.min <= found.max <= 1:
            return True
    return False


def objective(folder: Path, settings: str) -> float | None:
    """What a search maximises: the mean mAP of a finished run over settings and benchmarks.

    Args:
        folder: of the run.
        settings: `TrainConfig.objective`.

    Returns:
        None where there is no benchmark or no whole result, or a benchmark lacks one of the settings.
    """
    try:
        benchmarks = read_run(folder).benchmarks
    except MALFORMED:
        return None
    maps = [metrics.get(setting, {}).get("map") for metrics in benchmarks.values() for setting in settings.split("_")]
    return None if None in maps or not maps else sum(maps) / len(maps)
