"""The pages of docs/ build as a site in which every link leads somewhere and every option has a row."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

import mixlingual
from mixlingual.config.schema import SCHEMAS
from mixlingual.options import describe

ROOT = Path(__file__).parents[1]
HTTP = ("http", "https")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    return folder


class Links(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.places = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.places |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a":
            self.links.add(values.get("href") or "")
        elif tag != "meta":
            self.loads |= {values[name] for name in ("src", "href") if values.get(name)}


@pytest.fixture(scope="module")
def pages(site):
    """Path -> links of every page but the reports, which tests/test_results.py checks."""
    found = [path for path in site.rglob("*.html") if path.name != "404.html" and "me5_grid" not in path.parts]
    return {path: Links(path.read_text()) for path in found}


def test_every_page_is_in_the_navigation(site):
    start = (site / "index.html").read_text()
    docs = ROOT / "docs"
    sources = [*docs.glob("*.md"), *docs.glob("*.ipynb"), *docs.glob("decisions/*.md"), *docs.glob("results/*.md")]
    places = [str(path.relative_to(docs).with_suffix(".html")).replace("README", "index") for path in sources]
    places += [f"reference/{name}.html" for name in ("python", *SCHEMAS)]
    assert not [place for place in places if f'href="{place}"' not in start]


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_option_has_a_row(site, name):
    page = (site / "reference" / f"{name}.html").read_text()
    assert not [path for path, _ in describe(SCHEMAS[name]()) if f"<td><code>{path}</code></td>" not in page]


def test_every_public_name_is_documented(site):
    lines = {line.strip() for line in (site / "reference" / "python.html").read_text().splitlines()}
    names = [*mixlingual.__all__, *(f"batches.{name}" for name in mixlingual.batches.__all__)]
    assert not [name for name in names if name != "batches" and f"mixlingual.{name}" not in lines]


def test_every_link_leads_to_a_place_in_the_site(site, pages):
    """The build checks links between pages of docs/; here are also those that leave it, and those of made pages."""
    assert len(pages) > 40
    dead = []
    for page, has in pages.items():
        for link in (*has.links, *has.loads):
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.is_file() or (target in pages and parts.fragment not in ("", *pages[target].places)):
                dead.append((str(page.relative_to(site)), link))
    assert not dead


def test_pages_ask_nothing_of_a_network(pages):
    assert not [(page, load) for page, has in pages.items() for load in has.loads if urlsplit(load).scheme in HTTP]


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("[away](nowhere.md)")
    config = load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(docs), site_dir=str(tmp_path / "site"), nav=None)
    with pytest.raises(Abort):
        build(config)
