"""Tells which script a language is written in, by a table that `tools/cldr` made from Unicode CLDR."""

from __future__ import annotations

import functools
from pathlib import Path


def script_of(language: str) -> str:
    """Returns the Unicode script code in which a language is most likely written; empty if unknown."""
    subtags = language.replace("-", "_").split("_")
    return next((subtag for subtag in subtags[1:] if len(subtag) == 4), _likely().get(subtags[0], ""))


@functools.cache
def _likely() -> dict[str, str]:
    lines = Path(__file__).with_name("writing_systems.txt").read_text(encoding="utf-8").splitlines()
    return {language: script for script, *languages in map(str.split, lines) for language in languages}
