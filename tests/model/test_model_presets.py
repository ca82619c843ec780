"""Every size in conf/model is valid, says what it is, and states its true number of parameters."""

import dataclasses
import re

import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoModel, BertConfig, ModernBertConfig, XLMRobertaConfig, XLMRobertaXLConfig

from mixlingual.config.checks import to_config
from mixlingual.config.schema import ModelConfig, TrainConfig, TrainerConfig
from mixlingual.grid.hydra import CONF_DIR
from mixlingual.model.encoder import DualEncoder, parameter_counts

PRESETS = sorted((CONF_DIR / "model").glob("*.yaml"))

XLMR = {"type_vocab_size": 1, "max_position_embeddings": 514}
XL = {"hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32, "intermediate_size": 10240}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
PUBLISHED = {
    "xlmr_base": XLMRobertaConfig(vocab_size=250002, **XLMR),
    "xlmr_large": XLMRobertaConfig(vocab_size=250002, **XLMR, **LARGE),
    "xlmr_xl": XLMRobertaXLConfig(vocab_size=250880, **XLMR, **XL),
    "labse": BertConfig(vocab_size=501153),
    "mbert": BertConfig(vocab_size=119547),
    "me5_small": BertConfig(vocab_size=250037, hidden_size=384, intermediate_size=1536),
    "me5_small_l2": BertConfig(vocab_size=250037, hidden_size=384, intermediate_size=1536, num_hidden_layers=2),
    "me5_small_l3": BertConfig(vocab_size=250037, hidden_size=384, intermediate_size=1536, num_hidden_layers=3),
    "me5_small_l6": BertConfig(vocab_size=250037, hidden_size=384, intermediate_size=1536, num_hidden_layers=6),
    "me5_base": XLMRobertaConfig(vocab_size=250002, **XLMR),
    "me5_large": XLMRobertaConfig(vocab_size=250002, **XLMR, **LARGE),
    "mmbert_small": ModernBertConfig(vocab_size=256000, hidden_size=384, num_attention_heads=6, pad_token_id=0),
    "mmbert_base": ModernBertConfig(vocab_size=256000, pad_token_id=0),
}
PUBLISHED |= {f"me5_student_l{layers}": PUBLISHED[f"me5_small_l{layers}"] for layers in (2, 3, 6)}
"""Each checkpoint was published with this geometry in its config.json."""


def model_of(preset):
    plain = OmegaConf.create(dataclasses.asdict(TrainConfig(trainer=TrainerConfig(steps=1))))
    return to_config(TrainConfig, OmegaConf.merge(plain, {"model": OmegaConf.load(preset)})).model


def geometry(model):
    if model.checkpoint is not None:
        return PUBLISHED[model.name]
    return BertConfig(
        vocab_size=model.scratch.vocabulary,
        hidden_size=model.scratch.hidden,
        num_hidden_layers=model.scratch.layers,
        num_attention_heads=model.scratch.heads,
        intermediate_size=model.scratch.intermediate,
        max_position_embeddings=max(model.max_query_length, model.max_passage_length),
        type_vocab_size=1,
    )


def leaves(node, prefix=""):
    for key, value in node.items():
        yield from leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]


def test_all_sizes_are_there():
    scratch = [f"scratch_{size}" for size in ("xs", "s", "m", "l")]
    assert {path.stem for path in PRESETS} == {*PUBLISHED, *scratch}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_named_by_its_file_and_holds_differences_only(preset):
    assert model_of(preset).name == preset.stem
    defaults = dict(leaves(dataclasses.asdict(ModelConfig())))
    for key, value in leaves(OmegaConf.to_container(OmegaConf.load(preset))):
        assert defaults[key] != value, f"{key} restates its default"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_the_comment_states_the_size(preset):
    comment = "".join(line for line in preset.read_text().splitlines(keepends=True) if line.startswith("#"))
    stated = re.search(r"(?P<total>[\d.]+)M parameters, (?P<rest>[\d.]+)M non-embedding", comment)
    assert 1 <= comment.count("\n") <= 3
    with torch.device("meta"):
        backbone = AutoModel.from_config(geometry(model_of(preset)))
    backbone.pooler = None
    encoder = DualEncoder(backbone, "mean", normalize=True, temperature=0.02, learn_temperature=False)
    counts = parameter_counts(encoder)
    for number, count in zip(stated.groups(), (counts["total"], counts["non_embedding"])):
        digits = len(number.partition(".")[2])
        assert f"{count / 1e6:.{digits}f}" == number
