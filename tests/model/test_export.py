"""The saved folder gives the same embeddings, appears whole or not at all, and other libraries read it."""

import dataclasses
import json

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from mixlingual.config.schema import ModelConfig
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder
from mixlingual.model.tokenizer import TextTokenizer, pad
from mixlingual.records import MixlingualError

OPTIONS = {"query_prefix": "query: ", "passage_prefix": "passage: ", "max_query_length": 10, "max_passage_length": 24}


@torch.no_grad()
def embed(encoder, tokenizer, texts, side="passage"):
    return encoder.eval()(*pad(tokenizer.encode(texts, side), tokenizer.pad_id))


def content(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture
def trained(checkpoint):
    return load_encoder(ModelConfig(checkpoint=str(checkpoint()), **OPTIONS), None, seed=0)


@pytest.mark.parametrize(
    ("architecture", "layers"),
    [("bert", None), ("bert", [1, 2]), ("xlm_roberta", [0, 2]), ("xlm_roberta_xl", [1, 2]), ("modernbert", None),
     ("modernbert", [0, 2]), ("modernbert", [1, 2]), ("distilbert", [0, 2])],
)  # fmt: skip
def test_saved_encoder_gives_the_same_embeddings(checkpoint, sentences, tmp_path, architecture, layers):
    config = ModelConfig(checkpoint=str(checkpoint(architecture)), layers=layers, **OPTIONS)
    encoder, tokenizer = load_encoder(config, None, seed=0)
    save_encoder(encoder, tokenizer, tmp_path / "runs" / "model")
    loaded = load_encoder(ModelConfig(checkpoint=str(tmp_path / "runs" / "model"), **OPTIONS), None, seed=1)
    texts = list(sentences.values())
    for side in ("query", "passage"):
        assert torch.equal(embed(*loaded, texts, side), embed(encoder, tokenizer, texts, side))


@torch.no_grad()
def test_the_library_alone_reads_it(trained, sentences, tmp_path):
    save_encoder(*trained, tmp_path / "model")
    hf = AutoTokenizer.from_pretrained(tmp_path / "model")
    backbone = AutoModel.from_pretrained(tmp_path / "model").eval()
    batch = hf(["passage: " + text for text in sentences.values()], padding=True, truncation=True, return_tensors="pt")
    state_BTD = backbone(**batch).last_hidden_state
    mask_BT1 = batch["attention_mask"][..., None]
    embedding_BD = torch.nn.functional.normalize((state_BTD * mask_BT1).sum(dim=1) / mask_BT1.sum(dim=1), dim=-1)
    torch.testing.assert_close(embedding_BD, embed(*trained, list(sentences.values())), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "mode", "normalize"),
    [("mean", "mean_tokens", True), ("cls", "cls_token", False), ("last", "lasttoken", True)],
)
def test_sentence_transformers_files(checkpoint, tmp_path, pooling, mode, normalize):
    config = ModelConfig(checkpoint=str(checkpoint()), pooling=pooling, normalize=normalize, **OPTIONS)
    folder = tmp_path / "model"
    save_encoder(*load_encoder(config, None, seed=0), folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")][: 2 + normalize]
    assert [(module["idx"], module["path"], module["type"]) for module in content(folder, "modules.json")] == [
        (number, path, f"sentence_transformers.models.{kind}") for number, (path, kind) in enumerate(modules)
    ]
    assert (folder / "2_Normalize").is_dir() == normalize
    general = content(folder, "config_sentence_transformers.json")
    assert general["prompts"] == {"query": "query: ", "document": "passage: "}
    assert general["similarity_fn_name"] == ("cosine" if normalize else "dot")
    assert content(folder, "sentence_bert_config.json")["max_seq_length"] == 24
    settings = content(folder, "1_Pooling/config.json")
    assert settings["word_embedding_dimension"] == 16
    assert {name for name, value in settings.items() if value is True} == {f"pooling_mode_{mode}", "include_prompt"}


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_sentence_transformers_gives_the_same_embeddings(checkpoint, sentences, tmp_path, pooling):
    library = pytest.importorskip("sentence_transformers")
    config = ModelConfig(checkpoint=str(checkpoint()), pooling=pooling, **OPTIONS)
    trained = load_encoder(config, None, seed=0)
    save_encoder(*trained, tmp_path / "model")
    model = library.SentenceTransformer(str(tmp_path / "model"), device="cpu")
    texts = list(sentences.values())
    embedding_BD = torch.from_numpy(model.encode(texts, prompt_name="document"))
    torch.testing.assert_close(embedding_BD, embed(*trained, texts), rtol=1e-4, atol=1e-5)


def test_saving_replaces_the_whole_folder_or_nothing(trained, tmp_path, monkeypatch):
    def fail(self, path):
        raise OSError("disk full")

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "stale.txt").write_text("from an earlier run")
    with monkeypatch.context() as patch:
        patch.setattr(TextTokenizer, "save", fail)
        with pytest.raises(OSError, match="disk full"):
            save_encoder(*trained, folder)
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("stale.txt", "from an earlier run")]
    save_encoder(*trained, folder)
    assert not (folder / "stale.txt").exists()
    assert (folder / "model.safetensors").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_options_of_the_saved_encoder_hold(checkpoint, sentences, tmp_path, caplog):
    options = {"pooling": "cls", "query_prefix": "ask: ", "max_query_length": 9, "temperature": 0.5}
    encoder, tokenizer = load_encoder(ModelConfig(checkpoint=str(checkpoint()), **options), None, seed=0)
    save_encoder(encoder, tokenizer, tmp_path / "model")
    other = ModelConfig(checkpoint=str(tmp_path / "model"), layers=[0, 2, 5, 9], query_prefix="query: ")
    again, its_tokenizer = load_encoder(other, None, seed=1)
    texts = list(sentences.values())
    assert torch.equal(embed(again, its_tokenizer, texts, "query"), embed(encoder, tokenizer, texts, "query"))
    assert "model.pooling: 'cls'" in caplog.text
    assert "model.query_prefix: 'ask: '" in caplog.text
    assert again.temperature == pytest.approx(0.02), "the temperature of further training is chosen anew"
    fewer, _ = load_encoder(dataclasses.replace(other, layers=[1, 3]), None, seed=1)
    assert fewer.backbone.config.num_hidden_layers == 2
    (tmp_path / "model/mixlingual.json").write_text("{")
    with pytest.raises(MixlingualError, match=r"mixlingual\.json is damaged"):
        load_encoder(other, None, seed=1)


@pytest.mark.parametrize("architecture", ["bert", "xlm_roberta", "distilbert", "modernbert"])
def test_no_library_makes_weights_of_its_own(checkpoint, tmp_path, architecture):
    config = ModelConfig(checkpoint=str(checkpoint(architecture)), layers=[0, 2], **OPTIONS)
    save_encoder(*load_encoder(config, None, seed=0), tmp_path / "model")
    _, info = AutoModel.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
