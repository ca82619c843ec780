"""The order in which languages are shown: those that share a script side by side."""

from __future__ import annotations

from collections.abc import Iterable

from babel.core import get_global

_SCRIPTS = ("Latn", "Grek", "Cyrl", "Arab", "Deva", "Thai", "Hans", "Hant", "Jpan", "Kore")
"""Unicode codes of scripts in the order shown; others follow by code."""


def script_of(language: str) -> str:
    """Unicode script code in which a language is most likely written (CLDR likely subtags); empty if unknown."""
    subtags = language.replace("-", "_").split("_")
    named = [subtag for subtag in subtags[1:] if len(subtag) == 4]
    likely = get_global("likely_subtags").get(subtags[0], "")
    return next((subtag for subtag in (*named, *likely.split("_")) if len(subtag) == 4), "")


def in_script_order(languages: Iterable[str]) -> list[str]:
    """The languages without repetition, sorted by script and then by code."""
    order = {script: place for place, script in enumerate(_SCRIPTS)}
    return sorted(set(languages), key=lambda code: (order.get(script_of(code), len(order)), script_of(code), code))
