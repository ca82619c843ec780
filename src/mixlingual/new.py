"""Entry point: writes a small project of your own: presets for models, a sweep and a cluster, and a README.

python -m mixlingual.new FOLDER
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from mixlingual.grid.doors import answering
from mixlingual.records import MixlingualError

_PROJECT = Path(__file__).parent / "project"


def main() -> None:
    """Writes the project into the folder that the command line names; exit code 1 if it holds something."""
    parser = argparse.ArgumentParser("python -m mixlingual.new", description=__doc__.partition("\n")[0][13:])
    parser.add_argument("folder", type=Path, help="folder to write, new or empty")
    folder: Path = parser.parse_args().folder
    with answering():
        write_project(folder)
        files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        sys.stdout.write("".join(f"{folder / path}\n" for path in files))
        sys.stdout.write(f"Next: cd {folder}, and the commands in README.md\n")


def write_project(folder: Path) -> None:
    """Copies the project that the package holds.

    Raises:
        MixlingualError: the folder is not empty, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise MixlingualError(f"{folder} is a file; name a new or an empty folder")
    if held := sorted(path.name for path in folder.glob("*")):
        named = ", ".join(held[:3]) + (" and more" if held[3:] else "")
        raise MixlingualError(f"{folder} already holds {named}; name a new or an empty folder")
    shutil.copytree(_PROJECT, folder, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
