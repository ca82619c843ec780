import pytest
from sweep_fixture import write_json

from mixlingual.analysis.read.launches import Launch, read_launches


def test_runs_that_were_submitted_together_are_one_launch(tmp_path):
    jobs = {
        "a": {"job": "12_0", "submitted": "2026-01-02T10:00:01", "launcher": "slurm"},
        "b": {"job": "12_1", "submitted": "2026-01-02T10:00:59", "launcher": "slurm"},
        "c": {"job": "4711", "submitted": "2026-01-01T09:00:00", "launcher": "local"},
    }
    write_json(tmp_path / "jobs.json", jobs)
    assert read_launches(tmp_path) == [Launch("2026-01-01T09:00", "local", 1), Launch("2026-01-02T10:00", "slurm", 2)]


@pytest.mark.parametrize("content", [None, [], {"a": 1}, {"a": {"submitted": "2026"}}])
def test_without_a_readable_record_there_are_none(tmp_path, content):
    if content is not None:
        write_json(tmp_path / "jobs.json", content)
    assert read_launches(tmp_path) == []
