"""The token store holds what the tokenizer gives, and rebuilds a damaged cache; test_files.py tests all caches."""

import dataclasses
import os
import pickle
import signal
import time

import numpy as np
import pytest
from batches.toy import LANGUAGES, Characters, corpus_of, toy_corpus
from forks import fork
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlingual.batches import tokens
from mixlingual.batches.tokens import TokenStore
from mixlingual.files import cache_dir

texts = st.dictionaries(st.sampled_from(LANGUAGES), st.text(st.sampled_from("ab"), max_size=5))


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path))


def folders():
    return [path for path in (cache_dir() / "tokens").iterdir() if path.suffix != ".lock"]


def content(store):
    """Returns side -> the token ids of each item or negative in each language, None where there is none."""
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
@settings(max_examples=60)
def test_every_text_has_the_tokens_of_the_tokenizer_and_every_row_is_distinct(items, prefix, limit):
    corpus, tokenizer = corpus_of(*items), Characters(prefix, limit)
    store = TokenStore.open(corpus, tokenizer)
    assert content(store) == expected(corpus, tokenizer)
    held = [ids for side in content(store).values() for languages in side for ids in languages if ids]
    rows = {int(row) for table in (store.query_IL, store.passage_IL, store.negative_NL) for row in table.ravel()} - {-1}
    assert len(rows) == len({tuple(ids) for ids in held})
    assert rows == set(range(len(rows)))
    assert np.diff(store.negative_start).tolist() == [len(item) - 2 for item in items]


@pytest.mark.parametrize(("vocabulary", "bytes_each"), [(1 << 16, 2), ((1 << 16) + 1, 4)])
def test_ids_take_two_bytes_where_the_vocabulary_fits(vocabulary, bytes_each):
    store = TokenStore.open(corpus_of(({"aa": chr(0xFFFF)}, {"aa": "p"})), Characters(vocabulary=vocabulary))
    ids = store.tokens(np.arange(2))
    assert ids.tolist() == [0, 0xFFFF, 1, 0, ord("p"), 1]
    assert ids.dtype == np.int32
    assert (folders()[0] / "tokens").stat().st_size == 6 * bytes_each


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


def test_killed_tokenising_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "_STRETCH", 2)
    corpus, encoded = toy_corpus(), tokens._encoded
    parts = 3 * -(-len(corpus.items) // 2)

    def left():
        return len(list((cache_dir() / "tokens").glob(".*.parts/[!.]*.npz")))

    def slowly(*words):
        time.sleep(0.02)
        return encoded(*words)

    monkeypatch.setattr(tokens, "_encoded", slowly)
    for wait in (2, parts // 2):
        child = fork(lambda: TokenStore.open(corpus, Characters(), processes=1), tmp_path / "out")
        until = time.monotonic() + 100
        while time.monotonic() < until and left() < wait:
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    before, made = left(), []
    assert parts // 2 <= before < parts
    monkeypatch.setattr(tokens, "_encoded", lambda *words: made.append(words) or encoded(*words))
    resumed = TokenStore.open(corpus, Characters(), processes=1)
    assert parts - before <= len(made) <= parts - before + 2, "a stretch that lacks a side is tokenised whole"
    assert content(resumed) == expected(corpus, Characters())


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


FILES = ("tokens", "offsets", "query", "passage", "negative", "negative_start", "header.json", "sealed.json")


DAMAGES = (
    lambda path: flip(path, 0),
    lambda path: flip(path, -3),
    lambda path: os.truncate(path, path.stat().st_size - 4),
    lambda path: os.truncate(path, 0),
    lambda path: path.unlink(),
)


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_cache_is_built_anew(file, caplog):
    corpus = toy_corpus()
    whole = content(TokenStore.open(corpus, Characters()))
    for damage in DAMAGES:
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


def test_a_copy_in_another_process_maps_the_same_files():
    store = TokenStore.open(toy_corpus(400), Characters())
    pickled = pickle.dumps(store)
    assert len(pickled) < 300 < store.query_IL.nbytes
    assert content(pickle.loads(pickled)) == content(store)
