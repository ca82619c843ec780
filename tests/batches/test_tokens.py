"""The token store against the tokenizer itself; the cache against every way in which it can go wrong."""

import dataclasses
import multiprocessing
import os
import pickle
import signal

import numpy as np
import pytest
from batches.toy import LANGUAGES, Characters, corpus_of, toy_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlingual.batches import tokens
from mixlingual.batches.tokens import TokenStore
from mixlingual.files import cache_dir

FORK = multiprocessing.get_context("fork")
texts = st.dictionaries(st.sampled_from(LANGUAGES), st.text(st.sampled_from("ab"), max_size=5))


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path))


def folders():
    return [path for path in (cache_dir() / "tokens").iterdir() if path.suffix != ".lock"]


def content(store):
    """Token ids of every text: side -> one list for each item or negative and language, None where there is none."""
    tables = {"query": store.query_IL, "passage": store.passage_IL, "negative": store.negative_NL}
    return {
        side: [
            [store.tokens(np.array([row])).tolist() if row >= 0 else None for row in rows] for rows in table.tolist()
        ]
        for side, table in tables.items()
    }


def expected(corpus, tokenizer):
    def encode(held, side):
        return [
            [tokenizer.encode([texts[x]], side)[0] if x in texts else None for x in corpus.languages] for texts in held
        ]

    return {
        "query": encode([item.query for item in corpus.items], "query"),
        "passage": encode([item.passage for item in corpus.items], "passage"),
        "negative": encode([texts for item in corpus.items for texts in item.negatives], "passage"),
    }


@given(st.lists(st.lists(texts, min_size=2, max_size=4), max_size=6), st.sampled_from(["", "p: "]), st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_every_text_has_the_tokens_of_the_tokenizer_and_every_row_is_distinct(items, prefix, limit):
    corpus, tokenizer = corpus_of(*items), Characters(prefix, limit)
    store = TokenStore.open(corpus, tokenizer)
    assert content(store) == expected(corpus, tokenizer)
    held = [ids for side in content(store).values() for languages in side for ids in languages if ids]
    rows = {int(row) for table in (store.query_IL, store.passage_IL, store.negative_NL) for row in table.ravel()} - {-1}
    assert len(rows) == len({tuple(ids) for ids in held})
    assert rows == set(range(len(rows)))
    assert np.diff(store.negative_start).tolist() == [len(item) - 2 for item in items]


def test_equal_texts_share_a_row_over_sides_unless_a_prefix_tells_them_apart():
    corpus = corpus_of(({"aa": "x", "bb": "y"}, {"aa": "y", "cc": "x"}, {"bb": "x"}))
    store = TokenStore.open(corpus, Characters())
    assert store.query_IL.tolist() == [[0, 1, -1]]
    assert store.passage_IL.tolist() == [[1, -1, 0]]
    assert store.negative_NL.tolist() == [[-1, 0, -1]]
    apart = TokenStore.open(corpus, Characters(prefix="p: "))
    assert apart.query_IL.tolist() == [[0, 1, -1]]
    assert apart.passage_IL.tolist() == [[2, -1, 3]]
    assert apart.negative_NL.tolist() == [[-1, 3, -1]]


@pytest.mark.parametrize(("vocabulary", "bytes_each"), [(1 << 16, 2), ((1 << 16) + 1, 4)])
def test_ids_take_two_bytes_where_the_vocabulary_fits(vocabulary, bytes_each):
    store = TokenStore.open(corpus_of(({"aa": chr(0xFFFF)}, {"aa": "p"})), Characters(vocabulary=vocabulary))
    ids = store.tokens(np.arange(2))
    assert ids.tolist() == [0, 0xFFFF, 1, 0, ord("p"), 1]
    assert ids.dtype == np.int32
    assert (folders()[0] / "tokens").stat().st_size == 6 * bytes_each


def test_rows_can_be_read_in_any_order_and_none_at_all():
    store = TokenStore.open(corpus_of(({"aa": "x"}, {"aa": "yz"})), Characters())
    assert store.tokens(np.array([1, 0, 1])).tolist() == [0, 121, 122, 1, 0, 120, 1, 0, 121, 122, 1]
    assert store.lengths(np.array([1, 0, 1])).tolist() == [4, 3, 4]
    assert store.tokens(np.empty(0, np.int32)).tolist() == []


def test_texts_are_tokenised_in_chunks_that_do_not_change_the_files(monkeypatch):
    def files():
        TokenStore.open(toy_corpus(), Characters())
        (folder,) = folders()
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    whole, sizes = files(), []
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(cache_dir() / "other"))
    monkeypatch.setattr(tokens, "_CHUNK", 7)
    encode = Characters.encode
    monkeypatch.setattr(
        Characters, "encode", lambda self, texts, side: sizes.append(len(texts)) or encode(self, texts, side)
    )
    assert files() == whole
    assert max(sizes) == 7


def test_the_second_run_tokenises_nothing_and_is_quiet(monkeypatch, capfd):
    corpus = toy_corpus()
    first = content(TokenStore.open(corpus, Characters()))
    monkeypatch.setattr(Characters, "encode", None)
    assert content(TokenStore.open(corpus, Characters())) == first
    assert capfd.readouterr() == ("", ""), "no progress bar where nobody watches"


def test_what_the_cache_depends_on():
    one, other = corpus_of(({"aa": "x"}, {"aa": "y"})), corpus_of(({"aa": "x"}, {"aa": "z"}))
    columns = dataclasses.replace(one, languages=("bb", "aa"))
    layout = dataclasses.replace(corpus_of(({"aa": "x"}, {"bb": "y"})), fingerprint=one.fingerprint)
    plain = Characters()
    for corpus, tokenizer in (
        (one, plain), (other, plain), (columns, plain), (layout, plain), (one, Characters(limit=1)),
    ):  # fmt: skip
        store = TokenStore.open(corpus, tokenizer)
        assert content(store) == expected(corpus, tokenizer)
    assert len(folders()) == 5


def flip(path, where):
    damaged = bytearray(path.read_bytes())
    damaged[where] ^= 4
    path.write_bytes(damaged)


FILES = ("tokens", "offsets", "query", "passage", "negative", "negative_start", "header.json")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "damage",
    [lambda path: flip(path, 0), lambda path: flip(path, -3), lambda path: os.truncate(path, path.stat().st_size - 4),
     lambda path: os.truncate(path, 0), lambda path: path.unlink()],
    ids=["first byte", "late byte", "cut short", "emptied", "gone"],
)  # fmt: skip
def test_a_damaged_cache_is_built_anew(file, damage, caplog):
    corpus = toy_corpus()
    whole = content(TokenStore.open(corpus, Characters()))
    damage(folders()[0] / file)
    assert content(TokenStore.open(corpus, Characters())) == whole
    assert "is damaged" in caplog.text
    caplog.clear()
    assert content(TokenStore.open(corpus, Characters())) == whole
    assert not caplog.text


def test_a_cache_of_another_corpus_or_recipe_in_its_place_is_not_believed(caplog, monkeypatch):
    corpus = toy_corpus()
    TokenStore.open(corpus_of(({"aa": "other"}, {"aa": "text"})), Characters())
    (foreign,) = folders()
    whole = content(TokenStore.open(corpus, Characters()))
    (own,) = set(folders()) - {foreign}
    own.rename(own.with_name("aside"))
    foreign.rename(own)
    assert content(TokenStore.open(corpus, Characters())) == whole
    assert f"{own} is damaged (it holds {foreign.name})" in caplog.text
    monkeypatch.setattr(tokens, "_RECIPE", "tokens-next")
    TokenStore.open(corpus, Characters())
    assert len(folders()) == 3, "another recipe has another folder"


def test_a_full_disk_leaves_nothing(monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tokens, "_digest", full)
        with pytest.raises(OSError, match="No space left on device; make room"):
            TokenStore.open(toy_corpus(), Characters())
    assert folders() == []
    assert content(TokenStore.open(toy_corpus(), Characters())) == expected(toy_corpus(), Characters())


class Announcing(Characters):
    """Says when it has begun to encode, then waits."""

    def __init__(self, begun, go_on, count):
        super().__init__()
        self.begun, self.go_on, self.count = begun, go_on, count

    def encode(self, texts, side):
        with self.count.get_lock():
            self.count.value += 1
        self.begun.set()
        assert self.go_on.wait(30)
        return super().encode(texts, side)


def start(tokenizer):
    process = FORK.Process(target=TokenStore.open, args=(toy_corpus(), tokenizer))
    process.start()
    return process


def test_of_two_processes_that_start_at_once_one_builds():
    tokenizer = Announcing(FORK.Event(), FORK.Event(), FORK.Value("i", 0))
    both = [start(tokenizer) for _ in range(2)]
    assert tokenizer.begun.wait(30)
    tokenizer.go_on.set()
    for process in both:
        process.join(30)
        assert process.exitcode == 0
    assert tokenizer.count.value == 3, "queries, passages and negatives, each once"
    assert content(TokenStore.open(toy_corpus(), Characters())) == expected(toy_corpus(), Characters())


def test_after_a_builder_was_killed_the_next_one_builds():
    tokenizer = Announcing(FORK.Event(), FORK.Event(), FORK.Value("i", 0))
    builder = start(tokenizer)
    assert tokenizer.begun.wait(30)
    os.kill(builder.pid, signal.SIGKILL)
    builder.join(30)
    assert [path.suffix for path in folders()] == [".tmp"]
    assert content(TokenStore.open(toy_corpus(), Characters())) == expected(toy_corpus(), Characters())
    assert [path.suffix for path in folders()] == [""]


def test_a_copy_in_another_process_maps_the_same_files():
    store = TokenStore.open(toy_corpus(400), Characters())
    pickled = pickle.dumps(store)
    assert len(pickled) < 300 < store.query_IL.nbytes
    assert content(pickle.loads(pickled)) == content(store)
