"""Real engines: Apertium's English-Spanish, and tiny models that CTranslate2 and transformers run to the same text."""

import json
import shutil
from pathlib import Path

import ctranslate2
import pytest
import sentencepiece
import torch
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
)
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

from mixlingual.config.schema import EngineConfig
from mixlingual.preparation.engines import open_engine
from mixlingual.records import MixlingualError

from .conftest import QUESTIONS

CPU = torch.device("cpu")
LINES = [question for question, _ in QUESTIONS] + [
    "the big",
    "house",
    "No end",
    "Dr. Smith is at home.",
    "a <b>& [x] ^y$",
]

needs_apertium = pytest.mark.skipif(
    not Path("/usr/share/apertium/modes/eng-spa.mode").exists(), reason="apt install apertium apertium-eng-spa"
)


@needs_apertium
def test_apertium_translates_each_line_by_itself():
    engine = open_engine("apertium", EngineConfig(kind="apertium", codes={"en": "eng", "es": "spa"}), CPU)
    together = engine.translate(LINES, "en", "es")
    assert together[0] == "Dónde es el puerto viejo de la ciudad?"
    alone = [engine.translate([line], "en", "es") for line in LINES[-5:]]
    assert [[text.strip()] for text in together[-5:]] == [[line.strip() for line in each] for each in alone]
    assert "eng-spa" in engine.identity("en", "es")
    assert engine.identity("en", "es") != engine.identity("es", "en")
    with pytest.raises(MixlingualError, match=r"Apertium has no pair spa-xyz; install one"):
        engine.identity("es", "xyz")


def test_apertium_that_is_not_here_is_said(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MixlingualError, match="the program apertium is not here; install it"):
        open_engine("a", EngineConfig(kind="apertium"), CPU).identity("eng", "spa")


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A sentencepiece model of the questions, and its pieces without special ones."""
    folder = tmp_path_factory.mktemp("pieces")
    text = folder / "text.txt"
    text.write_text("\n".join(line for pair in QUESTIONS for line in pair))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "spm"), vocab_size=80, minloglevel=2
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    return folder / "spm.model", [model.id_to_piece(n) for n in range(3, model.get_piece_size())]


@pytest.fixture(scope="module", params=["m2m100", "marian"])
def folders(request, pieces, tmp_path_factory):
    """A tiny random checkpoint as transformers reads it, and as CTranslate2 does."""
    folder = tmp_path_factory.mktemp(request.param)
    size = {"d_model": 32, "init_std": 0.5, "max_position_embeddings": 256}
    for side in ("encoder", "decoder"):
        size |= {f"{side}_layers": 1, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 64}
    torch.manual_seed(1)
    multilingual = request.param == "m2m100"
    special = ["<s>", "<pad>", "</s>", "<unk>"] if multilingual else ["</s>", "<unk>"]
    words = [*special, *pieces[1], *([] if multilingual else ["<pad>"])]
    vocabulary, model = folder / "vocab.json", str(pieces[0])
    vocabulary.write_text(json.dumps({piece: n for n, piece in enumerate(words)}))
    end = {"pad_token_id": words.index("<pad>"), "eos_token_id": words.index("</s>")}
    if multilingual:
        codes = [f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]]
        tokenizer = M2M100Tokenizer(
            str(vocabulary), model, src_lang="en", tgt_lang="es", additional_special_tokens=codes, num_madeup_words=0
        )
        count = len(words) + len(codes)
        config = M2M100Config(vocab_size=count, **size, **end, bos_token_id=0, decoder_start_token_id=2)
        made = M2M100ForConditionalGeneration(config)
    else:
        tokenizer = MarianTokenizer(model, model, str(vocabulary))
        start = {"decoder_start_token_id": end["pad_token_id"], "bad_words_ids": [[end["pad_token_id"]]]}
        made = MarianMTModel(MarianConfig(vocab_size=len(words), **size, **end, forced_eos_token_id=None))
        made.generation_config.update(**start, **end)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    converted = folder.with_name(f"{folder.name}-ct2")
    ctranslate2.converters.TransformersConverter(str(folder)).convert(str(converted))
    return folder, converted


@pytest.mark.parametrize("batch_tokens", [64, 4096])
def test_ctranslate2_and_transformers_write_the_same(folders, batch_tokens):
    folder, converted = folders
    options = {"batch_tokens": batch_tokens, "max_tokens": 12}
    plain = open_engine("t", EngineConfig(kind="transformers", model=str(folder), **options), CPU)
    fast = open_engine(
        "c", EngineConfig(kind="ctranslate2", model=str(converted), tokenizer=str(folder), **options), CPU
    )
    lines = LINES[:6]
    expected = plain.translate(lines, "en", "es")
    assert fast.translate(lines, "en", "es") == expected
    assert len(set(expected)) > 3, "a model that always says the same would show nothing"
    assert plain.identity("en", "es") != fast.identity("en", "es")


def test_the_identity_is_of_the_files_and_the_options(folders):
    folder, _ = folders
    one = EngineConfig(kind="transformers", model=str(folder))
    known = open_engine("t", one, CPU).identity("en", "es")
    copy = folder.with_name(f"{folder.name}-copy")
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    assert open_engine("x", EngineConfig(kind="transformers", model=str(copy)), CPU).identity("en", "es") == known
    assert (
        open_engine("t", EngineConfig(kind="transformers", model=str(folder), beams=2), CPU).identity("en", "es")
        != known
    )
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    assert open_engine("x", EngineConfig(kind="transformers", model=str(copy)), CPU).identity("en", "es") != known


def test_a_language_that_a_model_lacks_is_said(folders):
    folder, _ = folders
    engine = open_engine("t", EngineConfig(kind="transformers", model=str(folder)), CPU)
    if "m2m100" in folder.name:
        with pytest.raises(MixlingualError, match="has no language xx; map the language to its code"):
            engine.translate(LINES, "en", "xx")
        assert engine.translate(LINES[:1], "en", "es") != engine.translate(LINES[:1], "en", "fr")


def test_a_folder_without_a_model_is_said(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    engine = open_engine("t", EngineConfig(kind="transformers", model=str(tmp_path)), CPU)
    with pytest.raises(MixlingualError, match="cannot be loaded by transformers"):
        engine.translate(["a"], "en", "es")
