"""The checks of a GPU run to their end on a CPU at toy size; what fails is said, and the others go on."""

import json

import pytest

from benchmarks import gpu_check

SKIPPED = ("packed against padded", "memory", "waits", "throughput")


@pytest.fixture
def ran(monkeypatch, capsys):
    """Returns what runs the program and gives its lines."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["gpu_check", *words])
        gpu_check.main()
        return capsys.readouterr().out.splitlines()

    return run


def test_every_check_runs_to_its_end(ran, tmp_path):
    lines = ran("--out", str(tmp_path / "gpu.json"))
    marks = {line.split("  ", 1)[1].split(": ")[0]: line[:4] for line in lines[1:]}
    assert marks == {name: "SKIP" if name in SKIPPED else "PASS" for name in gpu_check.CHECKS}
    checks = json.loads((tmp_path / "gpu.json").read_text())["checks"]
    assert checks["interruption"]["figures"]["exit codes"] == [0, 143, 0]
    assert checks["throughput"]["figures"]["16 pairs, padded"]["pairs a second"] > 0
    assert checks["recomputed against kept"]["figures"]["same bits"]


def test_a_failure_is_named_and_the_others_go_on(ran, monkeypatch, capsys):
    def breaks(scale):
        raise RuntimeError("CUDA error: an illegal memory access\nand more")

    monkeypatch.setitem(gpu_check.CHECKS, "collectives", breaks)
    monkeypatch.setitem(gpu_check.CHECKS, "row optimiser", lambda _: gpu_check.Outcome(passed=False, words="apart"))
    with pytest.raises(SystemExit, match="1"):
        ran("--only", "collectives", "row optimiser", "faiss")
    marks = [line[:4] for line in capsys.readouterr().out.splitlines()[1:]]
    assert marks[:2] == ["FAIL", "FAIL"]
    assert marks[2] != "FAIL"
