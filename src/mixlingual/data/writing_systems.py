"""The script that a language is written in."""

from __future__ import annotations

from babel.core import get_global


def script_of(language: str) -> str:
    """Unicode script code in which a language is most likely written (CLDR likely subtags); empty if unknown."""
    subtags = language.replace("-", "_").split("_")
    named = [subtag for subtag in subtags[1:] if len(subtag) == 4]
    likely = get_global("likely_subtags").get(subtags[0], "")
    return next((subtag for subtag in (*named, *likely.split("_")) if len(subtag) == 4), "")
