"""`data=pairs`: a corpus of (query, passage) rows in the shapes that people have them.

`data.sources.pairs` reads the rows, and docs/data.md has an example of each shape. Here files are found and grouped
into sources, and rows become items: as they are, joined by id, by query and passage, or by line over files.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from mixlingual.config.schema import DataConfig, PairsConfig
from mixlingual.data.convert import PART_ROWS, Conversion, Plan, Row
from mixlingual.data.corpus import corpus_of
from mixlingual.data.lines import WHOLE, described
from mixlingual.data.sources.pairs import WILD, Layout, PairRow, files_under, hub_files
from mixlingual.data.tables import Piece, pieces
from mixlingual.records import DataError, ParallelCorpus, ParallelItem, fingerprint

log = logging.getLogger(__name__)

_ENCODER = json.JSONEncoder(sort_keys=True)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def load_pairs(config: DataConfig) -> ParallelCorpus:
    """Reads the corpus that `config` selects. What was understood of its first rows is said before anything is written.

    Items come in the order of (source name, file, row) where every row is an item, else in a fixed order. Rows of one
    id are one item; so are rows without ids that have the same query and passage, where there are negatives.

    Raises:
        DataError: naming file and row (or option), what was found, what is allowed and what to do.
    """
    sources = _sources(config)
    plain = [(name, asdict(source.pairs), list(map(str, source.names))) for name, source in sources.items()]
    name = next(iter(sources)) if len(sources) == 1 else Path(config.root or "pairs").name
    conversion = Conversion(
        name,
        ("pairs", json.dumps(plain, sort_keys=True)),
        [path for source in sources.values() for path in source.files],
        lambda: _plan(sources),
        config.languages,
        config.processes,
    )
    return corpus_of(conversion, config)


def check_pairs(config: DataConfig) -> None:
    """Looks for the files and their columns; fetches a hub data set. Raises DataError as `load_pairs`."""
    _plan(_sources(config))


@dataclass(frozen=True)
class _Source:
    """Files that are drawn from as one, and what their rows hold."""

    pairs: PairsConfig
    files: Sequence[Path]
    """None yet where a commit of a hub data set says all."""
    base: Path
    """Names in ids are relative to this folder."""

    @property
    def names(self) -> list[Path]:
        """Returns how the files are called in ids."""
        return [
            path.relative_to(self.base) if path.is_relative_to(self.base) else Path(path.name) for path in self.files
        ]


def _sources(config: DataConfig) -> dict[str, _Source]:
    """Returns the sources by name, with what a source leaves open taken from `data.pairs`."""
    if config.languages == []:
        raise DataError("data.languages is empty; list language codes, or set it to null for all")
    root = None if config.root is None else Path(config.root).expanduser().resolve()
    if not config.sources:
        hub = config.pairs.hub
        stem = (hub or str(root)).rstrip("/").rpartition("/")[2]
        return {stem: _source(config, "data", [], config.pairs, root)}
    return {
        name: _source(config, f"data.sources.{name}", given.files, _over(config.pairs, given.pairs), root)
        for name, given in sorted(config.sources.items())
    }


def _over(base: PairsConfig, own: PairsConfig) -> PairsConfig:
    return replace(base, **{key: value for key, value in asdict(own).items() if value is not None})


def _source(config: DataConfig, option: str, patterns: Sequence[str], pairs: PairsConfig, root: Path | None) -> _Source:
    if pairs.hub is not None and not patterns:
        is_pinned = pairs.revision is not None and _COMMIT.fullmatch(pairs.revision)
        return _Source(pairs, [] if is_pinned else hub_files(pairs), Path())
    if root is None:
        raise DataError(f"{option} names no hub data set, and data.root no folder; set data.root or data.pairs.hub")
    base = (
        Path(str(root).partition("*")[0]).parent if WILD.search(str(root)) else root.parent if root.is_file() else root
    )
    found = files_under(root, patterns or ["*"])
    kept = [path for path in found if not any(fnmatchcase(path.name, pattern) for pattern in config.exclude)]
    if not kept:
        raise DataError(f"{option}: data.exclude leaves none of its {len(found)} files; take a pattern out of it")
    return _Source(replace(pairs, hub=None), kept, base)


def _plan(sources: dict[str, _Source]) -> Plan:
    parts: list[PairsPart] = []
    for name, source in sources.items():
        source = source if source.files else replace(source, files=hub_files(source.pairs))
        layouts = [Layout.of(path, source.pairs) for path in source.files]
        _say(name, source, layouts)
        prefix = f"{name}/" if len(sources) > 1 else ""
        named = [(f"{prefix}{each}", layout) for each, layout in zip(source.names, layouts)]
        cut = [list(pieces(path, layout.table, PART_ROWS)) for path, layout in zip(source.files, layouts)]
        if not source.pairs.by_line:
            parts += [
                PairsPart(name, prefix, ((*each, piece),)) for each, of_file in zip(named, cut) for piece in of_file
            ]
            continue
        if len({len(of_file) for of_file in cut}) > 1 or any(piece.lines == WHOLE for piece, *_ in cut):
            cut = [[Piece(path)] for path in source.files]
        parts += [
            PairsPart(name, prefix, tuple((*each, piece) for each, piece in zip(named, row))) for row in zip(*cut)
        ]
    joined = any(layout.id or layout.negatives for part in parts for _, layout, _ in part.files)
    return Plan([replace(part, joined=joined) for part in parts], joined)


def _say(name: str, source: _Source, layouts: Sequence[Layout]) -> None:
    """Says what was understood of a source's files, and its first rows."""
    groups: dict[str, list[str]] = {}
    for path, layout in zip(source.names, layouts):
        groups.setdefault(layout.described(), []).append(str(path))
    for described_so, files in groups.items():
        more = f" and {len(files) - 1} more files" if len(files) > 1 else ""
        log.info("%s: %s%s: %s", name, files[0], more, described_so)
    for row in itertools.islice(layouts[0].rows(Piece(source.files[0])), 2):
        shown = [
            f"{code} {_short(text)}" for texts in (row.query, row.passage) for code, text in list(texts.items())[:2]
        ]
        log.info("%s, with %d negatives: %s", row.where, len(row.negatives), " | ".join(shown))


def _short(text: str) -> str:
    return described(text if len(text) <= 60 else f"{text[:60]}...")


@dataclass(frozen=True)
class PairsPart:
    """A stretch of a file of pairs, or of files whose rows are joined by line: see `data.convert.Part`."""

    source: str
    prefix: str
    """Before ids, which are unique in a source."""
    files: tuple[tuple[str, Layout, Piece], ...]
    """Name, layout and stretch of each file."""
    joined: bool = False
    """Whether its rows have keys."""

    @property
    def bytes(self) -> int:
        """Returns about how many bytes it reads."""
        return sum(piece.bytes for _, _, piece in self.files)

    def content(self) -> str:
        """Returns a hash of what it reads, from where, and how that is understood."""
        understood = (
            repr((name, sorted(layout.known), replace(layout, known=frozenset()))) for name, layout, _ in self.files
        )
        return fingerprint((self.source, self.prefix, *understood, *(piece.content() for _, _, piece in self.files)))

    def rows(self) -> Iterator[Row]:
        """Yields its rows as items. Raises DataError where one is malformed, or has no match in another file."""
        name, _, piece = self.files[0]
        of_files = [each.rows(stretch) for _, each, stretch in self.files]
        last, turn = "", 1
        for row, *others in itertools.zip_longest(*of_files):
            if row is None or None in others:
                self._refuse_lengths([row, *others])
            for other in others:
                row = _side_by_side(row, other)
            last, turn = row.where, turn + 1 if row.where == last else 1
            if row.id is not None:
                identity = f"{self.prefix}{row.id}"
            else:
                place = row.where.removeprefix(f"{piece.path}, ")
                identity = f"{name}, {place}" + (f", passage {turn}" if turn > 1 else "")
            same = [self.source, row.query, row.passage] if row.id is None else [self.source, row.id]
            key = _ENCODER.encode(same) if self.joined else ""
            yield Row(row.where, ParallelItem(identity, self.source, row.query, row.passage, row.negatives), key)

    def _refuse_lengths(self, found: Sequence[PairRow | None]) -> None:
        longer = next(row.where for row in found if row is not None)
        ended = next(piece.path for (_, _, piece), row in zip(self.files, found) if row is None)
        raise DataError(
            f"{longer}: {ended} has no row for this one; with data.pairs.by_line all files have the same rows in the "
            "same order: add what is missing, or join by ids"
        )


def _side_by_side(row: PairRow, other: PairRow) -> PairRow:
    """Returns the same row of two files as one."""
    again = sorted((row.query.keys() & other.query.keys()) | (row.passage.keys() & other.passage.keys()))
    if again or row.id != other.id:
        what = f"has {again[0]} again" if again else f"has the id {other.id}, not {row.id}"
        raise DataError(
            f"{other.where}: it {what}, as the row that it is joined to by line, {row.where}; with data.pairs.by_line "
            "each file of a source has other languages and the same rows"
        )
    nothing: dict[str, str] = {}
    negatives = itertools.zip_longest(row.negatives, other.negatives, fillvalue=nothing)
    return PairRow(
        row.where,
        row.id,
        row.query | other.query,
        row.passage | other.passage,
        tuple(one | two for one, two in negatives),
    )
