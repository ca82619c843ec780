import shutil
import subprocess
import sys
import tempfile

import pytest
from inotify import opened
from scored_sweep import write_scored_sweep, write_variant
from sweep_fixture import write_curve, write_sweep

from mixlingual.config.schema import ReportConfig
from mixlingual.report import report as main_report

LIGHT = """
import sys
import mixlingual.report
import mixlingual.analysis.tables.grid
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
    *screen, tables, page = done.stdout.splitlines()
    assert (tables, page) == (
        "all tables: multirun/demo/report/summary.md",
        "report: multirun/demo/report/index.html (opens in any browser)",
    )
    assert len(screen) < 22
    assert max(map(len, screen)) < 80
    assert screen[0] == "20 of 24 runs done, 1 planned, 1 silent, 1 failed, 1 unreadable."
    assert any(line.startswith("mlqa_r: ") for line in screen)
    assert "worse" not in done.stdout, "runs are missing, so that verdicts could turn"
    summary = (folder / "report" / "summary.md").read_text()
    assert "| base (85M)   |       0.5700 |       0.6000 |   **0.6100** |       0.5700 |" in summary
    assert {path.name for path in tmp_path.iterdir()} == before, "Hydra leaves nothing behind"


def test_a_missing_sweep_is_an_error_without_traceback(tmp_path, report):
    write_sweep(tmp_path / "runs")
    failed = report("root=runs", "sweep_name=dmeo")
    assert failed.returncode == 1
    assert "the sweep folder runs/dmeo does not exist; sweeps beside it: demo. Name a sweep" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.stdout == ""


def test_two_reports_are_joined_into_one(tmp_path, report):
    for name, seeds in (("near", (0,)), ("far", (1,))):
        folder = write_sweep(tmp_path / "multirun" / name)
        for run in folder.glob("*_s*"):
            if int(run.name[-1]) not in seeds:
                shutil.rmtree(run)
        (folder / "sweep.json").unlink()
        assert report(f"root=multirun/{name}", "sweep_name=demo", f"output={name}").returncode == 0
    done = report("parts=[near,far]", "sweep_name=demo", "output=both")
    assert (done.returncode, done.stderr) == (0, "")
    summary = (tmp_path / "both" / "summary.md").read_text()
    assert "# Sweep demo\n\n20 of 20 runs done. Read from the reports in near, far.\n" in summary
    assert "| base (85M)   |       0.5700 |       0.6000 |   **0.6100** |       0.5700 |" in summary
    page = (tmp_path / "both" / "index.html").read_text(encoding="utf-8")
    assert "python -m mixlingual.report &#39;parts=[near,far]&#39; sweep_name=demo output=FOLDER" in page
    assert tempfile.gettempdir() not in page

    for options, message in (
        (["parts=[near,far]"], "output: got None; a report of parts needs a folder of its own"),
        (["parts=[near,far]", "output=./far"], "output: got ./far; a report of parts needs"),
        (["parts=[near,nowhere]", "output=x"], "nowhere holds no runs.parquet and questions.parquet"),
        (["parts=[near,near]", "output=x"], "near and near both hold the run"),
    ):
        failed = report(*options)
        assert failed.returncode == 1
        assert message in failed.stderr
        assert "Traceback" not in failed.stderr
        assert not (tmp_path / "x").exists()


def test_a_wrong_option_is_an_error_without_traceback(report):
    failed = report("sweep_name=[1]")
    assert failed.returncode == 1
    assert "sweep_name" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_reports_import_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which files are opened")
def test_each_file_of_a_run_is_opened_once(tmp_path, capsys):
    """With a control, a run that is not done, and corrections after training, all of whose files are read."""
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=(0.0, 0.5, 1.0))
    write_variant(folder, "small", 0.5, 0, 0.01, batch_size=128)
    runs = [path for path in folder.iterdir() if path.is_dir()]
    for run in runs:
        write_curve(run, 100)
    with opened(runs) as found:
        main_report(ReportConfig(sweep_name="scored", root=str(tmp_path)))
    assert "Not computed" not in capsys.readouterr().out
    assert {path.name for path in found} >= {"result.json", "queries.parquet", "curves.csv", "status.json"}
    assert set(found.values()) == {1}, {path: count for path, count in found.items() if count > 1}


def test_two_sweeps_are_put_side_by_side(tmp_path, report):
    for name in ("first", "second"):
        write_scored_sweep(tmp_path, seeds=2, ratios=(0.0, 1.0)).rename(tmp_path / name)
    done = report("root=.", "compare=[first,second]")
    assert (done.returncode, done.stderr) == (0, "")
    assert "changes mAP of large by" in done.stdout.replace("\n", " ")
    assert done.stdout.endswith("page: first/report/compared_with_second/index.html (opens in any browser)\n")
    assert max(map(len, done.stdout.splitlines())) < 80
    for options, said in (
        (["compare=[first]"], "compare: got ['first']; it takes two sweeps, as compare=[first,second]"),
        (["compare=[first,first]"], "it takes two sweeps"),
        (["compare=[first,a/second]"], "no slashes"),
        (["compare=[first,secnod]"], "the sweep folder secnod does not exist"),
    ):
        failed = report("root=.", *options)
        assert failed.returncode == 1
        assert said in failed.stderr
        assert "Traceback" not in failed.stderr
