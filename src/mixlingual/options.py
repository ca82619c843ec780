"""Entry point: prints every option with its default, its allowed values and what it means.

python -m mixlingual.options [train | evaluate | prepare | report | sample_size | status | dashboard | cluster] [WORD]
"""

from __future__ import annotations

import dataclasses
import signal
import sys
import textwrap
from collections.abc import Iterator

from mixlingual.config.schema import SCHEMAS, TrainConfig


def main() -> None:
    """Prints the options whose dotted path contains the words given."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends without a word where nobody reads on, as after `| head`
    words = sys.argv[1:]
    schema = SCHEMAS[words.pop(0)] if words and words[0] in SCHEMAS else TrainConfig
    shown = [text for path, text in describe(schema()) if all(word in path for word in words)]
    sys.stdout.write("\n".join(shown) + "\n" if shown else f"no option's name contains {' '.join(words)!r}\n")
    sys.exit(0 if shown else 1)


def describe(config: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted path, text) of every option of a config dataclass, in their order."""
    for part in dataclasses.fields(config):  # type: ignore[arg-type]
        path, value = f"{prefix}{part.name}", getattr(config, part.name)
        if dataclasses.is_dataclass(value):
            yield from describe(value, f"{path}.")
            continue
        text = f"{part.metadata['doc']} Default: {'null' if value is None else value}."
        if part.metadata["choices"] is not None:
            text += f" Allowed: {', '.join(part.metadata['choices'])}."
        low, high = part.metadata["low"], part.metadata["high"]
        if low is not None:
            text += f" Range: {low} to {high:,}."
        yield path, f"{path}\n{textwrap.indent(textwrap.fill(text, 96), '    ')}"


if __name__ == "__main__":
    main()
