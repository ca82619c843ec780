"""What a sweep says about runs that did not finish, and the words of its command line."""

import json

import pytest

from mixlingual.sweep import _reason, spelled_out

JOB = {"job": "12_3", "launcher": "slurm", "log": "/logs/12_3_0_log.err"}


def write(folder, name, content):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def failed(job, reason="ValueError: bad"):
    return {"state": "failed", "reason": reason, "job": job}


@pytest.mark.parametrize(
    ("job", "status", "crash", "said"),
    [
        (None, None, None, "never started"),
        (None, {"state": "started", "reason": None}, None, "ended without a word: killed, or out of memory"),
        (None, failed(None), None, "ValueError: bad"),
        ({"ended": "FAILED"}, failed("12_3"), None, "ValueError: bad; log: /logs/12_3_0_log.err"),
        ({"ended": "FAILED"}, failed("11_3"), None, "job 12_3 ended FAILED without a result; log: /logs/12_3_0_log.err"),
        (
            {"ended": "CANCELLED"}, failed("12_3", "interrupted"), None,
            "job 12_3 was cancelled; the same command starts it again; log: /logs/12_3_0_log.err",
        ),
        (
            {"ended": "FAILED"}, {"state": "started", "job": "12_3"},
            {"job": "12_3", "status": 137, "step": 40, "crashes": 3, "requeued": False},
            "job 12_3 crashed 3 times without getting beyond step 40 (exit status 137: killed, as where memory is "
            "short); log: /logs/12_3_0_log.err",
        ),
        (
            {"ended": "NODE_FAIL"}, None, {"job": "12_3", "status": 1, "step": 0, "crashes": 1, "requeued": True},
            "job 12_3 ended NODE_FAIL without a result; log: /logs/12_3_0_log.err",
        ),
        ({"ended": "GONE", "launcher": "local"}, failed(None), None, "ValueError: bad; log: /logs/12_3_0_log.err"),
    ],
)  # fmt: skip
def test_why_a_run_is_not_done(tmp_path, job, status, crash, said):
    for name, content in (("status.json", status), ("crash.json", crash)):
        if content is not None:
            write(tmp_path, name, content)
    assert _reason(tmp_path, None if job is None else JOB | job) == said


def test_a_result_needs_no_reason(tmp_path):
    write(tmp_path, "result.json", {})
    write(tmp_path, "status.json", failed("12_3"))
    assert _reason(tmp_path, JOB | {"ended": "FAILED"}) is None


def test_detach_is_an_option_of_the_launcher():
    words = ["sweep=demo", "hydra/launcher=submitit_slurm", "--detach"]
    assert spelled_out(words) == [*words[:2], "hydra.launcher.detach=true"]
    assert spelled_out(["sweep=demo", "-m"]) == ["sweep=demo", "-m"]
    with pytest.raises(SystemExit, match=r"--detach .* add hydra/launcher=submitit_slurm"):
        spelled_out(["sweep=demo", "--detach"])
