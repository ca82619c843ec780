"""What the README and the docs tell a user to type exists and is valid."""

import functools
import operator
import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from mixlingual.config.checks import to_config
from mixlingual.config.schema import SCHEMAS, TrainConfig
from mixlingual.grid.compose import compose_runs, own_presets
from mixlingual.grid.doors import as_written
from mixlingual.grid.hydra import CONF_DIR, register
from mixlingual.options import describe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md"))]

LINKING = [*PAGES, *sorted(ROOT.glob("C*.md")), ROOT / "docs/tutorial.ipynb"]


def commands():
    """Yields every line of the shell blocks, with continued lines joined and comments taken off."""
    for page in PAGES:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if words := shlex.split(line, comments=True):
                    yield pytest.param(words, id=" ".join(words))


@pytest.fixture(autouse=True)
def _star(monkeypatch):
    """Composes, of a grid, the first cell and those that differ from it in one option: each value of each option."""
    split = BasicSweeper.split_arguments

    def star(overrides, size):
        (cells,) = split(overrides, size)
        return [[cell for cell in cells if sum(map(operator.ne, cell, cells[0])) < 2]]

    monkeypatch.setattr(BasicSweeper, "split_arguments", staticmethod(star))


@functools.cache
def checked(module, overrides):
    """Returns the configs of a command's runs; `preflight` takes what `train` does."""
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        if module == "train":
            return compose_runs(overrides)
        schema = TrainConfig if module == "distill" else SCHEMAS[module]
        return [to_config(schema, compose(module, overrides=as_written(overrides, schema)))]


def asked(words):
    """Splits a command from the module's name on into (module, overrides)."""
    module = words[0].removeprefix("mixlingual.")
    overrides = [word for word in words[1:] if word != "-m"]
    if "--config-dir" in overrides:  # of the project that `mixlingual new` writes
        place = overrides.index("--config-dir")
        overrides = own_presets(str(ROOT / "src/mixlingual/project/conf"), overrides[:place] + overrides[place + 2 :])
    if module == "preflight":
        module = "prepare" if any(word.startswith("recipe=") for word in overrides) else "train"
    if module == "prepare":  # a sweep of workers is of one option, and each takes the first of its values
        overrides = [re.sub(r"^(worker=\d+),.*", r"\1", word) for word in overrides]
    return module, tuple(overrides)


def test_there_are_commands():
    assert len(list(commands())) > 10


@pytest.mark.parametrize("words", list(commands()))
def test_every_command_is_valid(words, monkeypatch):
    monkeypatch.setenv("MIXLINGUAL_DATA", "somewhere")
    register()
    if words[0] == "mixlingual":
        words = ["python", "-m", f"mixlingual.{words[1]}", *words[2:]]
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    elif words[:2] == ["pip", "install"]:
        extra = re.fullmatch(r"mixlingual\[(\w+)\]", words[2])
        extras = re.findall(r"^(\w+) =$", (ROOT / "setup.cfg").read_text(), flags=re.MULTILINE)
        assert extra[1] in extras if extra else re.fullmatch(r"[\w-]+==[\d.]+", words[2])
    elif words[:2] == ["apt", "install"]:
        assert words[2:] == ["apertium", "apertium-eng-spa"]
    elif words[:2] == ["wandb", "sync"]:
        assert words[2].startswith("multirun/")
    elif words[0] == "torchrun":
        assert checked(*asked(words[words.index("-m") + 1 :]))
    elif words[:2] == ["python", "-m"] and words[2].startswith("mixlingual."):
        module = words[2].removeprefix("mixlingual.")
        assert (ROOT / f"src/mixlingual/{module}.py").exists()
        if module == "new":
            assert len(words) == 4
        elif module == "options":
            assert all(any(word in path for path, _ in describe(TrainConfig())) for word in words[3:])
        else:
            assert checked(*asked(words[2:]))
    elif words[:2] == ["python", "-m"]:
        assert (ROOT / f"{words[2].replace('.', '/')}.py").exists()
    else:
        pytest.fail(f"this test does not know how to check {words}")


def anchors(page):
    """Names that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        place = page.parent / target if target else page
        assert place.exists(), f"{page.name} links to {target}"
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), f"{page.name} links to {target}#{anchor}"


def test_the_architecture_names_files_that_exist():
    named = set(re.findall(r"[`\s]([a-z_/]+\.py)\b", (ROOT / "docs/architecture.md").read_text()))
    assert len(named) > 15
    assert not [name for name in named if not (ROOT / "src/mixlingual" / name).exists()]


def test_the_start_page_names_choices_that_exist():
    table = re.findall(r"^\| `(\w+)` \| (.*?) \|", (ROOT / "docs/index.md").read_text(), flags=re.MULTILINE)
    assert len(table) >= 4
    for group, choices in table:
        for choice in re.findall(r"`(\w+)`", choices):
            assert (CONF_DIR / group / f"{choice}.yaml").exists(), f"{group}={choice}"
