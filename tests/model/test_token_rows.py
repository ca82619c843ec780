"""Lookups and gradients of the open rows are those of nn.Embedding."""

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from mixlingual.model.token_rows import TokenRows
from mixlingual.records import MixlingualError

IDS = torch.tensor([[5, 2, 0, 0], [9, 5, 2, 0]])


@pytest.fixture(params=[None, 0, 2])
def embedding(request):
    torch.manual_seed(1)
    embedding = nn.Embedding(11, 3, padding_idx=request.param)
    nn.init.normal_(embedding.weight)  # a padding row that is not 0 tells a wrong row from a right one
    return embedding


def test_open_rows_have_the_gradient_of_an_embedding_over_several_passes(embedding):
    table = TokenRows.from_embedding(nn.Embedding.from_pretrained(embedding.weight.detach().clone(), freeze=False))
    table.padding_idx = embedding.padding_idx
    ids_R = torch.tensor([0, 2, 4, 5, 9])
    table.open_rows(ids_R)
    for ids in IDS:
        weights = torch.randn(len(ids), 3)
        assert torch.equal(table(ids), embedding(ids))
        (table(ids) ** 2 * weights).sum().backward()
        (embedding(ids) ** 2 * weights).sum().backward()
    assert torch.equal(table.opened.rows_RD.grad, embedding.weight.grad[ids_R])
    assert embedding.weight.grad[ids_R].count_nonzero() == 3 * (4 - (embedding.padding_idx is not None))
    assert table.weight.grad is None


def test_outside_of_a_step_the_weight_is_a_constant(embedding):
    table = TokenRows.from_embedding(embedding)
    assert table.weight is embedding.weight
    assert (table.num_embeddings, table.embedding_dim, table.padding_idx) == (11, 3, embedding.padding_idx)
    assert torch.equal(table(IDS), embedding(IDS))
    assert not table(IDS).requires_grad
    table.open_rows(torch.tensor([0, 2, 5, 9]))
    assert table(IDS).requires_grad
    table.close_rows()
    assert not table(IDS).requires_grad


def test_a_token_that_is_not_open_is_an_error(embedding):
    table = TokenRows.from_embedding(embedding)
    table.open_rows(torch.tensor([0, 2, 5]))
    with pytest.raises(IndexError):
        table(IDS)


def test_a_frozen_table_opens_nothing(embedding):
    table = TokenRows.from_embedding(embedding.requires_grad_(requires_grad=False))
    table.open_rows(torch.tensor([0, 2, 5, 9]))
    assert table.opened is None
    assert torch.equal(table(IDS), embedding(IDS))


def test_another_class_is_refused():
    class Scaled(nn.Embedding):
        pass

    with pytest.raises(MixlingualError, match=r"in a Scaled.*optim.embeddings=dense"):
        TokenRows.from_embedding(Scaled(3, 2))


def test_a_backbone_with_token_rows_is_saved_and_read_as_before(tmp_path):
    config = BertConfig(
        vocab_size=23, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, pad_token_id=1
    )
    backbone = BertModel(config).eval()
    names = list(backbone.state_dict())
    before = backbone(IDS).last_hidden_state
    backbone.set_input_embeddings(TokenRows.from_embedding(backbone.get_input_embeddings()))
    assert list(backbone.state_dict()) == names
    backbone.save_pretrained(tmp_path)
    read = BertModel.from_pretrained(tmp_path).eval()
    assert torch.equal(backbone(IDS).last_hidden_state, before)
    assert torch.equal(read(IDS).last_hidden_state, before)
