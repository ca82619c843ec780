"""Reads data=parallel: a folder of JSON lines, one multi-way parallel (query, passage) item a line.

A line is `{"id": "faq/7", "query": {"en": "...", "de": "..."}, "passage": {"en": "...", "el": "..."}}`.
Each item has its own languages, and its query and passage need not share them. An item may bring hard
negatives, `"negatives": [{"en": "...", "de": "..."}, ...]`: passages that do not answer. Other keys are
allowed and ignored: corpora carry provenance there, and a misspelt `query` or `passage` still fails
as a missing one.

Files are `*.jsonl` and `*.jsonl.gz`, UTF-8, directly in the folder; all other files are ignored. A
pattern of `sources` or `exclude` is a shell wildcard, case-sensitive, and selects a file when it
matches the file's whole name or its name without `.jsonl` or `.jsonl.gz`: `faq`, `faq.jsonl.gz` and
`f*` all select `faq.jsonl.gz`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mixlingual.config.schema import DataConfig
from mixlingual.data.convert import PART_ROWS, Conversion, Plan, Row
from mixlingual.data.corpus import corpus_of
from mixlingual.data.lines import described, json_lines
from mixlingual.data.tables import Piece, Table, pieces
from mixlingual.records import DataError, ParallelCorpus, ParallelItem, fingerprint

log = logging.getLogger(__name__)

_FILES = ("[!.]*.jsonl", "[!.]*.jsonl.gz")
_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z0-9]+)*")
_SHAPE = '{"id": "...", "query": {"en": "..."}, "passage": {"en": "..."}}'


def load_parallel(config: DataConfig) -> ParallelCorpus:
    """Reads the corpus that `config` selects.

    Items come in the order of (source name, file name, line), whatever the order of keys in the
    configuration. With `config.languages`, texts in other languages are left out, and so are items
    that then lack a query or a passage.

    Raises:
        DataError: naming file and line (or option), what was found, what is allowed and what to do.
    """
    root = _folder(config)
    sources = _files_by_source(config, root)
    if config.languages == []:
        raise DataError("data.languages is empty; list language codes, or set it to null for all")
    files = [path for paths in sources.values() for path in paths]
    conversion = Conversion(
        root.name,
        ("parallel", *(f"{source}/{path.name}" for source, paths in sources.items() for path in paths)),
        files,
        lambda: Plan([part for source, paths in sources.items() for path in paths for part in _parts(source, path)]),
        config.languages,
        config.processes,
    )
    return corpus_of(conversion, config)


def _folder(config: DataConfig) -> Path:
    assert config.root is not None, "TrainConfig.problems refuses data=parallel without a root"
    root = Path(config.root).expanduser().resolve()
    if not root.is_dir():
        raise DataError(f"data.root={root} is not a folder; set it to the folder of the *.jsonl or *.jsonl.gz files")
    return root


def _files_by_source(config: DataConfig, root: Path) -> dict[str, list[Path]]:
    """Maps a source to its files, both sorted by name."""
    found = sorted(path for pattern in _FILES for path in root.glob(pattern) if path.is_file())
    if not found:
        raise DataError(f"data.root={root} holds no *.jsonl or *.jsonl.gz file; put the corpus directly in that folder")
    excluded = _matching(config.exclude, found, "data.exclude")
    files = [path for path in found if path not in excluded]
    if not files:
        raise DataError(f"data.exclude leaves none of the {len(found)} files of {root}; take a pattern out of it")
    if not config.sources:
        return {root.name: files}
    selected = {
        name: sorted(_matching(config.sources[name].files, found, f"data.sources.{name}.files") - excluded)
        for name in sorted(config.sources)
    }
    _check_sources(selected)
    unread = set(files).difference(*selected.values())
    if unread:
        log.info("%d of the %d files of %s are in no source and stay unread", len(unread), len(found), root)
    return selected


def _matching(patterns: Iterable[str], files: Sequence[Path], option: str) -> set[Path]:
    """Returns the files that any pattern selects; each pattern must select one."""
    selected = set()
    for pattern in patterns:
        matches = {path for path in files if fnmatchcase(path.name, pattern) or fnmatchcase(_stem(path.name), pattern)}
        if not matches:
            known = ", ".join(_stem(path.name) for path in files)
            raise DataError(f"{option}: {pattern!r} matches no file of {files[0].parent}; it holds {known}")
        selected |= matches
    return selected


def _stem(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".jsonl")


def _check_sources(sources: dict[str, list[Path]]) -> None:
    owner: dict[Path, str] = {}
    for name, files in sources.items():
        if not files:
            raise DataError(
                f"data.sources.{name} has no file left; add patterns to its files, or take some from data.exclude"
            )
        for path in files:
            if path in owner:
                raise DataError(f"{path.name} is in the sources {owner[path]!r} and {name!r}; keep it in one of them")
            owner[path] = name


def read_items(sources: Mapping[str, Sequence[Path]]) -> Iterator[ParallelItem]:
    """Returns the items of each source's files, in order; whether ids differ is not looked at.

    Raises:
        DataError: naming file and line of what is malformed.
    """
    for source, files in sources.items():
        for path in files:
            yield from (row.item for row in FilePart(source, Piece(path)).rows())


@dataclass(frozen=True)
class FilePart:
    """A stretch of a file of items: see `data.convert.Part`."""

    source: str
    piece: Piece

    @property
    def bytes(self) -> int:
        """Returns the size of the stretch."""
        return self.piece.bytes

    def content(self) -> str:
        """Returns a hash of the stretch, its place and its source."""
        return fingerprint((self.source, self.piece.content()))

    def rows(self) -> Iterator[Row]:
        """Yields the items. Raises DataError where one is malformed, or the file is empty."""
        is_empty = True
        path = self.piece.path
        for where, record in json_lines(path, f"write each item as one line {_SHAPE}", self.piece.lines):
            is_empty = False
            yield Row(where, _parse(record, self.source, where))
        if is_empty:
            raise DataError(
                f"{path}, line 1: the file is empty; write one item a line or leave it out with data.exclude"
            )


def _parts(source: str, path: Path) -> Iterator[FilePart]:
    return (FilePart(source, piece) for piece in pieces(path, Table(), PART_ROWS))


def _parse(record: dict[str, Any], source: str, where: str) -> ParallelItem:
    identifier = record.get("id")
    if not isinstance(identifier, str) or not identifier:
        raise DataError(f"{where}: id is {described(identifier)}; give each item a non-empty string, as in {_SHAPE}")
    return ParallelItem(
        identifier,
        source,
        _texts(record.get("query"), "query", where),
        _texts(record.get("passage"), "passage", where),
        _negatives(record.get("negatives", []), where),
    )


def _negatives(negatives: object, where: str) -> tuple[dict[str, str], ...]:
    if not isinstance(negatives, list):
        raise DataError(
            f'{where}: negatives is {described(negatives)}; give it a list of passages, as in [{{"en": "..."}}], '
            "or leave it out"
        )
    return tuple(_texts(texts, f"negatives[{number}]", where) for number, texts in enumerate(negatives))


def _texts(texts: object, side: str, where: str) -> dict[str, str]:
    if not isinstance(texts, dict) or not texts:
        raise DataError(
            f"{where}: {side} is {described(texts)}; give it a text in at least one language, as in {_SHAPE}"
        )
    for language, text in texts.items():
        if not _LANGUAGE.fullmatch(language):
            raise DataError(
                f"{where}: {side} has the key {language!r}; keys are language codes such as en, zh-Hans or pt_BR"
            )
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                f"{where}: {side}.{language} is {described(text)}; give it a text, "
                "or leave the language out where there is none"
            )
    return texts
