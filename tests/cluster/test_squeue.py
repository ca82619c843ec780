from pathlib import Path

import pytest

from mixlingual.cluster.queue import Job
from mixlingual.cluster.squeue import job_states, listed_jobs

ANSWER = """#!/bin/sh
echo "12|0|RUNNING|None|/a/x.sh"
echo "12|1|PENDING|Priority|/a/x.sh"
echo "12|2|OUT_OF_MEMORY|OutOfMemory|/a/x.sh"
echo "13|N/A|PENDING|JobHeldUser|/b/tr|ain.sh"
echo "slurm_load_jobs notice"
"""


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Makes a program of that name the only one of the path."""

    def put(script):
        (tmp_path / "squeue").write_text(script)
        (tmp_path / "squeue").chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path))
    return put


def test_states_of_jobs_and_why_they_wait(squeue):
    squeue(ANSWER)
    assert job_states() == {"12_0": "RUNNING", "12_1": "PENDING (Priority)", "13": "PENDING (JobHeldUser)"}
    assert listed_jobs(10)["13"] == Job("HELD", Path("/b"), "JobHeldUser")
    assert listed_jobs(10)["12_2"].state == "OUT_OF_MEMORY"


def test_without_slurm_or_its_answer_nothing_is_known(squeue):
    assert job_states() is None
    squeue("#!/bin/sh\nexit 1\n")
    assert job_states() is None
