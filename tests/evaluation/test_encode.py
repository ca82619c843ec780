"""Batched encoding equals one text at a time, whatever the batches."""

import itertools

import numpy as np
import pytest
import torch

from mixlingual.config.schema import ModelConfig, ScratchConfig
from mixlingual.evaluation import encode as encode_module
from mixlingual.evaluation.encode import encode, encoder_fingerprint, token_batches
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder
from mixlingual.model.tokenizer import TextTokenizer, train_tokenizer
from mixlingual.records import MixlingualError

CPU = torch.device("cpu")
TEXTS = ["a long text with many letters in it", "short", "", "short", "middle of them", "a", "Ω ≠ ω", "short"]


class LetterTokenizer:
    """Each letter is a token, after one token that tells the side."""

    def encode_marked(self, texts, side):
        ids = [[1 if side == "query" else 2, *(3 + ord(letter) % 50 for letter in text)] for text in texts]
        return ids, [text in ("short", "a") for text in texts]


class RandomEncoder(torch.nn.Module):
    """Mean of a random layer over the tokens of a text; notes the shape of every batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Embedding(53, 16)
        self.layer = torch.nn.Linear(16, 8)
        self.shapes = []

    def embed(self, token_id_S, length_B):
        assert torch.is_inference_mode_enabled()
        self.shapes.append((len(length_B), int(length_B.max())))
        state_SD = torch.tanh(self.layer(self.table(token_id_S)))
        return torch.stack([state_TD.mean(dim=0) for state_TD in state_SD.split(length_B.tolist())])


def run(encoder, texts, side="query", precision="fp32", batch_tokens=64):
    embedded = encode(
        encoder, LetterTokenizer(), texts, side,
        precision=precision, batch_tokens=batch_tokens, device=CPU, description="toy queries",
    )  # fmt: skip
    assert embedded.cut == sum(text in ("short", "a") for text in texts), "each text counts, equal ones too"
    return embedded.embedding_ND


@pytest.mark.parametrize("batch_tokens", [1, 20, 64, 10_000])
def test_batches_equal_one_text_at_a_time(batch_tokens):
    encoder = RandomEncoder()
    expected_ND = np.concatenate([run(encoder, [text]) for text in TEXTS])
    embedding_ND = run(encoder, TEXTS, batch_tokens=batch_tokens)
    assert embedding_ND.dtype == np.float32
    assert embedding_ND.shape == (len(TEXTS), 8)
    np.testing.assert_allclose(embedding_ND, expected_ND, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("part", [1, 2, 4])
def test_parts_equal_the_whole(monkeypatch, part):
    encoder, tokenised = RandomEncoder(), []
    expected_ND = run(encoder, TEXTS)
    whole = LetterTokenizer.encode_marked
    monkeypatch.setattr(LetterTokenizer, "encode_marked", lambda *words: tokenised.append(words[1]) or whole(*words))
    monkeypatch.setattr(encode_module, "_PART", part)
    embedding_ND = run(encoder, TEXTS)
    np.testing.assert_allclose(embedding_ND, expected_ND, rtol=1e-5, atol=1e-6)
    lengths = [sorted(map(len, texts)) for texts in tokenised if texts]
    assert all(len(one) <= part for one in lengths)
    assert all(after[-1] <= before[0] for before, after in itertools.pairwise(lengths)), "longest first over the whole"


def test_equal_texts_are_encoded_once_and_share_an_embedding():
    encoder = RandomEncoder()
    embedding_ND = run(encoder, TEXTS)
    assert sum(rows for rows, _ in encoder.shapes) == len(set(TEXTS)) == 6
    np.testing.assert_array_equal(embedding_ND[1], embedding_ND[3])
    np.testing.assert_array_equal(embedding_ND[1], embedding_ND[7])


def test_sides_differ():
    assert not np.allclose(run(RandomEncoder(), TEXTS, "query"), run(RandomEncoder(), TEXTS, "passage"))


def test_batches_hold_the_token_budget():
    encoder = RandomEncoder()
    run(encoder, TEXTS, batch_tokens=20)
    assert encoder.shapes == [(1, 36), (1, 15), (3, 6), (1, 1)]


def test_token_batches_cover_every_text_once_longest_first():
    lengths = np.random.default_rng(0).integers(1, 129, 500).tolist()
    batches = list(token_batches(lengths, 1000))
    flat = [position for batch in batches for position in batch]
    assert sorted(flat) == list(range(500))
    assert [lengths[position] for position in flat] == sorted(lengths, reverse=True)
    assert all(len(batch) * lengths[batch[0]] <= 1000 for batch in batches)
    assert all(len(batch) * lengths[batch[0]] > 1000 - lengths[batch[0]] for batch in batches[:-1])


def test_bf16_is_an_approximation_of_fp32_in_float32():
    full, half = run(RandomEncoder(), TEXTS), run(RandomEncoder(), TEXTS, precision="bf16")
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, full, atol=0.02)
    assert not np.array_equal(half, full)


def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(MixlingualError, match=r"evaluation\.precision=fp16 on a CPU; use fp32 or bf16"):
        run(RandomEncoder(), TEXTS, precision="fp16")


def test_embeddings_that_are_not_finite_are_refused():
    encoder = RandomEncoder()
    with torch.no_grad():
        encoder.table.weight[3 + ord("h") % 50] = float("nan")
    with pytest.raises(MixlingualError, match=r"toy queries: 5 of 8 embeddings .* text 0 \('a long text"):
        run(encoder, TEXTS)


SENTENCES = ["Der Fluss fließt durch die Stadt.", "The river flows through the city."]
SCRATCH = ScratchConfig(layers=1, hidden=32, heads=2, intermediate=64, vocabulary=400)


def loaded(**options):
    return load_encoder(ModelConfig(scratch=SCRATCH, **options), lambda: SENTENCES, seed=0)


def test_the_fingerprint_sees_all_that_decides_an_embedding():
    encoder, tokenizer = loaded()
    base = encoder_fingerprint(encoder, tokenizer)
    assert encoder_fingerprint(*loaded()) == base
    options = ({"pooling": "cls"}, {"normalize": False}, {"query_prefix": "q: "}, {"max_query_length": 9})
    prints = [encoder_fingerprint(*loaded(**option)) for option in options]
    prints.append(encoder_fingerprint(encoder, TextTokenizer(train_tokenizer(SENTENCES[:1], 400), ModelConfig())))
    encoder.backbone.config.layer_norm_eps *= 10
    prints.append(encoder_fingerprint(encoder, tokenizer))
    with torch.no_grad():
        next(encoder.parameters())[0, 0] += 1e-6
    prints.append(encoder_fingerprint(encoder, tokenizer))
    assert len({base, *prints}) == 8


def test_the_fingerprint_of_a_copy_is_that_of_the_original(tmp_path):
    encoder, tokenizer = loaded()
    save_encoder(encoder, tokenizer, tmp_path / "copy")
    copy = load_encoder(ModelConfig(checkpoint=str(tmp_path / "copy")), None, seed=1)
    assert encoder_fingerprint(*copy) == encoder_fingerprint(encoder, tokenizer)
