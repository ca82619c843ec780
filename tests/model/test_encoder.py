"""The dual encoder pools, normalises, ignores padding and counts its parameters."""

import pytest
import torch
from torch.nn.functional import normalize

from mixlingual.model.encoder import DualEncoder, parameter_counts
from mixlingual.model.pooling import POOLING
from mixlingual.model.tokenizer import pad


def encoder_of(backbone, *, pooling="mean", normalize=True, temperature=0.05, learn_temperature=False):
    return DualEncoder(backbone, pooling, normalize, temperature, learn_temperature).eval()


def rows(*lengths):
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(4, 260, (length,), generator=generator).tolist() for length in lengths]


@torch.no_grad()
@pytest.mark.parametrize(
    ("architecture", "pooling"),
    [
        ("bert", "mean"),
        ("xlm_roberta", "cls"),
        ("xlm_roberta_xl", "last"),
        ("modernbert", "last"),
        ("distilbert", "mean"),
    ],
)
def test_embedding_does_not_depend_on_padding(tiny_backbone, architecture, pooling):
    encoder = encoder_of(tiny_backbone(architecture), pooling=pooling)
    token_ids = rows(3, 20, 9)
    together_BD = encoder(*pad(token_ids, pad_id=1))
    alone_BD = torch.cat([encoder(*pad([ids], pad_id=1)) for ids in token_ids])
    torch.testing.assert_close(together_BD, alone_BD, rtol=1e-4, atol=1e-5)
    assert (together_BD[0] - together_BD[1]).norm() > 0.01


@torch.no_grad()
def test_normalisation_is_a_choice(tiny_backbone):
    backbone = tiny_backbone()
    batch = pad(rows(5, 8), pad_id=1)
    raw_BD = encoder_of(backbone, normalize=False)(*batch)
    assert (raw_BD.norm(dim=-1) - 1).abs().min() > 0.01
    torch.testing.assert_close(encoder_of(backbone)(*batch), normalize(raw_BD, dim=-1))
    state_BTD = backbone(*batch).last_hidden_state
    torch.testing.assert_close(raw_BD[0], state_BTD[0, :5].mean(dim=0))


@torch.no_grad()
def test_embeddings_are_float32_in_low_precision(tiny_backbone):
    embedding_BD = encoder_of(tiny_backbone().bfloat16())(*pad(rows(5, 8), pad_id=1))
    assert embedding_BD.dtype == torch.float32
    torch.testing.assert_close(embedding_BD.norm(dim=-1), torch.ones(2))


def test_fixed_temperature_is_exact_and_no_parameter(tiny_backbone):
    encoder = encoder_of(tiny_backbone(), temperature=0.02)
    assert encoder.bfloat16().temperature == torch.tensor(0.02)
    assert all(name.startswith("backbone.") for name, _ in encoder.named_parameters())


def test_learned_temperature_starts_at_its_value_and_moves(tiny_backbone):
    encoder = encoder_of(tiny_backbone(), temperature=0.02, learn_temperature=True)
    torch.testing.assert_close(encoder.temperature, torch.tensor(0.02))
    encoder.temperature.backward()
    assert encoder.log_temperature.grad > 0
    assert encoder.temperature.ndim == 0


def test_parameters_of_a_tiny_bert_by_hand(tiny_backbone):
    backbone = tiny_backbone()
    width, inner, layers, vocabulary = 16, 32, 4, backbone.config.vocab_size
    attention = 4 * (width * width + width)
    feed_forward = width * inner + inner + inner * width + width
    pooler = width * width + width
    non_embedding = 2 * width + layers * (attention + feed_forward + 2 * 2 * width) + pooler
    counts = parameter_counts(encoder_of(backbone, learn_temperature=True))
    assert counts == {"total": non_embedding + (vocabulary + 130 + 2) * width, "non_embedding": non_embedding}
    encoder = encoder_of(backbone, learn_temperature=True).requires_grad_(requires_grad=False)
    assert parameter_counts(encoder) == counts, "frozen weights count"


HIDDEN_BTD = torch.arange(2 * 4 * 3, dtype=torch.float32).reshape(2, 4, 3) ** 2


@pytest.mark.parametrize("pooling", POOLING)
def test_pooling_sees_the_real_tokens_only(pooling):
    pooled_BD = POOLING[pooling](HIDDEN_BTD, torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]))
    for row, length in enumerate((4, 2)):
        states = list(HIDDEN_BTD[row, :length])
        expected = {"mean": sum(states) / len(states), "cls": states[0], "last": states[-1]}[pooling]
        torch.testing.assert_close(pooled_BD[row], expected)
