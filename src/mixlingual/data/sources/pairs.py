"""The rows of `data=pairs`: queries, passages and negatives in the shapes that people have them.

Which column holds what is named by `PairsConfig`, or understood from usual names, or from the order of columns, as
sentence-transformers does: anchor, positive, negatives. docs/data.md has an example of each shape.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mixlingual.config.schema import PairsConfig
from mixlingual.data.lines import Row, described
from mixlingual.data.tables import ALLOWED, Piece, Table, is_table, rows
from mixlingual.data.writing_systems import script_of
from mixlingual.records import DataError

LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z0-9]+)*")
"""Codes of languages, such as en, zh-Hans and pt_BR."""

QUERIES = ("query", "question", "anchor", "sentence1")
PASSAGES = (
    "passage", "positive", "pos", "positives", "positive_passages", "answer", "context", "document", "response",
    "sentence2",
)  # fmt: skip
NEGATIVES = re.compile(r"(hard_)?neg(ative)?s?|negative_passages|neg(ative)?[_-]?\d+")
_IDS = ("id", "_id")
_LANGUAGES = ("language", "lang", "locale")
_SIDES = ("query_language", "query_lang"), ("passage_language", "passage_lang")
_NO_TEXT = re.compile(r".*_id|ids?|idx|index|labels?|scores?|.*lang(uage)?|locale")
"""Columns that are passed over where columns go by their order; sentence-transformers takes labels and scores so."""
_HIDDEN = re.compile(r"(^|/)\.")
WILD = re.compile(r"[*?[]")
_NUMBERED = re.compile(r"[-_]\d+(-of-\d+)?$")
_PAIR = re.compile(r"(?:^|[_-])([a-z]{2,3})-([a-z]{2,3})$")
_CODE = re.compile(r"(?:^|(?<=[_-])(?=[a-z]{2}$))([a-z]{2,3})$")
_LOOKED_AT = 100
"""So many first rows of a file say which columns it has."""


@dataclass(frozen=True, slots=True)
class PairRow:
    """A row that was checked: a query, a passage that answers it and others that do not, each as language -> text."""

    where: str
    """File and line, or file, row group and row."""
    id: str | None
    """None where there is no column of ids."""
    query: dict[str, str]
    passage: dict[str, str]
    negatives: tuple[dict[str, str], ...]


def table_of(config: PairsConfig) -> Table:
    """Returns how files are read for a config."""
    named = (
        config.query, config.passage, config.id, config.language_column, config.query_language_column,
        config.passage_language_column, *(config.negatives or ()),
    )  # fmt: skip
    sides = itertools.chain.from_iterable(_SIDES)
    usual = (*QUERIES, *PASSAGES, *_IDS, *_LANGUAGES, *sides, "negative", "negatives")
    return Table(config.header, config.quotes, (*usual, *(name.lower() for name in named if name)))


def pair_rows(
    files: Sequence[Path], config: PairsConfig, refused: Callable[[DataError], None] | None = None
) -> Iterator[PairRow]:
    """Yields the rows of files, one after the other, without ever holding more than a few.

    Args:
        files: as `files_under` or `hub_files` find them.
        config: says what the columns hold.
        refused: called with what is wrong with a row, which is then left out. None: it is raised.

    Raises:
        DataError: naming the file and line of what is malformed, what was found, what is allowed and what to do; or
            the file whose columns or language are not understood.
    """
    for path in files:
        yield from Layout.of(path, config).rows(Piece(path), refused)


def files_under(root: Path, patterns: Sequence[str] = ("*",)) -> list[Path]:
    """Returns the files to read, sorted by path: `root` if it is a file, else those in it that patterns select.

    Args:
        root: a file, a folder, or a path with wildcards.
        patterns: shell wildcards relative to the folder; one that names a folder selects what is in it, and ** stands
            for folders at any depth. What a pattern with wildcards selects beside tables is passed over.

    Raises:
        DataError: there are none.
    """
    if WILD.search(str(root)):
        root, patterns = Path(root.anchor or "."), [str(root.relative_to(root.anchor) if root.anchor else root)]
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise DataError(f"{root} is no file and no folder; set data.root to the file, folder or pattern to read")
    found: set[Path] = set()
    for pattern in patterns:
        matches = list(root.glob(pattern))
        inside = [path for match in matches if match.is_dir() for path in match.rglob("*")]
        seen = [path for path in (*matches, *inside) if not _HIDDEN.search(str(path.relative_to(root)))]
        tables = {path for path in seen if is_table(path)}
        named = {path for path in matches if path.is_file() and not WILD.search(pattern)}
        if not tables | named:
            raise DataError(f"{root / pattern} matches no file to read, whose name ends in {ALLOWED}")
        found |= tables | named
    return sorted(found)


def hub_files(config: PairsConfig) -> list[Path]:
    """Returns the Arrow files of a hub data set, which `datasets` fetches on first use.

    Raises:
        DataError: it cannot be fetched, or has no such subset or split.
    """
    import datasets

    split = config.split or "train"
    wanted = " ".join(part for part in (config.hub, config.subset, split, config.revision) if part)
    try:
        found = datasets.load_dataset(config.hub, config.subset, split=split, revision=config.revision)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"the data set {wanted} cannot be fetched ({reason}). Check data.pairs.hub, subset, split and revision; "
            f"without network, run `hf download {config.hub} --repo-type dataset --local-dir FOLDER` elsewhere and set "
            "data.root=FOLDER"
        ) from error
    files = [Path(file["filename"]) for file in found.cache_files]
    if not files or "[" in split:
        raise DataError(f"got {wanted}; data.pairs.split names a split as a whole, without [...]")
    return files


@dataclass(frozen=True, slots=True)
class Layout:
    """What the columns of a file hold, and the language of its texts where that is not in a column."""

    query: str
    passage: str
    negatives: tuple[str, ...]
    id: str | None
    columns: tuple[str | None, str | None]
    """Columns with the languages of query and passage."""
    given: tuple[str | None, str | None]
    """Languages of query and passage, where no column holds them."""
    table: Table
    known: frozenset[str]
    """All columns that the first rows have."""

    @classmethod
    def of(cls, path: Path, config: PairsConfig) -> Layout:
        """Returns what the config says of a file, and what the file's first rows and name say beside it.

        Raises:
            DataError: the columns or the language are not understood.
        """
        table = table_of(config)
        first = [row for _, row in itertools.islice(rows(Piece(path), table), _LOOKED_AT)]
        if not first:
            raise DataError(f"{path}, line 1: the file is empty; write one row a line, or leave the file out")
        names = list(dict.fromkeys(name for row in first for name in row))
        id_column = config.id or next((name for name in names if name.lower() in _IDS), None)
        given = _given(path, config)
        columns = (
            (config.query_language_column, config.query_language),
            (config.passage_language_column, config.passage_language),
        )
        sides = tuple(
            column
            or config.language_column
            or (None if code or config.language else _usual(names, (*usual, *_LANGUAGES)))
            for (column, code), usual in zip(columns, _SIDES)
        )
        texts = [
            name for name in names
            if name not in (id_column, *sides) and not _NO_TEXT.fullmatch(name.lower()) and _holds_texts(first, name)
        ]  # fmt: skip
        query = config.query or _usual(names, QUERIES)
        passage = config.passage or _usual(names, PASSAGES)
        by_order = query is None or passage is None
        query = query or next((name for name in texts if name != passage), None)
        passage = passage or next((name for name in texts if name != query), None)
        if query is None or passage is None:
            raise DataError(
                f"{path}: the columns are {', '.join(names)}; which hold queries and which passages? Set "
                "data.pairs.query and data.pairs.passage to their names"
            )
        if config.negatives is not None:
            negatives = [name for name in names if any(fnmatchcase(name, each) for each in config.negatives)]
        else:
            negatives = [name for name in names if NEGATIVES.fullmatch(name.lower())]
            if by_order and not negatives:
                negatives = [name for name in texts if name not in (query, passage)]
        layout = cls(query, passage, tuple(negatives), id_column, (sides[0], sides[1]), given, table, frozenset(names))
        layout._check(path, first, names, config.negatives)
        return layout

    def _check(self, path: Path, first: Sequence[Row], names: Sequence[str], wanted: Sequence[str] | None) -> None:
        """Raises DataError where a column that the config names is not there, or a language is not known."""
        named = {
            "query": self.query, "passage": self.passage, "id": self.id, "query_language_column": self.columns[0],
            "passage_language_column": self.columns[1],
        }  # fmt: skip
        for option, name in named.items():
            if name is not None and not any(_has(row, name) for row in first):
                raise DataError(
                    f"{path}: data.pairs.{option} is {name!r}; the columns are {', '.join(names)}: name one of these"
                )
        for pattern in wanted or ():
            if not any(fnmatchcase(name, pattern) for name in names):
                raise DataError(
                    f"{path}: data.pairs.negatives has {pattern!r}; the columns are {', '.join(names)}: name some"
                )
        for side, column, given in zip((self.query, self.passage), self.columns, self.given):
            is_plain = not any(
                isinstance(_value(row, side), dict) and not _is_object(_value(row, side)) for row in first
            )
            if column is None and given is None and is_plain:
                raise DataError(
                    f"{path}: nothing says which language the column {side} is in: no column language, and the file's "
                    "name has no one code, as train.en.tsv has; set data.pairs.language=en, data.pairs.language_column "
                    "or data.pairs.file_languages"
                )

    def described(self) -> str:
        """Returns what was understood, in a line."""
        negatives = f", negatives={'+'.join(self.negatives)}" if self.negatives else ""
        identity = self.id if self.id is not None else "none"
        sides = [f"column {column}" if column else given or "keys" for column, given in zip(self.columns, self.given)]
        languages = sides[0] if sides[0] == sides[1] else f"{sides[0]} (query), {sides[1]} (passage)"
        return f"query={self.query}, passage={self.passage}{negatives}, id={identity}, language={languages}"

    def rows(self, piece: Piece, refused: Callable[[DataError], None] | None = None) -> Iterator[PairRow]:
        """Yields the rows of a piece of the file; arguments and errors as of `pair_rows`.

        A row with a list of passages that answer gives a row for each of them; the second is of id ID/2, and so on.
        """
        for where, row in rows(piece, self.table):
            try:
                found = self.parsed(row, where)
            except DataError as error:
                if refused is None:
                    raise
                refused(error)
            else:
                yield from found

    def parsed(self, row: Row, where: str) -> list[PairRow]:
        """Returns the pairs of a row. Raises DataError where it is malformed."""
        for name in row.keys() - self.known:
            if NEGATIVES.fullmatch(name.lower()):
                raise DataError(
                    f"{where}: there is a column {name}, which none of the first {_LOOKED_AT} rows has; give the first "
                    "row an empty one, so that it is not overlooked"
                )
        asked, answered = self._language(row, 0, where), self._language(row, 1, where)
        query = _texts(_value(row, self.query), asked, self.query, where)
        passages = _value(row, self.passage)
        if not isinstance(passages, list):
            passages = [passages]
        elif not passages:
            raise DataError(f"{where}: {self.passage} is []; give it a passage at least, or leave the row out")
        negatives = [
            _texts(value, answered, f"{name}[{number}]" if is_list else name, where)
            for name in self.negatives
            for is_list, number, value in _listed(_value(row, name))
        ]
        key = None if self.id is None else _id(_value(row, self.id), self.id, where)
        return [
            PairRow(
                where,
                key if key is None or not number else f"{key}/{number + 1}",
                query,
                _texts(passage, answered, self.passage, where),
                tuple(negatives),
            )
            for number, passage in enumerate(passages)
        ]

    def _language(self, row: Row, side: int, where: str) -> str | None:
        column = self.columns[side]
        if column is None:
            return self.given[side]
        language = _value(row, column)
        if language is not None and not (isinstance(language, str) and LANGUAGE.fullmatch(language)):
            raise DataError(
                f"{where}: {column} is {described(language)}; it must be a language code such as en, zh-Hans or pt_BR"
            )
        return language


def _usual(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Returns the column that has the first of the wanted names that any has."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in wanted if name in lower), None)


def _given(path: Path, config: PairsConfig) -> tuple[str | None, str | None]:
    """Returns the languages of queries and of passages that config or file name give."""
    by_pattern = [
        code
        for pattern, code in (config.file_languages or {}).items()
        if fnmatchcase(path.name, pattern) or fnmatchcase(path.name.partition(".")[0], pattern)
    ]
    if len(set(by_pattern)) > 1:
        raise DataError(f"{path}: data.pairs.file_languages gives it {', '.join(by_pattern)}; let one pattern match it")
    named = (by_pattern[0],) * 2 if by_pattern else (None, None)
    if not by_pattern and not (config.query_language and config.passage_language):
        names = (config.subset,) if config.hub else (path.name.removesuffix(".gz").rpartition(".")[0], path.parent.name)
        named = next((pair for pair in map(_codes, filter(None, names)) if pair), named)
    return config.query_language or config.language or named[0], config.passage_language or config.language or named[1]


def _codes(name: str) -> tuple[str, str] | None:
    """Returns the languages of query and passage in a name: those that one of its parts between dots is or ends in.

    Codes of three letters count as a whole part alone, since many a short word is one. What numbers the parts of a data
    set, as in -00001-of-00002, is no part of the name.
    """
    found = set()
    for part in _NUMBERED.sub("", name).split("."):
        if pair := _PAIR.search(part):
            found.add((pair[1], pair[2]))
        elif code := _CODE.search(part):
            found.add((code[1], code[1]))
    known = [pair for pair in found if script_of(pair[0]) and script_of(pair[1])]
    return known[0] if len(known) == 1 else None


def _has(row: Row, name: str) -> bool:
    return name in row or _value(row, name) is not None


def _value(row: Row, name: str) -> Any:
    """Returns what a row holds under a column's name, or under a path of names with dots between them."""
    if name in row or "." not in name:
        return row.get(name)
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _holds_texts(first: Sequence[Row], name: str) -> bool:
    values = [row[name] for row in first if row.get(name) is not None]
    return bool(values) and all(
        isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))
        for value in values
    )


def _listed(value: Any) -> Iterator[tuple[bool, int, Any]]:
    """Yields (whether in a list, place, value) of each negative; none for null, an empty cell or an empty list."""
    values = value if isinstance(value, list) else [] if value is None or value == "" else [value]
    for number, each in enumerate(values):
        yield isinstance(value, list), number, each


def _is_object(value: dict[str, Any]) -> bool:
    """Whether a value is a passage of title and text, and not texts by language."""
    return "text" in value


def _texts(value: Any, language: str | None, name: str, where: str) -> dict[str, str]:
    """Returns the texts by language that a value is: one text, an object of title and text, or texts by language."""
    if isinstance(value, dict) and _is_object(value):
        title, text = value.get("title"), value["text"]
        if isinstance(title, str) and isinstance(text, str):
            text = f"{title} {text}".strip()
        return _texts(text, language, f"{name}.text", where)
    if isinstance(value, dict):
        texts = {key: text for key, text in value.items() if text is not None}
        if not texts:
            raise DataError(f"{where}: {name} is {described(value)}; give it a text in at least one language")
        for code, text in texts.items():
            if not LANGUAGE.fullmatch(code):
                raise DataError(
                    f"{where}: {name} has the key {code!r}; keys are language codes such as en, zh-Hans or pt_BR"
                )
            _check_text(text, f"{name}.{code}", where)
        return texts
    _check_text(value, name, where)
    if language is None:
        raise DataError(
            f"{where}: {name} is a text without a language; fill the column of languages, or set data.pairs.language=en"
        )
    return {language: value}


def _check_text(value: Any, name: str, where: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: {name} is {described(value)}; it must be a text: write one, or leave the row out")


def _id(value: Any, name: str, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise DataError(f"{where}: {name} is {described(value)}; an id is a text that is not empty, or a whole number")
    return str(value)
