"""Converts training data once, as a stream, to memory-mapped Arrow files in the cache.

What is to be read comes in parts, each a stretch of a file, which several processes convert. A part's result is named
by the content that it was made from: after a kill, or when one line was mended, only what is missing is converted.
Where rows are joined to items, each part is first dealt into buckets by key, and then each bucket is joined on its own,
so that neither step holds more than a part in memory.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.ipc
from tqdm import tqdm

from mixlingual.data.items import SCHEMA, Items, Pattern, columns_of, items_in, pattern_of, record_batches
from mixlingual.data.lines import described
from mixlingual.files import built_once, cache_dir, check_sealed, lock_on, seal, stamp, written_whole
from mixlingual.processes import spread, usable_cores
from mixlingual.records import DataError, ParallelItem, fingerprint

log = logging.getLogger(__name__)

PART_ROWS = 1 << 16
"""A part of a file has about so many rows."""

_RECIPE = "items-1"
"""The recipe names the way items are converted; a change of it changes the name."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True)
_BUCKET_BYTES = 1 << 26
_BYTES_A_PROCESS = 1 << 25
_ID_RANGE = 1 << 24
_DEALT = pyarrow.schema([(name, pyarrow.string()) for name in ("where", "key", "source")] + list(SCHEMA))


class Part(Protocol):
    """States what is needed of a part of the data; it can be sent to other processes."""

    @property
    def bytes(self) -> int:
        """Returns about how much of its file it reads."""

    def content(self) -> str:
        """Returns a hash of what it reads, from where, and how that is understood."""

    def rows(self) -> Iterator[Row]:
        """Yields its rows. Raises DataError where one is malformed."""


class Row(NamedTuple):
    """A row of the data, as an item."""

    where: str
    """File and line, or the like."""
    item: ParallelItem
    key: str = ""
    """Rows of one key are one item, where rows are joined."""


@dataclass(frozen=True)
class Conversion:
    """Says what is converted, and how."""

    name: str
    """Of the data, for messages."""
    what: tuple[str, ...]
    """What the result depends on beside the content of the files."""
    files: Sequence[Path]
    plan: Callable[[], Plan]
    """Called where the result is not there yet."""
    languages: Sequence[str] | None
    """Texts in others are left out, and items that then lack a side. None keeps all."""
    processes: int | None = None
    """None: as many as there are cores."""


class Plan(NamedTuple):
    """What the files of a conversion come to."""

    parts: Sequence[Part]
    joined: bool = False
    """Whether rows of one key become one item; where not, ids must differ."""


def converted(conversion: Conversion) -> Items:
    """Returns the items of a conversion, from the cache if it was done before.

    `Items.about` holds `languages`, `fingerprint` (of all ids and texts, in order: see `records.fingerprint`), `seen`
    (number of items, left out or not), `found` (languages, likewise) and `negatives` (number of those kept).

    Raises:
        DataError: naming the file and line of what is malformed, two rows of one id, languages that are not in the data
            or a disk that is too small. What was converted before stays, for the next start.
        OSError: the cache cannot be written.
    """
    languages = json.dumps(None if conversion.languages is None else sorted(conversion.languages))
    what = (_RECIPE, languages, *conversion.what)
    try:
        key = fingerprint((*what, *map(stamp, conversion.files)))
    except OSError as error:
        raise DataError(
            f"{conversion.name}: a file cannot be read ({error}); see whether its folder is whole"
        ) from error
    work = cache_dir() / "items" / f".{fingerprint(('parts', *what, *map(str, conversion.files)))}.parts"

    def write(folder: Path) -> None:
        with lock_on(work.with_suffix(".lock")):
            work.mkdir(exist_ok=True)
            _convert(conversion, fingerprint(what), work, folder)
            seal(folder, key)
            shutil.rmtree(work)

    def read(folder: Path) -> Items:
        check_sealed(folder, key)
        return Items(folder)

    return built_once(cache_dir() / "items" / key, write, read)


def _convert(conversion: Conversion, what: str, work: Path, folder: Path) -> None:
    parts, joined = conversion.plan()
    sizes = [part.bytes for part in parts]
    buckets = max(1, -(-sum(sizes) // _BUCKET_BYTES)) if joined else 0
    how = _How(work, conversion.languages, buckets, fingerprint((what, str(buckets))))
    done = _all_done(conversion, functools.partial(_convert_part, how), parts, sizes)
    files = done
    if buckets:
        join = functools.partial(_join_bucket, how, [about["name"] for about in done])
        files = _all_done(conversion, join, range(buckets), [sum(sizes) // buckets] * buckets)
    else:
        _check_ids(work, parts, done)
    about = {
        "languages": sorted({code for each in files for name in each["patterns"] for code in (*name[1], *name[2])}),
        "found": sorted({language for each in done for language in each["found"]}),
        "seen": sum(each["seen"] for each in files),
        "negatives": sum(each["negatives"] for each in files),
        "fingerprint": _fingerprint(work / f"{each['name']}.parts" for each in files),
    }
    _check_languages(conversion.languages, about["languages"], about["found"])
    patterns = (
        (list(map(_pattern, each["patterns"])), np.fromfile(work / f"{each['name']}.patterns", np.int32))
        for each in files
    )
    Items.save(folder, patterns, about)
    for number, each in enumerate(files):
        (work / f"{each['name']}.arrow").rename(folder / Items.file_name(number))


@dataclass(frozen=True)
class _How:
    """Says how each part is converted; `name` tells it from other ways."""

    work: Path
    languages: Sequence[str] | None
    buckets: int
    """Rows are dealt into so many, or written as they come where it is 0."""
    name: str


def _all_done(
    conversion: Conversion, act: Callable[[Any], dict[str, Any]], tasks: Sequence[Any], sizes: Sequence[int]
) -> list[dict[str, Any]]:
    """Returns what `act` says of each task, in their order; refuses a disk that cannot hold what is to come."""
    processes = min(conversion.processes or usable_cores(), -(-sum(sizes) // _BYTES_A_PROCESS))
    done: dict[int, dict[str, Any]] = {}
    with tqdm(total=sum(sizes), desc=f"converting {conversion.name}", unit="B", unit_scale=True, disable=None) as bar:
        for number, about in spread(act, tasks, processes):
            done[number] = about
            bar.update(sizes[number])
            share = sum(each["bytes"] for each in done.values()) / max(1, sum(sizes[n] for n in done))
            _check_space(conversion.name, share * sum(size for n, size in enumerate(sizes) if n not in done))
    return [done[number] for number in range(len(tasks))]


def _check_space(name: str, needed: float) -> None:
    folder = cache_dir()
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{name}: its conversion takes about {needed / 1e9:,.1f} GB more in {folder}, where {free / 1e9:,.1f} are "
            "free; make room there, or set MIXLINGUAL_CACHE to another folder"
        )


def _convert_part(how: _How, part: Part) -> dict[str, Any]:
    """Returns what is known of a part's rows, after they were written unless they had been before."""
    name = fingerprint((how.name, part.content()))
    found: set[str] = set()
    ids: list[str] = []

    def rows() -> Iterator[Row]:
        for row in part.rows():
            ids.append(row.item.id)
            found.update(row.item.query, row.item.passage)
            yield row._replace(item=_restricted(row.item, how.languages))

    def make() -> dict[str, Any]:
        about = _deal(how, name, rows()) if how.buckets else _write(how.work, name, (row.item for row in rows()))
        pd.util.hash_array(np.array(ids, object), categorize=False).tofile(how.work / f"{name}.ids")
        return about | {"read": len(ids), "found": sorted(found)}

    return _once(how.work, name, make)


def _once(work: Path, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns what `make` says of the files that it writes, or said when it wrote them."""
    path = work / f"{name}.json"

    def size() -> int:
        return sum(each.stat().st_size for each in work.glob(f"{name}.*") if each != path)

    if path.exists():
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if known["bytes"] == size():  # a start that was killed at its end has moved the files away
            return known
    about = make() | {"name": name}
    about["bytes"] = size()
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(about), encoding="utf-8")
    return about


def _restricted(item: ParallelItem, languages: Sequence[str] | None) -> ParallelItem:
    """Returns the item with texts in the given languages alone."""
    if languages is None:
        return item

    def only(texts: dict[str, str]) -> dict[str, str]:
        return {language: text for language, text in texts.items() if language in languages}

    negatives = tuple(negative for negative in map(only, item.negatives) if negative)
    return ParallelItem(item.id, item.source, only(item.query), only(item.passage), negatives)


def _write(work: Path, name: str, items: Iterable[ParallelItem]) -> dict[str, Any]:
    """Writes the items that have both sides, what the fingerprint covers of them, and their patterns."""
    known: dict[Pattern, int] = {}
    codes: list[int] = []
    seen = negatives = 0

    def noted() -> Iterator[ParallelItem]:
        nonlocal seen, negatives
        for item in items:
            seen += 1
            if not item.query or not item.passage:
                continue
            negatives += len(item.negatives)
            codes.append(known.setdefault(pattern_of(item), len(known)))
            covered = [item.id, item.query, item.passage, *item.negatives]
            encoded = _ENCODER.encode(covered).encode()
            parts.write(len(encoded).to_bytes(8, "little"))
            parts.write(encoded)
            yield item

    with (
        written_whole(work / f"{name}.arrow") as path,
        pyarrow.ipc.new_file(str(path), SCHEMA) as file,
        (work / f"{name}.parts").open("wb") as parts,
    ):
        for batch in record_batches(noted()):
            file.write_batch(batch)
    np.array(codes, np.int32).tofile(work / f"{name}.patterns")
    return {"seen": seen, "negatives": negatives, "patterns": list(known)}


def _deal(how: _How, name: str, rows: Iterable[Row]) -> dict[str, Any]:
    """Writes rows as one record batch for each bucket."""
    dealt: list[list[Row]] = [[] for _ in range(how.buckets)]
    for row in rows:
        digest = hashlib.blake2b(row.key.encode(), digest_size=8).digest()
        dealt[int.from_bytes(digest, "little") % how.buckets].append(row)
    with written_whole(how.work / f"{name}.arrow") as path, pyarrow.ipc.new_file(str(path), _DEALT) as file:
        for held in dealt:
            named = ([row.where for row in held], [row.key for row in held], [row.item.source for row in held])
            columns = [pyarrow.array(each, pyarrow.string()) for each in named]
            file.write_batch(
                pyarrow.RecordBatch.from_arrays([*columns, *columns_of([row.item for row in held])], schema=_DEALT)
            )
    return {}


def _join_bucket(how: _How, names: Sequence[str], bucket: int) -> dict[str, Any]:
    """Returns what is known of a bucket's items, after they were written unless they had been before."""
    name = fingerprint((how.name, f"bucket {bucket}", *names))
    return _once(how.work, name, lambda: _write(how.work, name, _joined(how.work, names, bucket)))


def _joined(work: Path, names: Sequence[str], bucket: int) -> Iterable[ParallelItem]:
    """Returns the items of a bucket, in the order of their first rows."""
    held: dict[str, list[tuple[str, ParallelItem]]] = {}
    for name in names:
        with pyarrow.memory_map(str(work / f"{name}.arrow")) as source:
            places, keys, sources, *columns = pyarrow.ipc.open_file(source).get_batch(bucket).columns
            for where, key, item in zip(places.to_pylist(), keys.to_pylist(), items_in(columns, sources.to_pylist())):
                held.setdefault(key, []).append((where, item))
    return map(_union, held.values())


def _union(rows: Sequence[tuple[str, ParallelItem]]) -> ParallelItem:
    """Returns rows of one key as one item. Raises DataError where they contradict each other.

    The nth negative of each language becomes part of the item's nth: files of several languages give multi-way ones.
    """
    (first, item), *others = rows
    if not others:
        return item
    for where, other in others:
        for side in ("query", "passage"):
            one, two = getattr(item, side), getattr(other, side)
            for language in one.keys() & two.keys():
                if one[language] != two[language]:
                    raise DataError(
                        f"{where}: the id {item.id!r} has the {side} {described(two[language])} in {language}, and "
                        f"{described(one[language])} in {first}; an id stands for one query and one passage, each in "
                        "several languages: rename it, or name another column in data.pairs.id"
                    )
        item = replace(item, query=item.query | other.query, passage=item.passage | other.passage)
    negatives: list[dict[str, str]] = []
    taken: Counter[str] = Counter()
    for texts in dict.fromkeys(tuple(negative.items()) for _, each in rows for negative in each.negatives):
        place = max(taken[language] for language, _ in texts)
        negatives += [{}] * (place + 1 - len(negatives))
        negatives[place] = negatives[place] | dict(texts)
        taken.update({language: place + 1 - taken[language] for language, _ in texts})
    return replace(item, negatives=tuple(negatives))


def _check_ids(work: Path, parts: Sequence[Part], done: Sequence[dict[str, Any]]) -> None:
    """Raises DataError where an id comes twice. Only ids of equal hashes are looked at themselves.

    Hashes are compared a range at a time, so that memory does not grow with the data.
    """
    ranges = max(1, -(-sum(about["read"] for about in done) // _ID_RANGE))
    step = -(-(1 << 64) // ranges)
    for first in range(0, 1 << 64, step):
        hashes, places = [], []
        for number, about in enumerate(done):
            hash_R = np.fromfile(work / f"{about['name']}.ids", np.uint64)
            row_R = np.flatnonzero((hash_R >= np.uint64(first)) & (hash_R <= np.uint64(min(first + step, 1 << 64) - 1)))
            hashes.append(hash_R[row_R])
            places.append(number << 32 | row_R)
        hash_N, place_N = np.concatenate(hashes), np.concatenate(places)
        order_N = np.lexsort((place_N, hash_N))
        hash_N, place_N = hash_N[order_N], place_N[order_N]
        equal = np.flatnonzero(hash_N[1:] == hash_N[:-1])
        seen: dict[str, str] = {}
        for n in sorted({*equal.tolist(), *(equal + 1).tolist()}):
            number, row = divmod(int(place_N[n]), 1 << 32)
            where, item, _ = next(itertools.islice(parts[number].rows(), row, None))
            if item.id in seen:
                raise DataError(
                    f"{where}: the id {item.id!r} is taken by {seen[item.id]}; "
                    "ids are unique over all files: rename one or leave a file out with data.exclude"
                )
            seen[item.id] = where


def _check_languages(wanted: Sequence[str] | None, kept: Sequence[str], found: Sequence[str]) -> None:
    missing = sorted(set(wanted or ()) - set(kept))
    if missing:
        raise DataError(
            f"data.languages names {', '.join(missing)}, in which no item has a text to train on; "
            f"the files hold {', '.join(found)}: choose from these, or null for all"
        )


def _fingerprint(files: Iterable[Path]) -> str:
    """Returns what `records.fingerprint` gives for the parts that the files hold, each after its length."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def _pattern(plain: list[Any]) -> Pattern:
    return Pattern(plain[0], tuple(plain[1]), tuple(plain[2]))
