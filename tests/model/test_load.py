"""Encoders are loaded from folders, cut to layers or made at random; every mistake has one clear message."""

import copy
import dataclasses
import json

import huggingface_hub
import pytest
import torch
import transformers
from torch import nn
from transformers import AutoModel, FNetConfig

from mixlingual.config.schema import ModelConfig, ScratchConfig
from mixlingual.model import attention
from mixlingual.model.attention import NAME
from mixlingual.model.encoder import parameter_counts
from mixlingual.model.export import save_encoder
from mixlingual.model.hub import read_architecture, set_attention_dropout
from mixlingual.model.load import keep_layers, load_encoder
from mixlingual.records import MixlingualError

ARCHITECTURES = ["bert", "xlm_roberta", "xlm_roberta_xl", "modernbert", "distilbert"]
SCRATCH = ScratchConfig(layers=2, hidden=16, heads=2, intermediate=32, vocabulary=300)
INPUT_IDS_BT = torch.randint(4, 260, (3, 17), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def states(backbone):
    return backbone.eval()(input_ids=INPUT_IDS_BT, attention_mask=torch.ones_like(INPUT_IDS_BT)).last_hidden_state


def alter(path, **settings):
    """Changes settings in a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def without_layers(backbone, kept):
    """Takes the other layers out of the running model: the slow reference."""
    reference = copy.deepcopy(backbone)
    for module in list(reference.modules()):
        for name, layers in list(module.named_children()):
            if isinstance(layers, nn.ModuleList) and len(layers) == 4:
                setattr(module, name, nn.ModuleList(layers[i] for i in kept))
    return reference


@pytest.mark.parametrize(
    ("architecture", "kept"), [*((name, [0, 3]) for name in ARCHITECTURES), ("bert", [0]), ("modernbert", [0, 1, 2, 3])]
)
def test_kept_layers_compute_what_they_did(tiny_backbone, architecture, kept):
    backbone = tiny_backbone(architecture)
    cut = keep_layers(backbone, kept)
    assert cut.config.num_hidden_layers == len(kept)
    assert torch.equal(states(cut), states(without_layers(backbone, kept)))
    assert torch.equal(states(cut), states(backbone)) == (len(kept) == 4)


def test_modernbert_layers_keep_their_kind_of_attention(tiny_backbone):
    backbone = tiny_backbone("modernbert")
    assert backbone.config.layer_types == ["full_attention", *["sliding_attention"] * 2, "full_attention"]
    cut = keep_layers(backbone, [0, 2, 3])
    assert cut.config.layer_types == ["full_attention", "sliding_attention", "full_attention"]
    assert [layer.attention_type for layer in cut.layers] == cut.config.layer_types
    assert [layer.layer_idx for layer in cut.layers] == [0, 1, 2]


def test_layers_out_of_range(checkpoint):
    config = ModelConfig(checkpoint=str(checkpoint()), layers=[0, 4])
    with pytest.raises(MixlingualError, match=r"^model\.layers: got \[0, 4\].* has 4 layers; allowed: 0 to 3\."):
        load_encoder(config, None, seed=0)


def test_layers_that_cannot_be_found(tiny_backbone):
    backbone = tiny_backbone()
    backbone.config.num_hidden_layers = 7
    with pytest.raises(MixlingualError, match=r"BertModel has no list of its 7 layers .* Set model\.layers=null"):
        keep_layers(backbone, [0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pretrained_weights_are_read_as_float32_without_pooler(checkpoint, tiny_backbone, architecture):
    folder = checkpoint(architecture, dtype=torch.bfloat16)
    encoder, tokenizer = load_encoder(ModelConfig(checkpoint=str(folder)), None, seed=0)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert not [name for name, _ in encoder.named_parameters() if "pooler" in name]
    assert encoder.backbone.config._attn_implementation == NAME
    assert encoder.training, "Lightning keeps the mode it is given, and dropout must act"
    assert encoder.backbone.training
    assert tokenizer.hf.padding_side == "right"
    written = tiny_backbone(architecture).state_dict()
    for name, weight in encoder.backbone.state_dict().items():
        assert torch.equal(weight, written[name].bfloat16().float()), name


def test_every_trained_weight_gets_a_gradient(checkpoint):
    encoder, _ = load_encoder(ModelConfig(checkpoint=str(checkpoint()), learn_temperature=True), None, seed=0)
    embedding_BD = encoder(INPUT_IDS_BT, torch.ones_like(INPUT_IDS_BT))
    (embedding_BD[0] @ embedding_BD[1] / encoder.temperature).backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


def test_token_embeddings_can_be_frozen(checkpoint):
    folder = str(checkpoint())
    for train in (True, False):
        encoder, _ = load_encoder(ModelConfig(checkpoint=folder, train_embeddings=train), None, seed=0)
        frozen = [name for name, parameter in encoder.named_parameters() if not parameter.requires_grad]
        assert frozen == ([] if train else ["backbone.embeddings.word_embeddings.weight"])


ATTENTION_DROPOUT = {
    "bert": "attention_probs_dropout_prob",
    "xlm_roberta": "attention_probs_dropout_prob",
    "xlm_roberta_xl": "attention_probs_dropout_prob",
    "modernbert": "attention_dropout",
    "distilbert": "attention_dropout",
}


@pytest.fixture
def attention_dropouts(monkeypatch):
    """Lists the probabilities with which attention weights were dropped, in the order of the layers."""
    used = []
    original = attention.attend

    def recording(*states, dropout=0.0, **extra):
        used.append(dropout)
        return original(*states, dropout=dropout, **extra)

    attention.AttentionInterface.register(NAME, recording)
    yield used
    attention.AttentionInterface.register(NAME, original)


@pytest.mark.parametrize(
    ("architecture", "wanted", "expected"),
    [*((name, 0.5, 0.5) for name in ARCHITECTURES), ("bert", None, 0.25), ("modernbert", 0.0, 0.0)],
)
def test_attention_dropout_is_the_one_that_layers_use(
    checkpoint, attention_dropouts, tmp_path, architecture, wanted, expected
):
    folder = checkpoint(architecture)
    alter(folder / "config.json", **{ATTENTION_DROPOUT[architecture]: 0.25})
    encoder, tokenizer = load_encoder(ModelConfig(checkpoint=str(folder), attention_dropout=wanted), None, seed=0)
    encoder(INPUT_IDS_BT, torch.ones_like(INPUT_IDS_BT))
    assert attention_dropouts == [expected] * 4
    attention_dropouts.clear()
    encoder.eval()(INPUT_IDS_BT, torch.ones_like(INPUT_IDS_BT))
    assert attention_dropouts == [0.0] * 4
    save_encoder(encoder, tokenizer, tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert saved[ATTENTION_DROPOUT[architecture]] == expected


def test_attention_dropout_from_scratch(attention_dropouts):
    scratch = dataclasses.replace(SCRATCH, dropout=0.25)
    for wanted, expected in ((None, 0.25), (0.0, 0.0)):
        config = ModelConfig(scratch=scratch, attention_dropout=wanted)
        encoder, _ = load_encoder(config, lambda: ["a b c"] * 5, seed=0)
        encoder(INPUT_IDS_BT % 100, torch.ones_like(INPUT_IDS_BT))
        assert attention_dropouts == [expected] * 2
        assert encoder.backbone.config.hidden_dropout_prob == 0.25
        attention_dropouts.clear()


def test_attention_dropout_of_an_encoder_that_has_none():
    expected = r"^model\.attention_dropout: fnet encoders have no dropout of attention weights\. Set it to null"
    with pytest.raises(MixlingualError, match=expected):
        set_attention_dropout(FNetConfig(), 0.1)


def test_unreachable_hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    expected = r"no folder of this name, and the Hugging Face hub did not give it: .* run `hf download nobody/nothing "
    with pytest.raises(MixlingualError, match=expected) as caught:
        load_encoder(ModelConfig(checkpoint="nobody/nothing"), None, seed=0)
    assert str(caught.value).count("\n") == 0


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def as_pickle(folder):
    torch.save(AutoModel.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            lambda folder: [file.unlink() for file in folder.glob("tokenizer*")],
            r"it holds no tokenizer\. Add its tokenizer\.json\.",
        ),
        (
            lambda folder: alter(folder / "tokenizer_config.json", pad_token=None),
            r"is not a fast tokenizer with a padding token",
        ),
        (as_pickle, r"cannot be read .* no model\.safetensors\. If you trust its weights"),
        (lambda folder: halve(folder / "model.safetensors"), r"the folder cannot be read as a Hugging Face encoder"),
        (
            lambda folder: alter(folder / "config.json", num_hidden_layers=5),
            r"16 weights of its architecture are not in it, encoder\.layer\.4\.",
        ),
    ],
    ids=["no tokenizer", "no padding token", "no safetensors", "damaged weights", "weights missing"],
)
def test_a_folder_that_is_not_whole(checkpoint, damage, expected):
    folder = checkpoint()
    damage(folder)
    with pytest.raises(MixlingualError, match=expected):
        load_encoder(ModelConfig(checkpoint=str(folder)), None, seed=0)


@pytest.mark.parametrize("kind", ["T5Model", "T5EncoderModel", "BartModel", "MT5EncoderModel"])
def test_encoders_with_decoders_are_refused_by_name(tokenizer_hf, tmp_path, kind):
    sizes = {"d_model": 16, "vocab_size": 400, "pad_token_id": 1, "decoder_start_token_id": 0}
    sizes |= (
        {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
        if kind == "BartModel"
        else {"num_layers": 1, "d_ff": 16, "d_kv": 8, "num_heads": 2}
    )
    model = getattr(transformers, kind)
    model(model.config_class(**sizes)).save_pretrained(tmp_path)
    tokenizer_hf.save_pretrained(tmp_path)
    message = rf"{model.config_class.model_type} models are an encoder with a decoder, which cannot be loaded"
    config = ModelConfig(checkpoint=str(tmp_path))
    with pytest.raises(MixlingualError, match=message):
        load_encoder(config, None, seed=0)
    with pytest.raises(MixlingualError, match=message):
        read_architecture(config)


def test_a_tokenizer_larger_than_the_embedding_table_is_refused(checkpoint, tokenizer_hf):
    folder = checkpoint()
    tokenizer_hf.add_tokens(["newcomer"])
    tokenizer_hf.save_pretrained(folder)
    for read in (read_architecture, lambda config: load_encoder(config, None, seed=0)):
        with pytest.raises(
            MixlingualError, match=r"tokenizer gives ids up to 400, but its embedding table has 400 rows"
        ):
            read(ModelConfig(checkpoint=str(folder)))


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"model": {"type": "BPE"}}'])
def test_an_empty_tokenizer_is_refused(checkpoint, content):
    folder = checkpoint()
    (folder / "tokenizer.json").write_text(content)
    for read in (read_architecture, lambda config: load_encoder(config, None, seed=0)):
        with pytest.raises(MixlingualError, match=r"folder cannot be read as a Hugging Face|it holds no tokenizer"):
            read(ModelConfig(checkpoint=str(folder)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_found_when_they_are_loaded(checkpoint, tiny_backbone, value):
    folder, backbone = checkpoint(), tiny_backbone()
    backbone.encoder.layer[1].output.dense.weight.data[2, 3] = value
    backbone.save_pretrained(folder)
    with pytest.raises(
        MixlingualError, match=r"1 of its weights hold NaN or infinity, encoder\.layer\.1\.output\.dense"
    ):
        load_encoder(ModelConfig(checkpoint=str(folder)), None, seed=0)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_git_lfs_pointers_are_named(checkpoint, name):
    folder = checkpoint()
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(MixlingualError, match=rf"{name}, line 1: the file is a Git LFS pointer"):
        load_encoder(ModelConfig(checkpoint=str(folder)), None, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "model.pooling: got 'max'; allowed: mean, cls, last"),
        ({"normalize": "maybe"}, "model.normalize: "),
        ({"max_query_length": 1}, "model.max_query_length: got 1; the smallest allowed is 4"),
        ({"layers": [-1]}, r"model.layers\[0\]: got -1"),
    ],
)
def test_saved_options_that_cannot_be_are_refused(checkpoint, options, message):
    folder = checkpoint()
    encoder, tokenizer = load_encoder(ModelConfig(checkpoint=str(folder)), None, seed=0)
    save_encoder(encoder, tokenizer, folder)
    path = folder / "mixlingual.json"
    path.write_text("\ufeff" + path.read_text(), encoding="utf-8")
    load_encoder(ModelConfig(checkpoint=str(folder)), None, seed=0)
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8-sig")) | options))
    with pytest.raises(MixlingualError, match=rf"mixlingual\.json holds options that cannot be; .*(?s:.)*{message}"):
        load_encoder(ModelConfig(checkpoint=str(folder)), None, seed=0)


@pytest.mark.parametrize(("architecture", "usable"), [("bert", 130), ("xlm_roberta", 128), ("distilbert", 130)])
def test_length_limits_must_fit_the_positions(checkpoint, architecture, usable):
    folder = str(checkpoint(architecture))
    within = ModelConfig(checkpoint=folder, max_query_length=usable, max_passage_length=usable)
    encoder, _ = load_encoder(within, None, seed=0)
    longest_BT = torch.full((1, usable), 5)
    assert encoder(longest_BT, torch.ones_like(longest_BT)).isfinite().all()
    beyond = ModelConfig(checkpoint=folder, max_query_length=usable, max_passage_length=usable + 1)
    with pytest.raises(MixlingualError, match=rf"^model\.max_passage_length: got {usable + 1}, .* up to {usable}\."):
        load_encoder(beyond, None, seed=0)


def scratch_weights(seed, **options):
    config = ModelConfig(scratch=SCRATCH, max_query_length=16, max_passage_length=40, **options)
    encoder, _ = load_encoder(config, lambda: ["a b c", "b c d"] * 5, seed)
    return torch.cat([parameter.detach().flatten() for parameter in encoder.parameters()])


def test_random_weights_depend_on_the_seed_only():
    torch.manual_seed(1)
    first = scratch_weights(seed=7)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(scratch_weights(seed=7), first)
    assert torch.equal(torch.get_rng_state(), before), "the program's random state is left alone"
    assert not torch.equal(scratch_weights(seed=8), first)
    assert torch.equal(scratch_weights(seed=7, pooling="cls", temperature=0.5), first)


def test_scratch_geometry():
    config = ModelConfig(scratch=SCRATCH, max_query_length=16, max_passage_length=40)
    encoder, tokenizer = load_encoder(config, lambda: ["a b c"] * 5, seed=0)
    geometry = encoder.backbone.config
    assert (geometry.num_hidden_layers, geometry.hidden_size, geometry.intermediate_size) == (2, 16, 32)
    assert geometry.max_position_embeddings == 40
    assert geometry.hidden_dropout_prob == geometry.attention_probs_dropout_prob == 0.0
    assert geometry.vocab_size == len(tokenizer.hf)
    assert geometry.pad_token_id == tokenizer.pad_id == 1
    assert parameter_counts(encoder)["non_embedding"] == 2 * 16 + 2 * (4 * (16 * 16 + 16) + 2 * 16 * 32 + 48 + 64)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ModelConfig(), r"^model\.checkpoint is null, but there are no training texts"),
        (ModelConfig(checkpoint="./nowhere"), r"^model\.checkpoint=\./nowhere: there is no such folder\."),
    ],
)
def test_what_there_is_nothing_to_load_from(config, expected):
    with pytest.raises(MixlingualError, match=expected):
        load_encoder(config, None, seed=0)
