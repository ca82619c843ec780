"""Texts are encoded by side, and a trained tokenizer loses nothing, repeats itself and is cached."""

import unicodedata

import pytest
import torch
from transformers import AutoTokenizer

from mixlingual.config.schema import ModelConfig
from mixlingual.files import cache_dir
from mixlingual.model import tokenizer as module
from mixlingual.model.tokenizer import TextTokenizer, pad, train_tokenizer

CACHED = [(["a b"], 300), (["a", "b"], 300), (["a b"], 301)]


def cached():
    folder = cache_dir() / "tokenizers"
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"} if folder.exists() else set()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path / "cache"))


def test_each_side_has_its_prefix_and_limit(tokenizer_hf, sentences):
    config = ModelConfig(query_prefix="query: ", passage_prefix="passage: ", max_query_length=8, max_passage_length=12)
    tokenizer = TextTokenizer(tokenizer_hf, config)
    texts = list(sentences.values())
    for side, prefix, limit in (("query", "query: ", 8), ("passage", "passage: ", 12), ("query", "query: ", 8)):
        for ids, text in zip(tokenizer.encode(texts, side), texts):
            whole = tokenizer_hf(prefix + text)["input_ids"]
            assert len(whole) > limit, "otherwise the test shows nothing about truncation"
            assert ids == [*whole[: limit - 1], tokenizer_hf.eos_token_id]


def test_texts_are_cut_at_the_side_that_the_tokenizer_says(tokenizer_hf, sentences):
    base = TextTokenizer(tokenizer_hf, ModelConfig()).identity()
    tokenizer_hf.truncation_side = "left"
    tokenizer = TextTokenizer(tokenizer_hf, ModelConfig(max_query_length=8))
    whole = tokenizer_hf(sentences["en"])["input_ids"]
    assert tokenizer.encode_marked([sentences["en"]], "query") == ([[whole[0], *whole[-7:]]], [True])
    assert TextTokenizer(tokenizer_hf, ModelConfig()).identity() != base


def test_short_and_empty_texts_are_not_padded(tokenizer_hf):
    tokenizer = TextTokenizer(tokenizer_hf, ModelConfig())
    assert [len(ids) for ids in tokenizer.encode(["", "8", "8 8"], "query")] == [2, 4, 6]
    assert tokenizer.encode([], "query") == []
    assert tokenizer.pad_id == tokenizer_hf.pad_token_id


def test_tokens_are_counted_without_prefix_frame_and_limit(tokenizer_hf, sentences):
    tokenizer = TextTokenizer(tokenizer_hf, ModelConfig(query_prefix="query: ", max_query_length=8))
    tokenizer.encode(["8 8 8 8 8 8 8 8 8"], "query")  # leaves a limit behind in the library
    for text, count in zip(sentences.values(), tokenizer.counts(list(sentences.values()))):
        assert count == len(tokenizer_hf.tokenize(text)) > 8
    assert tokenizer.counts(["", "8 8"]) == [0, 4]
    assert tokenizer.counts([]) == []


def test_identity_follows_all_that_decides_the_ids(tokenizer_hf, sentences):
    def identity(hf=tokenizer_hf, **options):
        return TextTokenizer(hf, ModelConfig(**options)).identity()

    base = identity()
    options = [{"query_prefix": "q"}, {"passage_prefix": "q"}, {"max_query_length": 9}, {"max_passage_length": 9}]
    others = {identity(**option) for option in options} | {identity(train_tokenizer(sentences.values(), 401))}
    assert len(others - {base}) == 5
    used = TextTokenizer(tokenizer_hf, ModelConfig())
    used.encode(["8 8 8 8"], "query")
    assert used.identity() == base, "truncation left behind by an earlier call does not count"
    assert identity(train_tokenizer([text for text in sentences.values() for _ in range(3)], 400)) == base


def test_ids_are_below_the_vocabulary(tokenizer_hf):
    assert TextTokenizer(tokenizer_hf, ModelConfig()).vocabulary == len(tokenizer_hf)
    tokenizer_hf.add_tokens(["one more"])
    tokenizer = TextTokenizer(tokenizer_hf, ModelConfig())
    assert max(tokenizer.encode(["one more"], "query")[0]) == tokenizer.vocabulary - 1


def test_pad_keeps_a_real_token_that_equals_the_padding():
    input_ids_BT, attention_mask_BT = pad([[5, 1, 7], [5], [5, 1]], pad_id=1)
    assert input_ids_BT.tolist() == [[5, 1, 7], [5, 1, 1], [5, 1, 1]]
    assert attention_mask_BT.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert input_ids_BT.dtype == attention_mask_BT.dtype == torch.int64


@pytest.mark.parametrize("text", ["한국어", "🦄 unicorn", "ﬁne　wide", "1984 < 2024", "a  b"])
def test_no_text_is_lost(tokenizer_hf, sentences, text):
    for given in (text, *sentences.values()):
        ids = tokenizer_hf(given)["input_ids"]
        assert tokenizer_hf.unk_token_id not in ids
        expected = " ".join(unicodedata.normalize("NFKC", given).split())
        assert tokenizer_hf.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == expected


def test_texts_are_framed_by_start_and_end(tokenizer_hf):
    assert tokenizer_hf.convert_ids_to_tokens(tokenizer_hf("x")["input_ids"])[0] == "<s>"
    assert tokenizer_hf.convert_ids_to_tokens(tokenizer_hf("x")["input_ids"])[-1] == "</s>"
    assert [tokenizer_hf.convert_tokens_to_ids(token) for token in ("<s>", "<pad>", "</s>", "<unk>")] == [0, 1, 2, 3]


def test_unspaced_scripts_get_pieces_of_bounded_length(own_cache):
    zh, th = "首都是河边的一座非常非常大的美丽城市而且人口很多", "เมืองหลวงเป็นเมืองใหญ่ริมแม่น้ำที่สวยงาม"
    hf = train_tokenizer([zh, th] * 20, 2000)
    learned = [piece for piece, i in hf.get_vocab().items() if i >= 260]
    assert 8 < max(map(len, learned)) <= 16
    assert all(len(hf.tokenize(text)) <= 6 for text in (zh, th)), "frequent phrases are few pieces"


def test_a_vocabulary_is_bounded_and_without_texts_the_bytes_are_left(own_cache, sentences):
    assert len(train_tokenizer(sentences.values(), 300)) == 300
    hf = train_tokenizer([], 300)
    assert hf.decode(hf("zażółć")["input_ids"], skip_special_tokens=True) == "zażółć"


def test_the_same_texts_give_the_same_tokenizer_though_characters_tie(monkeypatch, tmp_path):
    """The trainer's own choice among equally frequent characters differs from call to call."""
    texts = ["".join(chr(0x4E00 + i) for i in range(start, 400, 7)) for start in range(7)]
    written = set()
    for run in range(4):
        monkeypatch.setenv("MIXLINGUAL_CACHE", str(tmp_path / str(run)))
        written.add(train_tokenizer(texts, 320).backend_tokenizer.to_str())
    assert len(written) == 1


def test_a_second_call_reads_the_cache_which_holds_other_texts_or_sizes_apart(own_cache, monkeypatch):
    first = [train_tokenizer(iter(texts), size) for texts, size in CACHED]
    assert len(cached()) == 3
    monkeypatch.setattr(module, "_train_bpe", None)
    assert [train_tokenizer(*one).get_vocab() for one in CACHED] == [hf.get_vocab() for hf in first]


def test_saved_tokenizer_loads_with_the_library(tokenizer_hf, sentences, tmp_path):
    tokenizer = TextTokenizer(tokenizer_hf, ModelConfig(max_query_length=5, max_passage_length=20))
    tokenizer.encode([sentences["en"]], "query")
    tokenizer.save(tmp_path / "saved")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert loaded.model_max_length == 20
    assert loaded.backend_tokenizer.truncation is None
    assert loaded(sentences["en"])["input_ids"] == tokenizer_hf(sentences["en"])["input_ids"]
