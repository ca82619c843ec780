"""Files looked for before anything is queued, and data that have moved since a run was made."""

import dataclasses
import json
import shutil

import pytest
from run_folder import result_of, write_result

from mixlingual.config.identity import config_hash
from mixlingual.config.schema import DataConfig, EvaluationConfig, ModelConfig, TrainConfig
from mixlingual.data.registry import load_benchmarks, load_corpus
from mixlingual.grid import prerequisites
from mixlingual.grid.prerequisites import check_files, is_done
from mixlingual.records import MixlingualError

TEXTS = {"en": "Who?", "de": "Wer?"}


def corpus(folder, answer="Ann"):
    folder.mkdir(parents=True)
    item = {"id": "1", "query": TEXTS, "passage": {"en": answer, "de": answer}}
    (folder / "items.jsonl").write_text(json.dumps(item) + "\n")
    return folder


def config_of(root):
    evaluation = EvaluationConfig(languages=["de", "en"])
    return TrainConfig(data=DataConfig(name="parallel", root=str(root)), evaluation=evaluation)


def finish(folder, config):
    data = {f"train/{(it := load_corpus(config.data)).name}": it.fingerprint}
    data |= {benchmark.name: benchmark.fingerprint for benchmark in load_benchmarks(config.evaluation)}
    write_result(folder, result_of(config, data=data))


def test_a_finished_run_stays_done_where_its_data_have_moved(tmp_path):
    here = config_of(corpus(tmp_path / "here/train"))
    finish(tmp_path / "run", here)
    there = config_of(corpus(tmp_path / "there/train"))
    assert config_hash(there) == config_hash(here)
    assert is_done(tmp_path / "run", there)


def test_other_data_under_a_new_folder_are_refused(tmp_path):
    finish(tmp_path / "run", config_of(corpus(tmp_path / "here/train")))
    there = config_of(corpus(tmp_path / "there/train", answer="Bob"))
    with pytest.raises(
        MixlingualError, match=r"was made from other data than data\.root=.*there/train and .* now: train/train\n"
    ):
        is_done(tmp_path / "run", there)
    with pytest.raises(MixlingualError, match=r"data\.root=.*nowhere"):
        is_done(tmp_path / "run", config_of(tmp_path / "nowhere"))


def test_other_data_in_the_same_folder_are_refused(tmp_path):
    config = config_of(corpus(tmp_path / "train"))
    finish(tmp_path / "run", config)
    assert is_done(tmp_path / "run", config)
    shutil.rmtree(tmp_path / "train")
    corpus(tmp_path / "train", answer="Bob")
    prerequisites._fingerprints.cache_clear()  # another process
    with pytest.raises(MixlingualError, match="was made from other data"):
        is_done(tmp_path / "run", config)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": DataConfig(name="parallel", root="nowhere")}, r"data\.root=nowhere holds no"),
        ({"evaluation": EvaluationConfig(benchmarks=["mlqa_r"], root="nowhere")}, "mlqa-r"),
        ({"model": ModelConfig(checkpoint="./nowhere")}, "nowhere"),
    ],
)
def test_missing_files_are_named(change, said):
    with pytest.raises(MixlingualError, match=said):
        check_files([TrainConfig(), dataclasses.replace(TrainConfig(), **change)])


def test_what_is_there_passes(tmp_path):
    check_files([TrainConfig(), config_of(corpus(tmp_path / "here/train"))])
