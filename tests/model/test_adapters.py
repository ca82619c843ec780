"""With LoRA nothing changes at first, only adapters train, and the saved folder is a plain encoder."""

import copy
import sys

import pytest
import torch
from training_fixture import prepare, train
from transformers import AutoModel

from mixlingual.config.schema import LoraConfig, ModelConfig
from mixlingual.model.encoder import parameter_counts
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder
from mixlingual.model.tokenizer import pad
from mixlingual.records import MixlingualError

ARCHITECTURES = ["bert", "xlm_roberta", "xlm_roberta_xl", "modernbert", "distilbert"]


@torch.no_grad()
def embed(encoder, tokenizer, texts):
    return encoder.eval()(*pad(tokenizer.encode(texts, "query"), tokenizer.pad_id))


def trained_names(encoder):
    return [name for name, weight in encoder.named_parameters() if weight.requires_grad]


def shake(encoder):
    """Moves what is trained, as training would."""
    torch.manual_seed(3)
    for weight in encoder.parameters():
        if weight.requires_grad:
            weight.data += 0.1 * torch.randn_like(weight)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_adapters_start_at_nothing_and_end_in_a_plain_folder(checkpoint, sentences, tmp_path, architecture):
    folder = str(checkpoint(architecture))
    base, tokenizer = load_encoder(ModelConfig(checkpoint=folder), None, seed=0)
    encoder, _ = load_encoder(ModelConfig(checkpoint=folder, lora=LoraConfig(rank=4)), None, seed=0)
    texts = list(sentences.values())
    start = embed(base, tokenizer, texts)
    assert torch.equal(embed(encoder, tokenizer, texts), start)
    assert trained_names(encoder)
    assert all("lora_" in name for name in trained_names(encoder))
    assert parameter_counts(encoder) == parameter_counts(base)

    shake(encoder)
    adapted = embed(encoder, tokenizer, texts)
    assert (adapted - start).abs().max() > 0.01
    before = copy.deepcopy(encoder.state_dict())
    save_encoder(encoder, tokenizer, tmp_path / "model")
    assert all(torch.equal(weight, before[name]) for name, weight in encoder.state_dict().items())
    loaded = load_encoder(ModelConfig(checkpoint=str(tmp_path / "model")), None, seed=1)
    torch.testing.assert_close(embed(*loaded, texts), adapted, rtol=1e-4, atol=1e-5)
    plain = AutoModel.from_pretrained(tmp_path / "model").state_dict()
    assert {name for name in plain if "pooler" not in name} == set(base.backbone.state_dict())


def test_only_named_layers_are_adapted(checkpoint):
    config = ModelConfig(checkpoint=str(checkpoint()), lora=LoraConfig(rank=2, modules=["query", "output.dense"]))
    encoder, _ = load_encoder(config, None, seed=0)
    layers = {name.partition(".lora_")[0].partition("layer.")[2] for name in trained_names(encoder)}
    ends = ("attention.self.query", "attention.output.dense", "output.dense")
    assert layers == {f"{i}.{end}" for i in range(4) for end in ends}


def test_the_rank_scales_the_updates(checkpoint):
    config = ModelConfig(checkpoint=str(checkpoint()), lora=LoraConfig(rank=4, alpha=10, modules=["query"]))
    encoder, _ = load_encoder(config, None, seed=0)
    shake(encoder)
    adapted = encoder.eval().backbone.encoder.layer[0].attention.self.query
    matrix_A, matrix_B = adapted.lora_A["default"].weight, adapted.lora_B["default"].weight
    states = torch.randn(3, 16)
    expected = adapted.base_layer(states) + 10 / 4 * states @ matrix_A.T @ matrix_B.T
    torch.testing.assert_close(adapted(states), expected)


def test_names_that_no_layer_has(checkpoint):
    config = ModelConfig(checkpoint=str(checkpoint()), lora=LoraConfig(rank=2, modules=["query", "Wqkv", "uery"]))
    expected = r"^model\.lora\.modules: BertModel has no linear layer named Wqkv, uery; choose from dense, key, query,"
    with pytest.raises(MixlingualError, match=expected):
        load_encoder(config, None, seed=0)


def test_without_peft(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    config = ModelConfig(checkpoint=str(checkpoint()), lora=LoraConfig(rank=2))
    with pytest.raises(MixlingualError, match=r"^model\.lora\.rank=2 needs the package peft, .*'mixlingual\[lora\]'"):
        load_encoder(config, None, seed=0)


LORA = {"lora": LoraConfig(rank=4, dropout=0.1), "learn_temperature": True}


@torch.no_grad()
def embedded(encoder, batch):
    return encoder.eval().embed(batch["token_ids"], batch["lengths"])


def test_training_moves_adapters_and_temperature_alone(tmp_path):
    encoder, data, batches, config = prepare(model=LORA)
    before = copy.deepcopy(encoder)
    losses = train(tmp_path, encoder, data, config).losses
    named = dict(before.named_parameters())
    moved = [name for name, weight in encoder.named_parameters() if not torch.equal(weight, named[name])]
    assert moved == trained_names(encoder)
    assert "log_temperature" in moved
    assert sum(losses[-8:]) < sum(losses[:8])
    assert (embedded(encoder, batches[0]) - embedded(before, batches[0])).abs().max() > 0.01
