import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from sweep_fixture import result, run_name, without_results, write_done, write_json, write_status, write_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.grid.hydra import CONF_DIR
from mixlingual.reporting import figures, write
from mixlingual.reporting.page import without_dead_links
from mixlingual.reporting.write import write_report

VOID = {"meta", "img", "link", "br"}
SCRIPTS = 5


class Page(HTMLParser):
    """The elements and the text of a page; fails where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self._open[-1:] != ["style"]:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = write_sweep(tmp_path_factory.mktemp("multirun"))
    return write_report(read_sweep(folder), folder / "report")


@pytest.fixture(scope="module")
def page(report):
    return Page(report.page.read_text(encoding="utf-8"))


def test_the_report_holds_all_its_files(report):
    assert {path.name for path in report.tables} == {
        "summary.md", "results.csv", "languages.parquet", "batches.csv", "exposure.csv", "grid_mlqa_r.md",
        "grid_xquad_r.md", "grid_mlqa_r.tex", "grid_xquad_r.tex", "runs.parquet", "questions.parquet", "plan.json",
    }  # fmt: skip
    assert len(report.figures) == 2 * 4
    on_disk = {path for path in report.page.parent.rglob("*") if path.is_file()}
    assert on_disk == {report.page, *report.tables, *report.figures}


def test_a_file_of_an_earlier_report_that_another_report_deletes_first_is_no_error(tmp_path, monkeypatch):
    for name in ("statistics_old.csv", "statistics_kept.csv"):
        (tmp_path / name).touch()
    found = [tmp_path / "statistics_gone.csv", *tmp_path.glob("statistics_*")]
    monkeypatch.setattr("pathlib.Path.glob", lambda self, pattern: found if "statistics" in pattern else [])
    write._remove_earlier(tmp_path, ["statistics_kept.csv"])
    assert [path.name for path in tmp_path.iterdir()] == ["statistics_kept.csv"]


def test_the_summary_shows_findings_as_text(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "primary_findings", lambda _: ["The *gain* of <b>x</b> & `y`"])
    monkeypatch.setattr(figures, "pictures", lambda *_: [])
    folder = write_sweep(tmp_path)
    summary = write.write_report(read_sweep(folder), folder / "report").summary.read_text()
    assert r"- The \*gain\* of \<b>x\</b> & \`y\`" in summary


def test_the_help_names_every_file_of_a_report(report):
    text = (CONF_DIR / "report.yaml").read_text(encoding="utf-8")
    names = {re.sub(r"^(grid|statistics)_.*(?=\.)", r"\1_*", path.name) for path in report.tables} | {
        "statistics_*.csv"
    }
    assert [name for name in sorted(names) if name not in text] == []


def test_the_page_needs_no_other_file(page):
    """What it links to besides, a reader may follow; nothing is loaded."""
    assert all("src" not in attributes for _, attributes in page.elements)
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    (data, *others) = page.scripts
    assert len(json.loads(data)["runs"]) == 20
    assert len(others) == SCRIPTS


def test_the_browser_may_run_our_scripts_and_load_nothing(page):
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts[1:]]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"


def test_the_libraries_come_with_their_licences(page):
    for words in ("Mike Bostock", "Observable, Inc.", "Permission to use, copy, modify"):
        assert words in page.text


def test_the_page_answers_first(page):
    box = page.text.partition("Question and answer")[2].partition("Words on this page")[0]
    assert (
        box.index("4 of 24 runs are missing, so there is no verdict yet.") < box.index("mlqa_r") < box.index("xquad_r")
    )
    assert box.count("Nothing can be compared yet.") == 2, "no scores by question"
    assert page.text.index("Words on this page") < page.text.index("Benchmark")


def test_the_page_tells_how_far_the_sweep_is(page):
    assert "20 of 24 runs done, 1 planned, 1 silent, 1 failed, 1 unreadable." in page.text
    assert "large_r0_s1: CUDA out of memory" in page.text
    assert "Traceback\n  boom <b>" in page.text


def test_the_page_shows_tables_versions_and_fingerprints(page):
    cells = re.sub(r"\s+", " ", page.text)
    assert "small (21M)0.47000.50000.51000.4700" in cells
    for words in (
        "c0ffee0",
        "2.13.0",
        "feedfeedfeedfeed",
        "beefbeefbeefbeef",
        "python -m mixlingual.report sweep_name=demo",
    ):
        assert words in page.text
    best = [attributes for attributes in page.all("td") if attributes.get("class") == "best"]
    assert len(best) == 2 * 4 * 2, "large has one seed where the others have two"


def test_links_to_runs_are_relative_and_lead_there(report, page):
    links = [a["href"] for a in page.all("a") if not a["href"].startswith("#")]
    assert f"../{run_name('small', 0.0, 0)}/" in links
    assert f"../{run_name('small', 0.0, 0)}/result.json" in links
    runs = 24 + 21  # folders, and result.json of those done and of the one that cannot be read
    assert len(links) == runs + 3 + 2 * (2 + 4), "and CSV files, and of each benchmark tables and pictures"
    assert all((report.page.parent / unquote(link)).exists() for link in links)


def test_references_inside_the_page_exist(page):
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")} <= targets
    sections = {"question", "effect", "scores", "trade-off", "languages", "bias", "tables", "batches", "unfinished"}
    assert sections | {"reproduce", "runs"} <= targets


def test_scripts_find_the_elements_that_they_name(page):
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    named = set(re.findall(r"(?:byId|chosen|offer|show)\(\"([\w-]+)\"", page.scripts[-1]))
    assert len(named) > 15
    assert named - targets == {"training", "curves", "curve-model", "curve-column"}, "no run has a curve"


def test_launches_and_starts_are_told(tmp_path):
    run = write_done(tmp_path / "s", result("small", 0.0, 0, languages={"x": ["de", "en"]}))
    job = {"job": "12_0", "submitted": "2026-01-02T10:00:01", "launcher": "slurm"}
    write_json(tmp_path / "s" / "jobs.json", dict.fromkeys("abc", job))
    write_json(run / "status.json", {"state": "done", "attempt": 3, "job": "12_7"})
    text = Page(write_report(read_sweep(tmp_path / "s"), tmp_path / "out").page.read_text(encoding="utf-8")).text
    assert "2026-01-02T10:00: 3 runs by the launcher slurm" in text
    assert "0.2312_7" in text, "minutes, starts and job"


def test_a_page_that_is_published_with_some_of_its_files_links_to_these(report, tmp_path):
    kept = {"results.csv", "figures/mlqa_r_map_grid.svg"}
    for name in kept:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    html = report.page.read_text(encoding="utf-8")
    page = Page(without_dead_links(html, tmp_path))
    whole = Page(html)
    assert {a["href"] for a in page.all("a") if not a["href"].startswith("#")} == kept
    assert len([a for a in page.all("a") if a["href"].startswith("#")]) > 10
    assert (page.text, page.scripts) == (whole.text, whole.scripts)


def test_names_appear_as_text(tmp_path):
    evil = "<script>alert('1')</script>\"&amp;"
    folder = tmp_path / "it's <b>"
    content = result(evil, 0.5, 0) | {"run_name": "a'b <i>", "commit": evil}
    content["config"]["batching"]["name"] = evil
    content["benchmarks"] = {evil: content["benchmarks"]["mlqa_r"]}
    content["versions"] = {evil: evil}
    content["data"] = {evil: evil}
    write_done(folder, content)
    write_status(folder / "failed", "failed", reason=evil, traceback=evil)
    report = write_report(read_sweep(folder), tmp_path / "out")
    text = report.page.read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.all("script")) == 1 + SCRIPTS
    assert not page.all("b")
    assert not page.all("i")
    assert text.count("<script>") == SCRIPTS
    assert page.text.count(evil) > 10
    links = [a["href"] for a in page.all("a") if "a%27b" in a["href"]]
    assert [link.rpartition("/")[2] for link in links] == ["", "result.json"]
    assert all((report.page.parent / unquote(link)).exists() for link in links)
    assert {path.parent for path in (*report.tables, *report.figures)} == {
        tmp_path / "out",
        tmp_path / "out" / "figures",
    }


def test_an_empty_sweep_has_a_page_that_says_so(tmp_path):
    folder = without_results(write_sweep(tmp_path))
    report = write_report(read_sweep(folder), folder / "report")
    page = Page(report.page.read_text(encoding="utf-8"))
    assert "No run has results yet, so there are no tables and pictures." in page.text
    assert "0 of 24 runs done" in page.text
    assert page.scripts == []
    assert report.figures == ()
    assert (folder / "report" / "results.csv").read_text().startswith("run,series,model,")
