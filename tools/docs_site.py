"""Hooks of MkDocs: adds options and tutorial, and lets links that leave docs/ lead to copies of their files.

Everything is made from the schema and the repository when the site is built, so that it cannot be out of date.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

import mixlingual
from mixlingual import batches
from mixlingual.config.schema import SCHEMAS

ROOT = Path(__file__).parents[1]
_ALSO = {"train": "distill|preflight|", "cluster": "train "}
"""Options -> other commands that take them, as they stand before their own."""
_STYLE = """
.md-grid { max-width: 76rem; }
.md-typeset td:first-child code { white-space: nowrap; }
"""
"""Wide enough for lines of code of 100 characters; names of options stay whole."""
_LINK = re.compile(r"(?<!!)\[(?P<words>[^\]]*)\]\((?P<target>(?:\.\./)+[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds a page of options for each command, and the decisions, to the navigation."""
    for entry in config.nav:
        if "Reference" in entry:
            entry["Reference"] += [{f"Options of {name}": f"reference/{name}.md"} for name in SCHEMAS]
        if "Explanation" in entry:
            pages = sorted(path.name for path in (ROOT / "docs/decisions").glob("0*.md"))
            entry["Explanation"][-1]["Decisions"] = ["decisions/README.md", *(f"decisions/{name}" for name in pages)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the reference, and the files of the repository that pages link to."""
    for name, schema in SCHEMAS.items():
        files.append(File.generated(config, f"reference/{name}.md", content=options_page(name, schema())))
    files.append(File.generated(config, "reference/python.md", content=python_page()))
    body, resources = MarkdownExporter().from_filename(str(ROOT / "docs/tutorial.ipynb"))
    files.append(File.generated(config, "tutorial.md", content=body))
    for name, image in resources["outputs"].items():
        files.append(File.generated(config, name, content=image))
    files.append(File.generated(config, "site.css", content=_STYLE))
    for path in sorted(_linked()):
        files.append(File.generated(config, _place(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Turns links to files outside docs/ into links to their copies."""
    if page.file.generated_by:
        return markdown
    folder = Path(config.docs_dir, page.file.src_uri).parent

    def turned(link: re.Match[str]) -> str:
        path = (folder / link["target"]).resolve()
        if path.is_relative_to(config.docs_dir):
            return link[0]
        up = "../" * page.file.src_uri.count("/")
        to = "index.md" if path == ROOT / "README.md" else _place(path)
        return f"[{link['words']}]({up}{to}{link['anchor'] or ''})"

    return _LINK.sub(turned, markdown)


def options_page(name: str, config: object) -> str:
    """Returns the page of a command's options: a section for each group, a row for each option."""
    use = "cluster.OPTION=VALUE, with hydra/launcher=submitit_slurm" if name == "cluster" else f"{name} OPTION=VALUE"
    rows = [f"# Options of {name}", "", f"`mixlingual {_ALSO.get(name, '')}{use}`", ""]
    return "\n".join([*rows, *_sections(config, "")]) + "\n"


def python_page() -> str:
    """Returns the page of the public names, from their docstrings: functions first, then what they return."""
    own = sorted((name for name in mixlingual.__all__ if name != "batches"), key=lambda name: (name[0].isupper(), name))
    parts = [
        "# Python reference",
        "## Evaluate, compare, load, export",
        *(_entry(f"mixlingual.{mixlingual._HOMES[name]}.{name}", f"mixlingual.{name}") for name in own),
        "## mixlingual.batches",
        "The plan and the sampler need NumPy alone; [Use the sampler in my trainer](../sampler.md) shows how.",
        *(
            _entry(f"{getattr(batches, name).__module__}.{name}", f"mixlingual.batches.{name}")
            for name in batches.__all__
        ),
        *(
            f"## mixlingual.integrations.{name}\n\n::: mixlingual.integrations.{name}\n"
            "    options:\n      show_root_heading: false\n      heading_level: 3"
            for name in ("sentence_transformers", "mteb")
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _entry(path: str, name: str) -> str:
    return f"::: {path}\n    options:\n      heading: {name}\n      heading_level: 3"


def _sections(config: Any, prefix: str) -> list[str]:
    own, below = [], []
    for part in dataclasses.fields(config):
        value = getattr(config, part.name)
        if dataclasses.is_dataclass(value):
            below += ["", f"## {prefix}{part.name}", "", *_sections(value, f"{prefix}{part.name}.")]
        else:
            own.append(_row(f"{prefix}{part.name}", part.metadata, value))
    head = ["| option | default | meaning | allowed |", "| --- | --- | --- | --- |"] if own else []
    return [*head, *own, *below]


def _row(path: str, about: Any, value: object) -> str:
    allowed = ", ".join(about["choices"] or ())
    if about["low"] is not None:
        allowed = f"{about['low']} to {about['high']:,}"
    shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    cells = (f"`{path}`", f"`{shown}`" if shown else "", about["doc"], allowed)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _linked() -> set[Path]:
    """Returns the files outside docs/ that pages link to."""
    found = set()
    for page in (ROOT / "docs").rglob("*.md"):
        targets = {(page.parent / link["target"]).resolve() for link in _LINK.finditer(page.read_text())}
        found |= {path for path in targets if not path.is_relative_to(ROOT / "docs") and path != ROOT / "README.md"}
    return found


def _place(path: Path) -> str:
    return f"repository/{path.relative_to(ROOT).as_posix()}"
