"""A trained encoder made ready for others, from Python and as a command."""

import json
import re
import shutil

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import LocalTokenNotFoundError
from run_folder import result_of, write_result
from transformers import AutoModel

import mixlingual
from mixlingual import export
from mixlingual.config.schema import ExportConfig, ModelConfig, ScratchConfig, TrainConfig
from mixlingual.data.sources.atlas import atlas_corpus
from mixlingual.grid.cell import corpus_texts
from mixlingual.model import onnx
from mixlingual.model.export import save_encoder
from mixlingual.model.load import load_encoder
from mixlingual.records import MixlingualError

PARTS = {"README.md", "config.json", "mixlingual.json", "model.safetensors", "modules.json", "tokenizer.json"}
TEXTS = ["Wo liegt Ghana?", "The capital of Ghana is Accra, which lies on the coast."]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run whose encoder has no card yet."""
    config = ModelConfig(scratch=ScratchConfig(1, 32, 2, 64, 900), query_prefix="q: ", passage_prefix="p: ")
    folder = tmp_path_factory.mktemp("sweep") / "run"
    save_encoder(*load_encoder(config, lambda: corpus_texts(atlas_corpus(["de", "en"])), seed=0), folder / "model")
    return folder


@pytest.fixture
def hub(monkeypatch):
    """What would have gone to the hub."""
    sent = {}

    class Api:
        def create_repo(self, name, **options):
            sent[name] = options
            return f"https://hub/{name}"

        def upload_folder(self, *, repo_id, folder_path, allow_patterns):
            sent["files"] = set(allow_patterns)

        def upload_file(self, *, repo_id, path_or_fileobj, path_in_repo):
            sent[path_in_repo] = path_or_fileobj.decode()

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return sent


def test_a_dry_run_lists_what_would_go_and_sends_nothing(run, hub, capsys):
    (run / "model/.secret").write_text("x")
    (run / "model/link").symlink_to(run / "model/config.json")
    export.export(ExportConfig(folder=str(run), push="me/tiny"))
    shown = capsys.readouterr().out
    assert "dry run: dry_run=false sends these files to me/tiny" in shown
    assert set(re.findall(r"MB  (\S+)", shown)) >= PARTS
    assert "secret" not in shown
    assert "link" not in shown
    assert hub == {}
    assert ModelCard.load(run / "model/README.md").data.library_name == "sentence-transformers"


def test_pushing_sends_the_files_and_names_the_encoder_in_its_card(run, hub):
    found = mixlingual.export_encoder(run / "model", push="me/tiny", dry_run=False)
    assert found.url == "https://hub/me/tiny"
    assert hub["me/tiny"] == {"private": True, "exist_ok": True}
    assert hub["files"] == set(found.files) - {"README.md"} >= PARTS - {"README.md"}
    assert 'SentenceTransformer("me/tiny")' in hub["README.md"]
    assert 'SentenceTransformer("FOLDER_OR_HUB_ID")' in (run / "model/README.md").read_text()


def test_a_hub_that_refuses_is_one_message(run, hub, monkeypatch):
    def refuse(self, name, **_):
        raise LocalTokenNotFoundError("Token is required, but no token found.")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    with pytest.raises(MixlingualError, match=r"push=me/tiny: the hub did not take it: Token .* `hf auth login`"):
        mixlingual.export_encoder(run, push="me/tiny", dry_run=False)


def test_what_cannot_be_exported(run, tmp_path):
    with pytest.raises(MixlingualError, match=r"mixlingual\.json is missing.*give multirun/SWEEP/RUN"):
        mixlingual.export_encoder(tmp_path)
    with pytest.raises(MixlingualError, match="format: got 'gguf'; allowed: onnx"):
        mixlingual.export_encoder(run, format="gguf")
    for name in ("tiny", "a/b/c", "a b/c", "../x"):
        with pytest.raises(MixlingualError, match="push: got"):
            mixlingual.export_encoder(run, push=name)


def test_without_a_choice_of_prompt_texts_are_queries(run, capfd):
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(run / "model"), device="cpu")
    ours = mixlingual.load_encoder(run / "model", device="cpu")
    np.testing.assert_allclose(model.encode(TEXTS), ours.encode_queries(TEXTS), atol=1e-5)
    np.testing.assert_allclose(model.encode_document(TEXTS), ours.encode_passages(TEXTS), atol=1e-5)
    assert "pooler" not in "".join(capfd.readouterr())
    assert json.loads((run / "model/tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_the_code_of_the_card_gives_the_encoders_embeddings(run):
    card = (mixlingual.export_encoder(run).folder / "README.md").read_text()
    code = card.split("```python\n")[2].split("\n```")[0].replace("FOLDER_OR_HUB_ID", str(run / "model"))
    found = {}
    exec(code, found)
    ours = mixlingual.load_encoder(run / "model", device="cpu")
    np.testing.assert_allclose(found["embed"](TEXTS, "p: ", 128), ours.encode_passages(TEXTS), atol=1e-5)


def test_onnx_gives_the_same_embeddings(run):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    found = mixlingual.export_encoder(run, format="onnx")
    assert found.agreement[onnx.FP32].least_cosine > 0.99999
    assert 0.98 < found.agreement[onnx.INT8].least_cosine < 1
    assert found.files[onnx.INT8] < found.files[onnx.FP32]
    assert not any(path.name.startswith(".saving") for path in found.folder.iterdir())
    session = onnxruntime.InferenceSession(str(found.folder / onnx.FP32))
    assert [given.name for given in session.get_inputs()] == ["input_ids", "attention_mask"]
    ids_BT, mask_BT = torch.tensor([[5, 6, 7], [8, 9, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    (state_BTD,) = session.run(None, {"input_ids": ids_BT.numpy(), "attention_mask": mask_BT.numpy()})
    with torch.no_grad():
        states = AutoModel.from_pretrained(found.folder).eval()(ids_BT, mask_BT).last_hidden_state
    np.testing.assert_allclose(state_BTD[0], states[0], atol=1e-5)
    np.testing.assert_allclose(state_BTD[1, :2], states[1, :2], atol=1e-5)


def test_an_export_that_differs_is_refused_and_leaves_nothing(run, monkeypatch):
    pytest.importorskip("onnxscript")
    before = {path: path.stat().st_mtime_ns for path in (run / "model").rglob("*")}
    forward = onnx._States.forward
    monkeypatch.setattr(onnx._States, "forward", lambda self, ids, mask: forward(self, ids, mask) + ids[..., None])
    monkeypatch.setattr(
        "onnxruntime.quantization.quantize_dynamic", lambda source, target, **_: shutil.copy(source, target)
    )
    with pytest.raises(MixlingualError, match="gives other embeddings than PyTorch"):
        mixlingual.export_encoder(run, format="onnx")
    assert {path: path.stat().st_mtime_ns for path in (run / "model").rglob("*")} == before


def test_the_card_of_the_checkpoint_is_read_at_the_revision_that_training_began_with(tmp_path, monkeypatch):
    model = ModelConfig(checkpoint="owner/base", revision="abc")
    run = write_result(tmp_path / "run", result_of(TrainConfig(model=model)))
    tiny = ModelConfig(scratch=ScratchConfig(1, 32, 2, 64, 900))
    save_encoder(*load_encoder(tiny, lambda: corpus_texts(atlas_corpus(["de", "en"])), seed=0), run / "model")
    asked = []

    def front_matter(config):
        asked.append((config.checkpoint, config.revision))
        return {"license": "mit"}

    monkeypatch.setattr("mixlingual.api.export.front_matter", front_matter)
    mixlingual.export_encoder(run)
    assert asked == [("owner/base", "abc")]
    assert "license: mit" in (run / "model/README.md").read_text()
