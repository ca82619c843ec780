"""The files of a run: what they say after success, failure, interruption and a second start."""

import json

import pandas as pd
import pytest

from mixlingual.config import TrainConfig, config_hash, to_plain
from mixlingual.records import MixlingualError, RunResult
from mixlingual.run_record import RunRecord


def status(folder):
    return json.loads((folder / "status.json").read_text())


def finished(config):
    return RunResult(
        "sweep", "run", to_plain(config), config_hash(config), None, {}, {}, {}, {}, {}, {"toy": {}}, {"train": 1.0}
    )


def test_a_finished_run_is_done_and_has_no_checkpoints_left(tmp_path):
    config = TrainConfig()
    record = RunRecord(tmp_path / "run", config)
    assert not record.is_done()
    with record.attempt() as attempt:
        (tmp_path / "run/checkpoints").mkdir()
        assert status(tmp_path / "run")["state"] == "started"
        record.save(attempt, finished(config), pd.DataFrame({"ap": [0.5]}))
    assert status(tmp_path / "run")["state"] == "done"
    assert RunRecord(tmp_path / "run", config).is_done()
    assert not (tmp_path / "run/checkpoints").exists()
    assert pd.read_parquet(tmp_path / "run/queries.parquet").ap.tolist() == [0.5]


def test_another_config_is_refused_with_the_difference(tmp_path):
    with (record := RunRecord(tmp_path, TrainConfig())).attempt() as attempt:
        record.save(attempt, finished(TrainConfig()), pd.DataFrame())
    other = TrainConfig(seed=7)
    other.optim.eps = 0.5
    with pytest.raises(MixlingualError, match=r"optim\.eps: 1e-08 there, 0\.5 now\n  seed: 0 there, 7 now\nChoose"):
        RunRecord(tmp_path, other).is_done()


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_foreign_result_is_refused(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(MixlingualError, match="is not a result of ours"):
        RunRecord(tmp_path, TrainConfig()).is_done()


def test_failure_keeps_reason_and_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), RunRecord(tmp_path, TrainConfig()).attempt():
        1 / 0  # noqa: B018
    assert status(tmp_path)["state"] == "failed"
    assert status(tmp_path)["reason"] == "ZeroDivisionError: division by zero"
    assert "1 / 0" in status(tmp_path)["traceback"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_says_how_to_go_on(tmp_path, error):
    with pytest.raises(error), RunRecord(tmp_path, TrainConfig()).attempt():
        raise error
    assert status(tmp_path)["reason"] == "interrupted; started again it goes on from its newest checkpoint"


def test_one_process_at_a_time(tmp_path):
    with RunRecord(tmp_path, TrainConfig()).attempt():
        with (
            pytest.raises(MixlingualError, match="is being trained by another process"),
            RunRecord(tmp_path, TrainConfig()).attempt(),
        ):
            pytest.fail("the second attempt began")
        assert status(tmp_path)["state"] == "started", "the first one's status is left alone"
    with RunRecord(tmp_path, TrainConfig()).attempt():
        pass
