"""Attention gives the same for packed and padded texts, and for cheap dropout as PyTorch's does without."""

import pytest
import torch
from torch.nn import functional
from transformers import (
    AutoModel,
    BertConfig,
    GPT2Config,
    ModernBertConfig,
    RobertaConfig,
    XLMRobertaConfig,
    XLMRobertaXLConfig,
)

from mixlingual.model import attention, dropout
from mixlingual.model import encoder as encoder_module
from mixlingual.model.attention import NAME, PACKABLE, attend, use_attention
from mixlingual.model.encoder import DualEncoder

LENGTHS = torch.tensor([9, 7, 7, 3, 2])
SHAPE = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def one_text_at_a_time(query_THD, key_THD, value_THD, ends, longest, scale, dropout, window):
    """Attends text by text: the slow reference of a varlen kernel."""
    assert dropout == 0
    assert longest == max(ends.diff())
    outputs = []
    for start, stop in zip(ends[:-1].tolist(), ends[1:].tolist()):
        query, key, value = (part[start:stop].transpose(0, 1) for part in (query_THD, key_THD, value_THD))
        place = torch.arange(stop - start)
        seen = None if window is None else (place - place[:, None]).abs() <= window
        outputs.append(functional.scaled_dot_product_attention(query, key, value, seen, scale=scale).transpose(0, 1))
    return torch.cat(outputs)


def encoder(config, pooling="mean"):
    torch.manual_seed(0)
    if config is ModernBertConfig:
        own = SHAPE | {"local_attention": 6, "global_attn_every_n_layers": 2, "max_position_embeddings": 40}
        backbone = AutoModel.from_config(config(**own, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3))
    else:
        backbone = AutoModel.from_config(config(**SHAPE), add_pooling_layer=False)
    for name, weight in backbone.named_parameters():
        if "position" in name:
            torch.nn.init.normal_(weight)  # a wrong position must show
    use_attention(backbone)
    return DualEncoder(backbone, pooling, normalize=True, temperature=0.1, learn_temperature=False)


def embeddings_and_gradients(model, token_ids):
    model.zero_grad()
    embedding_BD = model.embed(token_ids, LENGTHS)
    (embedding_BD * torch.linspace(-1, 1, embedding_BD.numel()).view_as(embedding_BD)).sum().backward()
    return embedding_BD.detach(), {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        (BertConfig, "mean"),
        (RobertaConfig, "cls"),
        (XLMRobertaConfig, "last"),
        (XLMRobertaXLConfig, "mean"),
        (ModernBertConfig, "mean"),
    ],
)
def test_packed_texts_give_what_padded_ones_give(config, pooling, monkeypatch):
    assert config.model_type in PACKABLE
    model = encoder(config, pooling)
    token_ids = torch.randint(5, 60, (int(LENGTHS.sum()),), dtype=torch.int32)
    token_ids[[2, 9, 27]] = 1  # texts that hold the padding token literally: within, first and last
    padded, padded_gradients = embeddings_and_gradients(model, token_ids)
    monkeypatch.setattr(attention, "varlen_kernel", lambda dropout: one_text_at_a_time)
    monkeypatch.setattr(DualEncoder, "packs", lambda self, device: True)
    packed, packed_gradients = embeddings_and_gradients(model, token_ids)
    assert torch.allclose(packed, padded, atol=1e-6)
    assert packed_gradients.keys() == padded_gradients.keys()
    for name, gradient in padded_gradients.items():
        if gradient is not None:
            assert torch.allclose(packed_gradients[name], gradient, atol=1e-5), name


def test_texts_are_packed_only_where_a_kernel_takes_them(monkeypatch):
    model = encoder(BertConfig).train()
    asked = []
    monkeypatch.setattr(encoder_module, "varlen_kernel", lambda dropout: asked.append(dropout) or one_text_at_a_time)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    model.backbone.config.attention_probs_dropout_prob = 0.3
    assert model.packs(torch.device("cuda"))
    assert not model.packs(torch.device("cpu"))
    model.eval()
    assert model.packs(torch.device("cuda"))
    assert asked == [0.3, 0.0]
    model.backbone.config.hidden_size = 24
    assert not model.packs(torch.device("cuda")), "heads of 12 numbers"
    model.backbone.config.hidden_size = 16
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not model.packs(torch.device("cuda")), "a GPU before Ampere"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(encoder_module, "varlen_kernel", lambda dropout: None)
    assert "model.attention_dropout=0" in model.why_padded(torch.device("cuda"))
    model.backbone.config.model_type = "something-new"
    assert not model.packs(torch.device("cuda"))


def test_a_packed_row_of_an_encoder_with_windows_has_no_mask_as_large_as_its_square(monkeypatch):
    model = encoder(ModernBertConfig)
    masks = []
    monkeypatch.setattr(attention, "varlen_kernel", lambda dropout: one_text_at_a_time)
    monkeypatch.setattr(DualEncoder, "packs", lambda self, device: True)
    for layer in model.backbone.layers:
        layer.register_forward_pre_hook(lambda _, __, named: masks.append(named["attention_mask"]), with_kwargs=True)
    model.embed(torch.randint(5, 60, (int(LENGTHS.sum()),)), LENGTHS)
    assert masks == [None, None]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernels are for CUDA devices")
@pytest.mark.parametrize("config", [BertConfig, XLMRobertaConfig])
def test_the_kernel_of_a_gpu_gives_what_padded_texts_give(config, monkeypatch):
    model = encoder(config).cuda()
    token_ids = torch.randint(5, 60, (int(LENGTHS.sum()),), dtype=torch.int32, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        assert model.packs(token_ids.device)
        packed, packed_gradients = embeddings_and_gradients(model, token_ids)
        monkeypatch.setattr(DualEncoder, "packs", lambda self, device: False)
        padded, padded_gradients = embeddings_and_gradients(model, token_ids)
    assert functional.cosine_similarity(packed, padded).min() > 0.9999
    for name, gradient in padded_gradients.items():
        if gradient is not None:
            assert torch.allclose(packed_gradients[name], gradient, atol=0.05 * gradient.abs().max()), name


@pytest.mark.parametrize("masked", [False, True])
def test_attention_with_dropout_is_pytorchs_but_for_the_dropped(masked, monkeypatch):
    monkeypatch.setattr(attention, "drop", lambda values, probability: values)
    query, key, value = torch.randn(3, 2, 4, 6, 8)
    mask = (torch.arange(6) < torch.tensor([6, 3])[:, None])[:, None, None] if masked else None
    output, _ = attend(torch.nn.Module(), query, key, value, mask, scaling=0.3, dropout=0.5)
    expected = functional.scaled_dot_product_attention(query, key, value, mask, scale=0.3).transpose(1, 2)
    assert torch.allclose(output, expected, atol=1e-6)


def test_dropped_attention_weights_take_part_in_nothing(monkeypatch):
    monkeypatch.setattr(dropout, "keep_mask", lambda shape, level: torch.arange(6).expand(shape) != 2)
    query, key, value = torch.randn(3, 1, 1, 6, 8)
    value[0, 0, 2] = 1e6
    weight = (query @ key.transpose(2, 3) * 8**-0.5).softmax(-1)
    kept = torch.tensor([0, 1, 3, 4, 5])
    expected = 2 * weight[..., kept] @ value[..., kept, :]
    output, _ = attend(torch.nn.Module(), query, key, value, None, dropout=0.5)
    assert torch.allclose(output, expected.transpose(1, 2), atol=1e-5)


def test_a_causal_encoder_stays_causal_in_training(monkeypatch):
    """Such encoders pass no mask where nothing is padded, and rely on the layer's `is_causal`."""
    backbone = AutoModel.from_config(GPT2Config(vocab_size=60, n_embd=16, n_layer=1, n_head=2, attn_pdrop=0.5))
    use_attention(backbone)
    assert backbone.config._attn_implementation == NAME
    first = []
    for last in (7, 8):
        torch.manual_seed(0)
        ids = torch.tensor([[3, 4, 5, last]])
        first.append(backbone.train()(input_ids=ids).last_hidden_state[0, 0])
    assert torch.equal(*first)
