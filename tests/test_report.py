import subprocess
import sys

import pytest
from sweep_fixture import write_sweep

LIGHT = """
import sys
import mixlingual.report
import mixlingual.analysis.grid
heavy = {"torch", "pytorch_lightning", "lightning", "transformers", "faiss", "matplotlib.pyplot"}
sys.exit(", ".join(heavy & set(sys.modules)) or None)
"""


@pytest.fixture
def report(tmp_path):
    def run(*options):
        command = [sys.executable, "-m", "mixlingual.report", *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False)

    return run


def test_it_prints_the_summary_and_where_the_report_is(tmp_path, report):
    folder = write_sweep(tmp_path / "multirun", languages={"mlqa_r": ["ar", "de"]})
    before = {path.name for path in tmp_path.iterdir()}
    done = report("sweep_name=demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (folder / "report" / "summary.md").read_text() + "\nreport: multirun/demo/report/index.html\n"
    assert "| base (85M)   |       0.5700 |       0.6000 |       **0.6100** |       0.5700 |" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == before, "Hydra leaves nothing behind"


def test_a_missing_sweep_is_an_error_without_traceback(tmp_path, report):
    write_sweep(tmp_path / "runs")
    failed = report("root=runs", "sweep_name=dmeo")
    assert failed.returncode == 1
    assert "the sweep folder runs/dmeo does not exist; sweeps beside it: demo. Name a sweep" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.stdout == ""


def test_a_wrong_option_is_an_error_without_traceback(report):
    failed = report("sweep_name=[1]")
    assert failed.returncode == 1
    assert "sweep_name" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_reports_import_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
