"""The command `mixlingual`: starts the entry point that its first word names, as `python -m mixlingual.NAME` does.

mixlingual train sweep=demo
eval "$(mixlingual -sc install=bash)"
"""

from __future__ import annotations

import os
import re
import runpy
import sys
from importlib import import_module, metadata
from pathlib import Path

_FIRST_LINE = re.compile(r'"""Entry point: (.+)')
_OWN_PRESETS = re.compile(r" ((?:--config-dir|-cd)[ =]\S+) ")
_COMPLETED_AS = {"preflight": "train"}
"""Entry points that take the options of another one."""


def main() -> None:
    """Runs the entry point with the words after its name; its exit code is that of the command."""
    known, words = entry_points(), sys.argv[1:]
    if not words:
        sys.exit(_help(known))
    if words[0] in ("--help", "-h", "help"):
        sys.stdout.write(_help(known))
    elif words[0] in ("--version", "-V"):
        sys.stdout.write(f"mixlingual {metadata.version('mixlingual')}\n")
    elif words[0] in ("--shell-completion", "-sc"):
        _complete(list(known), words)
    elif words[0] in known:
        sys.argv[:] = [sys.argv[0], *words[1:]]
        runpy.run_module(f"mixlingual.{words[0]}", run_name="__main__", alter_sys=True)
    else:
        from difflib import get_close_matches

        near = get_close_matches(words[0].replace("-", "_"), known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        sys.exit(f"mixlingual: there is no command {words[0]!r}; {hint} (mixlingual --help lists all)")


def entry_points() -> dict[str, str]:
    """Name -> what it does, from the first line of each module of this folder that is an entry point; imports none."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        with path.open(encoding="utf-8") as file:
            if line := _FIRST_LINE.match(file.readline()):
                found[path.stem] = line[1].strip().removesuffix('"""').rstrip(".")
    return found


def _help(known: dict[str, str]) -> str:
    width = max(map(len, known)) + 2
    return (
        "usage: mixlingual COMMAND [group=choice ...] [option=value ...]\n\n"
        + "".join(f"  {name:{width}}{text}\n" for name, text in known.items())
        + "\nmixlingual COMMAND --help says more; mixlingual options WORD explains an option; mixlingual --version.\n"
        'Completion of commands, presets and options: eval "$(mixlingual -sc install=bash)", or\n'
        "mixlingual -sc install=fish | source\n"
    )


def _complete(known: list[str], words: list[str]) -> None:
    """Answers the shell, or prints what makes it ask: commands while the first word is written, then as Hydra does.

    Hydra's function for the shell has what is written so far in COMP_LINE, and passes no --config-dir.
    """
    line = os.environ.get("COMP_LINE", "")
    written = line.split()
    if not words[-1].startswith("query="):
        name = "train"  # Hydra's function is the same for all
    elif len(written) + line.endswith(" ") <= 2:
        sys.stdout.write("\n".join(known) + "\n")
        return
    else:
        name = _COMPLETED_AS.get(written[1], written[1])
        os.environ["COMP_LINE"] = line.replace(f" {written[1]}", "", 1)
        words = [*(_OWN_PRESETS.findall(line) or [""])[-1].split(), *words]
    from mixlingual.grid.hydra import CONF_DIR

    if name in known and (CONF_DIR / f"{name}.yaml").is_file():
        sys.argv[:] = ["mixlingual", *words]
        import_module(f"mixlingual.{name}").main()


if __name__ == "__main__":
    main()
