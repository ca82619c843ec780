"""Entry points start at once: they import what they use, where they use it."""

import subprocess
import sys

import pytest
from run_folder import write_result

HEAVY = {
    "torch",
    "pytorch_lightning",
    "transformers",
    "pandas",
    "scipy",
    "statsmodels",
    "matplotlib",
    "optuna",
    "wandb",
}
SHOWS_IMPORTS = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module(f"mixlingual.{sys.argv[0]}", run_name="__main__", alter_sys=True)
finally:
    sys.stderr.write(chr(10) + " ".join(sys.modules))
"""


@pytest.mark.parametrize(
    "words",
    [
        "status sweep_name=s root={}", "status sweep_name=s root={} json=true", "report --help", "sample_size --help",
        "dashboard --help", "options", "train --help", "train --cfg job", "evaluate --help", "preflight --help",
    ],
)  # fmt: skip
def test_what_shows_or_helps_imports_nothing_heavy(tmp_path, words):
    write_result(tmp_path / "s/run")
    command = [sys.executable, "-c", SHOWS_IMPORTS, *words.format(tmp_path).split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    imported = set(done.stderr.splitlines()[-1].split())
    assert "mixlingual.config.schema" in imported
    assert not HEAVY & imported
