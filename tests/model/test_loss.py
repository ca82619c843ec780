"""InfoNCE against a loop over its definition, and the mask of same-item passages."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from mixlingual.model.loss import info_nce


def slow_info_nce(query_BD, passage_ND, query_item_B, passage_item_N, temperature):
    losses = []
    for i, query in enumerate(query_BD):
        scores = {}
        for j, passage in enumerate(passage_ND):
            if j == i or passage_item_N[j] != query_item_B[i]:
                scores[j] = float((query * passage).sum()) / temperature
        losses.append(-math.log(math.exp(scores[i]) / sum(math.exp(score) for score in scores.values())))
    return torch.tensor(losses, dtype=torch.float32)


def embeddings(count, seed):
    return normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize("temperature", [0.02, 0.5])
@pytest.mark.parametrize("extra", [0, 5])
def test_equals_the_definition(temperature, extra):
    query_BD, passage_ND = embeddings(6, seed=1), embeddings(6 + extra, seed=2)
    query_item_B = torch.tensor([4, 4, 9, 1, 2, 4])
    passage_item_N = torch.cat([query_item_B, torch.tensor([9, 4, 50, 51, 4])[:extra]])
    expected_B = slow_info_nce(query_BD, passage_ND, query_item_B, passage_item_N, temperature)
    loss_B = info_nce(query_BD, passage_ND, query_item_B, passage_item_N, temperature)
    torch.testing.assert_close(loss_B, expected_B, rtol=1e-4, atol=1e-5)


def gradient_on_translation(item_of_translation):
    """Gradient of the loss of query 0 on passage 1, which says the same as its positive."""
    meaning = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    passage_ND = meaning.clone().requires_grad_()
    item = torch.tensor([0, item_of_translation, 2])
    info_nce(meaning, passage_ND, item, item, temperature=0.1)[0].backward()
    return meaning[0], passage_ND.grad[1]


def test_without_the_mask_translations_would_be_pushed_apart():
    query_D, gradient_D = gradient_on_translation(item_of_translation=1)
    assert query_D @ gradient_D > 1.0, "a gradient step lowers the score of the translation"


def test_translations_are_not_pushed_apart():
    _, gradient_D = gradient_on_translation(item_of_translation=0)
    assert torch.equal(gradient_D, torch.zeros(2))


def test_the_positive_stays_even_if_every_passage_is_of_its_item():
    item = torch.zeros(4, dtype=torch.int64)
    loss_B = info_nce(embeddings(4, 1), embeddings(4, 2), item, item, 0.02)
    assert torch.equal(loss_B, torch.zeros(4))


def test_softmax_is_float32_under_autocast():
    query_BD, passage_ND, item = embeddings(16, 1), embeddings(16, 2), torch.arange(16)
    expected_B = info_nce(query_BD, passage_ND, item, item, 0.02)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss_B = info_nce(query_BD, passage_ND, item, item, 0.02)
    assert loss_B.dtype == torch.float32
    assert torch.equal(loss_B, expected_B)


def test_bfloat16_embeddings_are_scored_in_float32():
    query_BD, passage_ND, item = embeddings(16, 1).bfloat16(), embeddings(16, 2).bfloat16(), torch.arange(16)
    loss_B = info_nce(query_BD, passage_ND, item, item, 0.02)
    assert torch.equal(loss_B, info_nce(query_BD.float(), passage_ND.float(), item, item, 0.02))


def test_temperature_gets_a_gradient():
    temperature = torch.tensor(0.1, requires_grad=True)
    item = torch.arange(5)
    info_nce(embeddings(5, 1), embeddings(5, 2), item, item, temperature).mean().backward()
    assert temperature.grad.abs() > 0
