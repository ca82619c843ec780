"""Options that spend time for memory, or the other way round, give the same gradients and leave nothing behind."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from training_fixture import config_of, prepare, train, trained, weights
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

from mixlingual.model.attention import use_attention
from mixlingual.model.dropout import use_cheap_dropout
from mixlingual.model.encoder import DualEncoder
from mixlingual.records import MixlingualError
from mixlingual.training import fit
from mixlingual.training.memory import graph_bytes, held_bytes

SIZES = {
    "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 40, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "pad_token_id": 1,
}  # fmt: skip


def encoder_of(architecture):
    torch.manual_seed(0)
    kinds = {"bert": (BertModel, BertConfig), "xlm_roberta": (XLMRobertaModel, XLMRobertaConfig)}
    model, config = kinds[architecture]
    backbone = model(config(**SIZES), add_pooling_layer=False)
    use_attention(backbone)
    use_cheap_dropout(backbone)
    return DualEncoder(backbone, "mean", normalize=True, temperature=0.1, learn_temperature=False).train()


def gradient(encoder):
    """Returns (gradient of all weights, bytes held for the backward pass) of one pass, with dropout."""
    lengths = torch.tensor([20, 17, 9, 5])
    token_ids = torch.randint(4, 100, (int(lengths.sum()),), generator=torch.Generator().manual_seed(1))

    def run():
        torch.manual_seed(2)
        return encoder.embed(token_ids, lengths)

    held, embedding_BD = held_bytes(run), run()
    (embedding_BD @ embedding_BD.detach().T)[0].logsumexp(0).backward()
    return torch.cat([weight.grad.flatten() for weight in encoder.parameters()]), held


@pytest.mark.parametrize("architecture", ["bert", "xlm_roberta"])
def test_layers_computed_again_give_the_same_bits_for_less_memory(architecture):
    plain, again = encoder_of(architecture), encoder_of(architecture)
    with fit._prepared(again, prepare(gradient_checkpointing=True)[3].trainer):
        (expected, much), (computed, little) = gradient(plain), gradient(again)
    assert torch.equal(computed, expected)
    assert little < much / 3
    assert not again.backbone.is_gradient_checkpointing


@pytest.mark.parametrize("architecture", ["bert", "xlm_roberta"])
def test_inputs_of_layers_computed_again_and_one_of_these_count(architecture):
    """Passes are sized by it: autograd alone would show neither."""
    encoder = encoder_of(architecture)
    run = partial(encoder.embed, torch.full((40,), 7), torch.tensor([20, 20]))
    plain = graph_bytes(encoder, 40, run)
    assert plain == held_bytes(run)
    with fit._prepared(encoder, prepare(gradient_checkpointing=True)[3].trainer):
        assert graph_bytes(encoder, 40, run) == plain // 4 + 4 * 40 * 4 * 32
        assert encoder.backbone.is_gradient_checkpointing


def test_training_with_layers_computed_again_ends_with_the_same_bits(tmp_path, recwarn):
    plain, again = (trained(tmp_path / str(x), gradient_checkpointing=x)[0] for x in (False, True))
    assert torch.equal(weights(again), weights(plain))
    assert not [str(warning.message) for warning in recwarn if "gradient_checkpointing_" in str(warning.message)]
    assert not again.backbone.is_gradient_checkpointing


def test_an_encoder_that_cannot_compute_its_layers_again(monkeypatch, tmp_path):
    encoder, data, _, config = prepare(gradient_checkpointing=True)
    monkeypatch.setattr(type(encoder.backbone), "supports_gradient_checkpointing", False)
    with pytest.raises(MixlingualError, match=r"BertModel cannot recompute its layers; set it to false"):
        train(tmp_path, encoder, data, config)


@pytest.mark.slow
def test_a_compiled_encoder_trains_as_one_that_is_not(tmp_path):
    (_, plain), (encoder, compiled) = (trained(tmp_path / str(x), dropout=0.0, compile=x) for x in (False, True))
    assert compiled.losses == pytest.approx(plain.losses, rel=1e-3)
    assert encoder.backbone._compiled_call_impl is None


class Sine(torch.nn.Module):
    """Stands for an encoder: PyTorch has to compile a loop for it, and does so in a second."""

    def forward(self, values):
        return values.sin() + 1


def test_compiling_without_a_compiler(monkeypatch):
    from torch._inductor import config as inductor

    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(inductor, "force_disable_caches", True)
    torch._dynamo.reset()
    encoder = SimpleNamespace(backbone=Sine())
    trainer = config_of(compile=True).trainer
    expected = r"^trainer\.compile: PyTorch cannot compile Sine here: "
    with pytest.raises(MixlingualError, match=expected), fit._prepared(encoder, trainer):
        encoder.backbone(torch.ones(2, 3))
    assert encoder.backbone._compiled_call_impl is None
