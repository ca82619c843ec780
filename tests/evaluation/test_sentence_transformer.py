"""Models of sentence-transformers: what their files say, and the same embeddings as the library gives."""

import dataclasses
import json
import logging
from importlib.util import find_spec

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from mixlingual.config.schema import ModelConfig, ScratchConfig
from mixlingual.data.sources.atlas import atlas_corpus
from mixlingual.evaluation.encode import encode
from mixlingual.evaluation.sentence_transformer import as_published
from mixlingual.grid.cell import corpus_texts
from mixlingual.model import hub as hub_module
from mixlingual.model.export import save_encoder
from mixlingual.model.hub import as_saved
from mixlingual.model.load import load_encoder
from mixlingual.records import MixlingualError

TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
NORMALIZE = {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
WITHOUT_PROMPT = {"pooling_mode": "mean", "include_prompt": False}
NEW_POOLING = POOLING | {"type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"}


def write(folder, modules=(TRANSFORMER, POOLING), pooling=None, **settings):
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling or {"pooling_mode_mean_tokens": True}))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return ModelConfig(checkpoint=str(folder), pooling="cls", normalize=False, query_prefix="mine: ")


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"embedding_dimension": 8, "pooling_mode": "mean", "include_prompt": True}, "mean"),
        ({"pooling_mode": ["cls"]}, "cls"),
    ],
)
def test_pooling_of_old_and_new_files(tmp_path, pooling, expected):
    assert as_published(write(tmp_path, [TRANSFORMER, NEW_POOLING], pooling)).pooling == expected


def test_scores_prompts_and_what_stays(tmp_path, caplog):
    config = write(tmp_path, prompts={"query": "q: ", "document": "d: ", "other": "o"}, similarity_fn_name="cosine")
    with caplog.at_level(logging.WARNING):
        read = as_published(config)
    assert (read.normalize, read.query_prefix, read.passage_prefix) == (True, "q: ", "d: ")
    assert (read.checkpoint, read.max_query_length) == (str(tmp_path), 128)
    assert "model.query_prefix: 'q: ' of" in caplog.text
    assert as_published(write(tmp_path, similarity_fn_name="dot")).normalize is False
    assert as_published(write(tmp_path, [TRANSFORMER, POOLING, NORMALIZE], similarity_fn_name="dot")).normalize is True


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ({"query": "", "document": ""}, ("", "")),
        ({"query": "q: "}, ("q: ", "")),
        ({"corpus": "c: "}, ("", "c: ")),
        ({"document": "", "passage": "p: "}, ("", "")),
    ],
)
def test_prompts_that_a_model_states_hold_even_if_empty(tmp_path, prompts, expected):
    read = as_published(write(tmp_path, prompts=prompts))
    assert (read.query_prefix, read.passage_prefix) == expected


@pytest.mark.parametrize("settings", [{}, {"prompts": {"clustering": "cluster: "}}])
def test_without_prompts_the_prefixes_of_the_config_stay_and_are_named(tmp_path, caplog, settings):
    assert as_published(write(tmp_path, **settings)).query_prefix == "mine: "
    assert "model.query_prefix='mine: ' and model.passage_prefix='' are put before its texts" in caplog.text


def test_weights_may_lie_in_a_folder_of_their_own(tmp_path):
    (tmp_path / "0_Transformer").mkdir()
    read = as_published(write(tmp_path, [TRANSFORMER | {"path": "0_Transformer"}, POOLING]))
    assert read.checkpoint == str(tmp_path / "0_Transformer")


@pytest.mark.parametrize(
    ("modules", "pooling", "settings", "message"),
    [
        ([TRANSFORMER, POOLING, DENSE], None, {}, "modules Dense"),
        ([TRANSFORMER], None, {}, "no pooling module"),
        ([TRANSFORMER, POOLING], {"pooling_mode_max_tokens": True}, {}, "its pooling is max_tokens"),
        ([TRANSFORMER, POOLING], {"pooling_mode": ["cls", "mean"]}, {}, "its pooling is cls and mean"),
        ([TRANSFORMER, POOLING], None, {"similarity_fn_name": "euclidean"}, "its scores are euclidean"),
        ([TRANSFORMER, POOLING], WITHOUT_PROMPT, {"prompts": {"query": "q"}}, "leaves the prompt"),
    ],
)  # fmt: skip
def test_parts_that_we_lack_are_refused(tmp_path, modules, pooling, settings, message):
    with pytest.raises(MixlingualError, match=rf"{message}.*give the arrays with precomputed=FOLDER"):
        as_published(write(tmp_path, modules, pooling, **settings))


def test_other_folders_stay_as_they_are(tmp_path):
    config = ModelConfig(checkpoint=str(tmp_path), pooling="cls")
    assert as_published(config) == config
    write(tmp_path)
    (tmp_path / "mixlingual.json").write_text("{}")
    assert as_published(config) == config


def hub(monkeypatch, folder):
    """A hub whose one repository holds what is in the folder."""

    def download(repository, name, revision):
        assert (repository, revision) == ("owner/model", None)
        if not (folder / name).is_file():
            raise EntryNotFoundError(name)
        return str(folder / name)

    monkeypatch.setattr(hub_module.huggingface_hub, "hf_hub_download", download)
    return ModelConfig(checkpoint="owner/model", pooling="cls", query_prefix="mine: ")


def test_a_model_of_the_hub_is_read_as_a_folder(tmp_path, monkeypatch):
    write(tmp_path, prompts={"query": "q: ", "document": "d: "})
    read = as_published(hub(monkeypatch, tmp_path))
    assert (read.checkpoint, read.pooling, read.query_prefix, read.passage_prefix) == (
        "owner/model", "mean", "q: ", "d: "
    )  # fmt: skip


def test_our_own_model_on_the_hub_keeps_all_that_it_was_saved_with(tmp_path, monkeypatch):
    write(tmp_path, prompts={"query": "q: ", "document": "d: "})
    options = {
        "pooling": "last", "normalize": True, "query_prefix": "own: ", "passage_prefix": "", "max_query_length": 33,
        "max_passage_length": 77, "layers": None,
    }  # fmt: skip
    (tmp_path / "mixlingual.json").write_text(json.dumps(options | {"temperature": 0.05}))
    config = hub(monkeypatch, tmp_path)
    assert as_published(config) == config, "left to as_saved"
    assert as_saved(config) == dataclasses.replace(config, **options)


def test_a_model_of_the_hub_without_such_files_stays_as_it_is(tmp_path, monkeypatch):
    config = hub(monkeypatch, tmp_path)
    assert as_published(config) == config
    assert as_saved(config) == config


ERRORS = [LocalEntryNotFoundError("offline\nsee the docs"), ConnectionError("offline"), ValueError("offline")]


def offline(monkeypatch, tmp_path, error=ERRORS[0]):
    """No network, and an empty cache."""

    def download(*_, **__):
        raise error

    monkeypatch.setattr(hub_module.huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return ModelConfig(checkpoint="owner/model", pooling="cls")


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("read", [as_published, as_saved])
def test_a_hub_that_cannot_be_asked_is_an_error(monkeypatch, tmp_path, read, error):
    with pytest.raises(MixlingualError, match=r"hub did not give it: offline .*then set model.checkpoint=FOLDER"):
        read(offline(monkeypatch, tmp_path, error))


@pytest.mark.parametrize("known", [True, False])
def test_a_cached_model_without_modules_is_used_offline(monkeypatch, tmp_path, caplog, known):
    """In the layout of the hub's cache; `known`: an earlier request found that the repository lacks the files."""
    config = offline(monkeypatch, tmp_path)
    model, commit = tmp_path / "models--owner--model", "a" * 40
    for path, text in (("refs/main", commit), (f"snapshots/{commit}/config.json", "{}")):
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_text(text)
    if known:
        (model / ".no_exist" / commit).mkdir(parents=True)
        for name in ("modules.json", "mixlingual.json"):
            (model / ".no_exist" / commit / name).touch()
    assert as_published(config) == as_saved(config) == config
    assert ("whether owner/model has a modules.json" in caplog.text) is not known
    with pytest.raises(MixlingualError, match="hub did not give it"):
        as_published(dataclasses.replace(config, revision="other"))


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_the_library_gives_the_same_embeddings(tmp_path, pooling):
    from sentence_transformers import SentenceTransformer

    texts = ["Where is it?", "Wo liegt das, und warum?", "x"]
    made = ModelConfig(
        scratch=ScratchConfig(1, 32, 2, 64, 900), pooling=pooling, query_prefix="query: ", passage_prefix="p: "
    )
    encoder, tokenizer = load_encoder(made, lambda: corpus_texts(atlas_corpus(["de", "en"])), seed=0)
    save_encoder(encoder, tokenizer, tmp_path / "model")
    (tmp_path / "model/mixlingual.json").unlink()
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    read = as_published(ModelConfig(checkpoint=str(tmp_path / "model"), pooling="cls" if pooling != "cls" else "mean"))
    encoder, tokenizer = load_encoder(read, None, seed=0)
    for side, prompt in (("query", "query"), ("passage", "document")):
        ours = encode(
            encoder.eval(), tokenizer, texts, side,
            precision="fp32", batch_tokens=999, device=torch.device("cpu"), description="",
        )  # fmt: skip
        np.testing.assert_allclose(ours.embedding_ND, theirs.encode(texts, prompt_name=prompt), atol=1e-5)
