"""The model card and the hub's figures, as outside readers read them."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from run_folder import result_of

from mixlingual.config.schema import DataConfig, ModelConfig, PairsConfig, TrainConfig
from mixlingual.records import RunResult
from mixlingual.reporting.card import figures_of, write_card

OPTIONS = {
    "pooling": "mean", "normalize": True, "query_prefix": "query: ", "passage_prefix": "passage: ",
    "max_query_length": 32, "max_passage_length": 64,
}  # fmt: skip


@pytest.fixture
def encoder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "mixlingual.json").write_text(json.dumps(OPTIONS))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"default_prompt_name": "query"}))
    return folder


def scores(benchmark="xquad_r"):
    """Two questions in each of four paragraphs, in two languages; the second language is .1 lower."""
    rows = [
        {"benchmark": benchmark, "setting": "mono", "query": f"{p}{q}", "paragraph": f"{p}", "query_language": x,
         "candidate_language": x, "ap": 0.2 + 0.1 * p - 0.1 * (x == "de")}
        for p in range(4) for q in range(2) for x in ("en", "de")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def run_of(checkpoint="org/base", data=None, **parts):
    config = TrainConfig(model=ModelConfig(checkpoint=checkpoint), data=data or DataConfig(), run_name="r_1 <b>|")
    drawn = {"zh-Hant-zh-Hant": 40, "en-en": 20, "zh-Hant-en": 25, "en-zh-Hant": 15}
    batches = {"steps": 10, "pairs": 100, "planned_ratio": 0.5, "monolingual_ratio": 0.6, "language_pairs": drawn}
    benchmarks = {"xquad_r": {"complete": True}, "mlqa_r": {"complete": True}}
    known = {"batches": batches, "benchmarks": benchmarks, "data": {"train/facts": "0"}} | parts
    return RunResult(**result_of(config, **known))


def test_the_hub_reads_the_card(encoder):
    data = DataConfig(name="pairs", pairs=PairsConfig(hub="org/pairs"))
    write_card(encoder, run_of(data=data), scores(), {"license": "mit"})
    card = ModelCard.load(encoder / "README.md")
    assert card.data.base_model == "org/base"
    assert card.data.license == "mit"
    assert card.data.language == ["en", "zh"]
    assert card.data.datasets == ["org/pairs"]
    assert card.data.library_name == "sentence-transformers"
    assert card.data.pipeline_tag == "sentence-similarity"
    (figure,) = card.data.eval_results
    assert (figure.dataset_type, figure.metric_type) == ("google-research-datasets/xquad_r", "map")
    assert figure.metric_value == pytest.approx(0.3)
    assert "| zh-Hant | 25 | 40 | 65 |" in card.text
    assert "| all | 45 | 55 | 100 |" in card.text
    assert "0.5 nominal (constant), 0.5000 on average in the plan,\n0.6000 realised" in card.text
    assert "# r_1 &lt;b&gt;\\|" in card.text
    assert "FOLDER_OR_HUB_ID" in card.text


def test_the_interval_is_that_of_means_of_paragraphs(encoder):
    mean_P = np.array([0.15, 0.25, 0.35, 0.45])  # of equal sizes: Student's interval
    half = 3.182446 * mean_P.std(ddof=1) / 2
    (found,) = figures_of(run_of(), scores())
    assert (found.clusters, found.level) == (4, 0.95)
    assert (found.low, found.high) == pytest.approx((0.3 - half, 0.3 + half), abs=1e-6)
    write_card(encoder, run_of(), scores(), {})
    assert f"| xquad_r | monolingual | mAP | 0.3000 | {found.interval} | 4 |" in (encoder / "README.md").read_text()


def test_the_hub_reads_the_figures_of_whole_benchmarks_that_it_has(encoder):
    write_card(encoder, run_of(), pd.concat([scores(), scores("mlqa_r")]), {})
    (file,) = (encoder / ".eval_results").iterdir()
    (entry,) = parse_eval_result_entries(yaml.safe_load(file.read_text()))
    assert (file.name, entry.dataset_id, entry.task_id) == (
        "xquad_r.yaml", "google-research-datasets/xquad_r", "mono_map"
    )  # fmt: skip
    assert entry.value == pytest.approx(0.3)
    assert "95% interval" in entry.notes
    file.unlink()
    write_card(encoder, run_of(benchmarks={"xquad_r": {"complete": False}}), scores(), {})
    assert not file.exists()


@pytest.mark.parametrize(
    ("checkpoint", "base", "base_model", "sentence"),
    [
        (None, {}, None, "Training began with random weights."),
        ("/secret/place/e5", {"license": "mit"}, None, "Training began with the local folder e5."),
        ("/secret/place/e5", {"base_model": "org/e5"}, "org/e5", "folder e5, which was made from org/e5."),
        ("org/base", {}, "org/base", "Training began with [org/base](https://huggingface.co/org/base)."),
    ],
)
def test_the_card_says_what_training_began_with(encoder, checkpoint, base, base_model, sentence):
    write_card(encoder, run_of(checkpoint), None, base)
    card = ModelCard.load(encoder / "README.md")
    assert card.data.to_dict().get("base_model") == base_model
    assert card.data.license == base.get("license", "unknown")
    assert ("The licence is unknown" in card.text) is ("license" not in base)
    assert sentence in card.text
    assert "secret" not in card.content


def test_an_encoder_of_an_unknown_run_has_a_card_too(encoder):
    write_card(encoder, None, None, {})
    card = ModelCard.load(encoder / "README.md")
    assert card.data.to_dict().keys() == {"library_name", "pipeline_tag", "tags", "license"}
    assert "does not say how it was trained" in card.text
    assert "## Figures" not in card.text
    untrained = dataclasses.replace(run_of(), batches={"steps": 0, "pairs": 0, "language_pairs": {"en-en": 0}})
    write_card(encoder, untrained, None, {})
    assert "No pairs were drawn" in (encoder / "README.md").read_text()


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_the_card_is_code_that_runs_as_python_reads_it(encoder, pooling):
    """Prefixes are quoted so that none can end the text that it stands in."""
    options = OPTIONS | {"pooling": pooling, "query_prefix": 'a"\n```\n'}
    (encoder / "mixlingual.json").write_text(json.dumps(options))
    write_card(encoder, run_of(), None, {})
    blocks = (encoder / "README.md").read_text().split("```python\n")[1:]
    codes = [compile(block.split("\n```")[0], "card", "exec") for block in blocks]
    assert len(codes) == 2
    assert 'a"\n```\n' in codes[1].co_consts
