"""Reads the lines of topics, judgements, runs, ids and JSON lines, in files as people have them.

A byte order mark at the start and blank lines at the end count for nothing. Lines end at line feeds alone, since texts
may hold other characters that some programs take for line ends.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixlingual.records import DataError

Row = dict[str, Any]

_BOM = b"\xef\xbb\xbf"
_POINTER = b"version https://git-lfs.github.com/spec/"
_FIELD = re.compile(r"[^ \t\n\r\f\v]+")
_UNFIT = re.compile(r"[ \t\n\r\f\v\0]")
_BLOCK = 1 << 24


@dataclass(frozen=True, slots=True)
class Lines:
    """Some lines of a file that is not compressed; by default all of any file."""

    start: int = 0
    """Byte that the first of them begins at."""
    stop: int | None = None
    """Byte after the last of them. None: the end of the file."""
    before: int = 0
    """Number of lines before the first of them."""


WHOLE = Lines()


def text_lines(path: Path, lines: Lines = WHOLE) -> Iterator[tuple[str, str]]:
    """Yields (file and line, text without its end) for each line of a UTF-8 file; gzip if its name ends in .gz.

    Raises:
        DataError: the file is missing, damaged, a Git LFS pointer or not UTF-8, or a line between others is blank.
    """
    blank = ""
    for where, text in raw_lines(path, lines):
        if not text.strip(" \t"):
            blank = blank or where
        elif blank:
            break
        else:
            yield where, text
    else:
        if not blank or lines.stop is None:
            return
    raise DataError(f"{blank}: the line is blank, and others follow; take it out")


def raw_lines(path: Path, lines: Lines = WHOLE) -> Iterator[tuple[str, str]]:
    """Yields what `text_lines` does, and blank lines too. Raises DataError as it, but for blank lines."""
    refuse_pointer(path)
    number = lines.before
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            if lines.start:
                file.seek(lines.start)
            place = lines.start
            for line in file:
                number += 1
                where = f"{path}, line {number}"
                yield where, _decoded(line.removeprefix(_BOM) if number == 1 else line, where)
                place += len(line)
                if place == lines.stop:
                    return
    except FileNotFoundError:
        raise DataError(f"{path} is missing; see whether its folder is whole") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}, line {number + 1}: the file cannot be read on ({error}); it is damaged or cut short: "
            "fetch it or compress it again"
        ) from error


def stretches(path: Path, size: int) -> Iterator[Lines]:
    """Cuts a file into stretches of `size` lines, of which the last has what is left; a compressed file stays whole.

    Raises:
        DataError: the file cannot be read.
    """
    if path.suffix == ".gz":
        yield Lines()
        return
    start, before, place, counted = 0, 0, 0, 0
    try:
        with path.open("rb") as file:
            last = file.seek(max(0, file.seek(0, 2) - _BLOCK)) + len(file.read().rstrip(b" \t\r\n"))
            file.seek(0)
            while block := file.read(_BLOCK):
                end_N = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + (place + 1)
                for stop in end_N[size - 1 - counted % size :: size].tolist():
                    if stop <= last:
                        yield Lines(start, stop, before)
                        start, before = stop, before + size
                counted, place = counted + len(end_N), place + len(block)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); fetch it again") from error
    yield Lines(start, None, before)


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeError as error:
        raise DataError(f"{where}: the line is not valid Unicode ({error}); write the file again as UTF-8") from error


def json_lines(path: Path, remedy: str = "fetch the file again", lines: Lines = WHOLE) -> Iterator[tuple[str, Row]]:
    """Yields (file and line, object) for each line of a JSON lines file.

    Args:
        path: the file.
        remedy: what to do about a line that is no object.
        lines: those to read.

    Raises:
        DataError: as `text_lines`; a line is not an object in JSON, or holds half of a surrogate pair.
    """
    for where, line in text_lines(path, lines):
        try:
            row = json.loads(line)
            if "\\u" in line:
                json.dumps(row, ensure_ascii=False).encode()
        except UnicodeError as error:
            raise DataError(
                f"{where}: the line is not valid Unicode ({error}): a \\u escape is half of a pair; {remedy}"
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: the line is not valid JSON ({error}); {remedy}") from error
        if not isinstance(row, dict):
            raise DataError(f"{where}: got {described(row)}, not an object; {remedy}")
        yield where, row


def fields(line: str) -> list[str]:
    """Returns what ASCII white space separates in a line of a TREC file; other spaces may be part of an id."""
    return _FIELD.findall(line)


def text_of(row: Mapping[str, Any], key: str, where: str) -> str:
    """Returns the text under a key. Raises DataError if there is none, or something else."""
    value = row.get(key)
    if not isinstance(value, str):
        raise DataError(
            f"{where}: {key} is {described(value)}; it must be a text: mend the line, or fetch the file again"
        )
    return value


def id_of(row: Mapping[str, Any], key: str, where: str) -> str:
    """Returns the id under a key, a text or a whole number.

    Raises:
        DataError: there is none, or it has white space, which separates the fields of runs and judgements.
    """
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f"{where}: {key} is {described(value)}; it must be a text or a whole number")
    if not str(value) or _UNFIT.search(str(value)):
        raise DataError(
            f"{where}: {key} is {described(value)}; an id must not be empty or hold white space, which separates the "
            "fields of TREC files: rename it, in the judgements as well"
        )
    return str(value)


def described(value: object) -> str:
    """Returns what was found, in JSON's terms, short enough for a message."""
    if value is None:
        return "missing or null"
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."


def refuse_pointer(path: Path) -> None:
    """Raises DataError for a file that Git LFS left in place of its content."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
    except OSError:
        return
    if start == _POINTER:
        raise DataError(
            f"{path}, line 1: the file is a Git LFS pointer, not the data; run `git lfs pull` there, or fetch the file"
        )
