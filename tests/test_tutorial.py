"""The tutorial runs from its first cell to its last, and gives the kinds of output that it shows."""

import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def shown(notebook):
    """Kinds of what each cell shows, and names of streams, which may come in several pieces."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [{output.get("name") or " ".join(sorted(output.data)) for output in cell.outputs} for cell in code]


def text(notebook):
    """What the cells print; a terminal ends its lines in two characters."""
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    return printed.replace("\r\n", "\n")


def test_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # for !mixlingual
    stored = nbformat.read(TUTORIAL, as_version=4)
    assert TUTORIAL.stat().st_size < 100_000
    run = nbformat.read(TUTORIAL, as_version=4)
    NotebookClient(run, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert shown(run) == shown(stored)
    for words in ("sweep tutorial: 6 of 6 runs done", "Pool of all, rank distance", "tutorial/report/index.html"):
        assert words in text(run)
        assert words in text(stored)
    assert (tmp_path / "multirun/tutorial/report/index.html").exists()


def test_the_page_on_reports_shows_what_the_tutorial_does():
    page = (TUTORIAL.parent / "read_the_report.md").read_text()
    (screen,) = re.findall(r"```\n(6 of 6 runs.*?)```", page, flags=re.DOTALL)
    assert screen in text(nbformat.read(TUTORIAL, as_version=4))
