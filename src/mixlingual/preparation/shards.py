"""The steps of a recipe as folders of shards, named by what they were made from, that any number of processes fill.

A shard is `NAME.jsonl.gz`, one item a line, beside `NAME.json` with its counts, written before it: where the shard is,
it is whole. A folder's name holds a hash of all that its content depends on, so that nothing in it is ever out of date.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filelock import Timeout
from tqdm import tqdm

from mixlingual.files import cache_dir, lock_on, read_object, written_whole
from mixlingual.records import MixlingualError, fingerprint
from mixlingual.runs.lease import write_json

log = logging.getLogger(__name__)

SUFFIX = ".jsonl.gz"
SIDES = ("query", "passage")

Counts = Counter[str]


@dataclass(slots=True)
class Item:
    """One question and its passage in several languages, as `data=parallel` reads it."""

    id: str
    query: dict[str, str]
    passage: dict[str, str]
    negatives: list[dict[str, str]] = field(default_factory=list)
    made: dict[str, dict[str, str]] = field(default_factory=dict)
    """Side -> language -> name of the engine that translated the text."""

    def plain(self) -> dict[str, object]:
        """Returns it as JSON types, without what is empty."""
        return {key: value for key, value in asdict(self).items() if value}

    def side(self, name: str) -> dict[str, str]:
        """Returns the texts of `query` or `passage` by language."""
        return self.query if name == "query" else self.passage


def step_folder(name: str, *made_from: object) -> Path:
    """Returns the folder of a step's output.

    Args:
        name: of the step.
        made_from: all that the output depends on, as JSON types.
    """
    digest = fingerprint(json.dumps(part, sort_keys=True, ensure_ascii=False) for part in made_from)
    return cache_dir() / "prepare" / f"{name}-{digest}"


def read_items(path: Path) -> Iterator[Item]:
    """Yields the items of a shard."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield Item(**json.loads(line))


@contextmanager
def gzipped(path: Path) -> Iterator[gzip.GzipFile]:
    """Opens a file to compress into; equal contents make equal bytes."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        yield file


def write_items(path: Path, items: Iterable[Item], counts: Counts, before: Callable[[], object] = lambda: None) -> None:
    """Writes a shard, so that equal items make equal bytes.

    Args:
        path: of the shard.
        items: to write.
        counts: written beside it; they are final when the last item was taken.
        before: called then, for what else must be there before the shard is.
    """
    with written_whole(path) as temporary:
        with gzipped(temporary) as file:
            for item in items:
                counts["items out"] += 1
                counts.update(f"text {side} {language}" for side in SIDES for language in item.side(side))
                file.write(json.dumps(item.plain(), ensure_ascii=False).encode() + b"\n")
        before()
        write_json(counts_path(path), dict(counts))


def counts_path(path: Path) -> Path:
    """Returns where the counts of a shard are."""
    return path.with_name(path.name.removesuffix(SUFFIX) + ".json")


def counts_of(paths: Iterable[Path]) -> Counts:
    """Returns the sum of the counts of shards."""
    total: Counts = Counter()
    for path in paths:
        total.update(read_object(counts_path(path)))
    return total


def share(paths: Sequence[Path], make: Callable[[Path], None], label: str) -> None:
    """Returns when every file exists: makes those that are missing, together with all who call this for them.

    A file is made under a lock that ends with its process, so that a killed one leaves it to the others. One that
    cannot be made does not stop the others.

    Args:
        paths: of the files.
        make: writes one, whole.
        label: what is being made, for the progress bar and messages.

    Raises:
        MixlingualError: some could not be made; all others are there.
    """
    failed: dict[Path, str] = {}
    with tqdm(total=len(paths), desc=label, unit="shard", disable=None) as progress:
        while missing := [path for path in paths if path not in failed and not path.exists()]:
            ended = [path for path in missing if _made(path, make, 0, failed)]
            if not ended:  # all are in other hands: wait for one
                _made(missing[0], make, -1, failed)
            progress.update(len(paths) - len(missing) + len(ended) - progress.n)
        progress.update(len(paths) - progress.n)
    if failed:
        reasons = "\n".join(dict.fromkeys(f"  {path.name}: {message}" for path, message in failed.items()))
        raise MixlingualError(
            f"{label}: {len(failed)} of {len(paths)} shards failed; the others are done and kept, and the same command "
            f"does what is missing:\n{reasons}"
        )


def _made(path: Path, make: Callable[[Path], None], wait: float, failed: dict[Path, str]) -> bool:
    """Whether the file came to its end, here or elsewhere; not where another process is at it and we do not wait."""
    lock = lock_on(path.parent / f".{path.name}.lock", wait)
    try:
        with lock:
            if not path.exists():
                make(path)
    except Timeout:
        return False
    except MixlingualError as error:
        log.error("%s: %s", path.name, error)  # noqa: TRY400 - the message is for the user
        failed[path] = str(error)
    return True
