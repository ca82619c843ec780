"""The pages of docs/ build as a site in which every link leads somewhere and every option has a row."""

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

import mixlingual
from mixlingual.config.schema import SCHEMAS
from mixlingual.options import describe

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    return folder


def test_every_page_is_in_the_navigation(site):
    start = (site / "index.html").read_text()
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/decisions").glob("*.md")]
    places = [str(path.relative_to(ROOT / "docs").with_suffix(".html")).replace("README", "index") for path in pages]
    assert not [place for place in places if f'href="{place}"' not in start]


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_option_has_a_row(site, name):
    page = (site / "reference" / f"{name}.html").read_text()
    assert not [path for path, _ in describe(SCHEMAS[name]()) if f"<td><code>{path}</code></td>" not in page]


def test_every_public_name_is_documented(site):
    page = (site / "reference" / "python.html").read_text()
    assert not [name for name in mixlingual.__all__ if f"mixlingual.{name}" not in page]


def test_what_pages_link_to_is_in_the_site(site):
    """Links of the pages themselves are checked by the build; those that leave docs/ lead to copies."""
    targets = re.findall(r'href="([^"#:]*repository/[^"#]+)', (site / "library.html").read_text())
    assert len(targets) >= 5
    assert all((site / target).exists() for target in targets)


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("[away](nowhere.md)")
    config = load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(docs), site_dir=str(tmp_path / "site"), nav=None)
    with pytest.raises(Abort):
        build(config)
