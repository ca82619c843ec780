"""Every preset composes and is a difference; every option has words, and every number bounds."""

import dataclasses
import math
import re
import subprocess
import sys
import typing

import pytest
from hydra import compose
from omegaconf import OmegaConf, open_dict

from mixlingual.config.checks import to_config
from mixlingual.config.identity import to_plain
from mixlingual.config.schema import SCHEMAS, ClusterConfig, TrainConfig, sections
from mixlingual.grid.compose import compose_runs
from mixlingual.grid.hydra import CONF_DIR

SECTIONS = ("model", "data", "batching", "optim", "trainer", "evaluation", "validation", "tracking")
GROUPS = (*SECTIONS, "experiment", "sweep")
NEED_DATA = ("pairs", "parallel", "paper", "xlmr_xl_sharded")


def choices(*groups):
    return [(group, path.stem) for group in groups for path in sorted((CONF_DIR / group).glob("*.yaml"))]


def test_every_group_has_choices():
    assert {group for group, _ in choices(*GROUPS)} == set(GROUPS)
    assert {path.name for path in CONF_DIR.iterdir() if path.is_dir()} == {
        *GROUPS,
        "cluster",
        "hydra",
        "recipe",
        "runs",
    }
    assert {*SECTIONS, "loss", "analysis", "preflight"} == set(sections(TrainConfig)), "three groups have no presets"


@pytest.mark.parametrize(("group", "choice"), choices(*GROUPS))
def test_every_choice_composes(composed, group, choice, monkeypatch):
    monkeypatch.setenv("MIXLINGUAL_DATA", "somewhere")
    config = composed(f"{group}={choice}", *(["data.root=x"] if choice in NEED_DATA else []))
    if group in ("model", "batching"):
        assert getattr(config, group).name == choice


def test_the_second_grid_is_the_declared_one(monkeypatch):
    monkeypatch.setenv("MIXLINGUAL_DATA", "somewhere")
    runs = compose_runs(["sweep=me5_second"])
    axes = ([run.model.name, run.batching.monolingual_ratio, run.seed] for run in runs)
    sizes, ratios, seeds = (list(dict.fromkeys(axis)) for axis in zip(*axes, strict=True))
    assert (len(runs), ratios, seeds) == (60, [0, 0.25, 0.5, 0.75, 1], [0, 1, 2])
    assert sizes == ["me5_student_l2", "me5_student_l3", "me5_student_l6", "me5_small"]
    assert len({run.model.checkpoint for run in runs}) == len(sizes)
    for run in runs:
        assert run.trainer.pairs == 12_800
        assert [step * run.batching.batch_size for step in run.validation.at] == [1600, 3200, 6400, 12_800]
        assert (run.batching.draw, run.optim.schedule, run.optim.average) == ("stratified", "constant", "ewa")


@pytest.mark.parametrize("primary", ["train", "evaluate"])
@pytest.mark.parametrize("choice", [choice for _, choice in choices("cluster")])
@pytest.mark.usefixtures("composed")
def test_every_cluster_composes(choice, primary):
    overrides = ["hydra/launcher=submitit_slurm", f"cluster={choice}", "model.checkpoint=x", "detach=true"]
    overrides += ["trainer.devices=4", "trainer.nodes=2"] if primary == "train" else []
    whole = compose(primary, overrides=overrides, return_hydra_config=True)
    assert str(whole.hydra.mode).endswith("MULTIRUN"), "Hydra asks a launcher in no other mode"
    with open_dict(whole):
        assert whole.hydra.launcher.pop("_target_").endswith("SlurmGridLauncher")
    config = to_config(ClusterConfig, whole.hydra.launcher)
    assert (config.tasks_per_node, config.nodes) == ((4, 2) if primary == "train" else (1, 1))
    assert config.gpus_per_node in ((None,) if choice in ("none", "slurm_cpu") else (config.tasks_per_node,))
    assert config.detach


@pytest.mark.parametrize("choice", [choice for _, choice in choices("recipe")])
def test_every_recipe_composes(composed, choice):
    config = composed(f"recipe={choice}", primary="prepare")
    assert config.recipe.name == choice
    assert config.recipe.sources
    for source in config.recipe.sources.values():
        assert source.license != "unknown"
        assert re.fullmatch(r"[0-9a-f]{40}", source.pairs.revision or "0" * 40), "a commit: branches move"


@pytest.mark.parametrize(("group", "choice"), choices(*SECTIONS))
def test_presets_are_differences(group, choice):
    """A preset that sets an option to its default would hide later changes of that default."""
    preset = OmegaConf.to_container(OmegaConf.load(CONF_DIR / group / f"{choice}.yaml")) or {}

    def restated(given, standard, path):
        for key, value in given.items():
            if isinstance(value, dict) and isinstance(standard[key], dict):
                yield from restated(value, standard[key], f"{path}.{key}")
            elif value == standard[key] and key != "name" and f"{path}.{key}" != "evaluation.benchmarks":
                yield f"{path}.{key}"

    assert list(restated(preset, to_plain(TrainConfig())[group], group)) == []


@pytest.mark.parametrize("primary", [name for name in SCHEMAS if name != "cluster"])
def test_every_entry_point_composes(composed, primary):
    overrides = {"evaluate": ["model.checkpoint=x"], "export": ["folder=x"]}.get(primary, [])
    assert isinstance(composed(*overrides, primary=primary), SCHEMAS[primary])


def test_run_names_write_numbers_alike(composed):
    assert {composed(f"batching.monolingual_ratio={text}").run_name for text in ("1", "1.0", "1.00")} == {
        "scratch_s_hybrid_r1_s0"
    }


def options(schema, prefix=""):
    """(dotted path, field, type) of every option."""
    hints = typing.get_type_hints(schema)
    for part in dataclasses.fields(schema):
        path = f"{prefix}{part.name}"
        if part.name in sections(schema):
            yield from options(sections(schema)[part.name], f"{path}.")
        else:
            yield path, part, hints[part.name]


ALL = {f"{name}: {path}": rest for name, schema in SCHEMAS.items() for path, *rest in options(schema)}


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_documented_and_every_number_bounded(name):
    part, hint = ALL[name]
    doc = part.metadata["doc"]
    assert len(doc.split()) > 2 or len(doc) > 12, doc
    assert doc.endswith((".", ")."))
    if re.search(r"\b(int|float)\b", str(hint)):
        assert part.metadata["low"] is not None, "a number without bounds may crash what takes it"


def test_the_command_prints_what_the_schema_says():
    def printed(*words):
        command = [sys.executable, "-m", "mixlingual.options", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    shown = printed("cluster", "detach").stdout
    assert shown.splitlines()[0] == "detach"
    assert SCHEMAS["cluster"].__dataclass_fields__["detach"].metadata["doc"] in " ".join(shown.split())
    missing = printed("status", "nothing_like_it")
    assert (missing.returncode, missing.stdout) == (1, "no option's name contains 'nothing_like_it'\n")
    assert len(printed().stdout.splitlines()) > 200


def test_the_sweep_of_batch_sizes_lets_rate_average_and_validation_follow_the_batch():
    runs = compose_runs(["sweep=critical_batch_size"])
    assert len(runs) == len({run.run_name for run in runs}) == 96
    by_size = {run.batching.batch_size: run for run in runs}
    assert {size: run.optim.learning_rate for size, run in by_size.items()} == {
        16: 0.001, 64: 0.002, 128: 0.00282843, 256: 0.004
    }  # fmt: skip
    assert {size: run.validation.every for size, run in by_size.items()} == {16: 32, 64: 8, 128: 4, 256: 2}
    for size, run in by_size.items():
        assert run.optim.average_decay ** (1024 / size) == pytest.approx(math.exp(-1), rel=1e-4)
        assert (run.trainer.pairs, run.optim.schedule, run.optim.warmup) == (8192, "constant", 0.0)
    assert {(run.batching.negatives, run.batching.batch_size): run.parts for run in runs} == {
        (15, 16): 1, (15, 64): 4, (15, 128): 8, (15, 256): 16, (63, 16): 1, (63, 64): 1, (63, 128): 2, (63, 256): 4
    }  # fmt: skip
    assert {run.batching.extra_passages for run in runs} == {0, 48}
