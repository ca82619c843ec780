"""What a run is: its difference from the first defaults, whatever the code's defaults are today."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mixlingual.config import identity, schema
from mixlingual.config.identity import changes, config_hash, evaluation_hash, not_computed, to_plain
from mixlingual.config.schema import EvaluateConfig, LossConfig, SourceConfig, TrainConfig, option, section, sections

OLD = Path(__file__).parent / "made_by_15f2513"
"""A sweep of commit 15f2513: a run that finished, and one that was killed after its first checkpoint."""
COMMAND = (OLD / "options.txt").read_text().split()


def test_the_hash_names_what_a_run_computes(composed):
    def hashed(*overrides):
        return config_hash(composed(*overrides))

    same = (
        "tracking=offline", "sweep_name=x", "run_name=y", "trainer.workers=2", "trainer.log_every=1", "detach=true",
        "trainer.threads=1", "loss.score_rows=9", "evaluation.root=elsewhere", "analysis.ratio=0.25",
    )  # fmt: skip
    assert {hashed(override) for override in same} == {hashed()}
    other = ["seed=1", "batching.monolingual_ratio=0.25", "model=scratch_m", "trainer.steps=7", "loss.margin=0.1"]
    assert len({hashed(override) for override in other} | {hashed()}) == 6


def test_validation_is_part_of_a_run_where_it_decides_or_holds_out(composed):
    """What is stored of a run that only watches counts as if it had not."""
    watching = composed("validation=lareqa", "validation.questions=7")
    assert config_hash(watching) == config_hash(composed())
    stopping = ("validation=lareqa", "validation.patience=2")
    deciding = [
        composed("validation=lareqa", "validation.select=best"),
        composed(*stopping),
        composed(*stopping, "validation.questions=7"),
        composed(*stopping, "validation.at=[3]"),
        composed("validation.held_out=5"),
    ]
    assert len({config_hash(one) for one in [*deciding, composed()]}) == 6
    assert not list(changes(to_plain(watching), composed()))
    assert not list(changes(to_plain(composed()), watching))
    assert list(changes(to_plain(watching), composed(*stopping))) == [
        "validation.benchmarks: [] there, ['xquad_r'] now",
        "validation.every: None there, 100 now",
        "validation.patience: None there, 2 now",
    ]
    held_out = composed("validation=held_out")
    assert list(changes(to_plain(held_out), composed())) == ["validation.held_out: 200 there, 0 now"]


@dataclasses.dataclass
class MoreLoss(LossConfig):
    """With an option that came later."""

    label_smoothing: float = option(0.0, "New.")
    shown_as: str = option("loss", "New, and nothing is computed with it.", computed=False)


@dataclasses.dataclass
class MoreGroup:
    """A group that came later."""

    depth: int = option(1, "New.")


@dataclasses.dataclass
class Later(TrainConfig):
    """As `TrainConfig` after an update."""

    loss: MoreLoss = section(MoreLoss)  # noqa: RUF009
    more: MoreGroup = section(MoreGroup)  # noqa: RUF009


@dataclasses.dataclass
class MoreSource(SourceConfig):
    """As `SourceConfig` after an update."""

    shuffled: bool = option(default=True, doc="New.")


def test_a_new_option_at_its_default_changes_no_hash():
    assert config_hash(Later()) == config_hash(TrainConfig())
    assert not list(changes(to_plain(TrainConfig()), Later(loss=MoreLoss(shown_as="x"), detach=True)))
    for other in (Later(loss=MoreLoss(label_smoothing=0.1)), Later(more=MoreGroup(2))):
        assert config_hash(other) != config_hash(TrainConfig())
    assert config_hash(Later(loss=MoreLoss(shown_as="x"))) == config_hash(TrainConfig())
    grouped, more = TrainConfig(), TrainConfig()
    grouped.data.sources, more.data.sources = {"a": SourceConfig(["x"])}, {"a": MoreSource(["x"])}
    assert config_hash(more) == config_hash(grouped) != config_hash(TrainConfig())
    more.data.sources["a"].shuffled = False
    assert config_hash(more) != config_hash(grouped)


def test_a_changed_default_is_noticed(monkeypatch):
    @dataclasses.dataclass
    class OtherLoss(LossConfig):
        symmetric: bool = option(default=True, doc="Changed.")

    now = TrainConfig(loss=OtherLoss())
    assert config_hash(now) != config_hash(TrainConfig())
    assert list(changes(to_plain(TrainConfig()), now)) == ["loss.symmetric: False there, True now"]
    assert config_hash(TrainConfig(loss=OtherLoss(symmetric=False))) == config_hash(TrainConfig())

    monkeypatch.setitem(identity._FIRST, "later", {"loss.label_smoothing": 0.25})  # the default of its first day
    assert config_hash(Later()) != config_hash(TrainConfig())
    assert list(changes(to_plain(TrainConfig()), Later())) == ["loss.label_smoothing: 0.25 there, 0.0 now"]
    assert config_hash(Later(loss=MoreLoss(label_smoothing=0.25))) == config_hash(TrainConfig())


def test_an_option_that_is_gone_counts_at_its_first_default(monkeypatch):
    first = json.loads(json.dumps(identity._FIRST))
    first["train"]["loss"]["gone"] = 3
    monkeypatch.setattr(identity, "_FIRST", first)
    before = to_plain(TrainConfig())
    before["loss"]["gone"] = 3
    assert not list(changes(before, TrainConfig()))
    before["loss"]["gone"] = 4
    assert list(changes(before, TrainConfig())) == ["loss.gone: 4 there, 3 now"]


@pytest.mark.parametrize("config", [TrainConfig(), EvaluateConfig()])
def test_the_first_default_of_every_option_is_written_down(config):
    """Where this fails after an option was added: add it under `later` in first_defaults.json, and change no entry."""
    written = identity._FIRST["evaluate" if isinstance(config, EvaluateConfig) else "train"]
    paths = {path for path, _ in identity._leaves(written)} | identity._FIRST["later"].keys()
    hidden = not_computed(type(config))
    computed = {
        path
        for path, _ in identity._leaves(to_plain(config))
        if not any(path == name or path.startswith(f"{name}.") for name in hidden)
    }
    assert computed <= paths


def test_what_computes_nothing_is_said_where_it_is_declared():
    found = not_computed(TrainConfig)
    assert {"tracking", "analysis", "sweep_name", "data.root", "trainer.threads", "evaluation.batch_tokens"} <= set(
        found
    )
    assert not {"loss", "seed", "trainer.steps", "evaluation.search"} & set(found)
    assert "post_hoc.data.root" not in not_computed(EvaluateConfig), "no fingerprint of its content is kept"
    declared = [part for group in sections(TrainConfig).values() for part in dataclasses.fields(group)]
    assert all("computed" in part.metadata for part in (*declared, *dataclasses.fields(TrainConfig)))


def test_the_plain_config_is_json_and_complete():
    plain = to_plain(TrainConfig())
    assert json.loads(json.dumps(plain)) == plain
    assert set(plain) == {field.name for field in dataclasses.fields(TrainConfig)}


def test_hashes_of_15f2513_are_those_of_today():
    """Of three configs, as that commit computed them: finished runs, checkpoints and evaluations keep their names."""
    grouped = TrainConfig()
    grouped.data.sources = {"a": schema.SourceConfig(["x"], 2.0)}
    hashes = config_hash(TrainConfig()), config_hash(grouped), evaluation_hash(EvaluateConfig())
    assert hashes == ("725c5a4679e6", "00bd5d5a807b", "e8c9d173fe97")


def test_runs_of_15f2513_are_finished_or_go_on(tmp_path):
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    environment = os.environ | {"MIXLINGUAL_CACHE": str(tmp_path / "cache")}

    def train(*words):
        command = [sys.executable, "-m", "mixlingual.train", *COMMAND, *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    finished = train("run_name=finished", "trainer.steps=10", "loss.score_rows=8")
    assert finished.returncode == 0, finished.stderr
    assert "finished is finished; nothing to do" in finished.stderr
    other = train("run_name=finished", "trainer.steps=10", "loss.symmetric=true")
    assert other.returncode == 1
    assert "another configuration:\n  loss.symmetric: False there, True now\n" in other.stderr
    (checkpoint,) = tmp_path.glob("multirun/old/cut/checkpoints/*/step-000000005-*.ckpt")
    resumed = train("run_name=cut", "trainer.steps=400")
    assert resumed.returncode == 0, resumed.stderr
    assert f"going on from {checkpoint}" in resumed.stderr
