"""Rows with named columns, from files as people have them: JSON lines, CSV, TSV, Parquet and Arrow.

A file is read as one or more pieces, each on its own, so that several processes share a large one. Every row comes with
its place for messages: file and line, or file, row group and row.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from mixlingual.data.lines import (
    WHOLE,
    Lines,
    Row,
    described,
    json_lines,
    raw_lines,
    refuse_pointer,
    stretches,
    text_lines,
)
from mixlingual.files import stamp
from mixlingual.records import DataError, fingerprint

FORMATS = {
    ".jsonl": "json", ".ndjson": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".arrow": "arrow",
    ".feather": "arrow", ".ipc": "arrow",
}  # fmt: skip
"""Ending of a file's name -> its format. JSON lines, CSV and TSV may be compressed, with .gz after it."""
ALLOWED = ", ".join(FORMATS) + "; and .jsonl, .ndjson, .csv and .tsv with .gz after it"

_DELIMITERS = (",", ";", "\t", "|")
_BATCH = 1024
csv.field_size_limit(1 << 31 - 1)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a file that are read in one go."""

    path: Path
    lines: Lines = WHOLE
    """Of JSON lines and of TSV without quotes: which ones. A header is in no piece but the first."""
    batches: tuple[int, int] = (0, 1 << 62)
    """Of Parquet and Arrow: the first row group or record batch, and the one after the last."""
    before: int = 0
    """Rows of the file before the first of these; lines, where it is text."""
    share: float = 1.0
    """About so much of the file is read."""

    @property
    def bytes(self) -> int:
        """Returns about how many bytes are read."""
        return int(self.path.stat().st_size * self.share)

    def content(self) -> str:
        """Returns a hash of what is read and where it lies: of lines by themselves, else of what `stamp` says."""
        if self.lines == WHOLE:
            return fingerprint((str(self), stamp(self.path)))
        with self.path.open("rb") as file:
            file.seek(self.lines.start)
            content = file.read(-1 if self.lines.stop is None else self.lines.stop - self.lines.start)
        return fingerprint((str(self.path), str(self.lines.before), hashlib.sha256(content).hexdigest()))


@dataclass(frozen=True, slots=True)
class Table:
    """How the files of a table are read, where their names leave it open."""

    header: bool | None = None
    """Whether the first line of CSV and TSV names the columns; where it does not, they are called 1, 2 and so on."""
    quotes: bool | None = None
    """Whether a cell may stand in double quotes. None: in CSV, and not in TSV."""
    known: tuple[str, ...] = ()
    """Names that make a first line a header, where `header` is None."""


def format_of(path: Path) -> str:
    """Returns json, csv, tsv, parquet or arrow. Raises DataError for a file of another kind."""
    name = path.name.lower()
    ending = next((ending for ending in FORMATS if name.endswith((ending, f"{ending}.gz"))), None)
    if ending is None or (name.endswith(".gz") and FORMATS[ending] in ("parquet", "arrow")):
        raise DataError(f"{path} is of no format that is read: its name must end in {ALLOWED}")
    return FORMATS[ending]


def is_table(path: Path) -> bool:
    """Whether a file in a folder is one to read, by its name; names that start with a dot are none."""
    try:
        return not path.name.startswith(".") and path.is_file() and bool(format_of(path))
    except DataError:
        return False


def pieces(path: Path, table: Table, size: int) -> Iterator[Piece]:
    """Cuts a file into pieces of about `size` rows; into one where it cannot be read from the middle.

    Raises:
        DataError: the file cannot be read.
    """
    kind = format_of(path)
    if kind == "json" or (kind == "tsv" and not table.quotes):
        whole = max(1, path.stat().st_size)
        for lines in stretches(path, size):
            yield Piece(path, lines, before=lines.before, share=((lines.stop or whole) - lines.start) / whole)
    elif kind == "csv" or kind == "tsv":
        yield Piece(path)
    else:
        counts = _counts(path, kind)
        first, before, rows = 0, 0, 0
        for number, count in enumerate(counts):
            if rows and rows + count > size:
                yield Piece(path, batches=(first, number), before=before, share=rows / sum(counts))
                first, before, rows = number, before + rows, 0
            rows += count
        yield Piece(path, batches=(first, 1 << 62), before=before, share=rows / max(1, sum(counts)))


def rows(piece: Piece, table: Table) -> Iterator[tuple[str, Row]]:
    """Yields (place, column -> value) for each row.

    Raises:
        DataError: the file or a line is damaged, not UTF-8, of another number of cells than the header, or no row.
    """
    kind = format_of(piece.path)
    if kind == "json":
        return json_lines(piece.path, "write each row as one line, an object", piece.lines)
    if kind == "parquet":
        return _parquet_rows(piece)
    if kind == "arrow":
        return _arrow_rows(piece)
    return _cell_rows(piece, kind, table)


def _counts(path: Path, kind: str) -> list[int]:
    """Returns the rows of each row group or record batch."""
    with _readable(path):
        if kind == "parquet":
            with pyarrow.parquet.ParquetFile(path) as file:
                return [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        return [batch.num_rows for batch in _arrow_batches(path)]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what Arrow says of a damaged file into a DataError."""
    refuse_pointer(path)
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} is missing; see whether its folder is whole") from None
    except (OSError, UnicodeError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({error}); it is damaged or cut short: fetch it again") from error


def _parquet_rows(piece: Piece) -> Iterator[tuple[str, Row]]:
    with _readable(piece.path), pyarrow.parquet.ParquetFile(piece.path) as file:
        for group in range(piece.batches[0], min(piece.batches[1], file.num_row_groups)):
            batches = file.iter_batches(_BATCH, row_groups=[group])
            for number, row in enumerate((row for batch in batches for row in _plain(batch)), start=1):
                yield f"{piece.path}, row group {group + 1}, row {number}", row


def _arrow_rows(piece: Piece) -> Iterator[tuple[str, Row]]:
    with _readable(piece.path):
        parts = (
            batch.slice(start, _BATCH)
            for batch in itertools.islice(_arrow_batches(piece.path), *piece.batches)
            for start in range(0, batch.num_rows, _BATCH)
        )
        for number, row in enumerate((row for part in parts for row in _plain(part)), start=piece.before + 1):
            yield f"{piece.path}, row {number}", row


def _plain(batch: pyarrow.RecordBatch) -> list[Row]:
    found: list[Row] = batch.to_pylist(maps_as_pydicts="strict")
    return found


def _arrow_batches(path: Path) -> Iterator[pyarrow.RecordBatch]:
    """Yields the record batches of an Arrow file, or of a stream in a file, as `datasets` writes."""
    with pyarrow.memory_map(str(path)) as source:
        try:
            file = pyarrow.ipc.open_file(source)
        except pyarrow.ArrowInvalid:
            source.seek(0)
            yield from pyarrow.ipc.open_stream(source)
        else:
            for number in range(file.num_record_batches):
                yield file.get_batch(number)


def _cell_rows(piece: Piece, kind: str, table: Table) -> Iterator[tuple[str, Row]]:
    quotes = table.quotes if table.quotes is not None else kind == "csv"
    names, has_header, delimiter = _columns(piece.path, kind, quotes, table)
    found = _records(piece.path, piece.lines, delimiter, quotes)
    if has_header and not piece.lines.before:
        next(found, None)
    for where, cells in found:
        if len(cells) != len(names):
            raise DataError(
                f"{where}: got {len(cells)} cells, where the first line has {len(names)}; "
                + (
                    "put a cell that holds the delimiter or a line end in double quotes"
                    if quotes
                    else "take tabs out of the texts, or set data.pairs.quotes=true if cells stand in double quotes"
                )
            )
        yield where, dict(zip(names, cells))


def _columns(path: Path, kind: str, quotes: bool, table: Table) -> tuple[Sequence[str], bool, str]:
    """Returns names of the columns, whether the first line is a header, and what stands between cells."""
    where, first = next(raw_lines(path), (f"{path}, line 1", ""))
    if not first.strip():
        raise DataError(f"{where}: the first line is empty; write one row a line, or leave the file out")
    delimiter = "\t" if kind == "tsv" else max(_DELIMITERS, key=lambda mark: len(_cells(first, mark)))
    where, cells = next(_records(path, WHOLE, delimiter, quotes))
    has_header = table.header
    if has_header is None:
        has_header = any(cell.strip().lower() in table.known for cell in cells)
    if not has_header:
        return [str(number) for number in range(1, len(cells) + 1)], False, delimiter
    names = [cell.strip() for cell in cells]
    if len(set(names)) < len(names) or not all(names):
        raise DataError(
            f"{where}: the columns are {described(names)}; each needs a name of its own: name them, or set "
            "data.pairs.header=false if this line is a row"
        )
    return names, True, delimiter


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter))


def _records(path: Path, lines: Lines, delimiter: str, quotes: bool) -> Iterator[tuple[str, list[str]]]:
    """Yields (place of its first line, cells) for each row of CSV (RFC 4180), or of lines without quotes."""
    if not quotes:
        for where, text in text_lines(path, lines):
            yield where, text.split(delimiter)
        return
    where, blank = "", ""

    def fed() -> Iterator[str]:
        nonlocal where
        for place, text in raw_lines(path, lines):
            where = where or place
            yield text + "\n"

    try:
        for cells in csv.reader(fed(), delimiter=delimiter, strict=True):
            if not any(cell.strip() for cell in cells):
                blank = blank or where
            elif blank:
                raise DataError(f"{blank}: the row is blank, and others follow; take it out")
            else:
                yield where, cells
            where = ""
    except csv.Error as error:
        raise DataError(
            f"{where}: the row is no valid CSV ({error}); close each double quote, and write one inside a text twice"
        ) from error
