"""Renders one HTML page of a sweep that needs no other file and no network.

The template, the style and our script lie in page/, the libraries that draw in page/vendor/. Everything read from disk
is escaped by the template engine, or is data that the script shows as text; a policy in the page lets the browser run
no other script and load nothing.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from mixlingual.analysis.read.collect import Run, Sweep
from mixlingual.analysis.read.launches import read_launches
from mixlingual.layout import CURVES, LOG, PROBES, QUERIES, RESULT, VALIDATION
from mixlingual.records import is_number
from mixlingual.reporting.answer import Answer, explained, missing_runs
from mixlingual.reporting.labels import counted
from mixlingual.reporting.payload import as_json
from mixlingual.reporting.tables import Table, nothing_to_show, status_line, unfinished

PAGE = "index.html"
"""Name of a page's file."""

_SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "sweep.js", "charts.js", "page.js")
_LICENCES = ("vendor/LICENSE-d3", "vendor/LICENSE-plot")
_RUN_FILES = (RESULT, CURVES, VALIDATION, QUERIES, PROBES, LOG)


class Drawn(NamedTuple):
    """A picture that lies in figures/ beside the page."""

    name: str
    """Of its file, without suffix."""
    title: str
    caption: str
    alt: str
    address: str
    """Of itself, as a page may carry it."""


@dataclass(frozen=True)
class Section:
    """What the page shows of one benchmark beside the charts."""

    benchmark: str
    answer: Answer
    notes: Sequence[str]
    """What its figures must not be compared with."""
    tables: Sequence[Table]
    pictures: Sequence[Drawn]
    files: Sequence[str]
    """Names of the files beside the page with all its tables."""


def render_page(
    sweep: Sweep,
    sections: Sequence[Section],
    unknown: Sequence[str],
    findings: Sequence[str],
    nature: str,
    batches: Table,
    learning: Sequence[Drawn],
    drawn: Mapping[str, Sequence[Drawn]],
    payload: dict[str, Any],
    page: Path,
) -> str:
    """Renders the page as HTML.

    Args:
        sweep: what it is about.
        sections: one per benchmark.
        unknown: benchmarks without a measure that this version knows.
        findings: what the statistics say, a paragraph each.
        nature: what intervals and tests are over; empty where there are none.
        batches: what the batches of each run held.
        learning: learning curves.
        drawn: pictures of the differences (effects), of the dial, of small models, merged encoders and batch sizes.
        payload: what the charts show, from `payload.payload`.
        page: where it will lie, for its links to the folders of the runs.
    """
    scripts = [_part(name) for name in _SCRIPTS]
    return rendered(
        "page.html",
        sweep=sweep,
        status=status_line(sweep),
        unfinished=unfinished(sweep),
        nothing=nothing_to_show(sweep),
        counted=counted,
        tracebacks=[run for run in sweep.in_state("failed") if run.traceback],
        sections=sections,
        unknown=unknown,
        findings=findings,
        nature=nature,
        missing=missing_runs(sweep),
        explained=list(explained([section.answer for section in sections])),
        batches=batches,
        learning=learning,
        effects=drawn.get("effects", ()),
        dial=drawn.get("dial", ()),
        small_models=drawn.get("small models", ()),
        merging=drawn.get("merging", ()),
        batch_sizes=drawn.get("batch sizes", ()),
        curves=any(payload.get("curves", [])),
        launches=read_launches(sweep.folder),
        command=_command(sweep),
        link=lambda run: _link(run, sweep, page),
        files=lambda run: _files(run, sweep),
        minutes=_minutes,
        policy=_policy(scripts),
        data=Markup(as_json(payload)),
        scripts=[Markup(script) for script in scripts],
        licences=[_part(name) for name in _LICENCES],
    )


def plain_page(title: str, text: str) -> str:
    """Shows a text alone, for want of a better page."""
    return f'<!DOCTYPE html><meta charset="utf-8"><title>{escape(title)}</title><pre>{escape(text)}</pre>\n'


def without_dead_links(html: str, folder: Path) -> str:
    """Leaves the words alone of every link whose file is not in `folder`, as a report may be published in part."""

    def kept(link: re.Match[str]) -> str:
        target = unquote(unescape(link["href"]))
        return link[0] if target.startswith("#") or (folder / target).exists() else link["words"]

    body, script, rest = html.partition("<script")
    return re.sub(r'<a href="(?P<href>[^"]*)">(?P<words>[^<]*)</a>', kept, body) + script + rest


def rendered(template: str, **values: Any) -> str:
    """Fills a template of page/, with the macros and the style that all share; every value is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = _part("macros.html") + _part(template)
    return environment.from_string(source).render(style=Markup(_part("page.css")), **values)


def _part(name: str) -> str:
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str]) -> str:
    """Writes the page's Content Security Policy: it allows these scripts, no other, and nothing from elsewhere."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _command(sweep: Sweep) -> str:
    """Gives the command that makes the report again."""
    if sweep.parts:
        joined = f"parts=[{','.join(sweep.parts)}]"
        return shlex.join(["python", "-m", "mixlingual.report", joined, f"sweep_name={sweep.name}", "output=FOLDER"])
    root = sweep.folder.parent
    options = [f"sweep_name={sweep.name}"] + ([] if root == Path("multirun") else [f"root={root}"])
    return shlex.join(["python", "-m", "mixlingual.report", *options])


def _link(run: Run, sweep: Sweep, page: Path) -> str | None:
    """Gives the relative link to the folder of a run; None where it has none, or one that is gone after this report."""
    folder = sweep.folder / run.name
    if sweep.parts:
        return None
    return f"{quote(Path(os.path.relpath(folder, page.parent)).as_posix())}/" if folder.is_dir() else None


def _files(run: Run, sweep: Sweep) -> list[str]:
    """Lists the files of a run that the page links to."""
    return [] if sweep.parts else [name for name in _RUN_FILES if (sweep.folder / run.name / name).exists()]


def _minutes(run: Run) -> str:
    """Says how long a finished run has trained, in minutes."""
    seconds = run.result.timings.get("train") if run.result else None
    return f"{seconds / 60:.1f}" if is_number(seconds) else ""
