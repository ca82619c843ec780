"""Members of pools equal those found item by item, and are cached by content."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixlingual.batches.members as members_module
from mixlingual.batches.members import pool_members
from mixlingual.files import cache_dir
from mixlingual.records import ParallelCorpus, ParallelItem, fingerprint

LANGUAGES = ("aa", "bb", "cc")
sides = st.sets(st.sampled_from(LANGUAGES)).map(sorted)


def corpus_of(rows):
    items = tuple(
        ParallelItem(str(i), source, dict.fromkeys(query, "q"), dict.fromkeys(passage, "p"))
        for i, (source, query, passage) in enumerate(rows)
    )
    content = fingerprint(part for item in items for part in (item.id, *item.query, "|", *item.passage))
    return ParallelCorpus("test", items, LANGUAGES, {"s": 1.0, "t": 1.0}, content)


@given(st.lists(st.tuples(st.sampled_from("st"), sides, sides), min_size=1, max_size=30))
@settings(deadline=None, max_examples=40)
def test_members_are_the_items_with_both_sides(rows):
    found = pool_members(corpus_of(rows), LANGUAGES)
    assert len(found) == 2 * 9
    for (source, query, passage), items in found.items():
        expected = [i for i, (s, q, p) in enumerate(rows) if s == source and query in q and passage in p]
        assert items.tolist() == expected


def test_built_once_and_memory_mapped(monkeypatch):
    corpus = corpus_of([("s", ["aa"], ["aa", "bb"])] * 5)
    first = pool_members(corpus, LANGUAGES)
    monkeypatch.setattr(members_module, "_build", None)
    again = pool_members(corpus, LANGUAGES)
    assert isinstance(again["s", "aa", "bb"], np.memmap)
    assert {key: items.tolist() for key, items in again.items()} == {
        key: items.tolist() for key, items in first.items()
    }


def test_what_the_cache_depends_on():
    rows = [("s", ["aa"], ["aa"]), ("t", ["aa"], ["aa"])]
    one = pool_members(corpus_of(rows), LANGUAGES)
    moved = pool_members(corpus_of([("t", ["aa"], ["aa"])] * 2), LANGUAGES)
    assert one["s", "aa", "aa"].tolist() == [0]
    assert moved["t", "aa", "aa"].tolist() == [0, 1]
    assert set(pool_members(corpus_of(rows), ("aa",))) == {("s", "aa", "aa"), ("t", "aa", "aa")}


@pytest.mark.parametrize(
    ("file", "content"), [("items.npy", b""), ("index.json", b"{"), ("index.json", b'[["s","a","a",0,9]]')]
)
def test_a_damaged_cache_is_built_anew(file, content, caplog):
    corpus = corpus_of([("s", ["aa"], ["aa"])] * 4)
    whole = {key: items.tolist() for key, items in pool_members(corpus, LANGUAGES).items()}
    for path in (cache_dir() / "pools").glob(f"*/{file}"):
        path.write_bytes(content)
    assert {key: items.tolist() for key, items in pool_members(corpus, LANGUAGES).items()} == whole
    assert "is damaged" in caplog.text
