"""Versions agree, the wheel is complete, and imports flow one way."""

import ast
import configparser
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from importlinter.cli import lint_imports
from packaging.metadata import Metadata

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"pytorch-gpu": "torch", "faiss-gpu": "faiss-gpu-cu12", "huggingface_hub": "huggingface-hub"}
GUESTS = {"accelerate": "sentence-transformers"}
"""Package of a trainer that `integrations` is imported by -> what brings it."""


def setup_cfg():
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg")
    return parsed


def requirements(text):
    split = (re.match(r"([\w.-]+)(.*)", line.strip()) for line in text.strip().splitlines())
    return {match[1].lower(): match[2] for match in split}


def test_conda_and_pip_name_the_same_versions():
    config = setup_cfg()
    extras = config["options.extras_require"]
    wanted = requirements(config["options"]["install_requires"]) | requirements(
        extras["wandb"] + extras["slurm"] + extras["lora"] + extras["gpu"]
    )
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry for entry in entries if isinstance(entry, dict))["pip"]
    conda = requirements("\n".join([*(e for e in entries if isinstance(e, str)), *pip]))
    assert all(re.match(r"[\w.-]+[<>=!,.\d]*$", entry) for entry in pip), "pip reads this list as requirements"
    assert conda.pop("python") == config["options"]["python_requires"]
    conda.pop("pip")
    assert {CONDA_NAMES.get(name, name): versions for name, versions in conda.items()} == wanted


def test_the_broken_lightning_releases_are_excluded():
    versions = requirements(setup_cfg()["options"]["install_requires"])["pytorch-lightning"]
    assert "!=2.6.2" in versions
    assert "!=2.6.3" in versions


def test_every_dependency_has_a_tested_version():
    config = setup_cfg()
    pinned = requirements("\n".join(x for x in (ROOT / "constraints.txt").read_text().splitlines() if x[0] != "#"))
    wanted = requirements(config["options"]["install_requires"]) | requirements(config["options.extras_require"]["dev"])
    assert set(wanted) <= set(pinned)


def test_every_import_of_the_package_is_declared():
    """By the name that it is installed by: what another dependency happens to bring may go with it."""
    config = setup_cfg()
    needs = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    declared = set(requirements("".join(needs)))
    installed = packages_distributions()
    imported = {
        name.partition(".")[0]
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in imported_names(node)
    }
    others = imported - sys.stdlib_module_names - {"mixlingual", "hydra_plugins"}
    assert {"torch", "yaml", "hydra"} <= others
    for name in others:
        brought_by = {each.lower().replace("_", "-") for each in installed.get(name, [name])}
        assert (brought_by | {GUESTS.get(name)}) & declared, name


def imported_names(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


def test_every_package_is_listed():
    found = {"mixlingual.conf"} | {
        ".".join(path.parent.relative_to(ROOT / "src").parts) for path in (ROOT / "src").rglob("__init__.py")
    }
    assert set(setup_cfg()["options"]["packages"].split()) == found


def test_the_launcher_is_found_without_what_it_launches_with(tmp_path):
    """Hydra imports every plugin at every start; there may be no submitit, and torch would cost seconds."""
    for name in ("submitit", "torch", "pandas"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('imported')\n")
    code = (
        "from hydra.core.plugins import Plugins; names = Plugins.instance().class_name_to_class\n"
        "assert 'hydra_plugins.mixlingual_launcher.launcher.SlurmGridLauncher' in names, names"
    )
    paths = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    found = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_imports_flow_one_way(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the linter adds to it
    assert lint_imports() == 0
    assert "0 broken" in capsys.readouterr().out


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Returns the folder of what the wheel of the committed files installs."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "source")], check=True)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(folder / "site"), str(folder / "source")], check=True)
    return folder / "site"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "train --cfg hydra --package hydra.launcher hydra/launcher=submitit_slurm cluster=slurm",
            "hydra_plugins.mixlingual_launcher.launcher.SlurmGridLauncher",
        ),
        ("options cluster detach", "The command submits the jobs"),
        ("evaluate --help", "mixlingual.evaluate"),
        ("report --help", "sweep_name"),
        ("preflight experiment=smoke", "1 run"),
        ("new mine", "mine/conf/sweep/mine.yaml"),
    ],
)
def test_every_entry_point_runs_from_the_wheel(installed, tmp_path, words, expected):
    command = [sys.executable, "-m", *f"mixlingual.{words}".split()]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert expected in ran.stdout


def test_the_command_lies_beside_python(installed, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(installed)}
    script = [sys.executable, str(installed / "bin/mixlingual"), "options", "cluster", "detach"]
    ran = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "The command submits the jobs" in ran.stdout


def test_the_metadata_are_whole_and_agree_with_the_citation(installed):
    (file,) = installed.glob("mixlingual-*.dist-info/METADATA")
    found = Metadata.from_email(file.read_bytes(), validate=True)
    assert found.description_content_type == "text/markdown"
    assert found.description.startswith("# Mixlingual")
    assert found.license_expression == "Apache-2.0"
    assert found.license_files == ["LICENSE"]
    assert f"Programming Language :: Python :: {str(found.requires_python).removeprefix('>=')}" in found.classifiers
    assert found.keywords
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (str(found.version), found.license_expression)
    said = re.findall(r"^#   (\w+) ", (ROOT / "setup.cfg").read_text(), flags=re.MULTILINE)
    assert said == list(setup_cfg()["options.extras_require"]), "a line for each extra says what it is for"


def test_the_wheel_holds_the_report_page_with_its_libraries_and_licences(installed):
    where = [sys.executable, "-c", "import mixlingual; print(mixlingual.__file__)"]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    package = Path(subprocess.run(where, env=environment, capture_output=True, text=True, check=True).stdout).parent
    assert package.is_relative_to(installed), "what the tests above have started"
    there, here = (
        {path.relative_to(root) for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"}
        for root in (package / "reporting/page", ROOT / "src/mixlingual/reporting/page")
    )
    assert there == here
