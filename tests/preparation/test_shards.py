"""Shards are made once each, by whoever is there, and one that fails stops no other."""

import os
import signal
import time
from collections import Counter

import pytest
from forks import fork, wait

from mixlingual.preparation.shards import Item, counts_of, read_items, share, write_items
from mixlingual.records import MixlingualError


def test_equal_items_make_equal_bytes_and_come_back(tmp_path):
    items = [
        Item("a", {"en": "Wo\u2028?"}, {"de": 'x\n"y"'}, [{"en": "n"}], {"query": {"en": "e"}}),
        Item("b", {"en": "Q"}, {"en": "P"}),
    ]
    paths = [tmp_path / f"{name}.jsonl.gz" for name in ("one", "two")]
    for path in paths:
        write_items(path, items, Counter())
        time.sleep(0.01)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert list(read_items(paths[0])) == items
    assert counts_of(paths) == {
        "items out": 4, "text query en": 4, "text passage de": 2, "text passage en": 2
    }  # fmt: skip


def test_a_shard_that_fails_stops_no_other(tmp_path):
    paths = [tmp_path / f"{n}" for n in range(4)]

    def make(path):
        if path.name == "1":
            raise MixlingualError("the engine died")
        path.write_text("whole")

    with pytest.raises(MixlingualError, match=r"1 of 4 shards failed; .*\n  1: the engine died"):
        share(paths, make, "translate")
    assert [path.exists() for path in paths] == [True, False, True, True]
    share(paths, lambda path: path.write_text("mended"), "translate")
    assert [path.read_text() for path in paths] == ["whole", "mended", "whole", "whole"]


def test_processes_share_and_take_over_from_a_killed_one(tmp_path):
    paths = [tmp_path / f"{n}" for n in range(6)]

    def make(path):
        with (tmp_path / "log").open("a") as log:
            log.write(f"{path.name} {os.getpid()}\n")
        time.sleep(30 if os.environ.get("SLOW") else 0.05)
        path.write_text("whole")

    slow = fork(lambda: share(paths, make, "x"), tmp_path / "slow", SLOW="1")
    while not (tmp_path / "log").exists():
        time.sleep(0.01)
    others = [fork(lambda: share(paths, make, "x"), tmp_path / f"other{n}") for n in range(2)]
    while not all(path.exists() for path in paths[1:]):
        time.sleep(0.01)
    os.kill(slow, signal.SIGKILL)
    assert [wait(slow), *map(wait, others)] == [-signal.SIGKILL, 0, 0]
    made = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert Counter(name for name, _ in made) == {"0": 2} | dict.fromkeys("12345", 1)
    assert all(path.read_text() == "whole" for path in paths)
