"""Every config composes; every mistake is reported, with its path, together with the others."""

import dataclasses
import itertools
import json

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

from mixlingual.config.checks import ConfigError, to_config
from mixlingual.config.identity import config_hash, to_plain
from mixlingual.config.schema import (
    BENCHMARKS,
    ClusterConfig,
    DashboardConfig,
    EvaluateConfig,
    ReportConfig,
    StatusConfig,
    TrainConfig,
)
from mixlingual.grid.hydra import CONF_DIR, flags_to_options, register
from mixlingual.options import describe

GROUPS = ("model", "data", "batching", "optim", "trainer", "evaluation", "tracking", "experiment", "sweep")
NEED_DATA = ("parallel", "paper", "xlmr_xl_sharded")


@pytest.fixture(scope="module", autouse=True)
def _hydra():
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        yield


SHARDED = ["trainer.strategy=shard", "trainer.devices=2", "optim.embeddings=dense"]


def choices(group):
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))


def test_every_group_has_choices():
    assert {group for group in GROUPS if choices(group)} == set(GROUPS)
    assert {path.name for path in CONF_DIR.iterdir() if path.is_dir()} == {*GROUPS, "cluster", "hydra"}


@pytest.mark.parametrize(("group", "choice"), [(group, choice) for group in GROUPS for choice in choices(group)])
def test_every_choice_composes(group, choice, monkeypatch):
    monkeypatch.setenv("MIXLINGUAL_DATA", "somewhere")
    overrides = [f"{group}={choice}"] + (["data.root=x"] if choice in NEED_DATA else [])
    config = to_config(TrainConfig, compose("train", overrides=overrides))
    if group in ("model", "batching"):
        assert getattr(config, group).name == choice


@pytest.mark.parametrize("primary", ["train", "evaluate"])
@pytest.mark.parametrize("choice", choices("cluster"))
def test_every_cluster_composes(choice, primary):
    overrides = ["hydra/launcher=submitit_slurm", f"cluster={choice}", "model.checkpoint=x"]
    overrides += ["trainer.devices=4", "trainer.nodes=2"] if primary == "train" else []
    composed = compose(primary, overrides=overrides, return_hydra_config=True)
    with open_dict(composed):
        assert composed.hydra.launcher.pop("_target_").endswith("SlurmGridLauncher")
    config = to_config(ClusterConfig, composed.hydra.launcher)
    assert (config.tasks_per_node, config.nodes) == ((4, 2) if primary == "train" else (1, 1))
    assert config.gpus_per_node in ((None,) if choice in ("none", "slurm_cpu") else (config.tasks_per_node,))


@pytest.mark.parametrize(("group", "choice"), [(g, c) for g in GROUPS[:7] for c in choices(g)])
def test_presets_are_differences(group, choice):
    """A preset that sets an option to its default would hide later changes of that default."""
    preset = OmegaConf.to_container(OmegaConf.load(CONF_DIR / group / f"{choice}.yaml")) or {}
    default = to_plain(TrainConfig())[group]

    def restated(given, standard, path=""):
        for key, value in given.items():
            if isinstance(value, dict) and isinstance(standard[key], dict):
                yield from restated(value, standard[key], f"{path}{key}.")
            elif value == standard[key] and key != "name" and f"{group}.{path}{key}" != "evaluation.benchmarks":
                yield f"{group}.{path}{key}"

    assert list(restated(preset, default)) == []


@pytest.mark.parametrize(
    ("name", "schema"),
    [("evaluate", EvaluateConfig), ("report", ReportConfig), ("status", StatusConfig), ("dashboard", DashboardConfig)],
)
def test_the_other_entry_points_compose(name, schema):
    overrides = ["model.checkpoint=x"] if name == "evaluate" else []
    assert isinstance(to_config(schema, compose(name, overrides=overrides)), schema)


def test_all_mistakes_at_once():
    overrides = [
        "trainer.steps=many", "batching.monolingual_ratio=1.5", "model.pooling=max", "optim.betas=[0.9]",
        "evaluation.benchmarks=[mlqa]", "data.sources={a: {files: [x], weight: -1}}",
    ]  # fmt: skip
    with pytest.raises(ConfigError) as error:
        to_config(TrainConfig, compose("train", overrides=overrides))
    lines = str(error.value).splitlines()
    assert lines[0] == "6 mistakes in the configuration:"
    assert sorted(lines[1:]) == [
        "  batching.monolingual_ratio: got 1.5; the largest allowed is 1.0",
        "  data.sources.a.weight: got -1.0; the smallest allowed is 0.0",
        f"  evaluation.benchmarks[0]: got 'mlqa'; allowed: {', '.join(BENCHMARKS)}",
        "  model.pooling: got 'max'; allowed: mean, cls, last",
        "  optim.betas: got 1 numbers; AdamW takes two, as in [0.9, 0.999]",
        "  trainer.steps: Value 'many' of type 'str' could not be converted to Integer",
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.pairs=5"], "trainer.steps: exactly one of trainer.steps and trainer.pairs"),
        (["trainer.steps=null"], "trainer.steps: exactly one of"),
        (["data=parallel"], "data.root: data=parallel needs the folder"),
        (["optim.betas=[0.9]"], "optim.betas: got 1 numbers"),
        (["run_name=a/b"], "run_name: got 'a/b'; it names a folder"),
        (["sweep_name=.."], "sweep_name: got '..'"),
        (["model.scratch.hidden=30"], "model.scratch.hidden: got 30, which"),
        (["model.layers=[2,0]"], r"model.layers: got \[2, 0\]; list each kept layer once"),
        (["optim.learning_rate=nan"], "optim.learning_rate: got nan; it must be a finite number"),
        (["optim.gradient_clip=0"], "optim.gradient_clip: got 0.0; the smallest allowed is 1e-06"),
        (["optim.betas=[0.9,1.0]"], r"optim.betas\[1\]: got 1.0; the largest allowed is"),
        (["batching.batch_size=9", "trainer.accumulate=2"], "batching.batch_size: got 9, which trainer.accumulate=2"),
        (
            ["batching.batch_size=6", "trainer.accumulate=2", "trainer.probe_every=5"],
            "trainer.probe_every: probes halve the batch of 6, and trainer.accumulate=2 times trainer.devices=1 does",
        ),
        (
            ["trainer.strategy=shard", "trainer.devices=2", "trainer.probe_every=5"],
            "trainer.probe_every: 5 cannot go together with trainer.strategy=shard; set it to null",
        ),
        (["batching.final_ratio=0.1"], "batching.final_ratio: a constant ratio has no other end"),
        (["data.root=${oc.env:NOWHERE_SET}"], "data.root: .*NOWHERE_SET"),
        (["batching.batch_size=0"], "batching.batch_size: got 0; the smallest allowed is 2"),
        ([*SHARDED, "trainer.devices=1"], "trainer.strategy: got shard with one device; set trainer.devices"),
        ([*SHARDED, "optim.embeddings=rows"], "optim.embeddings: rows cannot go together with trainer.strategy=shard"),
        ([*SHARDED, "optim.average=ewa"], "optim.average: ewa cannot go together"),
        ([*SHARDED, "model.learn_temperature=true"], "model.learn_temperature: true cannot go together"),
        ([*SHARDED, "trainer.probe_every=5"], "trainer.probe_every: 5 cannot go together"),
        ([*SHARDED, "trainer.compile=true"], "trainer.compile: true cannot go together"),
    ],
)
def test_each_contradiction_has_its_message(overrides, message):
    with pytest.raises(ConfigError, match=message):
        to_config(TrainConfig, compose("train", overrides=overrides))


@pytest.mark.parametrize("frozen", ["model.train_embeddings=false", "model.lora.rank=4"])
def test_a_frozen_table_has_no_rows_to_shard(frozen):
    to_config(TrainConfig, compose("train", overrides=[*SHARDED, "optim.embeddings=rows", frozen]))


def test_run_names_write_numbers_alike():
    names = {
        to_config(TrainConfig, compose("train", overrides=[f"batching.monolingual_ratio={text}"])).run_name
        for text in ("1", "1.0", "1.00")
    }
    assert names == {"scratch_s_hybrid_r1_s0"}


def test_the_hash_names_what_a_run_computes():
    def hashed(*overrides):
        return config_hash(to_config(TrainConfig, compose("train", overrides=list(overrides))))

    same = [
        "tracking=offline",
        "sweep_name=x",
        "run_name=y",
        "trainer.workers=2",
        "trainer.log_every=1",
        "trainer.threads=1",
        "loss.score_rows=9",
        "evaluation.root=elsewhere",
    ]
    assert {hashed(override) for override in same} == {hashed()}
    other = ["seed=1", "batching.monolingual_ratio=0.25", "model=scratch_m", "trainer.steps=7", "loss.margin=0.1"]
    assert len({hashed(override) for override in other} | {hashed()}) == 6


def test_the_plain_config_is_json_and_complete():
    plain = to_plain(TrainConfig())
    assert json.loads(json.dumps(plain)) == plain
    assert set(plain) == {field.name for field in dataclasses.fields(TrainConfig)}


def test_every_option_is_documented():
    configs = (TrainConfig(), EvaluateConfig(), ReportConfig(), ClusterConfig())
    texts = dict(itertools.chain.from_iterable(map(describe, configs)))
    assert len(texts) > 60
    assert all(len(text.splitlines()[1].strip()) > 10 for text in texts.values())


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["sweep_name=a", "--watch"], ["sweep_name=a", "watch=true"]),
        (["--seconds", "2", "--view=grid", "--json"], ["seconds=2", "view=grid", "json=true"]),
        (["--help", "--silent-minutes", "3"], ["--help", "silent_minutes=3"]),
    ],
)
def test_flags_stand_for_options(words, options):
    assert flags_to_options(words, StatusConfig) == options
