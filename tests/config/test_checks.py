"""Every mistake is reported, with its path, together with the others."""

import re
from pathlib import Path

import pytest
from hydra import compose
from omegaconf import OmegaConf, open_dict

from mixlingual import layout
from mixlingual.config.checks import ConfigError, to_config
from mixlingual.config.contradictions import SWEEP_FILES, contradictions, name_problem
from mixlingual.config.names import BENCHMARKS
from mixlingual.config.schema import (
    EvaluateConfig,
    EvaluationConfig,
    PostHocConfig,
    ReportConfig,
    TrainConfig,
)

SHARDED = ["trainer.strategy=shard", "trainer.devices=2", "optim.embeddings=dense"]


def test_all_mistakes_at_once(composed):
    overrides = [
        "trainer.steps=many", "batching.monolingual_ratio=1.5", "model.pooling=max", "optim.betas=[0.9]",
        "evaluation.benchmarks=[mlqa]", "data.sources={a: {files: [x], weight: -1}}", "run_name='${nope}'",
        "model.layers=[[0,1]]", "data.languages=[[en]]", "batching.languages=[]", "model.normalize=2",
        "trainer.threads=100000", "model.scratch.vocabulary=1000000000", f"seed={10**23}", "+loss.null=null",
    ]  # fmt: skip
    with pytest.raises(ConfigError) as error:
        composed(*overrides)
    lines = str(error.value).splitlines()
    own = "one of your own needs evaluation.custom.mlqa=FOLDER"
    assert lines[0] == "15 mistakes in the configuration:"
    assert sorted(lines[1:]) == [
        "  batching.languages: got an empty list; name at least one entry, or null",
        "  batching.monolingual_ratio: got 1.5; the largest allowed is 1.0",
        "  data.languages[0]: got ['en']; one value is allowed here",
        "  data.sources.a.weight: got -1.0; the smallest allowed is 0.0",
        f"  evaluation.benchmarks[0]: got 'mlqa'; allowed: {', '.join(BENCHMARKS)}; {own}",
        "  loss: got null; it is a group of options: choose a preset by its name, or set them one by one",
        "  model.layers[0]: got [0, 1]; one value is allowed here",
        "  model.normalize: got 2; allowed: true, false",
        "  model.pooling: got 'max'; allowed: mean, cls, last",
        "  model.scratch.vocabulary: got 1000000000; the largest allowed is 2000000",
        "  optim.betas: got 1 numbers; AdamW takes two, as in [0.9, 0.999]",
        "  run_name: Interpolation key 'nope' not found",
        f"  seed: got {10**23}; the largest allowed is {2**53}",
        "  trainer.steps: Value 'many' of type 'str' could not be converted to Integer",
        "  trainer.threads: got 100000; the largest allowed is 1024",
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluation.custom={9x: x}"], "evaluation.custom.9x: the name of a benchmark is a letter, then at most 49"),
        (["evaluation.custom.MLQA_R=x"], "evaluation.custom.MLQA_R: the name is taken, or differs from another one"),
        (["evaluation.custom={a: x, A: y}"], "evaluation.custom.A: the name is taken, or differs"),
        (["evaluation.custom.mine=''"], "evaluation.custom.mine: got ''; give it the folder of the benchmark"),
        (["evaluation.custom.mine=x", "evaluation.benchmarks=[me]"], "got 'me'; allowed: atlas, "),
        (["validation.every=5"], "validation.benchmarks: there is nothing to validate on"),
        (["validation.held_out=5", "validation.select=best"], "validation.select: got best, and the run is never"),
        (["validation.held_out=5", "validation.patience=2"], "validation.patience: got 2, and the run is never"),
        (["validation=held_out", "validation.at=[9,301]"], "validation.at: got 301, and the run has 300 steps"),
        (
            ["validation=held_out", "validation.at=[5]", "trainer.steps=null", "trainer.pairs=200"],
            "the run has 4 steps",
        ),
        (["validation.every=5", "validation.benchmarks=[me]"], r"validation.benchmarks.0.: got 'me'; allowed: atlas, "),
        (["trainer.pairs=5"], "trainer.steps: exactly one of trainer.steps and trainer.pairs"),
        (["trainer.steps=null"], "trainer.steps: exactly one of"),
        (["trainer.steps=null", f"trainer.pairs={10**12}"], "trainer.pairs: got 1000000000000, more than 100000000"),
        (["data=parallel"], "data.root: data=parallel needs the folder"),
        (["data.languages=[]"], "data.languages: got an empty list"),
        (["data.languages=[null]"], r"data.languages.* NoneType"),
        (["data.sources={a: 5}"], "data.sources.a: got 5; it is a group of options"),
        (["model.scratch.hidden=30"], "model.scratch.hidden: got 30, which"),
        (["model.layers=[2,0]"], r"model.layers: got \[2, 0\]; list each kept layer once"),
        (["optim.learning_rate=nan"], "optim.learning_rate: got nan; it must be a finite number"),
        (["optim.gradient_clip=0"], "optim.gradient_clip: got 0.0; the smallest allowed is 1e-06"),
        (["optim.betas=[0.9,1.0]"], r"optim.betas\[1\]: got 1.0; the largest allowed is"),
        (["batching.negatives=4"], "batching.negatives: got 4; groups of 5 pairs do not divide batching.batch_size=64"),
        (
            ["batching.negatives=15", "trainer.accumulate=2"],
            "batching.negatives: its groups are what trainer.accumulate",
        ),
        (
            ["batching.negatives=15", "trainer.devices=3"],
            "batching.batch_size: got 64, which the 4 groups of batching.negatives=15 times trainer.devices=3",
        ),
        (["batching.batch_size=9", "trainer.accumulate=2"], "batching.batch_size: got 9, which trainer.accumulate=2"),
        (
            ["batching.batch_size=6", "trainer.accumulate=2", "trainer.probe_every=5"],
            "trainer.probe_every: probes halve the batch of 6, and trainer.accumulate=2 times trainer.devices=1 does",
        ),
        (["batching.final_ratio=0.1"], "batching.final_ratio: a constant ratio has no other end"),
        (
            ["batching.languages=[de,en]", "batching.language_weights={de:0,en:0}"],
            "batching.language_weights: got 0 for every language",
        ),
        (["data.root=${oc.env:NOWHERE_SET}"], "data.root: .*NOWHERE_SET"),
        (["batching.batch_size=0"], "batching.batch_size: got 0; the smallest allowed is 2"),
        ([*SHARDED, "trainer.devices=1"], "trainer.strategy: got shard with one device; set trainer.devices"),
        ([*SHARDED, "optim.embeddings=rows"], "optim.embeddings: rows cannot go together with trainer.strategy=shard"),
        ([*SHARDED, "optim.average=ewa"], "optim.average: ewa cannot go together"),
        ([*SHARDED, "model.learn_temperature=true"], "model.learn_temperature: true cannot go together"),
        ([*SHARDED, "trainer.probe_every=5"], "trainer.probe_every: 5 cannot go together .*; set it to null"),
        ([*SHARDED, "trainer.compile=true"], "trainer.compile: true cannot go together"),
        (["sweep_name=${now:%Y}"], r"sweep_name: got '\$\{now:%Y\}'; a time differs at every start"),
        (["run_name=x_${now:%Y}"], "run_name: .* a time differs at every start"),
    ],
)
def test_each_contradiction_has_its_message(composed, overrides, message):
    with pytest.raises(ConfigError, match=message):
        composed(*overrides)


@pytest.mark.parametrize("frozen", ["model.train_embeddings=false", "model.lora.rank=4"])
def test_a_frozen_table_has_no_rows_to_shard(composed, frozen):
    composed(*SHARDED, "optim.embeddings=rows", frozen)


@pytest.mark.usefixtures("composed")
def test_yaml_that_reads_text_as_something_else_is_sent_to_quotes():
    preset = OmegaConf.create(
        """
        sweep_name: 2024_11_28
        model: {revision: 12e4567, name: 12}
        data: {languages: [en, no]}
        batching: {language_weights: {no: 2, on: 1}}
        tracking: {tags: [yes]}
        """
    )
    cfg = compose("train")
    with open_dict(cfg):
        cfg.merge_with(preset)
    with pytest.raises(ConfigError) as error:
        to_config(TrainConfig, cfg)
    quotes = "it is text: write it in quotes, as in"
    assert sorted(str(error.value).splitlines()[1:]) == [
        f"  batching.language_weights: got the key True, as YAML reads yes, on and true; {quotes} 'yes'",
        f"  data.languages[1]: got False, as YAML reads no, off and false; {quotes} 'no'",
        f"  model.name: got 12, a number; {quotes} '12'",
        f"  model.revision: got inf, a number; {quotes} 'inf'",
        f"  sweep_name: got 20241128, a number; {quotes} '20241128'",
        f"  tracking.tags[0]: got True, as YAML reads yes, on and true; {quotes} 'yes'",
    ]


@pytest.mark.parametrize("name", ["a=b, c (d)", "Größe_语言", "2024_11_28", "it's", "x" * 200])
def test_names_that_a_folder_can_have(name):
    assert name_problem("sweep_name", name) is None
    assert name_problem("run_name", name) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "not blank"), (" \t", "not blank"), (".", "a dot"), ("..", "a dot"), (".hydra", "a dot"),
        ("../../up", "a dot"), ("a/b", "no slashes"), ("a\\b", "no slashes"), ("${x}", r"no \$\{"),
        ("a\nb", "no control characters"), ("a\x1bb", "no control"), ("a\udcffb", "broken text"),
        ("ü" * 101, "at most 200 bytes, not 202"),
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused_by_every_entry_point(name, said):
    for option, config in (
        ("sweep_name", TrainConfig(sweep_name=name)),
        ("run_name", TrainConfig(run_name=name)),
        ("sweep_name", ReportConfig(sweep_name=name)),
        ("run_name", EvaluateConfig(run_name=name)),
    ):
        assert re.search(said, dict(contradictions(config))[option])


SWEEPS_OWN = (*SWEEP_FILES, layout.SUBMISSIONS, "Report")


@pytest.mark.parametrize("name", SWEEPS_OWN)
def test_a_run_takes_no_name_of_the_sweeps_own_files(name):
    assert "run_name" in dict(contradictions(TrainConfig(run_name=name)))


def test_every_file_of_a_sweeps_folder_is_known():
    """Also those that `layout` gets later."""
    names = Path(layout.__file__).read_text(encoding="utf-8").partition("# A sweep's folder")[2]
    written = set(re.findall(r'^[A-Z_]+ = "(.+)"$', names, flags=re.MULTILINE))
    assert written - {layout.SUBMITTED_RUNS} <= set(SWEEPS_OWN)


def test_contradictions_of_an_evaluation_are_reported_together():
    config = EvaluateConfig(
        run_name="x", precomputed="a", score_runs="b", evaluation=EvaluationConfig(benchmarks=["atlas", "miracl"]),
        post_hoc=PostHocConfig(methods=["lir"]),
    )  # fmt: skip
    assert [path for path, _ in contradictions(config)] == ["score_runs", "post_hoc.methods"]
    assert [path for path, _ in contradictions(EvaluateConfig(run_name="x"))] == ["model.checkpoint"]
