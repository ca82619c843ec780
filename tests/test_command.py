"""The command `mixlingual`: finds the entry points, starts them as python -m does, and completes words in the shell."""

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from forks import run_module

from mixlingual.__main__ import entry_points
from mixlingual.new import write_project
from mixlingual.records import MixlingualError

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/mixlingual"


def command(folder, *words):
    """Does what `mixlingual WORDS` does."""
    return run_module(folder, "mixlingual.__main__", *words)


def test_every_module_that_is_started_by_name_is_a_command_with_a_line():
    with_main = {path.stem for path in SOURCE.glob("*.py") if "if __name__ ==" in path.read_text()} - {"__main__"}
    known = entry_points()
    assert set(known) == with_main
    for name, line in known.items():
        document = ast.get_docstring(ast.parse((SOURCE / f"{name}.py").read_text()))
        assert document.splitlines()[0] == f"Entry point: {line}."
        assert len(f"  {name} {line}") < 120


def test_help_lists_all_and_imports_no_entry_point():
    code = "import sys; sys.argv = ['mixlingual', '--help']; from mixlingual.__main__ import main; main()\n"
    code += "print(*(name for name in sys.modules if name.split('.')[0] in ('mixlingual', 'hydra', 'torch')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *shown, imported = done.stdout.splitlines()
    assert set(entry_points()) <= {line.split()[0] for line in shown if line.startswith("  ")}
    assert set(imported.split()) == {"mixlingual", "mixlingual.__main__"}


def test_it_starts_an_entry_point_and_keeps_its_exit_code(tmp_path):
    shown = command(tmp_path, "options", "monolingual_ratio")
    assert shown.returncode == 0
    assert shown.stdout.startswith("batching.monolingual_ratio\n")
    failed = command(tmp_path, "status", "sweep_name=none")
    direct = run_module(tmp_path, "mixlingual.status", "sweep_name=none")
    assert (failed.returncode, direct.returncode) == (1, 1)
    assert failed.stderr.split(" ERROR ")[1] == direct.stderr.split(" ERROR ")[1]
    assert "Traceback" not in failed.stderr
    assert command(tmp_path, "train", "--cfg").returncode == 2
    assert command(tmp_path, "--version").stdout == f"mixlingual {metadata.version('mixlingual')}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "there is no command 'trian'; did you mean train?"),
        (["sample-size"], "did you mean sample_size?"),
        (["xyz"], "there is no command 'xyz'; known: dashboard, "),
        ([], "usage: mixlingual COMMAND"),
    ],
)
def test_what_is_no_command_is_one_message(tmp_path, words, said):
    done = command(tmp_path, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


SCRIPT = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT / "src")!r})
from mixlingual.__main__ import main
main()
"""
ASK = """
eval "$(mixlingual -sc install=bash)"
complete -p mixlingual
ask() {
  COMP_LINE="$1" COMP_POINT=${#1} COMP_WORDS=($1) COMPREPLY=()
  [[ "$1" == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]}-1))
  hydra_bash_completion
  echo "$1|${COMPREPLY[*]}"
}
"""
COMPLETED = {
    "mixlingual pre": "preflight prepare",
    "mixlingual train sweep=siz": "sweep=size_x_ratio",
    "mixlingual preflight sweep=siz": "sweep=size_x_ratio",
    "mixlingual report sweep_n": "sweep_name=",
    "mixlingual train model=mbert batching.monolingual_r": "batching.monolingual_ratio=",
    "mixlingual evaluate -m --config-dir conf model=mine_s": "model=mine_small",
    "mixlingual options mono": "",
}


def test_bash_completes_commands_presets_and_options(tmp_path):
    """Runs the function that Hydra prints in a bash, as a tab does."""
    write_project(tmp_path / "mine")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mixlingual").write_text(SCRIPT)  # as pip writes it
    (tmp_path / "bin/mixlingual").chmod(0o755)
    asked = ASK + "\n".join(f"ask {shlex.quote(line)}" for line in COMPLETED)
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", asked], cwd=tmp_path / "mine", env=environment, capture_output=True, text=True)
    registered, *found = done.stdout.splitlines()
    assert registered.endswith("-F hydra_bash_completion mixlingual"), done.stderr
    assert dict(line.split("|") for line in found) == COMPLETED


def test_fish_is_answered_line_by_line(tmp_path, monkeypatch):
    monkeypatch.setenv("COMP_LINE", "mixlingual train sweep=")
    assert "sweep=demo" in command(tmp_path, "-sc", "query=fish").stdout.splitlines()
    monkeypatch.setenv("COMP_LINE", "mixlingual ")
    assert set(command(tmp_path, "-sc", "query=fish").stdout.split()) == set(entry_points())
    assert "complete -c mixlingual" in command(tmp_path, "-sc", "install=fish").stdout


def test_a_new_project_runs_as_its_readme_says(tmp_path):
    """The smoke run trains, the grid is checked; report and jobs are composed."""
    importlib.import_module("mixlingual.grid.cell")  # for the forks
    folder = tmp_path / "mine"
    done = command(tmp_path, "new", "mine")
    assert "mine/conf/sweep/mine.yaml" in done.stdout
    (block,) = re.findall(r"```bash\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)
    smoke, preflight, train, status, report, slurm = (
        shlex.split(line, comments=True)[1:] for line in block.replace("\\\n", " ").splitlines()
    )
    ran = command(folder, *smoke)
    assert ran.returncode == 0, ran.stderr
    assert len(list((folder / "multirun/smoke").glob("*/result.json"))) == 1
    assert "12 runs in multirun/mine, all valid" in command(folder, *preflight).stdout
    assert preflight[1:] == train[1:], "what is checked is what runs"
    assert "sweep smoke: 1 run: 1 done" in command(folder, *replaced(status)).stdout
    assert "sweep_name: smoke" in command(folder, *replaced(report), "--cfg", "job").stdout
    launcher = command(folder, *slurm, "--cfg", "hydra", "--package", "hydra.launcher")
    assert "gpus_per_node: 1\ngpu: a100-80gb" in launcher.stdout, launcher.stderr
    assert command(tmp_path, "new", "mine").returncode == 1


def replaced(words):
    """The words for the one run that there is."""
    return [word.replace("sweep_name=mine", "sweep_name=smoke") for word in words]


def test_a_project_is_written_only_where_nothing_is_lost(tmp_path):
    (tmp_path / "empty").mkdir()
    write_project(tmp_path / "empty")
    assert (tmp_path / "empty/conf/model/mine_small.yaml").exists()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(MixlingualError, match="file is a file; name a new or an empty folder"):
        write_project(tmp_path / "file")
    for name in (".git", "a", "b", "c"):
        (tmp_path / "held" / name).mkdir(parents=True)
    with pytest.raises(MixlingualError, match=r"held already holds \.git, a, b and more; name"):
        write_project(tmp_path / "held")
