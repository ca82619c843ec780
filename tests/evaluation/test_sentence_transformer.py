"""Models of sentence-transformers: what their files say, and the same embeddings as the library gives."""

import dataclasses
import json
import logging

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as library

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
        ([TRANSFORMER, POOLING, DENSE], None, {}, "modules Transformer, Pooling, Dense"),
        ([POOLING, TRANSFORMER], None, {}, "modules Pooling, Transformer"),
        ([TRANSFORMER, POOLING, POOLING], None, {}, "modules Transformer, Pooling, Pooling"),
        ([TRANSFORMER | {"type": "custom_st.Transformer"}, POOLING], None, {}, "modules custom_st.Transf"),
        ([TRANSFORMER | {"when": "now"}, POOLING], None, {}, r"modules\.json has when='now'"),
        ([TRANSFORMER, POOLING], None, {"truncate_dim": 64}, r"config_sentence_transformers\.json has truncate_dim=64"),
        ([TRANSFORMER, POOLING], None, {"model_type": "SparseEncoder"}, "has model_type='SparseEncoder'"),
        ([TRANSFORMER, POOLING], None, {"novel": 0}, "has novel=0"),
        ([TRANSFORMER, POOLING], {"pooling_mode": "mean", "novel": 1}, {}, r"1_Pooling/config\.json has novel=1"),
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transformer_task": "text-generation"}, "transformer_task='text-generation'"),
        ({"modality_config": {"text": {"method": "get_text_features"}}}, "modality_config.text={'method'"),
        ({"modality_config": {"image": {}}, "module_output_name": "token_embeddings"}, "modality_config.text=None"),
        ({"processing_kwargs": {"text": {"add_special_tokens": False}}}, "processing_kwargs={'text'"),
        ({"query_expansion": {"length": 32}}, "query_expansion="),
        ({"config_args": {"num_hidden_layers": 1}}, "config_args="),
        ({"novel": True}, "novel=True"),
    ],
)
def test_settings_of_the_encoder_that_we_lack_are_refused(tmp_path, settings, message):
    config = write(tmp_path)
    path = tmp_path / "sentence_bert_config.json"
    path.write_text(json.dumps({"max_seq_length": 9, "do_lower_case": False, "unpad_inputs": None, "model_args": {}}))
    assert as_published(config).pooling == "mean"
    path.write_text(json.dumps(settings))
    with pytest.raises(MixlingualError, match=rf"sentence_bert_config.json has {message}.*, which we do not have"):
        as_published(config)


def test_a_normalisation_of_something_else_is_refused(tmp_path):
    config = write(tmp_path, [TRANSFORMER, POOLING, NORMALIZE])
    (tmp_path / "2_Normalize").mkdir()
    (tmp_path / "2_Normalize/config.json").write_text(json.dumps({"module_input_name": "token_embeddings"}))
    with pytest.raises(MixlingualError, match=r"2_Normalize/config.json has module_input_name='token_embeddings'"):
        as_published(config)


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


def made(**options):
    """A tiny encoder, whose weights are large enough to tell texts apart, and its tokenizer."""
    config = ModelConfig(scratch=ScratchConfig(1, 32, 2, 64, 900), **options)
    encoder, tokenizer = load_encoder(config, lambda: corpus_texts(atlas_corpus(["de", "en"])), seed=0)
    for n, parameter in enumerate(encoder.parameters()):
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(n))
    return encoder, tokenizer


@pytest.fixture
def encoder_folder(tmp_path):
    """The Hugging Face folder of an encoder."""
    encoder, tokenizer = made()
    encoder.backbone.save_pretrained(tmp_path / "hf")
    tokenizer.save(tmp_path / "hf")
    return tmp_path / "hf"


TEXTS = ["Where Is It?", "Wo liegt das, und warum?", "x", "Ein <pad> im Text", " Leer  "]


def same_embeddings(folder, theirs):
    """Whether ours, with options that are all others, are those of the library's model."""
    options = {"pooling": "last", "normalize": False, "query_prefix": "mine: ", "passage_prefix": "mine: "}
    read = as_saved(as_published(ModelConfig(checkpoint=str(folder), **options)))
    encoder, tokenizer = load_encoder(read, None, seed=0)
    for side, encode_theirs in (("query", theirs.encode_query), ("passage", theirs.encode_document)):
        ours = encode(
            encoder.eval(), tokenizer, TEXTS, side,
            precision="fp32", batch_tokens=999, device=torch.device("cpu"), description="",
        ).embedding_ND  # fmt: skip
        expected_ND = encode_theirs(TEXTS)
        if read.normalize:
            expected_ND /= np.linalg.norm(expected_ND, axis=1, keepdims=True)
        np.testing.assert_allclose(ours, expected_ND, atol=2e-5)
    assert np.ptp(expected_ND, axis=0).max() > 0.1, "the texts must differ"


SAVED = {
    "plain": {},
    "cls": {"pooling": "cls"},
    "last": {"pooling": "lasttoken", "unit": True, "similarity": "dot"},
    "dot": {"similarity": "dot", "prompts": {"query": "Q: ", "document": "D: "}},
    "prompts": {"unit": True, "prompts": {"query": "q: ", "passage": "P: ", "o": "o"}, "default_prompt_name": "o"},
    "lower": {"transformer": {"do_lower_case": True, "max_seq_length": 64}, "prompts": {"query": "Query: "}},
    "without prompt": {"include_prompt": False},
}  # fmt: skip


@pytest.mark.parametrize("kind", SAVED)
def test_folders_that_the_library_saves_give_its_embeddings(encoder_folder, tmp_path, kind):
    options = {"pooling": "mean", "unit": False, "similarity": "cosine", "include_prompt": True, **SAVED[kind]}
    own = {"prompts": {"query": "", "document": ""}} | {
        key: options[key] for key in ("prompts", "default_prompt_name") if key in options
    }
    modules = [
        library.Transformer(str(encoder_folder), **options.get("transformer", {})),
        library.Pooling(32, options["pooling"], include_prompt=options["include_prompt"]),
    ]
    modules += [library.Normalize()] if options["unit"] else []
    model = SentenceTransformer(modules=modules, device="cpu", similarity_fn_name=options["similarity"], **own)
    model.save_pretrained(str(tmp_path / "saved"))
    same_embeddings(tmp_path / "saved", SentenceTransformer(str(tmp_path / "saved"), device="cpu"))


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "sentence_xlm-roberta_config.json"])
@pytest.mark.parametrize("inner", ["", "0_Transformer"])
def test_texts_are_in_lower_case_where_earlier_releases_said_so(encoder_folder, tmp_path, name, inner):
    saved = tmp_path / "saved"
    (saved / "1_Pooling").mkdir(parents=True)
    encoder_folder.rename(saved / "0_Transformer")
    if not inner:
        for path in (saved / "0_Transformer").iterdir():
            path.rename(saved / path.name)
    write(saved, [TRANSFORMER | {"path": inner}, POOLING], prompts={"query": "Q: ", "document": ""})
    (saved / inner / name).write_text(json.dumps({"max_seq_length": 64, "do_lower_case": True}))
    (saved / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 32, "pooling_mode": "mean"}))
    same_embeddings(saved, SentenceTransformer(str(saved), device="cpu"))


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_the_library_reads_what_we_save(tmp_path, pooling):
    save_encoder(*made(pooling=pooling, query_prefix="query: ", passage_prefix="p: "), tmp_path / "model")
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    same_embeddings(tmp_path / "model", theirs)
    (tmp_path / "model/mixlingual.json").unlink()
    same_embeddings(tmp_path / "model", theirs)
