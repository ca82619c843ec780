"""Whole runs on the embedded data: what validation leaves, on one process and on several, and what it leaves alone."""

import dataclasses
import json
import re

import pandas as pd
import pytest
from forks import on_ranks
from training_fixture import interrupted

from mixlingual.config.schema import (
    BatchingConfig,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimConfig,
    ScratchConfig,
    TrainConfig,
    TrainerConfig,
    ValidationConfig,
)
from mixlingual.grid.cell import train
from mixlingual.grid.prerequisites import is_done
from mixlingual.runs.validation import read_points

LANGUAGES = ["de", "en"]
STEPS = 16
WHOLE = {"benchmarks": ["atlas"], "languages": LANGUAGES, "questions": None, "candidates": None}


def config_of(validation=None, optim=None, **trainer):
    return TrainConfig(
        model=ModelConfig(scratch=ScratchConfig(1, 32, 2, 64, 1500, 0.1)),
        data=DataConfig(languages=LANGUAGES),
        batching=BatchingConfig(batch_size=16, draw="stratified"),
        optim=OptimConfig(**({"learning_rate": 0.01} | (optim or {}))),
        trainer=TrainerConfig(**({"steps": STEPS, "threads": 1, "checkpoint_steps": 3} | trainer)),
        evaluation=EvaluationConfig(benchmarks=["atlas"], languages=LANGUAGES, precision="fp32"),
        validation=ValidationConfig(**(validation or {})),
    )


def ran(folder, **options):
    """Does a run in a folder; returns its result and the bytes of its weights."""
    train(config_of(**options), folder)
    return json.loads((folder / "result.json").read_text()), (folder / "model/model.safetensors").read_bytes()


def figures(result):
    return [{name: x for name, x in point.items() if name != "seconds"} for point in result["validation"]["points"]]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return ran(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    return folder, *ran(folder, validation=WHOLE | {"every": 6, "at": [0, 4]})


def test_validation_that_watches_changes_no_number(plain, watched):
    folder, result, weights = watched
    without, same = plain
    assert weights == same
    for name in ("benchmarks", "training", "batches", "parameters", "data", "config_hash"):
        assert result[name] == without[name]
    assert without["validation"] == {}
    assert [point["step"] for point in result["validation"]["points"]] == [0, 4, 6, 12, 16]
    assert is_done(folder, config_of()), "nor is it part of what the run is"


def test_the_last_point_is_what_the_evaluation_finds(watched):
    folder, result, _ = watched
    last, final = result["validation"]["points"][-1], result["benchmarks"]["atlas"]
    for setting in ("mono", "cross", "multi"):
        assert last[f"atlas/{setting}/map"] == final[setting]["map"]
    assert last["value"] == final["multi"]["map"]
    assert result["validation"]["points"] == read_points(folder)
    assert result["timings"]["validate"] == pytest.approx(sum(p["seconds"] for p in result["validation"]["points"]))
    assert last["pairs"] == 16 * STEPS
    (warning,) = result["validation"]["warnings"]
    assert "atlas shares 910 questions and 910 candidates with the benchmark atlas: what is chosen by it" in warning
    assert warning in (folder / "run.log").read_text()


def test_an_interrupted_run_leaves_the_same_curve(watched, tmp_path, caplog):
    """And both attempts say what validation costs, before and after."""
    caplog.set_level("INFO")
    _, whole, weights = watched
    options = {"validation": WHOLE | {"every": 6, "at": [0, 4]}}
    with interrupted(8):
        train(config_of(**options), tmp_path)
    assert [point["step"] for point in read_points(tmp_path)] == [0, 4, 6]
    assert "validation at 5 steps on atlas (910 questions and 910 candidates in all languages): 1820" in caplog.text
    assert re.search(r"validated after step 4 in [\d.]+ s: multi 0\.\d+", caplog.text)
    result, same = ran(tmp_path, **options)
    assert same == weights
    assert figures(result) == figures(whole)


def test_one_run_stands_for_shorter_budgets(tmp_path):
    """At a constant rate with averaged weights a point is what a run of so many steps ends with."""
    optim = {"schedule": "constant", "warmup": 0.0, "average": "ewa", "average_decay": 0.8}
    result, _ = ran(tmp_path / "long", validation=WHOLE | {"at": [13]}, optim=optim)
    short, _ = ran(tmp_path / "short", optim=optim, steps=13)
    point = result["validation"]["points"][0]
    for setting in ("mono", "cross", "multi"):
        assert point[f"atlas/{setting}/map"] == short["benchmarks"]["atlas"][setting]["map"]


def test_held_out_items_are_validated_on_and_not_trained_on(tmp_path, plain):
    result, weights = ran(tmp_path, validation={"held_out": 20, "at": [8]})
    assert {name.split("/")[0] for name in result["validation"]["points"][0] if "/" in name} == {"held_out"}
    assert weights != plain[1]
    assert result["config_hash"] != plain[0]["config_hash"]
    assert set(result["data"]) == set(plain[0]["data"]), "the training data say which items these are"
    assert not [w for w in result["validation"]["warnings"] if "questions" in w]


def test_what_selects_is_part_of_the_run(tmp_path):
    options = {"benchmarks": ["atlas"], "languages": ["de"], "questions": 10, "candidates": 20}
    validation = options | {"every": 6, "select": "best", "measure": "mono"}
    result, _ = ran(tmp_path, validation=validation)
    points = {point["step"]: point["value"] for point in result["validation"]["points"]}
    assert points[result["validation"]["selected"]] == max(points.values())
    assert set(result["data"]) >= {"validation/atlas"}
    alone = [warning for warning in result["validation"]["warnings"] if "is in de alone" in warning]
    assert len(alone) == 1
    same = config_of(validation=validation)
    assert is_done(tmp_path, same)
    other = dataclasses.replace(same, validation=dataclasses.replace(same.validation, questions=9))
    with pytest.raises(Exception, match=r"validation\.questions: 10 there, 9 now"):
        is_done(tmp_path, other)


def test_two_processes_measure_what_one_does(tmp_path, watched):
    options = {"validation": WHOLE | {"every": 6, "at": [0, 4]}}

    def one_process():
        train(config_of(**options, devices=2), tmp_path / "run")

    on_ranks(tmp_path, 2, one_process)
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert [point["step"] for point in result["validation"]["points"]] == [0, 4, 6, 12, 16]
    untrained, same = (one["validation"]["points"][0] for one in (result, watched[1]))
    assert untrained["atlas/loss"] == pytest.approx(same["atlas/loss"], rel=1e-5)
    assert untrained["atlas/mono/map"] == pytest.approx(same["atlas/mono/map"], rel=1e-4)
    final = result["benchmarks"]["atlas"]
    assert result["validation"]["points"][-1]["atlas/multi/map"] == pytest.approx(final["multi"]["map"], rel=1e-3)
    assert pd.read_csv(tmp_path / "run/validation.csv").step.tolist() == [0, 4, 6, 12, 16]
