"""Orders languages as they are shown: those that share a script stand side by side."""

from __future__ import annotations

from collections.abc import Iterable

from mixlingual.data.writing_systems import script_of

_SCRIPTS = ("Latn", "Grek", "Cyrl", "Arab", "Deva", "Thai", "Hans", "Hant", "Jpan", "Kore")
"""Unicode codes of scripts in the order shown; others follow by code."""


def in_script_order(languages: Iterable[str]) -> list[str]:
    """Sorts languages by script and then by code, without repetition."""
    order = {script: place for place, script in enumerate(_SCRIPTS)}
    return sorted(set(languages), key=lambda code: (order.get(script_of(code), len(order)), script_of(code), code))
