import base64
import re
from html.parser import HTMLParser
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from sweep_fixture import result, run_name, without_results, write_done, write_status, write_sweep

from mixlingual.reporting.write import write_report

VOID = {"meta", "img", "link", "br"}


class Page(HTMLParser):
    """The elements and the text of a page; fails where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
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
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = write_sweep(tmp_path_factory.mktemp("multirun"))
    return write_report(folder, folder / "report")


@pytest.fixture(scope="module")
def page(report):
    return Page(report.page.read_text(encoding="utf-8"))


def test_the_report_holds_all_its_files(report):
    assert {path.name for path in report.tables} == {
        "summary.md", "results.csv", "languages.csv", "batches.csv", "exposure.csv", "grid_mlqa_r.md",
        "grid_xquad_r.md",
    }  # fmt: skip
    assert len(report.figures) == 2 * 4 * 2
    on_disk = {path for path in report.page.parent.rglob("*") if path.is_file()}
    assert on_disk == {report.page, *report.tables, *report.figures}


def test_the_page_needs_no_other_file(page):
    assert not page.all("script")
    assert not page.all("link")
    images = page.all("img")
    assert len(images) == 8
    for image in images:
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert ET.fromstring(base64.b64decode(data)).tag == "{http://www.w3.org/2000/svg}svg"
        assert image["alt"]


def test_the_page_tells_how_far_the_sweep_is(page):
    assert "20 of 24 runs done, 1 failed, 1 not readable, 1 running or cut off, 1 not started." in page.text
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
    assert len(best) == 2 * 4 * 3


def test_links_to_runs_are_relative_and_lead_there(report, page):
    links = [a["href"] for a in page.all("a") if not a["href"].startswith("#")]
    assert f"../{run_name('small', 0.0, 0)}/" in links
    assert len(links) == 24 + 3
    assert all((report.page.parent / unquote(link)).exists() for link in links)


def test_references_inside_the_page_exist(page):
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")} <= targets
    assert {"question", "grid", "benchmark-1", "benchmark-2", "batches", "reproduce", "runs"} == targets


def test_names_appear_as_text(tmp_path):
    evil = "<script>alert('1')</script>\"&amp;"
    folder = tmp_path / "it's <b>"
    content = result(evil, 0.5, 0) | {"run_name": "a'b <i>", "commit": evil}
    content["config"]["batching"]["name"] = evil
    content["benchmarks"] = {evil: content["benchmarks"]["mlqa_r"]}
    content["versions"] = {evil: evil}
    content["data"] = {evil: evil}
    write_done(folder, content)
    write_status(folder / "failed", "failed", evil, evil)
    report = write_report(folder, tmp_path / "out")
    text = report.page.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.all("script")
    assert not page.all("b")
    assert not page.all("i")
    assert "<script" not in text
    assert page.text.count(evil) > 10
    (link,) = [a["href"] for a in page.all("a") if "a%27b" in a["href"]]
    assert (report.page.parent / unquote(link)).is_dir()
    assert {path.parent for path in (*report.tables, *report.figures)} == {
        tmp_path / "out",
        tmp_path / "out" / "figures",
    }


def test_an_empty_sweep_has_a_page_that_says_so(tmp_path):
    folder = without_results(write_sweep(tmp_path))
    report = write_report(folder, folder / "report")
    page = Page(report.page.read_text(encoding="utf-8"))
    assert "No run has results yet, so there are no tables and pictures." in page.text
    assert "0 of 24 runs done" in page.text
    assert page.all("img") == []
    assert report.figures == ()
    assert (folder / "report" / "results.csv").read_text().startswith("run,series,model,")
